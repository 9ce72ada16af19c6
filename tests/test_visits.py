"""What is known of a visit, and what is told of it."""

from __future__ import annotations

from itertools import count, pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import Person, film

from edgeface.attributes.affect import Affect
from edgeface.attributes.categorical import Categorical
from edgeface.attributes.expectation import Expectation
from edgeface.bundle import AffectHead, CategoricalHead, ExpectationHead
from edgeface.config import Visits
from edgeface.people.schedule import Scheduler
from edgeface.people.tracker import Tracker
from edgeface.people.visits import VisitBook
from edgeface.questions import Schedule, VisitAge
from edgeface.questions.fusion import ExpressionState, add_expression
from edgeface.types import Answer, Head, Task, Track
from edgeface.visit import VisitChange

SUPPORT = tuple(float(age) for age in range(150))
MOODS = ("happy", "sad", "neutral")
HEADS: dict[Task, Head] = {
    "age": Expectation("age", ExpectationHead(support=SUPPORT, output="p")),
    "gender": Categorical("gender", CategoricalHead(labels=("female", "male"), output="p")),
    "expression": Categorical("expression", CategoricalHead(labels=MOODS, output="p")),
    "affect": Affect("affect", AffectHead(output="p")),
}


def make_book(**changes: float) -> VisitBook:
    numbers = count(1)
    return VisitBook("main", Visits(**changes), HEADS, lambda: f"v{next(numbers)}")  # type: ignore[arg-type]


def track(
    number: int = 1, *, now_s: float = 0.0, started_s: float = 0.0, confirmed: bool = True, x: float = 0
) -> Track:
    return Track(
        id=number,
        box=np.array([x, 0, x + 10, 10], np.float32),
        score=0.9,
        detection=0,
        started_s=started_s,
        seen_s=now_s,
        confirmed=confirmed,
    )


def age(years: float, *, quality: float = 0.8, time_s: float = 0.0, deviation: float = 5.0) -> Answer:
    """A bell curve."""
    curve = np.exp(-(((np.array(SUPPORT) - years) / deviation) ** 2) / 2)
    return Answer(task="age", probabilities=(curve / curve.sum()).astype(np.float32), quality=quality, time_s=time_s)


def gender(female: float, *, quality: float = 0.8) -> Answer:
    probabilities = np.array([female, 1 - female], np.float32)
    return Answer(task="gender", probabilities=probabilities, quality=quality, time_s=0.0)


def mood(label: str, time_s: float, *, sure: float = 0.9, quality: float = 0.8) -> Answer:
    probabilities = np.full(len(MOODS), (1 - sure) / (len(MOODS) - 1), np.float32)
    probabilities[MOODS.index(label)] = sure
    return Answer(task="expression", probabilities=probabilities, quality=quality, time_s=time_s)


def affect(valence: float, arousal: float, *, quality: float = 0.8) -> Answer:
    return Answer(task="affect", probabilities=np.array([valence, arousal], np.float32), quality=quality, time_s=0.0)


def events(changes: list[VisitChange]) -> list[tuple[str, str]]:
    return [(change.event, change.visit.id) for change in changes]


def test_a_visit_starts_updates_and_ends_once() -> None:
    book = make_book()
    assert book.observe(0.0, [track(confirmed=False)]) == []
    assert events(book.observe(0.3, [track(now_s=0.3)])) == [("start", "v1")]
    for _ in range(3):
        book.absorb(1, age(30))
    assert book.observe(1.0, [track(now_s=1.0)]) == []
    (update,) = book.observe(2.4, [track(now_s=2.4)])
    assert (update.event, update.visit.known.age.years) == ("update", pytest.approx(30))  # type: ignore[union-attr]
    assert book.observe(5.0, [track(now_s=5.0)]) == [], "nothing new was learned"
    (end,) = book.observe(8.0, [])
    assert (end.event, end.reason, end.visit.ended_s) == ("end", "lost", 5.0)
    assert book.observe(9.0, []) == []


def test_affect_is_the_mean_of_the_looks_by_their_quality() -> None:
    book = make_book()
    book.observe(0.0, [track()])
    for look in (affect(1, 0, quality=0.6), affect(-0.2, 0.4, quality=0.2), affect(0, 0, quality=0.1)):
        book.absorb(1, look)
        assert book.current()[0].known.affect is None
    book.absorb(1, affect(0, 0.4, quality=0.2))
    (visit,) = book.current()
    assert visit.known.affect is not None
    assert (visit.known.affect.valence, visit.known.affect.arousal) == pytest.approx((0.56, 0.16), abs=1e-6)
    assert visit.known.affect.samples == 3, "the third look was too poor to count"
    (update,) = book.observe(2.1, [track(now_s=2.1)])
    assert update.event == "update"
    book.absorb(1, affect(0.6, 0.16))
    assert book.observe(4.2, [track(now_s=4.2)]) == [], "a hair more is no news"
    for _ in range(9):
        book.absorb(1, affect(-1, -1))
    assert events(book.observe(6.3, [track(now_s=6.3)])) == [("update", "v1")]


