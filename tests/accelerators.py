"""An ONNX Runtime that says it has CUDA and TensorRT: the real one, whose other providers do what a test wants.

``FAKE_CUDA`` and ``FAKE_TENSORRT`` name what a session on that provider does:

* ``works``: it computes, on the processor in truth
* ``left out``: the session runs on the processor without a word, as where a library is missing
* ``raises``: its making fails; with the way back that the library has of its own it prints, and is left out
* ``dies``, ``hangs``: so does the process
* ``wrong``: it computes something else
* ``fails later``: it computes a while, then a call fails

TensorRT builds engines where the folder of its options has none; with ``FAKE_GO`` it waits until that file is there.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

CODE = """
import os, time
from pathlib import Path
import numpy

REAL = {real!r}
__path__ = [REAL]
exec(compile(Path(REAL, "__init__.py").read_text(), REAL + "/__init__.py", "exec"), globals())
_Real = InferenceSession
_listed = os.environ.get("FAKE_LISTED", "TensorrtExecutionProvider CUDAExecutionProvider").split()

def get_available_providers():
    return [*_listed, "CPUExecutionProvider"]

def _modes(names):
    asked = {{"TensorrtExecutionProvider": "FAKE_TENSORRT", "CUDAExecutionProvider": "FAKE_CUDA"}}
    return {{name: os.environ.get(asked[name], "works") for name in names if name in asked}}

class InferenceSession:
    def __init__(self, data, options, providers, enable_fallback=1):
        named = [one if isinstance(one, tuple) else (one, {{}}) for one in providers]
        modes = _modes([name for name, _ in named])
        first = next(iter(modes.values()), "works")
        if modes:
            # CUDA takes more addresses than a processor's network may.
            numpy.empty(1_200_000_000, "u1")
        if first == "raises":
            if not enable_fallback:
                raise RuntimeError("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version")
            print("EP Error, falling back to CPUExecutionProvider")
            modes = dict.fromkeys(modes, "left out")
        if first == "dies":
            os.abort()
        while first == "hangs":
            time.sleep(60)
        for name, options_ in named:
            if name == "TensorrtExecutionProvider" and first == "works":
                _engine(Path(options_["trt_engine_cache_path"]))
        self._real = _Real(data, options, providers=["CPUExecutionProvider"])
        self._providers = [name for name, _ in named if modes.get(name) != "left out"]
        self._mode, self._calls = first, 0

    def get_providers(self):
        return self._providers

    def disable_fallback(self):
        pass

    def run(self, outputs, inputs):
        self._calls += 1
        if self._mode == "fails later" and self._calls > 10:
            raise RuntimeError("CUDA failure 2: out of memory")
        values = self._real.run(outputs, inputs)
        return [value * 0 + 1 for value in values] if self._mode == "wrong" else values

def _engine(folder):
    if not folder.is_dir():
        raise RuntimeError("no folder for engines")
    if not list(folder.glob("*.engine")):
        go = os.environ.get("FAKE_GO")
        while go and not Path(go).exists():
            time.sleep(0.02)
        (folder / "TensorrtExecutionProvider_TRTKernel_0_sm87.engine").write_bytes(b"engine")
"""


def pretend(folder: Path, *, loads: bool = True) -> Path:
    """Write the package below a folder, which is to be imported from; ``loads``: whether its libraries are whole."""
    found = importlib.util.find_spec("onnxruntime")
    assert found is not None and found.origin is not None
    parts = folder / "onnxruntime" / "capi"
    parts.mkdir(parents=True)
    (folder / "onnxruntime" / "__init__.py").write_text(CODE.format(real=str(Path(found.origin).parent)))
    with Path("/proc/self/maps").open() as maps:
        library = next(line.split()[-1] for line in maps if "/libc.so" in line)
    for part in ("shared", "cuda", "tensorrt"):
        (parts / f"libonnxruntime_providers_{part}.so").symlink_to(library if loads else os.devnull)
    return folder
