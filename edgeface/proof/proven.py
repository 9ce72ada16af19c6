"""What was proved here before, as a stamp in the state folder: a start proves a bundle once, not every time."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import platform
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgeface import __version__
from edgeface.bundle import MANIFEST, Bundle
from edgeface.config import Config
from edgeface.errors import BundleError, EdgefaceError
from edgeface.files import glimpse, write_atomic
from edgeface.machine import processor, state_folder
from edgeface.proof.running import prove
from edgeface.proof.steps import chain_step
from edgeface.runtime import library

STAMPS = "proven"
"""Name of the file: a hash a line."""
MOST = 64
MOST_S = 80.0
"""With the time that a child has to load its libraries, less than a service manager waits for a start."""
LIBRARIES = ("onnxruntime", "ai-edge-litert", "tflite-runtime", "opencv-python-headless", "numpy")

logger = logging.getLogger(__name__)


def prove_once(bundle: Bundle, config: Config, environ: Mapping[str, str], *, most_s: float = MOST_S) -> None:
    """Run the configuration's chain in a child, unless this bundle was proved with these versions on this processor.

    Without a state folder that can be written nothing is proved: it would be so at every start.

    Parameters
    ----------
    most_s : seconds after which it gives up, whatever the networks declare

    Raises
    ------
    BundleError : a network computes wrongly here, or the chain does not hold
    EdgefaceError : it took too long or too much memory, which another start may not
    """
    folder = kept_folder(environ)
    if folder is None:
        return
    path, key = folder / STAMPS, fingerprint(bundle, config)
    known = _read(path)
    if key in known:
        return
    try:
        # Before the work: a folder that cannot be written would have it done at every start.
        write_atomic(path, _lines(known))
    except EdgefaceError:
        return
    logger.info("bundle %s was not run here before with these versions: trying its networks", bundle.manifest.name)
    wanted = of_networks(config)
    for outcome in prove(bundle, [chain_step(bundle, wanted, most_s=most_s)]):
        if outcome.gave_up:
            raise EdgefaceError(outcome.detail, fix="look at `edgeface models verify`, or choose another bundle")
        if outcome.result == "untried":
            return  # loading it says what is missing, with its own exit code
        if outcome.result == "bad":
            what, _, fix = outcome.detail.rpartition("; ")
            raise BundleError(what or outcome.detail, fix=fix)
    write_atomic(path, _lines([*known, key]), durable=True)


def kept_folder(environ: Mapping[str, str]) -> Path | None:
    """State folder, where a service manager gave one or somebody made one.

    A run by hand leaves nothing in a home directory unasked.
    """
    folder = state_folder(environ)
    return folder if environ.get("STATE_DIRECTORY") or glimpse(folder) == "folder" else None


def fingerprint(bundle: Bundle, config: Config) -> str:
    """Hash of all that a proof hangs on: manifest (and by it every file), choice of networks, versions, processor."""
    manifest = hashlib.sha256((bundle.folder / MANIFEST).read_bytes()).hexdigest()
    machine = (platform.machine(), processor(), platform.python_version())
    held = (__version__, manifest, machine, list(library_versions().values()), library.origin())
    data = msgspec.json.encode((held, of_networks(config)), order="sorted")
    return hashlib.sha256(data).hexdigest()


def of_networks(config: Config) -> Config:
    """Return what of a configuration chooses networks, and nothing of cameras and brokers."""
    return Config(
        runtime=config.runtime, detector=config.detector, attributes=config.attributes, networks=config.networks
    )


def library_versions() -> dict[str, str]:
    """Versions of the libraries that compute, by package; empty for one that is not installed."""
    return {name: _version(name) for name in LIBRARIES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _read(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            text = file.read(100 * MOST).decode("ascii", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if len(line) == 64]


def _lines(keys: list[str]) -> bytes:
    return "".join(f"{key}\n" for key in keys[-MOST:]).encode()
