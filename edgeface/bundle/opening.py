"""Finding a bundle, believing its manifest, reading its files: every byte that is used was hashed first."""

from __future__ import annotations

import errno
import hashlib
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast, get_args

import msgspec
from msgspec import Struct

from edgeface.bundle.checking import contradictions, stage_names
from edgeface.bundle.manifest import (
    MANIFEST,
    OLDEST_SCHEMA,
    SCHEMA,
    FileRuntime,
    LandmarkCrop,
    Manifest,
    Network,
    NetworkFile,
)
from edgeface.config import Config, RuntimeName, refused
from edgeface.errors import BundleError, UsageError
from edgeface.files import NOT_JSON, look
from edgeface.types import Task

PACKAGE = Path(__file__).parents[1]
FLOATS = ("fp32", "fp16w")
"""Precisions of files whose arithmetic is in floating point."""
LARGEST_MANIFEST = 8_000_000
"""Bytes; nineteen networks with all their figures make 307,091."""
SEARCH_PATH = (
    Path("/var/lib/edgeface/models"),
    Path("/usr/share/edgeface/models"),
    PACKAGE / "bundles",
    PACKAGE.parent / "models",
)


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

    def stages(self, network: Network) -> tuple[Network, ...]:
        """Networks that work for this one: what a detector of several networks names beside itself, in order."""
        return tuple(self.network(name) for name in stage_names(network.head))

    def read(self, path: str, *, size: int, sha256: str) -> bytes:
        """Read the bytes of one file after checking that it lies inside, and its size and hash."""
        full = inside(self.folder, path)
        try:
            # One byte more than stated tells a file that is too long, however long it is.
            data = _read_at_most(full, size + 1)
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
    if not path.isprintable() or Path(path).is_absolute() or not full.is_relative_to(root) or full == root:
        raise BundleError(f"{folder / MANIFEST} names a path outside the bundle: {plain(path)}", fix="do not use it")
    return full


def find_bundle(
    explicit: str | None, config: Config, environ: Mapping[str, str], *, parents: Sequence[Path] = SEARCH_PATH
) -> Path:
    """Folder of the bundle: `--bundle`, EDGEFACE_BUNDLE, configuration, then by name in ``parents``.

    A value with a separator, or that is a folder, is a path; anything else is a name to search for. A place that may
    not be looked into is passed over: the service's own is closed to everybody else.
    """
    named = explicit or environ.get("EDGEFACE_BUNDLE") or config.bundle or "default"
    if "/" in named or look(Path(named)) == "folder":
        if look(Path(named)) != "folder":
            raise BundleError(f"there is no bundle folder {named}", fix="give a folder that holds manifest.json")
        return Path(named)
    closed = []
    for parent in parents:
        try:
            if look(parent / named / MANIFEST) == "file":
                return parent / named
        except UsageError:
            closed.append(str(parent))
    places = ", ".join(str(parent) for parent in parents)
    hidden = f" ({', '.join(closed)} may not be looked into)" if closed else ""
    raise BundleError(
        f"bundle '{named}' is in none of {places}{hidden}",
        fix="run it with sudo, or give its folder" if closed else "install it there or give its folder",
    )


def open_bundle(folder: Path, *, allow_random: bool = False) -> Bundle:
    """Read and check the manifest.

    Parameters
    ----------
    allow_random : take a bundle with networks that were never trained, whose answers mean nothing

    Raises
    ------
    BundleError : the manifest is missing, newer or wrong; or it has such a network
    """
    path = folder / MANIFEST
    try:
        data = _read_at_most(path, LARGEST_MANIFEST + 1)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}", fix="give a bundle's folder") from None
    manifest = read_manifest(data, path)
    for network in manifest.networks:
        for member in members(network):
            inside(folder, member)
    untrained = [network.name for network in manifest.networks if network.random_weights]
    if untrained and not allow_random:
        raise BundleError(
            f"{path}: network {untrained[0]} has random weights, its answers mean nothing",
            fix="use a trained one, or give --allow-random to try the chain",
        )
    return Bundle(folder=folder, manifest=manifest)


