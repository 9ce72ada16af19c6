"""What was found becomes files below the root, which is in memory: what outlives a boot is on the data partition."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from edgeface_card import render, secrets
from edgeface_card.card import Findings
from edgeface_card.settings import Settings, User

MACHINE_ID = "etc/machine-id"
ETC = "etc/edgeface"
READY = "run/edgeface-card/ready"
"""There where the service has something to run."""
SAID = "run/edgeface-card/said"
ENVIRONMENT = f"{ETC}/environment"
NOTE = "EDGEFACE_CONFIGURATION_NOTE"
GROUPS = "sudo,adm,systemd-journal,video"
READERS = "video"
"""The group of the service, in which it has its cameras."""
LITTLE_BYTES = 2**20
"""Of room on the data partition: no visit is kept in it."""


def default_hostname(machine_id: str) -> str:
    """Name of a node that was given none: with the four digits that end its node id, no two are called alike."""
    return f"edgeface-{hashlib.sha256(machine_id.strip().encode()).hexdigest()[:4]}"


def apply(found: Findings, root: Path) -> None:
    """Write the files; complaints grow by what the system does not know."""
    settings = found.settings
    name = settings.hostname or default_hostname(_read(root / MACHINE_ID))
    _write(root / "etc/hostname", f"{name}\n")
    _write(root / "etc/hosts", render.hosts(name))
    _set_timezone(settings, root, found.complaints)
    if settings.country is not None and not _is_country(settings.country, root):
        found.complaints.append(
            f"{settings.country!r} is no country that this system knows; write two letters, such as DE"
        )
    for place, text in render.network_files(settings).items():
        _write(root / place, text, 0o600 if place == render.SUPPLICANT else 0o644)
    _write_service(found, root)
    _write(root / SAID, "".join(f"{printable(line)}\n" for line in found.complaints))


def _write_service(found: Findings, root: Path) -> None:
    """/etc/edgeface as the service's unit expects it."""
    private = dict(found.private)
    note = ""
    if found.choice.text is not None:
        text, password = secrets.without_password(found.choice.text)
        if password is not None:
            private.setdefault("password", password.encode() + b"\n")
        _write(root / ETC / "edgeface.toml", text)
        if any(secrets.in_toml(text)):
            _close(root / ETC / "edgeface.toml")
        _write(root / READY, "")
        if found.choice.problem is not None:
            why = _quotable(found.choice.problem)
            note = f'{NOTE}="the card\'s edgeface.toml is not taken, the last good one runs: {why}"\n'
    _write(root / ENVIRONMENT, note)
    for name, data in found.public.items():
        _write_bytes(root / ETC / name, data, 0o644)
    folder = root / ETC / "credentials"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, data in private.items():
        _write_bytes(folder / name, data, 0o600)


def _close(path: Path) -> None:
    """Keep a camera's password from everybody but root and the service, whose own user comes and goes with it."""
    try:
        shutil.chown(path, group=READERS)
    except (LookupError, PermissionError):
        return
    path.chmod(0o640)


def _set_timezone(settings: Settings, root: Path, complaints: list[str]) -> None:
    zone = settings.timezone or "Etc/UTC"
    if not (root / "usr/share/zoneinfo" / zone).is_file():
        complaints.append(f"{zone!r} is no time zone that this system knows; write for example Europe/Berlin")
        zone = "Etc/UTC"
    link = root / "etc/localtime"
    link.unlink(missing_ok=True)
    link.symlink_to(f"../usr/share/zoneinfo/{zone}")
    _write(root / "etc/timezone", f"{zone}\n")


def _is_country(code: str, root: Path) -> bool:
    """Whether it is one of ISO 3166, by the list beside the time zones; a system without it believes all."""
    listed = _read(root / "usr/share/zoneinfo/iso3166.tab")
    return not listed or f"\n{code}\t" in listed


