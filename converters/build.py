"""Build a bundle: pinned archives in, network files, self-tests and manifest out."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import get_args

import onnx
from onnx import ModelProto
from torch import nn

from converters.checkpoints.archive import read_member
from converters.export.to_onnx import MULTIPLE_OF, export_onnx
from converters.export.to_tflite import export_tflite
from converters.export.weights import fp16_weights, int8_weights
from converters.int8 import SHIPPED_RANGES, Samples, make_int8
from converters.manifest import describe_network, file_name, selftest_name, write_manifest
from converters.networks import FAMILIES
from converters.recipe import Calibration, NetworkRecipe, Recipe
from converters.selftest import make_selftest
from converters.trial import Bench, Form, Trial, read_trials, record
from edgeface.bundle import Precision
from edgeface.config import RuntimeName
from edgeface.errors import EdgefaceError, UsageError
from edgeface.files import write_atomic

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "models" / "default"
PRODUCTS = ROOT / "build" / "networks"
"""Every form that was made, shipped or not; git-ignored."""

logger = logging.getLogger(__name__)


def build_bundle(recipe: Recipe, folder: Path, *, only: Sequence[str] = (), made: bool = False) -> None:
    """Convert networks and write the bundle.

    Parameters
    ----------
    folder : the bundle's folder; files of other networks in it are kept
    only : networks to convert anew; the files of the others are taken as they lie there. Empty: all
    made : take the files that an earlier run made, where they are

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
        if not made:
            _clear_products(name)
        for runtime, precisions in network.files.items():
            for precision in precisions:
                logger.info("%s: %s %s", name, runtime, precision)
                path = PRODUCTS / file_name(name, runtime, precision)
                _install(path if path.is_file() else make_file(name, recipe, module, runtime, precision), folder)
        test = make_selftest(module, FAMILIES[network.family].outputs, network, recipe.selftest)
        write_atomic(folder / selftest_name(name), test)
    refresh_manifest(recipe, folder)


def refresh_manifest(recipe: Recipe, folder: Path) -> None:
    """Write the manifest for the files as they lie in ``folder``; files of forms that do not ship are removed.

    Raises
    ------
    EdgefaceError : the bundle would be too large, or a smaller form loses more than its limit
    """
    check_limits(recipe, read_trials())
    entries = [
        describe_network(name, recipe, load_module(network), folder) for name, network in recipe.networks.items()
    ]
    write_manifest(recipe, entries, folder)
    _remove_strays(recipe, folder)
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if total > recipe.max_bytes:
        raise EdgefaceError(f"{folder} has {total:,} bytes, allowed {recipe.max_bytes:,}", fix="ship fewer files")
    logger.info("%s: %d networks, %s bytes", folder, len(entries), f"{total:,}")


def check_limits(recipe: Recipe, trials: Sequence[Trial]) -> None:
    """Raise EdgefaceError unless every smaller form that ships was tried and kept its task's limit."""
    for name, network in recipe.networks.items():
        for runtime, precisions in network.files.items():
            for precision in precisions:
                calibration = network.calibration.get(runtime) if precision == "int8" else None
                tried = [
                    trial
                    for trial in trials
                    if (trial.network, trial.runtime, trial.precision, trial.calibration)
                    == (name, runtime, precision, calibration)
                ]
                if precision != "fp32" and not (tried and tried[0].within):
                    raise EdgefaceError(
                        f"{name} {runtime} {precision} {'loses more than its limit' if tried else 'was never tried'}",
                        fix=f"run `python -m converters try {name}`, or take it out of the recipe's files",
                    )


def load_module(network: NetworkRecipe) -> nn.Module:
    """Torch module of a network with the weights of its pinned checkpoint."""
    return FAMILIES[network.family].load(read_member(network.source))


