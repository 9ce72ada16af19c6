"""What a study found: trainings, the two bars, who is chosen, and by how much the bar is beaten, or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from converters.train.figures import reader_of
from converters.train.memory import FRAME, Arm
from converters.train.remembering import answer_windows, make_net, weights_count
from converters.train.study import Half, Study
from converters.train.weighted_mean import F64, Gain, fuse, gain, pool, years_of, years_off
from edgeface.bundle import Closed
from edgeface.types import F32

Way = tuple[str, Arm]
MARKS = (1, 2, 5, 10, 20)
"""Frames after which answers are told, beside the whole window."""


class Trained(Closed, frozen=True, kw_only=True):
    """One training: its score on the half that chooses, and what it is off on the half that tells.

    ``off`` has the years of every window by set, at its end; ``after`` their mean after so many frames; ``mean`` is, of
    a head for single frames, that of the weighted mean of its answers.
    """

    kind: str
    arm: Arm
    repeat: int
    score: float
    parameters: int
    core_hours: float
    off: dict[str, tuple[float, ...]]
    after: dict[str, dict[int, float]]
    mean: dict[str, tuple[float, ...]]

    @property
    def way(self) -> Way:
        """Kind and arm."""
        return self.kind, self.arm


class Report(Closed, frozen=True, kw_only=True):
    """A whole study; ``single``, ``bar`` and ``pool`` by set: years off of one frame, the weighted mean, the device.

    ``chosen`` is the kind and the arm with the best score of its repeats; ``gains`` by set and by what it is held
    against.
    """

    recipe_sha256: str
    network: str
    windows: dict[str, int]
    people: dict[str, int]
    single: dict[str, float]
    bar: dict[str, float]
    bar_after: dict[str, dict[int, float]]
    pool: dict[str, float]
    pool_after: dict[str, dict[int, float]]
    trained: tuple[Trained, ...]
    chosen: Way | None = None
    gains: dict[str, dict[str, Gain]] = msgspec.field(default_factory=dict)


def years_at_ends(study: Study, half: Half, answers: F32) -> F64:
    """Years off (N,) of answers (N, K)."""
    task, head = study.question
    reader = reader_of(task, head)
    read = reader.probabilities({head.output: answers})
    return years_off(years_of(reader, read), [row["age"] for row in half.features.rows])


def years_of_mean(study: Study, half: Half, answers: F32, *, pooled: bool = False) -> F64:
    """Years off (N,) of the weighted mean of answers (N, T, K); ``pooled``: of what a device makes of them."""
    task, head = study.question
    reader = reader_of(task, head)
    count, frames, _ = answers.shape
    read = reader.probabilities({head.output: answers.reshape(count * frames, -1)}).reshape(count, frames, -1)
    quality = half.features.quality[:, :frames]
    fused = np.stack([one.probabilities for one in pool(read, quality)]) if pooled else fuse(read, quality)
    return years_off(years_of(reader, fused), [row["age"] for row in half.features.rows])


class Bars(NamedTuple):
    """Years off (N,) of the last frame, of the weighted mean and of the device's pool; means of both by frames."""

    single: F64
    mean: F64
    pool: F64
    mean_after: dict[int, float]
    pool_after: dict[int, float]


def bars(study: Study) -> dict[str, Bars]:
    """What memory is held against, by set."""
    net = make_net(study.training, FRAME, study.begun).to(study.processes.device)
    found = {}
    for half in study.telling:
        answers = answer_windows(net, study.heads, study.memory.question, half.features)
        ways = [
            {mark: years_of_mean(study, half, answers[:, :mark], pooled=pooled) for mark in marks(study)}
            for pooled in (False, True)
        ]
        mean, pooled = (way[study.memory.frames] for way in ways)
        after = [{mark: float(off.mean()) for mark, off in way.items()} for way in ways]
        found[half.name] = Bars(years_at_ends(study, half, answers[:, -1]), mean, pooled, *after)
    return found


def marks(study: Study) -> list[int]:
    """Numbers of frames after which answers are told."""
    frames = study.memory.frames
    return sorted({*(mark for mark in MARKS if mark < frames), frames})


