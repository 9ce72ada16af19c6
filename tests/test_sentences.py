"""Messages as sentences."""

from __future__ import annotations

from datetime import timezone
from typing import Any

import msgspec
import pytest
from people import AGE, HAPPY, NOON, WOMAN, at, visit

from edgeface.events import (
    Body,
    CameraHealth,
    MqttHealth,
    SummaryWindow,
    faces_body,
    health_body,
    notice_body,
    visit_body,
)
from edgeface.publish.sentences import sentence
from edgeface.questions import VisitAffect, VisitLabel
from edgeface.visit import VisitChange


def said(body: Body) -> str | None:
    payload = msgspec.json.encode(body.stamped(node="hall", boot="b", seq=0))
    return sentence(f"edgeface/hall/{body.suffix}", payload, zone=timezone.utc)


def change(event: Any, reason: Any = None, **values: Any) -> Body:
    told = VisitChange(event=event, visit=visit(seen_s=7.0, **values), time_s=7.0, reason=reason)
    return visit_body(told, at=at(7), started_at=at)


def summary(*, busy: bool) -> Body:
    window = SummaryWindow("main", start_s=0)
    if busy:
        seen = visit(age=AGE, expression=HAPPY)
        window.observe([VisitChange(event="start", visit=seen, time_s=0)], [seen])
    return window.body(7, at=at(7), started_at=at)


def health(**mqtt: Any) -> Body:
    state = MqttHealth(**{"state": "connected", "protocol": "5", "queued": 0, "parked": 0, "dropped": {}, **mqtt})
    cameras = {
        "main": CameraHealth(state="running", fps=14.6, dropped=0),
        "door": CameraHealth(state="away", fps=None, dropped=0),
    }
    return health_body(at=at(7), uptime_s=3720, cameras=cameras, stages_ms={}, mqtt=state, memory_mb=None)


ALL = {"age": AGE, "gender": WOMAN, "expression": HAPPY}


@pytest.mark.parametrize(
    ("body", "line"),
    [
        pytest.param(change("start"), "main: somebody arrived (visit 3f2a)", id="start"),
        pytest.param(
            change("start", age=AGE),
            "main: somebody arrived (visit 3f2a): about 31 years (24-39)",
            id="known at once",
        ),
        pytest.param(change("update"), "main: visit 3f2a after 7 s: nothing known yet", id="update"),
        pytest.param(
            change("end", "lost", ended_s=6.0, **ALL),
            "main: visit 3f2a left after 6 s: about 31 years (24-39), woman as the data labels it (97 %), mostly happy",
            id="end",
        ),
        pytest.param(
            change("end", "source_ended", ended_s=6.54),
            "main: visit 3f2a ended with the source after 6.5 s: nothing became known",
            id="end of a file",
        ),
        pytest.param(
            change("end", "stopped", ended_s=300.0),
            "main: visit 3f2a ended with the program after 5 min: nothing became known",
            id="end of the program",
        ),
        pytest.param(
            change("update", gender=VisitLabel(label="male", probability=0.9999, samples=9)),
            "main: visit 3f2a after 7 s: man as the data labels it (99 %)",
            id="nothing is certain",
        ),
        pytest.param(
            change("update", affect=VisitAffect(valence=0.42, arousal=-0.08, samples=5)),
            "main: visit 3f2a after 7 s: valence +0.4, arousal -0.1",
            id="affect",
        ),
        pytest.param(faces_body("main", 4, 3, [], at=at(7)), "main: nobody in view", id="nobody"),
        pytest.param(faces_body("main", 4, 3, [visit()], at=at(7)), "main: in view now: 1 person", id="one face"),
        pytest.param(faces_body("main", 4, 3, [visit()] * 2, at=at(7)), "main: in view now: 2 people", id="two"),
        pytest.param(summary(busy=False), "main: summary: 0 came, 0 left, 0 in view", id="quiet"),
        pytest.param(
            summary(busy=True),
            "main: summary: 1 came, 0 left, 1 in view; ages: 1 of 30-39; mostly happy",
            id="busy",
        ),
        pytest.param(
            health(),
            "hall: health: up 62 min; main running at 15 frames a second, door away; MQTT 5",
            id="health",
        ),
        pytest.param(
            health(dropped={"faces": 1}, parked=4, protocol="3.1.1"),
            "hall: health: up 62 min; main running at 15 frames a second, door away; MQTT 3.1.1, "
            "1 message dropped, 4 refused by the broker",
            id="trouble",
        ),
    ],
)
def test_one_line_per_message(body: Body, line: str) -> None:
    assert said(body) == f"12:00:07 {line}"


def test_the_notice_is_told_by_its_first_sentence() -> None:
    """All of it is over a thousand characters, at each start of each node."""
    line = said(notice_body(networks=[], at=NOON))
    assert line == (
        "12:00:00 hall: notice: A camera with edgeface counts the people before it. ... "
        "(`edgeface privacy` prints all of it)"
    )


@pytest.mark.parametrize(
    ("topic", "payload", "line"),
    [
        pytest.param("edgeface/hall/availability", b"online", "hall is online", id="availability"),
        pytest.param("edgeface/hall/main/visits", b"{", "edgeface/hall/main/visits: a message", id="not JSON"),
        pytest.param("edgeface/hall/main/visits", b"{}", "edgeface/hall/main/visits: a message", id="not ours"),
        pytest.param("edgeface/hall/main/visits", b"\xff", "edgeface/hall/main/visits: a message", id="not text"),
        pytest.param("a/b/visits", b'{"at":"\xff"}', "a/b/visits: a message", id="a string that is no text"),
        pytest.param("a/b/visits", b"[" * 100_000, "a/b/visits: a message", id="nested for ever"),
        pytest.param("visits", b"", "visits: a message that this version does not understand", id="empty"),
        pytest.param("edgeface/hall/command/pause", b"", None, id="another topic"),
    ],
)
def test_what_is_no_message(topic: str, payload: bytes, line: str | None) -> None:
    said = sentence(topic, payload)
    assert said == line if line is None else (said or "").startswith(line)
