"""Chips as still photographs: scaled up and padded, each face found once, then cut for every network that asks.

What the sealed check does with `edgeface analyze`: a chip gets 30 % of its own edge on each side and is enlarged, the
bundle's detector looks, the largest face is the one that is meant; one view, no mirror. A face that is not found is
left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.datasets.expressions import spelling
from converters.datasets.labelled import Chip
from converters.datasets.labels import FAIRFACE_BINS, GENDERS
from converters.evaluation.subject import ENLARGED, SMALL_PX, Answers, Face, Finder, Subject, padded
from converters.measurements.crops import Unit
from edgeface.attributes import make_heads
from edgeface.bundle import AttributeHead, CategoricalHead, Network
from edgeface.types import AgeEstimate, Image, Task

TWICE = 2
"""Chips of 96 pixels and more are enlarged so many times; smaller ones as everywhere here."""
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stills:
    """Labelled chips, and where the detector found the face of each photograph that is made of one (None: nowhere)."""

    finder: Finder
    chips: Sequence[Chip]
    faces: Sequence[Face | None]

    @property
    def found(self) -> npt.NDArray[np.bool_]:
        """Bool array, shape (N,)."""
        return np.array([face is not None for face in self.faces], bool)


def photograph(chip: Image) -> Image:
    """A chip with room around it, enlarged by the sealed check's own means: other cubics are a little sharper."""
    from PIL import Image as Pillow  # not for --help

    factor = ENLARGED if min(chip.shape[:2]) < SMALL_PX else TWICE
    wide = Pillow.fromarray(padded(chip))
    return np.asarray(wide.resize((factor * wide.width, factor * wide.height), Pillow.Resampling.BICUBIC))


def equalised(chip: Image) -> Image:
    """Levels spread evenly, each channel by itself, by the sealed check's own means."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    return np.asarray(ImageOps.equalize(Pillow.fromarray(chip)))


def find_stills(finder: Finder, chips: Iterable[Chip]) -> Stills:
    """Find every face once."""
    kept: list[Chip] = []
    faces: list[Face | None] = []
    for chip in chips:
        kept.append(chip)
        faces.append(finder.face(photograph(chip.image)))
    return Stills(finder=finder, chips=kept, faces=faces)


def answer_stills(
    stills: Stills,
    subjects: Sequence[Subject],
    *,
    move: Callable[[Face], Face] | None = None,
    redraw: Callable[[Image, Face], Image] | None = None,
) -> dict[str, Answers]:
    """What networks say of every face that was found, by network; nothing where none was.

    Parameters
    ----------
    move : puts box and points elsewhere before the cut
    redraw : makes another photograph of one, in which the detector looks again
    """
    pixels: dict[str, list[Image | None]] = {subject.network.name: [] for subject in subjects}
    for chip, face in zip(stills.chips, stills.faces, strict=True):
        image, place = photograph(chip.image), face
        if face is not None and redraw is not None:
            image = redraw(image, face)
            place = stills.finder.face(image)
        place = place if place is None or move is None else move(place)
        for subject in subjects:
            seen = None if place is None else stills.finder.cut(image, place, subject.network.input)
            pixels[subject.network.name].append(seen)
    labels = [chip.labels for chip in stills.chips]
    return {
        subject.network.name: subject.answer_pixels(zip(labels, pixels[subject.network.name], strict=True))
        for subject in subjects
        if any(seen is not None for seen in pixels[subject.network.name])
    }


def errors_of(answers: Answers, network: Network, task: Task) -> F64:
    """The error of each face as it is published, shape (N,): not a number for one that was not found or has no label.

    Years off of an age that is labelled in years; else 1 for a wrong answer (an age whose whole year lies in another of
    FairFace's bins, a gender, an expression) and 0 for a right one.
    """
    head = make_heads(network)[task]
    column = column_of(task)
    rows = iter(head.probabilities(answers.outputs))
    errors = np.full(len(answers.labels), np.nan)
    kind = network.answers[task]
    names = names_of(kind)
    for number, (labels, hit) in enumerate(zip(answers.labels, answers.found, strict=True)):
        row, label = next(rows) if hit else None, labels.get(column)
        if row is None or not label:
            continue
        if task == "age":
            estimate = head.estimate(row)
            assert isinstance(estimate, AgeEstimate)
            errors[number] = age_error(round(estimate.years, 1), label)
        else:
            errors[number] = names[int(row.argmax())] != true_name(label)
    return errors


def unit_of(answers: Answers, task: Task) -> Unit:
    """In what `errors_of` counts: years of a set that tells ages in years."""
    bins = any(row.get("age") in FAIRFACE_BINS for row in answers.labels)
    return "years" if task == "age" and not bins else "share"


def column_of(task: Task) -> str:
    """Column of a label table that answers a question."""
    return "emotion" if task == "expression" else task


def names_of(head: AttributeHead) -> list[str]:
    """A head's labels in the one spelling, in its order; none of a head for ages."""
    return [spelling(label) for label in head.labels] if isinstance(head, CategoricalHead) else []


def true_name(label: str) -> str:
    """The one spelling of a gender or an expression as a table labels it."""
    return GENDERS.get(label, spelling(label))


def age_error(years: float, label: str) -> float:
    """Years off of a label in years; of one of FairFace's bins 0 where the whole year lies in it, and 1 elsewhere."""
    return float(bin_of(years) != label) if label in FAIRFACE_BINS else abs(years - float(label))


def bin_of(years: float) -> str:
    """FairFace's bin of an age: that of the nearest whole year, of two the even one."""
    return next((name for name, (_, high) in FAIRFACE_BINS.items() if round(years) <= high), "70+")
