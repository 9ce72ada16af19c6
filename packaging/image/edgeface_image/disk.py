"""Files become file systems, and these a disk: without a loop device."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgeface_image.apt import BuildError, run
from edgeface_image.contents import MIB, PARTITIONS, START, offsets, partition_table, size

DATA_LABEL = "edgeface-data"
LARGEST_BLOCKS = 2**27
"""To which it can grow while it is mounted without a change of its own layout: 512 GiB."""


def make_slot(root: Path, target: Path, epoch: int, level: int) -> None:
    """The root as one file that cannot be written, packed by zstd with a level from 1 to 22.

    Raises
    ------
    BuildError : it is larger than a slot
    """
    target.unlink(missing_ok=True)
    # Older times stay as they are: Python believes a compiled file by the time of its source.
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    run([
        "mksquashfs", root, target, "-comp", "zstd", "-Xcompression-level", str(level), "-b", "256K", "-noappend",
        "-quiet", "-no-progress",
    ], env=env)  # fmt: skip
    if target.stat().st_size > PARTITIONS["slot a"]:
        raise BuildError(
            f"the root has {target.stat().st_size / MIB:.0f} MiB and a slot {PARTITIONS['slot a'] / MIB:.0f}"
        )


def make_disk(target: Path, boot: Mapping[str, bytes], slot: Path, work: Path, epoch: int) -> None:
    """Write the whole disk: table, first partition, one slot, an empty data partition."""
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    fat = work / "boot.fat"
    _sized(fat, PARTITIONS["boot"])
    run(["mkfs.vfat", "-F", "32", "-n", "EDGEFACE", "-i", "EDFACE01", "--invariant", fat], env=env)
    folder = work / "boot"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in boot.items():
        (folder / name).write_bytes(data)
        os.utime(folder / name, (epoch, epoch))
    run(["mcopy", "-m", "-i", fat, *sorted(folder.iterdir()), "::"], env={**env, "MTOOLS_SKIP_CHECK": "1"})
    empty = work / "data.ext4"
    make_data(empty, PARTITIONS["data"], env)
    _sized(target, size())
    with subprocess.Popen(["sfdisk", "--quiet", target], stdin=subprocess.PIPE, text=True) as table:
        table.communicate(partition_table())
    if table.returncode:
        raise BuildError("sfdisk could not write the table of partitions")
    for name, path in {"boot": fat, "slot a": slot, "data": empty}.items():
        run(["dd", f"if={path}", f"of={target}", "bs=1M", f"seek={offsets()[name] // MIB}", "conv=notrunc,sparse"])


def make_data(target: Path, length: int, env: Mapping[str, str]) -> None:
    """An empty data partition of so many bytes; a hundredth of it is root's.

    Made as a large one, which it will be: by its size now, ext4 would take blocks of 1 KiB and four times the inodes.
    """
    _sized(target, length)
    large = ["-T", "default", "-b", "4096", "-E", f"lazy_itable_init=0,lazy_journal_init=0,resize={LARGEST_BLOCKS}"]
    run(["mkfs.ext4", "-q", "-L", DATA_LABEL, "-m", "1", *large, "-J", "size=8", target], env=env)


def compress(disk: Path, target: Path, level: int) -> dict[str, Any]:
    """Pack the disk as .xz; sizes and hashes as an ``os-list.json`` names them."""
    plain, packed = hashlib.sha256(), hashlib.sha256()
    beside = target.with_name(f".{target.name}.new")
    packer = lzma.LZMACompressor(preset=level)
    with disk.open("rb") as source, beside.open("wb") as out:
        while block := source.read(4 * MIB):
            plain.update(block)
            part = packer.compress(block)
            packed.update(part)
            out.write(part)
        part = packer.flush()
        packed.update(part)
        out.write(part)
    beside.replace(target)
    return {
        "extract_size": disk.stat().st_size,
        "extract_sha256": plain.hexdigest(),
        "image_download_size": target.stat().st_size,
        "image_download_sha256": packed.hexdigest(),
    }


def os_list(figures: Mapping[str, Any], version: str, url: str, epoch: int) -> str:
    """``os-list.json`` for Raspberry Pi Imager's ``--repo``: with it, and only with it, Imager offers to customise."""
    day = datetime.fromtimestamp(epoch, timezone.utc).date().isoformat()
    entry = {
        "name": f"edgeface {version}",
        "description": "People before a camera as MQTT events; cameras on USB and in the network",
        "icon": f"{url}/edgeface.svg",
        "url": f"{url}/edgeface-arm64.img.xz",
        "release_date": day,
        **figures,
        "devices": ["pi5-64bit", "pi4-64bit", "pi3-64bit"],
        "init_format": "cloudinit",
        "architecture": "armv8",
    }
    return json.dumps({"os_list": [entry]}, indent=2) + "\n"


def _sized(path: Path, length: int) -> None:
    with path.open("wb") as file:
        file.truncate(length)


assert START % MIB == 0
