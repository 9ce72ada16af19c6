"""What happens to a camera under the real daemon, and is told: dark, covered, moved, unplugged and plugged back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from brokers import AnyBroker, Auditor, eventually
from daemons import Child
from pretend_camera import CONFIG, PretendCamera

FASTER = 10.0
"""A scene must be another one for ten seconds before that is told: here for one."""
HEALTH_S, SETTLED = 0.1, 30
"""Seconds between two of `health`, and as many as come in three: a scene counts when it was seen for twenty seconds,
here for two."""


class Door:
    """A daemon before a camera."""

    def __init__(self, folder: Path, auditor: Auditor, start: Callable[..., Child]) -> None:
        self.auditor, self.camera = auditor, PretendCamera(folder / "camera")
        self.camera.show("face")
        config = folder / "edgeface.toml"
        config.write_text(f'[node]\nid = "hall"\n[visits]\nreturn_within = 0.0\n[cameras.door]\n{CONFIG}')
        path = f"{self.camera.programs}:{os.environ['PATH']}"
        self.child = start("--config", config, environ={"PATH": path}, faster=FASTER, health_s=HEALTH_S)
        self.until("somebody", lambda: self.states("occupied")[-1:] == [True])

    def until(self, what: str, true: Callable[[], bool]) -> None:
        try:
            eventually(true, what, timeout_s=40.0)
        except AssertionError as error:
            told = f"{self.states('status')} {self.states('view')} {self.problems()}"
            raise AssertionError(f"{error}; {told}\n{self.child.log()}") from None

    def states(self, key: str) -> list[Any]:
        """What `state` said of one thing, each once."""
        return [value for value, _ in groupby(heard.json.get(key) for heard in self.auditor.of("state"))]

    def problems(self) -> list[str]:
        """What `health` calls wrong now."""
        return [one["text"] for one in self.auditor.of("health")[-1].json["problems"]]

    def events(self) -> list[str]:
        return [heard.json["event"] for heard in self.auditor.of("visits") if heard.json["event"] != "update"]


@pytest.fixture
def door(broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path, audit(broker), lambda *words, **options: run(broker.port, *words, **options))
    yield made
    assert made.child.ask(15) == 0, made.child.log()
    assert "Traceback" not in made.child.log()


@pytest.mark.parametrize(
    ("scene", "view", "problem"),
    [
        ("dark", "dark", None),
        ("empty", "covered", "camera door is covered"),
        ("turned", "moved", "camera door shows another scene: it was moved, or something large stands before it"),
    ],
)
def test_a_camera_that_shows_its_scene_no_more_is_told_and_when_it_does_again(
    door: Door, scene: str, view: str, problem: str | None
) -> None:
    door.until("its scene", lambda: door.states("view")[-1] == "clear")
    begun = len(door.auditor.of("health"))
    door.until("a scene of its own", lambda: len(door.auditor.of("health")) >= begun + SETTLED)
    door.camera.show(scene)
    door.until(view, lambda: door.states("view")[-1] == view)
    if problem is None:
        assert not door.problems(), "each night it is dark"
    else:
        door.until("the problem", lambda: door.problems() == [problem])
    door.camera.show("face")
    door.until("its scene", lambda: door.states("view")[-1] == "clear" and not door.problems())
    # What a camera that was moved shows becomes its scene by and by: that it is the old one again is no news.
    assert ("shows its scene again" in door.child.log()) == (view != "moved")


def test_a_camera_that_was_unplugged_is_away_and_goes_on_when_it_is_back(door: Door) -> None:
    door.camera.show("unplugged")
    door.until("its loss", lambda: door.states("status")[-1] == "away" and door.problems() == ["camera door is away"])
    assert door.states("occupied")[-1] is None
    assert door.states("view")[-1] is None
    door.until("the end", lambda: door.events() == ["start", "end"])
    door.camera.show("face")
    door.until("it", lambda: door.states("status")[-1] == "running" and door.states("occupied")[-1] is True)
    door.until("no problem", lambda: not door.problems())
    assert door.events() == ["start", "end", "start"]
    assert "camera door back after" in door.child.log()
