"""Messages: what is said of a visit, in which words and numbers, and schemas that hold every message."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from people import AGE, HAPPY, NOON, WOMAN, at, told, visit

from edgeface.events import (
    KINDS,
    Body,
    CameraHealth,
    FacesPace,
    MqttHealth,
    NoticeNetwork,
    SummaryWindow,
    command_schemas,
    decode,
    faces_body,
    health_body,
    iso,
    kind_of_topic,
    notice_body,
    schemas,
    visit_body,
)
from edgeface.questions import VisitAge, VisitExpression
from edgeface.types import Quality
from edgeface.visit import VisitChange

SCHEMA_FOLDER = Path(__file__).parents[1] / "docs" / "schemas"


def sent(body: Body) -> dict[str, Any]:
    """The message as JSON, after it has been held against its schema and read back strictly."""
    payload = msgspec.json.encode(body.stamped(node="hall", boot="b007", seq=7))
    value = json.loads(payload)
    jsonschema.Draft202012Validator(schemas()[body.kind]).validate(value)
    assert msgspec.json.encode(decode(body.kind, payload)) == payload
    assert isinstance(value, dict)
    return value


def change(event: Any, **values: Any) -> VisitChange:
    ended = values.get("ended_s")
    return VisitChange(
        event=event, visit=visit(**values), time_s=ended or 2.0, reason="lost" if event == "end" else None
    )


def health(**values: Any) -> Body:
    mqtt = MqttHealth(state="connected", protocol="5", queued=0, parked=0, dropped={"faces": 3})
    return health_body(
        **{
            "at": NOON,
            "uptime_s": 61.26,
            "cameras": {"main": CameraHealth(state="running", fps=14.9, dropped=2)},
            "stages_ms": {"detect": 5.12345},
            "mqtt": mqtt,
            "memory_mb": 155.55,
            **values,
        }
    )


def test_the_start_of_a_visit_of_whom_nothing_is_known() -> None:
    body = visit_body(change("start", seen_s=2.0), at=NOON, started_at=at)
    assert (body.suffix, body.qos, body.retain, body.event) == ("main/visits", 1, False, "start")
    assert sent(body) == {
        "v": 1,
        "at": "2026-03-14T12:00:00.000Z",
        "node": "hall",
        "boot": "b007",
        "seq": 7,
        "camera": "main",
        "visit": "3f2a",
        "event": "start",
        "started": "2026-03-14T12:00:00.000Z",
        "ended": None,
        "seconds": 2.0,
        "reason": None,
        "age": None,
        "gender": None,
        "expression": None,
        "affect": None,
        "number": None,
        "replayed": False,
        "attention": None,
    }


def test_the_end_of_a_visit_of_whom_much_is_known() -> None:
    ended = change("end", started_s=0.5, ended_s=6.75, age=AGE, gender=WOMAN, expression=HAPPY)
    value = sent(visit_body(ended, at=at(8.75), started_at=at))
    assert (value["at"], value["started"], value["ended"]) == (
        "2026-03-14T12:00:08.750Z",
        "2026-03-14T12:00:00.500Z",
        "2026-03-14T12:00:06.750Z",
    )
    assert (value["seconds"], value["reason"]) == (6.25, "lost")
    assert value["age"] == {"years": 31.0, "low": 24.0, "high": 39.3, "spread": 2.35, "samples": 9}
    assert value["gender"] == {"label": "female", "probability": 0.9734, "samples": 9}
    assert value["expression"] == {
        "dominant": "happy",
        "shares": {"happy": 0.75, "neutral": 0.25},
        "samples": 12,
    }


def test_an_update_of_who_was_not_seen_lately_tells_no_more_than_the_end_will() -> None:
    told = [visit_body(change("update", seen_s=1.5), at=at(2.0), started_at=at)]
    told.append(visit_body(change("end", seen_s=1.5, ended_s=1.5), at=at(7.5), started_at=at))
    assert [sent(body)["seconds"] for body in told] == [1.5, 1.5]


def test_who_is_in_view() -> None:
    body = faces_body("main", 640, 360, [visit(age=AGE), visit(id="77", score=np.float32(1.0000001))], at=NOON)
    assert (body.suffix, body.qos, body.retain) == ("main/faces", 0, False)
    value = sent(body)
    assert (value["width"], value["height"]) == (640, 360)
    first, second = value["faces"]
    assert (first["visit"], first["box"], first["age"]["years"]) == ("3f2a", [10.0, 20.0, 110.0, 140.0], 31.0)
    assert (second["visit"], second["score"], second["gender"]) == ("77", 1.0, None)
    assert sent(faces_body("main", 640, 360, [], at=NOON))["faces"] == []


def test_faces_say_how_well_they_are_seen() -> None:
    view = Quality(size_px=78.94, blur=0.207, yaw=0.5, light=0.999, cut_off=0.0, score=0.4)
    seen = visit()
    (face,) = sent(faces_body("main", 640, 360, [seen], at=NOON, views={seen.track: view}))["faces"]
    assert face["view"] == {"size_px": 78.9, "light": 1.0, "blur": 0.21}
    (face,) = sent(faces_body("main", 640, 360, [seen], at=NOON, views={seen.track + 1: view}))["faces"]
    assert face["view"] is None


def test_health() -> None:
    body = health()
    assert (body.suffix, body.qos, body.retain) == ("health", 0, True)
    value = sent(body)
    assert (value["uptime"], value["memory_mb"], value["stages"]) == (61.3, 155.6, {"detect": 5.123})
    main = value["cameras"]["main"]
    assert (main["state"], main["fps"], main["dropped"], main["ignored"], main["deferred"]) == (
        "running",
        14.9,
        2,
        0,
        0,
    )
    assert (main["brightness"], main["nearest_px"], value["machine"], value["last_error"]) == (None,) * 4
    assert value["mqtt"]["dropped"] == {"faces": 3}
    assert sent(health(memory_mb=None))["memory_mb"] is None


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        pytest.param([], "counts the people before it. ", id="nothing but counting"),
        pytest.param(["age"], "and estimates apparent age. ", id="one"),
        pytest.param(
            ["detect", "age", "gender", "expression"],
            "and estimates apparent age, gender as its training data labels it and facial expression. ",
            id="all",
        ),
    ],
)
def test_the_notice_names_what_is_really_measured(tasks: list[Any], words: str) -> None:
    networks = [NoticeNetwork(task=task, name="n", licence="CC0-1.0", limits="") for task in tasks]
    body = notice_body(networks=networks, at=NOON)
    assert (body.suffix, body.qos, body.retain) == ("notice", 1, True)
    value = sent(body)
    assert words in value["text"]
    assert "recognises nobody" in value["text"]
    assert [network["task"] for network in value["networks"]] == tasks


def mood(label: str, seconds: float) -> VisitExpression:
    return VisitExpression(dominant=label, shares={label: 0.75, "neutral": 0.25}, samples=3, seconds=seconds)


def test_a_quiet_minute_and_a_busy_one() -> None:
    window = SummaryWindow("main", start_s=0)
    quiet = window.body(0, at=NOON, started_at=at)
    assert (quiet.suffix, quiet.qos, quiet.retain) == ("main/summary", 1, True)
    value = sent(quiet)
    assert (value["from"], value["to"]) == ("2026-03-14T12:00:00.000Z",) * 2
    assert (value["in"], value["out"], value["in_view"], value["expressions"]) == (0, 0, 0, None)
    assert set(value["ages"].values()) == {0}

    window.observe([change("start", id="a")], [visit(id="a")])
    window.observe([], [visit(id="a", age=AGE, expression=mood("happy", 1.0))])
    sad = {"id": "b", "expression": mood("sad", 4.0)}
    window.observe([change("start", id="b")], [visit(id="a", age=AGE, expression=mood("happy", 2.0)), visit(**sad)])
    happy = visit(id="a", age=AGE, expression=mood("happy", 8.0))
    window.observe([change("end", **sad, ended_s=3.0)], [happy])
    assert not window.due(59.9)
    assert window.due(60.0)
    value = sent(window.body(60.0, at=at(60), started_at=at))
    assert (value["in"], value["out"], value["in_view"]) == (2, 1, 1)
    assert {band: count for band, count in value["ages"].items() if count} == {"30-39": 1, "unknown": 1}
    # Eight seconds of one, four of the other, each a quarter neutral.
    assert value["expressions"] == {"happy": 0.5, "neutral": 0.25, "sad": 0.25}

    window.observe([], [visit(id="a", age=AGE, expression=mood("happy", 10.0))])
    value = sent(window.body(61.0, at=at(61), started_at=at))
    assert (value["from"], value["in"], value["in_view"]) == ("2026-03-14T12:01:00.000Z", 0, 1)
    assert value["ages"]["30-39"] == 1, "who is still there is still counted"
    assert value["expressions"] == {"happy": 0.75, "neutral": 0.25}, "what the window before counted is not"


def test_expressions_that_begin_anew_take_nothing_from_those_of_others() -> None:
    window = SummaryWindow("main", start_s=0)
    window.observe([], [visit(id="a", expression=mood("happy", 40.0))])
    window.body(60.0, at=at(60), started_at=at)
    # Another network reads expressions from here on.
    window.observe([], [visit(id="a", expression=mood("happy", 4.0)), visit(id="b", expression=mood("sad", 4.0))])
    value = sent(window.body(120.0, at=at(120), started_at=at))
    assert value["expressions"] == {"happy": 0.375, "neutral": 0.25, "sad": 0.375}


@pytest.mark.parametrize(
    ("years", "band"),
    [(0.0, "0-9"), (9.94, "0-9"), (9.96, "10-19"), (10.0, "10-19"), (69.9, "60-69"), (70.0, "70+"), (101.0, "70+")],
)
def test_age_bands(years: float, band: str) -> None:
    window = SummaryWindow("main", start_s=0)
    window.observe([], [visit(age=VisitAge(years=years, low=0, high=120, spread=None, samples=1))])
    ages = sent(window.body(2.0, at=NOON, started_at=at))["ages"]
    assert {name for name, count in ages.items() if count} == {band}


@pytest.mark.parametrize("fps", [1, 2, 5, 30, 97])
@pytest.mark.parametrize("rate", [0.5, 2.0, 10.0])
def test_faces_are_told_at_most_at_the_rate(fps: int, rate: float) -> None:
    pace = FacesPace(rate)
    told_s = [n / fps for n in range(20 * fps) if pace.due(n / fps, 1)]
    assert len(told_s) <= 20 * rate + 1
    assert len(told_s) >= 20 * min(rate, fps) * 0.9
    for start_s in told_s:
        assert sum(start_s <= time_s < start_s + 1 for time_s in told_s) <= max(1, rate) + 1


@pytest.mark.parametrize(
    ("rate", "counts", "expected"),
    [
        pytest.param(0, [1, 1, 1], [], id="switched off"),
        pytest.param(2, [0, 0, 0], [], id="nobody is no news"),
        pytest.param(2, [1, 0, 0, 0], [0, 1], id="once when all have left"),
        pytest.param(2, [0, 1, 0, 2, 0, 0], [1, 2, 3, 4], id="comes and goes"),
    ],
)
def test_an_empty_view_is_told_once(rate: float, counts: list[int], expected: list[int]) -> None:
    pace = FacesPace(rate)
    assert [n for n, count in enumerate(counts) if pace.due(float(n), count)] == expected


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        pytest.param(NOON, "2026-03-14T12:00:00.000Z", id="utc"),
        pytest.param(
            datetime(2026, 3, 14, 13, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1))),
            "2026-03-14T12:00:00.999Z",
            id="another zone, milliseconds cut",
        ),
    ],
)
def test_times_are_utc_with_milliseconds(moment: datetime, text: str) -> None:
    assert iso(moment) == text


def test_a_time_without_a_zone_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        iso(NOON.replace(tzinfo=None))


@given(started_s=st.floats(0, 1e6), length_s=st.floats(0, 1e5), score=st.floats(-0.001, 1.001))
def test_whatever_the_numbers_the_schema_holds(started_s: float, length_s: float, score: float) -> None:
    given_visit = visit(started_s=started_s, ended_s=started_s + length_s, score=score, age=AGE)
    ended = VisitChange(event="end", visit=given_visit, time_s=started_s + length_s, reason="stopped")
    assert sent(visit_body(ended, at=NOON, started_at=at))["seconds"] >= 0
    sent(faces_body("main", 640, 360, [given_visit], at=NOON))


MESSAGES = [
    told("start"),
    faces_body("main", 1, 1, [visit()], at=NOON),
    health(),
    notice_body(networks=[], at=NOON),
]


@pytest.mark.parametrize("body", MESSAGES, ids=lambda body: body.kind)
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda value: value.pop("seq"), id="without seq"),
        pytest.param(lambda value: value.pop("v"), id="without v"),
        pytest.param(lambda value: value.update(v=2), id="another version"),
        pytest.param(lambda value: value.update(at="2026-03-14 12:00"), id="time in another form"),
        pytest.param(lambda value: value.update(seq=-1), id="negative seq"),
        pytest.param(lambda value: value.update(boot=None), id="no boot"),
    ],
)
def test_a_schema_refuses_what_is_wrong(body: Body, spoil: Callable[[dict[str, Any]], object]) -> None:
    value = sent(body)
    spoil(value)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schemas()[body.kind]).validate(value)


def test_a_reader_ignores_fields_to_come() -> None:
    value = {**sent(told("start")), "tomorrow": 1}
    assert decode("visits", json.dumps(value).encode()).seq == 7
    jsonschema.Draft202012Validator(schemas()["visits"]).validate(value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_committed_schema_is_the_codes(kind: Any) -> None:
    text = (SCHEMA_FOLDER / f"{kind}.json").read_text()
    assert json.loads(text) == schemas()[kind], "run scripts/schemas"
    jsonschema.Draft202012Validator.check_schema(schemas()[kind])


def test_no_schema_is_left_over() -> None:
    assert {path.stem for path in SCHEMA_FOLDER.glob("*.json")} == {*KINDS, *command_schemas()}


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        ("edgeface/hall/main/visits", "visits"),
        ("a/b/c/hall/health", "health"),
        ("edgeface/hall/availability", None),
    ],
)
def test_the_kind_stands_in_the_topic(topic: str, kind: str | None) -> None:
    assert kind_of_topic(topic) == kind


EXAMPLES = re.findall(
    r"<!-- example: (\w+).*? -->\nOn `(.+?)`:\n\n```json\n(.+?)\n```",
    (SCHEMA_FOLDER.parent / "mqtt.md").read_text(),
    re.DOTALL,
)


def test_the_documentation_has_an_example_of_every_kind() -> None:
    assert {kind for kind, _, _ in EXAMPLES} == set(KINDS)


@pytest.mark.parametrize(("kind", "topic", "text"), EXAMPLES)
def test_the_examples_of_the_documentation_are_true(kind: Any, topic: str, text: str) -> None:
    value = json.loads(text)
    jsonschema.Draft202012Validator(schemas()[kind]).validate(value)
    assert kind_of_topic(topic) == kind
    assert json.loads(msgspec.json.encode(decode(kind, text.encode()))) == value


def test_a_predicted_box_stays_inside_the_picture() -> None:
    there = visit(box=np.array([-12, 300, 90, 400], np.float32))
    (face,) = faces_body("main", 640, 360, [there], at=NOON).message.faces  # type: ignore[union-attr]
    assert face.box == (0.0, 300.0, 90.0, 360.0)
