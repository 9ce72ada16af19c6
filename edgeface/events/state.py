"""What is so now before one camera: made of the very messages on `visits` that tell of it, so that both agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from statistics import mean

from msgspec import UNSET

from edgeface.events.bodies import OCCUPIED_S, Body, iso
from edgeface.events.counts import Pause, StateMessage, Status, Today
from edgeface.events.people import PlaceMessage, VisitMessage
from edgeface.events.today import Counted
from edgeface.types import Scene

LEAST_S = 1.0
"""Between two messages of one camera."""
AGAIN_S = OCCUPIED_S / 3
"""A state with somebody there is said again: two may be lost before it is not believed any more."""

NOBODY: Mapping[str, datetime] = {}


class CameraState:
    """Decides what `state` says of one camera, and when.

    Nobody is there where nobody looks: with any status but `running`, and after a camera has fallen silent until its
    next frame, the state says that it does not know. ``now_s`` is monotonic, ``at`` aware.

    Parameters
    ----------
    bands : whether ages are told as bands
    details : whether anything is told of people; False: only of the camera, and of the day
    """

    def __init__(self, camera: str, *, bands: bool = False, details: bool = True) -> None:
        self._camera = camera
        self._tells_bands = bands and details
        self._details = details
        self._paused: Pause | None = None
        self._view: Scene | None = None
        self._visits: dict[str, VisitMessage] = {}
        self._counted = Counted()
        self._inside: dict[str, set[str]] = {}
        self._status: Status = "starting"
        self._frames = 0
        self._silent_since: int | None = None
        self._left: str | None = None
        self._absent: Mapping[str, datetime] = NOBODY
        self._since: tuple[bool | None, str] | None = None
        self._told: StateMessage | None = None
        self._told_s = 0.0

    def visit(self, message: VisitMessage) -> None:
        """Take in a message on `visits`."""
        if message.event != "end":
            self._visits[message.visit] = message
            return
        self._visits.pop(message.visit, None)
        for inside in self._inside.values():
            inside.discard(message.visit)
        self._left = message.ended
        if message.reason == "source_ended":
            self._silent_since = self._frames

    def place(self, message: PlaceMessage) -> None:
        """Take in a message on `places`."""
        inside = self._inside.setdefault(message.place, set())
        if message.event == "entered":
            inside.add(message.visit)
        elif message.event == "left":
            inside.discard(message.visit)

    def count(self, counted: Counted) -> None:
        """Tell of these zones from now on; of one that is another now nobody is known to be inside."""
        same = self._counted.zones.items() & counted.zones.items()
        self._counted = counted
        self._inside = {zone: self._inside[zone] for zone, _ in same if zone in self._inside}

    def look(
        self,
        status: Status,
        frames: int,
        *,
        paused: Pause | None = None,
        view: Scene | None = None,
        absent: Mapping[str, datetime] = NOBODY,
    ) -> None:
        """Take in how the camera fares.

        Parameters
        ----------
        frames : how many were analysed so far
        paused : why it is, if it is
        view : what a live one shows; None for a file: nobody can cover that
        absent : visits that wait for somebody to come back, and when each was seen last
        """
        self._paused, self._view = paused, view
        self._absent = absent
        self._frames = frames
        if self._silent_since is not None and frames != self._silent_since:
            self._silent_since = None
        if status == "running" and frames == 0:
            status = "starting"
        elif status == "running" and self._silent_since is not None:
            status = "away"
        self._status = status

    def due(self, now_s: float) -> bool:
        """Whether a message may be sent; what changes before waits, and only the newest is told."""
        return self._told is None or now_s - self._told_s >= LEAST_S

    def news(self, *, at: datetime, now_s: float, today: Today) -> Body | None:
        """Say what is so now, if it is new, or somebody is there and it must be said again; None if not."""
        message = self._message(at, today)
        same = self._told is not None and _gist(message) == _gist(self._told)
        if same and not (message.occupied and now_s - self._told_s >= AGAIN_S):
            return None
        self._told, self._told_s = message, now_s
        return Body(kind="state", camera=self._camera, message=message)

    def _message(self, at: datetime, today: Today) -> StateMessage:
        running = self._status == "running" and self._details
        there = [visit for name, visit in self._visits.items() if name not in self._absent] if running else []
        occupied = bool(there) if running else None
        return StateMessage(
            at=iso(at),
            node="",
            boot="",
            seq=0,
            camera=self._camera,
            status=self._status,
            occupied=occupied,
            count=len(there) if running else None,
            since=self._changed(occupied, there, at),
            expression=_dominant(there),
            age=_mean_age(there),
            today=today,
            expires=iso(at + timedelta(seconds=OCCUPIED_S)) if occupied else None,
            age_band=_band(there) if self._tells_bands else UNSET,
            view=UNSET if self._view is None else self._view if self._status == "running" else None,
            paused=self._paused if self._status == "paused" and self._paused else UNSET,
            looking=_looking(there, running) if self._counted.attention else UNSET,
            zones=self._zones(running) if self._counted.zones else UNSET,
        )

    def _zones(self, running: bool) -> dict[str, int] | None:
        return {zone: len(self._inside.get(zone, ())) for zone in self._counted.zones} if running else None

    def _changed(self, occupied: bool | None, there: list[VisitMessage], at: datetime) -> str:
        """Since when: the first detection of who has been there longest, the last one of who left last, or now."""
        if self._since is None or self._since[0] is not occupied:
            before = None if self._since is None else self._since[0]
            since = iso(at)
            if occupied:
                since = min(message.started for message in there)
            elif before and occupied is False:
                since = max((*map(iso, self._absent.values()), *([self._left] if self._left else [])), default=since)
            self._since = occupied, since
        return self._since[1]


def _gist(message: StateMessage) -> tuple[object, ...]:
    """What is told, without when."""
    return (
        *(message.status, message.view, message.paused, message.occupied, message.count),
        *(message.expression, message.age, message.age_band, message.today),
        *(message.looking, message.zones),
    )


def _dominant(there: Iterable[VisitMessage]) -> str | None:
    """Label that most of them show; of labels that as many show, the one with more of the visits' time."""
    known = [message.expression for message in there if message.expression is not None]
    votes = Counter(expression.dominant for expression in known)
    shares: defaultdict[str, float] = defaultdict(float)
    for expression in known:
        for label, share in expression.shares.items():
            shares[label] += share
    return max(votes, key=lambda label: (votes[label], shares[label], label), default=None)


def _looking(there: Iterable[VisitMessage], running: bool) -> int | None:
    """How many heads point towards the camera; None where nobody looks."""
    return sum(message.attention is not None and message.attention.now for message in there) if running else None


def _mean_age(there: Iterable[VisitMessage]) -> float | None:
    years = [message.age.years for message in there if message.age is not None]
    return round(mean(years), 1) if years else None


def _band(there: Iterable[VisitMessage]) -> str | None:
    """Band of age of most of them; of bands that as many are in, the first by name."""
    bands = Counter(message.age_band for message in there if isinstance(message.age_band, str))
    return min(bands, key=lambda band: (-bands[band], band), default=None)
