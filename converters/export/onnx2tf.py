"""TFLite out of a bare ``.onnx`` through onnx2tf, which lives in an environment of its own.

Its pins (numpy, onnx, onnxruntime of other versions, Python 3.12) cannot stand beside the workshop's. So it is never
imported: a program of its own reads the ONNX file and leaves a TFLite file, which is then compared with the ONNX file
by the runtimes that devices have.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from onnx import ModelProto

from converters.formats.onnx_graph import CHANNELS, real_inputs, sides
from converters.inspection.facts import error_text
from edgeface.errors import EdgefaceError
from edgeface.files import write_atomic

PYTHON = "EDGEFACE_ONNX2TF"
"""Environment variable that names the Python of the environment where onnx2tf is installed."""
TIMEOUT_S = 1800
HOW = f"python3.12 -m venv DIR && DIR/bin/pip install onnx2tf==2.6.9, then set {PYTHON}=DIR/bin/python"


class NoConverterError(EdgefaceError):
    """onnx2tf is not there, so the file of the other runtime is not made."""


def convert(model: ModelProto, path: Path) -> None:
    """Write the fp32 TFLite variant of an ONNX model; pictures go in channel-last, the batch is 1.

    Raises
    ------
    NoConverterError : onnx2tf is neither on the path nor named by ``EDGEFACE_ONNX2TF``
    EdgefaceError : it failed, in its own last words
    """
    command = find()
    with tempfile.TemporaryDirectory(prefix="edgeface-onnx2tf-") as name:
        folder = Path(name)
        source = folder / "network.onnx"
        source.write_bytes(model.SerializeToString(deterministic=True))
        try:
            subprocess.run(
                [*command, "-i", str(source), "-o", str(folder / "out"), "-b", "1", "-n", *_kept(model)],
                cwd=folder, check=True, capture_output=True, text=True, timeout=TIMEOUT_S,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            words = (getattr(error, "stderr", "") or "").strip().splitlines()
            raise EdgefaceError(
                f"onnx2tf failed: {words[-1] if words else error_text(error)}", fix='leave "litert" out of its files'
            ) from None
        made = folder / "out" / "network_float32.tflite"
        if not made.is_file():
            raise EdgefaceError("onnx2tf wrote no fp32 file", fix='leave "litert" out of the recipe\'s files')
        write_atomic(path, made.read_bytes())


def _kept(model: ModelProto) -> list[str]:
    """Arguments that keep inputs as they are which are channel-last already: onnx2tf takes all for channel-first."""
    fed = [(value.name, sides(value)) for value in real_inputs(model.graph)]
    names = [name for name, shape in fed if len(shape) != 4 or (shape[3] in CHANNELS and shape[1] not in CHANNELS)]
    return ["-kat", *names] if names else []


def find() -> list[str]:
    """Command that starts onnx2tf; NoConverterError where there is none."""
    python = os.environ.get(PYTHON)
    if python:
        if not Path(python).is_file():
            raise NoConverterError(f"{PYTHON} names {python}, which is not there", fix=HOW)
        return [python, "-m", "onnx2tf"]
    program = shutil.which("onnx2tf")
    if program is None:
        raise NoConverterError("the TFLite file is not made, because onnx2tf is not installed", fix=HOW)
    return [program]
