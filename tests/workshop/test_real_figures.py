"""The committed figures against what the public weights are known to reach, and a quick look at real photographs.

Targets are figures of the same weights in their own framework on the same pictures (detectors, expression) or on the
sets' test parts (age, gender: there the tolerance covers another draw of faces and recoded pictures).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

import edgeface.detect
from converters.evaluate import widerface
from converters.evaluate.data import DEFAULT, ENVIRONMENT, Photograph, data_folder, photographs, read
from converters.manifest import RESULTS
from edgeface.bundle import Bundle, Measured
from edgeface.config import Config
from edgeface.config import Detector as DetectorSettings
from edgeface.errors import UsageError
from edgeface.types import Detections, Image
from edgeface.worker import Networks

QUICK = 25
HALF_A_POINT = 0.005
BETTER = 0.01
"""How far above the public figure ours may lie: the device shrinks pictures by averaging, which finds a little more."""


def folder() -> Path:
    try:
        found = data_folder()
    except UsageError:
        pytest.skip(f"the labelled data is not here: set {ENVIRONMENT} (looked in {DEFAULT})")
    if "AVIF:                        NO" in cv2.getBuildInformation():
        pytest.skip("this OpenCV reads no AVIF, in which the labelled data lies")
    return found


def measured(network: str, metric: str, name: str, *, size: str | None = None, detector: str | None = None) -> Measured:
    """Row of the committed results over all faces, for the ONNX file in fp32 (age: int8 weights); skips without one."""
    path = RESULTS / f"{network}.json"
    if not path.is_file():
        pytest.skip(f"{path.name} was not measured yet")
    rows = [
        row
        for row in msgspec.json.decode(path.read_bytes(), type=list[Measured])
        if (row.metric, row.group, row.runtime, row.size, row.detector) == (metric, "all", "onnx", size, detector)
        and row.set.startswith(name)
        and row.precision != "int8"
    ]
    if not rows:
        pytest.skip(f"{path.name} has no row for {metric}, {name}, {size or 'any size'}")
    return rows[0]


DETECTION = [
    ("retinaface", "original", (0.938, 0.920, 0.774)),
    ("retinaface", "640x640", (0.930, 0.884, 0.564)),
    ("retinaface", "320x320", (0.854, 0.720, 0.288)),
]


@pytest.mark.parametrize(("network", "size", "targets"), [pytest.param(*row, id=row[1]) for row in DETECTION])
@pytest.mark.parametrize(("number", "level", "faces"), [(0, "easy", 580), (1, "medium", 1049), (2, "hard", 2772)])
def test_average_precision_of_the_public_weights(
    network: str, size: str, targets: tuple[float, ...], number: int, level: str, faces: int
) -> None:
    row = measured(network, f"AP {level}", "WIDER FACE", size=size)
    assert row.precision == "fp32"
    assert row.count == faces
    assert targets[number] - HALF_A_POINT <= row.value <= targets[number] + BETTER


@pytest.mark.timeout(600)
def test_average_precision_with_pictures_shrunk_as_the_public_figures_were(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By sampling instead of averaging, within half a point to either side: where the device differs, it is that."""

    def sample(image: Image, size_wh: tuple[int, int], *, out: Image) -> None:
        out[...] = cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)

    monkeypatch.setattr(edgeface.detect, "shrink", sample)
    pictures, found = detect(bundle, "retinaface", limit=None)
    got = widerface.average_precisions(pictures, found)
    assert [got[level] for level in widerface.LEVELS] == pytest.approx(DETECTION[2][2], abs=HALF_A_POINT)


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_the_default_detector_is_the_better_one_at_320(bundle: Bundle, level: str) -> None:
    default = bundle.manifest.defaults["detect"]
    others = [n.name for n in bundle.manifest.networks if n.task == "detect" and n.name != default]
    ours = measured(default, f"AP {level}", "WIDER FACE", size="320x320")
    for name in others:
        assert ours.value > measured(name, f"AP {level}", "WIDER FACE", size="320x320").value


@pytest.mark.parametrize(
    ("network", "metric", "name", "detector", "target", "tolerance"),
    [
        pytest.param("gender-v1", "accuracy", "UTKFace val", "yunet", 0.926, 0.02, id="gender, UTKFace"),
        pytest.param("gender-v1", "accuracy", "FairFace val", "yunet", 0.841, 0.02, id="gender, FairFace"),
        pytest.param("age-v1", "MAE years", "UTKFace val", "yunet", 6.25, 0.5, id="age, UTKFace"),
        pytest.param("age-v1", "bin accuracy", "FairFace val", "yunet", 0.422, 0.02, id="age bins, FairFace"),
        pytest.param("age-v1", "years outside bin", "FairFace val", "yunet", 4.58, 0.5, id="age, FairFace"),
        pytest.param("gender-mini-xception", "accuracy", "UTKFace val", "yunet", 0.825, 0.02, id="reference gender"),
        pytest.param(
            "expression-mini-xception", "accuracy", "FER-2013 PublicTest", None, 0.655, 0.005, id="expression"
        ),
        pytest.param(
            "expression-mini-xception", "macro-F1", "FER-2013 PublicTest", None, 0.620, 0.005, id="expression, macro-F1"
        ),
    ],
)
def test_figures_of_the_public_weights(
    network: str, metric: str, name: str, detector: str | None, target: float, tolerance: float
) -> None:
    assert measured(network, metric, name, detector=detector).value == pytest.approx(target, abs=tolerance)


@pytest.mark.parametrize("name", ["UTKFace val", "FairFace val"])
def test_few_faces_are_missed(name: str) -> None:
    assert measured("age-v1", "found", name, detector="yunet").value > 0.97


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
        assert np.isfinite([figure.value, figure.low, figure.high]).all()
    assert figures["easy"].value > 0.6
    assert figures["easy"].value >= figures["medium"].value >= figures["hard"].value > 0.05