def read_manifest(data: bytes, path: Path | str) -> Manifest:
    """Believe a manifest's bytes, or not.

    Parameters
    ----------
    path : where they come from, for the error

    Raises
    ------
    BundleError : they are of another schema, hold a value out of its range, or contradict themselves
    """
    again = "install the bundle again"
    if len(data) > LARGEST_MANIFEST:
        raise BundleError(f"{path} has over {LARGEST_MANIFEST:,} bytes", fix="do not use it")
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema > SCHEMA:
            raise BundleError(f"{path} has schema {schema}, this edgeface reads up to {SCHEMA}", fix="upgrade edgeface")
        if schema < OLDEST_SCHEMA:
            raise BundleError(
                f"{path} has schema {schema}, this edgeface reads from {OLDEST_SCHEMA} on",
                fix="build it again with `python -m converters build`, pack it, and `edgeface models install` it",
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except NOT_JSON as error:
        raise BundleError(f"{path} is not a manifest: {plain(str(error))}", fix=again) from None
    for what in contradictions(manifest):
        raise BundleError(f"{path}: {plain(what)}", fix=again)
    return manifest


def members(network: Network) -> tuple[str, ...]:
    """Paths of all files of a network, its self-test first."""
    return (network.selftest.path, *(file.path for files in network.files.values() for file in files))


def plain(text: str) -> str:
    """Text from a bundle that is not believed yet, fit for a terminal: one line, no control characters, not endless."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:500])
    return shown if len(text) <= 500 else f"{shown}..."


def choose_runtime(
    manifest: Manifest, wanted: str, *, machine: str | None = None, provider: str = "cpu"
) -> RuntimeName:
    """Return the runtime of a process: what is configured, else what the manifest prefers on this architecture.

    The manifest was measured on processors: a ``provider`` other than them that somebody asks for is ONNX Runtime's.
    """
    if wanted in ("onnx", "litert"):
        return cast("RuntimeName", wanted)
    if provider in ("cuda", "tensorrt"):
        return "onnx"
    preferred = manifest.runtimes.get(machine or platform.machine())
    return preferred.runtime if preferred else "onnx"


def choose_file(
    network: Network, runtime: FileRuntime, precision: str | None = None, *, floats: bool = False
) -> NetworkFile:
    """Return the first file of this runtime in the manifest's order, or the one of the given precision.

    That order was measured on processors. ``floats`` puts files that compute in floating point before the others, as
    CUDA and TensorRT want it: ONNX Runtime quantizes on a GPU with signed numbers only, TensorRT without a zero point
    (NVIDIA/TensorRT 2774), and int8 files for processors have neither.
    """
    files = network.files.get(runtime, ())
    if floats:
        files = tuple(sorted(files, key=lambda file: file.precision not in FLOATS))
    for file in files:
        if precision is None or file.precision == precision:
            return file
    have = ", ".join(f"{r}/{f.precision}" for r, fs in network.files.items() for f in fs)
    raise BundleError(f"network {network.name} has no {precision or 'file'} for {runtime}", fix=f"it has: {have}")


def chosen_detector(bundle: Bundle, config: Config) -> Network:
    """Return the configured detector, else the bundle's default; BundleError where there is neither."""
    name = config.detector.network or bundle.manifest.defaults.get("detect")
    if name is None:
        raise BundleError(f"bundle {bundle.manifest.name} has no detector", fix="choose a bundle that has one")
    return bundle.network(name)


def chosen_networks(bundle: Bundle, config: Config) -> Mapping[Task, Network]:
    """Return the network for each question about a face: the bundle's defaults overridden by `[attributes]`.

    In the order age, gender, expression, affect; one network may answer several questions. What `privacy.purpose`
    forbids is asked of none.

    Raises
    ------
    BundleError : a network does not answer the question, or wants a whole window of frames in one call
    """
    chosen: dict[Task, Network] = {}
    for task in get_args(Task):
        name = config.attributes.get(task, bundle.manifest.defaults.get(task, False))
        if name is False or task in refused(config.privacy.purpose):
            continue
        network = bundle.network(name)
        if task not in network.answers:
            answers = " and ".join(network.answers) or network.task
            raise BundleError(f"network {name} answers {answers}, not {task}", fix="correct [attributes]")
        if network.takes_window:
            raise BundleError(
                f"network {name} takes whole windows of frames, a device looks at one after the other",
                fix="name its form with states in [attributes]",
            )
        chosen[task] = network
    return chosen


def attribute_networks(bundle: Bundle, config: Config) -> Sequence[Network]:
    """Return the networks of `chosen_networks`, each once."""
    return list({network.name: network for network in chosen_networks(bundle, config).values()}.values())


def expect_landmarks(networks: Sequence[Network], *, detector: str) -> None:
    """Raise BundleError when one of these attribute networks needs points that the detector does not give."""
    for network in networks:
        if isinstance(network.input.crop, LandmarkCrop):
            raise BundleError(
                f"network {network.name} is cut by landmarks, detector {detector} gives none",
                fix="set detector.network to one with landmarks, or name another network in [attributes]",
            )


class _Schema(Struct):
    schema: int


def _read_at_most(path: Path, most: int) -> bytes:
    """Read the first ``most`` bytes of a plain file; OSError for a pipe, which would never end."""
    if not path.is_file() and not path.is_dir() and path.exists():
        raise OSError(errno.EINVAL, "it is no plain file")
    with path.open("rb") as file:
        return file.read(most)
