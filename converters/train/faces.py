"""Faces of labelled sets as a network will see them in service, with room for jitter, in a memory-mapped cache.

Found by the default bundle's own detector on the chip padded by 30 % of its own edge, cut by `edgeface.crop.cut` with
the network's own rule at a larger padding. A face that the detector misses is counted and left out: in service, too,
nobody would ask. Of sets whose chips are about the box already, such a chip is taken as the box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from converters.datasets.labelled import Chip
from converters.datasets.layouts import LAYOUTS, find_faces
from converters.datasets.layouts.sets import FaceSet
from converters.evaluation.subject import Finder, padded, prepared
from converters.paths import BUNDLE
from converters.recipes.schema import NetworkRecipe
from converters.train.cache import Seen, done_in, fill_cache, key_of, read_cache
from converters.train.view import View, stored_input
from edgeface.bundle import Input, LandmarkCrop, choose_file, chosen_detector, open_bundle
from edgeface.config import Config, Detector
from edgeface.errors import UsageError
from edgeface.types import F32, Image

BOXES = ("fer2013",)
"""Sets whose chips are about the box of the face: the shipped detector misses one in twenty of them."""
TRAINED = ("train", "extra")
"""Parts that are learnt from, in which no picture of a test part may be."""
SAME = "same_as_test"
VERSION = 2
"""Of how crops are made: higher, and every cache is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Faces:
    """Faces of one part of a set.

    Attributes
    ----------
    pixels : uint8 memory map, (N, S, S, 3) in RGB; rows whose face was not found are not in it
    rows : the label table's cells of each face, in the order of ``pixels``
    missed : faces that were not found
    view : how to get the network's input out of a stored crop
    """

    pixels: npt.NDArray[np.uint8]
    rows: Sequence[Mapping[str, str]]
    missed: int
    view: View

    def __len__(self) -> int:
        return len(self.rows)


def load_faces(
    recipe: NetworkRecipe,
    set_name: str,
    part: str,
    *,
    data: Path,
    cache: Path,
    bundle: Path = BUNDLE,
    detector: str | None = None,
    threads: int = 1,
    where: str = "--data",
) -> Faces:
    """Faces of a part for a network, from the cache, or cut now and kept there.

    Parameters
    ----------
    recipe : of the network, whose crop rule and input size count
    set_name : a key of `converters.datasets.layouts.LAYOUTS`
    part : ``train``, ``extra``, ``val``, ``publictest`` ...; empty for a layout without parts
    data : folder that holds the set
    cache : folder for the crops, outside the repository: they are pictures of people
    bundle, detector : whose detector finds the faces; None takes the bundle's default
    threads : of the detector
    where : what says ``data``, for messages

    Raises
    ------
    UsageError : no such set or part, a picture or a row that is damaged, a network that sees no faces
    EdgefaceError : the cache cannot be written, or the disk is full; what was cut is kept
    """
    if set_name not in LAYOUTS:
        raise UsageError(f"there is no data set '{set_name}'", fix=f"choose one of: {', '.join(LAYOUTS)}")
    (faces,) = find_faces(data, [set_name], part=part or None, where=where)
    spec, view = stored_input(recipe.input)
    shape = [*view.stored_wh[::-1], 3]
    key = key_of(faces.files(), VERSION, spec, *_detector_facts(bundle, detector))
    boxes = set_name in BOXES and not isinstance(recipe.input.crop, LandmarkCrop)
    folder = cache / f"{set_name}-{part or 'all'}-{key}"
    found = read_cache(folder, shape)
    if found is None:
        title = f"faces of {faces.title}"
        if done := done_in(folder):
            tqdm.write(f"{title}: {done} are there already")
        shown = tqdm(_allowed(faces, part), desc=title, unit="face", disable=None, leave=False)
        fill_cache(folder, shape, shown, _cutting(bundle, detector, threads, spec, boxes))
        found = read_cache(folder, shape)
    assert found is not None
    pixels, rows, missed = found
    if not rows:
        raise UsageError(f"{faces.title} has no face that was found ({missed} missed)", fix="give another part")
    return Faces(pixels=pixels, rows=rows, missed=missed, view=view)


def _allowed(faces: FaceSet, part: str) -> Iterator[Chip]:
    """Chips of a part; of one that is learnt from, without those that equal a picture of a test part."""
    return (chip for chip in faces.read(None) if part not in TRAINED or not chip.labels.get(SAME))


def _cutting(bundle: Path, detector: str | None, threads: int, spec: Input, boxes: bool) -> Callable[[Chip], Seen]:
    """Load a detector; what cuts its faces out. ``boxes``: where it finds none, the chip is the box."""
    finder = Finder(open_bundle(bundle), detector=detector, threads=threads)

    def cut(chip: Chip) -> Seen:
        small = prepared(chip.image, pad=False)
        image = padded(small)
        face = finder.face(image)
        if face is None and boxes:
            face = _middle(image, small), None
        return chip.labels, None if face is None else finder.cut(image, face, spec)

    return cut


def _middle(image: Image, small: Image) -> F32:
    """Box (x1, y1, x2, y2) of a picture inside the padded one."""
    border = (np.array(image.shape[1::-1]) - small.shape[1::-1]) / 2
    box: F32 = np.concatenate([border, border + small.shape[1::-1]]).astype(np.float32)
    return box


def _detector_facts(bundle: Path, detector: str | None) -> tuple[object, ...]:
    """What the boxes and points of a detector depend on."""
    config = Config(detector=Detector(network=detector))
    opened = open_bundle(bundle)
    network = chosen_detector(opened, config)
    stages = [choose_file(stage, next(iter(stage.files))).sha256 for stage in opened.stages(network)]
    file = choose_file(network, "onnx" if "onnx" in network.files else next(iter(network.files)))
    return file.sha256, stages, network.box_to_reference, network.landmarks_to_reference, config.detector.score
