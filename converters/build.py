"""Build a bundle: pinned archives in, network files, self-tests and manifest out."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import onnx
from onnx import ModelProto
from torch import nn

from converters.checkpoints.archive import read_member
from converters.export.to_onnx import MULTIPLE_OF, export_onnx
from converters.export.to_tflite import export_tflite
from converters.export.weights import fp16_weights, int8_weights
from converters.manifest import describe_network, file_name, selftest_name, write_manifest
from converters.networks import FAMILIES
from converters.recipe import NetworkRecipe, Recipe
from converters.selftest import make_selftest
from edgeface.bundle import Precision
from edgeface.config import RuntimeName
from edgeface.errors import EdgefaceError, UsageError
from edgeface.files import write_atomic

ROOT = Path(__file__).parents[1]
PRODUCTS = ROOT / "build" / "networks"
"""Every form that was made, shipped or not; git-ignored."""

logger = logging.getLogger(__name__)


def build_bundle(recipe: Recipe, folder: Path, *, only: Sequence[str] = ()) -> None:
    """Convert networks and write the bundle.

    Parameters
    ----------
    folder : the bundle's folder; files of other networks in it are kept
    only : networks to convert anew; the files of the others are taken as they lie there. Empty: all

    Raises
    ------
    UsageError : unknown network
    EdgefaceError : an archive is not to be had, or the bundle would be too large
    """
    unknown = [name for name in only if name not in recipe.networks]
    if unknown:
        raise UsageError(f"there is no network {unknown[0]}", fix=f"choose from: {', '.join(recipe.networks)}")
    for name in only or recipe.networks:
        network = recipe.networks[name]
        module = load_module(network)
        for runtime, precisions in network.files.items():
            for precision in precisions:
                logger.info("%s: %s %s", name, runtime, precision)
                _install(make_file(name, recipe, module, runtime, precision), folder)
        test = make_selftest(module, FAMILIES[network.family].outputs, network, recipe.selftest)
        write_atomic(folder / selftest_name(name), test)
    refresh_manifest(recipe, folder)


def refresh_manifest(recipe: Recipe, folder: Path) -> None:
    """Write the manifest for the files as they lie in ``folder``; files of forms that do not ship are removed.

    Raises
    ------
    EdgefaceError : the bundle would be too large
    """
    entries = [
        describe_network(name, recipe, load_module(network), folder) for name, network in recipe.networks.items()
    ]
    write_manifest(recipe, entries, folder)
    _remove_strays(recipe, folder)
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if total > recipe.max_bytes:
        raise EdgefaceError(f"{folder} has {total:,} bytes, allowed {recipe.max_bytes:,}", fix="ship fewer files")
    logger.info("%s: %d networks, %s bytes", folder, len(entries), f"{total:,}")


def load_module(network: NetworkRecipe) -> nn.Module:
    """Torch module of a network with the weights of its pinned checkpoint."""
    return FAMILIES[network.family].load(read_member(network.source))


def make_file(
    name: str, recipe: Recipe, module: nn.Module, runtime: RuntimeName, precision: Precision
) -> Path:
    """Make one file of a network and give its path among the products."""
    network = recipe.networks[name]
    path = PRODUCTS / file_name(name, runtime, precision)
    path.parent.mkdir(parents=True, exist_ok=True)
    if precision == "int8":
        from converters.export.quantize import quantize  # noqa: PLC0415

        quantize(name, recipe, module, runtime, path)
    elif runtime == "onnx":
        _save(_onnx_form(export_module(network, module), precision), path)
    else:
        _make_tflite(name, recipe, module, precision, path)
    return path


def export_module(network: NetworkRecipe, module: nn.Module) -> ModelProto:
    """Return the fp32 ONNX form of a network."""
    height, width = network.input.height or MULTIPLE_OF, network.input.width or MULTIPLE_OF
    outputs = FAMILIES[network.family].outputs
    with _silence():
        return export_onnx(
            module, (network.channels, height, width), outputs, free_size=network.is_detector
        )


def _onnx_form(model: ModelProto, precision: Precision) -> ModelProto:
    if precision == "int8w":
        return int8_weights(model)
    return fp16_weights(model) if precision == "fp16w" else model


def _make_tflite(name: str, recipe: Recipe, module: nn.Module, precision: Precision, path: Path) -> None:
    network = recipe.networks[name]
    plain = PRODUCTS / file_name(name, "litert", "fp32")
    with _silence():
        export_tflite(module, network.channels, network.signatures(recipe.prepared), plain)
        if precision != "fp32":
            from converters.export.tflite_weights import shrink_weights  # noqa: PLC0415

            shrink_weights(plain, precision, path)


def _save(model: ModelProto, path: Path) -> None:
    write_atomic(path, model.SerializeToString(deterministic=True))
    onnx.load(path)


def _install(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / path.name)


def _remove_strays(recipe: Recipe, folder: Path) -> None:
    """Take away files of a form that no longer ships."""
    wanted = {
        file_name(name, runtime, precision)
        for name, network in recipe.networks.items()
        for runtime, precisions in network.files.items()
        for precision in precisions
    }
    for path in [*folder.glob("*.onnx"), *folder.glob("*.tflite")]:
        if path.name not in wanted:
            path.unlink()


def _silence() -> _Silence:
    return _Silence()


class _Silence:
    """Keep the converters' chatter off the terminal; their errors are exceptions."""

    def __enter__(self) -> None:
        self._out, self._err = redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO())
        self._out.__enter__()
        self._err.__enter__()

    def __exit__(self, *failure: object) -> None:
        self._err.__exit__(None, None, None)
        self._out.__exit__(None, None, None)
