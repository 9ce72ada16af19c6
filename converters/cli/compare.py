"""``compare``: say what differs between two bundles or two files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.bundles.compare import compare_bundles
from converters.checkpoints.reading import KINDS
from converters.inspection.compare_files import compare_files
from converters.paths import bundle_at
from edgeface.bundle import open_bundle
from edgeface.errors import UsageError


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``compare``."""
    compare = commands.add_parser(
        "compare",
        help="say what differs between two bundles or two files",
        description="For two bundles (folders or names that `build` made): networks and files that only one has, what"
        " the manifests say otherwise, how far the outputs on the stored pictures are apart, and figures that moved."
        " For two files (.onnx, .tflite, .pth, .hdf5 ...): tensors that only one has, other shapes, and how far the"
        " values are apart; of two networks also inputs, outputs, operators and versions, and if both are for one"
        " runtime, how far their answers to the same noise are apart. The exit code is 0 when nothing differs and 1"
        " otherwise.",
        epilog="example: python -m converters compare models/default build/bundles/mine",
    )
    compare.add_argument("a", metavar="A", help="a bundle or a file")
    compare.add_argument("b", metavar="B", help="another of the same kind")
    compare.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the differences."""
    a, b = arguments.a, arguments.b
    for name in (a, b):
        if Path(name).suffix in KINDS and not Path(name).exists():
            raise UsageError(f"there is no file {name}", fix="give two bundles or two files")
    if Path(a).is_file() != Path(b).is_file():
        raise UsageError(f"{a} and {b} are not of one kind", fix="give two bundles or two files")
    if Path(a).is_file():
        lines = list(compare_files(Path(a), Path(b)))
    else:
        first, second = (open_bundle(bundle_at(name), allow_random=True) for name in (a, b))
        lines = list(compare_bundles(first, second))
    for line in lines:
        print(line)
    print(f"{len(lines)} differences" if lines else "nothing differs")
    return 1 if lines else 0
