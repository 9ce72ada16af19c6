"""What `[privacy]` means: which purpose forbids what, and at which hours nobody is looked at. Pure.

The European AI Act, Regulation (EU) 2024/1689, forbids in article 5(1)(f) to infer emotions of people at their
workplace and in education. Valence and arousal are such an inference as much as a label is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, time
from typing import Literal

from edgeface.questions import QUESTIONS
from edgeface.types import Task

Purpose = Literal["home", "retail", "museum", "public", "research", "workplace", "education", "other"]
EMOTIONS: Collection[Task] = frozenset(task for task, question in QUESTIONS.items() if question.emotion)
REFUSED: Mapping[str, Collection[Task]] = {"workplace": EMOTIONS, "education": EMOTIONS}
"""Questions that nobody is asked, by purpose."""
WATCHED: Collection[Purpose] = ("workplace", "education")
"""Where nobody's attention is measured. Where a head points is no emotion, and no article forbids to count it; but what
it would be taken for there is how well somebody works or listens, which the Act's annex III calls high-risk (3, 4)."""
HOURS = r"\A([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)\Z"


def refused(purpose: Purpose | None) -> Collection[Task]:
    """Return the questions that a purpose forbids."""
    return REFUSED.get(purpose or "", ())


def measures_attention(enabled: bool | None, purpose: Purpose | None) -> bool:
    """Whether it is measured how long heads point towards the camera."""
    return enabled is not False and purpose not in WATCHED


def is_open(hours: Sequence[str], local: datetime) -> bool:
    """Whether people may be looked at; ``local`` is this place's own time, as its clocks show it.

    Only the hands of the clock count: the hour that comes twice in autumn is open twice, one that spring leaves out is
    missed. From a later to an earlier time is over midnight.
    """
    return not hours or any(_holds(*_ends(text), local.time()) for text in hours)


def expect_span(text: str) -> str | None:
    """What is wrong with a span of hours that has the right form; None: nothing."""
    begin, end = text.split("-")
    return "begins and ends at the same time" if begin == end else None


def _holds(begin: time, end: time | None, now: time) -> bool:
    if end is None:
        return now >= begin
    return begin <= now < end if begin < end else now >= begin or now < end


def _ends(text: str) -> tuple[time, time | None]:
    """Begin and end of a span; None is midnight, when the day ends."""
    begin, end = text.split("-")
    return time.fromisoformat(begin), None if end in ("24:00", "00:00") else time.fromisoformat(end)