def test_who_was_never_confirmed_is_never_told() -> None:
    book = make_book()
    book.observe(0.0, [track(confirmed=False)])
    book.absorb(1, age(30))
    assert book.observe(1.0, []) == []
    assert book.close(2.0, "stopped") == []


def test_looks_before_the_start_count() -> None:
    book = make_book()
    book.observe(0.0, [track(confirmed=False)])
    for _ in range(3):
        book.absorb(1, age(50))
    (start,) = book.observe(0.4, [track(now_s=0.4)])
    assert start.visit.known.age is not None
    assert start.visit.known.age.samples == 3


@pytest.mark.parametrize(("settings", "said"), [({}, True), ({"gender_certainty": 0.8}, False)])
def test_the_threshold_of_the_bundle_counts_where_none_is_configured(settings: dict[str, float], said: bool) -> None:
    head = Categorical("gender", CategoricalHead(labels=("female", "male"), output="p", certainty=0.6))
    book = VisitBook("main", Visits(min_samples=1, **settings), {"gender": head}, lambda: "v")
    book.observe(0.0, [track()])
    book.absorb(1, gender(0.7))
    assert (book.current()[0].known.gender is not None) == said
    book.absorb(1, gender(0.3))
    book.absorb(1, gender(0.3))
    assert book.current()[0].known.gender is None, "0.57 for male"


def test_unknown_until_there_is_enough_evidence() -> None:
    book = make_book(min_samples=3, gender_certainty=0.8, expression_certainty=0.5)
    book.observe(0.0, [track()])
    book.absorb(1, gender(0.9))
    book.absorb(1, gender(0.9))
    assert book.current()[0].known.gender is None, "two looks"
    book.absorb(1, gender(0.9))
    assert book.current()[0].known.gender.label == "female"  # type: ignore[union-attr]
    for _ in range(5):
        book.absorb(1, gender(0.3))
    assert book.current()[0].known.gender is None, "looks that disagree"
    for step in range(4):
        book.absorb(1, mood("happy", step * 0.5, sure=0.45))
    assert book.current()[0].known.expression is None, "no label is likely enough"
    assert book.current()[0].known.age is None


def test_poor_looks_weigh_nothing_and_good_ones_more() -> None:
    book = make_book(min_quality=0.2)
    book.observe(0.0, [track()])
    for years, quality in ((20, 0.1), (30, 0.9), (30, 0.9), (40, 0.3)):
        book.absorb(1, age(years, quality=quality))
    known = book.current()[0].known.age
    assert known is not None
    assert known.samples == 3
    assert known.years == pytest.approx((30 * 1.8 + 40 * 0.3) / 2.1, abs=0.1)
    assert known.spread == pytest.approx(
        float(np.sqrt(np.cov([30, 30, 40], aweights=[0.9, 0.9, 0.3], ddof=0))), abs=0.1
    )


def test_a_look_weighs_as_it_is_sure() -> None:
    """A bell curve half as wide weighs four times in the pool, and its peak four times again."""
    book = make_book(min_samples=1)
    book.observe(0.0, [track()])
    book.absorb(1, age(40, deviation=10))
    book.absorb(1, age(60, deviation=5))
    assert book.current()[0].known.age.years == pytest.approx((40 + 16 * 60) / 17, abs=0.1)  # type: ignore[union-attr]


def test_one_look_rules_nothing_out() -> None:
    """Three that are certain of 30, and among them one of 60: each holds impossible what the others say."""
    book = make_book(min_samples=1)
    book.observe(0.0, [track()])
    for years in (30, 60, 30, 30):
        book.absorb(1, age(years, deviation=0.1))
    known = book.current()[0].known.age
    assert known is not None
    assert known.years == pytest.approx(30, abs=0.1)
    assert np.isfinite([known.low, known.high]).all()


