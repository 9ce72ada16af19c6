"""Detectors of one network: fixed sizes, letterboxed or stretched, any colour, without landmarks."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from astronaut import astronaut
from bundles import AGE, EXPRESSION, copy, network
from detectors import FakeRunner, entry, file
from hypothesis import given
from hypothesis import strategies as st

from edgeface.bundle import Bundle, CascadeHead, MtcnnHead, RetinaFaceHead, SelfTest, StageHead, open_bundle
from edgeface.config import Attention, Config
from edgeface.detect import cascade, make_detector
from edgeface.detect.single import SingleDetector
from edgeface.detect.size import choose_size
from edgeface.engine.networks import Networks
from edgeface.engine.pipeline import Pipeline
from edgeface.engine.turn import Worker
from edgeface.errors import BundleError, ConfigError, RuntimeMissingError
from edgeface.events import SummaryMessage, VisitMessage
from edgeface.geometry import iou
from edgeface.offline.analyze import analyze_image
from edgeface.offline.draw import Drawing, draw_faces
from edgeface.runtime import load_network
from edgeface.runtime.cascade import CascadeRunner
from edgeface.service.assembly import announce
from edgeface.service.notice import notice
from edgeface.types import F32, Frame

EPOCH = datetime.fromtimestamp(0, timezone.utc)
CASCADE = CascadeHead()
CASCADE_FILE = Path(cv2.__file__).with_name("data") / "haarcascade_frontalface_default.xml"
RETINA = RetinaFaceHead(strides=(8,), prior_sizes=((16,),), variances=(0.1, 0.2), nms_iou=0.4)
BY_BOX = {"age": False, "gender": False, "expression": EXPRESSION}


def single(head: Any, runner: FakeRunner, *, size: str = "auto", **seen: Any) -> SingleDetector:
    detector = make_detector(entry("fake", head, **seen), {"fake": runner}, size=size, still=True)
    assert isinstance(detector, SingleDetector)
    return detector


def picture() -> Any:
    """One colour on the left, another on the right, 200x100."""
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, :100], image[:, 100:] = (10, 100, 200), (40, 50, 60)
    return image


@pytest.mark.parametrize(
    ("layout", "color", "left"),
    [
        ("NCHW", "bgr", (10, 100, 200)),
        ("NCHW", "rgb", (200, 100, 10)),
        ("NHWC", "bgr", (10, 100, 200)),
        ("NHWC", "rgb", (200, 100, 10)),
        ("NCHW", "grey", (120,)),
        ("NHWC", "grey", (120,)),
    ],
)
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (127.5, 1 / 127.5)])
@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_what_a_network_of_fixed_size_sees(
    layout: str, color: str, left: tuple[int, ...], mean: float, scale: float, fit: str
) -> None:
    runner = FakeRunner(layout=layout)
    means = (mean,) * len(left)
    detector = single(RETINA, runner, color=color, mean=means, scale=scale, width=128, height=96, fit=fit)
    tensor, way_back = detector.encode(picture())
    seen = tensor if layout == "NHWC" else tensor.transpose(0, 2, 3, 1)
    assert seen.shape == (1, 96, 128, len(left))
    np.testing.assert_allclose(seen[0, 20, 20], (np.array(left) - mean) * scale, atol=1e-5)
    padding = seen[0, 80, 20] / scale + mean
    if fit == "letterbox":
        assert way_back.content_wh == (128, 64)
        np.testing.assert_allclose(padding, 0, atol=1e-4)
    else:
        assert way_back.content_wh == (128, 96)
        np.testing.assert_allclose(padding, left, atol=1e-4)


@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.tuples(st.floats(0, 0.8), st.floats(0, 0.8), st.floats(0.1, 0.2), st.floats(0.1, 0.2)),
    st.sampled_from(["letterbox", "stretch"]),
)
def test_the_way_back_from_a_fitted_picture(
    image_wh: tuple[int, int], place: tuple[float, float, float, float], fit: str
) -> None:
    """A box given as shares of what is seen of the picture comes back as those shares of the picture."""
    detector = single(CASCADE, FakeRunner(), width=320, height=240, fit=fit)
    way_back = detector.encode(np.zeros((image_wh[1], image_wh[0], 3), np.uint8))[1]
    x, y, w, h = place
    shares = np.array([[[x, y, x + w, y + h]]], np.float32)
    boxes = shares * np.array(way_back.content_wh * 2, np.float32)
    outputs = {"boxes": boxes, "weights": np.array([[9]], np.float32)}
    found = detector.decode(outputs, way_back, image_wh, min_score=0.5)
    assert len(found) == 1
    assert found.landmarks is None
    np.testing.assert_allclose(found.boxes[0], shares[0, 0] * np.array(image_wh * 2), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("size", ["auto", "128x96"])
def test_a_fixed_size_is_the_size(size: str) -> None:
    assert single(RETINA, FakeRunner(), size=size, width=128, height=96).size_for((1920, 1080)) == (128, 96)


@pytest.mark.parametrize("size", ["original", "320x320"])
def test_another_size_than_the_fixed_one_is_refused(size: str) -> None:
    said = f"detector.size = {size}: network fake sees 128x96 and nothing else; set detector.size"
    with pytest.raises(ConfigError, match=said):
        single(RETINA, FakeRunner(), size=size, width=128, height=96)


def test_a_file_prepared_for_other_sizes_than_usual_runs_in_its_own() -> None:
    sizes = {"prepared": ((256, 256), (512, 288)), "multiple_of": 32, "still": False}
    assert choose_size("auto", (1920, 1080), **sizes) == (512, 288)  # type: ignore[arg-type]
    assert choose_size("auto", (300, 310), **sizes) == (256, 256)  # type: ignore[arg-type]


def cascade_outputs(count: int, seed: int = 0) -> dict[str, F32]:
    dice = np.random.default_rng(seed)
    corners = dice.uniform(0, 100, (1, count, 2))
    boxes = np.concatenate([corners, corners + dice.uniform(20, 60, (1, count, 2))], axis=2)
    return {"boxes": boxes.astype(np.float32), "weights": dice.normal(2, 3, (1, count)).astype(np.float32)}


@given(st.integers(0, 40), st.integers(0, 1000), st.sampled_from([0.02, 0.3, 0.6, 0.95]))
def test_votes_become_scores(count: int, seed: int, min_score: float) -> None:
    """The more votes, the higher the score, never beyond 0 to 1, and none below the least."""
    outputs = cascade_outputs(count, seed)
    boxes, scores, landmarks = cascade.decode(outputs, (160, 160), CASCADE, min_score)
    assert landmarks is None
    assert ((scores >= min_score) & (scores <= 1)).all()
    votes = outputs["weights"][0]
    kept = [row for row in range(count) if 1 / (1 + np.exp(-0.683 * (votes[row] - 2.63))) >= min_score]
    np.testing.assert_array_equal(boxes, outputs["boxes"][0, kept])
    np.testing.assert_array_equal(np.argsort(scores, kind="stable"), np.argsort(votes[kept], kind="stable"))


def stamp(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.fixture
def one_thread() -> Iterator[None]:
    """OpenCV's order is the same each time only then."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_cascade_gives_most_votes_first() -> None:
    data = CASCADE_FILE.read_bytes()
    made = file("cascade.xml", runtime="opencv", layout="NHWC", **stamp(data))
    # Mirrored, what is no face comes first in that order.
    grey = cv2.cvtColor(astronaut(), cv2.COLOR_BGR2GRAY)[:, ::-1]
    found = CascadeRunner(data, made, CASCADE).run(grey[None, ..., None].astype(np.float32))
    assert found["boxes"].shape == (1, 2, 4)
    np.testing.assert_allclose(found["weights"], [[7.97, 1.06]], atol=0.01)
    np.testing.assert_allclose(found["boxes"][0, 0], [238, 65, 336, 163], atol=1)


