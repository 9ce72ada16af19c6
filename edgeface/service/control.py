"""What commands have set: paused cameras, no expressions, a restart that is due. A command only takes away.

What is set survives a restart, in ``commands-<node>.json`` of the state directory. A file there that cannot be read
means that everything is paused: nobody knows any more what somebody did not want seen.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from edgeface.errors import EdgefaceError, escaped, one_line
from edgeface.events import (
    AnyCommand,
    CommandsHealth,
    ExpressionCommand,
    LatestCommand,
    PauseCommand,
    iso,
    judge,
)
from edgeface.files import NOT_JSON, write_atomic
from edgeface.publish.commands import CommandQueue
from edgeface.publish.session import Arrival
from edgeface.types import Task

logger = logging.getLogger(__name__)

RESTART_CODE = 75
"""What a process ends with that is to be started again (EX_TEMPFAIL of sysexits.h); see systemd/edgeface.service."""
MINUTE_S = 60.0
MOST = 30
"""Commands that are followed in a minute: each is a line of the log, and some are a write to the disk."""
USER_CHARACTERS = 100


class Restrictions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is set, as it is kept."""

    paused: frozenset[str] = frozenset()
    expression: bool = True


class Control:
    """Follows commands; for one thread.

    Parameters
    ----------
    folder : where what is set is kept
    restart_s : a program that was started less than that ago is not restarted, so that the service manager, which
        gives up on what is started too often, never does so for commands
    now, clock : wall time, aware, and monotonic seconds

    Attributes
    ----------
    restarting : whether the program is to be restarted
    """

    def __init__(
        self,
        folder: Path,
        *,
        restart_s: float = MINUTE_S,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._restart_s = restart_s
        self._now = now
        self._clock = clock
        self._started_s = clock()
        self._node: str | None = None
        self._enabled = self._may_express = False
        self._cameras: frozenset[str] = frozenset()
        self._set = Restrictions()
        self._latest: LatestCommand | None = None
        self._followed: deque[float] = deque(maxlen=MOST)
        self._refused = self._untold = 0
        self._told_s = float("-inf")
        self.restarting = False

    def begin(self, node: str, *, enabled: bool, cameras: Collection[str], tasks: Collection[Task]) -> None:
        """Begin, or go on, under a configuration.

        Parameters
        ----------
        enabled : whether there are commands; what they had set is forgotten where there are none
        cameras : all that there are
        tasks : questions that are answered, but for commands
        """
        self._cameras, self._may_express = frozenset(cameras), "expression" in tasks
        before, self._enabled = self._enabled, enabled
        renamed, self._node = self._node != node, node
        if not enabled:
            self._set = Restrictions()
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
        elif not before:
            self._set = self._read()
        elif renamed and self._set != Restrictions():
            # Another name of the node is no reason to look again.
            self._write()

    @property
    def paused(self) -> frozenset[str]:
        """Cameras that are not to be looked at."""
        return self._set.paused & self._cameras

    @property
    def muted(self) -> frozenset[Task]:
        """Questions that are not to be answered."""
        return frozenset() if self._set.expression else frozenset[Task]({"expression"})

    def obey(self, queue: CommandQueue) -> bool:
        """Follow what has arrived; whether anything was."""
        arrivals, overflow = queue.take()
        followed = False
        for arrival in arrivals:
            name = queue.name(arrival.topic)
            command = judge(name, arrival.payload, retained=arrival.retained, now=self._now())
            why = command if isinstance(command, str) else self._follow(command, name, arrival)
            followed = followed or why is None
            if why is not None:
                self._refuse(f"{_sender(arrival)}: {why}")
        if overflow:
            self._refuse("too many at once", overflow)
        return followed

    def health(self) -> CommandsHealth | None:
        """What is set; None where there are no commands."""
        if not self._enabled:
            return None
        return CommandsHealth(
            paused=sorted(self.paused),
            expression=self._may_express and self._set.expression,
            refused=self._refused,
            latest=self._latest,
        )

    def _follow(self, command: AnyCommand, name: str, arrival: Arrival) -> str | None:
        """Do what a command says; why not."""
        now_s = self._clock()
        if len(self._followed) == MOST and now_s - self._followed[0] < MINUTE_S:
            return f"more than {MOST} commands in a minute"
        if isinstance(command, PauseCommand):
            done = self._pause(command)
        elif isinstance(command, ExpressionCommand):
            done = self._express(command)
        else:
            done = self._restart(now_s)
        if isinstance(done, _No):
            return done
        self._followed.append(now_s)
        self._latest = LatestCommand(at=iso(self._now()), name=name, done=done)
        logger.info("command %s: %s", _sender(arrival), done)
        return None

    def _pause(self, command: PauseCommand) -> str:
        if command.camera is not None and command.camera not in self._cameras:
            return _No(f"there is no camera {command.camera}; there are {', '.join(sorted(self._cameras))}")
        which = self._cameras if command.camera is None else {command.camera}
        # Without a camera also those go on that are not configured any more, and may come back.
        without = frozenset[str]() if command.camera is None else self._set.paused - which
        self._keep(msgspec.structs.replace(self._set, paused=self._set.paused | which if command.on else without))
        what = "all cameras" if command.camera is None else f"camera {command.camera}"
        return f"{what} paused" if command.on else f"{what} no longer paused"

    def _express(self, command: ExpressionCommand) -> str:
        if not self._may_express:
            return _No("the configuration estimates no expressions, and no command can change that")
        self._keep(msgspec.structs.replace(self._set, expression=command.on))
        return "expressions are estimated" if command.on else "expressions are no longer estimated"

    def _restart(self, now_s: float) -> str:
        since_s = now_s - self._started_s
        if since_s < self._restart_s:
            return _No(f"the program was started {since_s:.0f} s ago, and restarts at most every {self._restart_s:g} s")
        if self.restarting:
            return _No("it restarts already")
        self.restarting = True
        return "the program restarts, if the configuration on the disk holds"

    def _refuse(self, why: str, count: int = 1) -> None:
        """Count what is not followed; one line a minute tells of it."""
        self._refused += count
        self._untold += count
        now_s = self._clock()
        if now_s - self._told_s >= MINUTE_S:
            more = f" (and {self._untold - 1} more that were not followed)" if self._untold > 1 else ""
            logger.warning("no command: %s%s", one_line(why), more)
            self._told_s, self._untold = now_s, 0

    @property
    def _path(self) -> Path:
        return self._folder / f"commands-{self._node}.json"

    def _keep(self, new: Restrictions) -> None:
        if new == self._set:
            return
        self._set = new
        self._write()

    def _write(self) -> None:
        try:
            write_atomic(self._path, msgspec.json.encode(self._set), durable=True)
        except EdgefaceError as error:
            logger.warning("what the command has set would not survive a restart: %s", error)

    def _read(self) -> Restrictions:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Restrictions)
        except (FileNotFoundError, NotADirectoryError):
            return Restrictions()
        except (OSError, *NOT_JSON) as error:
            logger.warning(
                "%s cannot be read, so all cameras are paused until a command says otherwise: %s", self._path, error
            )
            return Restrictions(paused=self._cameras, expression=False)


class _No(str):
    """Why a command is not followed."""

    __slots__ = ()


def _sender(arrival: Arrival) -> str:
    """Where a command came from: its topic, and what sender or broker have written beside it."""
    written = escaped("; ".join(f"{name}: {value}" for name, value in arrival.user))[:USER_CHARACTERS]
    return f"{arrival.topic} ({written})" if written else arrival.topic
