"""Invented visits for the tests of messages, outbox and publisher."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from edgeface.events import Body, StateMessage, Status, Today, iso, visit_body
from edgeface.questions import QUESTIONS, Known, VisitAge, VisitExpression, VisitLabel
from edgeface.types import Event
from edgeface.visit import Visit, VisitChange

NOON = datetime(2026, 3, 14, 12, 0, tzinfo=timezone.utc)
AGE = VisitAge(years=31.04, low=24.0, high=39.26, spread=2.345, samples=9)
WOMAN = VisitLabel(label="female", probability=0.97344, samples=9)
HAPPY = VisitExpression(dominant="happy", shares={"happy": 0.75, "neutral": 0.25}, samples=12, seconds=4.0)


def at(time_s: float) -> datetime:
    return NOON + timedelta(seconds=time_s)


def visit(**values: Any) -> Visit:
    """Somebody before camera `main`, of whom nothing is known but what is given by its question."""
    known = Known(**{task: values.pop(task) for task in QUESTIONS if task in values})
    given: dict[str, Any] = {
        "id": "3f2a",
        "camera": "main",
        "track": 1,
        "started_s": 0.0,
        "seen_s": 1.0,
        "ended_s": None,
        "box": np.array([10, 20, 110.04, 140], np.float32),
        "score": 0.91,
        "known": known,
        **values,
    }
    return Visit(**given)


def told(event: Event, name: str = "3f2a", *, camera: str = "main", time_s: float = 2.0) -> Body:
    """The message of one change of a visit."""
    ended = {"ended_s": time_s} if event == "end" else {}
    change = VisitChange(
        event=event,
        visit=visit(id=name, camera=camera, seen_s=time_s, **ended),
        time_s=time_s,
        reason="lost" if event == "end" else None,
    )
    return visit_body(change, at=at(time_s), started_at=at)


def state(status: Status, *, somebody: bool = False) -> Body:
    """What `state` says of camera ``main``."""
    looked = status == "running"
    message = StateMessage(
        v=1,
        at=iso(NOON),
        node="",
        boot="",
        seq=0,
        camera="main",
        status=status,
        occupied=somebody if looked else None,
        count=int(somebody) if looked else None,
        since=iso(NOON),
        expression=None,
        age=None,
        today=Today(date=f"{NOON:%Y-%m-%d}", visits=0, seconds=0.0),
    )
    return Body(kind="state", camera="main", message=message)
