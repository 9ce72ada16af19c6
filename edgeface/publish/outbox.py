"""What waits for the broker: bounded, thread-safe, and clear about what it drops.

A message is stamped (node, boot, sequence number) and encoded when it is accepted. It waits in the queue of its
topic, so that a topic which rests holds up no other. Of `faces` and of the retained kinds only the newest per topic
waits: an older one is replaced. Visits and places wait in order; when there are more of them than ``capacity``, or more
than 128 MiB, the oldest of `places` goes first, then the oldest `update`, then the oldest `start`, an `end` only when
nothing else is left, for it tells the whole visit. Whatever goes leaves a gap in the sequence numbers and one count in
``dropped``. Every step costs the same however much waits.

With a `Spool`, a start or an end is on the disk before it may be taken, and there until it is settled; what earlier
runs left waits before everything else. When too many wait, the oldest visits go after the updates, start or end: what
is left are the newest visits, whole. Starts and ends have a count of their own, without gaps. What had to wait for a
connection says so (`replayed`).
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

import msgspec

from edgeface.events import KINDS, Body, Kind, SpoolHealth, as_replayed
from edgeface.publish.entries import Counters, Entry, Lane, Left
from edgeface.publish.journal import Row
from edgeface.publish.spool import Spool

CLEARED = -(2**62)
"""From here on topics are cleared: below all that the spool numbers."""
VISIT_LANES: tuple[Lane, ...] = ("place", "update", "start", "end")
"""In the order in which they are given up without a spool."""
TELL_TOTALS: frozenset[Kind] = frozenset({"state", "summary"})
REJECTED_KEPT = 100
"""Refused visits that are kept in case their topic is allowed later: 100 x 1 KB."""
MOST_BYTES = 128 * 2**20
"""Of waiting visits together: what the unit's MemoryMax leaves beside networks and cameras."""


