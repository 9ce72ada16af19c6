"""What a reload leaves as it is: visits, their readers and networks, where the change does not touch them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from brokers import AnyBroker, Auditor, eventually
from daemons import Child, Manager
from pretend_camera import CONFIG, PretendCamera

from edgeface.config import Attention, Camera, Config, Limits, Line, Mqtt, ScheduleChoice, Visits
from edgeface.service.untouched import same_networks, same_reading, same_rules

HEAD = '[node]\nid = "hall"\n[visits]\nlost_after = 30.0\n'
"""A busy machine is no reason for a visit to end."""
DOOR = f"[cameras.door]\n{CONFIG}"
DESK = "[cameras.desk]\n" + CONFIG.replace('"picamera"', '"picamera:1"')
"""The other one on a ribbon cable: the stand-in shows both the same."""


class Node:
    """A daemon before a face, told to read its configuration again."""

    def __init__(
        self,
        folder: Path,
        auditor: Auditor,
        manager: Manager,
        start: Callable[..., Child],
        *,
        text: str = HEAD + DOOR,
    ) -> None:
        self.auditor = auditor
        self._manager = manager
        self._config = folder / "edgeface.toml"
        self.camera = PretendCamera(folder / "camera")
        self.camera.show("face")
        self.write(text)
        path = f"{self.camera.programs}:{os.environ['PATH']}"
        self.child = start(self._config, {"PATH": path, **manager.environ})
        self._ready = 1
        self.wait("somebody", lambda: bool(self.events("door")))

    def write(self, text: str) -> None:
        self._config.write_text(text)

    def reload(self, text: str) -> None:
        self.write(text)
        self.child.process.send_signal(signal.SIGHUP)
        self._ready += 1
        self.wait("the reload", lambda: self._manager.count("READY=1") == self._ready)

    def wait(self, what: str, true: Callable[[], bool]) -> None:
        eventually(true, f"{what}: {self.child.log()}")

    def visits(self, camera: str) -> list[dict[str, Any]]:
        return [heard.json for heard in self.auditor.of("visits") if heard.json["camera"] == camera]

    def events(self, camera: str) -> list[str]:
        return [visit["event"] for visit in self.visits(camera) if visit["event"] != "update"]

    def starts(self, camera: str) -> int:
        """How often the camera was opened."""
        return self.child.log().count(f"camera {camera}: ")


@pytest.fixture
def node(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], manager: Manager, tmp_path: Path
) -> Iterator[Node]:
    yield Node(
        tmp_path,
        audit(broker),
        manager,
        lambda config, environ: run(broker.port, "--config", config, environ=environ),
    )


def test_a_hundred_reloads_during_one_visit_are_one_visit(node: Node) -> None:
    for number in range(100):
        node.reload(f"{HEAD}{DOOR}[mqtt]\nqueue = {1000 + number}\n")
    assert node.child.ask(signal.SIGTERM) == 0, node.child.log()
    node.auditor.wait_for(lambda a: a.words()[-1] == "offline")
    assert node.events("door") == ["start", "end"]
    assert {visit["visit"] for visit in node.visits("door")} == {node.visits("door")[0]["visit"]}
    assert node.visits("door")[-1]["reason"] == "stopped"
    states = [heard.json for heard in node.auditor.of("state")]
    since = [state["status"] for state in states if state["occupied"] is not True]
    assert set(since[1:]) <= {"starting", "running", "stopped"}, "before the visit and after it"
    occupied = [state["occupied"] for state in states]
    assert occupied.count(None) == 2, "before the first frame, and after the stop"
    assert node.starts("door") == 1


def test_only_what_a_change_touches_ends(node: Node) -> None:
    (door,) = (visit["visit"] for visit in node.visits("door") if visit["event"] == "start")
    # Another camera comes.
    node.reload(HEAD + DOOR + DESK)
    node.wait("somebody at the desk", lambda: bool(node.events("desk")))
    (desk,) = (visit["visit"] for visit in node.visits("desk") if visit["event"] == "start")
    # Other rules, another detector: the same people.
    node.reload(f'{HEAD}update_interval = 1.0\n{DOOR}{DESK}[detector]\nnetwork = "retinaface"\nscore = 0.5\n')
    node.wait("something known", lambda: node.visits("door")[-1]["expression"] is not None)
    # One question less: what was known by it is no longer told.
    more = f"{HEAD}update_interval = 1.0\n"
    less = "[attributes]\nexpression = false\n"
    node.reload(more + DOOR + DESK + less)
    node.wait("less known", lambda: node.visits("door")[-1]["expression"] is None)
    assert node.events("door") == node.events("desk") == ["start"]
    # One is turned around, and is another camera to who looks.
    node.reload(f"{more}{DOOR}mirror = true\n{DESK}{less}")
    node.wait("another visit", lambda: node.events("door") == ["start", "end", "start"])
    end = next(visit for visit in node.visits("door") if visit["event"] == "end")
    assert (end["visit"], end["reason"]) == (door, "stopped")
    # One goes.
    node.reload(f"{more}{DOOR}mirror = true\n{less}")
    node.wait("the end at the desk", lambda: node.events("desk") == ["start", "end"])
    assert (node.visits("desk")[-1]["visit"], node.visits("desk")[-1]["reason"]) == (desk, "stopped")
    assert node.events("door") == ["start", "end", "start"]
    assert (node.starts("door"), node.starts("desk")) == (2, 1)
    assert node.child.ask(signal.SIGTERM) == 0, node.child.log()


def test_what_is_the_same() -> None:
    old = Config()
    other = msgspec.structs.replace
    elsewhere = other(old, mqtt=Mqtt(host="elsewhere"), cameras={**old.cameras, "desk": Camera(source=1)})
    assert same_networks(old, elsewhere)
    assert same_rules(old, elsewhere, "main")
    assert same_reading(old, elsewhere, "main")
    patient = other(old, visits=Visits(lost_after=9.0))
    assert same_networks(old, patient)
    assert not same_rules(old, patient, "main")
    assert same_reading(old, patient, "main")
    assert not same_rules(old, other(old, schedule={"age-v2": ScheduleChoice(interval=9.0)}), "main")
    placed = other(old, cameras={"main": Camera(lines=(Line(name="door", from_=(0.1, 0.5), to=(0.9, 0.5)),))})
    assert same_reading(old, placed, "main"), "a line lies in the picture, and changes nothing of it"
    assert not same_rules(old, placed, "main")
    assert not same_rules(old, other(old, attention=Attention(angle=15.0)), "main")
    assert not same_networks(old, other(old, attributes={"age": False}))
    assert not same_networks(old, other(old, detector=other(old.detector, size="640x384")))
    assert not same_reading(old, other(old, limits=Limits(megapixels=1.0)), "main")
    assert not same_reading(old, other(old, cameras={"main": Camera(mirror=True)}), "main")
