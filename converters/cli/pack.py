"""``pack``: write a bundle as one archive."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.bundles.pack import pack
from converters.paths import build_folder, bundle_at
from edgeface.bundle import open_bundle
from edgeface.files import write_atomic


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``pack``."""
    pack = commands.add_parser(
        "pack",
        help="write a bundle as one archive for `edgeface models install`",
        description="Checks every file of a bundle against its manifest and writes one .tar with the manifest and what"
        " it names, nothing else: sorted, without times, owners or this machine's paths. The same bundle gives the same"
        " bytes anywhere. NAME is a bundle's folder, or a bundle that `build` made.",
        epilog="example: python -m converters pack default && scp build/packs/default-0.1.0.tar pi:",
    )
    pack.add_argument("bundle", nargs="?", default="default", metavar="NAME|DIR", help="which (%(default)s)")
    pack.add_argument("--out", type=Path, metavar="FILE", help="archive to write (build/packs/NAME-VERSION.tar)")
    pack.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the archive and say where it is."""
    bundle = open_bundle(bundle_at(arguments.bundle), allow_random=True)
    manifest = bundle.manifest
    path = arguments.out or build_folder() / "packs" / f"{manifest.name}-{manifest.version}.tar"
    data = pack(bundle)
    write_atomic(path, data)
    print(f"{path}: {len(data):,} bytes")
    return 0