@pytest.mark.parametrize("looks", [1, 7, 1000])
def test_looks_at_one_person_err_alike(looks: int) -> None:
    """No number of them narrows the interval; it is a little wider than that of each, by what was measured."""
    book = make_book(min_samples=1)
    book.observe(0.0, [track()])
    for _ in range(looks):
        book.absorb(1, age(50))
    known = book.current()[0].known.age
    assert known is not None
    assert known.years == pytest.approx(50, abs=0.01)
    assert known.high - known.low == pytest.approx(2 * 1.2816 * 5 / np.sqrt(0.77), abs=0.2), "docs/training.md"


def test_two_people_who_swap_places_keep_their_answers() -> None:
    book = make_book()
    book.observe(0.0, [track(1, x=0), track(2, x=100)])
    for _ in range(4):
        book.absorb(1, age(20))
        book.absorb(2, age(60))
        book.absorb(1, gender(0.99))
        book.absorb(2, gender(0.01))
    book.observe(1.0, [track(2, now_s=1.0, x=0), track(1, now_s=1.0, x=100)])
    known = {float(visit.box[0]): visit for visit in book.current()}
    assert known[100].known.age.years == pytest.approx(20, abs=0.01)  # type: ignore[union-attr]
    assert known[0].known.age.years == pytest.approx(60, abs=0.01)  # type: ignore[union-attr]
    assert known[100].known.gender.label == "female"  # type: ignore[union-attr]
    assert known[0].known.gender.label == "male"  # type: ignore[union-attr]


def test_two_people_who_walk_past_each_other_keep_their_answers() -> None:
    """From detections to visits: the left one is young, the right one old, and they swap places."""
    tracker, book = Tracker(lost_after_s=2.0, confirm_s=0.3), make_book()
    walkers = [Person(x=300, y=300, drift=1.0), Person(x=940, y=310, drift=-1.0, hidden=((3.75, 4.25),))]
    told: list[VisitChange] = []
    for shot in film(walkers, fps=10, seconds=8, seed=3):
        tracks = tracker.update(shot.time_s, shot.detections)
        told += book.observe(shot.time_s, tracks)
        for followed in tracks:
            # A network sees the pixels, so its answer is of the face that is really there.
            if followed.detection is not None and abs(shot.time_s - 4) > 0.4:
                owner = shot.owners[followed.detection]
                book.absorb(followed.id, age((20, 60)[owner], time_s=shot.time_s))
                book.absorb(followed.id, gender((0.99, 0.01)[owner]))
    told += book.close(8.0, "source_ended")
    assert [change.event for change in told].count("start") == 2
    ends = sorted((change.visit for change in told if change.event == "end"), key=lambda visit: float(visit.box[0]))
    old, young = ends
    assert (old.known.age.years, old.known.age.spread) == (pytest.approx(60, abs=1e-3), pytest.approx(0, abs=1e-3))  # type: ignore[union-attr]
    assert (young.known.age.years, young.known.age.spread) == (pytest.approx(20, abs=1e-3), pytest.approx(0, abs=1e-3))  # type: ignore[union-attr]
    assert (old.known.gender.label, young.known.gender.label) == ("male", "female")  # type: ignore[union-attr]


@pytest.mark.parametrize("fps", [5, 10, 30])
def test_what_is_known_does_not_depend_on_the_frame_rate(fps: float) -> None:
    """Somebody looks 20 for two seconds and 60 for two more; the schedule decides how often that is asked."""
    book = make_book()
    scheduler = Scheduler({"age": Schedule(interval=0.4, initial_interval=0.4)})
    for index in range(int(4 * fps)):
        time_s = index / fps
        book.observe(time_s, [track(now_s=time_s)])
        for _ in scheduler.due(time_s, {1: 0.8}):
            book.absorb(1, age(20 if time_s < 2 else 60, time_s=time_s))
    known = book.current()[0].known.age
    assert known is not None
    assert known.samples == pytest.approx(10, abs=1)
    assert known.years == pytest.approx(40, abs=2)
    assert known.spread == pytest.approx(20, abs=1)


def test_a_worthless_look_is_no_look() -> None:
    book = make_book(min_quality=0.0, min_samples=1)
    book.observe(0.0, [track()])
    book.absorb(1, age(30, quality=0.0))
    assert book.current()[0].known.age is None
    book.absorb(1, age(30, quality=0.01))
    assert book.current()[0].known.age.years == pytest.approx(30)  # type: ignore[union-attr]