def tell_training(
    study: Study, kind: str, arm: Arm, repeat: int, net: Any, answers: Mapping[str, F32]
) -> dict[str, Any]:
    """What a training is off, from its answers (N, T, K) by set."""
    off, after, mean = {}, {}, {}
    for half in study.telling:
        said = answers[half.name]
        off[half.name] = _rounded(years_at_ends(study, half, said[:, -1]))
        after[half.name] = {mark: float(years_at_ends(study, half, said[:, mark - 1]).mean()) for mark in marks(study)}
        if kind == FRAME:
            mean[half.name] = _rounded(years_of_mean(study, half, said))
    parameters = weights_count(net)
    return {
        "kind": kind,
        "arm": arm,
        "repeat": repeat,
        "parameters": parameters,
        "off": off,
        "after": after,
        "mean": mean,
    }


def choose(trained: Sequence[Trained]) -> Way:
    """Kind and arm of the best mean score; single frames and the arm that trains everything are no choice here."""
    ways = dict.fromkeys(one.way for one in trained if one.kind != FRAME and one.arm != "all")
    return max(ways, key=lambda way: float(np.mean([one.score for one in trained if one.way == way])))


def make_report(study: Study, sha256: str, trained: Sequence[Trained]) -> Report:
    """Report of what was trained so far; a choice is made when all repeats of all are there."""
    found = bars(study)
    report = Report(
        recipe_sha256=sha256,
        network=study.training.network_name,
        windows={half.name: len(half.features) for half in study.telling},
        people={half.name: len(set(half.features.people)) for half in study.telling},
        single={name: float(one.single.mean()) for name, one in found.items()},
        bar={name: float(one.mean.mean()) for name, one in found.items()},
        bar_after={name: one.mean_after for name, one in found.items()},
        pool={name: float(one.pool.mean()) for name, one in found.items()},
        pool_after={name: one.pool_after for name, one in found.items()},
        trained=tuple(trained),
    )
    memory = study.memory
    if len([one for one in trained if one.arm != "all"]) < memory.repeats * (1 + len(memory.kinds) * len(memory.arms)):
        return report
    chosen = choose(trained)
    mine = [one for one in trained if one.way == chosen]
    tuned = [one for one in trained if one.kind == FRAME]
    gains = {
        half.name: {
            name: gain(bar, np.array([one.off[half.name] for one in mine]), half.features.people)
            for name, bar in (
                ("weighted mean", found[half.name].mean),
                ("device's pool", found[half.name].pool),
                ("weighted mean, head tuned", np.mean([one.mean[half.name] for one in tuned], axis=0)),
                ("single frame", found[half.name].single),
                ("single frame, head tuned", np.mean([one.off[half.name] for one in tuned], axis=0)),
            )
        }
        for half in study.telling
    }
    return msgspec.structs.replace(report, chosen=chosen, gains=gains)


def lines_of(report: Report) -> Iterator[str]:
    """A report in words: years off on the half of the people by whom nothing was chosen."""
    for name, bar in report.bar.items():
        yield f"{name}: {report.windows[name]} windows of {report.people[name]} people who chose nothing; years off:"
        yield f"  single frame {report.single[name]:.3f}, weighted mean {bar:.3f}"
        yield f"  device's pool {report.pool[name]:.3f}"
        for way in dict.fromkeys(one.way for one in report.trained):
            ones = [one for one in report.trained if one.way == way]
            means = [float(np.mean(one.off[name])) for one in ones]
            line = (
                f"  {' '.join(way)}: {np.mean(means):.3f} (of {len(ones)}: {', '.join(f'{one:.3f}' for one in means)})"
            )
            if ones[0].mean:
                line += f", weighted mean {np.mean([np.mean(one.mean[name]) for one in ones]):.3f}"
            yield line + f", score {np.mean([one.score for one in ones]):.3f}"
        yield f"  weighted mean after {_after(report.bar_after[name])}"
        yield f"  device's pool after {_after(report.pool_after[name])}"
        if report.chosen is not None:
            ones = [one for one in report.trained if one.way == report.chosen]
            after = {mark: float(np.mean([one.after[name][mark] for one in ones])) for mark in ones[0].after[name]}
            yield f"  chosen: {' '.join(report.chosen)}; after {_after(after)}"
            for against, one in report.gains[name].items():
                yield f"  beside the {against}: {one.text}"


def _after(means: Mapping[int, float]) -> str:
    return ", ".join(f"{mark}: {mean:.3f}" for mark, mean in means.items()) + " frames"


def _rounded(values: F64) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)
