"""Networks that pass through by a recipe alone: an ``.onnx`` or ``.tflite`` file that nobody wrote a module for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.checkpoints.archive import read_source
from converters.checkpoints.elsewhere import way_on
from converters.inspection.facts import FileFacts, Value
from converters.paths import DEFAULT_SIGNATURE, file_name
from converters.recipes.schema import NetworkRecipe, Prepared
from converters.references.torch_module import Sizes
from edgeface.bundle import NetworkFile, Signature
from edgeface.config import RuntimeName
from edgeface.errors import UsageError
from edgeface.files import write_atomic
from edgeface.types import F32

if TYPE_CHECKING:
    from onnx import ModelProto

KINDS: Mapping[str, RuntimeName] = {".onnx": "onnx", ".tflite": "litert"}


class ImportedReference:
    """A file as it came: checked, brought to what devices run, and run by its own runtime.

    Parameters
    ----------
    name : what the network is built under
    prepared : shapes that a device meets

    Raises
    ------
    EdgefaceError : in one line, why the file cannot pass
    """

    def __init__(self, name: str, network: NetworkRecipe, prepared: Prepared) -> None:
        self.kind = kind_of(network)
        self._name = name
        self._network = network
        self._prepared = prepared
        assert network.source is not None
        data, companions = read_source(network.source)
        if self.kind == "onnx":
            from converters.formats.onnx_data import whole_file

            self._data = whole_file(data, name, companions)
        else:
            from converters.export.denormals import clear_tflite

            self._data = clear_tflite(data)

    @property
    def outputs(self) -> Sequence[str]:
        """The head's names for what the file gives."""
        return tuple(self._outputs(self.facts))

    @property
    def states(self) -> Sizes:
        """Memory of a recurrent network, shapes without batch."""
        time = self._network.time
        return {} if time is None else {state.input: state.shape for state in time.states}

    @cached_property
    def model(self) -> ModelProto:
        """The ONNX file in our opset."""
        from converters.export.denormals import clear_onnx
        from converters.references.adopt import adopt_onnx

        free = self._network.input.multiple_of if self._network.input.width is None else None
        return clear_onnx(adopt_onnx(self._data, self._name, multiple_of=free, scaled=self._scaled))

    @cached_property
    def facts(self) -> FileFacts:
        """Inputs and outputs of the file that ships."""
        from converters.inspection.onnx_file import describe_onnx
        from converters.references.adopt import adopt_tflite, whole_pixels

        if self.kind == "onnx":
            return describe_onnx(self.model.SerializeToString(deterministic=True), self._name)
        facts = adopt_tflite(self._data, self._name)
        fed = self._input(facts)
        if self._scaled and fed.scale is None and not fed.type.startswith("float"):
            raise whole_pixels(self._name)
        return facts

    @property
    def _scaled(self) -> bool:
        """Whether its recipe changes the pixels before it sees them."""
        spec = self._network.input
        return bool(np.any(np.asarray(spec.scale) != 1) or np.any(spec.mean))

    def run(self, tensor: F32, states: Mapping[str, F32] | None = None) -> dict[str, F32]:
        """Answers of the fp32 file for float32 (N, C, H, W), in the batches that it takes."""
        runner = self._runner
        memory = states or {name: np.zeros((len(tensor), *size), np.float32) for name, size in self.states.items()}
        if runner.file.layout == "NHWC":
            tensor = np.ascontiguousarray(tensor.transpose(0, 2, 3, 1))
        each = 1 if self.fixed_batch else len(tensor)
        parts = [
            runner.run(tensor[at : at + each], {name: array[at : at + each] for name, array in memory.items()})
            for at in range(0, len(tensor), each)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def write(self, runtime: RuntimeName, path: Path) -> None:
        """Write the fp32 file; another runtime's through onnx2tf, where that is there."""
        if runtime == self.kind == "onnx":
            write_atomic(path, self.model.SerializeToString(deterministic=True))
        elif runtime == self.kind:
            write_atomic(path, self._data)
        elif self.kind == "onnx":
            from converters.export.onnx2tf import convert

            convert(self.model, path)
        else:
            raise UsageError(
                f"{self._name}: nothing here makes an ONNX file of a .tflite", fix='leave "onnx" out of its files'
            )

    @property
    def fixed_batch(self) -> bool:
        """Whether the file takes one face a call and no more."""
        return isinstance(self._input(self.facts).shape[0], int)

    def describe(self, runtime: RuntimeName, found: FileFacts) -> dict[str, Any]:
        """Names and shapes of one file for its entry in a manifest."""
        fed = self._input(found)
        layout = _layout(fed, self._network.channels)
        self._expect_size(fed, layout, runtime)
        batches: tuple[int, ...] = (1,) if isinstance(fed.shape[0], int) else self._prepared.batches
        width, height = self._network.input.width, self._network.input.height
        signatures: tuple[Signature, ...] = ()
        if runtime == "litert":
            keys = list(found.signatures) or [DEFAULT_SIGNATURE]
            sizes = [tuple(found.signatures[key]["inputs"][0].shape) if found.signatures else fed.shape for key in keys]
            signatures = tuple(_signature(key, size, layout) for key, size in zip(keys, sizes, strict=True))
            batches = tuple(sorted({signature.batch for signature in signatures}))
        elif width is None or height is None:
            batches = (1,)
        return {
            "layout": layout,
            "input": fed.name,
            "outputs": self._outputs(found),
            "batches": batches,
            "signatures": signatures,
        }

    def _input(self, facts: FileFacts) -> Value:
        memory = set(self.states)
        inputs = [value for value in _ends(facts, "inputs") if value.name not in memory]
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            shown = ", ".join(f"{value.name} {list(value.shape)}" for value in inputs)
            raise UsageError(f"{self._name} takes {shown}, not one picture", fix="bring a file with one 4-D input")
        batch = inputs[0].shape[0]
        if isinstance(batch, int) and batch > 1:
            raise UsageError(f"{self._name} takes {batch} pictures a call", fix="export it for one, or for any number")
        return inputs[0]

    def _expect_size(self, fed: Value, layout: str, runtime: RuntimeName) -> None:
        """Refuse a file whose own height and width are not those of its recipe."""
        own = fed.shape[1:3] if layout == "NHWC" else fed.shape[2:]
        said = self._network.input.height, self._network.input.width
        fixed = all(isinstance(side, int) and side > 0 for side in own)
        if runtime == "litert" and not fixed:
            raise UsageError(f"{self._name} takes pictures of any size", fix="export it with one height and width")
        if fixed and None not in said and own != said:
            raise UsageError(
                f"{self._name} takes pictures of {own[1]}x{own[0]}, its recipe says {said[1]}x{said[0]}",
                fix=f"set height = {own[0]} and width = {own[1]} in its [input]",
            )

    def _outputs(self, facts: FileFacts) -> dict[str, str]:
        """The head's names to the file's; one output needs no words."""
        names = [value.name for value in _ends(facts, "outputs")]
        wanted = self._network.outputs
        if not wanted and len(names) == 1 and hasattr(self._network.head, "output"):
            return {self._network.head.output: names[0]}
        if not wanted:
            return {name: name for name in names}
        unknown = [name for name in wanted.values() if name not in names]
        if unknown:
            raise UsageError(
                f"{self._name} has no output {unknown[0]}", fix=f"correct [outputs]; it has: {', '.join(names)}"
            )
        return dict(wanted)

    @cached_property
    def _runner(self) -> Any:
        if self.kind == "onnx":
            from edgeface.runtime.onnx import OnnxRunner as Chosen

            data = self.model.SerializeToString(deterministic=True)
        else:
            from edgeface.runtime.litert import LiteRtRunner as Chosen  # type: ignore[assignment]

            data = self._data
        name = file_name(self._name, self.kind, "fp32")
        facts = self.describe(self.kind, self.facts)
        file = NetworkFile(runtime=self.kind, precision="fp32", path=name, bytes=len(data), sha256="0" * 64, **facts)
        return Chosen(data, file, threads=2)


def describe_imported(
    name: str, network: NetworkRecipe, prepared: Prepared, runtime: RuntimeName, path: Path
) -> dict[str, Any]:
    """Names and shapes of a file that another converter or its makers wrote, for its entry in a manifest."""
    reference = ImportedReference(name, network, prepared)
    if runtime == "onnx":
        from converters.inspection.onnx_file import describe_onnx

        return reference.describe(runtime, describe_onnx(path.read_bytes(), path.name))
    from converters.references.adopt import adopt_tflite

    return reference.describe(runtime, adopt_tflite(path.read_bytes(), path.name))


def kind_of(network: NetworkRecipe) -> RuntimeName:
    """Runtime of the source file; UsageError for a file that no runtime takes."""
    path = "" if network.source is None else network.source.path
    kind = KINDS.get(Path(path).suffix.lower())
    if kind is None and (known := way_on(path)):
        raise UsageError(f"{path} is {known[0]}, which does not pass through", fix=known[1])
    if kind is None:
        raise UsageError(
            f"{path or 'a recipe without a source'} does not pass through by itself",
            fix="name its family, or bring an .onnx or .tflite file",
        )
    return kind


def _ends(facts: FileFacts, side: str) -> Sequence[Value]:
    """Inputs or outputs by the names that the file is called with: a signature's, where it has some."""
    for signature in facts.signatures.values():
        return signature[side]
    return facts.inputs if side == "inputs" else facts.outputs


def _layout(value: Value, channels: int) -> str:
    shape = value.shape
    if shape[3] == channels and shape[1] != channels:
        return "NHWC"
    if shape[1] == channels:
        return "NCHW"
    raise UsageError(
        f"input {value.name} {list(shape)} has no axis of {channels} channels", fix="correct the recipe's input.color"
    )


def _signature(key: str, shape: Sequence[int | str], layout: str) -> Signature:
    batch, *rest = (side if isinstance(side, int) else 1 for side in shape)
    height, width = (rest[0], rest[1]) if layout == "NHWC" else (rest[1], rest[2])
    return Signature(key=key, batch=batch, width=width, height=height)
