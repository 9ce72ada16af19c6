"""``evaluate crops``: how faces are moved, what is lost by it, and how small a face may be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import face_sets
import msgspec
import numpy as np
import pytest
from astronaut import astronaut
from bundles import GENDER

from converters.__main__ import main
from converters.bundles import card as card_module
from converters.datasets.labelled import Chip
from converters.evaluation.crops import Change, blurred, changes, crop_losses, moved, resized
from converters.evaluation.protocols import crops as protocol
from converters.evaluation.stills import find_stills
from converters.evaluation.subject import Finder, shipped_subjects
from converters.measurements.chosen import with_chosen
from converters.measurements.crops import CropLoss, change_text, loss_text, read_crop_losses, record, smallest_face_px
from edgeface.bundle import Bundle, Network
from edgeface.types import F32

FACE = astronaut()[40:200, 150:310]
BOX = np.array([100, 100, 200, 220], np.float32)
POINTS = np.array([[130, 140], [170, 140], [150, 165], [135, 190], [165, 190]], np.float32)


def loss(kind: str = "size", amount: float = 64, value: float = 0.0, **changes: object) -> CropLoss:
    plain = CropLoss(
        network="net",
        runtime="onnx",
        precision="fp32",
        weights="",
        task="gender",
        set="FairFace val",
        kind=kind,  # type: ignore[arg-type]
        amount=amount,
        unit="share",
        value=value,
        count=500,
        low=value - 0.01,
        high=value + 0.01,
        found=1.0,
    )
    return msgspec.structs.replace(plain, **changes)


def test_points_are_scaled_about_their_middle_and_shifted_by_the_eyes_distance() -> None:
    box, points = moved((BOX, POINTS), scale=1.1)
    assert points is not None
    np.testing.assert_allclose(points.mean(axis=0), POINTS.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(points[1] - points[0], [44, 0], rtol=1e-5)
    np.testing.assert_allclose(box, [95, 94, 205, 226], rtol=1e-5)
    box, points = moved((BOX, POINTS), right=0.1, down=-0.1)
    assert points is not None
    np.testing.assert_allclose(points - POINTS, np.tile([4, -4], (5, 1)), atol=1e-4)
    np.testing.assert_allclose(box - BOX, [4, -4, 4, -4], atol=1e-4)
    box, none = moved((BOX, None), right=0.1)
    assert none is None
    np.testing.assert_allclose(box - BOX, [4.2, 0, 4.2, 0], atol=1e-4)


def test_a_face_gets_its_height_and_is_never_enlarged() -> None:
    picture = np.zeros((400, 300, 3), np.uint8)
    assert resized(picture, (BOX, POINTS), height_px=60).shape == (200, 150, 3)
    assert resized(picture, (BOX, POINTS), height_px=240).shape == picture.shape


def test_blur_goes_by_the_height_of_the_face() -> None:
    dot = np.zeros((401, 401, 3), np.uint8)
    dot[200, 200] = 255

    def spread(box: F32, share: float) -> float:
        seen = blurred(cv2.blur(dot.astype(np.float32), (3, 3)).astype(np.uint8) * 9, (box, None), share=share)
        weights = seen[..., 0].astype(float)
        return float(np.sqrt((weights * (np.arange(401) - 200) ** 2).sum() / weights.sum()))

    assert spread(BOX, 0.02) == pytest.approx(np.hypot(2.4, 0.82), rel=0.1)


def test_all_changes_are_named() -> None:
    made = [(change.kind, change.amount, change.towards) for change in changes()]
    assert len(set(made)) == len(made) == 2 + 4 + 7 + 4
    assert {towards for kind, _, towards in made if kind == "points"} == {"", "right", "left", "down", "up"}


@pytest.mark.parametrize(
    ("losses", "smallest"),
    [
        pytest.param([loss(amount=s) for s in (16, 32, 64)], 16, id="nothing is lost"),
        pytest.param([loss(amount=16), loss(amount=32, value=0.02), loss(amount=64)], 64, id="a gap ends it"),
        pytest.param(
            [loss(amount=32), loss(amount=32, value=0.02, task="age"), loss(amount=64)], 64, id="any question"
        ),
        pytest.param([loss(amount=32, value=0.4, unit="years"), loss(amount=64, unit="years")], 32, id="years"),
        pytest.param([loss(amount=32, count=99), loss(amount=64)], 64, id="too few faces say nothing"),
        pytest.param([loss(amount=64, value=0.02)], None, id="the largest loses"),
        pytest.param([loss("blur", 0.02)], None, id="no size was measured"),
    ],
)
def test_the_smallest_face(losses: list[CropLoss], smallest: int | None) -> None:
    assert smallest_face_px(losses) == smallest


def test_what_was_measured_again_replaces_its_own(tmp_path: Path) -> None:
    path = tmp_path / "crops.json"
    other = loss(set="Another")
    record([loss(amount=32), loss(amount=64), other], path)
    record([loss(amount=64, value=0.5)], path)
    assert read_crop_losses(path) == [other, loss(amount=64, value=0.5)]


def test_words() -> None:
    assert change_text(loss("points", 1.1)) == "points 10 % wider"
    assert change_text(loss("points", 0.9)) == "points 10 % narrower"
    assert change_text(loss("points", 0.1, towards="up")) == "points 10 % of the eyes' distance up"
    assert change_text(loss("blur", 0.02)) == "blurred by 2 % of the face's height"
    assert loss_text(loss(value=0.02)) == "+2.0 points (+1.0 to +3.0)"
    assert loss_text(loss(value=0.25, unit="years", low=None)) == "+0.25 years"


def test_a_shift_by_a_whole_face_is_a_loss(bundle: Bundle) -> None:
    """Turned upside down in place of moved, an astronaut is nobody's face: the crop shows something else."""
    finder = Finder(bundle)
    subjects = shipped_subjects(bundle, finder, runtime="onnx", precision=None)
    gender = next(subject for subject in subjects if subject.network.name == GENDER)
    stills = find_stills(finder, [Chip(FACE, {"age": "40", "gender": "F"})] * 2)
    away = Change(kind="points", amount=2.0, towards="up", move=lambda face: moved(face, down=-6.0))
    gone = Change(kind="size", amount=4, redraw=lambda image, _face: np.full_like(image, 127))
    (told,) = crop_losses(stills, [(gender, ["gender"])], "Set", [away, gone])
    assert (told.kind, told.count, told.found, told.unit) == ("points", 2, 1.0, "share")
    assert told.value in (0, 1), "both faces are one"


