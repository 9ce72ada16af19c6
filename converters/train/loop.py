"""The loop: one step after another until the schedule ends, judged at every epoch, stopped without loss.

Everything random is a function of seed and step (`converters.train.batches`), so a run that was stopped and resumed
gives the weights of one that was not, bit by bit on one thread.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from converters.train.answers import logits
from converters.train.batches import Batch, EveryBatch
from converters.train.losses import Question, total_loss
from converters.train.processes import Processes, floats
from converters.train.recipe import Teacher
from converters.train.schedule import Schedule
from converters.train.start import Teachers
from converters.train.state import State, follow, rate_at
from edgeface.bundle import AttributeHead
from edgeface.errors import EdgefaceError
from edgeface.types import Task

LOOK_AT = 100
"""Steps after which the loss is held against that of knowing nothing."""
HARDLY = 0.98
"""Share of the loss of knowing nothing that is no less than that."""
LAST = 50
"""Steps whose mean loss is told and held against that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """All that a step needs and that does not change."""

    heads: Mapping[Task, AttributeHead]
    questions: Mapping[Task, Question]
    batches: EveryBatch
    schedule: Schedule
    seed: int
    processes: Processes
    teacher: Teacher | None = None
    teachers: Teachers | None = None

    @property
    def steps(self) -> int:
        """Of the whole schedule, if no minutes end it earlier."""
        return max(1, round(self.schedule.epochs * self.batches.steps))


class Stop:
    """Set by SIGTERM and SIGINT while training runs; asked after every step."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catch both signals; a second one does what it always did."""
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def note(number: int, _: FrameType | None) -> None:
            self.asked = True
            signal.signal(number, before[signal.Signals(number)])

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Watch:
    """The last losses of a state, beside what an answer that says nothing would cost."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._nothing: list[float] = []
        self._first: list[float] = []

    def note(self, losses: Mapping[Task, Tensor], nothing: float | None) -> None:
        """Keep one step's losses; EdgefaceError for one that is no number."""
        values = {str(task): float(value) for task, value in losses.items()}
        bad = [task for task, value in values.items() if not isfinite(value)]
        if bad:
            raise EdgefaceError(f"the loss of {bad[0]} is no number", fix="lower [schedule] rate; what was saved stays")
        self._state.recent = [*self._state.recent[-(LAST - 1) :], values]
        if nothing is not None:
            self._nothing.append(nothing)
            self._first = [*self._first, sum(values.values())][:LAST]

    @property
    def means(self) -> dict[str, float]:
        """Mean loss by question over the last steps."""
        recent = self._state.recent
        return {task: sum(one[task] for one in recent) / len(recent) for task in recent[-1]}

    def learns_nothing(self) -> tuple[float, float] | None:
        """Mean loss and that of knowing nothing, where the first is not lower and was not higher before either."""
        loss, chance = sum(self.means.values()), sum(self._nothing) / len(self._nothing)
        before = sum(self._first) / len(self._first)
        return (loss, chance) if loss >= HARDLY * max(chance, before) else None


def run(
    state: State,
    lesson: Lesson,
    *,
    judged: Callable[[dict[str, float]], None],
    saved: Callable[[], None],
    told: Callable[[str], None],
    stop: Stop,
    clock: Callable[[], float] = time.monotonic,
    cores: Callable[[], float] = time.process_time,
    progressed: Callable[[float, float], None] = lambda _, __: None,
) -> bool:
    """Train until the schedule ends (True) or somebody asked to stop (False).

    Parameters
    ----------
    judged : called by the first process at the end of every epoch and of the schedule, with the mean losses
    saved : called by the first process after that, and when the run stops
    told : takes a line for people
    clock, cores : seconds of the clock and of the processor
    progressed : called with progress (0 to 1) and the seconds left after every step
    """
    watch, begun = Watch(state), state.step
    wall, busy = clock() - state.seconds, cores() - state.core_seconds
    progress, asked = lesson.processes.agree(progress_of(state, lesson), stop.asked)
    while progress < 1 and not asked:
        step(state, lesson, progress, watch, early=state.step - begun < LOOK_AT)
        state.seconds, state.core_seconds = clock() - wall, cores() - busy
        progress, asked = lesson.processes.agree(progress_of(state, lesson), stop.asked)
        progressed(progress, state.seconds * (1 / max(progress, 1e-9) - 1))
        if state.step - begun == LOOK_AT and (bad := watch.learns_nothing()) is not None:
            told(f"after {LOOK_AT} steps the loss is {bad[0]:.3f}, and knowing nothing costs {bad[1]:.3f}: look at it")
        if lesson.processes.first and (progress >= 1 or state.step % lesson.batches.steps == 0):
            judged(watch.means)
            state.seconds, state.core_seconds = clock() - wall, cores() - busy
            saved()
    if asked and lesson.processes.first:
        saved()
    lesson.processes.wait()
    return not asked


