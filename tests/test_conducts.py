"""What people did, as it is told: messages, totals of the day, states, summaries, Home Assistant; from a film too."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from astronaut import astronaut
from bundles import networks
from people import NOON, at, told, visit
from test_aggregate import SECRET, Node
from test_discovery import announced, render
from test_events import sent

from edgeface.config import Config, Privacy, load_config
from edgeface.engine.turn import Worker
from edgeface.events import (
    AggregateWindow,
    AttentionTotals,
    Body,
    CameraState,
    Counted,
    PlaceMessage,
    StateMessage,
    SummaryMessage,
    SummaryWindow,
    Totals,
    VisitMessage,
    ZoneTotals,
    faces_body,
    place_body,
    visit_body,
)
from edgeface.publish.discovery import Announcement, camera_of, node_topic
from edgeface.publish.entities import device_id, place_id
from edgeface.publish.outbox import Outbox
from edgeface.publish.sentences import sentence
from edgeface.service.standing import Look, Standing
from edgeface.types import Frame
from edgeface.visit import Conduct, PlaceChange, PlaceEvent, VisitAttention, VisitChange, ZoneTime

COUNTED = Counted(lines={"door": ("in", "out")}, zones={"bench": (0.0, 0.0, 1.0, 1.0)}, attention=True)
LINE = "homeassistant/device/edgeface_hall_camera_door_line_entry__1/config"
ZONE = "homeassistant/device/edgeface_hall_camera_door_zone_bench/config"
RUNNING = Look(status="running", frames=1)


def conduct(*, ins: int = 0, outs: int = 0, seconds: float = 0.0, looking_s: float | None = None) -> Conduct:
    return Conduct(
        attention=None if looking_s is None else VisitAttention(looking_s=looking_s, glances=2, now=True),
        lines={"door": {"in": ins, "out": outs}},
        zones={"bench": ZoneTime(entries=int(seconds > 0), seconds=seconds, now=seconds > 0)},
    )


def change(event: Any, name: str = "a", time_s: float = 1.0, **doing: Any) -> VisitChange:
    ended = {"ended_s": time_s} if event == "end" else {}
    seen = visit(id=name, conduct=conduct(**doing), **ended)
    return VisitChange(event=event, visit=seen, time_s=time_s, reason="lost" if event == "end" else None)


def place(event: PlaceEvent, name: str = "a", time_s: float = 1.0, **values: Any) -> Body:
    what = {"place": "bench", **values} if event != "crossed" else {"place": "door", "direction": "in", **values}
    return place_body("main", PlaceChange(event=event, visit=name, time_s=time_s, **what), at=at(time_s))


def test_a_visit_tells_what_was_done() -> None:
    body = visit_body(change("update", ins=1, seconds=2.3456, looking_s=1.23456), at=NOON, started_at=at)
    message = sent(body)
    assert message["attention"] == {"looking": 1.235, "glances": 2, "now": True}
    assert (message["lines"], message["zones"]) == ({"door": {"in": 1, "out": 0}}, {"bench": 2.346})
    plain = sent(told("end"))
    assert plain["attention"] is None
    assert not {"lines", "zones"} & set(plain), "a camera without any is told of as before"
    face = sent(faces_body("main", 640, 360, [visit(conduct=conduct(looking_s=1.0))], at=NOON))["faces"][0]
    assert face["attention"]["glances"] == 2


def test_what_happens_at_a_place_is_a_message() -> None:
    crossed = sent(place("crossed"))
    assert (crossed["event"], crossed["place"], crossed["direction"], crossed["seconds"]) == (
        "crossed",
        "door",
        "in",
        None,
    )
    body = place("left", seconds=4.5)
    assert (body.suffix, body.qos, body.retain) == ("main/places", 1, False)
    payload = json.dumps(sent(body)).encode()
    assert sentence("edgeface/hall/main/places", payload) == f"{_clock()} main: visit a left bench after 4.5 s"


def _clock() -> str:
    return at(1.0).astimezone().strftime("%H:%M:%S")


def test_totals_of_the_day_by_line_direction_and_zone() -> None:
    totals = Totals(counted=COUNTED)
    for body in (place("crossed"), place("crossed", direction="out"), place("entered"), place("left", seconds=2.5)):
        totals.add_place(cast(PlaceMessage, body.message))
    end = visit_body(change("end", looking_s=3.0), at=at(1.0), started_at=at)
    totals.add(cast(VisitMessage, end.message))
    day = totals.on(NOON)
    assert day.lines == {"door": {"in": 1, "out": 1}}
    assert day.zones == {"bench": ZoneTotals(entries=1, seconds=2.5)}
    assert day.attention == AttentionTotals(looking=3.0, glances=2)
    # A line that is gone is told no more, one that is new begins at nothing; both are kept for their day.
    totals.counted = Counted(lines={"gate": ("in", "out")})
    assert totals.on(NOON).lines == {"gate": {"in": 0, "out": 0}}
    totals.counted = COUNTED
    assert totals.on(NOON).lines == {"door": {"in": 1, "out": 1}}
    assert totals.on(at(86_400)).lines == {"door": {"in": 0, "out": 0}}


def test_totals_survive_a_restart(tmp_path: Path) -> None:
    for expected in (1, 2):
        standing = Standing(tmp_path, now=lambda: NOON, clock=lambda: 0.0)
        standing.begin("hall", {"main": COUNTED}, live=["main"])
        standing.through([place("crossed")])
        standing.stopped({"main": RUNNING})
        again = Standing(tmp_path, now=lambda: NOON, clock=lambda: 0.0)
        again.begin("hall", {"main": COUNTED}, live=["main"])
        (body,) = again.news({"main": RUNNING})
        assert cast(StateMessage, body.message).today.lines == {"door": {"in": expected, "out": 0}}


def test_a_state_has_zones_and_who_faces_the_camera() -> None:
    camera = CameraState("main")
    camera.count(COUNTED)
    camera.look("running", 1)
    totals = Totals(counted=COUNTED)

    def now() -> StateMessage:
        body = camera.news(at=NOON, now_s=0.0, today=totals.on(NOON))
        assert body is not None
        sent(body)
        return cast(StateMessage, body.message)

    assert (now().zones, now_looking(camera, totals)) == ({"bench": 0}, 0)
    for name in ("a", "b"):
        camera.visit(
            cast(VisitMessage, visit_body(change("start", name, looking_s=1.0), at=NOON, started_at=at).message)
        )
        camera.place(cast(PlaceMessage, place("entered", name).message))
    there = now()
    assert (there.zones, there.looking) == ({"bench": 2}, 2)
    camera.place(cast(PlaceMessage, place("left", "a", seconds=1.0).message))
    camera.visit(cast(VisitMessage, told("end", "b").message))
    assert now().zones == {"bench": 0}
    camera.look("paused", 2, paused="command")
    paused = now()
    assert (paused.zones, paused.looking) == (None, None), "nobody is looking"
    camera.count(Counted())
    plain = json.loads(json.dumps(sent(cast(Body, camera.news(at=NOON, now_s=9.0, today=Totals().on(NOON))))))
    assert not {"zones", "looking"} & set(plain)


def now_looking(camera: CameraState, totals: Totals) -> int | None:
    return cast(int, camera._message(NOON, totals.on(NOON)).looking)


def test_a_zone_that_was_moved_is_empty_until_somebody_enters_it() -> None:
    camera = CameraState("main")
    camera.count(COUNTED)
    camera.look("running", 1)
    camera.place(cast(PlaceMessage, place("entered").message))
    camera.count(Counted(zones={"bench": (0.5, 0.5, 1.0, 1.0)}))
    assert camera._message(NOON, Totals().on(NOON)).zones == {"bench": 0}


def test_a_summary_counts_what_its_window_added() -> None:
    window = SummaryWindow("main", start_s=0.0)
    window.count(COUNTED)
    start = change("start", ins=1, seconds=10.0, looking_s=5.0)
    window.observe([start], [start.visit])
    first = closed(window, 60.0)
    assert first.lines == {"door": {"in": 1, "out": 0}}
    assert first.zones == {"bench": ZoneTotals(entries=1, seconds=10.0)}
    assert first.attention == AttentionTotals(looking=5.0, glances=2)
    window.observe([change("end", ins=1, outs=1, seconds=30.0, looking_s=6.0)], [])
    second = closed(window, 120.0)
    assert second.lines == {"door": {"in": 0, "out": 1}}
    assert second.zones == {"bench": ZoneTotals(entries=0, seconds=20.0)}
    assert second.attention == AttentionTotals(looking=1.0, glances=0)
    assert closed(window, 180.0).lines == {"door": {"in": 0, "out": 0}}


def test_a_summary_forgets_what_was_done_at_places_that_are_others_now() -> None:
    window = SummaryWindow("main", start_s=0.0)
    window.count(COUNTED)
    start = change("start", ins=1, seconds=10.0)
    window.observe([start], [start.visit])
    closed(window, 60.0)
    window.count(COUNTED, forget=["bench"])
    # As often as before, in another place of that name, and once more through the line.
    again = change("update", ins=2, seconds=10.0)
    window.observe([again], [again.visit])
    second = closed(window, 120.0)
    assert second.zones == {"bench": ZoneTotals(entries=1, seconds=10.0)}
    assert second.lines == {"door": {"in": 1, "out": 0}}


def closed(window: SummaryWindow | AggregateWindow, time_s: float) -> SummaryMessage:
    body = window.body(time_s, at=at(time_s), started_at=at)
    assert body is not None
    sent(body)
    return cast(SummaryMessage, body.message)


def test_a_crowd_tells_of_a_thing_when_enough_did_it() -> None:
    window = AggregateWindow("main", start_s=0.0, length_s=60.0, least=3)
    window.count(COUNTED)
    window.observe([change("end", str(n), ins=int(n < 2), looking_s=1.0) for n in range(4)], [])
    first = closed(window, 60.0)
    assert first.lines == {"door": {"in": None, "out": 0}}, "two crossed, and three are the least"
    assert first.attention == AttentionTotals(looking=4.0, glances=8)
    assert first.zones == {"bench": ZoneTotals(entries=0, seconds=0.0)}
    window.observe([change("end", str(n), ins=1, seconds=2.0 if n == 9 else 0.0) for n in range(9, 12)], [])
    second = closed(window, 120.0)
    assert second.lines == {"door": {"in": 5, "out": 0}}
    assert second.zones == {"bench": None}
    assert second.attention == AttentionTotals(looking=0.0, glances=0)


def test_with_least_count_nothing_at_a_place_is_told_and_totals_move_with_the_summary(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.standing.begin("hall", {"main": COUNTED}, live=["main"], privacy=SECRET)
    node.pass_on(place("entered"), place("crossed"), place("left", seconds=1.0))
    for name in "abc":
        node.pass_on(visit_body(change("end", name, ins=1, looking_s=1.0), at=at(1.0), started_at=at))
    assert node.out == []
    state = node.state()
    assert state is not None
    assert (state.zones, state.looking, state.today.lines) == (None, None, {"door": {"in": 0, "out": 0}})
    window = AggregateWindow("main", start_s=0.0, length_s=60.0, least=3)
    window.count(COUNTED)
    window.observe([change("end", name, ins=1, looking_s=1.0) for name in "abc"], [])
    body = window.body(60.0, at=at(60.0), started_at=at)
    assert body is not None
    node.pass_on(body)
    state = node.state()
    assert state is not None
    assert state.today.lines == {"door": {"in": 3, "out": 0}}
    assert state.today.attention == AttentionTotals(looking=3.0, glances=6)


def test_places_wait_in_order_go_first_and_say_that_they_waited() -> None:
    outbox = Outbox(node="hall", boot="b007", capacity=3)
    for body in (told("start"), place("crossed"), place("entered"), told("update"), told("end")):
        outbox.accept(body)
    assert outbox.counters().dropped["places"] == 2
    outbox.accept(place("left", seconds=1.0))
    assert outbox.counters().dropped["places"] == 3
    assert outbox.undelivered().visits == 3
    calm = Outbox(node="hall", boot="b007", capacity=9)
    calm.accept(place("crossed"))
    left = calm.undelivered()
    assert (left.messages, left.visits) == (1, 0)
    calm.connected()
    entry = calm.take()
    assert entry is not None
    assert json.loads(entry.payload)["replayed"] is True
    calm.done(entry)


def placed(**options: Any) -> Announcement:
    counted = Counted(lines={"entry_1": ("in", "out")}, zones={"bench": (0.0, 0.0, 1.0, 1.0)}, attention=True)
    return announced("door", counted={"door": counted}, **options)


def test_home_assistant_has_a_device_for_each_line_and_zone() -> None:
    message = json.loads(placed().messages[LINE])
    assert message["device"]["via_device"] == "edgeface_hall_camera_door"
    assert message["device"]["name"] == "Edgeface hall door entry_1"
    assert {key: one["name"] for key, one in message["components"].items()} == {
        "right": "in today",
        "left": "out today",
        "crossing": "Crossing",
    }
    state = {"today": {"lines": {"entry_1": {"in": 4, "out": 3}}, "zones": {"bench": {"entries": 2, "seconds": 61.5}}}}
    assert [render(message["components"][key]["value_template"], state) for key in ("right", "left")] == ["4", "3"]
    assert render(message["components"]["right"]["value_template"], {"today": {}}) == "None", "an older state"
    event = message["components"]["crossing"]
    heard = {"event": "crossed", "place": "entry_1", "direction": "in", "visit": "3f2a", "replayed": False}
    assert json.loads(render(event["value_template"], heard)) == {"event_type": "in", "visit": "3f2a"}
    assert render(event["value_template"], {**heard, "place": "other"}) == "{}"
    assert render(event["value_template"], {**heard, "replayed": True}) == "{}"
    zone = json.loads(placed().messages[ZONE])["components"]
    full = {**state, "zones": {"bench": 2}}
    assert [render(zone[key]["value_template"], full) for key in ("occupancy", "count", "entries", "dwell")] == [
        "ON",
        "2",
        "2",
        "61.5",
    ]
    assert render(zone["occupancy"]["value_template"], {**state, "zones": {"bench": 0}}) == "OFF"
    assert render(zone["occupancy"]["value_template"], {**state, "zones": None}) == "None"


def test_the_same_name_before_two_cameras_is_two_devices() -> None:
    counted = Counted(lines={"a": ("in", "out")}, zones={"b": (0.0, 0.0, 1.0, 1.0)})
    told = announced("door", "desk", counted={"door": counted, "desk": counted})
    parts = [part for payload in told.messages.values() for part in json.loads(payload)["components"].values()]
    ids = [part["unique_id"] for part in parts if "unique_id" in part]
    assert len(ids) == len(set(ids))
    assert sum("_line_a_" in one for one in ids) == 2 * 3


def test_with_totals_only_home_assistant_has_no_single_people() -> None:
    told = placed(people=False)
    line, zone = (json.loads(told.messages[topic])["components"] for topic in (LINE, ZONE))
    assert line["crossing"] == {"platform": "event"}
    assert [key for key, one in zone.items() if len(one) > 1] == ["entries", "dwell"]


def test_a_topic_of_a_line_belongs_to_its_camera() -> None:
    for camera in ("door", "a_line", "a_", "_line_x"):
        for place in ("x", "_", "zone_y", "a_line_b"):
            topic = f"homeassistant/device/{place_id('hall', camera, 'line', place)}/config"
            assert camera_of("homeassistant", f"{device_id('hall')}_camera_", topic) == camera
            assert node_topic("homeassistant", "hall", topic)
            assert not node_topic("homeassistant", "hall_2", topic)


def drifting(**values: Any) -> list[Body]:
    """Messages of a real face that drifts to the right of a picture of 512x512, 12 pixels a frame at 10 a second."""
    config = load_config(overrides={f"{key}": value for key, value in values.items()})
    numbers = count(1)
    worker = Worker(
        networks("onnx", still=False), config, ["main"], new_id=lambda: f"v{next(numbers)}", clock=lambda: 0.0
    )
    bodies: list[Body] = []
    for index in range(18):
        image = np.ascontiguousarray(np.roll(astronaut(), 12 * index, axis=1))
        frame = Frame(image=image, camera="main", index=index, time_s=index / 10, captured_at=at(index / 10))
        bodies += worker.turn([frame])
    return bodies + list(worker.close("main", "source_ended").bodies)


def test_the_whole_way_of_a_real_face() -> None:
    line = {"name": "door", "from": [0.62, 1.0], "to": [0.62, 0.0]}
    zone = {"name": "bench", "shape": [0.6, 0.0, 1.0, 1.0]}
    bodies = drifting(**{"cameras.main.lines": [line], "cameras.main.zones": [zone]})
    told = [cast(Any, body.message) for body in bodies if body.kind in ("visits", "places")]
    words = [(one.event, getattr(one, "place", None), getattr(one, "direction", None)) for one in told]
    words = [word for word in words if word[0] != "update"]
    assert words == [
        ("start", None, None),
        ("entered", "bench", None),
        ("crossed", "door", "in"),
        ("left", "bench", None),
        ("end", None, None),
    ]
    end = told[-1]
    assert end.lines == {"door": {"in": 1, "out": 0}}
    assert end.zones["bench"] == told[-2].seconds > 0.3
    assert end.attention.glances == 1
    assert 0.5 < end.attention.looking <= end.seconds
    assert end.attention.now is False
    last = [body.message for body in bodies if isinstance(body.message, SummaryMessage)][-1]
    assert last.lines == {"door": {"in": 1, "out": 0}}


@pytest.mark.parametrize("values", [{"attention.enabled": False}, {"privacy.purpose": "workplace"}])
def test_attention_is_not_measured_where_it_is_off(values: dict[str, Any]) -> None:
    told = [body.message for body in drifting(**values)]
    assert all(one.attention is None for one in told if isinstance(one, VisitMessage))
    assert all(
        face.attention is None
        for one in told
        if not isinstance(one, VisitMessage)
        for face in getattr(one, "faces", ())
    )


def test_counted_is_what_the_configuration_asks_for() -> None:
    assert Counted.of(Config(), "main") == Counted(attention=True)
    assert not Counted.of(Config(privacy=Privacy(purpose="education")), "main").attention
