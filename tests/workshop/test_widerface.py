"""The WIDER FACE procedure on made-up photographs, where the right answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.datasets.labelled import Photograph
from converters.evaluation import widerface
from edgeface.types import F32, Detections

FACES = np.array([[10, 10, 50, 60], [100, 20, 140, 70], [200, 30, 240, 80], [300, 40, 306, 48]], np.float32)
"""Three large faces and a tiny one."""
LARGE = np.array([True, True, True, False])


def photograph(boxes: F32 = FACES, counted: np.ndarray[tuple[int], np.dtype[np.bool_]] = LARGE) -> Photograph:
    everything = np.ones(len(boxes), bool)
    return Photograph("made-up", Path(), boxes, {"easy": counted, "medium": counted, "hard": everything})


def detections(boxes: F32, scores: list[float] | None = None) -> Detections:
    given = np.linspace(0.9, 0.5, len(boxes)) if scores is None else np.array(scores)
    return Detections(boxes=boxes.astype(np.float32).reshape(-1, 4), scores=given.astype(np.float32))


NOWHERE = FACES + np.float32(1000)
NOBODY = detections(np.zeros((0, 4), np.float32))


@pytest.mark.parametrize(
    ("found", "easy", "hard"),
    [
        pytest.param(detections(FACES), 1.0, 1.0, id="every face, and the tiny one that easy ignores"),
        pytest.param(detections(FACES[:3]), 1.0, 0.75, id="all but the tiny one"),
        pytest.param(detections(FACES[:1]), 1 / 3, 0.25, id="one of four"),
        pytest.param(NOBODY, 0.0, 0.0, id="nothing found"),
        pytest.param(detections(NOWHERE), 0.0, 0.0, id="only where nobody is"),
        pytest.param(
            detections(np.concatenate([NOWHERE[:3], FACES[:3]]), [0.9, 0.8, 0.7, 0.3, 0.2, 0.1]),
            # Recall of one third at 1 of 4, two thirds at 2 of 5, all at 3 of 6: the envelope is one half throughout.
            0.5,
            0.75 * 0.5,
            id="three false ones before the true ones",
        ),
        pytest.param(
            detections(np.concatenate([FACES[:3], NOWHERE[:3]])), 1.0, 0.75, id="three false ones after the true ones"
        ),
    ],
)
def test_average_precision(found: Detections, easy: float, hard: float) -> None:
    got = widerface.average_precisions([photograph()], [found])
    assert got["easy"] == pytest.approx(easy, abs=2e-3)
    assert got["medium"] == got["easy"]
    assert got["hard"] == pytest.approx(hard, abs=2e-3)


def test_a_second_box_on_a_face_is_a_false_one() -> None:
    twice = np.repeat(FACES[:3], 2, axis=0)
    got = widerface.average_precisions([photograph()], [detections(twice)])
    # 1 of 1, 1 of 2, 2 of 3, 2 of 4, 3 of 5: the envelope falls from 1 over 2/3 to 3/5.
    assert got["easy"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 3, abs=5e-3)


def test_overlap_decides_at_one_half() -> None:
    """Pixels are counted inclusively: a box of 40 x 50 has 41 x 51 of them."""
    near, far = (FACES[:3] + np.array([shift, 0, shift, 0], np.float32) for shift in (13, 14))
    assert widerface.average_precisions([photograph()], [detections(near)])["easy"] == pytest.approx(1, abs=2e-3)
    assert widerface.average_precisions([photograph()], [detections(far)])["easy"] == 0


def test_scores_are_compared_over_the_whole_set() -> None:
    """A false box in one photograph that is surer than every true one elsewhere costs precision."""
    pictures = [photograph(), photograph()]
    sure, unsure = detections(NOWHERE[:3], [0.99, 0.98, 0.97]), detections(FACES[:3], [0.3, 0.2, 0.1])
    got = widerface.average_precisions(pictures, [sure, unsure])
    assert got["easy"] == pytest.approx(0.5 * 0.5, abs=2e-3)


def test_noise_costs_precision_step_by_step() -> None:
    rng = np.random.default_rng(5)
    pictures = [photograph() for _ in range(20)]
    by_noise = []
    for noise in (0, 6, 12, 24):
        found = [detections(FACES + rng.normal(0, noise, FACES.shape).astype(np.float32)) for _ in pictures]
        by_noise.append(widerface.average_precisions(pictures, found)["easy"])
    assert by_noise[0] == pytest.approx(1, abs=2e-3)
    assert by_noise == sorted(by_noise, reverse=True)
    assert by_noise[-1] < 0.2


def test_photographs_without_faces_or_detections_do_no_harm() -> None:
    empty = photograph(np.zeros((0, 4), np.float32), np.zeros(0, bool))
    got = widerface.average_precisions([empty, photograph()], [detections(NOWHERE), detections(FACES)])
    # As in the published code: what is found in a picture without any labelled face is not counted.
    assert got["easy"] == pytest.approx(1, abs=2e-3)
    assert widerface.average_precisions([empty], [NOBODY]) == {"easy": 0.0, "medium": 0.0, "hard": 0.0}


def test_figures_carry_count_and_interval() -> None:
    pictures = [photograph() for _ in range(30)]
    found = [detections(FACES) if i % 2 else detections(FACES[:1]) for i in range(30)]
    figures = widerface.precision_figures(pictures, found)
    assert figures["easy"].count == 90
    assert figures["hard"].count == 120
    assert figures["easy"].value == widerface.average_precisions(pictures, found)["easy"]
    low, high = figures["easy"].low, figures["easy"].high
    assert low is not None
    assert high is not None
    assert low < figures["easy"].value < high


def test_rows_read_like_the_published_tables() -> None:
    assert widerface.as_rows({"easy": 0.938, "medium": 0.92, "hard": 0.7741}) == ".938 / .920 / .774"


def test_a_loss_is_paired_by_photograph() -> None:
    """Half the photographs are hopeless for both: each interval alone is wide, the loss of nothing has none."""
    pictures = [photograph() for _ in range(40)]
    before = [detections(FACES[:3]) if i % 2 else detections(FACES[:1]) for i in range(40)]
    for loss in widerface.precision_losses(pictures, before, before).values():
        assert (loss.value, loss.low, loss.high) == (0.0, 0.0, 0.0)
    after = [detections(FACES[:2]) if i % 2 else detections(FACES[:1]) for i in range(40)]
    losses = widerface.precision_losses(pictures, before, after)
    precisions = [widerface.average_precisions(pictures, found)["easy"] for found in (before, after)]
    easy = losses["easy"]
    assert (easy.group, easy.count) == ("all", 120)
    assert easy.value == pytest.approx(precisions[0] - precisions[1])
    assert easy.low is not None
    assert easy.high is not None
    assert 0 < easy.low < easy.value < easy.high
    figure = widerface.precision_figures(pictures, before)["easy"]
    assert figure.low is not None
    assert figure.high is not None
    assert easy.high - easy.low < figure.high - figure.low


def test_precision_and_recall_at_every_threshold() -> None:
    found = detections(np.concatenate([FACES[:2], NOWHERE[:1]]), [0.9, 0.5, 0.1])
    recall, precision = widerface.precision_recall([photograph()], [found])["easy"]
    assert recall.shape == precision.shape == (widerface.THRESHOLDS,)
    # Stretched to 1, 1/2 and 0: the second is reached half-way, the false one at the end.
    assert (recall[0], precision[0]) == (pytest.approx(1 / 3), 1.0)
    assert (recall[600], precision[600]) == (pytest.approx(2 / 3), 1.0)
    assert (recall[-1], precision[-1]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (np.diff(recall) >= 0).all()
