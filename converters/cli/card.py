"""``card``: write model cards and models/README.md."""

from __future__ import annotations

import argparse
from typing import Any

from converters.bundles.card import documents
from converters.bundles.recorded import recorded
from converters.paths import BUNDLE, ROOT
from edgeface.bundle import open_bundle
from edgeface.files import write_atomic


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``card``."""
    parser = commands.add_parser(
        "card",
        help="write model cards and models/README.md",
        description="Writes docs/cards and models/README.md from the default bundle's manifest, from those recorded"
        " beside the recipes of other bundles (`manifest NAME --record`), and from converters/measurements. Networks"
        " with random weights get none.",
        epilog="example: python -m converters card",
    )
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Write every card."""
    for path, data in documents(open_bundle(BUNDLE), recorded()).items():
        write_atomic(ROOT / path, data)
    return 0
