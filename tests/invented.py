"""A daemon without a camera: `Daemon` as it is, over visits that are invented at a steady rate.

Its wall clock can jump: a year ahead, and back, again and again.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import sys
import time
from argparse import ArgumentParser
from collections import deque
from datetime import datetime, timedelta, timezone, tzinfo
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
from people import AGE, HAPPY, WOMAN

from edgeface.config import Config, Mqtt, Node, Spool
from edgeface.engine.levels import FULL, Costs
from edgeface.errors import run_command
from edgeface.events import Body, BundleHealth, CameraHealth, Counted, notice_body, visit_body
from edgeface.proof import Accelerated
from edgeface.publish import supervisor
from edgeface.publish.timing import Clock
from edgeface.questions import Known
from edgeface.service import daemon, standing
from edgeface.service.assembly import Assembly
from edgeface.service.daemon import Daemon
from edgeface.service.signals import Signals
from edgeface.service.standing import Look
from edgeface.service.waits import Waits
from edgeface.tuning import Tuned
from edgeface.types import Event, Reason
from edgeface.visit import Visit, VisitChange

LASTS_S = 0.3
"""How long an invented visit lasts, give or take a half."""
BOX = np.array([10, 20, 110, 140], np.float32)


YEAR = timedelta(days=365)


class JumpingDatetime(datetime):
    """A wall clock that is set a year ahead and back; in place of `datetime` where the daemon reads it."""

    every_s = float("inf")

    @classmethod
    def offset(cls) -> timedelta:
        return YEAR if time.monotonic() / cls.every_s % 2 >= 1 else timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.offset()


def let_the_clock_jump(every_s: float) -> None:
    """From now on it jumps every so many seconds."""
    JumpingDatetime.every_s = every_s
    for module in (daemon, standing):
        module.datetime = JumpingDatetime  # type: ignore[attr-defined]
    jumping = Clock(wall=lambda: time.time() + JumpingDatetime.offset().total_seconds())
    supervisor.Clock = lambda: jumping  # type: ignore[attr-defined,assignment,misc]


class InventedAssembly:
    """Stands in for what a configuration makes: people come ``rate`` times a second, and go."""

    def __init__(self, config: Config, rate: float, most: int) -> None:
        self.config = config
        self.node = str(config.node.id)
        self.password = None
        self.loaded_at = JumpingDatetime.now(timezone.utc)
        self.finite = False
        self.running = {"main"}
        self.failure = None
        self.live = frozenset(self.running)
        self.announcement = None
        self.bundle = BundleHealth(name="none", version="0", hash="0")
        self.config_hash = "0"
        self.frames = 0
        self.opened, self.accelerated = None, Accelerated()
        self.networks = SimpleNamespace(invalid={}, heads=[], runners={})
        self.tuned = Tuned(config=config, standing="none")
        self.counted = {"main": Counted()}
        self.worker = SimpleNamespace(
            stages=SimpleNamespace(medians_ms=dict), level=FULL, costs=Costs, has_live=False, take_level=lambda _: None
        )
        self.started = 0
        self._pause_s = 1 / rate
        self._most = most
        self._next_s = time.monotonic()
        self._lasting: deque[tuple[float, Visit]] = deque()

    def start(self) -> None:
        self._next_s = time.monotonic()

    def turn(self, timeout_s: float) -> list[Body]:
        now_s = time.monotonic()
        due_s = self._lasting[0][0] if self._lasting else now_s + timeout_s
        if self.started < self._most:
            due_s = min(due_s, self._next_s)
        time.sleep(max(0.0, min(timeout_s, due_s - now_s)))
        now_s = time.monotonic()
        self.frames += 1
        bodies = []
        while self._lasting and self._lasting[0][0] <= now_s:
            bodies.append(self._body("end", self._lasting.popleft()[1], "lost"))
        while self._next_s <= now_s and self.started < self._most:
            visit = Visit(
                id=secrets.token_hex(4),
                camera="main",
                track=self.started,
                started_s=now_s,
                seen_s=now_s,
                ended_s=None,
                box=BOX,
                score=0.9,
                known=Known(age=AGE, gender=WOMAN, expression=HAPPY),
            )
            self.started += 1
            self._next_s += self._pause_s
            self._lasting.append((now_s + LASTS_S * random.uniform(0.5, 1.5), visit))
            bodies += [self._body("start", visit), self._body("update", visit)]
        return bodies

    def end_visits(self, reason: Reason) -> list[Body]:
        ended = [self._body("end", visit, reason) for _, visit in self._lasting]
        self._lasting.clear()
        return ended

    def notice(self, _muted: Any) -> Body:
        return notice_body(networks=[], at=self.loaded_at)

    def restrict(self, _paused: Any, _muted: Any) -> list[Body]:
        return []

    def take_ended(self) -> list[Any]:
        return []

    def halt(self) -> None:
        pass

    def join(self, _timeout_s: float) -> None:
        pass

    def looks(self) -> dict[str, Look]:
        return {"main": Look(status="running", frames=self.frames)}

    def health(self, _elapsed_s: float) -> dict[str, CameraHealth]:
        return {"main": CameraHealth(state="running", fps=None, dropped=0)}

    def _body(self, event: Event, visit: Visit, reason: Reason | None = None) -> Body:
        now = JumpingDatetime.now(timezone.utc)
        if event == "end":
            visit = msgspec.structs.replace(visit, ended_s=visit.started_s)
        change = VisitChange(event=event, visit=visit, time_s=visit.started_s, reason=reason)
        return visit_body(change, at=now, started_at=lambda _s: now)


def main() -> int:
    """Run until a signal comes; the state lies where `STATE_DIRECTORY` says."""
    parser = ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=20.0, help="visits a second")
    parser.add_argument("--most", type=int, default=10**9, help="visits in all")
    parser.add_argument("--node", default="chaos")
    parser.add_argument("--no-spool", action="store_true")
    parser.add_argument("--ca", help="speak TLS, by this authority")
    parser.add_argument("--jump-every", type=float, metavar="SECONDS", help="let the clock jump by a year")
    args = parser.parse_args()
    if args.jump_every:
        let_the_clock_jump(args.jump_every)
    logging.basicConfig(level=logging.WARNING)
    signals = Signals(os.environ).catch()
    config = Config(
        node=Node(id=args.node),
        mqtt=Mqtt(host="127.0.0.1", port=args.port, keep_alive=5, connect_timeout=2, ca_file=args.ca),
        spool=Spool(enabled=not args.no_spool),
    )

    def load(_before: Assembly | None) -> Assembly:
        return cast("Assembly", InventedAssembly(config, args.rate, args.most))

    waits = Waits(health_s=2.0)
    return run_command(lambda: Daemon(load, signals=signals, environ=os.environ, waits=waits).run())


if __name__ == "__main__":
    sys.exit(main())
