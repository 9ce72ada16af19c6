"""Which inferences are due now: a network runs only as often as its answer changes.

A new person is sampled at once and a few times soon after; then every n seconds; and early when the view is clearly
better than any that the network has had of this person. All times are source time in seconds; no clock is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from edgeface.bundle import Network
from edgeface.config import Config
from edgeface.errors import ConfigError
from edgeface.questions import QUESTIONS, Schedule
from edgeface.types import Task

BUDGET = 64
"""Most inferences asked for in one frame; the rest comes in the next ones, those who waited longest first."""

TICK_S = 1e-3
"""Time stamps are no finer than this: 0.6 s - 0.4 s is 0.2 s."""


class Inference(NamedTuple):
    """One inference that is due; ``overdue_s`` is infinite for a face that the network has never sampled."""

    network: str
    track: int
    overdue_s: float


class _Asked(NamedTuple):
    """What one network has had of one track."""

    samples: int
    last_s: float
    best: float


def choose_schedule(network: Network, tasks: Iterable[Task], config: Config) -> Schedule:
    """How often a network samples one person: as its most impatient question wants, but for what is configured.

    A recurrent network samples in the beat in which it was trained, and no view is good enough to break it.

    Raises
    ------
    ConfigError : a `[schedule.<network>]` table for a recurrent network
    """
    own = config.schedule.get(network.name)
    if network.time is None:
        usual = min((QUESTIONS[task].schedule for task in tasks), key=lambda schedule: schedule.interval)
        return usual if own is None else own.over(usual)
    if own is not None:
        raise ConfigError(
            f"network {network.name} looks every {network.time.spacing_s:g} s, as in its training",
            fix=f"remove [schedule.{network.name}]",
        )
    return Schedule(interval=network.time.spacing_s, initial_interval=network.time.spacing_s)


class Scheduler:
    """Remembers, per network and track, when and how well it was sampled.

    Parameters
    ----------
    schedules : by network name
    budget : most requests per call
    steady : networks that keep their beat whatever happens: recurrent ones

    Attributes
    ----------
    slower : every interval but a steady network's is so many times as long
    deferred : inferences that were due and had to wait for a later frame, counted at each frame
    """

    def __init__(self, schedules: Mapping[str, Schedule], *, budget: int = BUDGET, steady: Iterable[str] = ()) -> None:
        self._schedules = dict(schedules)
        self._budget = budget
        self._steady = frozenset(steady)
        self.slower = 1.0
        self._asked: dict[int, dict[str, _Asked]] = {}
        self._before: dict[tuple[str, int], _Asked | None] = {}
        self._resting: frozenset[str] = frozenset()
        self.deferred = 0

    def rest(self, networks: Iterable[str]) -> None:
        """Ask nothing of these networks; one that comes back begins anew with everybody."""
        self._resting = frozenset(networks)
        for asked in self._asked.values():
            for name in self._resting:
                asked.pop(name, None)

    def due(self, time_s: float, qualities: Mapping[int, float]) -> list[Inference]:
        """Say which inferences are due, and record that they are asked for.

        Parameters
        ----------
        time_s : source time of the frame
        qualities : by track id, `Quality.score` of the faces in view

        Returns
        -------
        First samples of new faces, then by how long they are overdue; within the budget.
        """
        wanted: list[Inference] = []
        for track, quality in qualities.items():
            asked = self._asked.setdefault(track, {})
            for name, schedule in self._schedules.items():
                if name in self._resting:
                    continue
                slower = 1.0 if name in self._steady else self.slower
                overdue_s = _overdue(schedule, asked.get(name), time_s, quality, slower=slower)
                if overdue_s is not None:
                    wanted.append(Inference(name, track, overdue_s))
        if len(wanted) > 1:
            wanted.sort(key=lambda inference: -inference.overdue_s)
        chosen = wanted[: self._budget]
        self.deferred += len(wanted) - len(chosen)
        self._before = {}
        for name, track, _ in chosen:
            before, quality = self._asked[track].get(name), qualities[track]
            self._before[name, track] = before
            samples, best = (1, quality) if before is None else (before.samples + 1, max(before.best, quality))
            self._asked[track][name] = _Asked(samples=samples, last_s=time_s, best=best)
        return chosen

    def defer(self, network: str, track: int) -> None:
        """Take back an inference that the latest call gave and that there was no time for; it stays as overdue."""
        before = self._before[network, track]
        if before is None:
            del self._asked[track][network]
        else:
            self._asked[track][network] = before
        self.deferred += 1

    def forget(self, track_ids: Iterable[int]) -> None:
        """Drop what is remembered of tracks that are gone."""
        for track in track_ids:
            self._asked.pop(track, None)


def _overdue(schedule: Schedule, asked: _Asked | None, time_s: float, quality: float, *, slower: float) -> float | None:
    """Seconds since the inference became due, infinite for a face never sampled; None while it is not due."""
    if asked is None:
        return float("inf")
    since_s = time_s - asked.last_s
    initial_s = slower * schedule.initial_interval
    interval_s = initial_s if asked.samples < schedule.initial_samples else slower * schedule.interval
    if since_s >= interval_s - TICK_S:
        return since_s - interval_s
    # A better view re-opens the question, but not more often than a new person's.
    better = quality > asked.best and quality >= schedule.improvement * asked.best
    if better and since_s >= initial_s - TICK_S:
        return 0.0
    return None
