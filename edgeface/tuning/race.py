"""A race in rounds: every runner once a round, the slower half out after each, the best time of each counts. Pure.

On a machine with other work a time is never too short, only too long: the best of several rounds is what it takes when
it is left alone, and rounds spread a busy minute over all. Jamieson, Talwalkar 2016 (successive halving), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")
HOPELESS = 2.0
"""Who needed so many times the best time in the first round is out at once, where many run."""


class Time(Struct, frozen=True, kw_only=True):
    """Milliseconds of one unit of work, on the wall and of the processor."""

    ms: float
    cpu_ms: float


@dataclass(slots=True, eq=False)
class Place(Generic[T]):
    """How one runner fared: its best times, in how many rounds, and why it fell out, if it did."""

    runner: T
    best: Time | None = None
    rounds: int = 0
    out: str = ""

    def add(self, time: Time) -> None:
        """Take in the time of a round."""
        best = self.best or time
        self.best = Time(ms=min(best.ms, time.ms), cpu_ms=min(best.cpu_ms, time.cpu_ms))
        self.rounds += 1


def race(
    runners: Sequence[T],
    run: Callable[[T], Time | str],
    *,
    clock: Callable[[], float],
    until_s: float,
    keep: int,
    rounds: int,
    first: int = 1,
    hopeless: float = HOPELESS,
) -> list[Place[T]]:
    """Let everybody run, in rounds.

    Parameters
    ----------
    run : gives a time, or why there is none: then the runner is out
    until_s : on ``clock``; no run begins later, but for the ``first`` runners of the first round
    keep : how many are not halved any more
    rounds : how often those are timed, where the time suffices
    first : runners that are timed whatever the clock says, and stay to the end
    hopeless : as `HOPELESS`

    Returns
    -------
    Everybody, the fastest first; then who fell out, and who was not timed.
    """
    places: list[Place[T]] = [Place(runner=runner) for runner in runners]
    kept = places[:first]
    left = list(places)
    for number in range(64):
        for place in left:
            if clock() >= until_s and not (number == 0 and place in kept):
                break
            result = run(place.runner)
            if isinstance(result, str):
                place.out = result
            else:
                place.add(result)
        left = _following(
            [place for place in left if place.best and not place.out],
            kept,
            keep=keep,
            hopeless=hopeless if number == 0 else float("inf"),
        )
        done = len(left) <= keep + len(kept) and min((place.rounds for place in left), default=rounds) >= rounds
        if done or clock() >= until_s:
            break
    return sorted(places, key=_rank)


def _following(left: list[Place[T]], kept: Sequence[Place[T]], *, keep: int, hopeless: float) -> list[Place[T]]:
    """Who runs in the next round, in the order of the list."""
    ranked = sorted(left, key=_rank)
    if not ranked:
        return []
    most = max(keep, (len(ranked) + 1) // 2)
    stay = [place for place in ranked[:most] if _ms(place) <= hopeless * _ms(ranked[0])]
    return [place for place in left if place in stay or place in kept]


def _ms(place: Place[T]) -> float:
    return float("inf") if place.best is None else place.best.ms


def _rank(place: Place[T]) -> tuple[bool, float]:
    return bool(place.out), _ms(place)


def winner(places: Sequence[Place[T]], *, usual: Place[T], like: float = 1.05, gain: float = 0.97) -> Place[T]:
    """Who is taken: of all that are about as fast as the fastest the one that costs the processor least.

    Parameters
    ----------
    usual : stays, unless the other needs at most ``gain`` of its time
    like : share of the fastest time up to which a time is as good
    """
    timed = [place for place in places if place.best and not place.out]
    if not timed:
        return usual
    fastest = min(_ms(place) for place in timed)
    good = [place for place in timed if _ms(place) <= like * fastest]
    best = min(good, key=lambda place: (place.best.cpu_ms if place.best else 0.0, _ms(place)))
    return best if _ms(best) <= gain * _ms(usual) or usual.out or usual.best is None else usual
