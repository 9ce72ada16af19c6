"""What stands between two messages: the state of each camera, and the totals of its day, which survive the process.

Every message of the cameras passes through here on its way to the outbox. With `privacy.least_count` no message about
a single visit comes out again, and a visit counts in the totals when the summary that it is part of is told. A file
begins at nothing each time, so that it gives the same messages each time.

Totals of live cameras lie in the spool, with the visits that change them: a file of their own costs a flash card ten
times what the change has. At a stop they are also written to a file; where there is no spool, that is written at most
every two seconds, and only when they have changed. Of both the one counts that has counted more: a day only grows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

import msgspec

from edgeface.config import Privacy
from edgeface.errors import EdgefaceError
from edgeface.events import (
    Body,
    CameraState,
    Counted,
    FacesMessage,
    Pause,
    PlaceMessage,
    Status,
    SummaryMessage,
    Today,
    Totals,
    VisitMessage,
    moment,
)
from edgeface.files import NOT_JSON, write_atomic
from edgeface.types import Scene

logger = logging.getLogger(__name__)

EVERYTHING = Privacy()
SAVE_S = 2.0
"""Between two writes: a power cut may cost so much."""


class Keeper(Protocol):
    """Who keeps totals with the visits, as the outbox does with a spool."""

    @property
    def totals(self) -> Mapping[str, bytes]:
        """What lies there, by camera."""

    def keep(self, totals: Mapping[str, bytes]) -> bool:
        """Take totals before they are told; False: they are not kept there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a camera fares: its status, frames analysed, why it is paused; what a live one shows; whose visits wait."""

    status: Status
    frames: int
    paused: Pause | None = None
    view: Scene | None = None
    absent: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(slots=True)
class _Camera:
    state: CameraState
    totals: Totals
    live: bool
    at: datetime | None = None
    ended: list[VisitMessage] = field(default_factory=list)
    """Those that no summary has told of yet; at most `privacy.least_count` and what one period adds."""


class Standing:
    """States and totals of one node's cameras; for one thread.

    Parameters
    ----------
    folder : where totals are kept; need not exist, and where it cannot be written, one line says so
    now, clock : wall time, aware, and monotonic seconds
    """

    def __init__(
        self,
        folder: Path,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._now = now
        self._clock = clock
        self._node = ""
        self._details = True
        self._cameras: dict[str, _Camera] = {}
        self._days: dict[str, tuple[Today, ...]] = {}
        self._keeper: Keeper | None = None
        self._unfiled = self._unsaved = self._broken = False
        self._saved_s = float("-inf")

    def begin(
        self,
        node: str,
        cameras: Mapping[str, Counted],
        *,
        live: Collection[str],
        kept: Collection[str] = (),
        privacy: Privacy = EVERYTHING,
        keeper: Keeper | None = None,
    ) -> None:
        """Begin anew with these cameras, none of which was looked at yet but those ``kept``; totals go on.

        ``cameras`` says what is counted before each beside visits; ``keeper`` keeps totals, where there is one.
        """
        self._keeper = keeper
        if node != self._node:
            self._save()
            self._node, self._days = node, self._read(node)
        self._keep()
        self._details = privacy.least_count is None
        before = self._cameras
        self._cameras = {
            camera: before[camera]
            if camera in kept
            else _Camera(
                state=CameraState(camera, bands=bool(privacy.age_bands), details=self._details),
                totals=Totals(days=self._days.get(camera, ()) if camera in live else ()),
                live=camera in live,
            )
            for camera in cameras
        }
        for name, camera in self._cameras.items():
            camera.totals.counted = cameras[name]
            camera.state.count(cameras[name])

    def through(self, bodies: Sequence[Body]) -> list[Body]:
        """Take in the cameras' messages; what may be told of it, with the totals of the day in its place."""
        passing = [passed for body in bodies if (passed := self._passed(body)) is not None]
        if self._unsaved and self._keeper is not None:
            self._keep()
            self._unsaved = not self._keeper.keep(
                {name: msgspec.json.encode(self._days[name]) for name, camera in self._cameras.items() if camera.live}
            )
        return passing

    def news(self, looks: Mapping[str, Look]) -> list[Body]:
        """States that are to be told now."""
        now_s = self._clock()
        due = [(camera, looks[name]) for name, camera in self._cameras.items() if camera.state.due(now_s)]
        return self._told(due, now_s)

    def stopped(self, looks: Mapping[str, Look]) -> list[Body]:
        """Last states: nobody looks any more. Sources that ended by themselves have said so."""
        ends = [
            (camera, Look(status="ended" if looks[name].status == "ended" else "stopped", frames=looks[name].frames))
            for name, camera in self._cameras.items()
        ]
        bodies = self._told(ends, self._clock())
        self._save()
        return bodies

    def _told(self, due: Sequence[tuple[_Camera, Look]], now_s: float) -> list[Body]:
        # What is told is kept first: totals that go back would be a new day's to their readers.
        # A spool lets no state go before.
        if self._unsaved and now_s - self._saved_s >= SAVE_S:
            self._save()
        bodies = []
        for camera, look in due:
            camera.state.look(look.status, look.frames, paused=look.paused, view=look.view, absent=look.absent)
            at = self._now() if camera.at is None else camera.at
            body = camera.state.news(at=at, now_s=now_s, today=camera.totals.on(at))
            bodies += [] if body is None else [body]
        return bodies

    def _passed(self, body: Body) -> Body | None:
        message = body.message
        silenced = not self._details and isinstance(message, VisitMessage | PlaceMessage | FacesMessage)
        camera = self._cameras.get(body.camera or "")
        if camera is None:
            return None if silenced else body
        if not camera.live:
            # The time of a file is the one that its frames say.
            camera.at = moment(message.at)
        if silenced:
            camera.ended += [message] if isinstance(message, VisitMessage) and message.event == "end" else []
            return None
        if isinstance(message, VisitMessage):
            camera.state.visit(message)
            camera.totals.add(message)
            self._count_on(camera, message.event != "update")
        if isinstance(message, PlaceMessage):
            camera.state.place(message)
            camera.totals.add_place(message)
            self._count_on(camera, True)
        if isinstance(message, SummaryMessage):
            self._count(camera)
            if not self._details:
                camera.totals.add_summary(message)
            message = msgspec.structs.replace(message, today=camera.totals.on(moment(message.at)))
            return Body(kind=body.kind, camera=body.camera, message=message)
        return body

    def _count(self, camera: _Camera) -> None:
        """Let the totals have those of whom a summary tells now: each with its start and its end."""
        for message in camera.ended:
            # What they did is told by the summary, as far as enough did it.
            alone = msgspec.structs.replace(message, attention=None)
            camera.totals.add(msgspec.structs.replace(alone, event="start"))
            camera.totals.add(alone)
        self._count_on(camera, bool(camera.ended))
        camera.ended.clear()

    def _count_on(self, camera: _Camera, changed: bool) -> None:
        """Note that totals are to be kept, where they have changed."""
        if camera.live and changed:
            self._unsaved = self._unfiled = True

    @property
    def _path(self) -> Path:
        return self._folder / f"today-{self._node}.json"

    def _keep(self) -> None:
        """Take over what was counted so far; of cameras that are gone too, for they may come back today."""
        self._days |= {name: camera.totals.days for name, camera in self._cameras.items() if camera.live}

    def _save(self) -> None:
        if not self._unfiled:
            return
        self._unfiled = self._unsaved = False
        self._saved_s = self._clock()
        self._keep()
        try:
            write_atomic(self._path, msgspec.json.encode(self._days))
        except EdgefaceError as error:
            if not self._broken:
                logger.warning("totals of the day would not survive a restart: %s", error)
            self._broken = True
        else:
            self._broken = False

    def _read(self, node: str) -> dict[str, tuple[Today, ...]]:
        """What earlier runs counted: of the file and of the keeper whichever has counted more."""
        path = self._folder / f"today-{node}.json"
        days: dict[str, tuple[Today, ...]] = {}
        try:
            days = msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[Today, ...]])
        except FileNotFoundError:
            pass
        except (OSError, *NOT_JSON) as error:
            logger.warning("%s cannot be read, totals of the day begin at nothing: %s", path, error)
        for camera, kept in ({} if self._keeper is None else self._keeper.totals).items():
            try:
                days[camera] = max(
                    days.get(camera, ()), msgspec.json.decode(kept, type=tuple[Today, ...]), key=_counted
                )
            except NOT_JSON as error:
                logger.warning("totals of %s in the spool are none, they begin at nothing: %s", camera, error)
        return days


def _counted(days: Sequence[Today]) -> tuple[str, int, float]:
    """How much was counted on the day that was counted on last; a later day is more."""
    return (days[-1].date, days[-1].visits, days[-1].seconds) if days else ("", 0, 0.0)
