"""What a smaller form of a network costs.

Every form of the recipe is made, run through the device's runtime, and compared with fp32 by the task's own measure.
The result decides what ships: the build holds the recipe's limits against it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from converters.evaluate import widerface
from converters.evaluate.data import Photograph, chips, data_folder, photographs, read
from converters.export.calibration import found_faces
from converters.manifest import RESULTS, describe_file
from converters.recipe import Calibration, Recipe
from edgeface.attributes import make_head
from edgeface.bundle import Bundle, Closed, Network, NetworkFile, Precision, open_bundle
from edgeface.config import Config, RuntimeName
from edgeface.config import Runtime as RuntimeSettings
from edgeface.detect import make_detector
from edgeface.files import write_atomic
from edgeface.runtime import Runner, run_faces
from edgeface.types import F32, AgeEstimate, Image
from edgeface.worker import Networks

TRIALS = RESULTS / "trials.json"
DETECTOR_SIZES = ((320, 320), (640, 640))
GENDERS = {"F": "female", "M": "male"}

logger = logging.getLogger(__name__)


class Trial(Closed, frozen=True, kw_only=True):
    """One form of a network held against its fp32 form in the same runtime.

    ``points`` lost (percent of accuracy, or of average precision at the worst level and size; negative: better),
    ``years`` of mean absolute error lost, ``agreement`` share of equal answers; None where it does not apply.
    ``within`` says whether the recipe's limit is kept.
    """

    network: str
    runtime: RuntimeName
    precision: Precision
    calibration: Calibration | None
    bytes: int
    bytes_fp32: int
    points: float | None = None
    years: float | None = None
    agreement: float | None = None
    set: str
    count: int
    within: bool
    detail: dict[str, float] = msgspec.field(default_factory=dict)


class Form(Closed, frozen=True, kw_only=True):
    """One made file that is to be tried."""

    runtime: RuntimeName
    precision: Precision
    calibration: Calibration | None
    path: Path


def read_trials() -> list[Trial]:
    """Trials on record, or none."""
    return msgspec.json.decode(TRIALS.read_bytes(), type=list[Trial]) if TRIALS.is_file() else []


def record(trials: Sequence[Trial]) -> None:
    """Put trials on record; one of the same file replaces the old one."""
    merged = {(t.network, t.runtime, t.precision, t.calibration or ""): t for t in (*read_trials(), *trials)}
    ordered = [merged[key] for key in sorted(merged)]
    write_atomic(TRIALS, msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n")


class Bench:
    """The pictures on which forms are compared, decoded and cropped once.

    Parameters
    ----------
    bundle : a bundle whose default detector finds the faces of FairFace's validation part
    """

    def __init__(self, recipe: Recipe, bundle: Path, *, data: Path | None = None, limit: int | None = None) -> None:
        self._recipe = recipe
        self._bundle: Bundle = open_bundle(bundle)
        self._folder = data_folder(str(data) if data else None)
        self._limit = limit
        self._faces: dict[str, dict[str, list[Image]]] = {}
        self._labels: dict[str, list[Mapping[str, str]]] = {}
        self._photographs: list[tuple[Photograph, Image]] = []

    def compare(self, name: str, plain: Mapping[RuntimeName, Path], forms: Sequence[Form]) -> Iterator[Trial]:
        """Try forms of one network against its fp32 files."""
        network = self._bundle.network(name)
        measure = {
            "detect": self._detect,
            "age": self._age,
            "gender": self._gender,
            "expression": self._expression,
        }[network.task]
        reference: dict[RuntimeName, object] = {}
        for form in forms:
            if form.runtime not in reference:
                base = Form(runtime=form.runtime, precision="fp32", calibration=None, path=plain[form.runtime])
                reference[form.runtime] = measure(network, base, None)[0]
            _, found = measure(network, form, reference[form.runtime])
            trial = self._judge(network, form, plain[form.runtime], found)
            logger.info("%s", msgspec.json.encode(trial).decode())
            yield trial

    def _judge(self, network: Network, form: Form, plain: Path, found: Mapping[str, object]) -> Trial:
        limit = self._recipe.limits[network.task]
        trial = Trial(
            network=network.name,
            runtime=form.runtime,
            precision=form.precision,
            calibration=form.calibration,
            bytes=form.path.stat().st_size,
            bytes_fp32=plain.stat().st_size,
            within=False,
            **found,  # type: ignore[arg-type]
        )
        kept = [
            limit.points is not None and trial.points is not None and trial.points <= limit.points,
            limit.years is not None and trial.years is not None and trial.years <= limit.years,
            limit.agreement is not None and trial.agreement is not None and trial.agreement >= limit.agreement,
        ]
        return msgspec.structs.replace(trial, within=any(kept))

    def _detect(self, network: Network, form: Form, base: object) -> tuple[object, dict[str, object]]:
        if not self._photographs:
            listed = photographs(self._folder, limit=self._limit)
            self._photographs = [(p, read(p.path)) for p in tqdm(listed, desc="WIDER FACE", unit="picture")]
        truth = [photograph for photograph, _ in self._photographs]
        found: dict[str, float] = {}
        for width, height in DETECTOR_SIZES:
            runner = self._runner(network, form)
            detector = make_detector(network, {network.name: runner}, size=f"{width}x{height}")
            faces = [detector.detect(image, min_score=widerface.MIN_SCORE) for _, image in self._photographs]
            precisions = widerface.average_precisions(truth, faces)
            found |= {f"AP {level} {width}x{height}": round(value, 4) for level, value in precisions.items()}
        if not isinstance(base, dict):
            return found, {}
        lost = max(100 * (base[key] - value) for key, value in found.items())
        title = f"WIDER FACE {len(truth)}-image dev share"
        return found, {"points": round(lost, 2), "set": title, "count": len(truth), "detail": found}

    def _age(self, network: Network, form: Form, base: object) -> tuple[object, dict[str, object]]:
        head = make_head(network)
        rows = head.probabilities(self._answers(network, form, "utkface"))
        years = np.array([e.years for e in map(head.estimate, rows) if isinstance(e, AgeEstimate)])
        if not isinstance(base, np.ndarray):
            return years, {}
        truth = np.array([float(labels["age"]) for labels in self._labels["utkface"]])
        error, error_before = float(np.abs(years - truth).mean()), float(np.abs(base - truth).mean())
        off = np.abs(years - base)
        detail = {
            "MAE": round(error, 3),
            "MAE of fp32": round(error_before, 3),
            "mean difference": round(float(off.mean()), 3),
            "95th percentile of the difference": round(float(np.quantile(off, 0.95)), 3),
            "largest difference": round(float(off.max()), 3),
        }
        lost = round(error - error_before, 3)
        return years, {"years": lost, "set": "UTKFace val", "count": len(years), "detail": detail}

    def _gender(self, network: Network, form: Form, base: object) -> tuple[object, dict[str, object]]:
        head = network.attribute_head()
        said = make_head(network).probabilities(self._answers(network, form, "fairface")).argmax(axis=1)
        labels: Sequence[str] = head.labels  # type: ignore[union-attr]
        truth = np.array([labels.index(GENDERS[face["gender"]]) for face in self._labels["fairface"]])
        return _accuracy(said, truth, base, "FairFace val")

    def _expression(self, network: Network, form: Form, base: object) -> tuple[object, dict[str, object]]:
        head = network.attribute_head()
        labels: Sequence[str] = head.labels  # type: ignore[union-attr]
        size_wh = (network.input.width or 0, network.input.height or 0)
        pixels, truth = [], []
        for chip in chips(self._folder, "fer2013", "publictest", limit=self._limit):
            grey = cv2.cvtColor(chip.image, cv2.COLOR_BGR2GRAY)
            pixels.append(cv2.resize(grey, size_wh, interpolation=cv2.INTER_LINEAR)[..., None])
            truth.append(labels.index(chip.labels["emotion"]))
        outputs = run_faces(self._runner(network, form), network, np.stack(pixels))
        said = make_head(network).probabilities(outputs).argmax(axis=1)
        return _accuracy(said, np.array(truth), base, "FER-2013 PublicTest")

    def _answers(self, network: Network, form: Form, faces: str) -> dict[str, F32]:
        if faces not in self._faces:
            networks = Networks(self._bundle, Config(runtime=RuntimeSettings(name="onnx", threads=2)), still=True)
            listed = list(chips(self._folder, faces, "val", limit=self._limit))
            inputs = {n.name: n.input for n in self._bundle.manifest.networks if n.input.crop is not None}
            crops: dict[str, list[Image]] = {name: [] for name in inputs}
            labels: list[Mapping[str, str]] = []
            for chip in tqdm(listed, desc=faces, unit="face"):
                found = found_faces(iter([chip.image]), networks, inputs)
                if found[network.name]:
                    labels.append(chip.labels)
                    for name, several in found.items():
                        crops[name].extend(several)
            self._faces[faces], self._labels[faces] = crops, labels
        return run_faces(self._runner(network, form), network, np.stack(self._faces[faces][network.name]))

    def _runner(self, network: Network, form: Form) -> Runner:
        file: NetworkFile = describe_file(network.name, self._recipe, form.runtime, form.precision, form.path)
        if form.runtime == "onnx":
            from edgeface.runtime.onnx import OnnxRunner as Chosen  # noqa: PLC0415
        else:
            from edgeface.runtime.litert import LiteRtRunner as Chosen  # type: ignore[assignment]  # noqa: PLC0415
        return Chosen(form.path.read_bytes(), file, threads=2)


def _accuracy(
    said: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], base: object, title: str
) -> tuple[object, dict[str, object]]:
    if not isinstance(base, np.ndarray):
        return said, {}
    right, right_before = float((said == truth).mean()), float((base == truth).mean())
    return said, {
        "points": round(100 * (right_before - right), 2),
        "agreement": round(float((said == base).mean()), 4),
        "set": title,
        "count": len(truth),
        "detail": {"accuracy": round(right, 4), "accuracy of fp32": round(right_before, 4)},
    }
