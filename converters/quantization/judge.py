"""``try``: what a quantized variant of a network costs, and whether it may ship.

Every variant that the recipe names is made, run through the device's runtime, and compared with fp32 by the task's own
measure. The result goes on record; the build holds the recipe's limits against it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from converters.measurements.trials import GroupLoss, Trial
from converters.recipes.schema import Limit, Quantize, Recipe
from edgeface.bundle import Precision
from edgeface.config import RuntimeName
from edgeface.errors import EdgefaceError
from edgeface.types import Task

if TYPE_CHECKING:
    from converters.building.maker import Maker
    from converters.evaluation.groups import Loss
    from converters.quantization.compare_variants import Comparator, Comparison, Crops, Outcome

SEARCHED = "includes search images"
"""Note of a figure over pictures of which half chose the variant."""

logger = logging.getLogger(__name__)


def judge_network(name: str, recipe: Recipe, crops: Crops, *, runtime: RuntimeName | None = None) -> Iterator[Trial]:
    """Try every quantized variant of one network by every question that it answers and that a set here can judge.

    A variant that does not ship and cannot be made is passed over.
    """
    from converters.building.maker import Maker
    from converters.quantization.compare_variants import FACES

    maker = Maker(name, recipe)
    yield from _judge_task(maker, recipe, crops, runtime, task=None)
    for task in maker.network.also:
        if task in FACES:
            yield from _judge_task(maker, recipe, crops, runtime, task=task)


def _judge_task(
    maker: Maker, recipe: Recipe, crops: Crops, runtime: RuntimeName | None, *, task: Task | None
) -> Iterator[Trial]:
    """Try every quantized variant by one question that the network answers; None: its own."""
    from converters.quantization.compare_variants import Comparator

    name = maker.name
    comparator = Comparator(maker, recipe, crops, task=task)
    decide = Comparator(maker, recipe, crops, "decide", task=task)
    limit = recipe.limits[comparator.task]  # type: ignore[index]
    for kind, shipped in maker.network.files.items():
        smaller = [p for p in dict.fromkeys((*shipped, *maker.network.judged)) if p != "fp32"]
        if kind == "opencv" or not smaller or runtime not in (None, kind):
            continue
        plain = maker.file(kind, "fp32")
        before = comparator.run(kind, "fp32", plain)
        for precision in smaller:
            try:
                maker.file(kind, precision)
            except EdgefaceError as error:
                if precision in shipped:
                    raise
                logger.warning("%s %s %s is not tried: %s", name, kind, precision, error)
                continue
            trial = msgspec.structs.replace(_judge(maker, comparator, limit, kind, precision, plain, before), task=task)
            if trial.note == SEARCHED:
                fresh = decide.compare(
                    decide.run(kind, "fp32", plain), decide.run(kind, precision, maker.file(kind, precision))
                )
                trial = decided(trial, fresh, limit)
            logger.info("%s", format_trial(trial))
            yield trial


def _judge(
    maker: Maker,
    comparator: Comparator,
    limit: Limit,
    runtime: RuntimeName,
    precision: Precision,
    plain: Path,
    before: Outcome,
) -> Trial:
    path = maker.file(runtime, precision)
    how = maker.network.quantize.get(runtime, Quantize()) if precision == "int8" else None
    found = comparator.compare(before, comparator.run(runtime, precision, path))
    trial = judge(
        found,
        limit,
        network=maker.name,
        runtime=runtime,
        precision=precision,
        how=how,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        sizes=(path.stat().st_size, plain.stat().st_size),
        seen=(comparator.set, comparator.count),
    )
    if runtime == "onnx" and how is not None:
        bare = comparator.compare(before, comparator.run(runtime, precision, path, options=False))
        trial = msgspec.structs.replace(trial, without_options=_scaled(bare.worst.value, trial.years is None))
    # A detector's calibration was chosen on the same photographs, too.
    searched = how is not None and (bool(how.keep) or how.equalise or maker.network.task == "detect")
    return msgspec.structs.replace(trial, note=SEARCHED if searched else None)


def decided(trial: Trial, fresh: Comparison, limit: Limit) -> Trial:
    """Hold a variant that was searched for also against what it loses on pictures that the search did not see."""
    past = breaches(fresh, limit)
    return msgspec.structs.replace(
        trial,
        decided=_scaled(fresh.worst.value, trial.years is None),
        within=trial.within and not past,
        because=(*trial.because, *(f"{loss.group}, other half" for loss in past)),
    )


def breaches(found: Comparison, limit: Limit) -> list[Loss]:
    """Losses past a limit: over all (of a detector: at its worst level), or of a large group beyond all doubt."""
    allowed = limit.years if limit.years is not None else (limit.points or 0.0) / 100
    worst, agreement = found.worst, found.agreement
    agrees = limit.agreement is not None and agreement is not None and agreement >= limit.agreement
    past = [] if agrees or worst.value < allowed else [worst]
    return past + [loss for loss in found.losses if loss is not worst and loss.exceeds(allowed)]


def judge(
    found: Comparison,
    limit: Limit,
    *,
    network: str,
    runtime: RuntimeName,
    precision: Precision,
    how: Quantize | None,
    sha256: str,
    sizes: tuple[int, int],
    seen: tuple[str, int],
) -> Trial:
    """Hold what a variant lost against its limit.

    Parameters
    ----------
    sizes : bytes of the variant and of fp32
    seen : on which set, and how many faces or photographs

    Returns
    -------
    ``within`` where any limit that is named is kept over all, and no group of a hundred or more lies wholly beyond.
    """
    percent = limit.years is None
    worst, past = found.worst, breaches(found, limit)
    groups = tuple(
        GroupLoss(
            group=loss.group,
            value=_scaled(loss.value, percent),
            count=loss.count,
            low=None if loss.low is None else _scaled(loss.low, percent),
            high=None if loss.high is None else _scaled(loss.high, percent),
        )
        for loss in found.losses
        if loss.group != "all"
    )
    value = _scaled(worst.value, percent)
    return Trial(
        network=network,
        runtime=runtime,
        precision=precision,
        calibration=how.calibration if how else None,
        keep=how.keep if how else (),
        equalise=how.equalise if how else False,
        sha256=sha256,
        bytes=sizes[0],
        bytes_fp32=sizes[1],
        points=value if percent else None,
        years=None if percent else value,
        low=None if worst.low is None else _scaled(worst.low, percent),
        high=None if worst.high is None else _scaled(worst.high, percent),
        agreement=None if found.agreement is None else round(found.agreement, 4),
        set=seen[0],
        count=seen[1],
        within=not past,
        because=tuple(loss.group for loss in past),
        groups=groups,
        detail={name: round(value, 4) for name, value in found.detail.items()},
    )


def format_trial(trial: Trial) -> str:
    """One trial in words."""
    unit, value = ("points", trial.points) if trial.years is None else ("years", trial.years)
    unit += f" of {trial.task}" if trial.task else ""
    words = [
        f"{trial.network} {trial.runtime} {trial.precision}: loses {value:.3f} {unit}",
        f"({trial.low:.3f} to {trial.high:.3f})" if trial.low is not None and trial.high is not None else "",
        f"on {trial.count} of {trial.set}" + (f", {trial.note}" if trial.note else ""),
        "" if trial.decided is None else f"on the half that was not searched {trial.decided:.3f}",
        "" if trial.agreement is None else f"same answer {100 * trial.agreement:.1f} %",
        f"{100 * trial.bytes / trial.bytes_fp32:.0f} % of the bytes",
        "within the limit" if trial.within else f"past the limit: {', '.join(trial.because)}",
    ]
    return ", ".join(word for word in words if word).replace(f"{unit}, (", f"{unit} (")


def _scaled(value: float, percent: bool) -> float:
    return round(100 * value, 2) if percent else round(value, 3)
