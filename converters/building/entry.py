"""The manifest: the contract between workshop and device, written from recipe, files and results."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from converters.building.maker import Maker
from converters.building.stamps import tool_versions
from converters.formats.json_files import json_bytes
from converters.measurements.chosen import with_chosen
from converters.measurements.confidence import read_confidence
from converters.measurements.crops import read_crop_losses
from converters.measurements.measured import read_detector_fits, read_measured
from converters.paths import file_name, selftest_name
from converters.recipes.schema import NetworkRecipe, Recipe
from converters.references.torch_module import Reference, TorchReference
from edgeface.bundle import (
    MANIFEST,
    SCHEMA,
    FileRuntime,
    Manifest,
    Network,
    NetworkFile,
    Precision,
    SelfTest,
    Source,
    choose_file,
)
from edgeface.config import RuntimeName
from edgeface.files import write_atomic

SESSION: Mapping[Precision, dict[str, str]] = {
    "fp32": {},
    "fp16w": {},
    # The session folds DequantizeLinear at load instead of looking for integer kernels: fp32's speed.
    "int8w": {"session.disable_quant_qdq": "1"},
    # On x86 without VNNI unsigned times signed can overflow the 16-bit sums.
    "int8": {"session.x64quantprecision": "1"},
}
FACTS = ("layout", "input", "inputs", "outputs", "batches", "signatures")
"""What an entry says of the inside of a file."""


def describe_network(maker: Maker, recipe: Recipe, folder: Path) -> Network:
    """Manifest entry of a network whose files lie in ``folder``.

    Facts of files in the maker's own folder that were written down before and still hold are not looked up again: that
    would load the network.
    """
    known = _remembered(maker) if folder == maker.folder else None
    files: dict[FileRuntime, tuple[NetworkFile, ...]] = {
        runtime: tuple(
            describe_file(maker, recipe, runtime, precision, folder / file_name(maker.name, runtime, precision), known)
            for precision in precisions
        )
        for runtime, precisions in maker.network.files.items()
    }
    test = folder / selftest_name(maker.name)
    parameters, macs = (known.parameters, known.macs) if known else count(maker.reference, maker.network, recipe)
    fit = read_detector_fits().get(maker.name)
    network = msgspec.structs.replace(
        outline(maker),
        files=files,
        selftest=SelfTest(path=selftest_name(maker.name), bytes=test.stat().st_size, sha256=_sha256(test)),
        parameters=parameters,
        macs=macs,
        box_to_reference=None if fit is None else fit.box,
        landmarks_to_reference=None if fit is None else fit.landmarks,
        measured=read_measured(maker.name),
    )
    return with_chosen(
        network,
        read_crop_losses(),
        read_confidence(),
        judged_on=maker.network.judged_on,
        bundle=_bundle_words(recipe),
    )


def _bundle_words(recipe: Recipe) -> str:
    """What commands on this bundle, or on a network that is built alone, name as ``--bundle``."""
    name = recipe.bundle.name
    if name == "default":
        return ""
    return f"build/{'networks' if list(recipe.networks) == [name] else 'bundles'}/{name}"


def _remembered(maker: Maker) -> Network | None:
    """The entry that an earlier build wrote beside the files, where it still holds."""
    kept = maker.kept_entry()
    return msgspec.json.decode(kept, type=Network) if kept is not None else None


def outline(maker: Maker) -> Network:
    """What a recipe alone says of a network: an entry without files."""
    network = maker.network
    return Network(
        name=maker.name,
        task=network.task,
        title=network.title,
        paper=network.paper,
        licence=network.licence,
        training_data=network.training_data,
        source=describe_source(network),
        input=network.input,
        head=network.head,
        also=network.also,
        time=network.time,
        random_weights=network.random,
        files={},
        selftest=SelfTest(path="", bytes=0, sha256="0" * 64),
        limits=network.limits,
        parameters=0,
    )


def describe_source(network: NetworkRecipe) -> Source:
    """Where the weights come from, without the folders of this workstation."""
    if network.source is None or network.random:
        return Source(registry="random", path=f"seed {network.seed}")
    return (
        msgspec.structs.replace(network.source, path=Path(network.source.path).name)
        if (network.source.registry == "file")
        else network.source
    )


def describe_file(
    maker: Maker,
    recipe: Recipe,
    runtime: FileRuntime,
    precision: Precision,
    path: Path,
    known: Network | None = None,
) -> NetworkFile:
    """Manifest entry of one file; what lies inside it as in ``known``, an entry of the same file."""
    network = maker.network
    if known is not None:
        same = choose_file(known, runtime, precision)
        facts: dict[str, Any] = {name: getattr(same, name) for name in FACTS}
    elif runtime != "opencv":
        facts = _facts(maker, runtime, path)
    else:
        found = {name: name for name in maker.reference.outputs}
        facts = {"input": "picture", "outputs": found, "layout": "NHWC", "batches": (1,)}
    return NetworkFile(
        runtime=runtime,
        precision=precision,
        path=path.name,
        bytes=path.stat().st_size,
        sha256=_sha256(path),
        session=SESSION[precision] if runtime == "onnx" else {},
        tolerance=network.tolerances.get(precision, recipe.tolerances[precision]),
        **facts,
    )


def _facts(maker: Maker, runtime: RuntimeName, path: Path) -> dict[str, Any]:
    """Names and shapes inside a file, by who made it."""
    network, reference = maker.network, maker.reference
    if network.as_is == runtime or not isinstance(reference, TorchReference):
        from converters.references.imported import describe_imported

        return describe_imported(maker.name, network, maker.prepared, runtime, path)
    from converters.export.to_tflite import INPUT, output_names, state_inputs

    onnx = runtime == "onnx"
    names = reference.names
    states = dict.fromkeys(reference.states) if onnx else state_inputs(reference.states)
    batches = (1,) if network.task == "detect" else maker.prepared.batches
    return {
        "layout": "NCHW" if onnx else "NHWC",
        "input": "input" if onnx else INPUT,
        "inputs": {name: name if onnx else str(states[name]) for name in reference.states},
        "outputs": {name: name for name in names} if onnx else dict(output_names(names)),
        "batches": batches,
        "signatures": () if onnx else maker.signatures,
    }


def write_manifest(recipe: Recipe, networks: Sequence[Network], folder: Path) -> None:
    """Write ``manifest.json``, keys sorted, two spaces, in one step."""
    manifest = Manifest(
        schema=SCHEMA,
        name=recipe.bundle.name,
        version=recipe.bundle.version,
        made_by=tool_versions(),
        runtimes=dict(recipe.runtimes),
        defaults=dict(recipe.defaults),
        networks=tuple(networks),
    )
    write_atomic(folder / MANIFEST, encode(manifest))


def encode(value: object) -> bytes:
    """JSON with sorted keys and two spaces, for people who compare."""
    return json_bytes(value, indent=2, order="sorted")


def count(reference: Reference, network: NetworkRecipe, recipe: Recipe) -> tuple[int, int | None]:
    """Parameters, and multiply-accumulates for one input; of a file that passed through, what its graph says."""
    if not isinstance(reference, TorchReference):
        from converters.references.cascade import CascadeReference
        from converters.references.imported import ImportedReference

        if isinstance(reference, CascadeReference):
            return reference.parameters, None
        assert isinstance(reference, ImportedReference)
        return reference.facts.parameters, reference.facts.macs
    width, height = network.input.width, network.input.height
    if width is None or height is None:
        width, height = recipe.selftest.detector_size
    module = reference.module
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return parameters, count_macs(reference, (*network.frames, network.channels, height, width))


def count_macs(reference: TorchReference, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of convolutions, dense and recurrent layers for one input without batch."""
    import numpy as np
    from torch import nn

    total = 0

    def note(layer: Any, inputs: Any, output: Any) -> None:
        nonlocal total
        if isinstance(layer, nn.LSTM):
            steps = int(np.prod(output[0].shape[:2]))
            total += steps * sum(w.numel() for name, w in layer.named_parameters() if name.startswith("weight"))
        elif isinstance(layer, nn.LSTMCell):
            total += output[0].shape[0] * (layer.weight_ih.numel() + layer.weight_hh.numel())
        elif isinstance(layer, nn.ConvTranspose2d):
            total += layer.weight[0].numel() * inputs[0].numel()
        else:
            total += layer.weight[0].numel() * output.numel()

    kinds = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.LSTM, nn.LSTMCell)
    hooks = [layer.register_forward_hook(note) for layer in reference.module.modules() if isinstance(layer, kinds)]
    reference.run(np.zeros((1, *shape), np.float32))
    for hook in hooks:
        hook.remove()
    return total


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
