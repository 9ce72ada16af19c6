"""Live sources: the newest frame wins, silence is noticed even where a read never returns, closing ends all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial

import numpy as np
import pytest
from scenes_live import wait_until

from edgeface.config import Camera
from edgeface.errors import SourceError
from edgeface.sources.live import STUCK_MOST, LiveSource
from edgeface.types import Image

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
impatient = partial(LiveSource, join_s=0.05)


class Script:
    """A device that does what a list says: pictures, ``None`` (lost), an error, or ``hang``."""

    description = "stand-in"

    def __init__(self, *steps: object, opening: object = None) -> None:
        self._steps = iter(steps)
        self._opening = opening
        self.freed = threading.Event()
        self.released = threading.Event()
        self.read_by: set[int] = set()

    def open(self) -> None:
        self._do(self._opening)

    def read(self) -> Image | None:
        self.read_by.add(threading.get_ident())
        return self._do(next(self._steps, "hang"))

    def _do(self, step: object) -> Image | None:
        if isinstance(step, Exception):
            raise step
        if step == "hang":
            self.freed.wait(20)
            return None
        if callable(step):
            step()
        return np.full((4, 6, 3), step, np.uint8) if isinstance(step, int) else None

    def interrupt(self) -> None: ...

    def release(self) -> None:
        self.released.set()


def camera(**options: object) -> Camera:
    return Camera(source=0, **({"open_timeout": 5.0, "read_timeout": 0.15} | options))  # type: ignore[arg-type]


def gate(frames: threading.Event) -> Callable[[], object]:
    return lambda: frames.wait(5)


def test_frames_carry_the_capture_time_and_the_wall_time() -> None:
    ticks = iter((10.0, 10.5, 11.0))
    taken = threading.Event()

    def wait_for_taker() -> None:
        taken.wait(5)
        taken.clear()

    device = Script(1, wait_for_taker, 2)
    source = impatient("door", camera(), device, clock=lambda: next(ticks), now=lambda: NOW)
    seen = []
    with pytest.raises(SourceError, match=r"stand-in gave no frame for 0\.15 s"):
        for frame in source.frames():
            seen.append((frame.camera, frame.index, frame.time_s, frame.captured_at, int(frame.image[0, 0, 0])))
            taken.set()
    device.freed.set()
    assert seen == [("door", 0, 10.0, NOW, 1), ("door", 1, 10.5, NOW, 2)]


def test_the_newest_wins_and_what_nobody_took_is_counted() -> None:
    first, done = threading.Event(), threading.Event()
    device = Script(1, gate(first), 2, 3, 4, done.set)
    source = impatient("door", camera(read_timeout=5.0), device)
    frames = source.frames()
    assert next(frames).index == 0
    first.set()
    assert done.wait(5)
    frame = next(frames)
    assert (frame.index, int(frame.image[0, 0, 0]), source.dropped) == (3, 4, 2)
    device.freed.set()
    source.close()


@pytest.mark.parametrize(
    ("device", "words"),
    [
        pytest.param(Script(opening="hang"), "gave no frame for 0.1 s", id="opening hangs"),
        pytest.param(Script(), "gave no frame for 0.1 s", id="first read hangs"),
        pytest.param(Script(opening=SourceError("it is gone", fix="look")), "it is gone; look", id="opening fails"),
        pytest.param(Script(SourceError("it broke", fix="look")), "it broke; look", id="read fails"),
        pytest.param(Script(OSError(5, "Input/output error")), "stand-in failed: .*Input/output error", id="OSError"),
    ],
)
def test_one_error_says_what_happened(device: Script, words: str) -> None:
    source = impatient("door", camera(open_timeout=0.1), device)
    started_s = time.monotonic()
    with pytest.raises(SourceError, match=words):
        list(source.frames())
    device.freed.set()
    assert time.monotonic() - started_s < 4
    assert device.released.wait(5), "the device was not released by its own thread"


def test_frames_before_an_error_are_delivered() -> None:
    source = impatient("door", camera(), Script(7, SourceError("it broke", fix="look")))
    frames = source.frames()
    assert int(next(frames).image[0, 0, 0]) == 7
    with pytest.raises(SourceError, match="it broke"):
        next(frames)


def test_close_from_another_thread_ends_the_frames_without_an_error() -> None:
    device = Script(1)
    source = impatient("door", camera(read_timeout=30.0), device)
    seen: list[int] = []
    reader = threading.Thread(target=lambda: seen.extend(frame.index for frame in source.frames()))
    reader.start()
    wait_until(lambda: bool(seen))
    device.freed.set()
    source.close()
    source.close()
    reader.join(5)
    assert device.released.wait(5)
    assert not reader.is_alive()
    assert seen == [0]
    assert threading.get_ident() not in device.read_by


def test_a_camera_that_hangs_again_and_again_is_not_opened_for_ever() -> None:
    devices = [Script() for _ in range(STUCK_MOST + 1)]
    for device in devices[:-1]:
        with pytest.raises(SourceError, match="gave no frame"):
            list(impatient("cellar", camera(open_timeout=0.01), device).frames())
    with pytest.raises(SourceError, match=f"hung {STUCK_MOST} times and is not opened any more; restart"):
        list(impatient("cellar", camera(), devices[-1]).frames())
    for device in devices:
        device.freed.set()


def test_rotation_and_mirror_apply() -> None:
    source = impatient("door", camera(rotate=90, mirror=True), Script(1))
    frames = source.frames()
    assert next(frames).image.shape == (6, 4, 3)
    frames.close()  # type: ignore[attr-defined]
