"""Labelled faces to try settings on: found once, cut out as often as settings ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from tqdm import tqdm

from converters.datasets.expressions import FER, spelling
from converters.datasets.labelled import Chip, data_folder
from converters.datasets.labels import FAIRFACE_BINS
from converters.datasets.layouts import find_faces
from converters.datasets.layouts.sets import FaceSet
from converters.evaluation.subject import Face, Finder, prepared
from converters.paths import BUNDLE
from converters.probing.readings import CONTEMPT, Probed
from edgeface.bundle import BoxCrop, Input, open_bundle
from edgeface.crop import cut
from edgeface.errors import UsageError
from edgeface.types import Image

SETS = {"age": ("utkface", "fairface"), "gender": ("utkface", "fairface"), "expression": ("fer2013",)}
LEAST = 30
"""Fewer faces tell no setting from another."""
SEED = 1
POOL = 6
"""Faces looked at for one that is chosen: the rarest label is one in sixty."""
EVERYTHING = BoxCrop(left=0, top=0, right=0, bottom=0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """One labelled face: the picture as its set has it, the same with room around, and where the face was found."""

    chip: Image
    image: Image
    face: Face
    labels: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Faces:
    """Labelled faces of one question.

    Attributes
    ----------
    sets : what they are of, for people
    finder : who found them, and cuts them
    missed : how many it did not find; they are left out
    """

    sets: str
    finder: Finder
    shown: Sequence[Shown]
    missed: int

    @property
    def labels(self) -> list[dict[str, str]]:
        """Labels, face by face."""
        return [one.labels for one in self.shown]

    def crops(self, spec: Input) -> Image:
        """Input pixels by the rule of ``spec``, uint8 (N, H, W, C); without a rule the whole chips."""
        if spec.crop is None:
            whole = msgspec.structs.replace(spec, crop=EVERYTHING)
            boxes = [np.array([0, 0, one.chip.shape[1], one.chip.shape[0]], np.float32) for one in self.shown]
            return np.stack([cut(one.chip, box, None, whole) for one, box in zip(self.shown, boxes, strict=True)])
        return np.stack([self.finder.cut(one.image, one.face, spec) for one in self.shown])

    def some(self, count: int) -> Faces:
        """At most so many of them, spread over all."""
        step = max(1, -(-len(self.shown) // count))
        return replace(self, shown=self.shown[::step])


def gather(task: Probed, data: Path | None, *, limit: int) -> Faces:
    """Choose labelled faces, as many of each label as can be had, and find them.

    Age is asked of faces with ages in years (UTKFace) where there are some, gender of every set that the folder holds.

    Raises
    ------
    UsageError : no labelled faces there, or too few that are found
    """
    folder = data_folder(str(data) if data else None)
    sets = find_faces(folder, SETS[task])
    sets = sets[:1] if task == "age" else sets
    finder = Finder(open_bundle(BUNDLE))
    shown: list[Shown] = []
    missed = 0
    for faces in sets:
        chips = choose(faces, task, limit // len(sets))
        for chip in tqdm(chips, desc=f"faces of {faces.title}", unit="face", disable=None, leave=False):
            image = prepared(chip.image, pad=True)
            face = finder.face(image)
            if face is None:
                missed += 1
            else:
                shown.append(Shown(chip=chip.image, image=image, face=face, labels=chip.labels))
    if len(shown) < LEAST:
        raise UsageError(
            f"{folder}: {len(shown)} faces are too few to tell settings apart", fix=f"give at least {LEAST}"
        )
    # Labels and sets take turns, so that every part of the faces holds all of them.
    order = np.random.default_rng(SEED).permutation(len(shown))
    titles = " and ".join(faces.title for faces in sets)
    return Faces(sets=titles, finder=finder, shown=[shown[i] for i in order], missed=missed)


def choose(faces: FaceSet, task: Probed, limit: int) -> list[Chip]:
    """Draw at most ``limit`` faces of a set, equally many of each label: a set may be sorted, or know one label best.

    Pictures that no label of the question is known of are passed over. Reservoirs (Vitter 1985) need one look at each.
    """
    dice = np.random.default_rng(SEED)
    drawn: dict[str, list[Chip]] = {}
    seen: dict[str, int] = {}
    most = max(1, limit // _strata(task))
    # Sheets hold their faces in no order, so that a part of them is as good as all; names of files are an order.
    looked = POOL * limit if faces.layout == "sheets" else None
    for chip in tqdm(faces.read(looked), desc=f"choosing from {faces.title}", unit="face", disable=None, leave=False):
        label = _stratum(chip.labels, task)
        if label is None:
            continue
        seen[label] = seen.get(label, 0) + 1
        place = len(drawn.setdefault(label, [])) if seen[label] <= most else int(dice.integers(seen[label]))
        if place < most:
            # A tile is a view of its whole sheet, which need not be kept.
            drawn[label][place : place + 1] = [Chip(chip.image.copy(), chip.labels)]
    return [chip for label in sorted(drawn) for chip in drawn[label]]


def _strata(task: Probed) -> int:
    return {"age": len(FAIRFACE_BINS), "gender": 2, "expression": len(FER)}[task]


def _stratum(labels: dict[str, str], task: Probed) -> str | None:
    """What a face is counted under: its label, or the band of its age."""
    if task == "gender":
        return labels.get("gender")
    if task == "expression":
        word = spelling(labels.get("emotion", ""))
        return word if word in (*FER, CONTEMPT) else None
    age = labels.get("age", "")
    if age in FAIRFACE_BINS or not age.isdecimal():
        return age if age in FAIRFACE_BINS else None
    return next((name for name, (low, high) in FAIRFACE_BINS.items() if low <= int(age) <= high), None)