def partition_troubles(mounted: str, free_bytes: int) -> list[str]:
    """What is wrong with the data partition, a line or none; ``mounted``: what the first program says of it."""
    if mounted.strip() == "lost":
        return ["the data partition cannot be mounted: nothing outlives this boot; write the card anew, or replace it"]
    if free_bytes < LITTLE_BYTES:
        return ["the data partition is full: visits are kept in memory alone; see sudo du -ah /data, or write it anew"]
    return []


def make_users(users: tuple[User, ...], keys: Path = Path("/etc/ssh/authorized_keys")) -> list[str]:
    """Make users who come in by key alone; a line for each that could not be made."""
    complaints = []
    keys.mkdir(parents=True, exist_ok=True)
    for user in users:
        done = subprocess.run(
            ["useradd", "--create-home", "--shell", "/bin/bash", "--groups", GROUPS, "--password", "*", user.name],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 9):  # 9: there already
            complaints.append(f"user {user.name} could not be made: {done.stderr.strip()}")
            continue
        _write(keys / user.name, "".join(f"{key}\n" for key in user.keys))
    return complaints


def keep_ssh_keys(kept: Path, folder: Path = Path("/etc/ssh")) -> None:
    """Host keys of this node, made at the first boot; a half-written one (power cut) is made anew."""
    kept.mkdir(parents=True, exist_ok=True)
    kept.chmod(0o700)
    key = kept / "ssh_host_ed25519_key"
    if not _is_key(key):
        beside = kept / "new"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(mode=0o700)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", beside / key.name], check=True)
        for path in beside.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        (beside / f"{key.name}.pub").replace(key.with_suffix(".pub"))
        (beside / key.name).replace(key)
        beside.rmdir()
        os.sync()
    for name, mode in ((key.name, 0o600), (f"{key.name}.pub", 0o644)):
        shutil.copyfile(kept / name, folder / name)
        (folder / name).chmod(mode)


def _is_key(path: Path) -> bool:
    asked = subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", path], capture_output=True, check=False)
    return asked.returncode == 0 and path.with_suffix(".pub").exists()


def unblock_wifi(rfkill: Path = Path("/sys/class/rfkill")) -> None:
    """Lift the software's block of radios for wireless networks; a switch of the hardware stays as it is."""
    for radio in rfkill.glob("*"):
        if _read(radio / "type").strip() == "wlan":
            (radio / "soft").write_text("0")


class Judge:
    """Asks ``edgeface config check`` about a text."""

    def __init__(self, program: str, scratch: Path, environ: Mapping[str, str], limit_s: float) -> None:
        self._program = program
        self._scratch = scratch
        self._environ = environ
        self._limit_s = limit_s

    def __call__(self, text: str) -> str | None:
        """Why it cannot hold, in one line without where it was judged; None where it can, or nobody could tell in time.

        What was not judged runs: the program judges it again, and says what is wrong.
        """
        path = self._scratch / "edgeface.toml"
        _write(path, text, 0o600)
        try:
            done = subprocess.run(
                [self._program, "config", "check", "--elsewhere", str(path)],
                env=dict(self._environ),
                capture_output=True,
                text=True,
                timeout=self._limit_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        finally:
            path.unlink()
        if done.returncode == 0:
            return None
        line = next((one for one in done.stderr.splitlines() if one.startswith("edgeface: ")), "edgeface: cannot hold")
        return line.removeprefix("edgeface: ").replace(str(path), "edgeface.toml")


def printable(text: str) -> str:
    """One line that does nothing to a terminal, whoever wrote what it repeats."""
    return "".join(one if one.isprintable() else "?" for one in text)


def _quotable(text: str) -> str:
    """For a file of systemd's: one line, no quote that would end it."""
    return printable(" ".join(text.split())).replace("\\", "/").replace('"', "'")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    _write_bytes(path, text.encode(), mode)


def _write_bytes(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    path.chmod(mode)
