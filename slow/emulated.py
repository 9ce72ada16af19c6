"""A Debian of 64-bit ARM in a folder, whose programs run here: natively on ARM, elsewhere under qemu-user.

Not booted: a change of root with the processes, the devices and the network of this machine. What emulation would
otherwise show as faults of the program:

- Without a processor named, qemu-user 7.2 offers SME, with which XNNPACK computes nonsense. No Pi and no Jetson has it.
- It shows this machine's ``/proc/cpuinfo``, of which ONNX Runtime dies at import. A Pi 4's text is laid over it.
- qemu-user has no seccomp, no cgroups: the unit's limits are not tried here (``scripts/slow image`` boots).
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from slow.nspawn import unpack_root

NATIVE = platform.machine() == "aarch64"
PACKAGES = "python3,udev,init-system-helpers"
"""What ours depends on; the rest comes with these. A package less is minutes less."""
TOOLS = {"mmdebstrap": "mmdebstrap", "arch-test": "arch-test", "mosquitto": "mosquitto", "dpkg-deb": "dpkg"}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
CORES = 4
CPUINFO = (
    "".join(
        f"processor\t: {core}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n"
        "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n"
        for core in range(CORES)
    )
    + "Revision\t: c03114\nSerial\t\t: 10000000abcdef01\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"
)
"""Of a Raspberry Pi 4, as its kernel writes it."""
ENTER = """
root="$1" clips="$2" cpuinfo="$3"; shift 3
mount -t proc proc "$root/proc"; mount -t sysfs -o ro sysfs "$root/sys"
if [ -n "$cpuinfo" ]; then mount --bind "$cpuinfo" "$root/proc/cpuinfo"; fi
mount --rbind /dev "$root/dev"; mount -t tmpfs tmpfs "$root/run"
mount --bind -o ro "$clips" "$root/mnt"
exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    LANG=C.UTF-8 TERM=dumb DEBIAN_FRONTEND=noninteractive "$@"
"""


def missing() -> str | None:
    """What this machine lacks, and the fix, in one line; None where nothing is missing."""
    if os.geteuid() != 0:
        return "only root can enter another system; sudo packaging/arm64-test"
    for tool, package in TOOLS.items():
        if shutil.which(tool, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") is None:
            return f"{tool} is not installed; apt install {package}"
    if not KEYRING.is_file():
        return "Debian's keys are not here; apt install debian-archive-keyring"
    if subprocess.run(["arch-test", "arm64"], capture_output=True, check=False).returncode != 0:
        return (
            "programs for arm64 do not run here; apt install qemu-user-static binfmt-support, then "
            "update-binfmts --enable qemu-aarch64"
        )
    return None


class EmulatedRoot:
    """A fresh root of its own.

    Parameters
    ----------
    tar : that ``make_root`` wrote
    clips : folder that lies read-only at ``/mnt`` inside
    processor : as QEMU names it; nothing where programs run natively
    """

    def __init__(self, tar: Path, folder: Path, *, clips: Path, processor: str) -> None:
        self.root = unpack_root(tar, folder)
        self._clips = clips
        self._environ = [] if NATIVE else [f"QEMU_CPU={processor}"]
        self._cpuinfo = ""
        if not NATIVE:
            with tempfile.NamedTemporaryFile("w", dir=folder.parent, suffix=".cpuinfo", delete=False) as file:
                file.write(CPUINFO)
            self._cpuinfo = file.name

    def run(self, *command: str, most_s: float) -> subprocess.CompletedProcess[str]:
        """Run a command inside, in mounts of its own: nothing stays mounted."""
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", ENTER, "sh"]
        words = [str(self.root), str(self._clips), self._cpuinfo, *self._environ, *command]
        return subprocess.run(
            [*enter, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=most_s,
            check=False,
        )