@given(st.lists(st.tuples(st.integers(25, 120), st.floats(0.15, 1)), min_size=3, max_size=20), st.randoms())
def test_the_order_of_looks_does_not_change_an_age(given_looks: list[tuple[int, float]], random: Random) -> None:
    def fused(samples: list[tuple[int, float]]) -> VisitAge:
        book = make_book()
        book.observe(0.0, [track()])
        for years, quality in samples:
            book.absorb(1, age(years, quality=quality))
        known = book.current()[0].known.age
        assert known is not None
        return known

    shuffled = list(given_looks)
    random.shuffle(shuffled)
    first, second = fused(given_looks), fused(shuffled)
    years = [years for years, _ in given_looks]
    assert min(years) - 0.01 <= first.years <= max(years) + 0.01
    assert first.years == pytest.approx(second.years, abs=1e-3)
    assert first.spread == pytest.approx(second.spread, abs=1e-2)
    assert first.low <= first.high


def test_updates_keep_their_distance() -> None:
    book, told = make_book(min_samples=1, update_interval=2.0), list[float]()
    for index in range(100):
        time_s = index / 10
        told += [change.time_s for change in book.observe(time_s, [track(now_s=time_s)]) if change.event == "update"]
        book.absorb(1, age(25 + 0.8 * index, time_s=time_s))
    assert told == pytest.approx([2.0, 4.0, 6.0, 8.0])


def test_closing_ends_everybody() -> None:
    book = make_book()
    book.observe(0.0, [track(1), track(2), track(3, confirmed=False)])
    ends = book.close(1.0, "source_ended")
    assert [(change.event, change.reason) for change in ends] == [("end", "source_ended")] * 2
    assert book.current() == []


def test_an_expression_is_kept_until_another_is_clearly_likelier() -> None:
    state = ExpressionState()
    for step in range(8):
        state = add_expression(state, mood("happy", step * 0.5))
    flicker = add_expression(state, mood("sad", 4.0, sure=0.6))
    assert MOODS[flicker.dominant] == "happy"
    for step in range(8):
        state = add_expression(state, mood("sad", 4.0 + step * 0.5))
    assert MOODS[state.dominant] == "sad"


