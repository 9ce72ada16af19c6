"""The WIDER FACE procedure against a literal, slow form of the published evaluation code, on random pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.datasets.labelled import Photograph
from converters.evaluation import widerface
from edgeface.types import F32, Detections

F64 = npt.NDArray[np.float64]
LEVELS = ("easy", "medium", "hard")


# The published procedure, loop by loop and with its own names, as its Python port counts it. The one liberty: where a
# threshold leaves no proposal at all, it divides nothing by nothing; here that is a precision of 0.


def literal(pictures: list[Photograph], found: list[Detections], level: str, *, thresholds: int = 1000) -> float:
    preds = [np.concatenate([d.boxes, d.scores[:, None]], axis=1).astype(np.float32) for d in found]
    normalize(preds)
    count_face = 0
    pr_curve = np.zeros((thresholds, 2))
    for picture, pred in zip(pictures, preds, strict=True):
        keep_index = np.flatnonzero(picture.counted[level])
        count_face += len(keep_index)
        if len(picture.boxes) == 0 or len(pred) == 0:
            continue
        ignore = np.zeros(len(picture.boxes))
        ignore[keep_index] = 1
        pred_recall, proposal_list = evaluate_image(pred, picture.boxes, ignore)
        for t in range(thresholds):
            thresh = 1 - (t + 1) / thresholds
            r_index = [i for i in range(len(pred)) if float(pred[i, 4]) >= thresh]
            if r_index:
                last = r_index[-1]
                pr_curve[t, 0] += sum(1 for p in proposal_list[: last + 1] if p == 1)
                pr_curve[t, 1] += pred_recall[last]
    if count_face == 0:
        return 0.0
    precision = [row[1] / row[0] if row[0] else 0.0 for row in pr_curve]
    recall = [row[1] / count_face for row in pr_curve]
    return voc_ap(recall, precision)


def normalize(preds: list[F32]) -> None:
    scores = [float(score) for pred in preds for score in pred[:, 4]]
    if not scores or max(scores) == min(scores):
        return
    low, high = np.float32(min(scores)), np.float32(max(scores))
    for pred in preds:
        pred[:, 4] = (pred[:, 4] - low) / (high - low)


def evaluate_image(pred: F32, truth: F32, ignore: F64) -> tuple[list[int], list[int]]:
    pred_recall, proposal_list = [0] * len(pred), [1] * len(pred)
    recall_list = [0] * len(truth)
    for h in range(len(pred)):
        overlaps = [overlap(pred[h], box) for box in truth]
        max_overlap = max(overlaps)
        max_index = overlaps.index(max_overlap)
        if max_overlap >= 0.5:
            if ignore[max_index] == 0:
                recall_list[max_index] = -1
                proposal_list[h] = -1
            elif recall_list[max_index] == 0:
                recall_list[max_index] = 1
        pred_recall[h] = sum(1 for r in recall_list if r == 1)
    return pred_recall, proposal_list


def overlap(a: F32, b: F32) -> float:
    ax1, ay1, ax2, ay2 = (float(v) for v in a[:4])
    bx1, by1, bx2, by2 = (float(v) for v in b)
    width, height = min(ax2, bx2) - max(ax1, bx1) + 1, min(ay2, by2) - max(ay1, by1) + 1
    if width <= 0 or height <= 0:
        return 0.0
    both = (ax2 - ax1 + 1) * (ay2 - ay1 + 1) + (bx2 - bx1 + 1) * (by2 - by1 + 1)
    return width * height / (both - width * height)


def voc_ap(rec: list[float], prec: list[float]) -> float:
    mrec, mpre = [0.0, *rec, 1.0], [0.0, *prec, 0.0]
    for i in range(len(mpre) - 1, 0, -1):
        mpre[i - 1] = max(mpre[i - 1], mpre[i])
    return sum((mrec[i + 1] - mrec[i]) * mpre[i + 1] for i in range(len(mrec) - 1) if mrec[i + 1] != mrec[i])


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Photograph], list[Detections]]:
    """Some pictures: faces here and there, boxes near them, twice on one, or anywhere; none is a number too."""
    pictures, found = [], []
    for _ in range(draw(st.integers(1, 4))):
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        faces = draw(st.integers(0, 5))
        corners = rng.integers(0, 120, (faces, 2))
        boxes = np.concatenate([corners, corners + rng.integers(4, 60, (faces, 2))], axis=1).astype(np.float32)
        hard = rng.random(faces) < 0.8
        medium = hard & (rng.random(faces) < 0.7)
        counted = {"easy": medium & (rng.random(faces) < 0.6), "medium": medium, "hard": hard}
        pictures.append(Photograph("made-up", Path(), boxes, counted))
        near = boxes[rng.integers(0, faces, draw(st.integers(0, 8)))] if faces else boxes
        corners = rng.integers(0, 120, (draw(st.integers(0, 4)), 2))
        other = np.concatenate([corners, corners + rng.integers(4, 60, corners.shape)], axis=1)
        given_boxes = np.concatenate([near + rng.normal(0, draw(st.sampled_from([0, 2, 9])), near.shape), other])
        # Scores in steps, so that several are equal and many lie exactly on a threshold.
        scores = np.sort(rng.integers(2, 101, len(given_boxes)) / 100)[::-1]
        order = rng.permutation(len(given_boxes))
        found.append(
            Detections(boxes=given_boxes[order].astype(np.float32).reshape(-1, 4), scores=scores.astype(np.float32))
        )
    return pictures, found


@given(scenes())
@settings(max_examples=60)
def test_we_count_as_the_published_code_does(scene: tuple[list[Photograph], list[Detections]]) -> None:
    pictures, found = scene
    ours = widerface.average_precisions(pictures, found)
    for level in LEVELS:
        assert ours[level] == pytest.approx(literal(pictures, found, level), abs=1e-9)


@given(scenes(), st.floats(0.05, 0.9))
@settings(max_examples=30)
def test_only_the_order_of_scores_and_their_distances_count(
    scene: tuple[list[Photograph], list[Detections]], scale: float
) -> None:
    """Scores are stretched to 0..1 over the set: squeezed and moved, they give the same figure.

    Rounding may carry a score across one of the thousand thresholds, and with it one detection.
    """
    pictures, found = scene
    squeezed = [
        Detections(boxes=d.boxes, scores=(d.scores * np.float32(scale) + np.float32(0.01)).astype(np.float32))
        for d in found
    ]
    before, after = (widerface.average_precisions(pictures, which) for which in (found, squeezed))
    for level in LEVELS:
        assert after[level] == pytest.approx(before[level], abs=1e-6)


def test_a_hit_on_a_face_that_does_not_count_neither_helps_nor_hurts() -> None:
    truth = np.array([[0, 0, 40, 40], [100, 0, 140, 40]], np.float32)
    only_first = np.array([True, False])
    picture = Photograph("made-up", Path(), truth, dict.fromkeys(LEVELS, only_first))

    def precision(*rows: int) -> float:
        scores = np.linspace(0.9, 0.1, len(rows), dtype=np.float32)
        return widerface.average_precisions([picture], [Detections(boxes=truth[list(rows)], scores=scores)])["easy"]

    assert precision(1, 0) == precision(1, 1, 0) == precision(0, 1) == pytest.approx(1)
    assert precision(1) == 0


@pytest.mark.parametrize(
    "scores",
    [pytest.param([0.5], id="one detection"), pytest.param([0.5, 0.5], id="all equally sure")],
)
def test_scores_that_cannot_be_stretched_stay(scores: list[float]) -> None:
    truth = np.array([[0, 0, 40, 40], [100, 0, 140, 40]], np.float32)
    picture = Photograph("made-up", Path(), truth, dict.fromkeys(LEVELS, np.ones(2, bool)))
    found = Detections(boxes=truth[: len(scores)], scores=np.array(scores, np.float32))
    assert widerface.average_precisions([picture], [found])["hard"] == pytest.approx(len(scores) / 2)


def test_scores_that_lie_close_together_are_told_apart() -> None:
    """Stretched, they fall on thresholds of their own: one of one, then two of three."""
    truth = np.array([[0, 0, 40, 40], [100, 0, 140, 40]], np.float32)
    picture = Photograph("made-up", Path(), truth, dict.fromkeys(LEVELS, np.ones(2, bool)))
    boxes = np.array([truth[0], [500, 500, 540, 540], truth[1]], np.float32)
    found = Detections(boxes=boxes, scores=np.array([0.9006, 0.9004, 0.9002], np.float32))
    assert widerface.average_precisions([picture], [found])["easy"] == pytest.approx(0.5 + 0.5 * 2 / 3)
