"""When `health` is due."""

from __future__ import annotations

from people import told

from edgeface.publish.outbox import Outbox
from edgeface.service.beat import HealthBeat, Troubles, troubles
from edgeface.service.standing import Look

FINE, AWAY = Troubles(), Troubles(away=frozenset({"door"}))


def test_each_minute_and_soon_after_a_change() -> None:
    beat, now, told_at = HealthBeat(every_s=60, extra_s=10), FINE, []
    # The camera goes after 5 s, comes back after 7 s, goes for good after 100 s.
    for tenth in range(2000):
        at_s = tenth / 10
        now = AWAY if 5 <= at_s < 7 or at_s >= 100 else FINE
        if beat.due(at_s, [now].pop):
            beat.told(at_s, now)
            told_at.append((round(at_s), now is AWAY))
    assert told_at == [(0, False), (5, True), (15, False), (75, False), (100, True), (160, True)]


def test_it_looks_once_a_second() -> None:
    beat, asked = HealthBeat(every_s=60, extra_s=10), iter([FINE] * 10)
    beat.told(0.0, FINE)
    for tenth in range(100):
        assert not beat.due(tenth / 10, lambda: next(asked))
    assert next(asked, None) is None


def test_what_is_wrong() -> None:
    outbox = Outbox(node="hall", boot="b007", capacity=100)
    looks = {"door": Look(status="away", frames=0), "desk": Look(status="running", frames=3)}
    assert troubles(looks, outbox, {"yunet": 0}, None) == AWAY
    outbox.accept(told("start"))
    entry = outbox.take(lambda _: True)
    assert entry is not None
    outbox.reject(entry)
    found = troubles({}, outbox, {"yunet": 2}, "no")
    assert found == Troubles(refused=True, invalid=frozenset({"yunet"}), error="no")
