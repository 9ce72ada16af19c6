"""How much a network's answers depend on its crop: points that are a little off, small faces, blurred ones.

The points of the detector are moved as no detector should err, and the face is cut by them. For sizes and blur the
photograph is changed and the detector looks again, as on the device; a face that it misses then is left out on both
sides and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from converters.evaluation.groups import paired_loss
from converters.evaluation.report import DIGITS
from converters.evaluation.stills import F64, Stills, answer_stills, errors_of, unit_of
from converters.evaluation.subject import Face, Subject
from converters.measurements.crops import CropLoss, Kind, Towards, Unit
from edgeface.types import F32, Image, Task

POINTS = 0.1
"""Points are scaled by this share, and shifted by this share of the distance between the eyes."""
SIZES_PX = (16, 24, 32, 48, 64, 96, 128)
BLURS = (0.01, 0.02, 0.04, 0.08)
"""Deviations of a Gaussian, in heights of the face: 0.02 are two pixels of a face of a hundred."""
EYES = 0.42
"""Distance between the eyes in widths of the box, where a detector gives no points."""
TOWARDS: Mapping[Towards, tuple[int, int]] = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change, as `CropLoss` names it: of where a face lies, or of its photograph."""

    kind: Kind
    amount: float
    towards: Towards = ""
    move: Callable[[Face], Face] | None = None
    redraw: Callable[[Image, Face], Image] | None = None


def changes() -> Iterator[Change]:
    """All of them."""
    for factor in (1 - POINTS, 1 + POINTS):
        yield Change(kind="points", amount=factor, move=partial(moved, scale=factor))
    for name, (right, down) in TOWARDS.items():
        move = partial(moved, right=POINTS * right, down=POINTS * down)
        yield Change(kind="points", amount=POINTS, towards=name, move=move)
    for size in SIZES_PX:
        yield Change(kind="size", amount=size, redraw=partial(resized, height_px=size))
    for blur in BLURS:
        yield Change(kind="blur", amount=blur, redraw=partial(blurred, share=blur))


def moved(face: Face, *, scale: float = 1.0, right: float = 0.0, down: float = 0.0) -> Face:
    """Box and points scaled about their own middle, then shifted by shares of the distance between the eyes."""
    box, points = face
    width = float(box[2] - box[0])
    eyes = EYES * width if points is None else float(np.linalg.norm(points[1] - points[0]))
    shift = eyes * np.array([right, down], np.float32)

    def about_middle(corners: F32) -> F32:
        middle = corners.mean(axis=0)
        there: F32 = (middle + scale * (corners - middle) + shift).astype(np.float32)
        return there

    return about_middle(box.reshape(2, 2)).reshape(4), None if points is None else about_middle(points)


def resized(image: Image, face: Face, *, height_px: int) -> Image:
    """The photograph so small that the face is so high; one whose face is smaller stays as it is."""
    factor = min(1.0, height_px / max(float(face[0][3] - face[0][1]), 1.0))
    size_wh = (max(1, round(factor * image.shape[1])), max(1, round(factor * image.shape[0])))
    small: Image = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    return small


def blurred(image: Image, face: Face, *, share: float) -> Image:
    """The photograph out of focus."""
    soft: Image = cv2.GaussianBlur(image, (0, 0), max(share * float(face[0][3] - face[0][1]), 1e-3))
    return soft


def crop_losses(
    stills: Stills, able: Sequence[tuple[Subject, Sequence[Task]]], title: str, wanted: Iterable[Change]
) -> Iterator[CropLoss]:
    """What networks lose on one set under every change, for each question that is asked of them."""
    subjects = [subject for subject, _ in able]
    plain = answer_stills(stills, subjects)
    for change in wanted if plain else ():
        after = answer_stills(stills, subjects, move=change.move, redraw=change.redraw)
        for subject, tasks in able if after else ():
            for task in tasks:
                before, now = (errors_of(said[subject.network.name], subject.network, task) for said in (plain, after))
                yield _loss(change, subject, task, title, before, now, unit_of(plain[subject.network.name], task))


def _loss(change: Change, subject: Subject, task: Task, title: str, before: F64, after: F64, unit: Unit) -> CropLoss:
    there, both = np.isfinite(before), np.isfinite(before) & np.isfinite(after)
    loss = paired_loss(before[both], after[both], {})[0]
    file = subject.runner.file
    return CropLoss(
        network=subject.network.name,
        runtime=file.runtime,
        precision=file.precision,
        weights=subject.network.source.sha256,
        task=task,
        set=title,
        kind=change.kind,
        amount=round(change.amount, DIGITS),
        towards=change.towards,
        unit=unit,
        value=round(loss.value, DIGITS),
        count=loss.count,
        low=None if loss.low is None else round(loss.low, DIGITS),
        high=None if loss.high is None else round(loss.high, DIGITS),
        found=round(float(both.sum() / max(there.sum(), 1)), DIGITS),
    )
