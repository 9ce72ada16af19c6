"""What waits for the broker: bounded, thread-safe, and clear about what it drops.

A message is stamped (node, boot, sequence number) and encoded when it is accepted. It waits in the queue of its
topic, so that a topic which rests holds up no other. Of `faces` and of the retained kinds only the newest per topic
waits: an older one is replaced. Visits wait in order; when there are more of them than ``capacity``, or more than
128 MiB, the oldest `update` goes first, then the oldest `start`, an `end` only when nothing else is left. Whatever
goes leaves a gap in the sequence numbers and one count in ``dropped``. Every step costs the same however much waits.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal

import msgspec

from edgeface.events import KINDS, Body, Kind

Lane = Literal["update", "start", "end", "newest"]
VISIT_LANES: tuple[Lane, ...] = ("update", "start", "end")
"""In the order in which they are given up."""
REJECTED_KEPT = 100
"""Refused visits that are kept in case their topic is allowed later: 100 x 1 KB."""
MOST_BYTES = 128 * 2**20
"""Of waiting visits together: what the unit's MemoryMax leaves beside networks and cameras."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One message as it will travel.

    Attributes
    ----------
    seq : sequence number in the message, also the entry's key
    suffix : topic below ``<prefix>/<node>/``
    payload : JSON, UTF-8
    lane : which of its kind it is, for the order of dropping
    again : whether it was refused once and released; it is not kept a second time
    unsure : whether it was sent and the connection lost before it was acknowledged: the broker may have it
    expires_s : seconds after which the broker is to forget it, or None
    """

    seq: int
    kind: Kind
    suffix: str
    payload: bytes
    qos: int
    retain: bool
    lane: Lane
    again: bool = False
    unsure: bool = False
    expires_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Where every accepted message is: ``accepted = delivered + queued + rejected + sum(dropped)``.

    ``queued`` includes what is in flight. ``dropped`` has every kind, also at 0. ``rejected_visits`` are among
    ``rejected``.
    """

    accepted: int
    delivered: int
    queued: int
    rejected: int
    rejected_visits: int
    dropped: dict[Kind, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Messages that the broker surely does not have; those that newer ones have replaced do not count.

    Attributes
    ----------
    messages : all kinds
    visits : of kind `visits`, among ``messages``
    gone : of ``visits`` those that will not be tried again: dropped, or refused by the broker
    """

    messages: int
    visits: int
    gone: int


class Outbox:
    """Messages between the program and the broker.

    Parameters
    ----------
    node, boot : who we are and which run this is, for the envelope
    capacity : visits that may wait, besides one message per topic of the other kinds and what is in flight
    most_bytes : bytes that the waiting visits may have together
    """

    def __init__(self, *, node: str, boot: str, capacity: int, most_bytes: int = MOST_BYTES) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}, expected at least 1")
        self.node = node
        self.boot = boot
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._seq = self._cleared = 0
        # Linked lists: a plain dictionary searches for its first key past all that were taken before.
        self._queues: dict[str, OrderedDict[int, Entry]] = {}
        self._lanes: dict[Lane, OrderedDict[int, Entry]] = {lane: OrderedDict() for lane in VISIT_LANES}
        self._bytes = 0
        self._unsure = 0
        self._in_flight: dict[int, Entry] = {}
        self._rejected: deque[Entry] = deque(maxlen=REJECTED_KEPT)
        self._rejected_count: Counter[Kind] = Counter()
        self._delivered = 0
        self._dropped: Counter[Kind] = Counter()
        self._dropped_unsure = 0
        self._retained: dict[str, Entry] = {}
        self._on_accept: Callable[[], None] | None = None

    def accept(self, body: Body) -> int:
        """Stamp, encode and queue; returns the sequence number. Never blocks on the network."""
        with self._lock:
            seq = self._seq
            self._seq += 1
            message = body.stamped(node=self.node, boot=self.boot, seq=seq)
            entry = Entry(
                seq=seq,
                kind=body.kind,
                suffix=body.suffix,
                payload=msgspec.json.encode(message),
                qos=body.qos,
                retain=body.retain,
                lane=body.event or "newest",
                expires_s=body.expires_s,
            )
            if entry.lane == "newest":
                self._replace(entry.suffix)
            self._add(entry)
            self._keep_bounds()
            wake = self._on_accept
        if wake is not None:
            wake()
        return seq

    def clear(self, kind: Kind, suffix: str) -> None:
        """Let the broker forget what it keeps on a topic that nobody will write to any more: an empty message."""
        with self._lock:
            self._cleared += 1
            self._replace(suffix)
            # It carries no number of the messages': those count on without a gap.
            self._add(
                Entry(seq=-self._cleared, kind=kind, suffix=suffix, payload=b"", qos=1, retain=True, lane="newest")
            )
            wake = self._on_accept
        if wake is not None:
            wake()

    def on_accept(self, wake: Callable[[], None] | None) -> None:
        """Call ``wake`` after each message that is accepted, in the thread that hands it in."""
        with self._lock:
            self._on_accept = wake

    def resize(self, capacity: int) -> None:
        """Change how many visits may wait; what no longer fits is dropped in the usual order."""
        with self._lock:
            self._capacity = capacity
            self._keep_bounds()

    def take(self, may: Callable[[Entry], bool] = lambda _entry: True) -> Entry | None:
        """Take the oldest of those heads of topics that ``may`` allows; in flight until it is done or given back."""
        with self._lock:
            heads = [next(iter(queue.values())) for queue in self._queues.values() if queue]
            entry = min((head for head in heads if may(head)), key=lambda head: head.seq, default=None)
            if entry is not None:
                self._remove(entry)
                self._in_flight[entry.seq] = entry
            return entry

    def done(self, entry: Entry) -> None:
        """Count it as delivered: acknowledged, or written out where nothing is acknowledged."""
        with self._lock:
            del self._in_flight[entry.seq]
            self._delivered += 1
            if entry.retain and entry.payload:
                self._retained[entry.suffix] = entry
            else:
                self._retained.pop(entry.suffix, None)

    def reject(self, entry: Entry) -> None:
        """Set aside what the broker refused: not sent again unless `release` allows its topic."""
        with self._lock:
            del self._in_flight[entry.seq]
            self._rejected_count[entry.kind] += 1
            # An old retained message must not follow a newer one, so only visits are kept.
            if entry.lane != "newest" and not entry.again:
                self._rejected.append(entry)

    def discard(self, entry: Entry) -> None:
        """Set aside what the broker will never take, as too large: counted as refused, and forgotten."""
        with self._lock:
            del self._in_flight[entry.seq]
            self._rejected_count[entry.kind] += 1

    def release(self, suffix: str) -> None:
        """Queue once more the visits set aside for a topic that the broker has begun to allow."""
        with self._lock:
            allowed = [entry for entry in self._rejected if entry.suffix == suffix]
            kept = [entry for entry in self._rejected if entry.suffix != suffix]
            self._rejected = deque(kept, maxlen=REJECTED_KEPT)
            for entry in allowed:
                self._rejected_count[entry.kind] -= 1
            self._add_first(replace(entry, again=True) for entry in allowed)

    def give_back(self, entries: Iterable[Entry], *, unsure: bool) -> None:
        """Put what is in flight in front of its topic again; ``unsure`` where the broker may have it."""
        with self._lock:
            ours = [entry for entry in entries if self._in_flight.pop(entry.seq, None) is not None]
            self._add_first(replace(entry, unsure=entry.unsure or unsure) for entry in ours)

    def give_way(self, entry: Entry) -> None:
        """Put what is in flight back behind the next of its topic: that one may be taken where this one is not."""
        with self._lock:
            del self._in_flight[entry.seq]
            following = next(iter(self._queues.get(entry.suffix, {})), None)
            self._add_first([entry])
            if following is not None:
                self._queues[entry.suffix].move_to_end(following, last=False)

    def retained(self) -> list[Entry]:
        """Give the newest delivered message of each retained topic for which no newer one waits, oldest first."""
        with self._lock:
            flying = {entry.suffix for entry in self._in_flight.values()}
            kept = [e for e in self._retained.values() if not self._queues.get(e.suffix) and e.suffix not in flying]
            return sorted(kept, key=lambda entry: entry.seq)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        with self._lock:
            return not self._in_flight and not any(self._queues.values())

    def counters(self, *, replaced_by: str | None = None) -> Counters:
        """Where every message accepted so far is.

        ``replaced_by``: the suffix of a newest-only message that is about to be accepted, and will carry these numbers:
        those that it replaces count as dropped.
        """
        with self._lock:
            older = list(self._queues.get(replaced_by, {}).values()) if replaced_by else []
            return Counters(
                accepted=self._seq + self._cleared,
                delivered=self._delivered,
                queued=len(self._in_flight) + self._waiting() - len(older),
                rejected=self._rejected_count.total(),
                rejected_visits=self._rejected_count["visits"],
                dropped={kind: self._dropped[kind] + sum(one.kind == kind for one in older) for kind in KINDS},
            )

    def undelivered(self) -> Left:
        """Count what the broker surely does not have; what is in flight is in doubt and left out."""
        with self._lock:
            visits = sum(len(lane) for lane in self._lanes.values()) - self._unsure
            gone = self._rejected_count["visits"] + self._dropped["visits"] - self._dropped_unsure
            others = sum(
                not entry.unsure
                for queue in self._queues.values()
                for entry in ([next(reversed(queue.values()))] if queue else [])
                if entry.lane == "newest"
            )
            return Left(messages=visits + gone + others, visits=visits + gone, gone=gone)

    def _replace(self, suffix: str) -> None:
        for older in list(self._queues.get(suffix, {}).values()):
            self._drop(older)

    def _waiting(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def _add(self, entry: Entry) -> None:
        self._queues.setdefault(entry.suffix, OrderedDict())[entry.seq] = entry
        if entry.lane != "newest":
            self._lanes[entry.lane][entry.seq] = entry
            self._bytes += len(entry.payload)
            self._unsure += entry.unsure

    def _add_first(self, entries: Iterable[Entry]) -> None:
        for entry in sorted(entries, key=lambda one: one.seq, reverse=True):
            self._add(entry)
            _move_first(self._queues[entry.suffix], entry.seq)
            if entry.lane != "newest":
                _move_first(self._lanes[entry.lane], entry.seq)

    def _keep_bounds(self) -> None:
        while sum(len(lane) for lane in self._lanes.values()) > self._capacity or self._bytes > self._most_bytes:
            fullest = next(lane for lane in self._lanes.values() if lane)
            self._drop(next(iter(fullest.values())))

    def _drop(self, entry: Entry) -> None:
        self._remove(entry)
        self._dropped[entry.kind] += 1
        self._dropped_unsure += entry.unsure and entry.lane != "newest"

    def _remove(self, entry: Entry) -> None:
        queue = self._queues[entry.suffix]
        del queue[entry.seq]
        if entry.lane != "newest":
            del self._lanes[entry.lane][entry.seq]
            self._bytes -= len(entry.payload)
            self._unsure -= entry.unsure


def _move_first(queue: OrderedDict[int, Entry], seq: int) -> None:
    """Move a key to the front, behind those older ones that were put there before it."""
    older = list(takewhile(lambda other: other < seq, queue))
    for other in (seq, *reversed(older)):
        queue.move_to_end(other, last=False)
