"""What ONNX networks compute on: the processor, CUDA, or TensorRT; names, options, and the folder of its engines. Pure.

A provider that ONNX Runtime lists may still not load, and by itself it then computes on the processor without a word
(microsoft/onnxruntime 23372, 17801): a missing library leaves the provider out, and Python's wrapper tries others after
an error. So the wrapper may not do that here, and each session is asked what it runs on (`Provider.missing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from edgeface.bundle import MtcnnHead, Network, NetworkFile, StageHead
from edgeface.config import ProviderChoice

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
PROCESSOR = "CPUExecutionProvider"
ORDER: Mapping[ProviderChoice, tuple[str, ...]] = {
    "auto": ("tensorrt", "cuda"),
    "tensorrt": ("tensorrt", "cuda"),
    "cuda": ("cuda",),
    "cpu": (),
}
"""What is tried before the processor, by `runtime.provider`."""
LONGEST = 1024
"""Longest side that the engine of a detector of free size takes, unless `detector.size` asks for more; pixels."""
ENGINES = "engines"
"""Folder of the state directory."""


class Provider(Struct, frozen=True, kw_only=True):
    """What the ONNX networks of a process compute on.

    Attributes
    ----------
    name : ``cpu``, ``cuda`` or ``tensorrt``, as messages say it
    execution : ONNX Runtime's names, in the order in which they may take nodes, without the processor
    engines : folder of TensorRT's engines on this machine
    longest : longest side that a detector of free size is prepared for, pixels
    """

    name: str = "cpu"
    execution: tuple[str, ...] = ()
    engines: str = ""
    longest: int = LONGEST

    def for_network(self, network: Network) -> Provider:
        """Itself, or CUDA for a network whose sizes are not known before: TensorRT would build while people wait."""
        if TENSORRT in self.execution and isinstance(network.head, MtcnnHead | StageHead):
            return Provider(name="cuda", execution=(CUDA,))
        return self

    def session(self, network: Network, file: NetworkFile) -> list[tuple[str, dict[str, Any]]]:
        """Providers and their options as a session takes them; the processor is always the last."""
        named: list[tuple[str, dict[str, Any]]] = []
        for name in self.execution:
            options: dict[str, Any] = {}
            if name == TENSORRT:
                options = tensorrt_options(network, file, Path(self.engines), self.longest)
            named.append((name, options))
        return [*named, (PROCESSOR, {})]

    def missing(self, running: Sequence[str]) -> str | None:
        """The first provider that a session does not run on, though it was asked to; ``running`` is what it says."""
        return next((name for name in self.execution if name not in running), None)


ON_PROCESSOR = Provider()


def candidates(choice: ProviderChoice, listed: Sequence[str], *, engines: str, longest: int) -> list[Provider]:
    """Providers that are worth a try, in order, of those that ONNX Runtime lists."""
    known = {
        "tensorrt": Provider(name="tensorrt", execution=(TENSORRT, CUDA), engines=engines, longest=longest),
        "cuda": Provider(name="cuda", execution=(CUDA,)),
    }
    return [known[name] for name in ORDER[choice] if set(known[name].execution) <= set(listed)]


def tensorrt_options(network: Network, file: NetworkFile, engines: Path, longest: int) -> dict[str, Any]:
    """Options of TensorRT for one network, by the names of ONNX Runtime's documentation.

    Every free axis gets its range, so that no later picture has an engine built anew; numbers are float32, as measured.
    """
    folder = str(engines / engine_name(network, file, longest))
    low, usual, high = shapes(network, file, longest)
    return {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": folder,
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": folder,
        "trt_profile_min_shapes": low,
        "trt_profile_opt_shapes": usual,
        "trt_profile_max_shapes": high,
    }


def engine_name(network: Network, file: NetworkFile, longest: int) -> str:
    """Name of a network's folder of engines: network, precision, largest input, and the start of the file's SHA-256."""
    largest = shapes(network, file, longest)[2].partition(",")[0].rpartition(":")[2]
    return f"{network.name}-{file.precision}-{largest}-{file.sha256[:16]}"


def shapes(network: Network, file: NetworkFile, longest: int) -> tuple[str, str, str]:
    """Smallest, usual and largest shape of every input, as ``name:1x3x80x80``, several with commas between them."""
    spec = network.input
    step = spec.multiple_of or 1
    least = (spec.height or step, spec.width or step)
    most = (spec.height or -(-longest // step) * step, spec.width or -(-longest // step) * step)
    usual = (spec.height or min(most[0], 320), spec.width or min(most[1], 320))
    batches = (min(file.batches), sorted(file.batches)[len(file.batches) // 2], max(file.batches))
    texts = []
    for batch, (height, width) in zip(batches, (least, usual, most), strict=True):
        plane = (height, width, spec.channels) if file.layout == "NHWC" else (spec.channels, height, width)
        inputs: dict[str, tuple[int, ...]] = {file.input: (batch, *plane)}
        inputs |= {file.inputs.get(state.input, state.input): (batch, *state.shape) for state in network.states}
        texts.append(",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in inputs.items()))
    return texts[0], texts[1], texts[2]


def longest_side(size: str) -> int:
    """Longest side that `detector.size` can ask for, pixels."""
    given = [int(side) for side in size.split("x")] if size[:1].isdecimal() else []
    return max([LONGEST, *given])
