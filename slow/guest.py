"""A card's image in qemu-system-aarch64: its own disk, broker and login on the host's loopback, and a cord to pull.

The board is QEMU's ``virt``; kernel, initrd and command line are those of the card's first partition, as the
firmware of a Pi would take them.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM

from brokers import free_port

SECTOR = 512
STEADY_SHIFT = 3
"""An instruction takes 2 to the power of this nanoseconds."""
QEMU_CONSOLE = "console=ttyAMA0"
CAMERA = "modules_load=vivid vivid.n_devs=1 vivid.node_types=0x1"
"""Debian's kernel has a camera for tests: a real /dev/video0."""


class GuestError(Exception):
    """The guest did not do what was waited for."""


class Card:
    """A copy of the image as a larger card, whose first partition can be read and written from here.

    Parameters
    ----------
    image : the disk, unpacked
    size_mib : of the card
    """

    def __init__(self, image: Path, place: Path, *, size_mib: int) -> None:
        self.path = place
        subprocess.run(["cp", "--sparse=always", image, place], check=True)
        with place.open("r+b") as file:
            file.truncate(size_mib * 2**20)
            table = file.read(SECTOR)
        self._first, self._data = (struct.unpack("<I", table[at : at + 4])[0] * SECTOR for at in (454, 502))

    @property
    def _fat(self) -> str:
        return f"{self.path}@@{self._first}"

    def write(self, name: str, text: str) -> None:
        """Put a file on the first partition, as a person would."""
        subprocess.run(["mcopy", "-o", "-i", self._fat, "-", f"::{name}"], input=text.encode(), check=True)

    def read(self, name: str) -> bytes:
        """A file of the first partition."""
        return subprocess.run(["mtype", "-i", self._fat, f"::{name}"], capture_output=True, check=True).stdout

    def mark_errors(self) -> None:
        """Mark the data partition as the kernel does where it finds it broken."""
        disk = f"{self.path}?offset={self._data}"
        # What the power's loss has left in the journal would be played back over the mark, or hide all from debugfs.
        subprocess.run(["e2fsck", "-p", disk], check=False, capture_output=True)
        for words in (["-w", "-R", "set_super_value state 2"], ["-R", "stats -h"]):
            done = subprocess.run(["debugfs", *words, disk], check=True, capture_output=True, text=True)
        if "with errors" not in done.stdout:
            raise RuntimeError(f"the data partition could not be marked: {done.stderr}")


