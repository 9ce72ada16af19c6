"""The image's root in a container of this machine's architecture: its units at full speed, without kernel or disk.

The builder's twin has the same packages; with the image's files it boots in seconds, where the emulator takes minutes.
A stand-in for the service says READY and that its broker is there, and crashes once. Needs root, systemd-container.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from brokers import eventually

from slow import nspawn
from slow.image_place import ROOT, Place, Proof

TWIN = ROOT / ".cache/image/twin"
IMAGE = ROOT / "packaging/image"
NAME = "edgefacetwin"
OURS = "169.254.7.7"
MDNS = ("224.0.0.251", 5353)
ADDRESS, SERVICES = 1, 12
"""Kinds of records."""
CARD = {
    "edgeface.toml": '[mqtt]\nhost = "broker.lan"\npassword = "mine"\n',
    "network.txt": "hostname = hall\ntimezone = Europe/Berlin\nwifi_country = DE\nwifi_ssid = Shop\n"
    "wifi_password = correct horse\n",
    "user-data": "#cloud-config\npackages: [avahi-daemon]\n",
}
SERVICE = """[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'systemd-notify --ready --status="1 of 1 cameras running, broker connected"; exec sleep infinity'
Restart=always
"""
FIRST_PROGRAM = """[Service]
ExecStartPre=/bin/sh -c 'mkdir -p /run/edgeface-boot /data/slots; cd /run/edgeface-boot; \
echo b >slot; echo yes >trial; echo mounted >data; echo /data/disk >part; \
echo a >/data/slots/active; echo b >/data/slots/trial; echo b >/data/slots/tried'
"""
"""What the initrd would have left: slot b is on trial."""
CABLE = "[Match]\nName=host0\n[Network]\nLinkLocalAddressing=yes\nMulticastDNS=yes\nLLMNR=no\n"
"""As the image's own, for the one kind of interface that a container has."""


def make(target: Path) -> Path:
    """A root with the image's files, a card and a stand-in for the service."""
    subprocess.run(["cp", "-a", TWIN, target], check=True)
    shutil.copytree(IMAGE / "files/root", target, dirs_exist_ok=True)
    shutil.copytree(IMAGE / "edgeface_card", target / "usr/lib/edgeface-image/edgeface_card")
    units = target / "etc/systemd/system"
    texts = {
        units / "edgeface.service": SERVICE,
        units / "edgeface-card.service.d/first-program.conf": FIRST_PROGRAM,
        target / "etc/systemd/network/10-cable.network": CABLE,
        target / "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        target / "etc/fstab": "",
        **{target / "boot/firmware" / name: text for name, text in CARD.items()},
    }
    (target / "data").mkdir()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    wanted = {"multi-user": ("systemd-networkd", "edgeface-console", "edgeface"),
              "sysinit": ("systemd-resolved", "edgeface-card", "edgeface-trial", "edgeface-panic")}  # fmt: skip
    for by, names in wanted.items():
        (units / f"{by}.target.wants").mkdir(exist_ok=True)
        for name in names:
            link = units / f"{by}.target.wants/{name}.service"
            link.unlink(missing_ok=True)
            link.symlink_to(f"{'/etc' if name == 'edgeface' else '/usr/lib'}/systemd/system/{name}.service")
    return target


def ask_mdns(name: str, kind: int) -> bytes:
    """What somebody at the other end of the cable answers; empty: nobody does."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.bind((OURS, 0))
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(OURS))
        asking.sendto(struct.pack(">6H", 7, 0, 1, 0, 0, 0) + labels + struct.pack(">2H", kind, 1), MDNS)
        try:
            answer: bytes = asking.recv(2048)
        except TimeoutError:
            return b""
        return answer


@contextlib.contextmanager
def address_on(device: str) -> Iterator[None]:
    """Our end of a cable."""
    subprocess.run(["ip", "link", "set", device, "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{OURS}/16", "dev", device], check=True)
    yield


def twin(proof: Proof, place: Place) -> None:
    """Boot it: the card's step, the console, the name, a trial that holds, a crash, a clean stop."""
    root = make(place.folder / "twin")
    with nspawn.Machine(root, ("--network-veth", f"--machine={NAME}")) as machine, address_on(f"ve-{NAME}"):

        def said(command: str) -> str:
            return machine.run("sh", "-c", command, check=False).stdout.strip()

        ours = said("systemctl list-units --failed --plain --no-legend | grep edgeface")
        proof.holds("no unit of ours has failed", ours == "", ours)
        proof.holds("the host name is the card's", said("hostname") == "hall", said("hostname"))
        proof.holds(
            "what is not done is named", said("cat /run/edgeface-card/said").startswith("not done here: packages")
        )
        card = "".join((root / "boot/firmware" / name).read_text() for name in CARD)
        proof.holds("secrets are off the card", "mine" not in card and "correct horse" not in card, card)
        eventually(lambda: said("ls /data/slots") == "active", "the trial to be confirmed")
        proof.holds("a slot on trial holds", said("cat /data/slots/active") == "b")
        eventually(lambda: b"\xa9\xfe" in ask_mdns("hall.local", ADDRESS), "an answer to hall.local", 60)
        eventually(lambda: b"\x04hall" in ask_mdns("_edgeface._tcp.local", SERVICES), "its service over mDNS", 60)
        proof.holds("name and service are answered over mDNS, asked from outside", True)
        console = machine.console.decode(errors="replace")
        proof.holds("the console says how it is", "broker connected   (slot b, on trial)" in console, console[-600:])
        said("systemctl kill --kill-whom=main --signal=ABRT edgeface")
        eventually(lambda: "ABRT" in said("cat /data/last-words/2*"), "the last words of a crash")
        proof.holds("a crash leaves its last words, though it is started again", True)
    proof.holds("a clean stop leaves the time", (root / "data/clock").exists())
