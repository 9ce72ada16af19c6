"""The int8 form of a network: calibration samples in the network's own terms, then the runtime's own quantizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import onnx

from converters.export.calibration import SAMPLES, SCENES, found_faces, scenes, training_faces
from converters.recipe import Calibration, NetworkRecipe, Recipe
from edgeface.bundle import Bundle, Signature, open_bundle
from edgeface.config import Config, RuntimeName
from edgeface.config import Runtime as RuntimeSettings
from edgeface.files import write_atomic
from edgeface.runtime import to_tensor
from edgeface.types import F32, Image
from edgeface.worker import Networks

SHIPPED_RANGES = Path(__file__).parent / "recipes" / "ranges"
"""Ranges of the int8 files that ship: with them a rebuild needs no pictures."""


class Samples:
    """Calibration pictures, made when they are first asked for.

    Parameters
    ----------
    bundle : folder of a bundle whose default detector finds the faces
    data : folder of the labelled data, or None for the usual place
    """

    def __init__(self, recipe: Recipe, bundle: Path, data: Path | None = None) -> None:
        self._recipe = recipe
        self._bundle = bundle
        self._data = data

    def batches(self, name: str, signature: Signature) -> Iterator[F32]:
        """Float inputs for one shape, channel-last."""
        spec = self._recipe.networks[name].input
        if self._recipe.networks[name].is_detector:
            pictures: Iterator[Image] = scenes(SCENES, (signature.width, signature.height), self._faces)
        else:
            pictures = iter(self._crops[name])
        while len(batch := list(islice(pictures, signature.batch))) == signature.batch:
            pixels = np.stack(batch)
            yield to_tensor(pixels if spec.color != "rgb" or spec.crop else pixels[..., ::-1], spec, "NHWC")

    @cached_property
    def _faces(self) -> list[Image]:
        return list(training_faces(SAMPLES, data=self._data))

    @cached_property
    def _crops(self) -> Mapping[str, list[Image]]:
        opened: Bundle = open_bundle(self._bundle)
        networks = Networks(opened, Config(runtime=RuntimeSettings(name="onnx", threads=2)), still=True)
        inputs = {name: n.input for name, n in self._recipe.networks.items() if not n.is_detector}
        return found_faces(iter(self._faces), networks, inputs)


def make_int8(
    name: str,
    network: NetworkRecipe,
    runtime: RuntimeName,
    calibration: Calibration,
    *,
    plain: Path,
    signatures: tuple[Signature, ...],
    samples: Samples,
    ranges: Path,
    path: Path,
) -> None:
    """Quantize one fp32 file.

    Parameters
    ----------
    plain, path : fp32 file to read, int8 file to write
    ranges : folder of range files; one that exists there is used instead of pictures
    """
    stored = ranges / f"{name}.{runtime}.{calibration}.json"
    stored.parent.mkdir(parents=True, exist_ok=True)
    if runtime == "onnx":
        from converters.export.quantize_onnx import quantize_onnx  # noqa: PLC0415

        shape = signatures if network.is_detector else signatures[:1]
        channel_last = (batch for s in shape for batch in samples.batches(name, s))
        batches = (np.ascontiguousarray(batch.transpose(0, 3, 1, 2)) for batch in channel_last)
        model = quantize_onnx(onnx.load(plain), None if stored.is_file() else batches, calibration, stored)
        write_atomic(path, model.SerializeToString(deterministic=True))
    else:
        from converters.export.quantize_tflite import quantize_tflite  # noqa: PLC0415

        by_key = {s.key: samples.batches(name, s) for s in signatures}
        quantize_tflite(plain, None if stored.is_file() else by_key, calibration, stored, path)