def test_the_command_writes_and_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    face_sets.fairface(tmp_path / "data", [("val/1.png", "30-39", "Female", "White")])
    cv2.imwrite(str(tmp_path / "data" / "val" / "1.png"), FACE)
    kept: list[CropLoss] = []
    monkeypatch.setattr(protocol, "record", kept.extend)
    monkeypatch.setattr(protocol, "changes", lambda: list(changes())[:8])
    arguments = ["--data", tmp_path / "data", "--network", GENDER, "--out", tmp_path]
    assert main(["evaluate", "crops", *map(str, arguments), "--record"]) == 0
    report = msgspec.json.decode((tmp_path / "crops-onnx.json").read_bytes(), type=protocol.Crops)
    assert list(report.losses) == kept
    assert {loss.network for loss in kept} == {GENDER}
    assert report.smallest_face_px == {GENDER: None}, "one face is too few"
    said = capsys.readouterr().out
    assert "| FairFace val | gender | points 10 % narrower |" in said
    kept.clear()
    assert main(["evaluate", "crops", *map(str, arguments), "--record", "--limit", "1"]) == 0
    assert kept == []


def of_gender(network: Network, sizes: Sequence[tuple[int, float]]) -> list[CropLoss]:
    """Losses of the file of which cards tell, by height of a face."""
    own = {"precision": network.files["onnx"][0].precision, "weights": network.source.sha256}
    return [loss(amount=size, value=value, network=network.name, **own) for size, value in sizes]


def test_a_manifest_takes_the_smallest_face_with_its_provenance(classic: Bundle) -> None:
    network = classic.network("gender-v1")
    mine = of_gender(network, ((16, 0.05), (24, 0.001), (64, 0.0)))
    told = msgspec.structs.replace(mine[1], set="UTKFace val", value=0.9)
    made = with_chosen(network, [*mine, told], [])
    assert made.input == msgspec.structs.replace(network.input, smallest_face_px=24)
    (fact,) = made.chosen
    assert (fact.metric, fact.value, fact.set, fact.count) == ("smallest_face_px", 24, "FairFace val", 500)
    assert with_chosen(network, [told, *of_gender(network, [(64, 0.9)])], []) == network, "as its recipe says"
    both = with_chosen(network, [*mine, told], [], judged_on=["utkface", "fairface"], bundle="build/bundles/mine")
    assert both.input.smallest_face_px == 64, "where its recipe lets UTKFace choose, the 24 pixels lose too much there"
    (fact,) = both.chosen
    assert (fact.set, fact.command) == (
        "FairFace val + UTKFace val",
        "python -m converters evaluate crops --bundle build/bundles/mine --network gender-v1 --record",
    )


def test_the_card_has_them(classic: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    network = classic.network("gender-v1")
    mine = of_gender(network, ((32, 0.05), (64, 0.001)))
    others: list[dict[str, str]] = [{"precision": "int8w"}, {"weights": ""}]
    strange = [msgspec.structs.replace(mine[0], value=0.7, **other) for other in others]
    monkeypatch.setattr(card_module, "read_crop_losses", lambda: [*mine, *strange])
    text = card_module.card(with_chosen(network, mine, []))
    assert "At most 0.5 years or 1 % of the answers are lost on FairFace val: down to 64 pixels." in text
    assert "| face 32 pixels high | +5.0 points (+4.0 to +6.0) | 500 | 100.0 % |" in text
    assert "70.0 points" not in text
    assert "No height of a face was chosen by which at most" in card_module.card(network)
