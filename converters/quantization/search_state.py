"""What a search measures, remembers and settles on: scores, schemes, sensitivities, the lock beside a recipe."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from converters.formats.json_files import write_json
from converters.recipes.schema import Calibration, Quantize
from edgeface.bundle import Closed

SENSITIVITY_PICTURES = 32
"""Pictures of the search half that layers are ranked on; schemes and the final choice are judged on the whole half."""
Value = TypeVar("Value", "Score", float)


class Score(Closed, frozen=True, kw_only=True):
    """Loss of one variant against fp32, in the task's unit: at its worst (what the limit is about), and on average."""

    worst: float
    mean: float


class Scheme(Closed, frozen=True, kw_only=True):
    """How ranges are gathered, and whether weights are evened out first."""

    calibration: Calibration
    equalise: bool

    def quantize(self, kept: Sequence[str]) -> Quantize:
        """The recipe's variant of it, with layers that stay float."""
        keep = tuple(f"^{re.escape(layer)}$" for layer in sorted(kept))
        return Quantize(calibration=self.calibration, equalise=self.equalise, keep=keep)

    def __str__(self) -> str:
        return f"{self.calibration}{', equalised' if self.equalise else ''}"


class Sensitivity(Closed, frozen=True, kw_only=True):
    """Sensitivity of one layer: the normalised error of the outputs when it alone is int8."""

    layer: str
    normalised_error: float = msgspec.field(name="moved")


class Found(Closed, frozen=True, kw_only=True):
    """What `search` settles on for one runtime: one entry of the lock.

    ``schemes`` are all schemes without a float layer, ``sensitivities`` all layers from the worst down, ``search`` and
    ``decide`` the final variant's losses on the two halves of the dev pictures. In the lock they are called ``ways``,
    ``ranks`` and ``moved``.
    """

    quantize: Quantize
    tolerance: float
    schemes: dict[str, Score] = msgspec.field(name="ways")
    sensitivities: list[Sensitivity] = msgspec.field(name="ranks")
    search: Score
    decide: Score | None = None


def read_lock(path: Path) -> dict[str, Found]:
    """What was found before, by runtime."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Found]) if path.is_file() else {}


class State:
    """Scores that were measured, kept in a file after each one.

    Parameters
    ----------
    again : forget what is there
    """

    def __init__(self, path: Path, *, again: bool = False) -> None:
        self._path = path
        self._known: dict[str, Score | float] = {}
        if path.is_file() and not again:
            self._known = msgspec.json.decode(path.read_bytes(), type=dict[str, Score | float])

    def score(self, key: str, measure: Callable[[], Score]) -> Score:
        """Score that is known under a key, measured if none is."""
        known = self._known.get(key)
        return known if isinstance(known, Score) else self._keep(key, measure())

    def error(self, key: str, measure: Callable[[], float]) -> float:
        """Movement that is known under a key, measured if none is."""
        known = self._known.get(key)
        return known if isinstance(known, float) else self._keep(key, measure())

    def _keep(self, key: str, value: Value) -> Value:
        self._known[key] = value
        write_json(self._path, self._known)
        return value
