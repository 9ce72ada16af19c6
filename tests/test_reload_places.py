"""A daemon told to read its configuration again while somebody is there: other lines, zones, waits and least counts.

Whoever keeps count of who is in a zone, by the messages on `places` alone, must never be left with somebody in a zone
that is no more.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from brokers import AnyBroker, Auditor
from daemons import Child, Manager
from test_reload_visits import DOOR, HEAD, Node

LINE = '[[cameras.door.lines]]\nname = "{}"\nfrom = [{x}, 1.0]\nto = [{x}, 0.0]\n'
ZONE = '[[cameras.door.zones]]\nname = "{}"\nshape = [{x}, 0.0, 1.0, 1.0]\n'
STEPS = range(0, 161, 32)
"""The face goes from 0.44 of the picture's width to 0.75, in pixels from where it is in the picture."""


class Placed(Node):
    """A daemon whose camera looks at a face that walks."""

    def walk(self, *, back: bool = False) -> None:
        """Go to the right, or back, and wait until it was followed there."""
        steps = list(STEPS)[:: -1 if back else 1]
        for pixels in steps:
            before = len(self.auditor.of("faces"))
            self.camera.show(f"face+{pixels}")
            self.wait(f"the face {pixels} further", lambda before=before: len(self.auditor.of("faces")) > before + 1)  # type: ignore[misc]

    def places(self) -> list[tuple[str, str]]:
        """What was told of lines and zones, in order."""
        return [(heard.json["event"], heard.json["place"]) for heard in self.auditor.of("places")]

    def inside(self) -> Counter[str]:
        """What a consumer makes of it: how many are in each zone."""
        count: Counter[str] = Counter()
        for event, place in self.places():
            count[place] += {"entered": 1, "left": -1, "crossed": 0}[event]
        return count

    def state(self) -> dict[str, Any]:
        """The latest `state`."""
        return self.auditor.of("state")[-1].json

    def today(self) -> list[int]:
        """The visits of the day, as they were told one after the other."""
        return [heard.json["today"]["visits"] for heard in self.auditor.of("state")]

    def announced(self, part: str) -> bytes:
        """What Home Assistant has of a device; empty: it was taken back."""
        (*_, last) = [heard.payload for heard in self.auditor.heard if f"_door_{part}/" in heard.topic]
        return last


@pytest.fixture
def place(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], manager: Manager, tmp_path: Path
) -> Callable[[str], Placed]:
    def make(text: str) -> Placed:
        return Placed(
            tmp_path,
            audit(broker),
            manager,
            lambda config, environ: run(broker.port, "--config", config, environ=environ),
            text=text,
        )

    return make


def test_lines_and_zones_are_renamed_moved_and_removed_under_somebody(place: Callable[[str], Placed]) -> None:
    head = f"{HEAD}faces_rate = 20.0\n{DOOR}"
    node = place(head + LINE.format("gate", x=0.6) + ZONE.format("bench", x=0.6))
    node.walk()
    node.wait("gate and bench", lambda: node.places() == [("entered", "bench"), ("crossed", "gate")])
    node.wait("the state", lambda: node.state().get("zones") == {"bench": 1})
    # Both get other names.
    node.reload(head + LINE.format("way", x=0.6) + ZONE.format("sofa", x=0.6))
    node.wait("the new name", lambda: node.places()[2:] == [("left", "bench"), ("entered", "sofa")])
    left = [heard.json for heard in node.auditor.of("places")][2]
    assert left["seconds"] > 0
    node.wait("the state", lambda: node.state().get("zones") == {"sofa": 1})
    node.wait("what is taken back", lambda: not node.announced("zone_bench") and not node.announced("line_gate"))
    assert node.announced("zone_sofa")
    assert node.announced("line_way")
    # The zone goes elsewhere, and so does the line, behind whoever stands there.
    node.reload(head + LINE.format("way", x=0.9) + ZONE.format("sofa", x=0.9))
    node.wait("the old place", lambda: node.places()[4:] == [("left", "sofa")])
    node.wait("the state", lambda: node.state().get("zones") == {"sofa": 0})
    node.walk(back=True)
    assert node.places()[5:] == []
    # And back: who stands on its left crosses it once.
    node.reload(head + LINE.format("way", x=0.6) + ZONE.format("sofa", x=0.6))
    node.walk()
    node.wait("both", lambda: node.places()[5:] == [("entered", "sofa"), ("crossed", "way")])
    # Both go.
    node.reload(head)
    node.wait("the end of it", lambda: node.places()[7:] == [("left", "sofa")])
    node.wait("the state", lambda: "zones" not in node.state() and "lines" not in node.state()["today"])
    node.wait("what is taken back", lambda: not node.announced("zone_sofa") and not node.announced("line_way"))
    assert set(node.inside().values()) == {0}
    assert node.child.ask(signal.SIGTERM) == 0, node.child.log()
    node.auditor.wait_for(lambda a: a.words()[-1] == "offline")
    assert node.events("door") == ["start", "end"], "none of it ended the visit"
    end = node.visits("door")[-1]
    assert "zones" not in end or not end["zones"]


def test_who_was_away_is_waited_for_as_the_latest_configuration_says(place: Callable[[str], Placed]) -> None:
    head = '[node]\nid = "hall"\n[visits]\nlost_after = 1.0\nreturn_within = {}\n'
    node = place(head.format(0.0) + DOOR)
    node.reload(head.format(60.0) + DOOR)
    node.camera.show("empty")
    node.wait("nobody", lambda: node.state()["occupied"] is False)
    node.camera.show("face")
    node.wait("somebody", lambda: node.state()["occupied"] is True)
    assert node.events("door") == ["start"], "it goes on"
    node.reload(head.format(0.0) + DOOR)
    node.camera.show("empty")
    node.wait("the end", lambda: node.events("door") == ["start", "end"])
    assert node.state()["today"]["visits"] == 1


def test_totals_of_the_day_never_fall_when_a_least_count_comes_changes_or_goes(place: Callable[[str], Placed]) -> None:
    node = place(HEAD + DOOR)
    node.wait("the start", lambda: node.today()[-1] == 1)
    secret = "[privacy]\nleast_count = {}\nperiod = 600.0\n"
    for text in (secret.format(3), secret.format(5), "", secret.format(2)):
        node.reload(HEAD + DOOR + text)
        hidden = bool(text)
        node.wait("the state", lambda hidden=hidden: (node.state()["occupied"] is None) == hidden)  # type: ignore[misc]
        node.wait("frames", lambda: node.state()["status"] == "running")
    assert node.child.ask(signal.SIGTERM) == 0, node.child.log()
    counted = node.today()
    assert counted == sorted(counted), counted
