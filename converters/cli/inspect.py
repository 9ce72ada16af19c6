"""``inspect``: what a network file or a checkpoint holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from converters.checkpoints.reading import KINDS
from converters.inspection.any_file import examine


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``inspect``."""
    inspect = commands.add_parser(
        "inspect",
        help="say what a network file or a checkpoint holds, and which network of ours it fits",
        description="Reads one file and changes nothing. Of .onnx and .tflite: inputs, outputs, operators, parameters,"
        " multiply-accumulates, quantization, versions, paths in the metadata, and whether the pinned runtimes run it"
        " on zeros. Of checkpoints (.pth .pt .ckpt .safetensors .hdf5 .h5, the .json of tfjs with its .bin beside it):"
        " tensors and shapes. Of all: which known architecture the weights fit, or is nearest. Nothing of a checkpoint"
        " is run.",
        epilog="example: python -m converters inspect mobilenet0.25_Final.pth",
    )
    inspect.add_argument("file", type=Path, metavar="FILE", help=f"a file that ends in {' '.join(KINDS)}")
    inspect.add_argument("--json", action="store_true", help="JSON on standard output")
    inspect.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what the file holds."""
    path: Path = arguments.file
    facts = examine(path)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(facts), indent=2).decode())
    else:
        at = ", ".join(_sides(shape) for shape in facts.pop("macs_at", ()))
        if "macs" in facts:
            facts["macs"] = f"{facts['macs']:,} at {at}"
        print("\n".join([str(path), *(line for key, value in facts.items() for line in _lines(key, value))]))
    return 0


def _lines(key: str, value: Any) -> list[str]:
    """One line for a single fact, one more for each part of a table."""
    if key == "signatures":
        parts = [f"{name}: {_values(part['inputs'])} -> {_values(part['outputs'])}" for name, part in value.items()]
    elif key in {"inputs", "outputs"}:
        parts = [_values([one]) for one in value]
    elif key == "tensors":
        parts = [f"{name} {_sides(shape)}" for name, shape in value.items()]
    elif isinstance(value, dict):
        return [f"  {key}: " + ", ".join(f"{name} {_number(count)}" for name, count in value.items())]
    elif isinstance(value, (list, tuple)):
        return [f"  {key}: {', '.join(value)}"]
    else:
        return [f"  {key}: {_number(value)}"]
    return [f"  {key}:", *(f"    {part}" for part in parts)]


def _values(values: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{one['name']} {_sides(one['shape'])} {one['type']}"
        + (f" (value - {one.get('zero', 0)}) * {one['scale']:.4g}" if "scale" in one else "")
        for one in values
    )


def _sides(shape: list[Any]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
