"""The governor: holds the cameras' rates by doing less, and more again; heat and want of power are causes as well.

Pure: a state and a reading give the next state. It goes down a level while a cause lasts, and up again, one by one,
when there is none and the level above would have room. Whether it has is not tried but calculated from what was
measured (`edgeface.engine.levels.demand`), with room between the two thresholds: at a constant load it does not swing
between two levels. All times are seconds of a clock that never jumps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from edgeface.engine.levels import Costs, Level, demand

Cause = Literal["heat", "power", "load"]
BUSY, ROOM = 0.9, 0.7
"""Share of a thread's time from which on it is too much, and up to which the level above has room."""
COOLER_C = 5.0
"""What was too hot must be cooler by so much before it is not."""
DOWN_S: dict[Cause, float] = {"load": 4.0, "heat": 8.0, "power": 8.0}
"""How long a cause must last before each step down: boards cool slowly."""
UP_S = 7.5
"""How long all must be well before each step up. At looks that are 2 s apart, more or less, that is 8 s: six levels are
back within 50 seconds."""
POWER = "under-voltage"


class Reading(Struct, frozen=True, kw_only=True):
    """How things are.

    Attributes
    ----------
    time_s : monotonic
    costs : of the live cameras, since the reading before
    temperature : of the hottest sensor, degrees Celsius; None where there is none
    troubles : what the board suffers from, as `edgeface.board.throttled` says it
    """

    time_s: float
    costs: Costs = Costs()
    temperature: float | None = None
    troubles: Sequence[str] = ()


class State(Struct, frozen=True, kw_only=True):
    """Where the governor stands.

    Attributes
    ----------
    level : place in the list of levels
    causes : why it goes down, or does not go up; empty: nothing is wrong now
    since_s : since when a cause lasts, or all is well; a step begins it anew
    """

    level: int = 0
    causes: tuple[Cause, ...] = ()
    since_s: float | None = None
    rising: bool = False


def step(state: State, reading: Reading, levels: Sequence[Level], *, hot_c: float | None) -> State:
    """Decide the next level.

    Parameters
    ----------
    levels : first the one at which everything is done
    hot_c : degrees Celsius from which on it is too hot; None: nothing is
    """
    place = min(state.level, len(levels) - 1)
    causes = _causes(state, reading, levels[place], hot_c=hot_c)
    if causes:
        patience_s = min(DOWN_S[cause] for cause in causes)
        return _move(state, place, reading, causes, rising=False, patience_s=patience_s, most=len(levels) - 1)
    above = levels[max(0, place - 1)]
    if place == 0 or demand(reading.costs, now=levels[place], at=above) > ROOM:
        return State(level=place)
    return _move(state, place, reading, (), rising=True, patience_s=UP_S, most=len(levels) - 1)


def _move(
    state: State,
    place: int,
    reading: Reading,
    causes: tuple[Cause, ...],
    *,
    rising: bool,
    patience_s: float,
    most: int,
) -> State:
    """Go a step when it is time; else wait on."""
    same = state.since_s is not None and state.rising == rising and state.level == place
    since_s = state.since_s if same and state.since_s is not None else reading.time_s
    if reading.time_s - since_s < patience_s:
        return State(level=place, causes=causes, since_s=since_s, rising=rising)
    following = place - 1 if rising else min(most, place + 1)
    return State(level=following, causes=causes, since_s=reading.time_s, rising=rising)


def _causes(state: State, reading: Reading, now: Level, *, hot_c: float | None) -> tuple[Cause, ...]:
    found: list[Cause] = []
    degrees = reading.temperature
    least_c = None if hot_c is None else hot_c - (COOLER_C if "heat" in state.causes else 0.0)
    slowed = any(trouble != POWER for trouble in reading.troubles)
    if slowed or (degrees is not None and least_c is not None and degrees >= least_c):
        found.append("heat")
    if POWER in reading.troubles:
        found.append("power")
    if demand(reading.costs, now=now, at=now) > BUSY:
        found.append("load")
    return tuple(found)
