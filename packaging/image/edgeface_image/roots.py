"""The root for ARM without an emulator.

The same packages are installed in a root of this machine's own architecture, the twin, where their scripts run as they
are. What these made there is text: users, alternatives, links of enabled units. It is carried over to the packages for
ARM, which are only unpacked. What would be a program or a library of this machine is an error.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeface_image.apt import BuildError, run, sources
from edgeface_image.contents import PACKAGES, SUITE, TRIPLET

NOT_CARRIED = (
    "proc", "sys", "dev", "run", "tmp", "var/cache", "var/log", "var/lib/apt", "var/lib/dpkg", "var/lib/ucf",
    "var/lib/systemd/deb-systemd-helper-enabled", "var/lib/systemd/deb-systemd-user-helper-enabled",
    "etc/machine-id", "etc/hostname", "etc/ld.so.cache", "etc/apt/sources.list", "etc/fstab", "etc/mtab",
)  # fmt: skip
NATIVE = f"{platform.machine()}-linux-gnu"
OWN_TO_A_NODE = "ssh_host_"
LEFT_OUT = (
    "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bash-completion",
    "usr/share/zsh", "usr/share/bug", "usr/share/doc-base", "usr/share/common-licenses-not", "var/lib/apt", "boot",
)  # fmt: skip
"""Of the packages; copyrights stay."""


def make_twin(folder: Path, mirror: str, security: str) -> None:
    """Install the packages in a root of this machine's architecture; one that was made of the same list is kept."""
    stamp = "\n".join([*sources(mirror, security), *PACKAGES])
    if (folder.with_suffix(".stamp")).exists() and folder.with_suffix(".stamp").read_text() == stamp:
        return
    shutil.rmtree(folder, ignore_errors=True)
    run([
        "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, folder,
        *sources(mirror, security),
    ])  # fmt: skip
    folder.with_suffix(".stamp").write_text(stamp)


def installed(twin: Path) -> list[str]:
    """Names of the packages of a root."""
    lines = (twin / "var/lib/dpkg/status").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("Package: ") for line in lines if line.startswith("Package: ")]


def unpack(debs: Sequence[Path], root: Path) -> None:
    """Unpack packages into a new root, base-files first: it has the links of a merged /usr."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for deb in sorted(debs, key=lambda path: (not path.name.startswith("base-files_"), path.name)):
        run(["dpkg-deb", "--extract", deb, root])
    for name in ("proc", "sys", "dev", "run", "tmp", "root", "data", "boot/firmware"):
        (root / name).mkdir(parents=True, exist_ok=True)


def owned(twin: Path) -> set[str]:
    """Every path that a package of a root has, without links of folders in it."""
    found = set()
    for listing in (twin / "var/lib/dpkg/info").glob("*.list"):
        for line in listing.read_text(encoding="utf-8").splitlines():
            folder, name = os.path.split(line.lstrip("/"))
            real = Path(os.path.realpath(twin / folder)).relative_to(twin.resolve()) if folder else Path()
            found.add(str(real / name))
    return found


def carry_over(twin: Path, root: Path) -> int:
    """Give the unpacked root what installing made in its twin, rights and owners included; how many files came over."""
    packaged = owned(twin)
    carried = 0
    for path in _walk(twin):
        name = str(path.relative_to(twin))
        target = root / _renamed(name)
        if turned := path.is_symlink() and target.is_dir() and not target.is_symlink():
            # A folder of a package that its script makes a link, as /var/run to /run: programs would find an empty one.
            if any(target.iterdir()):
                raise BuildError(f"{target} is a folder with files, and a link in {twin}; say which of both holds")
            target.rmdir()
        if turned or (name not in packaged and not os.path.lexists(target)):
            _copy(path, target)
            carried += 1
        if os.path.lexists(target) and path.is_symlink() == target.is_symlink():
            _same_rights(path, target)
    return carried


def leave_out(root: Path) -> None:
    """Take out what no node reads."""
    for name in LEFT_OUT:
        if name != "boot":
            shutil.rmtree(root / name, ignore_errors=True)
    for folder in (root / "usr/share/doc").iterdir():
        for path in [*folder.iterdir()] if folder.is_dir() and not folder.is_symlink() else []:
            if path.name != "copyright":
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def foreign(root: Path) -> list[Path]:
    """Programs and libraries that are for another machine than ARM's; firmware is for what it is for."""
    found = []
    for folder, folders, names in os.walk(root):
        if Path(folder) == root / "usr/lib":
            folders.remove("firmware")
        for name in names:
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as file:
                head = file.read(20)
            if head[:4] == b"\x7fELF" and head[18:20] != b"\xb7\x00":
                found.append(path)
    return found


def _walk(twin: Path) -> Iterator[Path]:
    """Every path but what belongs to no image, folders before what is in them."""
    for folder, folders, names in os.walk(twin):
        here = Path(folder)
        relative = here.relative_to(twin)
        folders[:] = [name for name in folders if str(relative / name) not in NOT_CARRIED]
        for name in [*folders, *names]:
            if str(relative / name) not in NOT_CARRIED and not name.startswith(OWN_TO_A_NODE):
                yield here / name


def _renamed(text: str) -> str:
    return text.replace(NATIVE, TRIPLET)


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        target.symlink_to(_renamed(str(path.readlink())))
    elif path.is_dir():
        target.mkdir()
    elif path.is_file():
        data = path.read_bytes()
        if data[:4] == b"\x7fELF":
            raise BuildError(f"installing made a program: {path}; it would be one of this machine")
        target.write_bytes(data)


def _same_rights(path: Path, target: Path) -> None:
    rights = path.lstat()
    os.chown(target, rights.st_uid, rights.st_gid, follow_symlinks=False)
    if not path.is_symlink():
        target.chmod(rights.st_mode & 0o7777)
