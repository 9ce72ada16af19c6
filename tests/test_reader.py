"""The pauses and the words of a camera's reader, on a clock of its own; and readers that die of what nobody foresaw."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timezone

import pytest

from edgeface.config import Camera, Config
from edgeface.errors import SourceError
from edgeface.offline import bench
from edgeface.service.inbox import Ended, Inbox
from edgeface.service.reader import HELD_S, Reader
from edgeface.sources.live import LiveSource

STARTED = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Halt(threading.Event):
    """Remembers how long it was waited for, and lets time pass instead."""

    def __init__(self, now: list[float]) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._now = now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self._now[0] += timeout
        return False


class Times:
    """A camera whose connections hold for so many seconds each, with a frame a second."""

    def __init__(self) -> None:
        self.now = [100.0]
        self.halt = Halt(self.now)
        feed = Inbox().feed("door")
        self.reader = Reader(
            "door", Camera(source="rtsp://h/x"), Config(), feed, self.halt, STARTED,
            once=False, clock=lambda: self.now[0], jitter=lambda _, most: most,
        )  # fmt: skip

    def hold(self, seconds: float) -> None:
        for second in range(round(seconds) + 1):
            self.reader._got_frame("rtsp://h/x")
            self.now[0] += 1 if second < seconds else 0
        self.reader._lost(SourceError("rtsp://h/x ended", fix="it is opened again"))


def test_pauses_grow_until_the_camera_has_held(caplog: pytest.LogCaptureFixture) -> None:
    times = Times()
    with caplog.at_level(logging.INFO):
        for _ in range(8):
            times.hold(0)
        assert times.halt.waits == [1, 2, 4, 8, 16, 30, 30, 30]
        assert [record.message.split()[2] for record in caplog.records] == ["rtsp://h/x", "lost:", "back", "lost:"]
        times.hold(HELD_S)
        assert caplog.records[-2].message.startswith("camera door back after")
        assert "7 attempts" in caplog.records[-2].message
        assert caplog.records[-1].message.startswith("camera door lost:")
    assert times.halt.waits[-1] == 1, "it had held: the pauses start anew"


def test_a_loss_now_and_then_is_told_each_time(caplog: pytest.LogCaptureFixture) -> None:
    times = Times()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            times.hold(2 * HELD_S)
    assert times.halt.waits == [1, 1, 1]
    assert [record.message.split()[2] for record in caplog.records].count("lost:") == 3


def test_a_bench_reader_that_dies_of_a_bug_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = Inbox()
    monkeypatch.setattr(bench, "_synthetic", lambda *_: iter(lambda: 1 // 0, None))
    bench._Reader(None, Config(), None, inbox.feed("main"), None).run()  # type: ignore[arg-type]
    (item,) = inbox.take(timeout_s=1.0)
    assert isinstance(item, Ended)
    assert "the reader died: ZeroDivisionError" in str(item.error)


def test_a_live_reader_that_dies_of_a_bug_is_heard() -> None:
    class Broken:
        description = "broken"

        def open(self) -> None:
            raise ZeroDivisionError("bug")

        def read(self) -> None: ...

        def interrupt(self) -> None: ...

        def release(self) -> None: ...

    with pytest.raises(SourceError, match="broken failed: ZeroDivisionError"):
        list(LiveSource("door", Camera(source="rtsp://h/x"), Broken()).frames())
