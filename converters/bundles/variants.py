"""Every variant of one network, made where it can be and judged where there are faces; why not, in a few words."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from converters.building.entry import describe_network
from converters.building.maker import Maker
from converters.building.parity import Parity, verify_bundle
from converters.paths import BUNDLE, alone
from converters.recipes.schema import Quantize, Recipe
from edgeface.bundle import Precision
from edgeface.config import RuntimeName
from edgeface.errors import EdgefaceError

if TYPE_CHECKING:
    from converters.measurements.trials import Trial

FLOAT: tuple[Precision, ...] = ("fp32", "fp16w")
SMALLER: tuple[Precision, ...] = ("int8w", "int8")
"""Precisions that are made only where somebody can say what they lose."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One file that was asked for: its size, what it loses against fp32, milliseconds of a call; or why not."""

    runtime: RuntimeName
    precision: Precision
    bytes: int | None = None
    loss: str = ""
    ms: float | None = None
    why: str = ""

    @property
    def ships(self) -> bool:
        """Whether it goes into the bundle."""
        return not self.why


def make_variants(recipe: Recipe, name: str, *, data: Path | None = None) -> list[Variant]:
    """Make a network in every runtime that its recipe names, in float, and with labelled faces in 8 bits, too.

    Ranges of int8 are written beside the recipe. A variant that cannot be made, or is off by more than its tolerance,
    says so and does not ship.

    Raises
    ------
    EdgefaceError : in one line, why the source itself cannot be used
    """
    maker = Maker(name, recipe)
    _ = maker.reference  # what is wrong with the source is no matter of one variant
    runtimes: list[RuntimeName] = [runtime for runtime in maker.network.files if runtime != "opencv"]
    made = [one for runtime in runtimes for one in _runtime(maker, runtime, [*FLOAT, *(SMALLER[:1] if data else ())])]
    if data is not None:
        plain = [one.runtime for one in made if one.precision == "fp32" and one.ships]
        made += list(_int8(maker, plain, data))
    return _proved(recipe, name, sorted(made, key=lambda one: (runtimes.index(one.runtime), _place(one.precision))))


def judge_variants(
    recipe: Recipe, name: str, variants: Sequence[Variant], data: Path, limit: int | None = None
) -> tuple[list[Variant], Sequence[Trial], list[str]]:
    """Hold every variant that ships against fp32 on labelled faces; the trials, and what could not be judged."""
    from converters.quantization.compare_variants import Crops
    from converters.quantization.judge import judge_network

    try:
        trials = list(judge_network(name, recipe, Crops(BUNDLE, data=data, limit=limit)))
    except EdgefaceError as error:
        small = [replace(one, why="not judged") if one.precision in SMALLER else one for one in variants]
        return small, (), [f"validation faces ({error.what}): no loss is measured, int8w and int8 do not ship"]
    # Of several questions the one past its limit is told, else the network's own.
    told = sorted(trials, key=lambda trial: (not trial.within, trial.task is None))
    by_file = {(trial.runtime, trial.precision): trial for trial in told}
    return [_judged(one, by_file.get((one.runtime, one.precision))) for one in variants], trials, []


def _judged(one: Variant, trial: Trial | None) -> Variant:
    if trial is None:
        return one
    loss = f"{trial.years:.2f} years" if trial.years is not None else f"{trial.points:.2f} points"
    return replace(one, loss=loss, why="" if trial.within else f"past the limit: {', '.join(trial.because)}")


def _runtime(maker: Maker, runtime: RuntimeName, precisions: Sequence[Precision]) -> Iterator[Variant]:
    """Make one runtime's variants; without fp32 there is none."""
    broken = ""
    for precision in precisions:
        one = Variant(runtime=runtime, precision=precision, why=broken) if broken else _make(maker, runtime, precision)
        broken = broken or (one.why and precision == "fp32" and "there is no fp32") or ""
        yield one


def _int8(maker: Maker, runtimes: Sequence[RuntimeName], data: Path) -> Iterator[Variant]:
    from converters.export.ranges import write_ranges
    from converters.quantization.calibrate import measure

    try:
        write_ranges(maker.ranges, measure(maker, {runtime: Quantize() for runtime in runtimes}, data=data))
    except EdgefaceError as error:
        yield from (Variant(runtime=runtime, precision="int8", why=error.what) for runtime in runtimes)
        return
    yield from (_make(maker, runtime, "int8") for runtime in runtimes)


def _make(maker: Maker, runtime: RuntimeName, precision: Precision) -> Variant:
    try:
        size = maker.file(runtime, precision).stat().st_size
    except EdgefaceError as error:
        logger.info("%s: %s %s cannot be made: %s", maker.name, runtime, precision, error)
        return Variant(runtime=runtime, precision=precision, why=error.what)
    return Variant(runtime=runtime, precision=precision, bytes=size)


def _proved(recipe: Recipe, name: str, variants: Sequence[Variant]) -> list[Variant]:
    """Hold every variant that was made against what it was made from."""
    files: dict[RuntimeName, tuple[Precision, ...]] = {}
    for one in variants:
        if one.ships:
            files[one.runtime] = (*files.get(one.runtime, ()), one.precision)
    if not files:
        return list(variants)
    network = msgspec.structs.replace(recipe.networks[name], files=files)
    recipe = msgspec.structs.replace(recipe, networks={name: network})
    maker = Maker(name, recipe)
    maker.selftest()
    entry = describe_network(maker, recipe, maker.folder)
    off = {p.path: p for p in verify_bundle(recipe, alone(entry, maker.folder), quiet=True) if not p.holds}
    paths = {(f.runtime, f.precision): f.path for listed in entry.files.values() for f in listed}
    return [_held(one, off.get(paths.get((one.runtime, one.precision), ""))) for one in variants]


def _held(one: Variant, parity: Parity | None) -> Variant:
    if parity is None:
        return one
    return replace(one, why=f"off by {max(parity.real, parity.random):.3f}, allowed {parity.allowed:g}")


def _place(precision: Precision) -> int:
    return (*FLOAT, *SMALLER).index(precision)
