"""``packaging/image/build``: from the package registries to ``dist/edgeface-arm64.img.xz``."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edgeface_deb.arguments import Parser

from edgeface_image import boot, disk, roots
from edgeface_image.apt import Apt, BuildError, run
from edgeface_image.contents import (
    DATA_LINKS,
    ENABLED,
    FIRMWARE,
    INITRD_PACKAGES,
    KERNEL,
    MASKED,
    MIRROR,
    SECURITY,
    UNITS,
)

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "image"
NAME = "edgeface-arm64"
EPOCH = "usr/lib/clock-epoch"
"""By the time of this file systemd sets a clock that is behind it: no node starts before its image was made."""
VERSION, NAMESPACE = "usr/share/edgeface-image/version", "edgeface-slot"
STOCK = "usr/share/edgeface/edgeface.toml"
PUBLIC = re.compile(r"((ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]+ [A-Za-z0-9+/]+=*( [^\n]*)?\n?)+")
"""As the node's edgeface-slot takes them."""


def parser() -> argparse.ArgumentParser:
    """Options."""
    made = Parser(prog="packaging/image/build", description="Builds the image of a card.")
    made.add_argument("--deb", type=Path, help="the package for Debian 13 on arm64; default: the newest in dist/")
    made.add_argument("--mirror", default=MIRROR, metavar="URL", help=f"of Debian ({MIRROR})")
    made.add_argument("--security", default=SECURITY, metavar="URL", help=f"of its security updates ({SECURITY})")
    made.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="where to put it (dist)")
    made.add_argument("--level", type=int, choices=range(10), default=2, help="of xz (2): a slot is packed already")
    made.add_argument(
        "--update-key", type=Path, metavar="FILE.pub", help="public key of OpenSSH: updates that it signed are believed"
    )
    made.add_argument("--sign", type=Path, metavar="KEY", help="secret key of OpenSSH, for the update that is built")
    made.add_argument("--slot-level", type=int, choices=range(1, 23), default=19, help="of the slot's zstd (19)")
    made.add_argument("--keep-disk", action="store_true", help="keep the disk unpacked beside the image, for a test")
    made.add_argument(
        "--url", default="https://example.org", help="folder on a server where the image will lie, for os-list.json"
    )
    return made


class Told:
    """Says how long each step took."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    def step(self, what: str) -> None:
        """End the one before."""
        now_s = time.monotonic()
        print(f"edgeface: {what} ({now_s - self._began_s:.0f} s)", file=sys.stderr, flush=True)
        self._began_s = now_s


def newest_deb(folder: Path) -> Path:
    """The package that was built last.

    Raises
    ------
    BuildError : there is none
    """
    found = sorted(folder.glob("edgeface_*~deb13_arm64.deb"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise BuildError(f"{folder} has no package for Debian 13; run packaging/deb/build --arch arm64 --python 3.13")
    return found[-1]


def wrong_keys(update_key: Path | None, sign: Path | None) -> str | None:
    """What is wrong with the keys that were named, before minutes are spent; None where nothing is."""
    for path in (update_key, sign):
        if path is not None and not path.is_file():
            return f"there is no file {path}; see ssh-keygen -t ed25519"
    if update_key is None:
        return None
    text = update_key.read_text(encoding="utf-8", errors="replace")
    if "PRIVATE KEY" in text:
        return f"{update_key} is a secret key, which would lie on every card; give its public half (.pub)"
    if not PUBLIC.fullmatch(text):
        return f"{update_key} is no public key of OpenSSH; give the file that ends with .pub"
    return None


def configure(root: Path, twin: Path, deb: Path, version: str, key: Path | None, epoch: int) -> None:
    """Put ours into the root: the package, the card's step, units; what is written at each boot has its place."""
    run(["dpkg-deb", "--extract", deb, root])
    compile_sources(root, twin)
    shutil.copytree(HERE / "files/root", root, dirs_exist_ok=True)
    (root / "etc/sudoers.d/edgeface").chmod(0o440)
    library = root / "usr/lib/edgeface-image"
    shutil.copytree(HERE / "edgeface_card", library / "edgeface_card", ignore=shutil.ignore_patterns("__pycache__"))
    for unit, target in ENABLED.items():
        link = root / f"etc/systemd/system/{target}.wants" / unit
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(f"/{UNITS}/{unit}")
    for unit in MASKED:
        for link in root.glob(f"etc/systemd/system/*.wants/{unit}"):
            link.unlink()
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    for generator in ("systemd-run-generator", "systemd-gpt-auto-generator", "systemd-ssh-generator"):
        link = root / "etc/systemd/system-generators" / generator
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("/dev/null")
    for name in DATA_LINKS:
        (root / name).mkdir(parents=True, exist_ok=True)
    keys = root / "etc/edgeface/keys"
    keys.mkdir(parents=True, exist_ok=True)
    if key is not None:
        shutil.copy(key, keys / "update.pub")
    said = root / VERSION
    said.parent.mkdir(parents=True, exist_ok=True)
    said.write_text(f"{version}\n")
    keep_epoch(root, epoch)
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").write_text("edgeface\n")
    (root / "etc/locale.conf").write_text("LANG=C.UTF-8\n")
    for name in ("passwd-", "shadow-", "group-", "gshadow-", ".pwd.lock"):
        (root / "etc" / name).unlink(missing_ok=True)


def keep_epoch(root: Path, epoch: int) -> None:
    """No clock of a node starts before the image was made, seconds since 1970."""
    path = root / EPOCH
    path.touch()
    os.utime(path, (epoch, epoch))


