"""One training of a study, of one kind of layers in one arm, as the usual loop and session take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from converters.train.features import Features
from converters.train.figures import Figures
from converters.train.loop import Lesson
from converters.train.losses import loss_for, make_question
from converters.train.memory import Arm
from converters.train.prepare import Prepared
from converters.train.remembering import make_net, over_time, run_name, set_trained
from converters.train.sequences import Clips
from converters.train.start import Begun
from converters.train.study import Study, judge_half
from converters.train.targets import targets
from converters.train.windows import Windows, seen_faces, seen_features
from edgeface.bundle import AttributeHead
from edgeface.types import Task


def prepare_run(study: Study, kind: str, arm: Arm, repeat: int, *, start: Any = None) -> Prepared:
    """One training of a study, as `converters.train.session.train` takes it.

    Parameters
    ----------
    kind : layers of `converters.train.memory.Kind`, or `FRAME` for none
    repeat : from 1, moves the seed
    start : a module whose weights are taken over; None begins with new layers on the backbone
    """
    memory, recipe = study.memory, study.training.recipe
    task, _ = study.question
    seed, whole = recipe.seed + repeat - 1, arm == "all"
    net = make_net(study.training, kind, study.begun, seed=seed)
    if start is not None:
        net.load_state_dict(start.state_dict())
    net.to(study.processes.device)
    set_trained(net, arm)
    schedule = memory.all if whole else recipe.schedule
    assert schedule is not None
    heads: dict[Task, AttributeHead] = dict(study.heads) if whole else {task: study.heads[task]}
    losses = {one: loss_for(one, head, recipe.loss.get(one)) for one, head in heads.items()}
    sources: Sequence[Clips | Features] = study.clips if whole else study.features
    wanted = {
        one: np.concatenate([targets(one, heads[one], loss, source.rows, "windows") for source in sources])
        for one, loss in losses.items()
    }
    # A window that is made anew at every step belongs to its face, whose first take stands for all.
    first = np.concatenate(
        [
            np.arange(len(made)) < (len(clip) if whole else len(made))
            for clip, made in zip(study.clips, study.features, strict=True)
        ]
    )
    batches = Windows(
        seen_faces(study.clips, study.scale, seed) if whole else seen_features(study.features),
        study.weights[first],
        wanted,
        study.belief[first] if task == "age" else None,
        frames=memory.frames,
        every=memory.every,
        batch=schedule.batch,
        seed=seed,
        device=study.processes.device,
    )
    questions = {
        one: make_question(heads[one], loss, wanted[one], study.processes.device) for one, loss in losses.items()
    }
    lesson = Lesson(
        heads=heads, questions=questions, batches=batches, schedule=schedule, seed=seed, processes=study.processes
    )
    network = over_time(study.training, kind)
    training = msgspec.structs.replace(study.training, name=run_name(kind, arm, repeat), network=network)

    def judged(module: Any, bfloat16: bool) -> Figures:
        return judge_half(study, module, study.choosing, whole=whole, bfloat16=bfloat16)

    begun = Begun(module=net, words=f"{study.begun.words}, {kind} in arm {arm}", sha256=study.begun.sha256)
    return Prepared(
        training=training, begun=begun, lesson=lesson, heads=heads, parts=study.parts, held=study.held, judged=judged
    )
