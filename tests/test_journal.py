"""What lies on the disk of visits: never more than the next run needs, never less, and seldom written."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from spools import row

from edgeface.publish.journal import FLUSH_S, SETTLED_AT_ONCE, Journal, Row


class Disk:
    """What a journal's batches leave, and how often they were written and flushed."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.writes = 0
        self.flushes: list[float] = []

    def write(self, journal: Journal, now_s: float) -> None:
        batch = journal.batch(now_s)
        for key in batch.settled:
            old = self.rows[key]
            self.rows[key] = row(old.key, old.event, old.visit, settled=True)
        for key in batch.gone:
            del self.rows[key]
        for new in batch.new:
            assert new.key not in self.rows
            self.rows[new.key] = new
        self.writes += 1
        self.flushes += [now_s] if batch.flush else []
        journal.wrote(batch, now_s)

    def if_due(self, journal: Journal, now_s: float) -> None:
        if journal.wait_s(now_s) == 0:
            self.write(journal, now_s)


def test_a_visit_a_minute_costs_two_writes_and_two_flushes() -> None:
    journal, disk = Journal(), Disk()
    for minute in range(60):
        for event, second in (("start", 0), ("end", 20)):
            key = 2 * minute + (event == "end")
            journal.put(row(key, event, str(minute)))
            for wait in range(10):
                disk.if_due(journal, 60 * minute + second + wait)
                journal.settle(key)
    assert (disk.writes, len(disk.flushes)) == (120, 120)
    assert len(disk.rows) <= 3


def test_while_nobody_comes_nothing_is_due() -> None:
    journal, disk = Journal(), Disk()
    assert journal.wait_s(1e6) == float("inf")
    journal.put(row(0, "start", "a"))
    disk.if_due(journal, 10)
    journal.settle(0)
    assert journal.wait_s(1e6) == float("inf"), "what the broker acknowledged goes with the next row"


def test_flushes_are_two_seconds_apart_and_the_last_row_gets_one() -> None:
    journal, disk = Journal(), Disk()
    for tenth in range(100):
        journal.put(row(tenth, "start", str(tenth)))
        disk.if_due(journal, tenth / 10)
    assert disk.writes == 100, "each is with the kernel before it is published"
    while (wait_s := journal.wait_s(9.9)) not in (0, float("inf")):
        disk.write(journal, 9.9 + wait_s)
    assert disk.flushes[-1] >= 9.9
    assert all(later - before >= FLUSH_S for before, later in zip(disk.flushes, disk.flushes[1:], strict=False))


def test_settled_rows_are_written_before_a_kill_would_repeat_many() -> None:
    journal, disk = Journal(), Disk()
    for key in range(SETTLED_AT_ONCE):
        journal.put(row(2 * key, "start", str(key)))
        journal.put(row(2 * key + 1, "end", str(key)))
    disk.write(journal, 0)
    for key in range(SETTLED_AT_ONCE):
        assert journal.wait_s(0) > 0
        journal.settle(key)
    assert journal.wait_s(0) == 0
    disk.write(journal, 0)
    assert journal.repeats == 0


def test_a_start_stays_until_its_visit_ends_and_the_newest_until_another_comes() -> None:
    journal, disk = Journal(), Disk()
    journal.put(row(0, "start", "a"))
    disk.write(journal, 0)
    journal.settle(0)
    journal.put(row(1, "start", "b"))
    disk.write(journal, 3)
    assert {key: kept.settled for key, kept in disk.rows.items()} == {0: True, 1: False}
    assert journal.lasting
    journal.put(row(2, "end", "a"))
    journal.put(row(3, "end", "b"))
    disk.write(journal, 6)
    assert list(disk.rows) == [1, 2, 3], "the start of a went with its end"
    for key in (3, 2, 1):
        journal.settle(key)
    disk.write(journal, 9)
    assert [(kept.key, kept.settled) for kept in disk.rows.values()] == [(3, True)], "it tells the last number"
    journal.end()
    disk.write(journal, 12)
    assert disk.rows == {}


def test_what_is_lost_is_written_anew() -> None:
    journal, disk = Journal(), Disk()
    for key in range(4):
        journal.put(row(key, "start", str(key)))
    disk.write(journal, 0)
    journal.lost()
    assert not journal.written(2)
    journal.settle(1)
    assert [new.key for new in journal.batch(9).new] == [0, 1, 2, 3]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 5)),
        st.tuples(st.just("end"), st.integers(0, 5)),
        st.tuples(st.just("settle"), st.integers(0, 40)),
        st.tuples(st.sampled_from(["write", "begin", "finish"]), st.just(0)),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_a_kill_at_any_moment_leaves_what_the_next_run_needs(steps: list[tuple[str, int]]) -> None:
    journal, disk = Journal(), Disk()
    lasting: dict[int, str] = {}
    put: dict[int, Row] = {}
    settled: set[int] = set()
    begun: Any = None
    names = 0
    for step, number in steps:
        if step == "start" and number not in lasting:
            lasting[number] = f"v{names}"
            names += 1
        if step == "start" or (step == "end" and number in lasting):
            name = lasting[number] if step == "start" else lasting.pop(number)
            if any(kept.visit == name and kept.event == step for kept in put.values()):
                continue
            new = row(len(put), step, name)
            put[new.key] = new
            journal.put(new)
        elif step == "settle" and number in put and journal.written(number):
            settled.add(number)
            journal.settle(number)
        elif step == "write" and begun is None:
            disk.write(journal, 0)
        elif step == "begin" and begun is None:
            begun = journal.batch(0)
        elif step == "finish" and begun is not None:
            for key in begun.settled:
                disk.rows[key] = row(key, disk.rows[key].event, disk.rows[key].visit, settled=True)
            for key in begun.gone:
                del disk.rows[key]
            disk.rows |= {new.key: new for new in begun.new}
            journal.wrote(begun, 0)
            begun = None
        written = {key for key in put if journal.written(key)}
        # Nothing is missing: what was written and is not settled lies there, to be told.
        told = {key for key, kept in disk.rows.items() if not kept.settled}
        assert written - settled <= told
        assert not told - put.keys()
        # The last number is there, and no visit looks open that has ended.
        if written:
            assert max(disk.rows) == max(written)
        ends = {kept.visit for kept in disk.rows.values() if kept.event == "end"}
        looks_open = {k.visit for k in disk.rows.values() if k.event == "start"} - ends
        ended = {put[key].visit for key in written if put[key].event == "end"}
        assert not looks_open & ended
        assert {put[key].visit for key in written if put[key].event == "start"} - ended <= looks_open
    if begun is None:
        disk.write(journal, 0)
        assert journal.repeats == 0
        assert disk.rows.keys() == journal._rows.keys()