def test_a_picture_without_a_face_has_no_votes() -> None:
    data = CASCADE_FILE.read_bytes()
    made = file("cascade.xml", runtime="opencv", layout="NHWC", **stamp(data))
    found = CascadeRunner(data, made, CASCADE).run(np.zeros((1, 64, 64, 1), np.float32))
    assert (found["boxes"].shape, found["weights"].shape) == ((1, 0, 4), (1, 0))


@pytest.mark.parametrize("data", [b"", b"no xml", b"\xff\xfe\0", b"{}"], ids=["empty", "text", "bytes", "JSON"])
def test_what_is_no_cascade_is_said(data: bytes) -> None:
    with pytest.raises(ValueError, match="^it is no cascade$"):
        CascadeRunner(data, file("cascade.xml", runtime="opencv", **stamp(data)), CASCADE)


def with_cascade(folder: Path) -> Path:
    """Copy the default bundle and add OpenCV's own cascade, with a self-test."""
    data = CASCADE_FILE.read_bytes()
    grey = cv2.cvtColor(cv2.resize(astronaut(), (320, 320), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    pixels = grey[None, ..., None]
    outputs = {"boxes": "boxes", "weights": "weights"}
    made = file("cascade.xml", runtime="opencv", layout="NHWC", input="grey", outputs=outputs, **stamp(data))
    stored = io.BytesIO()
    answers: Any = CascadeRunner(data, made, CASCADE).run(pixels.astype(np.float32))
    np.savez(stored, input=pixels, **answers)
    whole = msgspec.structs.replace(
        entry("cascade", CASCADE, runtime="opencv", color="grey", mean=(0.0,), multiple_of=1),
        files={"opencv": (made,)},
        selftest=SelfTest(path="selftest/cascade.npz", **stamp(stored.getvalue())),
    )
    bundle = copy(folder, lambda tree: tree["networks"].append(msgspec.to_builtins(whole)))
    (bundle / "cascade.xml").write_bytes(data)
    (bundle / "selftest" / "cascade.npz").write_bytes(stored.getvalue())
    return bundle


def settings(**attributes: Any) -> Config:
    return msgspec.convert({"detector": {"network": "cascade"}, "attributes": attributes}, Config)


@pytest.fixture(scope="module")
def cascade_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    if not CASCADE_FILE.is_file():
        pytest.skip("this OpenCV has no cascades")
    return open_bundle(with_cascade(tmp_path_factory.mktemp("cascade")))


def test_a_cascade_takes_the_whole_way(cascade_bundle: Bundle) -> None:
    """Loaded and tested like any network; a face without landmarks is judged, cut, answered, followed and drawn."""
    config = settings(**BY_BOX)
    networks = Networks(cascade_bundle, config, still=True)
    assert networks.verify(cascade_bundle)["cascade"] < 1e-3
    assert not networks.detector.gives_landmarks
    found = networks.detect(astronaut(), min_score=0.3)
    assert len(found) == 1
    assert found.landmarks is None
    assert iou(found.boxes, np.array([[177.5, 56.4, 270.1, 176.4]], np.float32))[0, 0] > 0.5
    (face,) = analyze_image(astronaut(), networks, config, path="x", min_score=0.3).faces
    assert face.landmarks is None
    assert face.quality.yaw == 0
    assert set(face.estimates) == {"expression"}
    numbers = iter("abc")
    pipeline = Pipeline(
        "main", config, detector=networks.detector.network, networks=networks.heads, new_id=lambda: next(numbers)
    )
    frame = Frame(image=astronaut(), camera="main", index=0, time_s=0.0, captured_at=EPOCH)
    sighting, requests = pipeline.observe(frame, found)
    assert len(sighting.tracks) == 1
    assert len(networks.answer(requests)) == len(requests)
    drawn = draw_faces(astronaut(), [Drawing(box=found.boxes[0], landmarks=None, lines=["a"], number=0)])
    assert (drawn != astronaut()).any()


def test_where_a_detector_gives_no_points_nothing_is_told_of_attention(cascade_bundle: Bundle) -> None:
    config = settings(**BY_BOX)
    networks = Networks(cascade_bundle, config)
    worker = Worker(networks, config, ["main"], new_id=lambda: "a", clock=lambda: 0.0)
    told = []
    for index in range(10):
        at = EPOCH + timedelta(seconds=index / 10)
        frame = Frame(image=astronaut(), camera="main", index=index, time_s=index / 10, captured_at=at)
        told += [body.message for body in worker.turn([frame])]
    told += [body.message for body in worker.close("main", "source_ended").bodies]
    assert {one.attention for one in told if isinstance(one, VisitMessage)} == {None}
    assert {one.attention for one in told if isinstance(one, SummaryMessage)} == {msgspec.UNSET}
    announced = announce(config, cascade_bundle, node="hall")
    assert announced is not None
    (camera,) = (json.loads(text) for topic, text in announced.messages.items() if "camera" in topic)
    assert camera["components"]["looking"] == camera["components"]["glances"] == {"platform": "sensor"}, "taken back"
    assert b"head points" not in msgspec.json.encode(notice(config, cascade_bundle, node="hall", at=EPOCH).message)
    asked = msgspec.structs.replace(config, attention=Attention(enabled=True))
    with pytest.raises(ConfigError, match=r"^attention\.enabled: detector cascade gives no points of a face"):
        Worker(networks, asked, ["main"], new_id=lambda: "a", clock=lambda: 0.0)


def test_networks_cut_by_landmarks_are_refused_beside_a_cascade(cascade_bundle: Bundle) -> None:
    said = f"network {AGE} is cut by landmarks, detector cascade gives none; set detector.network to one with landmarks"
    with pytest.raises(BundleError, match=said):
        Networks(cascade_bundle, settings(**{**BY_BOX, "age": AGE}))


def test_an_opencv_without_cascades_says_so(cascade_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(RuntimeMissingError, match=r"runs no cascades; pip install 'opencv-python-headless>=4.10,<5'"):
        load_network(cascade_bundle, cascade_bundle.network("cascade"), "opencv")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"<x/>", b"<opencv_storage><a>1</a></opencv_storage>"],
    ids=["empty", "no text", "another xml", "another storage"],
)
def test_a_file_that_is_no_cascade_gets_one_line(cascade_bundle: Bundle, tmp_path: Path, content: bytes) -> None:
    broken = with_cascade(tmp_path)
    (broken / "cascade.xml").write_bytes(content)
    tree = json.loads((broken / "manifest.json").read_text())
    network(tree, "cascade")["files"]["opencv"][0] |= stamp(content)
    (broken / "manifest.json").write_text(json.dumps(tree))
    opened = open_bundle(broken)
    with pytest.raises(BundleError, match=r"cascade.xml does not load in opencv: .*; choose another") as refused:
        load_network(opened, opened.network("cascade"), "opencv")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("named", ["nobody", AGE])
def test_a_stage_that_is_none_is_refused(tmp_path: Path, named: str) -> None:
    parts = (
        entry("mtcnn", MtcnnHead(refine="refine", output=named)),
        entry("refine", StageHead(), task="stage", width=24, height=24),
    )
    folder = copy(tmp_path, lambda tree: tree["networks"].extend(msgspec.to_builtins(part) for part in parts))
    with pytest.raises(BundleError, match=f"network {named} is missing or named twice"):
        open_bundle(folder)
