"""What a subscriber can prove: which starts and ends of visits are missing, and which came more than once.

Pure: payloads in, figures out. `number` on ``visits`` has no gaps for a node and boot, so one that is missing was lost
or has not come yet; ``health`` says up to where numbers are given out and which runs ended without a stop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from edgeface.events import HealthMessage, Interrupted, VisitMessage, decode, kind_of_topic

MOST_REPEATS = 20
"""In flight when a connection or a program ends."""
BEFORE_US = 2
"""Of so many healths of a run the numbers may have come before we did: the first may be retained, a minute old."""


class RunAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one run of one node.

    Attributes
    ----------
    first, last : numbers that it covers; None: none is known yet
    heard : how many different ones came
    missing : ranges of numbers that did not, both ends included
    outstanding : numbers that are given out, and behind all that came: they may still come, while the run goes on
    unsure : numbers of them in the seconds before a power cut, which may never have been given out
    redelivered : messages that the broker sent to us again, as it says (DUP): our own connection was lost, and not the
        node's
    repeated : messages that came again otherwise; ``most_at_once``: after one connection of the node or of ours
    replayed : messages that said that they come late
    lasting : visits with a start and no end
    power : visits that were ended with reason `power`
    differing : numbers that came with two different messages: a mistake
    """

    node: str
    boot: str
    first: int | None
    last: int | None
    heard: int
    missing: list[tuple[int, int]]
    missing_count: int
    outstanding: int
    unsure: int
    redelivered: int
    repeated: int
    most_at_once: int
    replayed: int
    lasting: int
    power: int
    differing: int

    @property
    def good(self) -> bool:
        """Whether nothing is missing, and no more came twice than may."""
        return not self.missing_count and not self.differing and self.most_at_once <= MOST_REPEATS


@dataclass(slots=True)
class _Run:
    messages: dict[int, tuple[str, str]] = field(default_factory=dict)
    redelivered: int = 0
    repeated: int = 0
    by_connection: Counter[tuple[int, int]] = field(default_factory=Counter)
    replayed: int = 0
    power: int = 0
    differing: set[int] = field(default_factory=set)
    given_out: int | None = None
    healths: int = 0
    before_us: int = -1
    interrupted: Interrupted | None = None
    starts: set[str] = field(default_factory=set)
    ends: set[str] = field(default_factory=set)


class Account:
    """Keeps the account of all nodes that are heard.

    Parameters
    ----------
    whole : count each run from 0: the audit was there before it began; else from the first number that came, and where
        none did, from those that were given out while we listened

    Attributes
    ----------
    unnumbered : starts and ends without a number, of nodes that are too old to be audited
    unreadable : payloads that are no messages
    """

    def __init__(self, *, whole: bool = False) -> None:
        self._whole = whole
        self._runs: dict[tuple[str, str], _Run] = {}
        self._newest: dict[str, str] = {}
        self._connections: Counter[str] = Counter()
        self._own_connections = 0
        self.unnumbered = 0
        self.unreadable = 0

    def connected(self) -> None:
        """Note a connection of our own: the broker tells again what was on its way to us, and the nodes did not."""
        self._own_connections += 1

    def heard(self, topic: str, payload: bytes, *, redelivered: bool = False) -> None:
        """Take in one message; those of other kinds say nothing.

        ``redelivered``: the broker says that it may have sent it to us before. It says so of its own sending alone
        (OASIS MQTT 5.0, 3.3.1.1), so such a repeat is not the node's; brokers make many of one restart, where a
        subscriber is slow (Mosquitto 2.0.11: hundreds).
        """
        parts = topic.split("/")
        if parts[-1] == "availability" and payload == b"online":
            self._connections[parts[-2] if len(parts) > 1 else ""] += 1
            return
        kind = kind_of_topic(topic)
        if kind not in ("visits", "health"):
            return
        try:
            message = decode(kind, payload)
        except msgspec.DecodeError:
            self.unreadable += 1
            return
        if isinstance(message, VisitMessage):
            self._visit(message, redelivered)
        elif isinstance(message, HealthMessage):
            self._health(message)

    def runs(self) -> list[RunAccount]:
        """The account of every run, in the order in which they were first heard of."""
        return [
            self._account(node, boot, run, over=self._newest.get(node, boot) != boot)
            for (node, boot), run in self._runs.items()
        ]

    def _visit(self, message: VisitMessage, redelivered: bool) -> None:
        if message.event == "update":
            return
        if message.number is None:
            self.unnumbered += 1
            return
        run = self._run(message.node, message.boot)
        run.replayed += message.replayed
        told = message.visit, message.event
        (run.starts if message.event == "start" else run.ends).add(message.visit)
        before = run.messages.get(message.number)
        if before is None:
            run.messages[message.number] = told
            run.power += message.reason == "power"
        elif before == told and redelivered:
            run.redelivered += 1
        elif before == told:
            run.repeated += 1
            run.by_connection[self._connections[message.node], self._own_connections] += 1
        else:
            run.differing.add(message.number)

    def _health(self, message: HealthMessage) -> None:
        if message.spool is None:
            return
        run = self._run(message.node, message.boot)
        self._newest[message.node] = message.boot
        if message.spool.number is not None:
            run.given_out = max(run.given_out or 0, message.spool.number)
        run.healths += 1
        if run.healths <= BEFORE_US and run.given_out is not None:
            run.before_us = run.given_out
        for told in message.spool.interrupted:
            earlier = self._runs.get((message.node, told.boot))
            if earlier is not None:
                earlier.interrupted = told

    def _run(self, node: str, boot: str) -> _Run:
        return self._runs.setdefault((node, boot), _Run())

    def _account(self, node: str, boot: str, run: _Run, *, over: bool) -> RunAccount:
        numbers = sorted(run.messages)
        last = max([*numbers[-1:], *([run.given_out] if run.given_out is not None else [])], default=None)
        first: int | None = 0 if self._whole else numbers[0] if numbers else run.before_us + 1
        if last is None or first is None or first > last:
            first = last = None
        gaps = [] if first is None or last is None else list(_gaps(numbers, first, last))
        outstanding = 0
        if not over and gaps and gaps[-1][1] == last:
            low, high = gaps.pop()
            outstanding = high - low + 1
        unsure = 0
        if run.interrupted is not None:
            # Behind the last durable number lie the seconds that a power cut may cost.
            safe = run.interrupted.number
            unsure = sum(high - max(low, safe + 1) + 1 for low, high in gaps if high > safe)
            gaps = [(low, min(high, safe)) for low, high in gaps if low <= safe]
        return RunAccount(
            node=node,
            boot=boot,
            first=first,
            last=last,
            heard=len(numbers),
            missing=gaps,
            missing_count=sum(high - low + 1 for low, high in gaps),
            outstanding=outstanding,
            unsure=unsure,
            redelivered=run.redelivered,
            repeated=run.repeated,
            most_at_once=max(run.by_connection.values(), default=0),
            replayed=run.replayed,
            lasting=len(run.starts - run.ends),
            power=run.power,
            differing=len(run.differing),
        )


def _gaps(numbers: Sequence[int], first: int, last: int) -> Iterator[tuple[int, int]]:
    expected = first
    for number in numbers:
        if number > expected:
            yield expected, number - 1
        expected = number + 1
    if expected <= last:
        yield expected, last
