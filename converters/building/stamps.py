"""What the bytes of a network file depend on, beside its recipe: tools, and the code that makes it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from converters.building.closure import FOLLOWED, Place, code_of, reached
from converters.checkpoints.keyfile import map_paths
from converters.networks import module_file
from converters.recipes.schema import NetworkRecipe, own_module
from edgeface.bundle import Precision

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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
_ONNX, _LITERT = ("export/to_onnx",), ("export/to_tflite",)
_SMALLER = ("export/tflite_weights",)
CODE: Mapping[tuple[str, Precision], Sequence[str]] = {
    ("onnx", "fp32"): _ONNX,
    ("onnx", "fp16w"): (*_ONNX, "export/weights"),
    ("onnx", "int8w"): (*_ONNX, "export/weights"),
    ("onnx", "int8"): (*_ONNX, "export/quantize_onnx"),
    ("litert", "fp32"): _LITERT,
    ("litert", "fp16w"): (*_LITERT, *_SMALLER),
    ("litert", "int8w"): (*_LITERT, *_SMALLER),
    ("litert", "int8"): (*_LITERT, "export/quantize_tflite"),
    ("selftest", "fp32"): ("building/selftest",),
}
"""Modules that write each variant; what they import counts, too."""
_IMPORTED, _TORCH = ("references/imported", "references/cascade"), ("references/torch_module",)
ENTRY = (*_IMPORTED, *_TORCH, *_ONNX, *_LITERT, "building/entry")
"""Modules that say what a manifest's entry holds of a network and its files."""


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
    """Hash of the code that a file's bytes depend on, words about it left out.

    Parameters
    ----------
    family : of a torch module, known here or ``FILE.py:CLASS``; None for an imported network
    modules : those that write the file, see `CODE`
    equalised : whether weights are evened across layers first
    """
    root = Path(__file__).parents[1]
    names = [*modules, *(["export/equalise"] if equalised else []), *(_IMPORTED if family is None else _TORCH)]
    roots, places, maps = [root / f"{name}.py" for name in names], [Place(root.parent, FOLLOWED)], list[Path]()
    if family is not None:
        roots.append(module_file(family))
        places += [Place(own[0].parent)] if (own := own_module(family)) else []
        maps = map_paths(family, "*")
    # How an int8 file is put together is code, too; both runtimes' quantizers, which it imports, are not.
    alone = [root / "building" / "int8.py"] if any("quantize" in name for name in modules) else []
    digest = hashlib.sha256()
    for path in (*reached(roots, places), *alone):
        digest.update(path.name.encode() + b"\0" + code_of(path.read_text("utf-8")).encode() + b"\0")
    for path in maps:
        digest.update(path.name.encode() + b"\0" + repr(tomllib.loads(path.read_text("utf-8"))).encode() + b"\0")
    return digest.hexdigest()


def anywhere(network: NetworkRecipe) -> NetworkRecipe:
    """A recipe without the folder that it lies in: what is beside it counts by its content."""
    source, own = network.source, own_module(network.family or "")
    if source is not None and source.registry == "file":
        network = msgspec.structs.replace(network, source=msgspec.structs.replace(source, path=Path(source.path).name))
    return msgspec.structs.replace(network, family=f"{own[0].name}:{own[1]}") if own else network
