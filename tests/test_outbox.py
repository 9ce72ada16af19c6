"""The outbox: stamps, order, what is dropped first, and books that balance."""

from __future__ import annotations

import json
import re
import threading
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import AGE, HAPPY, NOON, WOMAN, at, told, visit

from edgeface.config import Mqtt
from edgeface.events import Body, SummaryWindow, faces_body, notice_body, visit_body
from edgeface.publish.entries import Entry, Left
from edgeface.publish.outbox import REJECTED_KEPT, Outbox
from edgeface.visit import VisitChange

FACES = faces_body("main", 640, 360, [visit()], at=NOON)
SUMMARY = SummaryWindow("main", start_s=0).body(0, at=NOON, started_at=at)
NOTICE = notice_body(networks=[], at=NOON)


def make(capacity: int = 50, **options: Any) -> Outbox:
    return Outbox(node="hall", boot="b007", capacity=capacity, **options)


def drain(outbox: Outbox) -> list[Entry]:
    entries = []
    while (entry := outbox.take()) is not None:
        entries.append(entry)
        outbox.done(entry)
    return entries


def fields(entry: Entry) -> dict[str, Any]:
    value = json.loads(entry.payload)
    assert isinstance(value, dict)
    return value


def test_a_message_is_stamped_when_it_is_accepted() -> None:
    outbox = make()
    assert [outbox.accept(told("start")), outbox.accept(FACES), outbox.accept(told("end"))] == [0, 1, 2]
    first, second, _ = drain(outbox)
    assert list(fields(first))[:5] == ["v", "at", "node", "boot", "seq"]
    assert (fields(first)["node"], fields(first)["boot"], fields(first)["seq"]) == ("hall", "b007", 0)
    assert (first.suffix, first.qos, first.retain) == ("main/visits", 1, False)
    assert (second.suffix, second.qos, second.retain) == ("main/faces", 0, False)


@pytest.mark.parametrize(
    ("accepted", "left"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(["start"] * 3, ["start"] * 3, id="just full"),
        pytest.param(["update", "start", "end", "start"], ["start", "end", "start"], id="an update goes first"),
        pytest.param(["start", "start", "end", "update"], ["start", "start", "end"], id="even the one that comes"),
        pytest.param(["start", "end", "end", "end"], ["end", "end", "end"], id="then a start"),
        pytest.param(["end", "end", "end", "start"], ["end", "end", "end"], id="a start is no match for ends"),
        pytest.param(["end", "end", "end", "end"], ["end", "end", "end"], id="an end last"),
    ],
)
def test_what_is_dropped_first(accepted: list[Any], left: list[str]) -> None:
    outbox = make(capacity=3)
    for event in accepted:
        outbox.accept(told(event))
    dropped = len(accepted) - len(left)
    assert outbox.counters().dropped == {
        "visits": dropped,
        "places": 0,
        "faces": 0,
        "state": 0,
        "summary": 0,
        "health": 0,
        "notice": 0,
    }
    assert [fields(entry)["event"] for entry in drain(outbox)] == left


def test_the_oldest_of_a_kind_goes_first() -> None:
    outbox = make(capacity=2)
    for _ in range(4):
        outbox.accept(told("end"))
    assert [entry.seq for entry in drain(outbox)] == [2, 3]


def test_a_message_that_carries_the_counters_counts_what_it_replaces() -> None:
    outbox = make()
    outbox.accept(SUMMARY)
    told_before = outbox.counters(replaced_by="main/summary")
    outbox.accept(SUMMARY)
    assert told_before.dropped == outbox.counters().dropped
    assert (told_before.dropped["summary"], told_before.queued) == (1, 0)


def test_only_the_newest_of_faces_and_retained_kinds_waits() -> None:
    outbox = make()
    for body in (SUMMARY, FACES, NOTICE, FACES, told("start"), SUMMARY, FACES):
        outbox.accept(body)
    assert outbox.counters().dropped == {
        "visits": 0,
        "places": 0,
        "faces": 2,
        "state": 0,
        "summary": 1,
        "health": 0,
        "notice": 0,
    }
    assert [(entry.seq, entry.kind) for entry in drain(outbox)] == [
        (2, "notice"),
        (4, "visits"),
        (5, "summary"),
        (6, "faces"),
    ]


def test_cameras_do_not_replace_each_other() -> None:
    outbox = make()
    outbox.accept(FACES)
    outbox.accept(faces_body("door", 640, 360, [], at=NOON))
    assert [entry.suffix for entry in drain(outbox)] == ["main/faces", "door/faces"]


def test_what_is_in_flight_is_neither_replaced_nor_dropped() -> None:
    outbox = make(capacity=1)
    outbox.accept(SUMMARY)
    outbox.accept(told("update"))
    flying = [outbox.take(), outbox.take()]
    outbox.accept(SUMMARY)
    outbox.accept(told("end"))
    assert sum(outbox.counters().dropped.values()) == 0
    outbox.give_back([entry for entry in flying if entry], unsure=True)
    assert [entry.seq for entry in drain(outbox)] == [0, 1, 2, 3]
    assert [entry.seq for entry in flying if entry] == [0, 1]


