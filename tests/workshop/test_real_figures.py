"""What the figures on record say of each other, and a look at real photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from records import on_record

import edgeface.detect.encoding
from converters.datasets.labelled import DEFAULT, ENVIRONMENT, Photograph, data_folder, photographs, read
from converters.datasets.labels import LEVELS
from converters.evaluation import widerface
from converters.measurements.published import read_published
from edgeface.bundle import Bundle
from edgeface.config import Config
from edgeface.config import Detector as DetectorSettings
from edgeface.engine.networks import Networks
from edgeface.errors import UsageError
from edgeface.types import Detections, Image

QUICK = 25
HALF_A_POINT = 0.005


def folder() -> Path:
    try:
        found = data_folder()
    except UsageError:
        pytest.skip(f"the labelled data is not here: set {ENVIRONMENT} (looked in {DEFAULT})")
    if "AVIF:                        NO" in cv2.getBuildInformation():
        pytest.skip("this OpenCV reads no AVIF, in which the labelled data lies")
    return found


@pytest.mark.timeout(600)
def test_average_precision_with_pictures_shrunk_as_the_public_figures_were(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By sampling instead of averaging, within half a point to either side: where the device differs, it is that."""

    def sample(image: Image, size_wh: tuple[int, int]) -> tuple[Image, int]:
        return image, cv2.INTER_LINEAR

    monkeypatch.setattr(edgeface.detect.encoding, "sample", sample)
    pictures, found = detect(bundle, "retinaface", limit=None)
    got = widerface.average_precisions(pictures, found)
    assert [got[level] for level in LEVELS] == pytest.approx(
        read_published().precisions["retinaface"]["320x320"], abs=HALF_A_POINT
    )


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_the_default_detector_is_the_better_one_at_320(bundle: Bundle, level: str) -> None:
    default = bundle.manifest.defaults["detect"]
    others = [n.name for n in bundle.manifest.networks if n.task == "detect" and n.name != default]
    wanted = {"size": "320x320", "runtime": "onnx", "precision": "fp32"}
    ours, *theirs = (on_record(name, f"AP {level}", **wanted) for name in (default, *others))
    assert all(ours.value > row.value for row in theirs)


@pytest.mark.parametrize("name", ["UTKFace val", "FairFace val"])
def test_few_faces_are_missed(name: str) -> None:
    row = on_record("age-v1", "found", set=name, group="all", runtime="onnx", precision="int8w", detector="yunet")
    assert row.value > 0.97


def detect(bundle: Bundle, network: str, *, limit: int | None) -> tuple[list[Photograph], list[Detections]]:
    """Photographs, and what a detector finds in them at 320 x 320."""
    pictures = photographs(folder(), limit=limit)
    config = Config(
        detector=DetectorSettings(network=network, size="320x320"),
        attributes=dict.fromkeys(("age", "gender", "expression"), False),
    )
    networks = Networks(bundle, config, still=True)
    return pictures, [networks.detect(read(picture.path), min_score=widerface.MIN_SCORE) for picture in pictures]


@pytest.mark.parametrize("network", ["yunet", "retinaface"])
def test_the_first_photographs_have_a_sane_average_precision(bundle: Bundle, network: str) -> None:
    """The first are of a parade: many small faces."""
    figures = widerface.precision_figures(*detect(bundle, network, limit=QUICK))
    for figure in figures.values():
        assert np.isfinite(np.array([figure.value, figure.low, figure.high], float)).all()
    assert figures["easy"].value > 0.6
    assert figures["easy"].value >= figures["medium"].value >= figures["hard"].value > 0.05
