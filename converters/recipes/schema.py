"""What recipes may say: types that refuse what they do not know."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgeface.bundle import (
    AttributeHead,
    Closed,
    FileRuntime,
    Head,
    Input,
    MtcnnHead,
    NetworkTask,
    Precision,
    PreferredRuntime,
    Signature,
    Source,
    Time,
)
from edgeface.config import RuntimeName
from edgeface.detect.mtcnn import pyramid_sizes
from edgeface.types import Task

RANGES = Path(__file__).parent / "ranges"
"""Ranges of int8 files, committed: with them a build needs no pictures."""

DetectOrTask = Task | Literal["detect"]
LabelledSet = Literal["utkface", "fairface", "fer2013"]
"""Sets of labelled faces by which something may be chosen."""
Calibration = Literal["average", "minmax"]
"""How int8 ranges are gathered: a moving average over the samples, or the least and the largest value."""


class Limit(Closed, frozen=True, kw_only=True):
    """How much a quantized file may lose against fp32 and still ship; any one that is named suffices.

    ``points`` are of accuracy or average precision (percent), ``years`` of mean absolute error, ``agreement`` the
    share of equal answers.
    """

    points: float | None = None
    years: float | None = None
    agreement: float | None = None


class SelfTestRecipe(Closed, frozen=True, kw_only=True):
    """The face of the self-tests' picture in pixels, and the input size (width, height) of a detector's test."""

    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...]
    detector_size: tuple[int, int]


class Prepared(Closed, frozen=True, kw_only=True):
    """Shapes that a device meets: input sizes (width, height) of detectors, batches of attribute networks."""

    sizes: tuple[tuple[int, int], ...] = ()
    batches: tuple[int, ...] = (1,)


class Quantize(Closed, frozen=True, kw_only=True):
    """How one runtime's int8 file is made.

    ``keep`` are patterns of the layers that stay float (in ``int8w``: become float16), ``equalise`` evens the weights'
    ranges across layers first.
    """

    calibration: Calibration = "minmax"
    keep: tuple[str, ...] = ()
    equalise: bool = False


class Workshop(Closed, frozen=True, kw_only=True):
    """``recipes/workshop.toml``: what holds unless a network's own recipe says otherwise.

    ``reference_detector`` is the one whose boxes and points crop rules are said in.
    """

    reference_detector: str
    limits: dict[DetectOrTask, Limit]
    selftest: SelfTestRecipe
    prepared: Prepared
    tolerances: dict[Precision, float]


class NetworkRecipe(Closed, frozen=True, kw_only=True):
    """One network: where from, what it sees and says, and what is made of it (best first).

    ``family`` is a torch module that is known here, or ``FILE.py:CLASS`` of one's own, seen from the recipe. Without it
    the source is an ``.onnx`` or ``.tflite`` file that passes through. ``options`` are the arguments of the module.
    ``as_is`` names the runtime whose fp32 file is the source itself. ``measured_with`` are detectors whose boxes the
    crop rule fits. ``tolerances`` go before the workshop's; ``try`` are further precisions that ``try`` makes and
    compares.
    """

    family: str | None = None
    task: NetworkTask
    title: str
    paper: str
    licence: str
    training_data: str
    limits: str
    weights: Literal["trained", "random"] = "trained"
    seed: int = 0
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    source: Source | None = None
    as_is: FileRuntime | None = None
    input: Input
    head: Head
    also: dict[Task, AttributeHead] = msgspec.field(default_factory=dict)
    time: Time | None = None
    files: dict[FileRuntime, tuple[Precision, ...]]
    outputs: dict[str, str] = msgspec.field(default_factory=dict)
    """For a file that passes through: the head's names to those in the file."""
    quantize: dict[RuntimeName, Quantize] = msgspec.field(default_factory=dict)
    prepared: Prepared | None = None
    measured_with: tuple[str, ...] = ()
    tolerances: dict[Precision, float] = msgspec.field(default_factory=dict)
    judged: tuple[Precision, ...] = msgspec.field(name="try", default=())
    judged_on: tuple[LabelledSet, ...] = ()
    """Labelled sets by which everything about it may be chosen, where it is not those that are usual."""

    @property
    def is_detector(self) -> bool:
        """Whether it sees pictures, not faces."""
        return self.input.crop is None

    @property
    def random(self) -> bool:
        """Whether it was never trained."""
        return self.weights == "random"

    @property
    def channels(self) -> int:
        """Colour channels of the input."""
        return 1 if self.input.color == "grey" else 3

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames of one input where a network looks at a whole window, else nothing."""
        return (self.time.window,) if self.time is not None and not self.time.states else ()

    def shapes(self, workshop: Prepared) -> Prepared:
        """Shapes to prepare: the network's own, else the workshop's."""
        if self.prepared is not None:
            return self.prepared
        if self.is_detector and self.input.width and self.input.height:
            return Prepared(sizes=((self.input.width, self.input.height),), batches=(1,))
        return workshop

    def seen_sizes(self, sizes: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Sizes in which the network itself meets fitted pictures of ``sizes``: MTCNN's first, all their levels."""
        if not isinstance(self.head, MtcnnHead):
            return tuple(sizes)
        head = self.head
        pyramids = (pyramid_sizes(size, head.smallest_face_px, head.factor) for size in sizes)
        return tuple(dict.fromkeys(level for pyramid in pyramids for level in pyramid))

    def signatures(self, workshop: Prepared) -> tuple[Signature, ...]:
        """Shapes of a TFLite file: ``w320h192`` ... for detectors, ``b1`` ... for networks that see faces."""
        shapes = self.shapes(workshop)
        if (self.is_detector and self.task == "detect") or not self.input.width:
            return tuple(
                Signature(key=f"w{width}h{height}", batch=1, width=width, height=height)
                for width, height in self.seen_sizes(shapes.sizes)
            )
        height, width = self.input.height, self.input.width
        assert height is not None
        assert width is not None
        return tuple(Signature(key=f"b{n}", batch=n, width=width, height=height) for n in shapes.batches)


