"""Variants of networks held against fp32, on record: what each lost, and whether it may ship."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from converters.formats.json_files import write_json
from converters.paths import RESULTS
from converters.recipes.schema import Calibration, NetworkRecipe, Quantize
from edgeface.bundle import Closed, Precision
from edgeface.config import RuntimeName
from edgeface.types import Task

TRIALS = RESULTS / "trials.json"


class GroupLoss(Closed, frozen=True, kw_only=True):
    """Loss of one group (or of a detector: of one size and level) in the trial's unit, with its 95 % interval."""

    group: str
    value: float
    count: int
    low: float | None
    high: float | None


class Trial(Closed, frozen=True, kw_only=True):
    """One variant of a network held against its fp32 variant in the same runtime.

    ``task`` is the question that it was judged by, None the network's own.
    ``points`` lost (percent of accuracy, or of average precision at the worst level and size; negative: better),
    ``years`` of mean absolute error lost, ``low`` to ``high`` its paired bootstrap 95 % interval, ``agreement`` share
    of equal answers; None where it does not apply. ``decided`` is the loss on the half of the pictures that had no
    part in choosing the variant, where the other half had. ``without_options`` is the loss where the session options of
    the manifest are left away. ``within`` says whether the recipe's limit is kept, ``because`` what breaks it.
    ``sha256`` is that of the variant's file (None: found before files were told apart).
    """

    network: str
    task: Task | None = None
    runtime: RuntimeName
    precision: Precision
    calibration: Calibration | None
    keep: tuple[str, ...] = ()
    equalise: bool = False
    sha256: str | None = None
    bytes: int
    bytes_fp32: int
    points: float | None = None
    years: float | None = None
    low: float | None = None
    high: float | None = None
    agreement: float | None = None
    decided: float | None = None
    without_options: float | None = None
    set: str
    note: str | None = None
    count: int
    within: bool
    because: tuple[str, ...] = ()
    groups: tuple[GroupLoss, ...] = ()
    detail: dict[str, float] = msgspec.field(default_factory=dict)

    def is_of(self, network: str, runtime: RuntimeName, precision: Precision, how: Quantize | None) -> bool:
        """Whether this was found for a variant that is made so (``how`` None: not int8)."""
        mine = (self.network, self.runtime, self.precision)
        made = (how.calibration, how.keep, how.equalise) if how else (None, (), False)
        return mine == (network, runtime, precision) and (self.calibration, self.keep, self.equalise) == made


def read_trials(path: Path = TRIALS) -> list[Trial]:
    """Trials on record, or none."""
    return msgspec.json.decode(path.read_bytes(), type=list[Trial]) if path.is_file() else []


def record(trials: Sequence[Trial], path: Path = TRIALS) -> None:
    """Put trials on record; one of the same file replaces the old one."""
    merged = {_key(trial): trial for trial in (*read_trials(path), *trials)}
    ordered = [merged[key] for key in sorted(merged)]
    write_json(path, ordered)


def _key(trial: Trial) -> tuple[str, ...]:
    made = (trial.calibration or "", *trial.keep, str(trial.equalise))
    return trial.network, trial.runtime, trial.precision, *made, trial.task or ""


def find_trial(
    trials: Sequence[Trial],
    name: str,
    network: NetworkRecipe,
    runtime: RuntimeName,
    precision: Precision,
    *,
    task: Task | None = None,
) -> Trial | None:
    """What was found when a variant was held against fp32, as the recipe makes it now; ``task`` as in a `Trial`."""
    how = network.quantize.get(runtime, Quantize()) if precision == "int8" else None
    found = (trial for trial in trials if trial.task == task and trial.is_of(name, runtime, precision, how))
    return next(found, None)
