"""Calibration samples of one network: what it would see in service, as float inputs.

Training parts alone, never a picture that anything is evaluated on: detectors see scenes composed from FairFace
training faces, expression networks FER-2013 training chips, the others FairFace training faces cut as in service. Or a
folder of one's own pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from converters.datasets.labelled import chips, data_folder, read
from converters.evaluation.subject import Finder, padded
from converters.export.ranges import Pictures
from converters.quantization.scenes import SAMPLES, SCENES, SEED, STRIDE, scenes, training_faces
from converters.recipes.schema import NetworkRecipe
from edgeface.bundle import Signature, open_bundle
from edgeface.errors import UsageError
from edgeface.geometry import letterbox, shrink
from edgeface.runtime import to_tensor
from edgeface.types import F32, Image

LEAST = 32
"""Fewer pictures leave the ranges to chance: the largest value of few faces is not that of the next hundred."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp")


class Samples:
    """Pictures for one network, made when they are first asked for.

    Parameters
    ----------
    bundle : folder of a bundle whose default detector finds the faces
    data : folder of the labelled data, or None for the usual place
    pictures : folder of own pictures instead

    Raises
    ------
    UsageError : fewer than 32 pictures, or no data
    """

    def __init__(
        self, network: NetworkRecipe, bundle: Path, *, data: Path | None = None, pictures: Path | None = None
    ) -> None:
        self._network = network
        self._bundle = bundle
        self._data = data
        self._folder = pictures
        self._seen = hashlib.sha256()

    def batches(self, signature: Signature) -> Iterator[F32]:
        """Float inputs for one shape, channel-last."""
        spec = self._network.input
        if self._network.is_detector:
            size = (signature.width or 0, signature.height or 0)
            shown: Iterator[Image] = (
                scenes(SCENES, size, self._pictures) if self._folder is None else self._fitted(size)
            )
        else:
            shown = iter(self._crops)
        while len(batch := list(islice(shown, signature.batch))) == signature.batch:
            pixels = np.stack(batch)
            self._seen.update(pixels.tobytes())
            yield to_tensor(pixels if spec.color != "rgb" or spec.crop else pixels[..., ::-1], spec, "NHWC")

    def described(self) -> Pictures:
        """What was looked at so far."""
        count = len(self._pictures) if self._network.is_detector else len(self._crops)
        return Pictures(set=self._title, count=count, seed=SEED, sha256=self._seen.hexdigest())

    @property
    def _title(self) -> str:
        if self._folder is not None:
            return "own pictures"
        if self._network.is_detector:
            return "scenes composed from FairFace training faces"
        return "FER-2013 training chips" if self._of_chips else "FairFace training faces"

    @property
    def _of_chips(self) -> bool:
        """Whether the whole chip is the crop, as in FER-2013."""
        return self._network.task == "expression" and self._folder is None

    @cached_property
    def _pictures(self) -> Sequence[Image]:
        if self._folder is not None:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix.lower() in SUFFIXES)
            return _enough([read(path) for path in paths[:SAMPLES]], str(self._folder))
        if self._of_chips:
            listed = chips(data_folder(str(self._data) if self._data else None), "fer2013", "train")
            return _enough([chip.image for chip in islice(listed, 0, SAMPLES * STRIDE, STRIDE)], "FER-2013 train")
        return _enough(list(training_faces(SAMPLES, data=self._data)), "FairFace train")

    @cached_property
    def _crops(self) -> Sequence[Image]:
        spec = self._network.input
        if self._of_chips:
            return [
                _whole(picture, spec.width or 0, spec.height or 0, grey=spec.color == "grey")
                for picture in self._pictures
            ]
        finder = Finder(open_bundle(self._bundle))
        shown = map(padded, tqdm(self._pictures, desc="faces", unit="face", disable=None, leave=False))
        found = ((image, finder.face(image)) for image in shown)
        crops = [finder.cut(image, face, spec) for image, face in found if face is not None]
        return _enough(crops, "the faces that the detector found")

    def _fitted(self, size_wh: tuple[int, int]) -> Iterator[Image]:
        for picture in self._pictures:
            fit = letterbox((picture.shape[1], picture.shape[0]), size_wh)
            canvas = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
            shrink(picture, fit.content_wh, out=canvas[: fit.content_wh[1], : fit.content_wh[0]])
            yield canvas


def _whole(picture: Image, width: int, height: int, *, grey: bool) -> Image:
    """The whole chip as the crop, uint8 (height, width, 1 or 3)."""
    pixels = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if grey else picture[..., ::-1]
    resized: Image = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized[..., None] if grey else resized


def _enough(pictures: list[Image], where: str) -> list[Image]:
    if len(pictures) < LEAST:
        raise UsageError(
            f"{where}: {len(pictures)} pictures are too few to calibrate with", fix=f"give at least {LEAST}"
        )
    return pictures