def test_parked_messages_stay_until_their_topic_is_allowed() -> None:
    outbox = make()
    for body in (told("start"), told("start", camera="door"), SUMMARY):
        outbox.accept(body)
        entry = outbox.take()
        assert entry is not None
        outbox.reject(entry)
    assert (outbox.counters().rejected, outbox.idle) == (3, True)
    outbox.release("main/visits")
    outbox.release("main/summary")
    released = outbox.take()
    assert released is not None
    assert released.seq == 0
    assert outbox.take() is None
    outbox.reject(released)
    outbox.release("main/visits")
    assert outbox.take() is None, "refused twice is refused"
    assert outbox.counters().rejected == 3


def test_parked_messages_are_bounded_and_still_counted() -> None:
    outbox = make(capacity=1000)
    for _ in range(REJECTED_KEPT + 5):
        outbox.accept(told("start"))
        entry = outbox.take()
        assert entry is not None
        outbox.reject(entry)
    outbox.release("main/visits")
    assert len(drain(outbox)) == REJECTED_KEPT
    assert outbox.counters().rejected == 5


def test_who_accepts_wakes_the_publisher() -> None:
    outbox, woken = make(), Counter[str]()
    outbox.on_accept(lambda: woken.update(["once"]))
    outbox.accept(told("start"))
    outbox.on_accept(None)
    outbox.accept(told("end"))
    assert woken["once"] == 1


def test_a_capacity_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="capacity is 0"):
        make(capacity=0)


BODIES: list[Body] = [told("start"), told("update"), told("end"), FACES, SUMMARY, NOTICE]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), st.integers(0, len(BODIES) - 1)),
        st.tuples(st.sampled_from(["take", "done", "reject", "discard", "give_back", "release"]), st.just(0)),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, capacity=st.integers(1, 6))
def test_the_books_always_balance(steps: list[tuple[str, int]], capacity: int) -> None:
    outbox = make(capacity)
    flying: list[Entry] = []
    sent: list[int] = []
    for step, number in steps:
        if step == "accept":
            outbox.accept(BODIES[number])
        elif step == "take" and len(flying) < 20 and (entry := outbox.take()) is not None:
            flying.append(entry)
        elif step == "done" and flying:
            entry = flying.pop(0)
            sent.append(entry.seq)
            outbox.done(entry)
        elif step == "reject" and flying:
            outbox.reject(flying.pop())
        elif step == "discard" and flying:
            outbox.discard(flying.pop())
        elif step == "give_back":
            outbox.give_back(flying, unsure=bool(number))
            flying.clear()
        elif step == "release":
            outbox.release("main/visits")
        counters = outbox.counters()
        assert counters.accepted == (
            counters.delivered + counters.queued + counters.rejected + sum(counters.dropped.values())
        )
    assert len(set(sent)) == len(sent), "nothing is delivered twice"
    # In the end everything that is left comes out, oldest first, and no visit beyond the capacity waited.
    outbox.give_back(flying, unsure=False)
    rest = [entry.seq for entry in drain(outbox)]
    assert rest == sorted(rest)
    assert not set(rest) & set(sent)
    assert outbox.idle


@settings(max_examples=100, deadline=None)
@given(events=st.lists(st.sampled_from(["start", "update", "end"]), max_size=40), capacity=st.integers(1, 10))
def test_an_end_outlives_a_start_and_a_start_an_update(events: list[Any], capacity: int) -> None:
    outbox = make(capacity)
    for event in events:
        outbox.accept(told(event))
    left = Counter(fields(entry)["event"] for entry in drain(outbox))
    given_events = Counter(events)
    room = capacity
    for event in ("end", "start", "update"):
        expected = min(room, given_events[event])
        # An update that came while there was room may have gone for a start that went for an end later.
        assert left[event] <= expected
        room -= left[event]
    assert left["end"] == min(capacity, given_events["end"])
    assert sum(left.values()) <= capacity


def test_many_threads_hand_in_at_once() -> None:
    outbox = make(capacity=10_000)

    def hand_in() -> None:
        for _ in range(200):
            outbox.accept(told("start"))

    threads = [threading.Thread(target=hand_in) for _ in range(5)]
    for thread in threads:
        thread.start()
    taken = []
    while any(thread.is_alive() for thread in threads) or not outbox.idle:
        if (entry := outbox.take()) is not None:
            taken.append(entry.seq)
            outbox.done(entry)
    assert taken == list(range(1000))


def test_what_is_given_back_in_pieces_waits_in_order() -> None:
    outbox = make()
    for _ in range(4):
        outbox.accept(told("start"))
    flying = [outbox.take(), outbox.take(), outbox.take()]
    for entry in flying:
        assert entry is not None
        outbox.give_back([entry], unsure=False)
    assert [entry.seq for entry in drain(outbox)] == [0, 1, 2, 3]


