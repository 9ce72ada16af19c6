"""ONNX Runtime behind the `Runner` interface."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeface.bundle import Network, NetworkFile
from edgeface.config import Optimization
from edgeface.errors import EdgefaceError, RuntimeMissingError, first_line
from edgeface.files import make_folder
from edgeface.machine import multiplies_bytes_exactly
from edgeface.runtime.library import load
from edgeface.runtime.providers import CUDA, ON_PROCESSOR, PROCESSOR, TENSORRT, Provider, engine_name
from edgeface.types import F32

onnxruntime: Any
_missing: ImportError | None = None
try:
    onnxruntime = load()
except ImportError as error:
    onnxruntime, _missing = None, error

PRECISE = "session.x64quantprecision"
PARTS = {CUDA: "cuda", TENSORRT: "tensorrt"}
LEVELS: Mapping[Optimization, str] = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
"""Names of `GraphOptimizationLevel`, in which each holds those before it."""
FATAL = 4
ON_THE_PROCESSOR = 'set runtime.provider = "cpu"'


class ProviderError(EdgefaceError):
    """A provider was asked for and does not compute; the processor does."""


class OnnxRunner:
    """One ONNX session; any batch runs, `batches` are the sizes worth using.

    Parameters
    ----------
    provider, network : what it computes on; of which network, where that is not the processor
    optimization : how far the graph is rewritten when it is loaded

    Raises
    ------
    ProviderError : the session does not run on that provider
    """

    def __init__(
        self,
        data: bytes,
        file: NetworkFile,
        *,
        threads: int,
        provider: Provider = ON_PROCESSOR,
        network: Network | None = None,
        optimization: Optimization = "all",
    ) -> None:
        if onnxruntime is None:
            raise RuntimeMissingError("onnxruntime is not installed", fix="pip install onnxruntime") from _missing
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[optimization])
        options.log_severity_level = 3
        # The arena keeps what a call once needed, 11 MB here, and saves no measurable time.
        options.enable_cpu_mem_arena = False
        # Threads that spin while they wait take the cores from the camera and from OpenCV: 142 frames a second
        # became 42 on two cores with several sessions in one process (benchmarks/plain_chain.py --spin).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        for key, value in file.session.items():
            # On a processor that needs no care this one costs two thirds of the speed.
            if key != PRECISE or not multiplies_bytes_exactly():
                options.add_session_config_entry(key, value)
        if network is not None:
            provider = provider.for_network(network)
        if network is None or not provider.execution:
            provider = ON_PROCESSOR
            self._session = onnxruntime.InferenceSession(data, options, providers=[PROCESSOR])
        else:
            self._session = _session_on(provider, network, file, data, options)
        self.provider = provider.name
        self._input = file.input
        self._names = list(file.outputs)
        self._outputs = [file.outputs[name] for name in self._names]
        self.batches = file.batches
        self.sizes: tuple[tuple[int, int], ...] = ()
        self.file = file

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        """Outputs by the manifest's names; ProviderError where the accelerator fails, as when its memory is full."""
        remembered = {self.file.inputs.get(name, name): array for name, array in states.items()}
        try:
            values = self._session.run(self._outputs, {self._input: batch, **remembered})
        except Exception as error:
            if self.provider == ON_PROCESSOR.name:
                raise
            raise ProviderError(
                f"{self.file.path} fails on {self.provider}: {first_line(error)}", fix=ON_THE_PROCESSOR
            ) from error
        return dict(zip(self._names, values, strict=True))


def listed() -> tuple[str, ...]:
    """Providers that this ONNX Runtime was built with; whether one loads, only a session shows."""
    return () if onnxruntime is None else tuple(onnxruntime.get_available_providers())


def version() -> str:
    """Version of this ONNX Runtime, empty where there is none."""
    return "" if onnxruntime is None else str(onnxruntime.__version__)


def _session_on(provider: Provider, network: Network, file: NetworkFile, data: bytes, options: Any) -> Any:
    # What fails is told by us, in one line; the library's own logger writes pages to standard error.
    onnxruntime.set_default_logger_severity(FATAL)
    named = provider.session(network, file)
    if TENSORRT in provider.execution:
        make_folder(Path(provider.engines) / engine_name(network, file, provider.longest))
    try:
        # With its own way back it would print to standard output, and run on the processor.
        session = onnxruntime.InferenceSession(data, options, providers=named, enable_fallback=0)
    except Exception as error:
        why = missing_library(provider.execution) or first_line(error)
        raise ProviderError(f"{provider.name} does not load: {why}", fix=ON_THE_PROCESSOR) from error
    gone = provider.missing(session.get_providers())
    if gone is not None:
        why = missing_library([gone]) or f"ONNX Runtime leaves {gone} out and says no more"
        raise ProviderError(f"{provider.name} does not load: {why}", fix=ON_THE_PROCESSOR)
    session.disable_fallback()
    return session


def missing_library(names: Any) -> str | None:
    """What the loader says of the providers' own libraries: which one is missing, of CUDA, cuDNN or TensorRT.

    ONNX Runtime writes that to its log only, and leaves the provider out.
    """
    folder = Path(onnxruntime.__file__).parent / "capi"
    for part in ("shared", *(PARTS[name] for name in names if name in PARTS)):
        try:
            ctypes.CDLL(str(folder / f"libonnxruntime_providers_{part}.so"), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            return first_line(error)
    return None
