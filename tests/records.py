"""The record of what real clips give (``tests/golden``), and how far from it another run may be.

Decoders differ in the last bit of a picture, processors in the last digit of a number; when a visit starts and ends,
and what is said of somebody, does not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"
CLIPS = ("single_face.mp4", "noface_face.mov", "face_noface.mov", "no_face.mp4")
RECORDED_FROM = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
"""The wall time that the first picture of a clip has in the record."""
WITHIN_S = 0.15
"""A frame or four of the clips."""
WITHIN_YEARS = 2.0
WORDS = (("gender", "label"), ("expression", "dominant"))
"""What a visit ends with, and is one word."""
Events = Sequence[dict[str, Any]]


def golden(name: str) -> list[dict[str, Any]]:
    """Read the recorded starts and ends of visits in a clip."""
    events: list[dict[str, Any]] = json.loads((GOLDEN / f"{name}.json").read_text())
    return events


def boundaries(events: Events) -> list[dict[str, Any]]:
    """Starts and ends; when an update comes depends on the last digit of a probability."""
    return [event for event in events if event["event"] != "update"]


def seconds(text: str, start: datetime = RECORDED_FROM) -> float:
    """How long after ``start`` a message says that something was."""
    return (datetime.fromisoformat(text.replace("Z", "+00:00")) - start) / timedelta(seconds=1)


def differences(events: Events, expected: Events, start: datetime = RECORDED_FROM) -> list[str]:
    """What a run gave that the record does not have: a line for each; none where it is the same.

    Parameters
    ----------
    events : ``visits`` messages of the run, updates among them
    expected : of the record, without updates
    start : wall time that the run gave to the beginning of the clip
    """
    got = boundaries(events)
    kinds, wanted_kinds = ([event["event"] for event in some] for some in (got, expected))
    if kinds != wanted_kinds:
        return [f"{kinds or 'nothing'} instead of {wanted_kinds or 'nothing'}"]
    found = []
    for number, (one, wanted) in enumerate(zip(got, expected, strict=True)):
        where = f"{wanted['event']} {number}"
        if one["reason"] != wanted["reason"]:
            found.append(f"{where}: reason {one['reason']} instead of {wanted['reason']}")
        for name in ("started", "ended"):
            if (one[name] is None) != (wanted[name] is None):
                found.append(f"{where}: {name} {one[name]} instead of {wanted[name]}")
            elif wanted[name] is not None:
                found += _apart(f"{where}: {name}", seconds(one[name], start), seconds(wanted[name]), WITHIN_S, "s")
        if wanted["event"] == "end":
            found += _told(where, one, wanted)
    return found


def _told(where: str, one: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What is said of somebody otherwise than in the record."""
    found = []
    for name, word in WORDS:
        said, expected = (None if end[name] is None else end[name][word] for end in (one, wanted))
        if said != expected:
            found.append(f"{where}: {name} {said} instead of {expected}")
    if one["age"] is None or wanted["age"] is None:
        return found if one["age"] is wanted["age"] else [*found, f"{where}: age {one['age']} and not {wanted['age']}"]
    return found + _apart(f"{where}: age", one["age"]["years"], wanted["age"]["years"], WITHIN_YEARS, "years")


def _apart(what: str, one: float, wanted: float, within: float, unit: str) -> list[str]:
    return [] if abs(one - wanted) <= within else [f"{what} {one:.2f} instead of {wanted:.2f} {unit}"]