def test_what_gives_way_lets_one_of_its_topic_before_it() -> None:
    outbox = make()
    for camera in ("main", "main", "main", "door"):
        outbox.accept(told("start", camera=camera))
    first = outbox.take()
    assert first is not None
    outbox.give_way(first)
    assert [entry.seq for entry in drain(outbox)] == [1, 0, 2, 3]
    outbox.accept(told("end"))
    alone = outbox.take()
    assert alone is not None
    outbox.give_way(alone)
    assert [entry.seq for entry in drain(outbox)] == [4], "with nobody behind it nothing changes"


def test_a_topic_that_may_not_be_taken_holds_up_no_other() -> None:
    outbox = make()
    for camera in ("main", "door", "main", "door"):
        outbox.accept(told("start", camera=camera))
    taken = [outbox.take(lambda entry: entry.suffix != "main/visits") for _ in range(3)]
    assert [entry.seq if entry else None for entry in taken] == [1, 3, None]
    assert outbox.counters().queued == 4


def test_only_what_was_delivered_and_not_followed_is_retained() -> None:
    outbox = make()
    assert outbox.retained() == []
    for body in (NOTICE, SUMMARY, FACES, told("start")):
        outbox.accept(body)
    drain(outbox)
    assert [entry.kind for entry in outbox.retained()] == ["notice", "summary"]
    outbox.accept(SUMMARY)
    assert [entry.kind for entry in outbox.retained()] == ["notice"], "a newer one waits"
    flying = outbox.take()
    assert flying is not None
    assert [entry.kind for entry in outbox.retained()] == ["notice"], "or is under way"
    outbox.done(flying)
    assert [entry.seq for entry in outbox.retained()] == [0, 4]


def test_what_is_surely_not_delivered_leaves_out_doubt_and_what_was_replaced() -> None:
    outbox = make(capacity=3)
    assert outbox.undelivered() == Left(messages=0, visits=0, gone=0)
    for body in (SUMMARY, SUMMARY, FACES, told("update"), told("start"), told("end"), told("end")):
        outbox.accept(body)
    # One update is dropped, three visits, a summary and the faces wait; an older summary was replaced.
    assert outbox.undelivered() == Left(messages=6, visits=4, gone=1)
    visit_entry = outbox.take(lambda entry: entry.kind == "visits")
    assert visit_entry is not None
    outbox.give_back([visit_entry], unsure=True)
    assert outbox.undelivered() == Left(messages=5, visits=3, gone=1)
    drain(outbox)
    assert outbox.undelivered() == Left(messages=1, visits=1, gone=1)


def test_memory_is_bounded_in_bytes_too() -> None:
    size = len(drain_one().payload)
    outbox = make(capacity=1000, most_bytes=10 * size + size // 2)
    for _ in range(50):
        outbox.accept(told("start"))
    assert outbox.counters().queued == 10


def drain_one() -> Entry:
    outbox = make()
    outbox.accept(told("start"))
    return drain(outbox)[0]


def test_emptying_costs_the_same_however_much_waits() -> None:
    def quickest_take_ns(waiting: int) -> int:
        """The least of twenty after all others were taken: noise only adds."""
        outbox = make(capacity=waiting)
        for _ in range(waiting):
            outbox.accept(told("start"))
        taken = []
        for _ in range(waiting):
            started_ns = time.perf_counter_ns()
            entry = outbox.take()
            taken.append(time.perf_counter_ns() - started_ns)
            assert entry is not None
            outbox.done(entry)
        return min(taken[-20:])

    assert quickest_take_ns(50_000) < 5 * quickest_take_ns(50)


def test_the_largest_queue_fits_the_unit() -> None:
    """Measured on entries as large as a visit with everything known."""
    unit = (Path(__file__).parents[1] / "systemd" / "edgeface.service").read_text()
    most_mb = int(re.search(r"MemoryMax=(\d+)M", unit).group(1))  # type: ignore[union-attr]
    most = msgspec.json.schema(Mqtt)["$defs"]["Mqtt"]["properties"]["queue"]["maximum"]
    number = 2000
    change = VisitChange(
        event="end", visit=visit(age=AGE, gender=WOMAN, expression=HAPPY, ended_s=2.0), time_s=2.0, reason="lost"
    )
    body = visit_body(change, at=NOON, started_at=at)
    outbox = make(capacity=number)
    tracemalloc.start()
    for _ in range(number):
        outbox.accept(body)
    each = tracemalloc.get_traced_memory()[0] / number
    tracemalloc.stop()
    assert each * most / 1e6 < most_mb / 3


def test_a_topic_is_cleared_by_an_empty_message_without_a_number() -> None:
    outbox = make()
    outbox.accept(SUMMARY)
    drain(outbox)
    outbox.accept(SUMMARY)
    outbox.clear("summary", "main/summary")
    (empty,) = drain(outbox)
    assert (empty.payload, empty.retain, empty.suffix) == (b"", True, "main/summary")
    assert outbox.retained() == [], "it would come back with the next connection"
    counters = outbox.counters()
    assert (counters.accepted, counters.delivered, counters.dropped["summary"]) == (3, 2, 1)
    assert outbox.accept(SUMMARY) == 2, "no gap"