class Guest:
    """The board with a card in it.

    Parameters
    ----------
    folder : for its files
    key : private key of the user who may come in
    steady : its time goes by what it has computed, not by the host's: five minutes are as long on a busy host as on a
        calm one. One processor, and slower
    """

    def __init__(
        self,
        card: Card,
        folder: Path,
        *,
        user: str = "",
        key: Path | None = None,
        memory_mib: int = 1024,
        steady: bool = False,
    ) -> None:
        self.card = card
        self.steady = steady
        self.ssh_port = free_port()
        self.serial = folder / "serial.log"
        self._forgotten = 0
        self._folder = folder
        self._user, self._key = user, key
        self._memory_mib = memory_mib
        self._process: subprocess.Popen[bytes] | None = None
        self.began_s = 0.0
        self.second: Path | None = None
        """A file that is there as a second disk, /dev/vdb, from the next start on."""

    def start(
        self,
        *,
        words: str = CAMERA,
        online: bool = True,
        year: int | None = None,
        resets: bool = False,
        devices: Sequence[str] = (),
    ) -> None:
        """Give it power.

        Parameters
        ----------
        devices : more of the emulator's words
        words : on the kernel's command line besides the card's
        online : whether there is a network
        year : what its clock says; None: the true time
        resets : whether it may start anew by itself
        """
        for name in ("vmlinuz", "initrd.gz"):
            (self._folder / name).write_bytes(self.card.read(name))
        append = " ".join([*self.card.read("cmdline.txt").decode().split(), QEMU_CONSOLE, words])
        clock = "vm" if self.steady else "host"
        second: list[str] = []
        if self.second is not None:
            second = ["-drive", f"if=none,file={self.second},format=raw,id=d1,readonly=on", "-device",
                      "virtio-blk-pci,drive=d1"]  # fmt: skip
        network = ["-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22",
                   "-device", "virtio-net-pci,netdev=n0,romfile="]  # fmt: skip
        speed = ["-accel", "tcg,thread=single", "-icount", f"shift={STEADY_SHIFT},sleep=on", "-smp", "1"]
        if not self.steady:
            speed = ["-accel", "tcg,thread=multi", "-smp", "2"]
        with self.serial.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "qemu-system-aarch64", "-machine", "virt,gic-version=2", "-cpu", "cortex-a72",
                    *speed, "-m", str(self._memory_mib), "-nographic",
                    *([] if resets else ["-no-reboot"]),
                    "-rtc", f"base={'utc' if year is None else f'{year}-01-01T00:00:00'},clock={clock}",
                    "-kernel", self._folder / "vmlinuz", "-initrd", self._folder / "initrd.gz", "-append", append,
                    "-drive", f"if=none,file={self.card.path},format=raw,id=d0,cache=writethrough",
                    "-device", "virtio-blk-pci,drive=d0",
                    *(network if online else ["-nic", "none"]),
                    "-device", "virtio-rng-pci", "-device", "i6300esb", *second, *devices,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.began_s = time.monotonic()

    def wait_for(self, true: Callable[[], bool], what: str, limit_s: float) -> float:
        """Wait until something is so; how many seconds after the power came.

        Raises
        ------
        GuestError : the time was over, or the machine ended
        """
        deadline_s = time.monotonic() + limit_s
        while not true():
            if time.monotonic() > deadline_s:
                raise GuestError(f"waited {limit_s:.0f} s for {what}; see {self.serial}")
            if self._process is None or self._process.poll() is not None:
                raise GuestError(f"the machine ended before {what}; see {self.serial}")
            time.sleep(0.2)
        return time.monotonic() - self.began_s

    def said(self, text: str) -> bool:
        """Whether that stood on the console since it was last forgotten."""
        with self.serial.open("rb") as log:
            log.seek(self._forgotten)
            return text.encode() in log.read()

    def forget(self) -> None:
        """Let what stands on the console count no more."""
        self._forgotten = self.serial.stat().st_size

    def off(self) -> None:
        """Pull the cord: what is in the guest's memory is gone."""
        self._end(SIGKILL)

    def ended(self, limit_s: float = 600.0) -> None:
        """Wait until it has switched itself off, or would have started anew.

        Raises
        ------
        GuestError : the time was over
        """
        assert self._process is not None
        try:
            self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise GuestError(f"waited {limit_s:.0f} s for the machine to end; see {self.serial}") from None
        self._process = None

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def stop(self) -> None:
        """End the emulator, whatever it does."""
        self._end(SIGTERM)

    def run(self, command: str, *, limit_s: float = 300.0, check: bool = True) -> str:
        """Run a command in the guest as the user who came by a key; what it printed.

        Raises
        ------
        GuestError : it ended badly (unless ``check`` is False), or not in time
        """
        assert self._key is not None
        words = [
            "ssh", "-q", "-p", str(self.ssh_port), "-i", str(self._key), "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30",
            f"{self._user}@127.0.0.1", command,
        ]  # fmt: skip
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired:
            raise GuestError(f"waited {limit_s:.0f} s for {command!r} to end; see {self.serial}") from None
        if check and done.returncode != 0:
            raise GuestError(f"{command!r} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def install(self, signature: Path) -> str:
        """Install the second disk as an update, and say what the node said; it may refuse."""
        self.run(f"sudo tee /run/update.sig >/dev/null <<'END'\n{signature.read_text()}END")
        return self.run("sudo edgeface-slot install /dev/vdb /run/update.sig 2>&1", limit_s=1800, check=False)

    def answers(self) -> bool:
        """Whether the user comes in."""
        try:
            return self.run("echo in", limit_s=120, check=False).strip() == "in"
        except GuestError:
            return False


def make_key(folder: Path) -> tuple[Path, str]:
    """A key for SSH: its file, and the line of its public half."""
    path = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "somebody@desk", "-f", path], check=True)
    return path, path.with_suffix(".pub").read_text().strip()


def missing_programs(names: Mapping[str, str]) -> str | None:
    """The Debian package of the first program that is not here."""
    return next((package for program, package in names.items() if shutil.which(program) is None), None)