class Taken(Closed, frozen=True, kw_only=True):
    """A network taken as it is from a bundle that was built before."""

    bundle: str
    network: str


class BundleRecipe(Closed, frozen=True, kw_only=True):
    """``recipes/bundles/NAME.toml``.

    ``networks`` are names or paths of network recipes, ``taken`` come from other bundles. ``remeasure`` lets a network
    cut by boxes stand beside a detector that it was not measured with: the build measures it then.
    """

    name: str
    version: str
    max_bytes: int | None = None
    networks: tuple[str, ...] = ()
    taken: tuple[Taken, ...] = ()
    defaults: dict[DetectOrTask, str] = msgspec.field(default_factory=dict)
    runtimes: dict[str, PreferredRuntime] = msgspec.field(default_factory=dict)
    remeasure: bool = False


class Recipe(Closed, frozen=True, kw_only=True):
    """One bundle with the recipes of its own networks, by the name that each is built under."""

    bundle: BundleRecipe
    workshop: Workshop
    networks: Mapping[str, NetworkRecipe]
    homes: Mapping[str, Path] = msgspec.field(default_factory=dict)
    """Folders of recipes that were given by path: their ranges lie there."""

    asked: Mapping[str, str] = msgspec.field(default_factory=dict)
    """What each network is called on a command line: its name, or the path of a recipe of one's own."""

    def argument(self, network: str) -> str:
        """How to name a network on a command line, ready for a shell."""
        return shlex.quote(self.asked.get(network, network))

    def ranges_path(self, network: str) -> Path:
        """Where the ranges of a network's int8 files lie: beside a recipe of one's own, else with the known ones."""
        known = ranges_path(network)
        return self.homes[network] / known.name if network in self.homes else known

    @property
    def limits(self) -> Mapping[DetectOrTask, Limit]:
        """By task, the loss with which a smaller file may still ship."""
        return self.workshop.limits

    @property
    def selftest(self) -> SelfTestRecipe:
        """The picture of the self-tests."""
        return self.workshop.selftest

    @property
    def prepared(self) -> Prepared:
        """Shapes that a device meets."""
        return self.workshop.prepared

    @property
    def tolerances(self) -> Mapping[Precision, float]:
        """By precision, how far a file may be off its source."""
        return self.workshop.tolerances

    @property
    def defaults(self) -> Mapping[DetectOrTask, str]:
        """By task, the network that a device uses unasked."""
        return self.bundle.defaults

    @property
    def runtimes(self) -> Mapping[str, PreferredRuntime]:
        """By processor architecture, the runtime to load."""
        return self.bundle.runtimes


def own_module(family: str) -> tuple[Path, str] | None:
    """File and class of a family that is somebody's own module, ``FILE.py:CLASS``; None for one that is known here."""
    file, _, name = family.rpartition(":")
    return (Path(file), name) if file.endswith(".py") else None


def ranges_path(network: str) -> Path:
    """Committed ranges of a network's int8 files."""
    return RANGES / f"{network}.ranges.json"
