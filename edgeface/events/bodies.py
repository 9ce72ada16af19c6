"""From visits to messages: pure builders of what is sent, without the part of the envelope that counts.

A `Body` knows how its message travels (topic, quality of service, retained) and carries it complete but for
node, boot and sequence number, which the outbox stamps when it accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import msgspec
from msgspec import UNSET

from edgeface.events.counts import StateMessage
from edgeface.events.messages import (
    CameraHealth,
    CommandsHealth,
    ConfigurationHealth,
    HealthMessage,
    Kind,
    Message,
    MqttHealth,
    NoticeMessage,
    NoticeNetwork,
    NoticePart,
    SpoolHealth,
)
from edgeface.events.operation import BundleHealth, HoldHealth, InferenceHealth, LastError, MachineHealth, Problem
from edgeface.events.people import Attention, Face, FacesMessage, PlaceMessage, View, VisitMessage
from edgeface.questions import QUESTIONS, parts_in_bands, rounded_share
from edgeface.types import Event, Quality
from edgeface.visit import PlaceChange, Visit, VisitAttention, VisitChange

QOS: Mapping[Kind, int] = {"visits": 1, "places": 1, "faces": 0, "state": 1, "summary": 1, "health": 0, "notice": 1}
RETAINED: frozenset[Kind] = frozenset({"state", "summary", "health", "notice"})
OCCUPIED_S = 60
"""So long a state with somebody there holds; it is said again before. A broker of MQTT 5 then forgets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One message before it is stamped.

    Attributes
    ----------
    kind : which of the message types
    camera : id of the camera, or None for a message about the node
    message : complete but for ``node``, ``boot`` (empty) and ``seq`` (0)
    """

    kind: Kind
    camera: str | None
    message: Message

    @property
    def suffix(self) -> str:
        """Topic below ``<prefix>/<node>/``."""
        return self.kind if self.camera is None else f"{self.camera}/{self.kind}"

    @property
    def qos(self) -> int:
        """MQTT quality of service: 0 or 1."""
        return QOS[self.kind]

    @property
    def retain(self) -> bool:
        """Whether the broker keeps the newest for those who come later."""
        return self.kind in RETAINED

    @property
    def expires_s(self) -> int | None:
        """Seconds after which the broker is to forget it; None: never."""
        return OCCUPIED_S if isinstance(self.message, StateMessage) and self.message.occupied else None

    @property
    def event(self) -> Event | None:
        """Of a visit: start, update or end; None for the other kinds."""
        return self.message.event if isinstance(self.message, VisitMessage) else None

    @property
    def visit(self) -> str | None:
        """Id of the visit that a message on ``visits`` tells of."""
        return self.message.visit if isinstance(self.message, VisitMessage) else None

    def stamped(self, *, node: str, boot: str, seq: int, number: int | None = None) -> Message:
        """Return the message with its envelope complete; ``number`` is for the start or end of a visit."""
        if number is not None:
            return msgspec.structs.replace(self.message, node=node, boot=boot, seq=seq, number=number)
        return msgspec.structs.replace(self.message, node=node, boot=boot, seq=seq)


def visit_body(
    change: VisitChange, *, at: datetime, started_at: Callable[[float], datetime], bands: Sequence[int] = ()
) -> Body:
    """Build the message of one change of a visit.

    Parameters
    ----------
    at : wall time of the change, aware
    started_at : wall time of a source time in seconds
    bands : ages at which bands begin; not empty: only the band is told
    """
    visit = change.visit
    # Up to the last sighting in an update, too: else the length would fall when the end tells it.
    until_s = visit.seen_s if visit.ended_s is None else visit.ended_s
    message = VisitMessage(
        at=iso(at),
        node="",
        boot="",
        seq=0,
        camera=visit.camera,
        visit=visit.id,
        event=change.event,
        started=iso(started_at(visit.started_s)),
        ended=None if visit.ended_s is None else iso(started_at(visit.ended_s)),
        seconds=round(max(0.0, until_s - visit.started_s), 3),
        reason=change.reason,
        attention=_attention(visit.conduct.attention),
        lines={line: dict(counts) for line, counts in visit.conduct.lines.items()} or UNSET,
        zones={zone: round(time.seconds, 3) for zone, time in visit.conduct.zones.items()} or UNSET,
        **parts_in_bands(visit.known, bands),
    )
    return Body(kind="visits", camera=visit.camera, message=message)


def place_body(camera: str, change: PlaceChange, *, at: datetime) -> Body:
    """Build the message of what somebody did at a line or a zone, at the wall time ``at``, which is aware."""
    message = PlaceMessage(
        at=iso(at),
        node="",
        boot="",
        seq=0,
        camera=camera,
        visit=change.visit,
        event=change.event,
        place=change.place,
        direction=change.direction,
        seconds=None if change.seconds is None else round(change.seconds, 3),
    )
    return Body(kind="places", camera=camera, message=message)


def faces_body(
    camera: str,
    width: int,
    height: int,
    visits: Sequence[Visit],
    *,
    at: datetime,
    views: Mapping[int, Quality] = {},
    bands: Sequence[int] = (),
) -> Body:
    """Build the message of who is in view now.

    Parameters
    ----------
    width, height : of the frame, pixels
    views : by track, how well a face can be seen
    bands : as `visit_body`
    """
    message = FacesMessage(
        at=iso(at),
        node="",
        boot="",
        seq=0,
        camera=camera,
        width=width,
        height=height,
        faces=tuple(_face(visit, width, height, views.get(visit.track), bands) for visit in visits),
    )
    return Body(kind="faces", camera=camera, message=message)


def health_body(
    *,
    at: datetime,
    uptime_s: float,
    started: datetime | None = None,
    cameras: Mapping[str, CameraHealth],
    stages_ms: Mapping[str, float],
    mqtt: MqttHealth,
    memory_mb: float | None,
    configuration: ConfigurationHealth | None = None,
    invalid: Mapping[str, int] = {},
    version: str | None = None,
    bundle: BundleHealth | None = None,
    machine: MachineHealth | None = None,
    last_error: LastError | None = None,
    spool: SpoolHealth | None = None,
    commands: CommandsHealth | None = None,
    problems: Sequence[Problem] = (),
    inference: InferenceHealth | None = None,
    hold: HoldHealth | None = None,
) -> Body:
    """Build the message of how the program fares."""
    message = HealthMessage(
        at=iso(at),
        node="",
        boot="",
        seq=0,
        uptime=round(uptime_s, 1),
        started=None if started is None else iso(started),
        cameras=dict(cameras),
        stages={stage: round(ms, 3) for stage, ms in stages_ms.items()},
        mqtt=mqtt,
        memory_mb=None if memory_mb is None else round(memory_mb, 1),
        configuration=configuration,
        invalid=dict(invalid),
        version=version,
        bundle=bundle,
        machine=machine,
        last_error=last_error,
        spool=spool,
        commands=commands,
        problems=list(problems),
        inference=inference,
        hold=hold,
    )
    return Body(kind="health", camera=None, message=message)


def notice_body(*, networks: Sequence[NoticeNetwork], at: datetime, parts: Sequence[NoticePart] = ()) -> Body:
    """Build the message of what is measured here, in plain words that name the tasks that really run.

    ``parts`` are what else is to be said, by what it is about.
    """
    said = [NoticePart(about="seen", text=_notice(networks)), *parts]
    message = NoticeMessage(
        at=iso(at),
        node="",
        boot="",
        seq=0,
        text=" ".join(part.text for part in said),
        networks=tuple(networks),
        parts=said,
    )
    return Body(kind="notice", camera=None, message=message)


class FacesPace:
    """Decides which frames are told on ``faces``: at most ``rate`` a second, and one when all have left.

    Attributes
    ----------
    shown : how many the latest message told of
    """

    def __init__(self, rate: float) -> None:
        self._gap_s = 1 / rate if rate > 0 else float("inf")
        self._next_s: float | None = None
        self.shown = 0

    def due(self, time_s: float, count: int) -> bool:
        """Whether to tell of the frame at ``time_s`` with ``count`` visits in view; True counts as told."""
        if self._gap_s == float("inf") or (count == 0 and self.shown == 0):
            return False
        if self._next_s is not None and time_s < self._next_s:
            return False
        # A steady beat where frames come faster than it; after a silence the beat starts anew.
        late = self._next_s is None or time_s - self._next_s > self._gap_s
        self._next_s = (time_s if late or self._next_s is None else self._next_s) + self._gap_s
        self.shown = count
        return True

    def emptied(self) -> bool:
        """Whether to say at once that nobody is in view any more; True counts as told."""
        shown, self.shown = self.shown, 0
        return shown > 0


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``; ValueError for a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return f"{moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _face(visit: Visit, width: int, height: int, view: Quality | None, bands: Sequence[int]) -> Face:
    # A predicted box may reach beyond the frame.
    limits = (float(width), float(height)) * 2
    x1, y1, x2, y2 = (
        round(min(max(float(edge), 0.0), limit), 1) for edge, limit in zip(visit.box, limits, strict=True)
    )
    return Face(
        visit=visit.id,
        box=(x1, y1, x2, y2),
        score=rounded_share(visit.score),
        view=None if view is None else _view(view),
        attention=_attention(visit.conduct.attention),
        **parts_in_bands(visit.known, bands),
    )


def _attention(known: VisitAttention | None) -> Attention | None:
    return None if known is None else Attention(looking=round(known.looking_s, 3), glances=known.glances, now=known.now)


def _view(quality: Quality) -> View:
    return View(size_px=round(quality.size_px, 1), light=round(quality.light, 2), blur=round(quality.blur, 2))


def _notice(networks: Sequence[NoticeNetwork]) -> str:
    said = list(dict.fromkeys(QUESTIONS[n.task].notice for n in networks if n.task != "detect"))
    estimates = f" and estimates {_listed(said)}" if said else ""
    return (
        f"A camera with edgeface counts the people before it{estimates}. "
        "It recognises nobody, and pictures never leave the device; only these estimates do. "
        "An estimate can be wrong for any single person."
    )


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
