"""What starts before the root: the kernel's modules, the first program, the files of the first partition."""

from __future__ import annotations

import gzip
import lzma
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path

from edgeface_image.apt import BuildError, run
from edgeface_image.contents import (
    BOOT_FIRMWARE,
    DEVICE_TREES,
    DISK_ID,
    INITRD_MODULES,
    NO_MODULES,
)

CONFIG_TXT = """# Read by the board's own firmware.
arm_64bit=1
kernel=vmlinuz
initramfs initrd.gz followkernel
enable_uart=1
upstream_kernel=1
disable_splash=1

[pi3]
gpu_mem=16

[all]
"""
CMDLINE = (
    "console=ttyS0,115200 console=tty1 panic=10 net.ifnames=0 systemd.getty_auto=no systemd.show_status=no quiet "
    "reserve_mem=1M:4096:oops ramoops.mem_name=oops ramoops.record_size=65536"
)


def install_modules(kernel: Path, release: str, root: Path) -> None:
    """Put the modules into the root, without those of hardware that no such board takes, and index them."""
    source, target = kernel / "usr/lib/modules" / release, root / "usr/lib/modules" / release
    shutil.copytree(source / "kernel", target / "kernel")
    for name in NO_MODULES:
        shutil.rmtree(target / "kernel" / name, ignore_errors=True)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy(source / name, target / name)
    run(["depmod", "-b", root, release])


def needed_modules(root: Path, release: str) -> list[Path]:
    """Modules of the initrd in the order in which they are loaded."""
    order: list[Path] = []
    for name in INITRD_MODULES:
        try:
            said = run(["modprobe", "-d", root, "-S", release, "--show-depends", name])
        except BuildError:
            continue  # this kernel has no such module
        for line in said.splitlines():
            kind, _, rest = line.partition(" ")
            path = Path(rest.split()[0]) if kind == "insmod" else None
            if path is not None and path not in order:
                order.append(path)
    return order


def make_initrd(work: Path, modules: Sequence[Path], init: str, busybox: Path) -> bytes:
    """Pack the first program, busybox and the modules, unpacked: busybox reads no .xz."""
    tree = work / "initrd"
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("bin", "modules", "dev"):
        (tree / name).mkdir(parents=True)
    shutil.copy(busybox, tree / "bin/busybox")
    script = tree / "init"
    script.write_text(init.replace("@SIGNATURE@", struct.pack("<I", DISK_ID).hex()))
    script.chmod(0o755)
    names = []
    for path in modules:
        data = path.read_bytes()
        name = path.name.removesuffix(".xz")
        (tree / "modules" / name).write_bytes(lzma.decompress(data) if path.suffix == ".xz" else data)
        names.append(name)
    (tree / "modules/order").write_text("".join(f"{name}\n" for name in names))
    packed = work / "initrd.cpio"
    pack = f"find . -print0 | LC_ALL=C sort -z | cpio --null --quiet --reproducible -o -H newc -R 0:0 >{packed}"
    run(["sh", "-c", pack], folder=tree)
    return gzip.compress(packed.read_bytes(), 9, mtime=0)


def boot_files(kernel: Path, release: str, firmware: Path, initrd: bytes, texts: dict[str, str]) -> dict[str, bytes]:
    """Files of the first partition by their names."""
    modules = kernel / "usr/lib/modules" / release
    files = {"vmlinuz": (modules / "vmlinuz").read_bytes(), "initrd.gz": initrd}
    for name in DEVICE_TREES:
        path = modules / "dtb/broadcom" / f"{name}.dtb"
        if not path.exists():
            raise BuildError(f"the kernel {release} has no device tree {name}; correct DEVICE_TREES")
        files[path.name] = path.read_bytes()
    for name in BOOT_FIRMWARE:
        files[name] = (firmware / "usr/lib/raspi-firmware" / name).read_bytes()
    files["config.txt"] = CONFIG_TXT.encode()
    files["cmdline.txt"] = f"{CMDLINE}\n".encode()
    files.update({name: text.encode() for name, text in texts.items()})
    return files
