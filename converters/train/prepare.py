"""A recipe becomes all that the loop needs: faces, targets, weights of rows, the start's belief, losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from converters.train import faces as storing
from converters.train.answers import heads_of
from converters.train.balance import is_kept, joined, row_weights
from converters.train.batches import Batches, Crops, Pool, Scale
from converters.train.belief import believed
from converters.train.figures import Figures, Judged, judge
from converters.train.loop import Lesson
from converters.train.losses import loss_for, make_question
from converters.train.people import Shown, expect_apart
from converters.train.processes import Processes
from converters.train.recipe import Data, Distribution, Held, Training
from converters.train.start import Begun, Teachers, begin
from converters.train.targets import targets
from edgeface.bundle import AttributeHead
from edgeface.errors import UsageError
from edgeface.types import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """See the module; ``parts`` are the training parts by name, in the order of the pool.

    ``judged`` gives the figures of a module in evaluation mode, whose matrix products may be in bfloat16.
    """

    training: Training
    begun: Begun
    lesson: Lesson
    heads: Mapping[Task, AttributeHead]
    parts: Mapping[str, Crops]
    held: Sequence[Judged]
    judged: Callable[[Any, bool], Figures]

    @property
    def count(self) -> int:
        """Faces to learn from."""
        return sum(len(part.rows) for part in self.parts.values())


def prepare(
    training: Training, *, data: Path | None, cache: Path, folder: Path | None, processes: Processes
) -> Prepared:
    """Read everything that a training needs.

    Parameters
    ----------
    data : folder of the labelled sets; recipes may name others
    cache : folder of stored crops
    folder : of the run; None for a dry one, which keeps nothing

    Raises
    ------
    EdgefaceError : in one line: data or a start that is missing or damaged, a label out of range, a head without a
        loss, somebody who is both learnt from and judged by
    """
    recipe, network = training.recipe, training.network
    heads = heads_of(network, training.network_name)
    losses = {task: loss_for(task, head, recipe.loss.get(task)) for task, head in heads.items()}
    for task in recipe.loss:
        if task not in heads:
            raise UsageError(f"network {training.network_name} does not answer {task}", fix=f"take out [loss.{task}]")
    begun = begin(training)
    # Grey faces look the same in both orders, and the slower one would be taken: a step then takes a fifth longer.
    begun.module.to(processes.device, memory_format=torch.channels_last)
    parts, weights = training_faces(training, data, cache, processes)
    wanted = {  # read before the sets for validation: a wrong label is told whatever those lack
        task: np.concatenate([targets(task, heads[task], loss, one.rows, name) for name, one in parts.items()])
        for task, loss in losses.items()
    }
    held = held_out(training, parts, data, cache)
    for task, rows in wanted.items():
        if np.isnan(rows[:, 0]).all() and recipe.teacher is None and losses[task].weight > 0:
            # Its answers would drift with a trunk that learns something else.
            raise UsageError(
                f"no training face has a label for {task}", fix=f"name a set that has, or say [loss.{task}] weight = 0"
            )
    scale = Scale(network.input, processes.device)
    begun.module.eval()
    age = losses.get("age")
    asks = isinstance(age, Distribution) and age.prior
    belief = believed(begun, heads["age"], parts, scale, folder, processes) if asks else None
    batches = Batches(
        Pool(list(parts.values())),
        weights,
        wanted,
        belief,
        scale,
        augment=recipe.augment,
        mixup=recipe.mixup,
        batch=recipe.schedule.batch,
        seed=recipe.seed,
        rank=processes.rank,
        world=processes.world,
        device=processes.device,
    )
    questions = {
        task: make_question(heads[task], loss, wanted[task], processes.device) for task, loss in losses.items()
    }
    lesson = Lesson(
        heads=heads,
        questions=questions,
        batches=batches,
        schedule=recipe.schedule,
        seed=recipe.seed,
        processes=processes,
        teacher=recipe.teacher,
        teachers=Teachers(training, processes.device) if recipe.teacher is not None else None,
    )

    def judged(module: Any, bfloat16: bool) -> Figures:
        return judge(module, heads, held, scale, bfloat16=bfloat16)

    return Prepared(training=training, begun=begun, lesson=lesson, heads=heads, parts=parts, held=held, judged=judged)


def training_faces(
    training: Training, data: Path | None, cache: Path, processes: Processes
) -> tuple[dict[str, Crops], npt.NDArray[np.float64]]:
    """Parts by name, and how often each of their faces is drawn. Caches are locked: who comes second waits."""
    parts: dict[str, Crops] = {}
    weights, shares = [], []
    for one in training.recipe.data:
        mine = {f"{one.set} {part}": load(training, one, part, data, cache) for part in one.parts}
        rows = [row for part in mine.values() for row in part.rows]
        if twice := mine.keys() & parts.keys():
            raise UsageError(f"recipe {training.name} names {' and '.join(twice)} twice", fix="take one out")
        parts |= mine
        weights.append(_weights(rows, one))
        shares.append(one.weight * len(rows))
    processes.wait()
    return parts, joined(weights, shares)


def held_out(training: Training, parts: Mapping[str, Crops], data: Path | None, cache: Path) -> list[Judged]:
    """Faces to judge by; UsageError where somebody in them is in the training ``parts``, too."""
    recipe = training.recipe
    held = [Judged(name=one.set, faces=load(training, one, one.part, data, cache)) for one in recipe.validation.sets]
    named = [(one, part, parts[f"{one.set} {part}"].rows) for one in recipe.data for part in one.parts]
    told = [(one, one.part, judged.faces.rows) for one, judged in zip(recipe.validation.sets, held, strict=True)]
    learnt, judged = (
        [Shown(one.set, part, _folder(training, one, data), rows) for one, part, rows in several]
        for several in (named, told)
    )
    expect_apart(learnt, judged)
    return held


def _weights(rows: Sequence[Mapping[str, str]], one: Data) -> npt.NDArray[np.float64]:
    """How often each row is drawn: those that taggers take out never, the others evened out among themselves."""
    kept = [is_kept(row, one.taggers) for row in rows]
    if not any(kept):
        raise UsageError(f"taggers leave no face of {one.set}", fix="keep more in [[data]] taggers")
    weights = np.zeros(len(rows), np.float64)
    weights[kept] = row_weights(list(compress(rows, kept)), one.balance, power=one.power)
    return weights


def load(training: Training, one: Data | Held, part: str, data: Path | None, cache: Path) -> Crops:
    """Faces of one part that a recipe names."""
    folder = _folder(training, one, data)
    if folder is None:
        raise UsageError(f"recipe {training.name}: where {one.set} lies is not said", fix="give --data DIR")
    where = f"`folder` of {one.set} in recipe {training.name}" if one.folder else "--data"
    return storing.load_faces(training.network, one.set, part, data=folder, cache=cache, where=where)


def _folder(training: Training, one: Data | Held, data: Path | None) -> Path | None:
    """Where a set lies; None where nothing says it."""
    return training.path(one.folder) if one.folder else data