def make_file(
    name: str,
    recipe: Recipe,
    module: nn.Module,
    runtime: RuntimeName,
    precision: Precision,
    *,
    calibration: Calibration | None = None,
    samples: Samples | None = None,
    ranges: Path = SHIPPED_RANGES,
) -> Path:
    """Make one file of a network and give its path among the products.

    Parameters
    ----------
    calibration, samples, ranges : for int8: how and on what ranges are gathered, and where they are kept
    """
    path = PRODUCTS / file_name(name, runtime, precision)
    path.parent.mkdir(parents=True, exist_ok=True)
    if precision != "int8":
        make = _make_onnx if runtime == "onnx" else _make_tflite
        make(name, recipe, module, precision, path)
        return path
    network = recipe.networks[name]
    chosen = calibration or network.calibration[runtime]
    if calibration:
        path = path.with_name(f"{name}.int8-{calibration}.{path.suffix[1:]}")
    plain = _plain(name, recipe, module, runtime)
    with _Silence():
        make_int8(
            name,
            network,
            runtime,
            chosen,
            plain=plain,
            signatures=network.signatures(recipe.prepared),
            samples=samples or Samples(recipe, BUNDLE),
            ranges=ranges,
            path=path,
        )
    return path


def try_forms(
    recipe: Recipe,
    names: Sequence[str],
    *,
    data: Path | None = None,
    limit: int | None = None,
    made: bool = False,
    runtime: RuntimeName | None = None,
) -> None:
    """Make every form that the recipe names under ``try``, compare it with fp32, and put the losses on record.

    ``limit`` takes the first pictures only and records nothing; ``made`` builds upon what an earlier run made.
    """
    samples = Samples(recipe, BUNDLE, data)
    bench = Bench(recipe, BUNDLE, data=data, limit=limit)
    for name in names or recipe.networks:
        network = recipe.networks[name]
        module = load_module(network)
        if not made:
            _clear_products(name)
        runtimes: list[RuntimeName] = [runtime] if runtime else list(network.files)
        plain = {kind: _plain(name, recipe, module, kind) for kind in runtimes}
        forms = []
        for kind in runtimes:
            for precision in network.tried:
                for calibration in get_args(Calibration) if precision == "int8" else (None,):
                    logger.info("%s: %s %s %s", name, kind, precision, calibration or "")
                    path = make_file(
                        name, recipe, module, kind, precision,
                        calibration=calibration, samples=samples, ranges=PRODUCTS / "ranges",
                    )  # fmt: skip
                    forms.append(Form(runtime=kind, precision=precision, calibration=calibration, path=path))
        trials = list(bench.compare(name, plain, forms))
        if limit is None:
            record(trials)


def export_module(network: NetworkRecipe, module: nn.Module) -> ModelProto:
    """Return the fp32 ONNX form of a network."""
    height, width = network.input.height or MULTIPLE_OF, network.input.width or MULTIPLE_OF
    outputs = FAMILIES[network.family].outputs
    with _Silence():
        return export_onnx(module, (network.channels, height, width), outputs, free_size=network.is_detector)


def _make_onnx(name: str, recipe: Recipe, module: nn.Module, precision: Precision, path: Path) -> None:
    model = export_module(recipe.networks[name], module)
    if precision == "int8w":
        model = int8_weights(model, recipe.networks[name].keep.get("onnx"))
    elif precision == "fp16w":
        model = fp16_weights(model)
    _save(model, path)


def _make_tflite(name: str, recipe: Recipe, module: nn.Module, precision: Precision, path: Path) -> None:
    network = recipe.networks[name]
    if precision == "fp32":
        with _Silence():
            export_tflite(module, network.channels, network.signatures(recipe.prepared), path)
        return
    from converters.export.tflite_weights import shrink_weights  # noqa: PLC0415

    plain = _plain(name, recipe, module, "litert")
    with _Silence():
        shrink_weights(plain, precision, path, network.keep.get("litert"))


def _plain(name: str, recipe: Recipe, module: nn.Module, runtime: RuntimeName) -> Path:
    """Return the fp32 file that a smaller form is made from; made once per run."""
    path = PRODUCTS / file_name(name, runtime, "fp32")
    return path if path.is_file() else make_file(name, recipe, module, runtime, "fp32")


def _clear_products(name: str) -> None:
    """Take away what an earlier run made of a network, so that nothing stale is built upon."""
    for path in [*PRODUCTS.glob(f"{name}.*"), *(PRODUCTS / "ranges").glob(f"{name}.*")]:
        path.unlink()


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


class _Silence:
    """Keep the converters' chatter off the terminal; their errors are exceptions."""

    def __enter__(self) -> None:
        logging.disable(logging.WARNING)
        self._out, self._err = redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO())
        self._out.__enter__()
        self._err.__enter__()

    def __exit__(self, *failure: object) -> None:
        logging.disable(logging.NOTSET)
        self._err.__exit__(None, None, None)
        self._out.__exit__(None, None, None)
