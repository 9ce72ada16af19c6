"""Where the card's image is tried: a broker, who listens to it, cards with their boards, and what is proved."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from brokers import Auditor, Mosquitto

from slow.guest import Card, Guest, make_key

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".cache/image/work"
DISK, SLOT, ROOT_FOLDER = WORK / "edgeface-arm64.img", WORK / "slot.squashfs", WORK / "root"
CARD_MIB = 3072
BOOT_S = 600.0
"""Under emulation, on a machine that does other things too."""
USER_DATA = """#cloud-config
hostname: {hostname}
manage_etc_hosts: true
packages:
- avahi-daemon
timezone: Europe/Berlin
users:
- name: anna
  groups: users,adm,sudo
  shell: /bin/bash
  lock_passwd: false
  passwd: $5$never$used
  ssh_authorized_keys:
    - {key}
  sudo: ALL=(ALL) NOPASSWD:ALL
"""
TOML = """[mqtt]
host = "10.0.2.2"
port = {port}
username = "hall"
[cameras.main]
source = "{source}"
"""


class Proof:
    """What is proved, line by line, and what went wrong."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.bad: list[str] = []

    def figure(self, name: str, value: object) -> None:
        """Keep a figure."""
        self.told[name] = value
        print(f"  {name}: {value}", flush=True)

    def holds(self, what: str, true: bool, seen: object = "") -> None:
        """Keep whether something is so."""
        print(f"  {'ok ' if true else 'BAD'} {what}{'' if true else f': {seen!r}'}", flush=True)
        if not true:
            self.bad.append(what)


def node_of(auditor: Auditor, known: set[str]) -> str | None:
    """The node that came online and is none of the known ones."""
    nodes = {h.topic.split("/")[1] for h in auditor.of("availability") if h.payload == b"online"}
    return next(iter(nodes - known), None)


def lately(auditor: Auditor, node: str, true: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Whether the node's latest health is like that."""
    told = [h.json for h in auditor.of("health") if h.topic.split("/")[1] == node]
    return bool(told) and true(told[-1])


class Place:
    """A broker, who listens to it, and cards with their boards.

    Parameters
    ----------
    folder : for everything
    disk : the image, unpacked
    maker : secret key, whose public half is in the image
    cuts : of the power
    """

    def __init__(self, folder: Path, disk: Path, maker: Path | None, *, cuts: int = 10) -> None:
        self.maker = maker
        self.cuts = cuts
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.folder = folder
        self._disk = disk
        self.broker = Mosquitto(folder).start()
        self.auditor = Auditor(self.broker.port)
        self._key, self._line = make_key(folder)
        self._guests: list[Guest] = []

    def guest(self, name: str, *, source: str = "/dev/video0", steady: bool = False) -> Guest:
        """A new card from the image, with what a person and Imager would write."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        card = Card(self._disk, place / "card.img", size_mib=CARD_MIB)
        card.write("edgeface.toml", self.toml(source=source))
        card.write("user-data", USER_DATA.format(hostname="hall", key=self._line))
        card.write("password", "a secret of somebody\n")
        self._guests.append(Guest(card, place, user="anna", key=self._key, steady=steady))
        return self._guests[-1]

    def toml(self, *, source: str = "/dev/video0") -> str:
        """A configuration with this broker."""
        return TOML.format(port=self.broker.port, source=source)

    def slot(self, *, broken: bool = False) -> Path:
        """A slot: that of the card, or one whose program cannot start."""
        target = self.folder / f"{'broken' if broken else 'good'}.slot"
        if not broken:
            shutil.copyfile(SLOT, target)
            return target
        root = self.folder / "root"
        subprocess.run(["cp", "-al", ROOT_FOLDER, root], check=True)
        program = root / "usr/bin/edgeface"
        program.unlink()
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
        subprocess.run(
            ["mksquashfs", root, target, "-comp", "zstd", "-Xcompression-level", "1", "-quiet", "-no-progress"],
            check=True,
        )
        return target

    def sign(self, slot: Path, *, key: str = "") -> Path:
        """A signature of a slot, by its maker or by somebody else."""
        if key and not (self.folder / key).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key], check=True)
        maker = self.folder / key if key else self.maker
        assert maker is not None
        signature = slot.with_name(f"{slot.name}.sig")
        signature.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", maker, "-n", "edgeface-slot", slot], check=True)
        return signature

    def close(self) -> None:
        """End everything."""
        for guest in self._guests:
            guest.stop()
        self.auditor.close()
        self.broker.stop()
