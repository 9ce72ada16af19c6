"""The network file that is being measured, and how faces are put before it.

Two modes. ``chip``: the whole picture is the crop. ``end-to-end``: the picture is padded by 30 % on each side with its
own edge, the detector finds the face (the largest is the one that is meant), the manifest's rule cuts it out; a face
that is not found is a miss and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from converters.datasets.labelled import Chip
from converters.evaluation.detectors import THREADS, load_detector
from converters.paths import open_any
from edgeface.bundle import (
    BoxCrop,
    Bundle,
    Input,
    Network,
    choose_file,
    find_bundle,
    open_bundle,
)
from edgeface.config import Config, RuntimeName
from edgeface.config import Detector as DetectorSettings
from edgeface.crop import cut, reference_boxes
from edgeface.engine.states import States
from edgeface.errors import UsageError
from edgeface.runtime import Runner, load_network, run_faces
from edgeface.types import F32, Image

Mode = Literal["chip", "end-to-end"]
PADDING = 0.3
"""Share of the picture's side that is added on each side, by repeating the border."""
SMALL_PX, ENLARGED = 96, 4
"""Pictures below this are enlarged so many times before a detector looks: at 48 pixels it misses many faces."""
BATCH = 64
SCORE = DetectorSettings().score
Face = tuple[F32, F32 | None]
"""Box (4,), and five points (5, 2) where the detector gives them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What a network gave for labelled faces.

    Attributes
    ----------
    labels : of every face that was put before it, N rows
    found : bool array, shape (N,); False for a face that the detector missed
    outputs : by the head's names, first axis as many as were found
    """

    labels: Sequence[Mapping[str, str]]
    found: npt.NDArray[np.bool_]
    outputs: Mapping[str, F32]

    @property
    def seen(self) -> list[Mapping[str, str]]:
        """Labels of the faces that were found."""
        return [labels for labels, hit in zip(self.labels, self.found, strict=True) if hit]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sight:
    """A face as a detector found it: its own box (4,), five points (5, 2) or None, and its score."""

    box: F32
    points: F32 | None
    score: float


class Finder:
    """Finds the one face that a picture is about."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        detector: str | None = None,
        runtime: RuntimeName = "onnx",
        threads: int = THREADS,
    ) -> None:
        self._networks = load_detector(bundle, detector, runtime=runtime, threads=threads)
        self.network = self._networks.detector.network

    def sight(self, image: Image) -> Sight | None:
        """The largest face of a picture as the detector itself says it; None for no face."""
        found = self._networks.detect(image, min_score=SCORE)
        if not len(found):
            return None
        best = int(np.argmax((found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1)))  # who stands behind is smaller
        points = None if found.landmarks is None else found.landmarks[best]
        return Sight(box=found.boxes[best], points=points, score=float(found.scores[best]))

    def place(self, sight: Sight) -> Face:
        """Box and points of a face in the reference detector's terms."""
        return reference_boxes(sight.box[None], self.network.box_to_reference)[0], sight.points

    def face(self, image: Image) -> Face | None:
        """Box and points of the largest face of a picture, in the reference detector's terms; None for no face."""
        sight = self.sight(image)
        return None if sight is None else self.place(sight)

    def cut(self, image: Image, face: Face, spec: Input) -> Image:
        """Cut a face out as input pixels by the rule of ``spec``."""
        return cut(image, *face, spec, offsets=self.network.landmarks_to_reference)


class Subject:
    """One file of a network.

    Parameters
    ----------
    finder : who finds the faces in mode ``end-to-end``; None in mode ``chip``
    """

    def __init__(self, bundle: Bundle, network: Network, runner: Runner, finder: Finder | None) -> None:
        if network.time is not None and not network.states:
            raise UsageError(
                f"network {network.name} looks at {network.time.window} frames at once",
                fix="evaluate its form that takes frame by frame",
            )
        self.bundle, self.network, self.runner, self.finder = bundle, network, runner, finder

    @property
    def mode(self) -> Mode:
        """How faces are put before it."""
        return "chip" if self.finder is None else "end-to-end"

    @property
    def detector(self) -> str | None:
        """Name of the network that finds the faces."""
        return None if self.finder is None else self.finder.network.name

    def pixels(self, image: Image, *, pad: bool) -> Image | None:
        """Input pixels for one picture; None for a face that is not found."""
        if self.finder is None:
            return whole(image, self.network)
        image = prepared(image, pad=pad)
        face = self.finder.face(image)
        return None if face is None else self.finder.cut(image, face, self.network.input)

    def answer(self, faces: Iterable[Chip], *, pad: bool = True) -> Answers:
        """Put faces before the network, in batches as they come."""
        return self.answer_pixels((chip.labels, self.pixels(chip.image, pad=pad)) for chip in faces)

    def answer_pixels(self, faces: Iterable[tuple[Mapping[str, str], Image | None]]) -> Answers:
        """Put input pixels before the network, in batches as they come; None is a face that was not found.

        Raises
        ------
        UsageError : no face was found
        """
        labels: list[Mapping[str, str]] = []
        found: list[bool] = []
        parts: list[Mapping[str, F32]] = []
        waiting: list[Image] = []
        for row, pixels in faces:
            labels.append(row)
            found.append(pixels is not None)
            waiting += [] if pixels is None else [pixels]
            if len(waiting) == BATCH:
                parts.append(self.run(np.stack(waiting)))
                waiting.clear()
        if waiting:
            parts.append(self.run(np.stack(waiting)))
        if not parts:
            raise UsageError("no face was found, so nothing can be measured", fix="give other pictures or --mode chip")
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Answers(labels=labels, found=np.array(found, bool), outputs=outputs)

    def run(self, pixels: Image) -> Mapping[str, F32]:
        """Outputs for input pixels (N, H, W, C); a recurrent network sees each picture for its whole window."""
        time, people = self.network.time, [("", row) for row in range(len(pixels))]
        carried = States(most=len(pixels))
        for _ in range(time.window if time is not None else 1):
            outputs = run_faces(self.runner, self.network, pixels, carried.recall(self.network, people))
            carried.keep(self.network, people, outputs)
        return outputs


