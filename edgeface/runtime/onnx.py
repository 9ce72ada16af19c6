"""ONNX Runtime behind the `Runner` interface."""

from __future__ import annotations

from collections.abc import Mapping

from edgeface.bundle import NetworkFile
from edgeface.errors import RuntimeMissingError
from edgeface.machine import multiplies_bytes_exactly
from edgeface.types import F32

_missing: ImportError | None = None
try:
    import onnxruntime
except ImportError as error:
    onnxruntime, _missing = None, error

PRECISE = "session.x64quantprecision"


class OnnxRunner:
    """One ONNX session on the CPU; any batch runs, `batches` are the sizes worth using."""

    def __init__(self, data: bytes, file: NetworkFile, *, threads: int) -> None:
        if onnxruntime is None:
            raise RuntimeMissingError("onnxruntime is not installed", fix="pip install onnxruntime") from _missing
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
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
        self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._input = file.input
        self._names = list(file.outputs)
        self._outputs = [file.outputs[name] for name in self._names]
        self.batches = file.batches
        self.sizes: tuple[tuple[int, int], ...] = ()
        self.file = file

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        """Outputs by the manifest's names."""
        remembered = {self.file.inputs.get(name, name): array for name, array in states.items()}
        values = self._session.run(self._outputs, {self._input: batch, **remembered})
        return dict(zip(self._names, values, strict=True))
