"""A study from its first training to its report, in one folder; stopped at any time, it goes on where it was.

::

    build/train/NAME/
      KIND.ARM.REPEAT/          a training, as `converters.train.session` keeps it
      NAME.study.json           what was found so far, and whether the weighted mean is beaten
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from converters.train.arms import prepare_run
from converters.train.dry_run import seconds_a_step
from converters.train.memory import FRAME, Arm
from converters.train.prepare import Prepared
from converters.train.record import recipe_sha256
from converters.train.remembering import run_name
from converters.train.session import STATE, Place, train
from converters.train.start import load_checkpoint
from converters.train.study import Study, answer_half
from converters.train.study_report import Report, Trained, choose, lines_of, make_report, tell_training
from edgeface.errors import UsageError
from edgeface.files import make_folder, write_atomic

Run = tuple[str, Arm, int]


def runs(study: Study) -> Iterator[Run]:
    """Kind, arm and repeat of all trainings but the one of everything, which follows from them."""
    ways: list[tuple[str, Arm]] = [(FRAME, "layers+head")]
    ways += [(kind, arm) for kind in study.memory.kinds for arm in study.memory.arms]
    for kind, arm in ways:
        yield from ((kind, arm, repeat) for repeat in range(1, study.memory.repeats + 1))


def run_study(study: Study, folder: Path, *, data: Path | None, resume: bool, told: Callable[[str], None]) -> Path:
    """Train everything that is not trained yet; path of the report.

    Raises
    ------
    UsageError : the folder holds a study and ``resume`` is not said, or one of another recipe
    EdgefaceError : as `converters.train.session.train`
    """
    make_folder(folder)
    path = folder / f"{study.training.name}.study.json"
    sha256 = recipe_sha256(study.training.text)
    if path.exists() and not resume:
        raise UsageError(f"{folder} holds a study", fix="go on with --resume, or give --out another folder")
    trained = _read(path, sha256) if path.exists() else []
    done = {(one.kind, one.arm, one.repeat) for one in trained}
    for kind, arm, repeat in runs(study):
        if (kind, arm, repeat) not in done:
            trained.append(_train(study, folder, (kind, arm, repeat), data, told, start=None))
            write_atomic(path, _encode(make_report(study, sha256, trained)))
    kind, arm = choose(trained)
    if study.memory.all is not None and (kind, "all", 1) not in done:
        best = prepare_run(study, kind, arm, 1)
        _load(best, folder / run_name(kind, arm, 1))
        trained.append(_train(study, folder, (kind, "all", 1), data, told, start=best.begun.module))
    report = make_report(study, sha256, trained)
    write_atomic(path, _encode(report))
    for line in lines_of(report):
        told(line)
    return path


def describe_study(study: Study) -> Iterator[str]:
    """Lines about a study whose features are there; nothing is trained or kept."""
    for clips, made in zip(study.clips, study.features, strict=True):
        yield f"{clips.name}: {len(made)} windows of {len(set(made.people))} people, {clips.left_out} frames left out"
    for one, other in zip(study.choosing, study.telling, strict=True):
        yield f"{one.clips.name} (held out): {len(one.features)} windows choose, {len(other.features)} tell"
    whole = 0.0
    plan: list[tuple[str, Arm, int]] = [(FRAME, "layers+head", study.memory.repeats)]
    plan += [(kind, "layers+head", study.memory.repeats * len(study.memory.arms)) for kind in study.memory.kinds]
    if study.memory.all is not None:
        plan.append((study.memory.kinds[0], "all", 1))
    for kind, arm, times in plan:
        prepared = prepare_run(study, kind, arm, 1)
        seconds, steps = seconds_a_step(prepared, bfloat16=False), prepared.lesson.steps
        whole += times * steps * seconds
        name = "everything" if arm == "all" else kind
        yield f"{name}: {steps} steps of {1000 * seconds:.0f} ms, {steps * seconds / 60:.1f} minutes; times {times}"
    yield f"all of it {whole / 3600:.2f} hours, beside validation"


def _train(
    study: Study, folder: Path, run: Run, data: Path | None, told: Callable[[str], None], *, start: Any
) -> Trained:
    """One training, begun or gone on with, and what it is off."""
    kind, arm, repeat = run
    name = run_name(kind, arm, repeat)
    prepared = prepare_run(study, kind, arm, repeat, start=start)
    place = folder / name
    train(
        prepared,
        place,
        data=data,
        resume=(place / STATE).exists(),
        weights=None,
        told=lambda line: told(f"{name}: {line}"),
    )
    _load(prepared, place)
    net = prepared.begun.module.eval()
    answers = {half.name: answer_half(study, net, half, whole=arm == "all") for half in study.telling}
    record = json.loads((place / f"{name}.json").read_text("utf-8"))
    return Trained(
        **tell_training(study, kind, arm, repeat, net, answers),
        score=record["best"]["score"],
        core_hours=record["core_hours"],
    )


def _load(prepared: Prepared, folder: Path) -> None:
    """Put the best weights of a training into its module."""
    place = Place(folder=folder, name=prepared.training.name)
    load_checkpoint(prepared.begun.module, prepared.training.network, place.weights)


def _read(path: Path, sha256: str) -> list[Trained]:
    try:
        report = msgspec.json.decode(path.read_bytes(), type=Report)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{path} cannot be read: {error}", fix="delete it: trainings that are there stay") from None
    if report.recipe_sha256 != sha256:
        raise UsageError(f"{path} is of another recipe", fix="give --out another folder")
    return list(report.trained)


def _encode(report: Report) -> bytes:
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"
