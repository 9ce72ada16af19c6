"""How sure a network's answers may be taken to be, on record: of each question on each set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from converters.formats.json_files import write_json
from converters.measurements.crops import Unit
from converters.paths import RESULTS
from edgeface.bundle import Closed, FileRuntime, Precision
from edgeface.types import Task

CONFIDENCE = RESULTS / "confidence.json"


class Coverage(Closed, frozen=True, kw_only=True):
    """Share of a group's ages that lie in the published interval, with 95 % confidence, and its mean width in years."""

    group: str
    value: float
    count: int
    low: float | None
    high: float | None
    years: float


class Threshold(Closed, frozen=True, kw_only=True):
    """Where less than ``probability`` is unknown: the share that is answered, and that of wrong ones among them."""

    probability: float
    answered: float
    wrong: float


class Sureness(Closed, frozen=True, kw_only=True):
    """What one reading of a head comes to at one temperature.

    Of labels there are the expected calibration error ``ece`` and the ``curve`` of *unknown*, of an age the
    ``coverage`` by age band.
    """

    temperature: float
    ece: float | None = None
    curve: tuple[Threshold, ...] = ()
    coverage: tuple[Coverage, ...] = ()


class Confidence(Closed, frozen=True, kw_only=True):
    """One question of one file on one set: as it ``shipped``, and with the temperature that was ``fitted``.

    ``error`` is the mean error of the answers, in ``unit``: years off, or the share of wrong ones.
    ``fitted_on`` names the sets of the fit: of another set the figures are those of faces that had no part in it.
    ``fitted`` is None where a head has no temperature or no set of the fit was there.
    """

    network: str
    runtime: FileRuntime
    precision: Precision
    task: Task
    set: str
    count: int
    unit: Unit
    error: float
    shipped: Sureness
    fitted: Sureness | None = None
    fitted_on: tuple[str, ...] = ()


def summary(one: Confidence) -> str:
    """One sentence: what is claimed and what holds, as shipped and at the temperature that was fitted."""
    error = f"{one.error:.2f} years off on average" if one.unit == "years" else f"{100 * one.error:.1f} % wrong"
    parts = [error, _said(one.shipped, "as it ships")]
    if one.fitted is not None:
        parts.append(_said(one.fitted, f"fitted on {' and '.join(one.fitted_on)}"))
    return "; ".join(parts) + "."


def coverage_rows(one: Confidence) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Head and rows of a table: of each age band the share in the interval and its width."""
    both = [one.shipped, *([one.fitted] if one.fitted else [])]
    head = ["age", "faces", *(cell for s in both for cell in (f"in the interval at {s.temperature:.2f}", "its years"))]
    rows = []
    for number, row in enumerate(one.shipped.coverage):
        cells = [cell for s in both for cell in (_share(s.coverage[number]), f"{s.coverage[number].years:.1f}")]
        rows.append((row.group.removeprefix("age "), str(row.count), *cells))
    return head, rows


def curve_rows(one: Confidence) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Head and rows of a table: at each threshold of *unknown* how many are answered, and how many of those wrongly."""
    both = [one.shipped, *([one.fitted] if one.fitted else [])]
    head = ["unknown below", *(c for s in both for c in (f"answered at {s.temperature:.2f}", "of these wrong"))]
    rows = []
    for number, row in enumerate(one.shipped.curve):
        cells = [
            cell
            for s in both
            for cell in (f"{100 * s.curve[number].answered:.1f} %", f"{100 * s.curve[number].wrong:.1f} %")
        ]
        rows.append((f"{row.probability:g}", *cells))
    return head, rows


def _said(sure: Sureness, how: str) -> str:
    what = f"temperature {sure.temperature:.2f} ({how}): "
    if sure.ece is not None:
        return f"{what}expected calibration error {100 * sure.ece:.1f} %"
    return f"{what}{_share(sure.coverage[0])} of the ages in the published interval"


def _share(row: Coverage) -> str:
    interval = "" if row.low is None or row.high is None else f" ({100 * row.low:.1f} to {100 * row.high:.1f})"
    return f"{100 * row.value:.1f} %{interval}"


def read_confidence(path: Path = CONFIDENCE) -> list[Confidence]:
    """What is on record, or nothing."""
    return msgspec.json.decode(path.read_bytes(), type=list[Confidence]) if path.is_file() else []


def record(found: Sequence[Confidence], path: Path = CONFIDENCE) -> None:
    """Put figures on record; what was measured again of a file on a set replaces the old."""
    merged = {_place(one): one for one in (*read_confidence(path), *found)}
    write_json(path, [merged[key] for key in sorted(merged)])


def _place(one: Confidence) -> tuple[str, ...]:
    return one.network, one.runtime, one.precision, one.task, one.set
