"""What must not be said in two ways: macro-F1, which face is meant, and the command that made a figure."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from bundles import GENDER
from sklearn.metrics import f1_score

from converters.evaluation import bundle_figures
from converters.evaluation.attributes import expression_figures
from converters.evaluation.bundle_figures import AGREEMENT, box_cut, fitted_detectors
from converters.evaluation.metrics import confusion, macro_f1, macro_f1_of
from converters.evaluation.protocols.expression import Predictions, figures
from converters.evaluation.report import command_of
from converters.evaluation.statistics import share_figure
from converters.evaluation.subject import Finder, Subject, padded
from converters.paths import BUNDLE, build_folder, bundle_argument
from converters.quantization import samples as sampling
from converters.quantization.samples import Samples
from converters.recipes.reading import read_network, read_workshop
from edgeface.bundle import Bundle
from edgeface.errors import UsageError
from edgeface.types import Detections

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")


def answers(seed: int = 1) -> tuple[Any, Any]:
    """Faces of seven of eight labels, mostly right: nobody is labelled contempt, or said to be."""
    dice = np.random.default_rng(seed)
    truth = dice.integers(0, 7, 400)
    return truth, np.where(dice.random(400) < 0.8, truth, dice.integers(0, 7, 400))


def test_card_and_protocol_have_one_macro_f1() -> None:
    truth, predicted = answers()
    card = {metric: figure for metric, group, figure in expression_figures(truth, predicted, LABELS)}["macro-F1"]
    seen = Predictions(
        title="", labels=LABELS, truth=truth, predicted=predicted, clean=np.ones(400, bool), missed=0, left_out={}
    )
    protocol = {(metric, group): figure for metric, group, figure in figures(seen)}["macro-F1", "all"]
    assert card == protocol
    assert card.value == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert macro_f1_of(confusion(truth, predicted, 8)) == pytest.approx(card.value)


def test_a_label_that_the_network_does_not_know_is_no_class_of_its_own() -> None:
    truth, predicted = answers()
    with_unknown = np.concatenate([truth, np.full(50, -1)]), np.concatenate([predicted, np.zeros(50, np.int64)])
    assert macro_f1(*with_unknown) == macro_f1(truth, predicted)
    assert macro_f1(np.full(3, -1), np.zeros(3, np.int64)) == 0


def two_faces(*_: Any, **__: Any) -> Detections:
    """A large face, and a small one that the detector is surer of."""
    boxes = np.array([[2, 2, 12, 12], [10, 10, 60, 60]], np.float32)
    return Detections(boxes=boxes, scores=np.array([0.99, 0.7], np.float32), landmarks=None)


def test_calibration_and_evaluation_mean_the_same_face(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    network = msgspec.structs.replace(read_network("expression-plain-cnn")[1], task="gender")
    shown = np.random.default_rng(2).integers(0, 256, (32, 128, 128, 3), np.uint8)
    finder = Finder(bundle)
    monkeypatch.setattr(
        finder, "_networks", SimpleNamespace(detect=two_faces, detector=SimpleNamespace(network=finder.network))
    )
    face = finder.face(padded(shown[0]))
    assert face is not None
    assert face[0][2] - face[0][0] > 40, "the larger, not the surer"
    monkeypatch.setattr(sampling, "Finder", lambda _: finder)
    monkeypatch.setattr(Samples, "_pictures", list(shown))
    subject = Subject.__new__(Subject)
    subject.finder, subject.network = finder, SimpleNamespace(input=network.input)  # type: ignore[assignment]
    for calibrated, picture in zip(Samples(network, BUNDLE)._crops, shown, strict=True):
        seen = subject.pixels(picture, pad=True)
        assert calibrated is not None
        assert seen is not None
        assert np.array_equal(calibrated, seen)


def test_a_command_on_record_says_who_found_the_faces_and_in_which_bundle(bundle: Bundle) -> None:
    file = bundle.manifest.networks[2].files["onnx"][0]
    subject = SimpleNamespace(
        bundle=bundle, network=bundle.manifest.networks[2], mode="end-to-end", detector="retinaface",
        runner=SimpleNamespace(file=file),
    )  # fmt: skip
    command = command_of("age", subject)  # type: ignore[arg-type]
    assert "--detector retinaface" in command
    assert "--bundle default" in command


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        (BUNDLE, "default"),
        (build_folder() / "bundles" / "lite", "build/bundles/lite"),
        (Path("/somewhere/else/mine"), "mine"),
    ],
)
def test_a_bundle_is_named_without_the_machine(folder: Path, said: str) -> None:
    assert bundle_argument(SimpleNamespace(folder=folder)) == said  # type: ignore[arg-type]


def test_attribute_commands_carry_detector_and_bundle(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def protocols(*arguments: Any) -> Any:
        seen.append(arguments[3].network.name)
        yield "Set", None, [("accuracy", "all", figure)]

    figure = share_figure([True, False])
    monkeypatch.setattr(bundle_figures, "_protocols", protocols)
    network = bundle.network(GENDER)
    (row,) = bundle_figures.attribute_rows(bundle, (network, "onnx", "fp32"), Path(), detector="retinaface", limit=1)
    assert seen == ["retinaface"]
    assert row.command == (
        f"python -m converters evaluate attributes --network {GENDER} --detector retinaface --bundle default"
    )


def test_detectors_to_fit_come_from_the_bundle_and_the_recipes(bundle: Bundle, classic: Bundle) -> None:
    reference = read_workshop().reference_detector
    assert fitted_detectors(bundle, reference, None) == ["yunet"]
    assert box_cut(classic) == {"gender": "gender-mini-xception", "expression": "expression-mini-xception"}
    with pytest.raises(UsageError, match="has no centerface, which crop rules are said in"):
        fitted_detectors(bundle, "centerface", None)
    with pytest.raises(UsageError, match="no detector of the bundle is to be fitted"):
        fitted_detectors(bundle, reference, ["none"])


def test_figures_on_record_are_still_known_by_their_name(classic: Bundle) -> None:
    rows = [row for network in classic.manifest.networks for row in network.measured if "agreement" in row.metric]
    assert rows
    assert all(row.metric.startswith(AGREEMENT) for row in rows)
