"""``card``: write model cards and models/README.md, or the cards of one's own networks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.bundles.card import documents, own_documents
from converters.bundles.recorded import recorded
from converters.paths import BUNDLE, ROOT, build_folder, open_any, products_folder
from edgeface.bundle import open_bundle
from edgeface.errors import UsageError
from edgeface.files import write_atomic


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``card``."""
    parser = commands.add_parser(
        "card",
        help="write model cards and models/README.md, or those of your own networks",
        description="Writes docs/cards and models/README.md from the default bundle's manifest, from those recorded"
        " beside the recipes of other bundles (`manifest NAME --record`), and from converters/measurements. Networks"
        " with random weights get none. With NAME or DIR, of a bundle or of one built network, writes the cards of the"
        " networks in it that are your own.",
        epilog="example: python -m converters card my-faces",
    )
    parser.add_argument("bundle", nargs="?", metavar="NAME|DIR", help="a bundle with networks of your own")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where those cards go (build/cards/NAME)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write every card."""
    if arguments.bundle is None:
        if arguments.out is not None:
            raise UsageError("--out is for cards of your own", fix="name a bundle, or leave --out away")
        for path, data in documents(open_bundle(BUNDLE), recorded()).items():
            write_atomic(ROOT / path, data)
        return 0
    bundle = open_any(_folder(arguments.bundle), allow_random=True)
    found = own_documents(bundle)
    if not found:
        raise UsageError(
            f"{arguments.bundle} has no network of your own", fix="name a bundle that `build` made of your recipes"
        )
    folder = arguments.out or build_folder() / "cards" / bundle.manifest.name
    for name, data in found.items():
        write_atomic(folder / name, data)
        print(folder / name)
    return 0


def _folder(name: str) -> str:
    """Folder of a bundle or of one built network, by name or by path."""
    built = [folder for folder in (build_folder() / "bundles" / name, products_folder() / name) if folder.is_dir()]
    return name if Path(name).is_dir() or not built else str(built[0])
