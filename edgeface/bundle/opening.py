"""Finding a bundle, believing its manifest, reading its files: every byte that is used was hashed first."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast, get_args

import msgspec
from msgspec import Struct

from edgeface.bundle.heads import Head, MtcnnHead, StageHead
from edgeface.bundle.manifest import (
    MANIFEST,
    SCHEMA,
    SESSION_OPTIONS,
    FileRuntime,
    LandmarkCrop,
    Manifest,
    Network,
    NetworkFile,
)
from edgeface.config import Config, RuntimeName
from edgeface.errors import BundleError
from edgeface.files import look
from edgeface.types import Task

PACKAGE = Path(__file__).parents[1]
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


def stage_names(head: Head) -> tuple[str, ...]:
    """Names of the networks of task ``stage`` that a head needs; empty for all but detectors of several networks."""
    return (head.refine, head.output) if isinstance(head, MtcnnHead) else ()


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
    if "/" in named or look(Path(named)) == "folder":
        if look(Path(named)) != "folder":
            raise BundleError(f"there is no bundle folder {named}", fix="give a folder that holds manifest.json")
        return Path(named)
    for parent in SEARCH_PATH:
        if (parent / named / MANIFEST).is_file():
            return parent / named
    places = ", ".join(str(parent) for parent in SEARCH_PATH)
    raise BundleError(f"bundle '{named}' is in none of {places}", fix="install it there or give its folder")


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
    untrained = [network.name for network in manifest.networks if network.random_weights]
    if untrained and not allow_random:
        raise BundleError(
            f"{path}: network {untrained[0]} has random weights, its answers mean nothing",
            fix="use a trained one, or give --allow-random to try the chain",
        )
    return Bundle(folder=folder, manifest=manifest)


def choose_runtime(manifest: Manifest, wanted: str, *, machine: str | None = None) -> RuntimeName:
    """Return the runtime of a process: what is configured, else what the manifest prefers on this architecture."""
    if wanted in ("onnx", "litert"):
        return cast("RuntimeName", wanted)
    preferred = manifest.runtimes.get(machine or platform.machine())
    return preferred.runtime if preferred else "onnx"


def choose_file(network: Network, runtime: FileRuntime, precision: str | None = None) -> NetworkFile:
    """Return the first file of this runtime in the manifest's order, or the one of the given precision."""
    files = network.files.get(runtime, ())
    for file in files:
        if precision is None or file.precision == precision:
            return file
    have = ", ".join(f"{r}/{f.precision}" for r, fs in network.files.items() for f in fs)
    raise BundleError(f"network {network.name} has no {precision or 'file'} for {runtime}", fix=f"it has: {have}")


def chosen_networks(bundle: Bundle, config: Config) -> Mapping[Task, Network]:
    """Return the network for each question about a face: the bundle's defaults overridden by `[attributes]`.

    In the order age, gender, expression, affect; one network may answer several questions.

    Raises
    ------
    BundleError : a network does not answer the question, or wants a whole window of frames in one call
    """
    chosen: dict[Task, Network] = {}
    for task in get_args(Task):
        name = config.attributes.get(task, bundle.manifest.defaults.get(task, False))
        if name is False:
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


def _check(manifest: Manifest, path: Path) -> None:
    names = [network.name for network in manifest.networks]
    wrong = [name for name in names if names.count(name) > 1]
    wrong += [name for name in manifest.defaults.values() if name not in names]
    stages = [network.name for network in manifest.networks if isinstance(network.head, StageHead)]
    wrong += [name for network in manifest.networks for name in stage_names(network.head) if name not in stages]
    if wrong:
        raise BundleError(f"{path}: network {wrong[0]} is missing or named twice", fix="install the bundle again")
    for network in manifest.networks:
        if network.also and (not network.answers or network.task in network.also):
            raise BundleError(f"{path}: network {network.name} cannot answer also that", fix="install the bundle again")
        given = {head.output for head in network.answers.values()} | {state.output for state in network.states}
        for file in (file for files in network.files.values() for file in files):
            inside(path.parent, file.path)
            if missing := given - set(file.outputs):
                raise BundleError(f"{path}: {file.path} gives no {min(missing)}", fix="install the bundle again")
            for key, value in file.session.items():
                if value not in SESSION_OPTIONS.get(key, ()):
                    raise BundleError(f"{path}: session option {key}={value} is not allowed", fix="do not use it")
        inside(path.parent, network.selftest.path)
