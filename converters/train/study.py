"""A recipe with ``[memory]`` becomes a study: windows and features once, then trainings that the usual loop runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from converters.evaluation.groups import first_half
from converters.train.answers import heads_of
from converters.train.batches import Crops, Scale
from converters.train.features import F16, Features, compute_features, load_features
from converters.train.figures import Figures, Judged, figures_of
from converters.train.memory import FRAME, Memory
from converters.train.prepare import held_out, training_faces
from converters.train.processes import Processes
from converters.train.recipe import Training
from converters.train.remembering import answer_windows, make_net
from converters.train.sequences import Clips
from converters.train.start import Begun, begin
from edgeface.bundle import AttributeHead
from edgeface.errors import UsageError
from edgeface.types import F32, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """Windows of one part that is judged, of half of its people: numbers in ``clips``, and their features."""

    name: str
    clips: Clips
    numbers: Sequence[int]
    features: Features


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """See the module.

    Attributes
    ----------
    heads : of the backbone, by question; begun : the backbone with its weights
    parts, clips, features : what is learnt from, each in the order of the recipe's parts
    weights : how often each window is drawn; belief : float16 (N, K), weighted mean of the backbone's own answers
    choosing, telling : the halves of the people who are judged: by one a choice is made, the other says how good it is
    """

    training: Training
    memory: Memory
    heads: Mapping[Task, AttributeHead]
    begun: Begun
    scale: Scale
    processes: Processes
    parts: Mapping[str, Crops]
    clips: Sequence[Clips]
    features: Sequence[Features]
    weights: npt.NDArray[np.float64]
    belief: F16
    held: Sequence[Judged]
    choosing: Sequence[Half]
    telling: Sequence[Half]

    @property
    def question(self) -> tuple[Task, AttributeHead]:
        """What is read from memory."""
        return self.memory.question, self.heads[self.memory.question]


def prepare_study(training: Training, *, data: Path | None, cache: Path, processes: Processes) -> Study:
    """Read the faces, make windows of them and compute the backbone's features, or take them from the cache.

    Raises
    ------
    UsageError : as `converters.train.prepare.prepare`; several processes; a network without the question; somebody who
        is both learnt from and judged by
    """
    recipe, memory = training.recipe, training.recipe.memory
    assert memory is not None
    if processes.world > 1:
        raise UsageError("a study of memory runs in one process", fix="start it without torchrun")
    heads = heads_of(training.network, training.network_name)
    if memory.question not in heads:
        raise UsageError(f"network {training.network_name} does not answer {memory.question}", fix="name one that does")
    begun = begin(training)
    begun.module.to(processes.device).eval()
    make_net(training, FRAME)  # before hours of features: whether such a network can have memory
    scale = Scale(training.network.input, processes.device)
    parts, of_faces = training_faces(training, data, cache, processes)
    named = [(one.set, part) for one in recipe.data for part in one.parts]
    clips = [
        Clips(set_name, part, faces, memory.moving, memory.frames)
        for (set_name, part), faces in zip(named, parts.values(), strict=True)
    ]
    held = held_out(training, parts, data, cache)
    judged = [
        Clips(one.set, one.part, faces.faces, memory.moving, memory.frames)
        for one, faces in zip(recipe.validation.sets, held, strict=True)
    ]
    kept = partial(
        load_features,
        backbone=begun.module,
        scale=scale,
        moving=memory.moving,
        frames=memory.frames,
        seed=recipe.seed,
        cache=cache,
    )
    features = [kept(one, takes=memory.takes) for one in clips]
    judged_features = [kept(one, takes=1) for one in judged]
    starts = np.cumsum([0, *(len(part.rows) for part in parts.values())])
    weights = [
        np.tile(of_faces[first + np.array(one.ends)], len(made) // len(one))
        for first, one, made in zip(starts, clips, features, strict=False)
    ]
    frame = make_net(training, FRAME, begun)
    belief = [
        weighted(answer_windows(frame, heads, memory.question, one), one.quality).astype(np.float16) for one in features
    ]
    halves = {
        first: [
            _half(one.name, clip, made, first=first)
            for one, clip, made in zip(held, judged, judged_features, strict=True)
        ]
        for first in (True, False)
    }
    return Study(
        training=training,
        memory=memory,
        heads=heads,
        begun=begun,
        scale=scale,
        processes=processes,
        parts=parts,
        clips=clips,
        features=features,
        weights=np.concatenate(weights),
        belief=np.concatenate(belief),
        held=held,
        choosing=halves[True],
        telling=halves[False],
    )


def answer_half(study: Study, net: Any, half: Half, *, whole: bool, bfloat16: bool = False) -> F32:
    """Answers (N, T, K) of a half; ``whole``: by a backbone of its own, whose features are computed now."""
    features = half.features
    if whole:
        values = compute_features(half.clips, half.numbers, net.backbone, study.scale, study.training.recipe.seed)
        features = Features(values=values, quality=features.quality, rows=features.rows, people=features.people)
    return answer_windows(net, study.heads, study.memory.question, features, bfloat16=bfloat16)


def judge_half(study: Study, net: Any, halves: Sequence[Half], *, whole: bool, bfloat16: bool = False) -> Figures:
    """All figures of the answers at the end of each window."""
    task, head = study.question
    found: Figures = {}
    for half in halves:
        answers = answer_half(study, net, half, whole=whole, bfloat16=bfloat16)
        found |= figures_of(half.name, {task: answers[:, -1]}, {task: head}, half.features.rows)
    return found


def weighted(answers: F32, quality: F32) -> F32:
    """Weighted mean (N, K) of answers (N, T, K), all windows at once."""
    shares = quality / quality.sum(axis=1, keepdims=True)
    found: F32 = np.einsum("ntk,nt->nk", answers, shares)
    return found


def _half(name: str, clips: Clips, features: Features, *, first: bool) -> Half:
    numbers = [
        number
        for number, person in enumerate(clips.people)
        if first_half(person) == first and clips.rows[number].get("age")
    ]
    if not numbers:
        raise UsageError(
            f"{clips.name} has too few people to choose by one half and tell by the other", fix="give more"
        )
    return Half(
        name=name,
        clips=clips,
        numbers=numbers,
        features=Features(
            values=features.values[numbers],
            quality=features.quality[numbers],
            rows=[clips.rows[number] for number in numbers],
            people=[clips.people[number] for number in numbers],
        ),
    )
