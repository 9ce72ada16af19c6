"""Degradation levels: what is left out first where a board cannot do everything, and what comes back last.

A level says what is done at it, all in all; each does a little less than the one before. Files are always analysed at
the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class Level(Struct, frozen=True, kw_only=True):
    """How much is done.

    Attributes
    ----------
    name : as `health` says it
    text : what is left out beside the level before, in words
    sampling : networks for faces sample a person so many times as rarely; a recurrent network keeps its beat
    every : faces are looked for in every so many-th frame; between, tracks move by prediction
    smallest : the detector has its smallest usual input, whatever is configured, and looks nowhere finer
    one_call : each network for faces is called once a frame at most; who is not in it waits for the next
    """

    name: str
    text: str
    sampling: float = 1.0
    every: int = 1
    smallest: bool = False
    one_call: bool = False


FULL = Level(name="full", text="everything is done")
LEVELS: Sequence[Level] = (
    FULL,
    Level(name="sampling/2", text="networks look at each person half as often", sampling=2),
    Level(name="detection/2", text="faces are looked for in every other frame", sampling=2, every=2),
    Level(
        name="smallest input",
        text="faces are looked for in the smallest input, small and far ones no more",
        sampling=2,
        every=2,
        smallest=True,
    ),
    Level(
        name="one call",
        text="each network is called once a frame at most",
        sampling=2,
        every=2,
        smallest=True,
        one_call=True,
    ),
    Level(
        name="sampling/4",
        text="networks look at each person a quarter as often",
        sampling=4,
        every=2,
        smallest=True,
        one_call=True,
    ),
    Level(
        name="detection/4",
        text="faces are looked for in every fourth frame",
        sampling=4,
        every=4,
        smallest=True,
        one_call=True,
    ),
)
"""In the order in which they are taken; they are left in the reverse order."""


def usable(*, smaller_input: bool) -> Sequence[Level]:
    """The levels that change something: without that of the input where the smallest one is in use anyway."""
    return [level for level in LEVELS if smaller_input or level.name != "smallest input"]


class Costs(Struct, frozen=True, kw_only=True):
    """What live cameras have cost lately at one level.

    Attributes
    ----------
    rate : frames a second that they are to be analysed at, all cameras together
    detect_s : seconds of one search for faces, mean
    frame_s : seconds of one frame without search and networks for faces, mean
    answer_s : seconds a second in networks for faces
    waiting : inferences that were wanted, over those that were made; 1: none had to wait
    shrunk : pixels of the detector's configured input over those of the one in use; 1: it is in use
    """

    rate: float = 0.0
    detect_s: float = 0.0
    frame_s: float = 0.0
    answer_s: float = 0.0
    waiting: float = 1.0
    shrunk: float = 1.0


def demand(costs: Costs, *, now: Level, at: Level) -> float:
    """Share of one thread's time that ``at`` would take, of what was measured at ``now``: 1 is all of it.

    Towards more work it is never too small: rarer samples may have been first ones, which were as frequent anyway, a
    smaller input may have cost more than its share of pixels, and who waits may be asked for several times.
    """
    detect_s = costs.detect_s * (costs.shrunk if now.smallest and not at.smallest else 1.0)
    answer_s = costs.answer_s * max(1.0, now.sampling / at.sampling)
    if now.one_call and not at.one_call:
        answer_s *= costs.waiting
    return costs.rate * (costs.frame_s + detect_s / at.every) + answer_s
