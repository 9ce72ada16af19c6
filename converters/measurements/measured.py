"""Figures of networks, by network: what the evaluation wrote and manifests and cards are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from converters.formats.json_files import write_json
from converters.paths import RESULTS
from edgeface.bundle import FileRuntime, Four, Measured, Network, Precision

FITS = "detector_to_reference.json"


def read_measured(name: str) -> tuple[Measured, ...]:
    """Figures of a network that the evaluation wrote, or none."""
    path = RESULTS / f"{name}.json"
    return tuple(msgspec.json.decode(path.read_bytes(), type=list[Measured])) if path.is_file() else ()


class OfFile(Protocol):
    """A figure of one file of one network; ``weights`` is the hash of the file from which its weights come."""

    @property
    def network(self) -> str: ...  # noqa: D102
    @property
    def runtime(self) -> FileRuntime: ...  # noqa: D102
    @property
    def precision(self) -> Precision: ...  # noqa: D102
    @property
    def weights(self) -> str: ...  # noqa: D102


F = TypeVar("F", bound=OfFile)


def of_network(network: Network, figures: Iterable[F]) -> list[F]:
    """Figures of a network's first ONNX file, which the default runtime takes, with the weights that it has now."""
    files = network.files.get("onnx", ())
    if not files:
        return []
    wanted = (network.name, "onnx", files[0].precision, network.source.sha256)
    return [one for one in figures if (one.network, one.runtime, one.precision, one.weights) == wanted]


class DetectorFit(msgspec.Struct, frozen=True, kw_only=True):
    """How one detector's boxes and points become the reference's; see `edgeface.bundle.Network`."""

    box: Four
    box_faces: int
    landmarks: tuple[tuple[float, float], ...]
    landmark_faces: int


def read_detector_fits() -> Mapping[str, DetectorFit]:
    """By detector, what `python -m converters evaluate boxes` fitted; the reference itself has none."""
    path = RESULTS / FITS
    return msgspec.json.decode(path.read_bytes(), type=dict[str, DetectorFit]) if path.is_file() else {}


def _key(row: Measured) -> tuple[str, ...]:
    values = (row.set, row.runtime, row.precision, row.size or "", row.detector or "", row.metric, row.group)
    return tuple(str(value) for value in values)


def save(network: str, rows: Sequence[Measured], *, dry: bool) -> None:
    """Put rows into a network's results; a row that was measured again replaces the old one."""
    if dry:
        return
    path = RESULTS / f"{network}.json"
    old = msgspec.json.decode(path.read_bytes(), type=list[Measured]) if path.exists() else []
    merged = {_key(row): row for row in (*old, *rows)}
    ordered = [merged[key] for key in sorted(merged)]
    write_json(path, ordered)


def write_detector_fits(fits: Mapping[str, DetectorFit]) -> None:
    """Write what was fitted, replacing the old."""
    write_json(RESULTS / FITS, fits)
