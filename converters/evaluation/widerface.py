"""Average precision on WIDER FACE by the published procedure (Yang et al. 2016, section 4, and its evaluation code).

Scores are stretched to 0..1 over the whole set. In each picture detections are taken from the best down; one whose
largest IoU with a true face is 0.5 or more hits that face. A hit on a face that does not count at the level removes
the detection from the count of proposals; the first hit on a face that counts is a recall. Precision and recall are
sampled at 1000 thresholds and integrated like PASCAL VOC 2010.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from converters.datasets.labelled import Photograph
from converters.datasets.labels import LEVELS
from converters.evaluation.groups import Loss
from converters.evaluation.statistics import RESAMPLES, Figure
from edgeface.types import F32, Detections

THRESHOLDS = 1000
MIN_IOU = 0.5
MIN_SCORE = 0.02
"""Detections below this are not collected: the usual threshold of the procedure for these detectors."""

F64 = npt.NDArray[np.float64]


def average_precisions(photographs: Sequence[Photograph], found: Sequence[Detections]) -> dict[str, float]:
    """AP by level, 0 to 1, for the detections of each photograph (best first)."""
    return {level: curves.average_precision() for level, curves in _curves(photographs, found).items()}


def precision_figures(photographs: Sequence[Photograph], found: Sequence[Detections]) -> dict[str, Figure]:
    """AP by level with its bootstrap interval over photographs (Efron 1979); the count is of faces that count."""
    figures = {}
    for level, curves in _curves(photographs, found).items():
        low, high = _middle(curves.resampled())
        figures[level] = Figure(curves.average_precision(), int(curves.faces.sum()), low, high)
    return figures


def precision_losses(
    photographs: Sequence[Photograph], before: Sequence[Detections], after: Sequence[Detections]
) -> dict[str, Loss]:
    """AP that ``after`` lost against ``before`` by level, 0 to 1 (negative: gained), with paired bootstrap intervals.

    Photographs are resampled, the same ones for both: how hard a photograph is drops out of the difference.
    """
    first, second = _curves(photographs, before), _curves(photographs, after)
    losses = {}
    for level in LEVELS:
        low, high = _middle(first[level].resampled() - second[level].resampled())
        lost = first[level].average_precision() - second[level].average_precision()
        losses[level] = Loss(group="all", value=lost, count=int(first[level].faces.sum()), low=low, high=high)
    return losses


def precision_recall(photographs: Sequence[Photograph], found: Sequence[Detections]) -> dict[str, tuple[F64, F64]]:
    """Recall and precision at each of the 1000 thresholds by level, as the average precision is made of them."""
    return {level: curves.recall_precision() for level, curves in _curves(photographs, found).items()}


@dataclass(frozen=True, slots=True, eq=False)
class _Curves:
    """Of each photograph (row): faces that count, and proposals and recalled faces at each threshold."""

    faces: F64
    proposals: F64
    recalls: F64

    def average_precision(self, weights: F64 | None = None) -> float:
        """AP when photograph ``i`` is taken ``weights[i]`` times, once each by default; 0 where no face counts."""
        return _voc(*self.recall_precision(weights))

    def recall_precision(self, weights: F64 | None = None) -> tuple[F64, F64]:
        """Return both at each threshold, 0 where no face counts."""
        each = np.ones(len(self.faces)) if weights is None else weights
        faces = float(each @ self.faces)
        if faces == 0:
            return np.zeros(THRESHOLDS), np.zeros(THRESHOLDS)
        proposals, recalls = each @ self.proposals, each @ self.recalls
        return recalls / faces, np.divide(recalls, proposals, out=np.zeros(THRESHOLDS), where=proposals > 0)

    def resampled(self, *, seed: int = 1) -> F64:
        """AP over resampled sets of photographs; the same sets for every detector that saw the same photographs."""
        count = len(self.faces)
        drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
        return np.array([self.average_precision(weights.astype(np.float64)) for weights in drawn])


def _curves(photographs: Sequence[Photograph], found: Sequence[Detections]) -> dict[str, _Curves]:
    scores = _stretched([detections.scores for detections in found])
    matches = [_overlaps(d.boxes, p.boxes) for d, p in zip(found, photographs, strict=True)]
    return {
        level: _level([photograph.counted[level] for photograph in photographs], scores, matches) for level in LEVELS
    }


def _level(counted: Sequence[npt.NDArray[np.bool_]], scores: Sequence[F32], matches: Sequence[F64]) -> _Curves:
    faces = np.array([float(which.sum()) for which in counted])
    proposals, recalls = np.zeros((2, len(counted), THRESHOLDS))
    # Threshold t of 1000: the last detection whose score reaches 1 - (t + 1) / 1000.
    limits = 1 - (np.arange(THRESHOLDS) + 1) / THRESHOLDS
    for row, (which, values, overlaps) in enumerate(zip(counted, scores, matches, strict=True)):
        if len(values) == 0 or len(which) == 0:
            # The published code skips pictures without detections or without faces.
            continue
        proposal, recall = _picture(which, overlaps)
        last = np.searchsorted(-values.astype(np.float64), -limits, side="right") - 1
        reached = last >= 0
        proposals[row, reached] = proposal[last[reached]]
        recalls[row, reached] = recall[last[reached]]
    return _Curves(faces, proposals, recalls)


def _picture(counted: npt.NDArray[np.bool_], overlaps: F64) -> tuple[F64, F64]:
    """Running counts of proposals and of recalled faces after each detection."""
    recalled = np.zeros(len(counted), bool)
    proposal, recall = np.zeros(len(overlaps)), np.zeros(len(overlaps))
    proposals = faces = 0
    for row, overlap in enumerate(overlaps):
        best = int(overlap.argmax())
        proposals += 1
        if overlap[best] >= MIN_IOU:
            if not counted[best]:
                proposals -= 1
            elif not recalled[best]:
                recalled[best] = True
                faces += 1
        proposal[row], recall[row] = proposals, faces
    return proposal, recall


def _middle(values: F64) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _stretched(scores: Sequence[F32]) -> list[F32]:
    flat = np.concatenate([*scores, np.zeros(0, np.float32)])
    if len(flat) == 0 or flat.max() == flat.min():
        return list(scores)
    low, high = flat.min(), flat.max()
    return [(values - low) / (high - low) for values in scores]


def _overlaps(boxes: F32, truth: F32) -> F64:
    """IoU as the published code counts it: pixels inclusive, so a box is one pixel wider than the difference."""
    a, b = boxes.astype(np.float64)[:, None], truth.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1
    shared = np.clip(sides, 0, None).prod(axis=2)
    area_a, area_b = ((box[..., 2:] - box[..., :2] + 1).prod(axis=2) for box in (a, b))
    overlaps: F64 = shared / (area_a + area_b - shared)
    return overlaps


def _voc(recall: F64, precision: F64) -> float:
    """Area under the precision envelope."""
    x = np.concatenate([[0.0], recall, [1.0]])
    y = np.concatenate([[0.0], precision, [0.0]])
    envelope = np.maximum.accumulate(y[::-1])[::-1]
    steps = np.flatnonzero(x[1:] != x[:-1])
    return float(((x[steps + 1] - x[steps]) * envelope[steps + 1]).sum())


def as_rows(precisions: Mapping[str, float]) -> str:
    """``.938 / .920 / .774``."""
    return " / ".join(f"{precisions[level]:.3f}".lstrip("0") for level in LEVELS)
