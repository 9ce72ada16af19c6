"""One sitting of a training: its folder, where it goes on, what it keeps, what it says.

::

    build/train/NAME/
      state.pt                  the full state: --resume goes on from here, bit by bit
      NAME.safetensors          the best averaged weights by validation, a few megabytes
      NAME.last.safetensors     the newest: --resume FILE goes on from it elsewhere, the optimizer warmed up again
      NAME.json, NAME.png       the training record and its curve
      NAME.log                  what was told
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from converters.train.checkpoint import read_state, resume_weights, write_state, write_weights
from converters.train.curve import draw_curve
from converters.train.figures import score
from converters.train.loop import Stop, run
from converters.train.precision import choose_bfloat16
from converters.train.prepare import Prepared
from converters.train.record import make_record, recipe_sha256
from converters.train.state import new_state
from edgeface.errors import EdgefaceError, UsageError
from edgeface.files import make_folder, write_atomic

STATE = "state.pt"
EACH_S = 30.0
"""Seconds between two lines of progress where no terminal shows it all the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Paths of a run."""

    folder: Path
    name: str

    @property
    def state(self) -> Path:
        """The full state."""
        return self.folder / STATE

    @property
    def weights(self) -> Path:
        """The best weights."""
        return self.folder / f"{self.name}.safetensors"

    @property
    def last(self) -> Path:
        """The newest weights."""
        return self.folder / f"{self.name}.last.safetensors"

    def expect_new(self) -> None:
        """Raise UsageError where a run lies already: nothing is written over unasked."""
        if self.state.exists() or self.weights.exists():
            raise UsageError(f"{self.folder} holds a training", fix="go on with --resume, or give --out another folder")

    def expect_begun(self) -> None:
        """Raise UsageError where there is nothing to go on with."""
        if not self.state.is_file():
            raise UsageError(f"{self.folder} holds no training to resume", fix="begin it without --resume")


class Session:
    """Callbacks of the loop, which all write to one folder."""

    def __init__(self, prepared: Prepared, place: Place, data: Path | None, told: Callable[[str], None]) -> None:
        self._prepared, self._place, self._data = prepared, place, data
        self._told, self._shown = told, time.monotonic()
        self._hash = recipe_sha256(prepared.training.text)
        self.state = new_state(prepared.begun.module, prepared.lesson.schedule)

    def resume(self, weights: Path | None) -> None:
        """Go on from the full state, or from a small checkpoint."""
        if weights is not None:
            resume_weights(weights, self.state)
            self.state.best = None  # that file holds the newest weights: the best so far are not here
            self.log(f"goes on from {weights.name} at step {self.state.step}, the optimizer warms up again")
            return
        if not read_state(self._place.state, self.state, self._hash):
            self.log("the recipe has changed since: what is done stays as it was")
        self.log(f"goes on at step {self.state.step}")

    def start(self) -> None:
        """Say what begins, and settle the precision."""
        prepared, lesson = self._prepared, self._prepared.lesson
        self.log(f"{prepared.training.network_name}: starts from {prepared.begun.words}")
        for name, part in [*prepared.parts.items(), *((one.name, one.faces) for one in prepared.held)]:
            self.log(f"{name}: {len(part.rows)} faces, {part.missed} not found")
        chosen, why = choose_bfloat16(lesson.schedule.precision, prepared.begun.module, lesson)
        self.state.bfloat16 = lesson.processes.agree(float(chosen), stop=False)[0] > 0
        self.log(f"{why}; {lesson.steps} steps of {lesson.schedule.batch} faces, {lesson.batches.steps} an epoch")

    def train(self, stop: Stop) -> None:
        """Run the loop to its end.

        Raises
        ------
        EdgefaceError : somebody asked to stop, the loss came apart, or the disk is full; what was saved stays
        """
        with stop.caught():
            finished = run(
                self.state,
                self._prepared.lesson,
                judged=self._judge,
                saved=self._save,
                told=self.log,
                stop=stop,
                progressed=self._progress,
            )
        if not finished:
            raise EdgefaceError(f"stopped at step {self.state.step}, all of it is kept", fix="go on with --resume")

    def log(self, line: str) -> None:
        """Say one line and keep it; only the first process speaks."""
        if not self._prepared.lesson.processes.first:
            return
        self._told(line)
        with (self._place.folder / f"{self._place.name}.log").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def _judge(self, losses: dict[str, float]) -> None:
        state, prepared, lesson = self.state, self._prepared, self._prepared.lesson
        figures = prepared.judged(state.ema, state.bfloat16)
        weights = prepared.training.recipe.validation.score
        value = round(score(figures, weights), 4)
        epoch = round(state.step / lesson.batches.steps, 3)
        row: dict[str, Any] = {"epoch": epoch, "step": state.step, "minutes": round(state.seconds / 60, 2)}
        row |= {"score": value, "loss": {task: round(one, 4) for task, one in losses.items()}}
        state.curve.append({**row, "figures": figures})
        best = state.best is None or value > state.best
        if best:
            state.best = value
            write_weights(self._place.weights, state)
        said = [f"loss {' '.join(f'{task} {one:.3f}' for task, one in losses.items())}"]
        said += [f"{name} {figures[name]:.2f}" for name in weights]
        self.log(f"epoch {epoch:g}, minute {state.seconds / 60:.1f}: {', '.join(said)}{' (best)' if best else ''}")

    def _save(self) -> None:
        state, place = self.state, self._place
        write_state(place.state, state, self._hash)
        write_weights(place.last, state)
        if state.curve:
            chosen = list(self._prepared.training.recipe.validation.score)
            write_atomic(place.folder / f"{place.name}.png", draw_curve(place.name, state.curve, chosen))
        if state.best is not None:  # none yet where a run goes on elsewhere: the record is of the best weights here
            record = make_record(self._prepared, state, place.weights, self._data)
            write_atomic(place.folder / f"{place.name}.json", record)

    def _progress(self, progress: float, left: float) -> None:
        now, shown = time.monotonic(), sys.stderr.isatty()
        if not self._prepared.lesson.processes.first or now - self._shown < (0.2 if shown else EACH_S):
            return
        self._shown = now
        line = f"{self._place.name}: {100 * progress:.1f} %, {timedelta(seconds=round(left))} left"
        print(f"\r{line}   " if shown else line, end="" if shown else "\n", file=sys.stderr, flush=True)


def train(
    prepared: Prepared,
    folder: Path,
    *,
    data: Path | None,
    resume: bool,
    weights: Path | None,
    told: Callable[[str], None],
) -> Path:
    """Train to the end; the path of the best weights.

    Parameters
    ----------
    resume : go on with the run in ``folder``; weights : or from this small checkpoint

    Raises
    ------
    EdgefaceError : in one line; what was saved stays
    """
    place = Place(folder=folder, name=prepared.training.name)
    processes = prepared.lesson.processes
    if not resume or weights is not None:
        place.expect_new()
    else:
        place.expect_begun()
    if weights is not None and not weights.is_file():
        raise UsageError(f"{weights} does not exist", fix="give a .safetensors that `train` wrote")
    make_folder(folder)
    processes.wait()
    session = Session(prepared, place, data, told)
    if resume:
        session.resume(weights)
    if not resume or weights is not None:
        session.start()
    session.train(Stop())
    return place.weights
