"""Several views of one person, as a camera gives them: near and far, sharp and blurred, in good light and in bad.

A view is made of the photograph of a chip (`converters.evaluation.stills`): the face is brought to a height that is
thrown, the picture is spoilt as faces are in training (`converters.datasets.camera`), and the shipped detector looks.
So each view has the quality that a device would give it, with the detector's own score.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.datasets.camera import NORMALS, THROWS, Camera, spoilt
from converters.datasets.labelled import Chip
from converters.evaluation.crops import resized
from converters.evaluation.stills import photograph
from converters.evaluation.subject import Finder, Subject
from edgeface.people.quality import assess
from edgeface.types import F32, Image, Quality

HEIGHTS_PX = (20.0, 160.0)
"""Least and most height of a face, thrown evenly by its logarithm."""
CAMERA = Camera(
    occlusion=0.15,
    light=0.7,
    gamma=0.4,
    brightness=30.0,
    low_resolution=0.0,  # the height is thrown here
    blur=0.4,
    blur_px=2.0,
    noise=0.5,
    noise_levels=12.0,
    jpeg=0.5,
)
"""A worse camera than that of training: what a view is worth is learnt from bad ones."""
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Views:
    """Views in which the face was found.

    Attributes
    ----------
    person : int64 (V,), number of the person in ``labels``, rising
    labels : of every person
    qualities, scores : of every view, as the device judges it, and the detector's score
    outputs : by network what it gave for every view, by the head's names
    lost : views in which the face was not found
    """

    person: I64
    labels: Sequence[Mapping[str, str]]
    qualities: Sequence[Quality]
    scores: Sequence[float]
    outputs: Mapping[str, Mapping[str, F32]]
    lost: int


def view_people(chips: Iterable[Chip], finder: Finder, subjects: Sequence[Subject], count: int, *, seed: int) -> Views:
    """Look ``count`` times at every face that the detector finds in its photograph as it is.

    The same seed gives the same views of the same chips.
    """
    person: list[int] = []
    labels: list[Mapping[str, str]] = []
    qualities: list[Quality] = []
    scores: list[float] = []
    pixels: dict[str, list[Image]] = {subject.network.name: [] for subject in subjects}
    lost = 0
    for number, chip in enumerate(chips):
        image = photograph(chip.image)
        face = finder.face(image)
        labels.append(chip.labels)
        rng = np.random.default_rng((seed, number))
        for _ in range(count):
            if face is None:
                break
            height = float(np.exp(rng.uniform(*np.log(HEIGHTS_PX))))
            seen = _spoilt(resized(image, face, height_px=round(height)), rng)
            sight = finder.sight(seen)
            if sight is None:
                lost += 1
                continue
            person.append(number)
            scores.append(sight.score)
            qualities.append(assess(seen, sight.box, sight.points, sight.score))
            for subject in subjects:
                cut = finder.cut(seen, finder.place(sight), subject.network.input)
                pixels[subject.network.name].append(cut)
    return Views(
        person=np.array(person, np.int64),
        labels=labels,
        qualities=qualities,
        scores=scores,
        outputs={
            subject.network.name: subject.answer_pixels(({}, one) for one in pixels[subject.network.name]).outputs
            for subject in subjects
        },
        lost=lost,
    )


def _spoilt(image: Image, rng: np.random.Generator) -> Image:
    """A photograph, BGR, as a bad camera takes it."""
    throws: list[float] = rng.random(THROWS).tolist()
    normals: list[float] = np.clip(rng.standard_normal(NORMALS), -3, 3).tolist()
    rgb = np.ascontiguousarray(image[..., ::-1])
    return np.ascontiguousarray(spoilt(rgb, CAMERA, throws, normals)[..., ::-1])
