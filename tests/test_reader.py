"""The pauses and the words of a camera's reader, on a clock of its own; and readers that die of what nobody foresaw."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timezone

import numpy as np
import pytest

from edgeface.backoff import Backoff
from edgeface.config import Camera
from edgeface.errors import SourceError
from edgeface.offline import bench
from edgeface.service.inbox import Ended, Inbox
from edgeface.service.reader import BACKOFF, Reader
from edgeface.sources.live import LiveSource
from edgeface.types import Frame

STARTED = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
FRAME = Frame(image=np.zeros((2, 2, 3), np.uint8), camera="door", index=0, time_s=0.0, captured_at=STARTED)


class Door:
    """A camera whose connections hold for so many seconds each, with a frame a second; where a wait lets time pass."""

    def __init__(self, *seconds: float, backoff: Backoff = BACKOFF) -> None:
        self.now_s = 100.0
        self.waits: list[float] = []
        self.halt = threading.Event()
        self._seconds = seconds
        self._backoff = backoff

    def open(self) -> Connection:
        return Connection(self, self._seconds[len(self.waits)])

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self.now_s += timeout
        if len(self.waits) == len(self._seconds):
            self.halt.set()
        return self.halt.is_set()

    def read(self) -> list[float]:
        """Read until all connections are lost; the pauses between them."""
        self.halt.wait = self.wait  # type: ignore[method-assign]
        Reader(
            "door", self.open, Inbox().feed("door"), self.halt,
            once=False, backoff=self._backoff, clock=lambda: self.now_s, jitter=lambda _, most: most,
        ).run()  # fmt: skip
        return self.waits


class Connection:
    """One of them."""

    description = "rtsp://h/x"
    live = True
    dropped = 0

    def __init__(self, door: Door, seconds: float) -> None:
        self._door = door
        self._seconds = seconds

    def frames(self) -> Iterator[Frame]:
        begin_s = self._door.now_s
        while True:
            yield FRAME
            if self._door.now_s - begin_s >= self._seconds:
                return
            self._door.now_s += 1

    def close(self) -> None: ...


def test_pauses_grow_until_the_camera_has_held(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        waits = Door(*[0] * 8, BACKOFF.settled_s).read()
    assert waits[:-1] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert [record.message.split()[2] for record in caplog.records[:4]] == ["rtsp://h/x", "lost:", "back", "lost:"]
    back, lost = caplog.records[4:]
    assert back.message.startswith("camera door back after")
    assert "7 attempts" in back.message
    assert lost.message.startswith("camera door lost:")
    assert waits[-1] == 1, "it had held: the pauses start anew"


def test_the_pauses_are_the_ones_handed_in() -> None:
    assert Door(0, 0, 0, backoff=Backoff(first_s=0.05, most_s=0.1)).read() == [0.05, 0.1, 0.1]


def test_a_loss_now_and_then_is_told_each_time(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert Door(*[2 * BACKOFF.settled_s] * 3).read() == [1, 1, 1]
    assert [record.message.split()[2] for record in caplog.records].count("lost:") == 3


def test_a_bench_reader_that_dies_of_a_bug_is_heard() -> None:
    inbox = Inbox()
    bench.TimedReader((_ for _ in [FRAME] if 1 // 0), inbox.feed("main")).run()
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


def test_a_camera_is_closed_while_it_is_not_to_be_open(caplog: pytest.LogCaptureFixture) -> None:
    door = Door(1000.0)
    closed = [False]
    feed = Inbox().feed("door")
    opened: list[Connection] = []
    released: list[Connection] = []
    states: list[str] = []

    def opening() -> Connection:
        opened.append(door.open())
        opened[-1].close = lambda: released.append(opened[-1])  # type: ignore[method-assign]
        return opened[-1]

    def rest(timeout: float | None = None) -> bool:
        states.append(reader.state)
        closed[0] = len(states) < 3
        if len(opened) == 2:
            door.halt.set()
        return door.halt.is_set()

    def clock() -> float:
        if door.now_s > 110 and len(opened) == 1:
            closed[0] = True
        if door.now_s > 120:
            door.halt.set()
        return door.now_s

    door.halt.wait = rest  # type: ignore[method-assign]
    reader = Reader("door", opening, feed, door.halt, once=False, closed=lambda: closed[0], clock=clock)
    with caplog.at_level(logging.WARNING):
        reader.run()
    assert states == ["paused"] * 3
    assert len(opened) == 2, "it was opened again"
    assert len(released) == 2, "and let go of while nobody was to be looked at"
    assert caplog.records == [], "a camera that rests is not lost"
