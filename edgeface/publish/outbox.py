"""What waits for the broker: bounded, thread-safe, and clear about what it drops.

A message is stamped (node, boot, sequence number) and encoded when it is accepted. Of `faces` and of the
retained kinds only the newest per topic waits: an older one is replaced. Visits wait in order; when there are
more of them than ``capacity``, the oldest `update` goes first, then the oldest `start`, an `end` only when
nothing else is left. Whatever goes leaves a gap in the sequence numbers and one count in ``dropped``.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from edgeface.events import KINDS, Body, Kind

Lane = Literal["update", "start", "end", "newest"]
VISIT_LANES: tuple[Lane, ...] = ("update", "start", "end")
"""In the order in which they are given up."""
PARKED_KEPT = 100
"""Refused visits that are kept in case their topic is allowed later: 100 x 1 KB."""


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
    """

    seq: int
    kind: Kind
    suffix: str
    payload: bytes
    qos: int
    retain: bool
    lane: Lane
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Where every accepted message is: ``accepted = delivered + queued + parked + sum(dropped)``.

    ``queued`` includes what is in flight. ``dropped`` has every kind, also at 0.
    """

    accepted: int
    delivered: int
    queued: int
    parked: int
    dropped: dict[Kind, int]


class Outbox:
    """Messages between the program and the broker.

    Parameters
    ----------
    node, boot : who we are and which run this is, for the envelope
    capacity : visits that may wait, besides one message per topic of the other kinds and what is in flight
    """

    def __init__(self, *, node: str, boot: str, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}, expected at least 1")
        self.node = node
        self.boot = boot
        self._capacity = capacity
        self._lock = threading.Lock()
        self._seq = 0
        # Dictionaries keep the order of insertion, which is that of seq: a lane's first key is its oldest.
        self._lanes: dict[Lane, dict[int, Entry]] = {lane: {} for lane in (*VISIT_LANES, "newest")}
        self._newest: dict[str, int] = {}
        self._returned: deque[Entry] = deque()
        self._in_flight: dict[int, Entry] = {}
        self._parked: deque[Entry] = deque(maxlen=PARKED_KEPT)
        self._parked_count = 0
        self._delivered = 0
        self._dropped: Counter[Kind] = Counter()
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
            )
            self._put(entry)
            wake = self._on_accept
        if wake is not None:
            wake()
        return seq

    def on_accept(self, wake: Callable[[], None] | None) -> None:
        """Call ``wake`` after each message that is accepted, in the thread that hands it in."""
        with self._lock:
            self._on_accept = wake

    def resize(self, capacity: int) -> None:
        """Change how many visits may wait; what no longer fits is dropped in the usual order."""
        with self._lock:
            self._capacity = capacity
            while sum(len(self._lanes[lane]) for lane in VISIT_LANES) > capacity:
                fullest = next(lane for lane in VISIT_LANES if self._lanes[lane])
                self._drop(next(iter(self._lanes[fullest].values())))

    def take(self) -> Entry | None:
        """Take the oldest that waits; it is in flight until `done`, `park` or `give_back`."""
        with self._lock:
            if self._returned:
                entry = self._returned.popleft()
            else:
                heads = [next(iter(lane.values())) for lane in self._lanes.values() if lane]
                if not heads:
                    return None
                entry = min(heads, key=lambda head: head.seq)
                self._remove(entry)
            self._in_flight[entry.seq] = entry
            return entry

    def done(self, entry: Entry) -> None:
        """Count it as delivered: acknowledged, or written out where nothing is acknowledged."""
        with self._lock:
            del self._in_flight[entry.seq]
            self._delivered += 1

    def park(self, entry: Entry) -> None:
        """Set aside what the broker refused: not sent again unless `release` allows its topic."""
        with self._lock:
            del self._in_flight[entry.seq]
            self._parked_count += 1
            # An old retained message must not follow a newer one, so only visits are kept.
            if entry.lane != "newest" and not entry.again:
                self._parked.append(entry)

    def release(self, suffix: str) -> None:
        """Queue once more the visits parked for a topic that the broker has begun to allow."""
        with self._lock:
            allowed = [entry for entry in self._parked if entry.suffix == suffix]
            kept = [entry for entry in self._parked if entry.suffix != suffix]
            self._parked = deque(kept, maxlen=PARKED_KEPT)
            self._parked_count -= len(allowed)
            again = [replace(entry, again=True) for entry in allowed]
            self._returned = deque(sorted([*self._returned, *again], key=lambda entry: entry.seq))

    def give_back(self) -> None:
        """Put everything that is in flight in front of the queue again, in order: the connection was lost."""
        with self._lock:
            together = [*self._returned, *self._in_flight.values()]
            self._returned = deque(sorted(together, key=lambda entry: entry.seq))
            self._in_flight.clear()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        with self._lock:
            return self._waiting() == 0

    def counters(self) -> Counters:
        """Where every message accepted so far is."""
        with self._lock:
            return Counters(
                accepted=self._seq,
                delivered=self._delivered,
                queued=self._waiting(),
                parked=self._parked_count,
                dropped={kind: self._dropped[kind] for kind in KINDS},
            )

    def _waiting(self) -> int:
        return len(self._returned) + len(self._in_flight) + sum(len(lane) for lane in self._lanes.values())

    def _put(self, entry: Entry) -> None:
        if entry.lane == "newest":
            older = self._newest.get(entry.suffix)
            if older is not None:
                self._drop(self._lanes["newest"][older])
            self._newest[entry.suffix] = entry.seq
        self._lanes[entry.lane][entry.seq] = entry
        if sum(len(self._lanes[lane]) for lane in VISIT_LANES) > self._capacity:
            fullest = next(lane for lane in VISIT_LANES if self._lanes[lane])
            self._drop(next(iter(self._lanes[fullest].values())))

    def _drop(self, entry: Entry) -> None:
        self._remove(entry)
        self._dropped[entry.kind] += 1

    def _remove(self, entry: Entry) -> None:
        del self._lanes[entry.lane][entry.seq]
        if self._newest.get(entry.suffix) == entry.seq:
            del self._newest[entry.suffix]
