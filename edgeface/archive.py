"""Bundles as archives: read with suspicion, unpacked only as far as the manifest allows.

An archive is a plain ``.tar`` that holds one folder ``NAME/`` with ``manifest.json`` and the files that it names, and
nothing else. `python -m converters pack` writes it.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from edgeface.bundle import MANIFEST, Manifest, members, plain, read_manifest
from edgeface.errors import BundleError, EdgefaceError

LARGEST_BYTES = 500_000_000
"""Most that an archive may have: the largest network of the field has 268 MB."""
MOST_FILES = 1000
HEADERS_BYTES = 10_240 + 4096 * MOST_FILES
"""What a tar file may have beside its members: headers, padding, its end."""
MOST_BYTES = LARGEST_BYTES + HEADERS_BYTES
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
UNREADABLE = (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError, MemoryError)
"""What tarfile raises for what is no archive: also for numbers that are none, and headers of headers without end."""


class _Member(tarfile.TarInfo):
    """A member whose size cannot be negative: tarfile before Python 3.13.6 reads such an archive for ever."""

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.ReadError("a size below zero")
        return super()._block(count)  # type: ignore[misc,no-any-return]


def unpack(path: Path, scratch: Path, *, name: str | None = None) -> Path:
    """Write the archive's folder below ``scratch``, files 0644 and folders 0755 whatever the umask.

    The manifest is read first, and every other member must be one of its files, in the size that it states: nothing is
    written that it does not name. ``name`` is what the archive is called in errors; None: its path.

    Raises
    ------
    BundleError : the archive cannot be trusted
    EdgefaceError : it cannot be read or written
    """
    archive = name or str(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BundleError(f"{archive} holds too much", fix="do not use it")
        with tarfile.open(path, "r:", tarinfo=_Member) as tar:
            found = _list(tar, archive)
            folder, manifest = _read_manifest(tar, found, archive)
            _expect_what_is_named(manifest, folder, found, archive)
            for place, member in found.items():
                _write(tar, member, scratch.joinpath(*place.parts))
    except UNREADABLE as error:
        raise BundleError(f"{archive} is not a bundle's archive: {plain(str(error))}", fix="pack it again") from None
    except OSError as error:
        what = f"{archive} cannot be unpacked: {error.strerror}"
        raise EdgefaceError(what, fix="free some room, or copy the file anew") from None
    return scratch / folder


def _list(tar: tarfile.TarFile, archive: str) -> dict[PurePosixPath, tarfile.TarInfo]:
    """Members by path, plain files inside their folder, each once."""
    found: dict[PurePosixPath, tarfile.TarInfo] = {}
    total = 0
    for member in tar:
        path = _path(member, archive)
        total += member.size
        if total > LARGEST_BYTES or len(found) >= MOST_FILES:
            raise BundleError(f"{archive} holds too much", fix="do not use it")
        if path in found:
            raise BundleError(f"{archive} holds {plain(member.name)} twice", fix="do not use it")
        found[path] = member
    return found


def _path(member: tarfile.TarInfo, archive: str) -> PurePosixPath:
    """Path of a member; BundleError for anything but a file that lies inside."""
    path = PurePosixPath(member.name)
    parts = path.parts
    climbs = member.name.startswith("/") or ".." in parts or "\\" in member.name or not member.name.isprintable()
    if member.isdir() and not climbs:
        raise BundleError(
            f"{archive} holds an entry of a folder ({plain(repr(member.name))}), files alone belong there",
            fix="pack it with `python -m converters pack`",
        )
    if climbs or len(parts) < 2 or not NAME.fullmatch(parts[0]):
        raise BundleError(f"{archive} holds a path outside its folder: {plain(repr(member.name))}", fix="do not use it")
    if not member.isreg() or member.issparse() or member.size < 0:
        raise BundleError(f"{archive} holds {plain(repr(member.name))}, which is no plain file", fix="do not use it")
    return path


def _read_manifest(
    tar: tarfile.TarFile, found: Mapping[PurePosixPath, tarfile.TarInfo], archive: str
) -> tuple[str, Manifest]:
    """Return the archive's one folder and its manifest."""
    tops = {path.parts[0] for path in found}
    member = found.get(PurePosixPath(min(tops, default=""), MANIFEST))
    if len(tops) != 1 or member is None:
        raise BundleError(f"{archive} does not hold one folder with a {MANIFEST}", fix="pack it again")
    (folder,) = tops
    stream = tar.extractfile(member)
    assert stream is not None
    manifest = read_manifest(stream.read(), f"{archive}: {MANIFEST}")
    if manifest.name != folder:
        raise BundleError(f"{archive} calls {folder} what its manifest calls {manifest.name}", fix="do not use it")
    return folder, manifest


def _expect_what_is_named(
    manifest: Manifest, folder: str, found: Mapping[PurePosixPath, tarfile.TarInfo], archive: str
) -> None:
    sizes = {network.selftest.path: network.selftest.bytes for network in manifest.networks}
    for network in manifest.networks:
        sizes |= {file.path: file.bytes for files in network.files.values() for file in files}
        for name in members(network):
            if PurePosixPath(folder, name) not in found:
                raise BundleError(f"{archive} lacks {plain(name)}, which its manifest names", fix="pack it again")
    named = {PurePosixPath(folder, name): size for name, size in sizes.items()}
    for path, member in found.items():
        if path == PurePosixPath(folder, MANIFEST):
            continue
        inner = path.relative_to(folder)
        if path not in named:
            raise BundleError(f"{archive} holds {inner}, which its manifest does not name", fix="do not use it")
        if member.size != named[path]:
            raise BundleError(
                f"{archive}: {inner} has {member.size} bytes, it is not the file of the manifest", fix="do not use it"
            )


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    top = next(parent for parent in path.parents if parent.is_dir())
    path.parent.mkdir(parents=True, exist_ok=True)
    for parent in path.parents:
        if parent == top:
            break
        parent.chmod(0o755)
    stream = tar.extractfile(member)
    assert stream is not None
    with path.open("wb") as file:
        shutil.copyfileobj(stream, file)
    path.chmod(0o644)