@given(
    st.lists(st.floats(0.44, 0.54), min_size=2, max_size=60), st.sampled_from([0.2, 0.5]), st.sampled_from([1.0, 0.4])
)
def test_noise_around_the_border_of_two_labels_changes_nothing(
    sure: list[float], every_s: float, weight: float
) -> None:
    """Each look holds happy or sad the likelier by at most a tenth, in any order."""
    state, said = ExpressionState(), []
    for number, happy in enumerate(sure):
        probabilities = np.array([happy, 0.98 - happy, 0.02], np.float32)
        answer = Answer(task="expression", probabilities=probabilities, quality=weight, time_s=number * every_s)
        state = add_expression(state, answer)
        said.append(state.dominant)
    assert len(set(said)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_loud_noise_changes_the_label_at_most_twice_a_minute(seed: int) -> None:
    """Looks that are for happy or for sad at random, by up to 0.4, twice a second, over five minutes."""
    rng, state, changes = np.random.default_rng(seed), ExpressionState(), 0
    for number in range(600):
        happy = float(rng.uniform(0.3, 0.7))
        probabilities = np.array([happy, 1 - happy, 0], np.float32)
        answer = Answer(task="expression", probabilities=probabilities, quality=0.8, time_s=number / 2)
        before, state = state, add_expression(state, answer)
        changes += before.now is not None and before.dominant != state.dominant
    assert changes <= 10


@given(st.lists(st.floats(0.36, 0.44), min_size=10, max_size=80), st.floats(0.2, 1.0), st.sampled_from([0.2, 0.5]))
def test_noise_around_the_threshold_flaps_no_label(sure: list[float], quality: float, every_s: float) -> None:
    """Below the threshold nobody wins, and who was lost comes back once it is clearly above."""
    book, told = make_book(min_samples=1, expression_certainty=0.4, min_quality=0.0), list[bool]()
    book.observe(0.0, [track()])
    for number, happy in enumerate(sure):
        probabilities = np.array([happy, 0.3, 0.7 - happy], np.float32)
        book.absorb(1, Answer(task="expression", probabilities=probabilities, quality=quality, time_s=number * every_s))
        told.append(book.current()[0].known.expression is not None)
    changes = sum(before != after for before, after in pairwise(told))
    assert changes <= 1, "at most it is lost"


@pytest.mark.parametrize(("sure", "within_s"), [(0.6, 4.0), (0.8, 3.0)])
@given(st.floats(0.6, 1.0), st.floats(0, 0.2), st.floats(0.2, 0.5), st.integers(1, 60))
def test_a_real_change_is_told_within_seconds(
    sure: float, within_s: float, before: float, more: float, every_s: float, count: int
) -> None:
    book = make_book(min_samples=1, expression_certainty=0.4)
    book.observe(0.0, [track()])
    for step in range(count):
        book.absorb(1, mood("happy", step * every_s, sure=before))
    changed_s = time_s = count * every_s
    while time_s - changed_s <= within_s:
        book.absorb(1, mood("sad", time_s, sure=sure + more))
        time_s += every_s
    known = book.current()[0].known.expression
    assert known is not None
    assert known.dominant == "sad"


def test_an_end_names_what_showed_most_of_the_time() -> None:
    book = make_book(min_samples=1)
    book.observe(0.0, [track()])
    for step in range(20):
        book.absorb(1, mood("happy" if step < 14 else "sad", step * 0.5, sure=1.0))
    now = book.current()[0].known.expression
    assert now is not None
    assert now.dominant == "sad"
    assert now.seconds == pytest.approx(9.7)
    (end,) = book.close(10.0, "stopped")
    assert end.visit.known.expression is not None
    assert end.visit.known.expression.dominant == "happy"


@pytest.mark.parametrize(
    ("sure", "last", "said"), [(0.9, 0.2, "happy"), (0.2, 0.9, None)], ids=["an unclear end", "a clear end"]
)
def test_an_end_is_told_by_the_whole_visit_and_not_by_its_last_moment(
    sure: float, last: float, said: str | None
) -> None:
    book = make_book(min_samples=1)
    book.observe(0.0, [track()])
    for step in range(60):
        book.absorb(1, mood("happy", step * 0.5, sure=sure if step < 50 else last))
    now = book.current()[0].known.expression
    assert (now is None) == (said is not None)
    (end,) = book.close(31.0, "stopped")
    told = end.visit.known.expression
    assert (told.dominant if told else None) == said


def test_an_end_changes_nothing_but_what_is_now() -> None:
    book = make_book(min_samples=2)
    book.observe(0.0, [track()])
    for answer in (age(30), age(34), gender(0.9), gender(0.9), affect(0.4, -0.1), mood("sad", 0.0)):
        book.absorb(1, answer)
    known = book.current()[0].known
    assert (known.age is None, known.gender is None, known.affect is None) == (False, False, True)
    (end,) = book.close(1.0, "stopped")
    assert end.visit.known == known


def test_a_hair_does_not_change_what_is_said() -> None:
    state = add_expression(ExpressionState(), mood("happy", 0.0, sure=0.5))
    state = add_expression(state, mood("sad", 0.1, sure=0.55))
    assert state.now is not None
    assert int(np.argmax(state.now)) == MOODS.index("sad")
    assert MOODS[state.dominant] == "happy"


def test_shares_are_of_time_not_of_looks() -> None:
    state = ExpressionState()
    for time_s in (*np.arange(0, 2, 0.1), 2.5, 3.0, 3.5, 4.0):
        state = add_expression(state, mood("happy" if time_s < 2 else "sad", float(time_s), sure=1.0))
    assert state.shares[1] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("fps", [2, 5, 10, 30])
def test_shares_do_not_depend_on_how_often_we_look(fps: float) -> None:
    state = ExpressionState()
    for index in range(int(10 * fps)):
        time_s = index / fps
        state = add_expression(state, mood("happy" if time_s < 6 else "sad", time_s, sure=1.0))
    assert state.shares.sum() == pytest.approx(1)
    assert state.shares[0] == pytest.approx(0.6, abs=0.05)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.floats(0.01, 3), st.sets(st.integers(1, 4)), st.sampled_from(["age", "gender", "expression"])),
        max_size=25,
    )
)
def test_start_comes_before_updates_and_one_end(steps: list[tuple[float, set[int], str]]) -> None:
    book, told, time_s = make_book(), list[VisitChange](), 0.0
    gone: set[int] = set()
    live: set[int] = set()
    for elapsed_s, numbers, task in steps:
        time_s += elapsed_s
        gone |= live - numbers
        live = numbers - gone
        told += book.observe(time_s, [track(number, now_s=time_s) for number in sorted(live)])
        for number in live:
            answers = {"age": age(40), "gender": gender(0.9), "expression": mood("sad", time_s)}
            book.absorb(number, answers[task])
    told += book.close(time_s, "stopped")
    by_visit: dict[str, list[str]] = {}
    for change in told:
        by_visit.setdefault(change.visit.id, []).append(change.event)
        if change.visit.known.expression:
            assert sum(change.visit.known.expression.shares.values()) == pytest.approx(1, abs=1e-5)
    for order in by_visit.values():
        assert order[0] == "start"
        assert order[-1] == "end"
        assert set(order[1:-1]) <= {"update"}
