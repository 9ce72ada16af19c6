"""What public weights reach here: the figures on record against their makers', and a share measured again."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import on_record

from converters.datasets.labelled import chips, data_folder, photographs, read
from converters.datasets.labels import LEVELS
from converters.evaluation import attributes, widerface
from converters.evaluation.detectors import load_detector
from converters.evaluation.subject import open_subject
from converters.measurements.published import read_published
from edgeface.bundle import Bundle
from edgeface.errors import UsageError

EVERY = 12
"""The share that is measured again: every twelfth photograph."""
CHIPS = 120


@pytest.fixture(scope="session")
def labelled() -> Path:
    try:
        return data_folder()
    except UsageError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("network", ["retinaface", "yunet"])
@pytest.mark.parametrize("size", ["original", "640x640", "320x320"])
def test_detectors_reach_what_the_public_weights_reach(network: str, size: str, level: str) -> None:
    """Half a point below the weights in their own framework on the same photographs is allowed, one point above.

    The device shrinks pictures by averaging, which finds a little more than sampling.
    """
    row = on_record(network, f"AP {level}", size=size, runtime="onnx", precision="fp32", group="all")
    public = read_published().precisions[network][size][LEVELS.index(level)]
    assert public - 0.0055 < row.value < public + 0.0105
    assert row.count == {"easy": 580, "medium": 1049, "hard": 2772}[level]
    assert row.low is not None
    assert row.high is not None
    assert row.low <= row.value <= row.high


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("network", ["retinaface", "yunet"])
@pytest.mark.parametrize("size", ["640x640", "640x384", "320x320", "320x192"])
def test_both_runtimes_find_the_same_faces(network: str, size: str, level: str) -> None:
    onnx, litert = (
        on_record(network, f"AP {level}", size=size, runtime=runtime, precision="fp32")
        for runtime in ("onnx", "litert")
    )
    assert litert.value == pytest.approx(onnx.value, abs=0.005)


@pytest.mark.parametrize(
    ("network", "metric", "name", "group", "public", "allowed"),
    [
        # Public figures are of the same weights on the sets' test parts; ours are of the validation parts.
        pytest.param("age-v1", "MAE years", "UTKFace val", "all", 6.25, 0.5, id="age: mean error"),
        pytest.param("age-v1", "MAE years", "UTKFace val", "21-60", 6.04, 0.5, id="age: mean error, 21 to 60"),
        pytest.param("age-v1", "bin accuracy", "FairFace val", "all", 0.422, 0.02, id="age: FairFace's bins"),
        pytest.param(
            "age-v1", "years outside bin", "FairFace val", "all", 4.58, 0.5, id="age: FairFace, years outside"
        ),
        pytest.param("gender-v1", "accuracy", "UTKFace val", "all", 0.926, 0.02, id="gender"),
        pytest.param("gender-v1", "accuracy", "UTKFace val", "from 10 years", 0.961, 0.02, id="gender from 10 years"),
        pytest.param("gender-v1", "accuracy", "FairFace val", "all", 0.841, 0.03, id="gender on FairFace"),
        pytest.param("gender-mini-xception", "accuracy", "UTKFace val", "all", 0.825, 0.02, id="reference gender"),
    ],
)
def test_attributes_reach_what_the_public_weights_reach(
    network: str, metric: str, name: str, group: str, public: float, allowed: float
) -> None:
    precision = "int8w" if network == "age-v1" else "fp32"
    row = on_record(network, metric, set=name, group=group, runtime="onnx", precision=precision, detector="yunet")
    assert row.value == pytest.approx(public, abs=allowed)


@pytest.mark.parametrize(("metric", "public"), [("accuracy", 0.655), ("macro-F1", 0.620)])
def test_expression_reaches_what_the_public_weights_reach(metric: str, public: float) -> None:
    row = on_record(
        "expression-mini-xception",
        metric,
        set="FER-2013 PublicTest",
        group="all",
        runtime="onnx",
        precision="fp32",
        detector=None,
    )
    assert row.value == pytest.approx(public, abs=0.005)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        pytest.param("yunet", (0.939, 0.923, 0.544), id="yunet"),
        pytest.param("retinaface", (0.924, 0.843, 0.485), id="retinaface"),
    ],
)
def test_a_share_of_the_photographs_measured_again(
    bundle: Bundle, labelled: Path, network: str, expected: tuple[float, float, float]
) -> None:
    pictures = photographs(labelled)[::EVERY]
    networks = load_detector(bundle, network, size="320x320")
    found = [networks.detect(read(picture.path), min_score=widerface.MIN_SCORE) for picture in pictures]
    got = widerface.average_precisions(pictures, found)
    assert tuple(got[level] for level in LEVELS) == pytest.approx(expected, abs=0.01)


def test_a_share_of_the_faces_measured_again(classic_files: Bundle, labelled: Path) -> None:
    """Age and gender of public weights on the first faces of UTKFace's validation part, from pixels to answers."""
    found = {}
    for task, figures in (("age", attributes.age_figures), ("gender", attributes.gender_figures)):
        subject = open_subject(str(classic_files.folder), task, mode="end-to-end")
        samples = attributes.samples(subject.answer(chips(labelled, "utkface", "val", limit=CHIPS)), subject)
        found[task] = {(metric, group): figure for metric, group, figure in figures(samples, exact=True)}
    age, gender = found["age"], found["gender"]
    assert age["found", "all"].value > 0.98
    assert age["MAE years", "all"].value == pytest.approx(5.77, abs=0.3)
    assert gender["accuracy", "all"].value == pytest.approx(0.958, abs=0.02)
