"""Unpack wheels, lay out the tree, and let dpkg-deb pack it: the same input gives the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeface_deb import control, tree
from edgeface_deb.targets import Target
from edgeface_deb.wheels import Locked, choose, read_lock

ROOT = Path(__file__).resolve().parents[3]
FILES = Path(__file__).resolve().parents[1] / "files"
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


class BuildError(Exception):
    """It cannot be built: what and what to do, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What every package of one run has in common.

    Attributes
    ----------
    version : of edgeface
    revision : of the package, 1 and up
    epoch : seconds since 1970 that every file is said to be of
    wheel : edgeface's own
    stock : the configuration as it comes
    level : of xz, 1 to 9; 0 packs without compression
    """

    version: str
    revision: int
    epoch: int
    wheel: Path
    stock: str
    level: int


def locked(target: Target) -> list[Locked]:
    """Packages of the target's lock file."""
    return read_lock((ROOT / "requirements" / target.lock).read_text(encoding="utf-8"))


def held(target: Target, folder: Path) -> dict[Locked, Path | None]:
    """Wheel of each locked package in a folder, by its name and hash; None for one that is yet to be fetched."""
    names = [path.name for path in folder.glob("*.whl")]
    found: dict[Locked, Path | None] = {}
    for package in locked(target):
        name = choose(names, package, target)
        path = None if name is None else folder / name
        if path is not None and hashlib.sha256(path.read_bytes()).hexdigest() not in package.hashes:
            path = None
        found[package] = path
    return found


def unpack(wheels: Sequence[Path], target: Target) -> dict[str, bytes]:
    """Files of wheels by their place in the package.

    Raises
    ------
    BuildError : two wheels have different files for one place
    """
    files: dict[str, bytes] = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                spot = None if name.endswith("/") else tree.place(name, target)
                if spot is None:
                    continue
                data = archive.read(name)
                if files.setdefault(str(spot), data) != data:
                    raise BuildError(f"{wheel.name} and another wheel differ in {name}; leave one of them out")
    return files


def needed_glibc(files: Mapping[str, bytes], target: Target) -> tuple[int, int]:
    """The newest C library that a shared object asks for.

    Raises
    ------
    BuildError : it is newer than the target's, or the object is of another architecture
    """
    newest = (0, 0)
    for path, data in files.items():
        if data[:4] != b"\x7fELF":
            continue
        if not control.is_for(data, target.arch):
            raise BuildError(f"{path} is not for {target.arch}; empty .cache/deb and build again")
        newest = max(newest, control.newest_glibc(data))
    if newest > target.system.glibc:
        wanted, there = ("{}.{}".format(*pair) for pair in (newest, target.system.glibc))
        raise BuildError(f"a library asks for glibc {wanted}, {target.system.serves} has {there}; lock an older one")
    return newest


def contents(target: Target, inputs: Inputs, wheels: Sequence[Path]) -> dict[str, bytes]:
    """Every file of the package by its place."""
    version = target.version(inputs.version, inputs.revision)
    texts = {
        tree.PROGRAM: control.fill(_text(FILES / "launcher"), target),
        tree.UNIT: control.unit(_text(ROOT / "systemd/edgeface.service")),
        tree.TUNE: control.unit(_text(ROOT / "systemd/edgeface-tune.service")),
        tree.JETSON: _text(ROOT / "systemd/edgeface.service.d/jetson.conf"),
        tree.STOCK: inputs.stock,
        tree.OVERRIDES: control.overrides(),
        f"{tree.DOC}/copyright": _text(FILES / "copyright"),
        f"{tree.DOC}/NOTICE": _text(ROOT / "NOTICE"),
    }
    packed = {
        f"{tree.DOC}/changelog.gz": _text(ROOT / "CHANGELOG.md"),
        f"{tree.DOC}/changelog.Debian.gz": control.changelog(
            target, version, upstream=inputs.version, epoch=inputs.epoch
        ),
        tree.MANUAL: control.manual(inputs.version, inputs.epoch),
    }
    files = unpack([*wheels, inputs.wheel], target)
    files.update({path: text.encode() for path, text in texts.items()})
    # What the program's hints name: `docs/installing.md` is there from /usr/share/doc/edgeface.
    shown = [("docs", "*.md"), ("docs/install", "*.md"), ("docs/install", "*.svg")]
    pages = [page for folder, kind in shown for page in (ROOT / folder).glob(kind)]
    files.update({f"{tree.DOC}/{page.relative_to(ROOT)}": page.read_bytes() for page in pages})
    files.update({path: gzip.compress(text.encode(), 9, mtime=0) for path, text in packed.items()})
    return files


def pack(target: Target, inputs: Inputs, wheels: Sequence[Path], out: Path) -> Path:
    """Write the package of a target into ``out``; it is there whole or not at all."""
    files = contents(target, inputs, wheels)
    version = target.version(inputs.version, inputs.revision)
    text = control.control(
        target,
        version,
        installed_kb=control.installed_kb(len(data) for data in files.values()),
        glibc=needed_glibc(files, target),
    )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".deb-", dir=out) as name:
        root = Path(name) / "root"
        for path, data in files.items():
            _write(root / path, data, executable=path == tree.PROGRAM)
        for empty in (tree.CREDENTIALS, tree.KEYS):
            (root / empty).mkdir(parents=True)
        _write(root / "DEBIAN/control", text.encode())
        _write(root / "DEBIAN/md5sums", control.md5sums(files).encode())
        for script in SCRIPTS:
            _write(root / "DEBIAN" / script, control.fill(_text(FILES / script), target).encode(), executable=True)
        _settle(root)
        made = Path(name) / "made.deb"
        _dpkg_deb(root, made, inputs)
        place = out / target.file(inputs.version, inputs.revision)
        made.replace(place)
    return place


def _dpkg_deb(root: Path, made: Path, inputs: Inputs) -> None:
    compression = ["-Zxz", f"-z{inputs.level}"] if inputs.level else ["-Znone"]
    command = ["dpkg-deb", "--root-owner-group", *compression, "--build", str(root), str(made)]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(inputs.epoch), "LC_ALL": "C"}
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BuildError("dpkg-deb is not installed; apt install dpkg") from None
    if done.returncode != 0:
        raise BuildError(f"dpkg-deb failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}; see the free space")


def _settle(root: Path) -> None:
    """Give folders modes that do not hang on the umask; times are dpkg-deb's matter, by SOURCE_DATE_EPOCH."""
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            path.chmod(0o700 if path.relative_to(root) == Path(tree.CREDENTIALS) else 0o755)


def _write(path: Path, data: bytes, *, executable: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o755 if executable else 0o644)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