class Outbox:
    """Messages between the program and the broker.

    Parameters
    ----------
    node, boot : who we are and which run this is, for the envelope
    spool : where starts and ends of visits lie until they are settled; None: in memory only
    capacity : visits that may wait, besides one message per topic of the other kinds and what is in flight
    most_bytes : bytes that the waiting visits may have together
    """

    def __init__(
        self, *, node: str, boot: str, capacity: int, most_bytes: int = MOST_BYTES, spool: Spool | None = None
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}, expected at least 1")
        self.node = node
        self.boot = boot
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._seq = 0
        self._number = 0
        self._spool = spool
        self._replayed = self._cleared = 0
        self._waited_below = 0
        # Linked lists: a plain dictionary searches for its first key past all that were taken before.
        self._queues: dict[str, OrderedDict[int, Entry]] = {}
        self._lanes: dict[Lane, OrderedDict[int, Entry]] = {lane: OrderedDict() for lane in VISIT_LANES}
        self._bytes = 0
        self._unsure: Counter[Kind] = Counter()
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
            number = self._next_number() if body.event in ("start", "end") else None
            message = body.stamped(node=self.node, boot=self.boot, seq=seq, number=number)
            entry = Entry(
                seq=seq,
                kind=body.kind,
                suffix=body.suffix,
                payload=msgspec.json.encode(message),
                qos=body.qos,
                retain=body.retain,
                lane="place" if body.kind == "places" else body.event or "newest",
                expires_s=body.expires_s,
            )
            if entry.lane == "newest":
                self._replace(entry.suffix)
            self._add(entry)
            if number is not None:
                self._put(entry, body.visit or "", number)
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
            # It carries no number of the messages': those count on without a gap, and what was replayed has others.
            seq = CLEARED + self._cleared
            self._add(Entry(seq=seq, kind=kind, suffix=suffix, payload=b"", qos=1, retain=True, lane="newest"))
        self.wake()

    def open(self) -> None:
        """Begin to use the spool, where there is one: what earlier runs left waits from now on; once."""
        if self._spool is not None:
            self._spool.open(self)

    def close(self) -> None:
        """Let the spool write its last word, where there is one; what is not settled waits in it for the next run."""
        if self._spool is not None:
            self._spool.close()

    @property
    def totals(self) -> Mapping[str, bytes]:
        """Totals of the day by camera that the spool has; empty without one."""
        return {} if self._spool is None else self._spool.totals

    def keep(self, totals: Mapping[str, bytes]) -> bool:
        """Let the spool keep totals of the day by camera, before they are told; False without one."""
        if self._spool is None:
            return False
        self._spool.keep(totals)
        return True

    def spool_health(self) -> SpoolHealth:
        """Describe the spool for the health message."""
        if self._spool is not None:
            return self._spool.health()
        with self._lock:
            number = self._number - 1 if self._number else None
            waiting = len(self._lanes["start"]) + len(self._lanes["end"])
        return SpoolHealth(state="off", error=None, number=number, waiting=waiting, bytes=0)

    def replay(self, rows: Sequence[Row]) -> None:
        """Queue what earlier runs left, before everything else."""
        with self._lock:
            self._replayed += len(rows)
            self._add_first(
                Entry(
                    seq=row.key,
                    kind="visits",
                    suffix=row.suffix,
                    payload=row.payload,
                    qos=1,
                    retain=False,
                    lane=row.event,
                )
                for row in rows
            )
            self._keep_bounds()
        self.wake()

    def connected(self) -> None:
        """Note that a connection stands: visits that wait by now are told later than they were meant to be."""
        with self._lock:
            self._waited_below = self._seq

    def wake(self) -> None:
        """Let the publisher look again at what may be taken."""
        with self._lock:
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
            free = (head for head in heads if self._safe(head) and may(head))
            entry = min(free, key=lambda head: head.seq, default=None)
            if entry is not None:
                self._remove(entry)
                if entry.lane != "newest" and entry.seq < self._waited_below:
                    entry = replace(entry, payload=as_replayed(entry.kind, entry.payload))
                self._in_flight[entry.seq] = entry
            return entry

    def done(self, entry: Entry) -> None:
        """Count it as delivered: acknowledged, or written out where nothing is acknowledged."""
        with self._lock:
            del self._in_flight[entry.seq]
            self._delivered += 1
            self._settle(entry)
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
            if entry.lane == "newest" or entry.again:
                self._settle(entry)
                return
            if len(self._rejected) == REJECTED_KEPT:
                self._settle(self._rejected[0])
            self._rejected.append(entry)

    def discard(self, entry: Entry) -> None:
        """Set aside what the broker will never take, as too large: counted as refused, and forgotten."""
        with self._lock:
            del self._in_flight[entry.seq]
            self._rejected_count[entry.kind] += 1
            self._settle(entry)

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
                accepted=self._seq + self._replayed + self._cleared,
                delivered=self._delivered,
                queued=len(self._in_flight) + self._waiting() - len(older),
                rejected=self._rejected_count.total(),
                rejected_visits=self._rejected_count["visits"],
                dropped={kind: self._dropped[kind] + sum(one.kind == kind for one in older) for kind in KINDS},
            )

    def undelivered(self) -> Left:
        """Count what the broker surely does not have; what is in flight is in doubt and left out.

        What waits in the spool is not: the next run delivers it.
        """
        with self._lock:
            places = len(self._lanes["place"]) - self._unsure["places"]
            visits = sum(len(lane) for lane in self._lanes.values()) - places - self._unsure.total()
            if self._spool is not None and self._spool.keeps:
                visits = min(visits, self._spool.lost)
            gone = self._rejected_count["visits"] + self._dropped["visits"] - self._dropped_unsure
            others = sum(
                not entry.unsure
                for queue in self._queues.values()
                for entry in ([next(reversed(queue.values()))] if queue else [])
                if entry.lane == "newest"
            )
            return Left(messages=visits + gone + places + others, visits=visits + gone, gone=gone)

    def _replace(self, suffix: str) -> None:
        for older in list(self._queues.get(suffix, {}).values()):
            self._drop(older)

    def kept(self) -> int:
        """How many starts and ends wait on the disk for the next run."""
        return self._spool.health().waiting - self._spool.lost if self._spool is not None else 0

    def _next_number(self) -> int:
        self._number += 1
        return self._number - 1

    def _put(self, entry: Entry, visit: str, number: int) -> None:
        if self._spool is not None and (entry.lane == "start" or entry.lane == "end"):
            self._spool.put(
                Row(
                    key=entry.seq,
                    boot=self.boot,
                    number=number,
                    seq=entry.seq,
                    suffix=entry.suffix,
                    event=entry.lane,
                    visit=visit,
                    payload=entry.payload,
                )
            )

    def _settle(self, entry: Entry) -> None:
        if self._spool is not None and entry.lane in ("start", "end"):
            self._spool.settle(entry.seq)

    def _safe(self, head: Entry) -> bool:
        """Whether the spool lets a message go: a start, an end, or totals of the day lie on the disk first."""
        if self._spool is None:
            return True
        if head.kind in TELL_TOTALS:
            return self._spool.current()
        if head.lane not in ("start", "end"):
            return True
        flying = sum(entry.lane in ("start", "end") for entry in self._in_flight.values())
        return self._spool.safe(head.seq, in_flight=flying)

    def _waiting(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def _add(self, entry: Entry) -> None:
        self._queues.setdefault(entry.suffix, OrderedDict())[entry.seq] = entry
        if entry.lane != "newest":
            self._lanes[entry.lane][entry.seq] = entry
            self._bytes += len(entry.payload)
            self._unsure[entry.kind] += entry.unsure

    def _add_first(self, entries: Iterable[Entry]) -> None:
        for entry in sorted(entries, key=lambda one: one.seq, reverse=True):
            self._add(entry)
            _move_first(self._queues[entry.suffix], entry.seq)
            if entry.lane != "newest":
                _move_first(self._lanes[entry.lane], entry.seq)

    def _keep_bounds(self) -> None:
        while sum(len(lane) for lane in self._lanes.values()) > self._capacity or self._bytes > self._most_bytes:
            heads = [next(iter(lane.values())) for lane in self._lanes.values() if lane]
            if self._spool is not None and heads[0].lane not in ("place", "update"):
                heads.sort(key=lambda entry: entry.seq)
            self._drop(heads[0])

    def _drop(self, entry: Entry) -> None:
        self._remove(entry)
        self._dropped[entry.kind] += 1
        self._dropped_unsure += entry.unsure and entry.kind == "visits"
        self._settle(entry)

    def _remove(self, entry: Entry) -> None:
        queue = self._queues[entry.suffix]
        del queue[entry.seq]
        if entry.lane != "newest":
            del self._lanes[entry.lane][entry.seq]
            self._bytes -= len(entry.payload)
            self._unsure[entry.kind] -= entry.unsure


def _move_first(queue: OrderedDict[int, Entry], seq: int) -> None:
    """Move a key to the front, behind those older ones that were put there before it."""
    older = list(takewhile(lambda other: other < seq, queue))
    for other in (seq, *reversed(older)):
        queue.move_to_end(other, last=False)
