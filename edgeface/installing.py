"""Bundles as archives: read with suspicion, tried, and put in their place in one step.

An archive is a plain ``.tar`` that holds one folder ``NAME/`` with ``manifest.json`` and the files that it names, and
nothing else. `python -m converters pack` writes it.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from edgeface.bundle import MANIFEST, SEARCH_PATH, Bundle, Network, open_bundle
from edgeface.errors import BundleError, EdgefaceError, RuntimeMissingError, UsageError
from edgeface.files import swap_folder
from edgeface.runtime import load_network
from edgeface.selftest import check

INSTALLED = SEARCH_PATH[0]
"""Where bundles are installed, and what is searched first."""
LARGEST_BYTES = 500_000_000
"""Most that an archive may unpack to: the largest network of the field has 268 MB."""
MOST_FILES = 1000
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def install(archive: Path, parent: Path = INSTALLED, *, allow_random: bool = False) -> Bundle:
    """Unpack an archive, check every byte, run every self-test, and let the bundle take its place.

    Parameters
    ----------
    archive : file that ``pack`` wrote
    parent : folder of bundles; one of the same name is replaced when all is well, and not before
    allow_random : take networks that were never trained

    Raises
    ------
    UsageError : no such file
    BundleError : the archive cannot be trusted, or a network computes wrongly here
    EdgefaceError : the folder cannot be written
    """
    if not archive.is_file():
        raise UsageError(f"there is no file {archive}", fix="give an archive that `python -m converters pack` wrote")
    with _scratch(parent) as scratch:
        unpacked = _unpack(archive, scratch)
        bundle = open_bundle(unpacked, allow_random=allow_random)
        if bundle.manifest.name != unpacked.name:
            raise BundleError(
                f"{archive} calls {unpacked.name} what its manifest calls {bundle.manifest.name}", fix="do not use it"
            )
        _expect_only_what_is_named(bundle, archive)
        for network in bundle.manifest.networks:
            try_network(bundle, network)
        place = parent / unpacked.name
        swap_folder(unpacked, place)
    return Bundle(folder=place, manifest=bundle.manifest)


def remove(name: str, parent: Path = INSTALLED) -> Path:
    """Take an installed bundle away; the folder that it had.

    Raises
    ------
    UsageError : there is none of this name there
    EdgefaceError : the folder cannot be written
    """
    place = parent / name
    if not NAME.fullmatch(name) or not (place / MANIFEST).is_file():
        installed = sorted(path.parent.name for path in parent.glob(f"*/{MANIFEST}"))
        raise UsageError(
            f"no bundle '{name}' is installed in {parent}", fix=f"installed there: {', '.join(installed) or 'none'}"
        )
    with _scratch(parent) as scratch:
        # Out of the way in one step: who looks meanwhile finds it whole or not at all.
        place.rename(scratch / name)
    return place


def _unpack(archive: Path, scratch: Path) -> Path:
    """Write the archive's files below ``scratch``; links, devices and paths outside are refused."""
    names: set[str] = set()
    total = 0
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                parts = _parts(member, archive)
                total += member.size
                if total > LARGEST_BYTES or len(names) >= MOST_FILES:
                    raise BundleError(f"{archive} holds too much", fix="do not use it")
                if member.name in names:
                    raise BundleError(f"{archive} holds {member.name} twice", fix="do not use it")
                names.add(member.name)
                stream = tar.extractfile(member)
                assert stream is not None
                path = scratch.joinpath(*parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    shutil.copyfileobj(stream, file)
                path.chmod(0o644)
    except (tarfile.TarError, EOFError) as error:
        raise BundleError(f"{archive} is not a bundle's archive: {error}", fix="pack it again") from None
    except OSError as error:
        what = f"{archive} cannot be unpacked: {error.strerror}"
        raise EdgefaceError(what, fix="free some room, or copy the file anew") from None
    tops = {PurePosixPath(name).parts[0] for name in names}
    if len(tops) != 1 or f"{next(iter(tops))}/{MANIFEST}" not in names:
        raise BundleError(f"{archive} does not hold one folder with a {MANIFEST}", fix="pack it again")
    return scratch / next(iter(tops))


def _parts(member: tarfile.TarInfo, archive: Path) -> tuple[str, ...]:
    """Parts of a member's path; BundleError for anything but a file that lies inside."""
    parts = PurePosixPath(member.name).parts
    climbs = member.name.startswith("/") or ".." in parts or "\\" in member.name or "\0" in member.name
    if climbs or len(parts) < 2 or not NAME.fullmatch(parts[0]):
        raise BundleError(f"{archive} holds a path outside its folder: {member.name!r}", fix="do not use it")
    if not member.isreg():
        raise BundleError(f"{archive} holds {member.name!r}, which is no plain file", fix="do not use it")
    return parts


def _expect_only_what_is_named(bundle: Bundle, archive: Path) -> None:
    named = {MANIFEST} | {network.selftest.path for network in bundle.manifest.networks}
    named |= {f.path for network in bundle.manifest.networks for files in network.files.values() for f in files}
    found = {path.relative_to(bundle.folder).as_posix() for path in bundle.folder.rglob("*") if path.is_file()}
    if found - named:
        stray = min(found - named)
        raise BundleError(f"{archive} holds {stray}, which its manifest does not name", fix="do not use it")


def try_network(bundle: Bundle, network: Network) -> None:
    """Hash every file of a network and run its self-test wherever its runtime is installed.

    Raises
    ------
    BundleError : a file is not the one of the manifest, or computes wrongly here
    """
    for file in (file for files in network.files.values() for file in files):
        bundle.read(file.path, size=file.bytes, sha256=file.sha256)
        if network.takes_window:
            continue  # a device does not run these
        try:
            runner = load_network(bundle, network, file.runtime, precision=file.precision)
        except RuntimeMissingError:
            continue
        check(bundle, network, runner)


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """Folder beside the bundles, so that the last step is a rename; gone afterwards."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(dir=parent, prefix=".edgeface-")
    except OSError as error:
        raise EdgefaceError(
            f"{parent} cannot be written: {error.strerror}", fix="run it with sudo, or name another folder with --to"
        ) from None
    try:
        yield Path(scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