def progress_of(state: State, lesson: Lesson) -> float:
    """How much of the schedule is done: by steps, or by minutes where those end it earlier."""
    by_time = state.seconds / (60 * lesson.schedule.minutes) if lesson.schedule.minutes else 0.0
    return max(state.step / lesson.steps, by_time)


def step(state: State, lesson: Lesson, progress: float, watch: Watch, *, early: bool) -> None:
    """One batch: loss, gradients, weights, average."""
    net, schedule, processes = state.net, lesson.schedule, lesson.processes
    net.train()
    torch.manual_seed(lesson.seed * 1_000_003 + state.step * 1009 + processes.rank)  # dropout
    batch = lesson.batches[state.step]
    losses, nothing = batch_losses(net, lesson, batch, bfloat16=state.bfloat16, early=early)
    # Left in evaluation mode once, batch norms stood on their first values and nothing was learnt for hours.
    assert net.training
    for group in state.optimizer.param_groups:
        group["lr"] = rate_at(schedule, state.step, state.warm_from, progress, lesson.steps)
    state.optimizer.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).sum().backward()
    trained = [parameter for parameter in net.parameters() if parameter.grad is not None]
    processes.average([*(parameter.grad for parameter in trained), *floats(net)])
    torch.nn.utils.clip_grad_norm_(trained, schedule.clip)
    watch.note({task: value.detach() for task, value in losses.items()}, nothing)
    state.optimizer.step()
    follow(state.ema, net, schedule.ema, state.step)
    state.step += 1


def batch_losses(
    net: Any, lesson: Lesson, batch: Batch, *, bfloat16: bool, early: bool = False
) -> tuple[dict[Task, Tensor], float | None]:
    """Losses by question, and in the first steps what an answer that says nothing would cost."""
    with torch.autocast(batch.faces.device.type, torch.bfloat16, enabled=bfloat16):
        said = logits(net, lesson.heads, batch.faces)
        taught = lesson.teachers(batch.faces, lesson.heads) if lesson.teachers is not None else None
    losses = _mixed(lesson, said, batch, taught)
    if not early:
        return losses, None
    with torch.no_grad():
        silent = {task: torch.zeros_like(answer) for task, answer in said.items()}
        return losses, float(sum(_mixed(lesson, silent, batch, taught).values()))


def _mixed(
    lesson: Lesson, said: Mapping[Task, Tensor], batch: Batch, taught: Mapping[Task, Tensor] | None
) -> dict[Task, Tensor]:
    """Losses of a batch whose faces may lie over those of the batch in reverse: theirs is mixed as they are."""
    own = total_loss(lesson.questions, said, batch.targets, batch.belief, taught, lesson.teacher)
    if batch.share == 1:
        return own
    targets = {task: rows.flip(0) for task, rows in batch.targets.items()}
    belief = None if batch.belief is None else batch.belief.flip(0)
    other = total_loss(lesson.questions, said, targets, belief, taught, lesson.teacher)
    return {task: batch.share * own[task] + (1 - batch.share) * other[task] for task in own}
