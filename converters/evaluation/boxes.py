"""How one detector's boxes become another's: crop rules by box were measured on RetinaFace's boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeface.crop import cut, reference_boxes
from edgeface.engine.networks import Networks
from edgeface.errors import UsageError
from edgeface.geometry import iou
from edgeface.runtime import run_faces
from edgeface.types import F32, Detections, Image

SAME_FACE_IOU = 0.4
MIN_SIDE_PX = 40.0
SURE = 0.8


@dataclass(frozen=True)
class CommonFaces:
    """What two detectors found in one picture.

    Attributes
    ----------
    number : of the picture
    pairs : rows of one face in ``own`` and in ``theirs``
    """

    number: int
    own: Detections
    theirs: Detections
    pairs: Sequence[tuple[int, int]]


def common_faces(images: Iterable[Image], detector: Networks, reference: Networks) -> list[CommonFaces]:
    """Faces that both find, picture by picture."""
    found: list[CommonFaces] = []
    for number, image in enumerate(images):
        own, theirs = (networks.detect(image, min_score=SURE) for networks in (detector, reference))
        overlaps = iou(own.boxes, theirs.boxes)
        pairs = [
            (row, int(overlaps[row].argmax()))
            for row in range(len(own))
            if len(theirs) and overlaps[row].max() >= SAME_FACE_IOU and _side(own.boxes[row]) >= MIN_SIDE_PX
        ]
        found.append(CommonFaces(number, own, theirs, pairs))
    return found


def fit_box_to_reference(boxes: F32, reference: F32) -> tuple[float, float, float, float]:
    """Median over faces of how far each edge lies from the reference's, as a share of the box's width or height.

    Parameters
    ----------
    boxes, reference : float32 arrays, shape (N, 4), the same faces row by row

    Returns
    -------
    left, top, right, bottom: ``x1 + left * width`` is the reference's left edge, and so on.

    Raises
    ------
    UsageError : no face
    """
    _expect_faces(len(boxes))
    size = boxes[:, 2:] - boxes[:, :2]
    shares: npt.NDArray[np.float64] = np.median((reference - boxes) / np.tile(size, 2), axis=0)
    left, top, right, bottom = (round(float(share), 4) for share in shares)
    return left, top, right, bottom


def fit_landmarks_to_reference(points: F32, reference: F32) -> tuple[tuple[float, float], ...]:
    """Median over faces of how far each point lies from the reference's, in the upright face.

    Parameters
    ----------
    points, reference : float32 arrays, shape (N, 5, 2), the same faces row by row

    Returns
    -------
    Five x, y in distances between the reference's eyes: along the line of its eyes, and at right angles downwards.

    Raises
    ------
    UsageError : no face
    """
    _expect_faces(len(points))
    axis = reference[:, 1] - reference[:, 0]
    length = np.linalg.norm(axis, axis=1, keepdims=True)
    along, down = axis / length, np.stack([-axis[:, 1], axis[:, 0]], axis=1) / length
    off = points - reference
    x = (off * along[:, None]).sum(axis=2) / length
    y = (off * down[:, None]).sum(axis=2) / length
    medians = np.median(np.stack([x, y], axis=2), axis=0)
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in medians)


def _expect_faces(count: int) -> None:
    if count == 0:
        raise UsageError("both detectors found no face in common, so nothing can be fitted", fix="take more pictures")


def _side(box: F32) -> float:
    return float(min(box[2] - box[0], box[3] - box[1]))


def agreement(
    images: Sequence[Image],
    found: Sequence[CommonFaces],
    reference: Networks,
    shares: tuple[float, float, float, float],
) -> dict[str, list[bool]]:
    """By network: whether crops from either detector's box get the same arg-max, for every common face."""
    same: dict[str, list[bool]] = {name: [] for name in reference.attributes}
    for faces in found:
        if not faces.pairs:
            continue
        rows, columns = zip(*faces.pairs, strict=True)
        own, theirs, image = faces.own, faces.theirs, images[faces.number]
        moved = reference_boxes(own.boxes, shares)
        for name, (network, runner, (head, *_)) in reference.attributes.items():
            mine = np.stack([cut(image, moved[row], _points(own, row), network.input) for row in rows])
            other = np.stack([cut(image, theirs.boxes[row], _points(theirs, row), network.input) for row in columns])
            answers = [
                head.probabilities(run_faces(runner, network, pixels)).argmax(axis=1) for pixels in (mine, other)
            ]
            same[name] += (answers[0] == answers[1]).tolist()
    return same


def _points(found: Detections, row: int) -> F32 | None:
    return None if found.landmarks is None else found.landmarks[row]
