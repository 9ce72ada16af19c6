"""A camera that goes on giving one and the same picture: noticed, said, and nobody stands before it any more."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brokers import Auditor, Mosquitto, eventually
from daemons import Child
from pretend_camera import CONFIG, PretendCamera

from edgeface.errors import SourceError
from edgeface.service.inbox import Inbox
from edgeface.service.reader import Reader
from edgeface.sources.frozen import Frozen
from edgeface.types import Frame, Image

STARTED = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
CHANCE = np.random.default_rng(7)
SCENE = CHANCE.integers(0, 255, (120, 160, 3)).astype(np.uint8)


def frame(image: Image, time_s: float) -> Frame:
    return Frame(image=image, camera="door", index=0, time_s=time_s, captured_at=STARTED)


def noisy(image: Image) -> Image:
    """The same scene as a sensor sees it the next time."""
    seen: Image = np.clip(image.astype(np.int16) + CHANCE.integers(-1, 2, image.shape), 0, 255).astype(np.uint8)
    return seen


def looks(watch: Frozen, images: Sequence[Image]) -> list[bool]:
    """What is said of a picture each half second."""
    return [watch.look(frame(image, place / 2)) for place, image in enumerate(images)]


def changed(image: Image, row: int, column: int) -> Image:
    other: Image = image.copy()
    other[row, column] ^= 1
    return other


def test_the_same_picture_for_too_long_is_frozen_until_it_changes() -> None:
    same = [SCENE.copy() for _ in range(6)]
    # The second is the first that is known to be the same.
    assert looks(Frozen(2.0), [*same, noisy(SCENE), SCENE]) == [False] * 5 + [True, False, False]


@pytest.mark.parametrize(
    ("images", "why"),
    [
        ([noisy(SCENE) for _ in range(20)], "noise"),
        ([changed(SCENE, 4 * (place % 2), 8) for place in range(20)], "one pixel of those between the coarse ones"),
        ([np.zeros_like(SCENE)] * 20, "black: a cap, or the night"),
        ([np.full_like(SCENE, 90)] * 20, "plain"),
        ([changed(np.full_like(SCENE, 90), 8, 8)] * 20, "plain but for a spot"),
        ([SCENE] * 5 + [noisy(SCENE)] + [SCENE] * 5, "never for long"),
    ],
)
def test_what_is_not_frozen(images: list[Image], why: str) -> None:
    assert not any(looks(Frozen(3.0), images)), why


def test_a_small_picture_and_another_size() -> None:
    small = SCENE[:2, :2]
    assert looks(Frozen(0.5), [SCENE, small, small, small])[-1] == (np.ptp(small) > 16)


def test_off() -> None:
    assert not any(looks(Frozen(0.0), [SCENE] * 9))


class Stuck:
    """A live source with a frame a second, of what each connection shows."""

    description = "rtsp://h/x"
    live = True
    dropped = 0

    def __init__(self, images: Sequence[Image], begin_s: float) -> None:
        self._images = images
        self._begin_s = begin_s

    def frames(self) -> Iterator[Frame]:
        for place, image in enumerate(self._images):
            yield frame(image, self._begin_s + place)

    def close(self) -> None: ...


def read(*connections: Sequence[Image], once: bool = False) -> int:
    """Read all connections, 1000 seconds apart; how many frames came through."""
    halt = threading.Event()
    left = [Stuck(images, 1000.0 * place) for place, images in enumerate(connections)]

    def opening() -> Stuck:
        if len(left) == 1:
            halt.set()
        return left.pop(0)

    halt.wait = lambda _=None: halt.is_set()  # type: ignore[method-assign,assignment]
    feed = Inbox().feed("door")
    came: list[Frame] = []
    feed.put_newest = came.append  # type: ignore[method-assign,assignment]
    Reader("door", opening, feed, halt, once=once, frozen_after_s=10.0).run()
    return len(came)


def test_a_frozen_camera_is_lost_and_back_when_its_picture_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    noise = [noisy(SCENE) for _ in range(3)]
    came = read([*noise, *[SCENE] * 20], [SCENE] * 30, [SCENE] * 3 + noise)
    # Until it had frozen, nothing of the second connection, and of the third what is new (one: then it is told to end).
    assert came == 3 + 11 + 1
    said = [record.message for record in caplog.records]
    assert len(said) == 3, said
    assert "rtsp://h/x has frozen: it gives exactly the same picture again and again" in said[1]
    assert "cameras.door.frozen_after = 0" in said[1]
    assert said[2].startswith("camera door back after")


def test_a_run_with_an_end_fails() -> None:
    inbox = Inbox()
    feed = inbox.feed("door")
    source = Stuck([SCENE] * 30, 0.0)
    Reader("door", lambda: source, feed, threading.Event(), once=True, frozen_after_s=10.0).run()
    (item,) = inbox.take(timeout_s=1)
    while isinstance(item, Frame):
        (item,) = inbox.take(timeout_s=1)
    assert isinstance(item.error, SourceError)


def test_nobody_stands_before_a_frozen_camera(
    mosquitto: Callable[..., Mosquitto], audit: Callable[..., Auditor], run: Callable[..., Child], tmp_path: Path
) -> None:
    """The face is in the picture all the time: only its being exactly the same tells."""
    broker = mosquitto()
    auditor = audit(broker)
    camera = PretendCamera(tmp_path / "camera")
    config = tmp_path / "edgeface.toml"
    config.write_text(f'[node]\nid = "hall"\n[cameras.main]\n{CONFIG}frozen_after = 3.0\n')
    camera.show("face")
    child = run(broker.port, "--config", config, environ={"PATH": f"{camera.programs}:{os.environ['PATH']}"})

    def last() -> dict[str, Any]:
        return auditor.of("state")[-1].json if auditor.of("state") else {"occupied": None, "status": None}

    eventually(lambda: last()["occupied"] is True, "somebody", 60)
    camera.show("same-face")
    eventually(lambda: last()["status"] == "away", "a frozen camera", 60)
    state = last()
    assert (state["occupied"], state["count"]) == (None, None)
    auditor.wait_for(lambda a: a.of("visits")[-1].json["event"] == "end", "the end of the visit")
    end = auditor.of("visits")[-1].json
    assert end["reason"] == "source_ended"
    assert "has frozen" in child.log()
    camera.show("face")
    eventually(lambda: last()["occupied"] is True, "somebody again", 60)
