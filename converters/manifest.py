"""The manifest: the contract between workshop and device, written from recipe, files and results."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from torch import Tensor, nn

from converters.export.to_tflite import output_names
from converters.networks import FAMILIES
from converters.recipe import Recipe
from edgeface.bundle import MANIFEST, SCHEMA, Four, Manifest, Measured, Network, NetworkFile, Precision, SelfTest
from edgeface.config import RuntimeName
from edgeface.files import write_atomic

RESULTS = Path(__file__).parent / "results"
FITS = "detector_to_reference.json"
MADE_BY = ("torch", "onnx", "onnxscript", "onnxruntime", "litert-torch", "ai-edge-quantizer")
SESSION: Mapping[Precision, dict[str, str]] = {
    "fp32": {},
    "fp16w": {},
    # The session folds DequantizeLinear at load instead of looking for integer kernels: fp32's speed.
    "int8w": {"session.disable_quant_qdq": "1"},
    # On x86 without VNNI unsigned times signed can overflow the 16-bit sums.
    "int8": {"session.x64quantprecision": "1"},
}
SUFFIX: Mapping[RuntimeName, str] = {"onnx": "onnx", "litert": "tflite"}


def file_name(network: str, runtime: RuntimeName, precision: Precision) -> str:
    """Path of a network file in its bundle."""
    return f"{network}.{precision}.{SUFFIX[runtime]}"


def selftest_name(network: str) -> str:
    """Path of a self-test in its bundle."""
    return f"selftest/{network}.npz"


def describe_network(name: str, recipe: Recipe, module: nn.Module, folder: Path) -> Network:
    """Manifest entry of a network whose files lie in ``folder``."""
    network = recipe.networks[name]
    fit = read_detector_fits().get(name)
    files: dict[RuntimeName, tuple[NetworkFile, ...]] = {
        runtime: tuple(
            describe_file(name, recipe, runtime, precision, folder / file_name(name, runtime, precision))
            for precision in precisions
        )
        for runtime, precisions in network.files.items()
    }
    test = folder / selftest_name(name)
    height, width = network.input.height, network.input.width
    if network.is_detector:
        width, height = recipe.selftest.detector_size
    return Network(
        name=name,
        task=network.task,
        title=network.title,
        paper=network.paper,
        licence=network.licence,
        training_data=network.training_data,
        source=network.source,
        input=network.input,
        head=network.head,
        files=files,
        selftest=SelfTest(path=selftest_name(name), bytes=test.stat().st_size, sha256=_sha256(test)),
        limits=network.limits,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        macs=count_macs(module, (network.channels, height or 0, width or 0)),
        box_to_reference=None if fit is None else fit.box,
        landmarks_to_reference=None if fit is None else fit.landmarks,
        measured=read_measured(name),
    )


def write_manifest(recipe: Recipe, networks: Sequence[Network], folder: Path) -> None:
    """Write ``manifest.json``, keys sorted, two spaces, in one step."""
    manifest = Manifest(
        schema=SCHEMA,
        name=recipe.name,
        version=recipe.version,
        made_by={package: importlib.metadata.version(package) for package in MADE_BY},
        runtimes=recipe.runtimes,
        defaults=recipe.defaults,
        networks=tuple(networks),
    )
    text = json.dumps(msgspec.to_builtins(manifest), indent=2, sort_keys=True, ensure_ascii=False)
    write_atomic(folder / MANIFEST, (text + "\n").encode())


def read_measured(name: str) -> tuple[Measured, ...]:
    """Figures of a network that the evaluation wrote, or none."""
    path = RESULTS / f"{name}.json"
    return tuple(msgspec.json.decode(path.read_bytes(), type=list[Measured])) if path.is_file() else ()


class DetectorFit(msgspec.Struct, frozen=True, kw_only=True):
    """How one detector's boxes and points become the reference's; see `edgeface.bundle.Network`."""

    box: Four
    box_faces: int
    landmarks: tuple[tuple[float, float], ...]
    landmark_faces: int


def read_detector_fits() -> Mapping[str, DetectorFit]:
    """By detector, what `python -m converters evaluate boxes` fitted; the reference itself has none."""
    path = RESULTS / FITS
    return msgspec.json.decode(path.read_bytes(), type=dict[str, DetectorFit]) if path.is_file() else {}


def count_macs(module: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of convolutions and dense layers for one picture of C, H, W."""
    import torch  # noqa: PLC0415

    total = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, Tensor)
        total += weight[0].numel() * output.numel()

    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        module(torch.zeros((1, *shape)))
    for hook in hooks:
        hook.remove()
    return total


def describe_file(name: str, recipe: Recipe, runtime: RuntimeName, precision: Precision, path: Path) -> NetworkFile:
    """Manifest entry of one file."""
    network = recipe.networks[name]
    outputs = FAMILIES[network.family].outputs
    onnx = runtime == "onnx"
    return NetworkFile(
        runtime=runtime,
        precision=precision,
        path=path.name,
        bytes=path.stat().st_size,
        sha256=_sha256(path),
        layout="NCHW" if onnx else "NHWC",
        input="input" if onnx else "args_0",
        outputs={output: output for output in outputs} if onnx else dict(output_names(outputs)),
        batches=(1,) if network.is_detector else recipe.prepared.batches,
        signatures=() if onnx else network.signatures(recipe.prepared),
        session=SESSION[precision] if onnx else {},
        tolerance=network.tolerances.get(precision, recipe.tolerances[precision]),
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
