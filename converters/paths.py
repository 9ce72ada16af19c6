"""Where built things lie, what they are called, and how one is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from converters.recipes.schema import BundleRecipe
from edgeface.bundle import (
    MANIFEST,
    SCHEMA,
    Bundle,
    FileRuntime,
    Manifest,
    Network,
    Precision,
    find_bundle,
    open_bundle,
)
from edgeface.config import Config
from edgeface.errors import BundleError, UsageError

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "models" / "default"
RESULTS = Path(__file__).parent / "measurements"
PART = "network.json"
"""A network's part of a manifest, beside its files."""
SUFFIX: Mapping[FileRuntime, str] = {"onnx": "onnx", "litert": "tflite", "opencv": "xml"}
DEFAULT_SIGNATURE = "serving_default"
"""What the one way to call a TFLite file is called where the file names none."""


def build_folder() -> Path:
    """Everything that is made and not committed lies there; the environment may say another place."""
    return Path(os.environ.get("EDGEFACE_BUILD") or ROOT / "build")


def products_folder() -> Path:
    """Networks that were built, a folder each."""
    return build_folder() / "networks"


def file_name(network: str, runtime: FileRuntime, precision: Precision) -> str:
    """Path of a network file in its bundle."""
    return f"{network}.{precision}.{SUFFIX[runtime]}"


def selftest_name(network: str) -> str:
    """Path of a self-test in its bundle."""
    return f"selftest/{network}.npz"


def bundle_folder(recipe: BundleRecipe) -> Path:
    """Where a bundle is built."""
    return BUNDLE if recipe.name == "default" else build_folder() / "bundles" / recipe.name


def bundle_at(name: str) -> Path:
    """Folder of a bundle by path or by the name that it was built under; UsageError when there is none."""
    places = [Path(name), BUNDLE if name == "default" else build_folder() / "bundles" / name]
    for place in places:
        if (place / MANIFEST).is_file():
            return place
    raise UsageError(f"there is no bundle {name}", fix=f"run `python -m converters build {name}`, or give a folder")


def bundle_argument(bundle: Bundle) -> str:
    """What to give a command as ``--bundle``: a path below the checkout, else the folder's name alone."""
    folder = bundle.folder.resolve()
    if folder == BUNDLE.resolve():
        return "default"
    for root, shown in ((build_folder(), "build"), (ROOT, "")):
        if folder.is_relative_to(root.resolve()):
            return (Path(shown) / folder.relative_to(root.resolve())).as_posix()
    return folder.name


def alone(network: Network, folder: Path) -> Bundle:
    """One network, whose files lie in ``folder``, as a bundle of itself."""
    manifest = Manifest(
        schema=SCHEMA, name=network.name, version="0", made_by={}, runtimes={}, defaults={}, networks=(network,)
    )
    return Bundle(folder=folder, manifest=manifest)


def open_any(folder: str, *, allow_random: bool = False) -> Bundle:
    """Open a bundle by folder or name, or the folder of one built network as a bundle of that network alone."""
    part = Path(folder) / PART
    if not part.is_file() or (Path(folder) / MANIFEST).is_file():
        return open_bundle(find_bundle(folder, Config(), {}), allow_random=allow_random)
    try:
        network = msgspec.json.decode(part.read_bytes(), type=Network)
    except msgspec.MsgspecError as error:
        raise BundleError(f"{part} is not a network's entry: {error}", fix="build the network again") from None
    if network.random_weights and not allow_random:
        raise BundleError(
            f"{part}: network {network.name} has random weights, its answers mean nothing",
            fix="use a trained one, or give --allow-random to try the chain",
        )
    return alone(network, Path(folder))
