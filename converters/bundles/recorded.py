"""Manifests on record: of bundles that are not committed as files, the hashes to expect and the figures measured."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import msgspec

from converters.paths import BUNDLE
from converters.recipes.reading import RECIPES
from edgeface.bundle import MANIFEST, Manifest


def recorded() -> list[Manifest]:
    """Manifests of the bundles that are not committed as files."""
    paths = sorted((RECIPES / "bundles").glob(f"*.{MANIFEST}"))
    return [msgspec.json.decode(path.read_bytes(), type=Manifest) for path in paths]


def recorded_path(name: str) -> Path:
    """Where the manifest of a bundle is kept whose files are not committed; the default one's lies with its files."""
    return BUNDLE / MANIFEST if name == "default" else RECIPES / "bundles" / f"{name}.{MANIFEST}"


def unlike_recorded(made: Manifest) -> Iterator[str]:
    """Words for every file whose bytes are not those on record, though the tools are the same.

    The same recipe and the same tools give the same bytes on linux x86-64; elsewhere, and with other tools, `verify`
    says how far a file is off.
    """
    path = recorded_path(made.name)
    if not path.is_file() or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return
    known = msgspec.json.decode(path.read_bytes(), type=Manifest)
    if known.made_by != made.made_by:
        return
    hashes = {f.path: f.sha256 for n in known.networks for files in n.files.values() for f in files}
    for file in (file for n in made.networks for files in n.files.values() for file in files):
        if hashes.get(file.path, file.sha256) != file.sha256:
            yield f"{file.path} is not the file on record in {path.name}: its recipe or our code has changed"
