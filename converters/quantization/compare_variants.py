"""Variants of one network held against each other by the task's own measure, through the device's own runtimes.

Faces are found and cut once, photographs read once. Data have roles: `search` looks at every second picture of the dev
parts, decisions are made on the others.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from converters.building.entry import describe_file, outline
from converters.building.maker import Maker
from converters.datasets.expressions import spelling
from converters.datasets.labelled import Chip, Photograph, chips, data_folder, photographs, read
from converters.datasets.labels import GENDERS, years_off
from converters.evaluation import widerface
from converters.evaluation.groups import Bools, Loss, paired_loss, people
from converters.evaluation.runners import RecordingRunner
from converters.evaluation.subject import Face, Finder, padded, whole
from converters.measurements.chosen import TITLES
from converters.recipes.schema import LabelledSet, Recipe
from edgeface.attributes import make_heads
from edgeface.bundle import Network, NetworkFile, Precision, open_bundle
from edgeface.config import RuntimeName
from edgeface.detect import make_detector
from edgeface.errors import UsageError
from edgeface.runtime import Runner, make_runner, run_faces
from edgeface.types import F32, AgeEstimate, Detections, Image, Task

Half = Literal["all", "search", "decide"]
T = TypeVar("T")
DETECTOR_SIZES = ("320x320", "640x640")
FACES: Mapping[str, tuple[LabelledSet, ...]] = {
    "age": ("utkface",),
    "gender": ("utkface", "fairface"),
    "expression": ("fer2013",),
}
"""By task, the labelled sets on which variants are judged, all together, unless a recipe says otherwise."""
PARTS: Mapping[LabelledSet, str] = {"utkface": "val", "fairface": "val", "fer2013": "publictest"}
THREADS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one variant answered.

    ``errors`` of each face (years off, or 1 for a wrong answer and 0 for a right one) and its ``answers``, shape (N,);
    of a detector the faces of each photograph by input size.
    """

    errors: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    answers: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    found: Mapping[str, Sequence[Detections]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a variant lost against another: ``losses`` over all and by group (of a detector by size and level)."""

    losses: list[Loss]
    agreement: float | None
    detail: dict[str, float]

    @property
    def worst(self) -> Loss:
        """The loss that is judged: over all faces, or of a detector at its worst size and level."""
        overall = [loss for loss in self.losses if loss.group == "all" or loss.group.startswith("AP ")]
        return max(overall, key=lambda loss: loss.value)


class Crops:
    """Faces of the labelled sets, each found once and cut for every network that asks.

    Parameters
    ----------
    bundle : folder of a bundle whose default detector finds the faces
    data : folder of the labelled data, or None for the usual place
    limit : take the first faces and photographs only
    """

    def __init__(self, bundle: Path, *, data: Path | None = None, limit: int | None = None) -> None:
        self._bundle = bundle
        self._folder = data_folder(str(data) if data else None)
        self._limit = limit
        self._finder: Finder | None = None
        self._faces: dict[tuple[str, str], list[tuple[Chip, Face]]] = {}
        self._photographs: list[tuple[Photograph, Image]] = []
        self.answers: dict[Hashable, Mapping[str, F32]] = {}
        """What files of networks that answer several questions gave: each is asked once for all of them."""

    def cut(self, network: Network, sets: Sequence[LabelledSet], half: Half) -> tuple[Image, list[Mapping[str, str]]]:
        """Input pixels (N, H, W, C) of a network for the faces of these sets, and their labels."""
        pixels: list[Image] = []
        labels: list[Mapping[str, str]] = []
        for name in sets:
            part = PARTS[name]
            if name == "fer2013":
                shown = [
                    (chip, whole(chip.image, network)) for chip in chips(self._folder, name, part, limit=self._limit)
                ]
            else:
                finder = self._find(name, part)
                shown = [(c, finder.cut(padded(c.image), face, network.input)) for c, face in self._faces[name, part]]
            for chip, crop in half_of(shown, half):
                pixels.append(crop)
                labels.append(chip.labels)
        return np.stack(pixels), labels

    def photographs(self, half: Half) -> list[tuple[Photograph, Image]]:
        """WIDER FACE's dev share, read."""
        if not self._photographs:
            listed = photographs(self._folder, limit=self._limit)
            shown = tqdm(listed, desc="WIDER FACE", unit="picture", disable=None, leave=False)
            self._photographs = [(photograph, read(photograph.path)) for photograph in shown]
        return half_of(self._photographs, half)

    def _find(self, name: LabelledSet, part: str) -> Finder:
        if self._finder is None:
            self._finder = Finder(open_bundle(self._bundle))
        if (name, part) not in self._faces:
            listed = list(chips(self._folder, name, part, limit=self._limit))
            shown = tqdm(listed, desc=TITLES[name], unit="face", disable=None, leave=False)
            found = ((chip, self._finder.face(padded(chip.image))) for chip in shown)
            self._faces[name, part] = [(chip, face) for chip, face in found if face is not None]
        return self._finder


class Comparator:
    """Runs variants of one network on one half of a task's pictures, or on ``most`` of them spread evenly.

    ``task`` is a question that the network answers; None: its own.
    """

    def __init__(
        self,
        maker: Maker,
        recipe: Recipe,
        crops: Crops,
        half: Half = "all",
        *,
        task: Task | None = None,
        most: int | None = None,
    ) -> None:
        self._maker = maker
        self._recipe = recipe
        self.network = outline(maker)
        self.task = task or self.network.task
        if self.task not in (*FACES, "detect"):
            raise UsageError(f"{maker.name} answers {self.task}, which no set here can judge", fix="ship fp32")
        self._sets = maker.network.judged_on or FACES.get(self.task, ())
        self._crops = crops
        self._half: Half = half
        self._most = most
        self._seen: tuple[Image, list[Mapping[str, str]]] | None = None

    def run(self, runtime: RuntimeName, precision: Precision, path: Path, *, options: bool = True) -> Outcome:
        """Answers of one file; ``options`` False leaves the session options of its manifest entry away."""
        file = describe_file(self._maker, self._recipe, runtime, precision, path)
        runner = load(path, file if options else msgspec.structs.replace(file, session={}))
        if self.network.task == "detect":
            return self._detect(runner)
        asked = (file.sha256, options, self._sets, self._half, self._most)
        if asked in self._crops.answers:
            return self._read(self._crops.answers[asked])
        outputs = run_faces(runner, self.network, self._faces()[0])
        if self.network.also:
            self._crops.answers[asked] = outputs
        return self._read(outputs)

    def outputs(self, runtime: RuntimeName, precision: Precision, path: Path) -> list[Mapping[str, F32]]:
        """What one file gives for each input, before anything is read from it."""
        recorder = RecordingRunner(load(path, describe_file(self._maker, self._recipe, runtime, precision, path)))
        if self.network.task == "detect":
            self._detect(recorder)
        else:
            run_faces(recorder, self.network, self._faces()[0])
        return recorder.recorded

    def compare(self, before: Outcome, after: Outcome) -> Comparison:
        """What ``after`` lost."""
        if self.network.task == "detect":
            return self._compare_detections(before, after)
        groups: dict[str, Bools] = people(self._faces()[1])
        losses = paired_loss(before.errors, after.errors, groups)
        off = np.abs(after.answers - before.answers)
        if self.task == "age":
            detail = {
                "MAE": float(after.errors.mean()),
                "MAE of fp32": float(before.errors.mean()),
                "mean difference": float(off.mean()),
                "95th percentile of the difference": float(np.quantile(off, 0.95)),
                "largest difference": float(off.max()),
            }
            return Comparison(losses=losses, agreement=None, detail=detail)
        detail = {"accuracy": 1 - float(after.errors.mean()), "accuracy of fp32": 1 - float(before.errors.mean())}
        return Comparison(losses=losses, agreement=float((off == 0).mean()), detail=detail)

    @property
    def set(self) -> str:
        """What it looks at."""
        if self.network.task == "detect":
            return f"WIDER FACE {self.count}-image dev share"
        return " + ".join(TITLES[name] for name in self._sets)

    @property
    def count(self) -> int:
        """Faces, or photographs."""
        return len(self._photographs() if self.network.task == "detect" else self._faces()[1])

    def _faces(self) -> tuple[Image, list[Mapping[str, str]]]:
        if self._seen is None:
            pixels, labels = self._crops.cut(self.network, self._sets, self._half)
            step = self._step(len(labels))
            self._seen = pixels[::step], labels[::step]
        return self._seen

    def _photographs(self) -> list[tuple[Photograph, Image]]:
        listed = self._crops.photographs(self._half)
        return listed[:: self._step(len(listed))]

    def _step(self, count: int) -> int:
        return max(1, count // self._most) if self._most else 1

    def _read(self, outputs: Mapping[str, F32]) -> Outcome:
        """What the outputs for all faces say of the question."""
        labels = self._faces()[1]
        head = make_heads(self.network)[self.task]  # type: ignore[index]
        rows = head.probabilities(outputs)
        if self.task == "age":
            predicted = (head.estimate(row) for row in rows)
            years = np.array([answer.years for answer in predicted if isinstance(answer, AgeEstimate)], np.float64)
            errors = [years_off(said, row["age"]) for said, row in zip(years, labels, strict=True)]
            return Outcome(np.array(errors, np.float64), years)
        own_labels: Sequence[str] = self.network.answers[self.task].labels  # type: ignore[union-attr, index]
        names = [spelling(label) for label in own_labels]
        column = "emotion" if self.task == "expression" else "gender"
        words = [GENDERS.get(row[column], spelling(row[column])) for row in labels]
        truth = np.array([names.index(word) if word in names else -1 for word in words])  # -1: no answer is right
        answers = rows.argmax(axis=1)
        return Outcome((answers != truth).astype(np.float64), answers.astype(np.float64))

    def _detect(self, runner: Runner) -> Outcome:
        own = self.network.input
        sizes = (f"{own.width}x{own.height}",) if own.width else DETECTOR_SIZES
        found: dict[str, list[Detections]] = {}
        for size in sizes:
            choice = "auto" if own.width else size
            detector = make_detector(self.network, {self.network.name: runner}, size=choice, still=True)
            shown = self._photographs()
            found[size] = [detector.detect(image, min_score=widerface.MIN_SCORE) for _, image in shown]
        return Outcome(found=found)

    def _compare_detections(self, before: Outcome, after: Outcome) -> Comparison:
        truth = [photograph for photograph, _ in self._photographs()]
        losses: list[Loss] = []
        detail: dict[str, float] = {}
        for size, faces in after.found.items():
            found = widerface.precision_losses(truth, before.found[size], faces)
            for level, value in widerface.average_precisions(truth, faces).items():
                name = f"AP {level} {size}"
                detail[name] = value
                lost = found[level]
                losses.append(Loss(group=name, value=lost.value, count=lost.count, low=lost.low, high=lost.high))
        return Comparison(losses=losses, agreement=None, detail=detail)


def normalised_error(before: Sequence[Mapping[str, F32]], after: Sequence[Mapping[str, F32]]) -> float:
    """Normalised error of outputs: their squared difference as a share of their variance, the mean over outputs.

    Unlike a task's loss it knows no luck: a layer whose noise happens to help on a few pictures shows all the same.
    """
    shares = []
    for name in before[0]:
        one, other = (np.concatenate([part[name].ravel() for part in parts]) for parts in (before, after))
        spread = float(np.var(one, dtype=np.float64))
        shares.append(float(np.mean(np.square(other - one), dtype=np.float64)) / (spread or 1.0))
    return float(np.mean(shares))


def load(path: Path, file: NetworkFile) -> Runner:
    """Runner of one file that lies outside a bundle."""
    return make_runner(path.read_bytes(), file, None, threads=THREADS)


def half_of(listed: Sequence[T], half: Half) -> list[T]:
    """Every second of a list, from the first for the search and from the second for the decision; or all."""
    start = {"all": 0, "search": 0, "decide": 1}[half]
    return list(listed[start :: 1 if half == "all" else 2])
