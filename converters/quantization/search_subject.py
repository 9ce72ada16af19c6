"""What `search` measures with: variants of one network made in a scratch folder and held against fp32."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Literal

from converters.building.int8 import make_int8
from converters.building.maker import Maker
from converters.building.quiet import silence
from converters.building.stamps import tool_versions
from converters.export.ranges import RangesFile, write_ranges
from converters.paths import file_name
from converters.quantization.calibrate import measure as calibrated
from converters.quantization.compare_variants import Comparator, Comparison, Crops, Outcome, normalised_error
from converters.quantization.search_state import SENSITIVITY_PICTURES, Scheme, Score, State
from converters.recipes.schema import Quantize, Recipe
from converters.references.torch_module import TorchReference
from edgeface.config import RuntimeName
from edgeface.types import F32

Pictures = Literal["search", "decide", "rank"]


class Subject:
    """One network in one runtime.

    Parameters
    ----------
    crops : the labelled pictures
    state : where scores are kept
    data : folder of the labelled data
    """

    def __init__(
        self,
        maker: Maker,
        recipe: Recipe,
        runtime: RuntimeName,
        crops: Crops,
        state: State,
        *,
        data: Path | None = None,
    ) -> None:
        self._maker = maker
        self._runtime: RuntimeName = runtime
        self._state = state
        self._data = data
        self._comparators: dict[Pictures, Comparator] = {
            "search": Comparator(maker, recipe, crops, "search"),
            "decide": Comparator(maker, recipe, crops, "decide"),
            "rank": Comparator(maker, recipe, crops, "search", most=SENSITIVITY_PICTURES),
        }
        self._before: dict[Pictures, Outcome] = {}
        self._outputs: list[Mapping[str, F32]] = []
        self._ranges: dict[str, RangesFile] = {}
        self._made: dict[bool, Path] = {}

    @cached_property
    def schemes(self) -> list[Scheme]:
        """Both ways to gather ranges; with equalisation where the network has layers that can be evened out."""
        reference = self._maker.reference
        able = False
        if isinstance(reference, TorchReference):
            from converters.export.equalise import pairs

            able = any(True for _ in pairs(reference.module))
        return [
            Scheme(calibration=calibration, equalise=equalise)
            for equalise in ((False, True) if able else (False,))
            for calibration in ("average", "minmax")
        ]

    def layers(self, scheme: Scheme) -> Sequence[str]:
        """Layers of the file that is quantized, in its order."""
        plain = self._plain(scheme)
        if self._runtime == "onnx":
            import onnx

            from converters.export.layers import INPUT, onnx_layers
            from converters.export.quantize_onnx import prepared_onnx

            return [name for name in onnx_layers(prepared_onnx(onnx.load(plain))) if name != INPUT]
        from converters.export.layers import tflite_layers
        from converters.export.older_tflite import quantizable

        with quantizable(plain) as whole:
            return list(tflite_layers(whole)[0])

    def measure(self, scheme: Scheme, kept: Sequence[str]) -> Score:
        """Loss on the search half."""
        how = scheme.quantize(kept)
        return self._state.score(self._key("search", scheme, how), lambda: self._loss("search", how))

    def sensitivity(self, scheme: Scheme, kept: Sequence[str]) -> float:
        """Normalised error of the outputs on the first pictures of the search half."""
        how = scheme.quantize(kept)
        return self._state.error(self._key("moved", scheme, how), lambda: self._normalised_error(how))

    def decide(self, how: Quantize) -> Score:
        """Loss of the final variant on the other half."""
        return self._loss("decide", how)

    def _key(self, what: str, scheme: Scheme, how: Quantize) -> str:
        """Everything that a figure depends on: the variant, its ranges, the tools, how many pictures were looked at."""
        pictures = self._comparators["rank" if what == "moved" else "search"].count
        parts = (self._plain(scheme).read_bytes(), how, self._calibrated(how), tool_versions(), pictures)
        return f"{what} {scheme} {hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"

    def _loss(self, pictures: Pictures, how: Quantize) -> Score:
        comparator = self._comparators[pictures]
        if pictures not in self._before:
            self._before[pictures] = comparator.run(self._runtime, "fp32", self._plain(Quantize()))
        with self._int8(how) as path:
            after = comparator.run(self._runtime, "int8", path)
        return scored(comparator.compare(self._before[pictures], after), years=self._maker.network.task == "age")

    def _normalised_error(self, how: Quantize) -> float:
        comparator = self._comparators["rank"]
        self._outputs = self._outputs or comparator.outputs(self._runtime, "fp32", self._plain(Quantize()))
        with self._int8(how) as path:
            return normalised_error(self._outputs, comparator.outputs(self._runtime, "int8", path))

    @contextmanager
    def _int8(self, how: Quantize) -> Iterator[Path]:
        """A variant made in a scratch folder."""
        with tempfile.TemporaryDirectory() as scratch:
            ranges = Path(scratch) / f"{self._maker.name}.ranges.json"
            path = Path(scratch) / file_name(self._maker.name, self._runtime, "int8")
            write_ranges(ranges, self._calibrated(how))
            with silence():
                make_int8(self._plain(how), self._runtime, how, ranges, path)
            yield path

    def _plain(self, scheme: Scheme | Quantize) -> Path:
        if scheme.equalise not in self._made:
            self._made[scheme.equalise] = self._maker.file(self._runtime, "fp32", equalised=scheme.equalise)
        return self._made[scheme.equalise]

    def _calibrated(self, how: Quantize) -> RangesFile:
        key = f"{how.calibration} {how.equalise}"
        if key not in self._ranges:
            self._ranges[key] = calibrated(self._maker, {self._runtime: how}, data=self._data)
        return self._ranges[key]


def scored(found: Comparison, *, years: bool) -> Score:
    """Losses in the unit of the tolerance."""
    scale = 1.0 if years else 100.0
    overall = [loss.value for loss in found.losses if loss.group == "all" or loss.group.startswith("AP ")]
    return Score(worst=scale * max(overall), mean=scale * sum(overall) / len(overall))
