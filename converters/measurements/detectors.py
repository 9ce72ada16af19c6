"""All detectors side by side, on record: precision, multiply-accumulates and CPU time of each."""

from __future__ import annotations

from pathlib import Path

import msgspec

from converters.formats.json_files import write_json
from converters.paths import RESULTS
from edgeface.bundle import Closed

DETECTORS = (
    "yunet",
    "retinaface",
    "retinaface-resnet50",
    "blazeface-short",
    "blazeface-full",
    "blazeface-back",
    "centerface",
    "ultra-light",
    "mtcnn",
    "viola-jones",
)
FIGURES = RESULTS / "detectors.json"


class Row(Closed, frozen=True, kw_only=True):
    """One detector at one input size.

    ``ap`` is by level, 0 to 1, None where the network was never trained; ``macs`` and ``cpu_ms`` are means over
    photographs, at the score that devices use; ``macs`` is None for a cascade, which multiplies hardly at all.
    """

    detector: str
    title: str
    size: str
    parameters: int
    macs: int | None
    ap: dict[str, float] | None
    cpu_ms: float
    landmarks: bool


class DetectorTable(Closed, frozen=True, kw_only=True):
    """The whole table: ``pictures`` measured, ``timed`` of them, on which machine, by which command."""

    pictures: int
    timed: int
    machine: str
    command: str
    rows: tuple[Row, ...]


def save(field: DetectorTable, path: Path = FIGURES) -> DetectorTable:
    """Write the figures beside those that lie there already; a detector that was measured again replaces the old."""
    fresh = {row.detector for row in field.rows}
    old = load(path).rows if path.is_file() else ()
    rows = [*field.rows, *(row for row in old if row.detector not in fresh and row.detector in DETECTORS)]
    rows.sort(key=lambda row: DETECTORS.index(row.detector))
    whole = msgspec.structs.replace(field, rows=tuple(rows))
    write_json(path, whole)
    return whole


def load(path: Path = FIGURES) -> DetectorTable:
    """Read the figures."""
    return msgspec.json.decode(path.read_bytes(), type=DetectorTable)
