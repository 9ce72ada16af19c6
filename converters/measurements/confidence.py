"""How sure a network's answers may be taken to be, on record: of each question on each set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from converters.formats.json_files import write_json
from converters.measurements.crops import Unit
from converters.paths import RESULTS
from edgeface.bundle import Closed, FileRuntime, Precision
from edgeface.types import Task

CONFIDENCE = RESULTS / "confidence.json"
COVER = (0.76, 0.84)
"""Share of all ages of a set that the published interval of 80 % should hold, and of those of each age band."""
COVER_OF_BAND = (0.70, 0.90)
LEAST_FACES = 100
"""A group of fewer faces is not judged, and not named as the worst: chance would choose it."""
WRONG: Mapping[Task, float] = {"gender": 0.05, "expression": 0.25}
"""Most that may be wrong of what is said, where a threshold of *unknown* can bring that about."""
ANSWERED = 0.75
"""Least share of the faces of which something is said: to be silent of more is no answer to a weak network."""
RULE = (
    "The interval of an age should hold "
    f"{100 * COVER[0]:.0f} to {100 * COVER[1]:.0f} % of the ages of each set, and {100 * COVER_OF_BAND[0]:.0f} to "
    f"{100 * COVER_OF_BAND[1]:.0f} % of those of each age band. "
    "A threshold of *unknown* is the lowest at which at most "
    + " or ".join(f"{100 * share:.0f} % ({task})" for task, share in WRONG.items())
    + f" of what is said is wrong, but never so high that fewer than {100 * ANSWERED:.0f} % of the faces get an answer."
)


class Coverage(Closed, frozen=True, kw_only=True):
    """Share of a group's ages that lie in the published interval, with 95 % confidence, and its mean width in years."""

    group: str
    value: float
    count: int
    low: float | None
    high: float | None
    years: float


class Threshold(Closed, frozen=True, kw_only=True):
    """Where less than ``probability`` is unknown: the share that is answered, and that of wrong ones among them.

    ``group`` is the one of `LEAST_FACES` or more answers of which most are wrong, ``group_wrong`` how many.
    """

    probability: float
    answered: float
    wrong: float
    group: str | None = None
    group_wrong: float | None = None


class Sureness(Closed, frozen=True, kw_only=True):
    """What one reading of a head comes to at one temperature.

    Of labels there are the expected calibration error ``ece``, the ``curve`` of *unknown* and the threshold
    ``certainty`` that is chosen on the sets of the fit, of an age the ``coverage`` by age band.
    """

    temperature: float
    ece: float | None = None
    curve: tuple[Threshold, ...] = ()
    certainty: float | None = None
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
    weights: str
    task: Task
    set: str
    count: int
    unit: Unit
    error: float
    shipped: Sureness
    fitted: Sureness | None = None
    fitted_on: tuple[str, ...] = ()


def summary(one: Confidence) -> str:
    """One sentence: what is claimed and what holds, as the measured bundle had it and at the fitted temperature."""
    error = f"{one.error:.2f} years off on average" if one.unit == "years" else f"{100 * one.error:.1f} % wrong"
    parts = [error, _said(one.shipped, "as the bundle had it")]
    if one.fitted is not None:
        parts.append(_said(one.fitted, f"fitted on {' and '.join(one.fitted_on)}"))
    return "; ".join(parts) + "."


def coverage_rows(one: Confidence) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Head and rows of a table: of each age band the share in the interval and its width."""
    both = [one.shipped, *([one.fitted] if one.fitted else [])]
    head = ["age", "faces"]
    head += [cell for s in both for cell in (f"in the interval at {s.temperature:.2f}", "", "its years")]
    rows = []
    for number, row in enumerate(one.shipped.coverage):
        columns = [s.coverage[number] for s in both]
        cells = [cell for c in columns for cell in (_share(c), verdict(c), f"{c.years:.1f}")]
        rows.append((row.group.removeprefix("age "), str(row.count), *cells))
    return head, rows


def curve_rows(one: Confidence) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Head and rows of a table: at each threshold of *unknown* how many are answered, and how many of those wrongly.

    At the temperature that was fitted, else as shipped; the threshold that was chosen is marked.
    """
    sure = one.fitted or one.shipped
    head = ("unknown below", f"answered at {sure.temperature:.2f}", "of these wrong", "worst", "of these wrong")
    rows: list[tuple[str, ...]] = []
    for row in sure.curve:
        place = f"{row.probability:g}" + (" (chosen)" if row.probability == sure.certainty else "")
        worst = "-" if row.group_wrong is None else f"{100 * row.group_wrong:.1f} %"
        rows.append((place, f"{100 * row.answered:.1f} %", f"{100 * row.wrong:.1f} %", row.group or "-", worst))
    return head, rows


def verdict(row: Coverage) -> str:
    """Whether an interval covers as much as it should; a small group is not judged."""
    if row.count < LEAST_FACES:
        return "too few to judge"
    low, high = COVER if row.group == "all" else COVER_OF_BAND
    return "holds" if low <= row.value <= high else "misses"


def _said(sure: Sureness, how: str) -> str:
    what = f"temperature {sure.temperature:.2f} ({how}): "
    if sure.ece is not None:
        chosen = "" if sure.certainty is None else f", unknown below {sure.certainty:g}"
        return f"{what}expected calibration error {100 * sure.ece:.1f} %{chosen}"
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
