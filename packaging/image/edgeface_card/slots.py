"""Two slots for the root: one runs, the other takes an update and is booted once on trial.

The first program of the next boot reads what is kept in ``/data/slots``: ``active``, ``trial`` and, once it was booted,
``tried``. Only `confirm` makes a slot on trial the active one; whatever else happens, the old one boots again.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgeface_card.card import write_private
from edgeface_card.settings import CardError

KEYS = Path("/etc/edgeface/keys")
NAMESPACE, SIGNER = "edgeface-slot", "edgeface"
"""Of the signature: one that was made for something else says nothing here."""
VERSION = "usr/share/edgeface-image/version"
SCRATCH = Path("/run/edgeface-slot")
CONFIRMED_S, KEPT_S = 300.0, 60.0
WHY = "why"
"""What the service was like when a trial was given up, for the slot that runs after it."""
LAST_WORDS = "/usr/lib/edgeface-image/last-words"
BLOCK = 1 << 20
_MAGIC = b"hsqs"


@dataclass(frozen=True, slots=True)
class Slots:
    """Where slots and their state are.

    Attributes
    ----------
    boot : what the first program left of this boot
    kept : what the next one reads
    keys : public keys of OpenSSH, one file each, whose signatures are believed
    """

    boot: Path = Path("/run/edgeface-boot")
    kept: Path = Path("/data/slots")
    keys: Path = KEYS

    @property
    def running(self) -> str:
        """``a`` or ``b``."""
        return (self.boot / "slot").read_text().strip()

    @property
    def idle(self) -> str:
        """The other one."""
        return "b" if self.running == "a" else "a"

    @property
    def on_trial(self) -> bool:
        """Whether this boot is the one that a new slot has."""
        return (self.boot / "trial").read_text().strip() == "yes"

    def device(self, slot: str) -> Path:
        """Partition of a slot."""
        return Path((self.boot / "part").read_text().strip() + {"a": "2", "b": "3"}[slot])

    def confirm(self) -> None:
        """Make the slot that runs the active one; a cut in between leaves it on trial, and the old one boots."""
        write_private(self.kept / "active", f"{self.running}\n".encode())
        for name in ("trial", "tried", "failed", WHY):
            (self.kept / name).unlink(missing_ok=True)
        _flush(self.kept)

    def put_on_trial(self, slot: str) -> None:
        """Let the next boot try a slot; the way back is to the one that runs, whichever was to be booted."""
        if self.running != (_word(self.kept / "active") or "a"):
            write_private(self.kept / "active", f"{self.running}\n".encode())
        for name in ("tried", "failed", WHY):
            (self.kept / name).unlink(missing_ok=True)
        write_private(self.kept / "trial", f"{slot}\n".encode())

    def give_up(self, why: str) -> None:
        """Keep why the slot on trial did not hold, and its journal, which is in memory; what cannot be kept is lost."""
        with suppress(OSError):
            write_private(self.kept / WHY, f"{why}\n".encode())
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run([LAST_WORDS, "trial"], check=False, timeout=KEPT_S)

    def take_off_trial(self) -> None:
        """Let no boot try anything: the idle slot is about to be written."""
        for name in ("trial", "tried"):
            (self.kept / name).unlink(missing_ok=True)
        _flush(self.kept)


def install(
    slots: Slots, what: str, signature: str, look: Callable[[Path], AbstractContextManager[Path]] | None = None
) -> str:
    """Write an update to the idle slot and put it on trial; its version.

    The slot is written first and believed after: what is verified is what lies there, however it came.

    Raises
    ------
    CardError : it cannot be read, does not fit, is not signed by a key of ours or for this kernel; this boot is a trial
    """
    if slots.on_trial:
        raise CardError("this boot is the trial of an update; wait until it is confirmed")
    keys = read_keys(slots.keys)
    device = slots.device(slots.idle)
    slots.take_off_trial()
    signed = _read_all(signature)
    size = copy(what, device)
    verify(device, size, signed, keys)
    with (look or mount)(device) as root:
        version = judge(root, os.uname().release)
    slots.put_on_trial(slots.idle)
    return version


@contextmanager
def mount(device: Path) -> Iterator[Path]:
    """Mount a slot for a look."""
    place = SCRATCH / "slot"
    SCRATCH.mkdir(mode=0o700, exist_ok=True)
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "squashfs", "-o", "ro", device, place], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise CardError("the update cannot be mounted; it is no slot")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=False)


def judge(root: Path, release: str) -> str:
    """Version of a slot that could run under this kernel.

    Raises
    ------
    CardError : it could not
    """
    if not (root / "usr/lib/modules" / release).is_dir():
        raise CardError(f"the update has no modules for the kernel {release}; write the card anew with its image")
    try:
        return (root / VERSION).read_text().strip()
    except OSError:
        raise CardError("the update does not say its version; it is no slot of ours") from None


def read_keys(folder: Path) -> list[str]:
    """Public keys of OpenSSH.

    Raises
    ------
    CardError : there is none
    """
    lines = [line.strip() for path in sorted(folder.glob("*.pub")) for line in path.read_text().splitlines()]
    keys = [line for line in lines if re.match(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+ \S+", line)]
    if not keys:
        raise CardError(
            f"{folder} holds no key of OpenSSH: no update can be believed; build the image with --update-key"
        )
    return keys


def verify(device: Path, size: int, signature: bytes, keys: list[str]) -> None:
    """Believe what lies in a slot, or not.

    Raises
    ------
    CardError : nobody whom we know has signed exactly this
    """
    scratch = SCRATCH
    scratch.mkdir(mode=0o700, exist_ok=True)
    (scratch / "allowed").write_text("".join(f"{SIGNER} {key}\n" for key in keys))
    (scratch / "signature").write_bytes(signature)
    command = ["ssh-keygen", "-Y", "verify", "-f", str(scratch / "allowed"), "-I", SIGNER, "-n", NAMESPACE, "-s",
               str(scratch / "signature")]  # fmt: skip
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as program,
        device.open("rb") as source,
    ):
        assert program.stdin is not None
        try:
            left = size
            while left and (block := source.read(min(BLOCK, left))):
                program.stdin.write(block)
                left -= len(block)
            program.stdin.close()
        except BrokenPipeError:
            pass
        if program.wait() != 0:
            raise CardError("the update is not signed by a key of this node, or was changed after it was signed")


def copy(what: str, device: Path) -> int:
    """Write a file or what an address has to a slot, and wait for the card; bytes.

    Raises
    ------
    CardError : it cannot be read, or does not fit
    """
    with _opened(what) as source, device.open("r+b") as target:
        room = target.seek(0, os.SEEK_END)
        target.seek(0)
        size = 0
        while block := _read(source, what, BLOCK):
            if size == 0 and not block.startswith(_MAGIC):
                raise CardError(f"{what} is no slot; take the file that ends with .slot")
            size += len(block)
            if size > room:
                raise CardError(f"{what} does not fit into a slot of {room / BLOCK:.0f} MiB")
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
        # What is verified must come from the card, not from memory.
        os.posix_fadvise(target.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if size == 0:
        raise CardError(f"{what} is empty")
    return size


@contextmanager
def _opened(what: str) -> Iterator[BinaryIO]:
    try:
        opened: BinaryIO = (
            urllib.request.urlopen(what, timeout=60) if what.startswith("https://") else open(what, "rb")  # noqa: PTH123, SIM115
        )
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise CardError(f"{what} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    with opened as source:
        yield source


def _read(source: BinaryIO, what: str, size: int) -> bytes:
    try:
        return source.read(size)
    except (OSError, http.client.HTTPException) as error:
        raise CardError(f"{what} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _read_all(what: str) -> bytes:
    with _opened(what) as source:
        return _read(source, what, 1 << 14)


def _word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def holds(state: str, status: str) -> bool:
    """Whether the service is READY and has reached its broker, by what systemd says of it."""
    return state == "active" and "broker connected" in status


def await_confirmation(
    slots: Slots, ask: Callable[[], tuple[str, str]], *, clock: Callable[[], float], sleep: Callable[[float], object]
) -> str | None:
    """Confirm the trial once the service holds; what it was like at last where it does not within five minutes."""
    until_s = clock() + CONFIRMED_S
    said = ("", "")
    while clock() < until_s:
        said = ask()
        if holds(*said):
            slots.confirm()
            return None
        sleep(2.0)
    return ", ".join(word for word in said if word)


def _ask() -> tuple[str, str]:
    said = subprocess.run(
        ["systemctl", "show", "edgeface.service", "--property=ActiveState", "--property=StatusText"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    values = dict(line.partition("=")[::2] for line in said.stdout.splitlines())
    return values.get("ActiveState", ""), values.get("StatusText", "")


def main(words: list[str]) -> int:
    """``install FILE|URL [SIGNATURE]``, ``status``, and ``trial`` for the unit; 1 and one line where it fails."""
    slots = Slots()
    try:
        if words[:1] == ["install"] and len(words) in (2, 3):
            version = install(slots, words[1], words[2] if len(words) == 3 else f"{words[1]}.sig")
            print(f"slot {slots.idle} has version {version}; sudo reboot tries it once")
        elif words == ["status"]:
            failed = slots.kept / "failed"
            print(f"slot {slots.running}" + (", on trial" if slots.on_trial else ""))
            if failed.exists():
                why = _word(slots.kept / WHY)
                print(f"slot {failed.read_text().strip()} was tried and did not hold" + (f": {why}" if why else ""))
        elif words == ["trial"]:
            late = await_confirmation(slots, _ask, clock=time.monotonic, sleep=time.sleep) if slots.on_trial else None
            if late is not None:
                print(f"edgeface-slot: its broker was not reached within five minutes ({late}): back", file=sys.stderr)
                slots.give_up(late)
                subprocess.run(["systemctl", "reboot"], check=False)
        else:
            print("usage: edgeface-slot install FILE|URL [SIGNATURE] | status", file=sys.stderr)
            return 2
    except PermissionError as error:
        print(f"edgeface-slot: {error.filename} may not be opened; run it with sudo", file=sys.stderr)
        return 1
    except (CardError, OSError) as error:
        print(f"edgeface-slot: {error}", file=sys.stderr)
        return 1
    return 0