def open_subject(
    folder: str,
    task: str,
    *,
    network: str | None = None,
    runtime: RuntimeName | None = None,
    precision: str | None = None,
    mode: Mode = "chip",
    detector: str | None = None,
    allow_random: bool = False,
) -> Subject:
    """Load one file of a bundle for a protocol.

    Parameters
    ----------
    folder : a bundle's folder or name, or the folder of one built network
    task : the question that is measured, or ``embedding``
    network, runtime, precision : which file; None takes the bundle's default or its only network for the task, ONNX
        where there is an ONNX file, and the first precision
    detector : who finds the faces end to end; None takes the bundle's default, or that of the default bundle where the
        bundle finds no faces itself
    allow_random : take networks that were never trained, to try the chain

    Raises
    ------
    UsageError : nothing in the bundle answers the question
    BundleError : no such network or file
    """
    bundle = open_any(folder, allow_random=allow_random)
    chosen = choose_network(bundle, task, network)
    given = runtime or ("onnx" if "onnx" in chosen.files else "litert")
    choose_file(chosen, given, precision)
    finder = None
    if mode == "end-to-end":
        finder = Finder(detecting(bundle, detector), detector=detector)
    runner = load_network(bundle, chosen, given, precision=precision, threads=THREADS)
    return Subject(bundle, chosen, runner, finder)


def shipped_subjects(
    bundle: Bundle, finder: Finder, *, runtime: RuntimeName, precision: str | None = None
) -> list[Subject]:
    """Every network of a bundle that answers a question about a face in one frame, of one runtime.

    ``precision`` is taken where a network has such a file; the manifest's first, as a device does, where it has none.
    """
    found = []
    for network in bundle.manifest.networks:
        if network.answers and not network.takes_window and runtime in network.files:
            have = precision if any(file.precision == precision for file in network.files[runtime]) else None
            runner = load_network(bundle, network, runtime, precision=have, threads=THREADS)
            found.append(Subject(bundle, network, runner, finder))
    return found


def choose_network(bundle: Bundle, task: str, name: str | None) -> Network:
    """Network of a bundle that answers a question: the named one, the default, or the only one."""
    able = [n for n in bundle.manifest.networks if n.task == task or task in n.also]
    names = [network.name for network in able]
    wanted = name or next((d for t, d in bundle.manifest.defaults.items() if t == task), None)
    if wanted is None and len(able) == 1:
        return able[0]
    if not able:
        raise UsageError(f"bundle {bundle.manifest.name} has no network for {task}", fix="give another with --bundle")
    if wanted not in names:
        what = f"there is no network '{wanted}' for {task}" if wanted else f"several networks answer {task}"
        raise UsageError(what, fix=f"choose one of: {', '.join(names)}")
    return able[names.index(wanted)]


def whole(image: Image, network: Network) -> Image:
    """Resize a whole picture to the input of a network, in its colours."""
    box = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
    everything = BoxCrop(left=0, top=0, right=0, bottom=0)
    return cut(image, box, None, msgspec.structs.replace(network.input, crop=everything))


def prepared(image: Image, *, pad: bool) -> Image:
    """Picture as a detector gets it: small ones enlarged, and with room around the face where ``pad`` says so."""
    if min(image.shape[:2]) < SMALL_PX:
        image = cv2.resize(image, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
    return padded(image) if pad else image


def padded(image: Image) -> Image:
    """Add a border of the picture's own edge pixels, so that a detector has room around the face."""
    border = round(PADDING * image.shape[0])
    wide: Image = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
    return wide


def detecting(bundle: Bundle, detector: str | None) -> Bundle:
    """Bundle whose detector finds the faces: the subject's own where it has one."""
    names = [network.name for network in bundle.manifest.networks if network.task == "detect"]
    if detector in names or (detector is None and "detect" in bundle.manifest.defaults):
        return bundle
    return open_bundle(find_bundle("default", Config(), {}))
