"""What the bytes of a network file depend on, beside its recipe: tools, and our own code."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeface.bundle import Precision

TOOLS = (
    "torch",
    "onnx",
    "onnx-ir",
    "onnxscript",
    "onnxruntime",
    "litert-torch",
    "litert-converter",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "flatbuffers",
    "numpy",
)
"""What the bytes of a network file depend on."""

MATTERS = ("family", "options", "weights", "seed", "source", "as_is", "input", "outputs", "time")
"""Parts of a network's recipe that its bytes depend on."""
_ONNX, _LITERT = ("to_onnx",), ("to_tflite", "compact", "layers")
CODE: Mapping[tuple[str, Precision], Sequence[str]] = {
    ("onnx", "fp32"): _ONNX,
    ("onnx", "fp16w"): (*_ONNX, "weights", "layers"),
    ("onnx", "int8w"): (*_ONNX, "weights", "layers"),
    ("onnx", "int8"): (*_ONNX, "quantize_onnx", "layers", "ranges"),
    ("litert", "fp32"): _LITERT,
    ("litert", "fp16w"): (*_LITERT, "tflite_weights", "older_tflite"),
    ("litert", "int8w"): (*_LITERT, "tflite_weights", "older_tflite"),
    ("litert", "int8"): (*_LITERT, "quantize_tflite", "older_tflite", "ranges"),
}
"""Modules of ``export`` that write each form."""


def tool_versions() -> dict[str, str]:
    """Installed versions of the tools that make files."""
    found = {}
    for tool in TOOLS:
        try:
            found[tool] = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            continue  # the TFLite tools have no wheels for aarch64
    return found


def code_hash(family: str | None, modules: Sequence[str], *, equalised: bool = False) -> str:
    """Hash of our own code that a file's bytes depend on; ``modules`` are those of ``export`` that write it."""
    root = Path(__file__).parents[1]
    paths = [
        *(root / "checkpoints").glob("*.py"),
        *(root / "formats").glob("*.py"),
        root / "building" / "selftest.py",
        root / "references" / "torch_module.py",
    ]
    paths += [root / "export" / f"{name}.py" for name in (*modules, *(["equalise"] if equalised else []))]
    paths += [root / "building" / "int8.py", root / "paths.py"]
    if family is None:
        paths += [
            root / "references" / "adopt.py",
            root / "references" / "free_axes.py",
            root / "export" / "onnx2tf.py",
        ]
    else:
        from converters.networks import FAMILIES

        module = FAMILIES.get(family, "").partition(":")[0].rpartition(".")[2]
        paths += [root / "networks" / f"{name}.py" for name in (module, "layers", "resnet")]
        paths += (root / "checkpoints" / "keys").glob(f"{family}.*.toml")
    digest = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
