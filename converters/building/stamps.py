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
"""Modules of ``export`` that write each variant."""


def tool_versions() -> dict[str, str]:
    """Installed versions of the tools that make files."""
    found = {}
    for tool in TOOLS:
        try:
            found[tool] = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            continue  # the TFLite tools have no wheels for aarch64
    return found


def code_hash(
    family: str | None, modules: Sequence[str], *, equalised: bool = False, root: Path = Path(__file__).parents[1]
) -> str:
    """Hash of our own code that a file's bytes depend on; ``modules`` are those of ``export`` that write it.

    ``root`` is the folder of the workshop's packages.
    """
    names = ["building/int8", "building/selftest", "references/torch_module", "paths"]
    names += [f"export/{name}" for name in (*modules, *(["equalise"] if equalised else []))]
    paths = [*(root / "checkpoints").glob("*.py"), *(root / "formats").glob("*.py")]
    if family is None:
        names += ["references/adopt", "references/free_axes", "export/onnx2tf"]
    else:
        from converters.networks import FAMILIES

        known = {FAMILIES[family].partition(":")[0].rpartition(".")[2]} if family in FAMILIES else set()
        names += [f"networks/{name}" for name in (known | {"layers", "resnet"})]
        paths += (root / "checkpoints" / "keys").glob(f"{family}.*.toml")
    digest = hashlib.sha256()
    # A name that is no file raises: a module that moved must not drop out of the hash in silence.
    for path in sorted([*paths, *(root / f"{name}.py" for name in names)]):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