def compile_sources(root: Path, twin: Path) -> None:
    """Let the twin's Python, which is the same, compile our sources: the code is the same on every processor."""
    for place in ("usr/lib/edgeface",):
        target = twin / place
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(root / place, target, ignore=shutil.ignore_patterns("*.so*", "*.onnx", "*.tflite"))
        run(["chroot", twin, "/usr/bin/python3", "-I", "-m", "compileall", "-q", "--invalidation-mode",
             "unchecked-hash", f"/{place}"])  # fmt: skip
        for path in target.rglob("*.pyc"):
            copy = root / path.relative_to(twin)
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(path, copy)
        shutil.rmtree(target)


def build(args: argparse.Namespace, epoch: int, told: Callable[[str], None]) -> Path:
    """Build everything; the image."""
    deb = args.deb or newest_deb(ROOT / "dist")
    CACHE.mkdir(parents=True, exist_ok=True)
    work = CACHE / "work"
    work.mkdir(exist_ok=True)
    twin, root = CACHE / "twin", work / "root"
    roots.make_twin(twin, args.mirror, args.security)
    told("the packages are installed in a root of this machine's architecture")
    apt = Apt(CACHE / "apt", args.mirror, args.security)
    apt.update()
    release = apt.kernel_release()
    debs = apt.fetch(roots.installed(twin))
    kernel_debs = apt.fetch([f"{name}-{release}" for name in KERNEL])
    other = {name: apt.fetch([name])[0] for name in (*FIRMWARE, *INITRD_PACKAGES)}
    told(f"{len(debs)} packages, the kernel {release} and firmware are here")
    roots.unpack([*debs, *(other[name] for name in FIRMWARE if name != "raspi-firmware")], root)
    carried = roots.carry_over(twin, root)
    told(f"the root is unpacked, and {carried} files came over from the other one")
    kernel, firmware = work / "kernel", work / "firmware"
    for folder, parts in (
        (kernel, kernel_debs),
        (firmware, [other["raspi-firmware"], *(other[n] for n in INITRD_PACKAGES)]),
    ):
        shutil.rmtree(folder, ignore_errors=True)
        for part in parts:
            run(["dpkg-deb", "--extract", part, folder])
    boot.install_modules(kernel, release, root)
    version = deb.name.split("_")[1].partition("-")[0]
    configure(root, twin, deb, version, args.update_key, epoch)
    roots.leave_out(root)
    write_list(root, [*debs, *kernel_debs, *other.values(), deb])
    if wrong := roots.foreign(root):
        raise BuildError(f"{wrong[0].relative_to(root)} is not for ARM; the twin's files may not come over")
    busybox = next(path for path in firmware.rglob("busybox") if path.is_file() and path.parent.name == "bin")
    initrd = boot.make_initrd(work, boot.needed_modules(root, release), (HERE / "files/init").read_text(), busybox)
    texts = {
        "edgeface.toml": (root / STOCK).read_text(encoding="utf-8"),
        "network.txt": (HERE / "files/network.txt").read_text(encoding="utf-8"),
    }
    files = boot.boot_files(kernel, release, firmware, initrd, texts)
    told("the root is configured")
    slot = work / "slot.squashfs"
    disk.make_slot(root, slot, epoch, args.slot_level)
    told(f"a slot has {slot.stat().st_size / 1e6:.0f} MB")
    raw = work / f"{NAME}.img"
    disk.make_disk(raw, files, slot, work, epoch)
    args.out.mkdir(parents=True, exist_ok=True)
    image: Path = args.out / f"{NAME}.img.xz"
    figures = disk.compress(raw, image, args.level)
    shutil.copy(HERE / "files/edgeface.svg", args.out)
    shutil.copyfile(slot, args.out / f"{NAME}.slot")
    if args.sign is not None:
        sign(args.out / f"{NAME}.slot", args.sign)
    (args.out / "os-list.json").write_text(disk.os_list(figures, version, args.url.rstrip("/"), epoch))
    told(f"{image} has {image.stat().st_size / 1e6:.0f} MB")
    if not args.keep_disk:
        raw.unlink()
    return image


def sign(slot: Path, key: Path) -> None:
    """Sign an update: beside it lies its signature."""
    slot.with_name(f"{slot.name}.sig").unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", NAMESPACE, slot])


def write_list(root: Path, debs: list[Path]) -> None:
    """What is in the root, one package a line: there is no dpkg that would know."""
    lines = sorted(path.name.removesuffix(".deb").replace("%3a", ":").replace("_", " ") for path in debs)
    place = root / "usr/share/edgeface-image/packages"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("".join(f"{line}\n" for line in lines))


def main() -> int:
    """Build; 1 and one line for what cannot be."""
    args = parser().parse_args()
    if os.geteuid() != 0:
        print("edgeface: owners of files cannot be given; run it as root, or in fakeroot's place: a container",
              file=sys.stderr)  # fmt: skip
        return 2
    if args.deb is not None and not args.deb.is_file():
        print(
            f"edgeface: {args.deb} is no package; run packaging/deb/build --arch arm64 --python 3.13", file=sys.stderr
        )
        return 2
    if wrong := wrong_keys(args.update_key, args.sign):
        print(f"edgeface: {wrong}", file=sys.stderr)
        return 2
    told = Told()
    try:
        build(args, int(os.environ["SOURCE_DATE_EPOCH"]), told.step)
    except BuildError as error:
        print(f"edgeface: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
