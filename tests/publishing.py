"""A publisher and its outbox for tests, with quick pauses."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from edgeface.config import Mqtt
from edgeface.publish.announcer import Announcer
from edgeface.publish.ledger import Ledger
from edgeface.publish.mqtt import Publisher
from edgeface.publish.outbox import Outbox
from edgeface.publish.timing import Clock, Timing

FAST = Timing(first_s=0.02, most_s=0.1, refused_s=60.0)
Make = Callable[..., tuple[Publisher, Outbox]]


def make_publisher(
    port: int,
    *,
    outbox: Outbox | None = None,
    timing: Timing = FAST,
    password: str | None = None,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    ledger: Ledger | None = None,
    announcer: Announcer | None = None,
    commands: bool = False,
    **settings: Any,
) -> tuple[Publisher, Outbox]:
    """Make and start a publisher on a port of this machine."""
    box = outbox or Outbox(node="hall", boot="b007", capacity=100)
    publisher = Publisher(
        Mqtt(**{"host": "localhost", "port": port, **settings}),
        node="hall",
        outbox=box,
        password=password,
        ledger=ledger,
        announcer=announcer,
        commands=commands,
        timing=timing,
        clock=Clock(monotonic=clock, wall=wall, uniform=random.Random(1).uniform),
    )
    publisher.start()
    return publisher, box
