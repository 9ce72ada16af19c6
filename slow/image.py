"""The card's image boots: identity, the card's words, the service, and a broker that is really reached.

Needs qemu-system-arm, mtools, e2fsprogs, openssh-client, Mosquitto, and the disk that
``packaging/image/build --keep-disk`` left.

``boot``: two copies of one image; one of them again, with a broken ``edgeface.toml`` and with the corrected one.
``update``: a signed slot, one of a stranger. ``fallback``: a signed slot whose service is broken (both by ``--maker``).
``cuts``: the power goes while visits are written.
``writes``: what goes to the data partition in an hour.
``troubles``: no camera, network, clock, room; a data partition with errors, a panic.
``network``: the node's name over mDNS asked from outside, and a simulated radio (root, for a tap).
``twin``: the same root in a container, without the emulator, in a minute: its units, the card's step, mDNS (root).
``bytes``: what the service writes in an hour to an ext4 like the card's, without the emulator (root).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from brokers import Auditor

from edgeface.cli.common import Parser
from slow.guest import Card, Guest, GuestError, missing_programs
from slow.image_bytes import count
from slow.image_cuts import cuts, writes
from slow.image_place import BOOT_S, DISK, Place, Proof, lately, node_of
from slow.image_troubles import network, troubles
from slow.image_twin import twin

NEEDED = {
    "qemu-system-aarch64": "qemu-system-arm",
    "mcopy": "mtools",
    "ssh": "openssh-client",
    "mosquitto": "mosquitto",
    "debugfs": "e2fsprogs",
}


def first_boot(proof: Proof, guest: Guest, auditor: Auditor) -> str:
    """Boot a new card; its node id."""
    guest.start()
    seconds = guest.wait_for(lambda: node_of(auditor, set()) is not None, "its first message", BOOT_S)
    proof.figure("first message after s", round(seconds))
    node = node_of(auditor, set())
    assert node is not None
    guest.wait_for(
        lambda: (
            any(h.topic == f"homeassistant/device/edgeface_{node}/config" for h in auditor.heard)
            or any(h.topic.startswith("homeassistant/device/") for h in auditor.heard)
        ),
        "discovery",
        60,
    )
    guest.wait_for(
        lambda: lately(auditor, node, lambda told: told["cameras"]["main"]["state"] == "running"), "the camera", 120
    )
    proof.holds("the camera of the kernel gives frames", True)
    guest.wait_for(guest.answers, "a login by key", BOOT_S)
    return node


LOOK = """
active=$(systemctl is-active edgeface)
failed=$(systemctl list-units --failed --plain --no-legend)
hostname=$(hostname)
zone=$(date +%Z)
root=$(findmnt -no OPTIONS /)
data_mb=$(df --output=size -BM /data | tail -1 | tr -dc 0-9)
data=$(findmnt -no OPTIONS /data)
state=$(sudo ls /data/state)
firmware=$(findmnt -no OPTIONS /boot/firmware)
passwords=$(sudo awk -F: '$2 !~ /^[*!]/ {print $1}' /etc/shadow)
sshd=$(sudo sshd -T | grep -E '^(passwordauthentication|permitrootlogin|kbdinteractiveauthentication) ')
watchdog=$(systemctl show -p WatchdogDevice -p RuntimeWatchdogUSec)
journal=$(ls -d /run/log/journal/* /var/log/journal/* 2>/dev/null)
said=$(cat /run/edgeface-card/said)
exposure=$(systemd-analyze security edgeface.service --no-pager | tail -1)
resident=$(systemctl show -p MemoryCurrent --value edgeface)
boot=$(systemd-analyze time | head -1)
"""
"""Lines of a shell: a name, and what the guest answers. One login for all: emulated, it takes ten seconds."""


def look_inside(proof: Proof, guest: Guest) -> None:
    """Ask the system itself."""
    names = [line.partition("=")[0] for line in LOOK.strip().splitlines()]
    shown = "".join(f'printf "%s\\0" "${name}"\n' for name in names)
    seen = dict(zip(names, guest.run(LOOK + shown, limit_s=300).split("\0"), strict=False))

    def holds(what: str, name: str, *words: str) -> None:
        proof.holds(what, all(word in seen[name] for word in words), seen[name])

    holds("the service is active", "active", "active")
    proof.holds("no unit has failed", seen["failed"] == "", seen["failed"])
    holds("the host name is Imager's", "hostname", "hall")
    proof.holds("so is the time zone", seen["zone"] in ("CET", "CEST"), seen["zone"])
    holds("the root is laid over a slot that cannot be written", "root", "lowerdir=/ro")
    proof.figure("data partition MB", int(seen["data_mb"]))
    proof.holds("the data partition has grown", int(seen["data_mb"]) > 1200, seen["data_mb"])
    holds("nothing there can be run", "data", "nosuid", "nodev", "noexec")
    holds("the service's state is on the data partition", "state", "edgeface")
    holds("the first partition is read-only", "firmware", "ro,")
    proof.holds("nobody has a password", seen["passwords"] == "", seen["passwords"])
    proof.holds("SSH is by key only", seen["sshd"].split().count("no") == 3, seen["sshd"])
    holds("the watchdog of the board is fed", "watchdog", "/dev/watchdog", "14s")
    proof.holds(
        "the journal is in memory",
        seen["journal"].startswith("/run") and "/var" not in seen["journal"],
        seen["journal"],
    )
    holds("a password is named and not used", "said", "not done here: password of anna")
    holds("packages are named and not installed", "said", "not done here: packages (avahi-daemon)")
    level = re.search(r": (\d+\.\d)", seen["exposure"])
    proof.holds("exposure is 1.5 or lower", level is not None and float(level[1]) <= 1.5, seen["exposure"])
    proof.figure("exposure", level and float(level[1]))
    proof.figure("memory of the service MB", round(int(seen["resident"]) / 1e6))
    proof.figure("boot", seen["boot"])


def identity(guest: Guest) -> dict[str, str]:
    """What makes a machine itself."""
    said = guest.run("cat /etc/machine-id; cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub").split()
    return dict(zip(("machine id", "host key"), said, strict=True))


def secrets_gone(proof: Proof, card: Card) -> None:
    """Look at the card from outside."""
    proof.holds("the password's hash is off the card", b"$5$never$used" not in card.read("user-data"))
    raw = subprocess.run(
        ["grep", "-c", "-a", "a secret of somebody", card.path], capture_output=True, text=True, check=False
    )
    proof.holds(
        "the broker's password stands once on the whole disk, on the data partition",
        raw.stdout.strip() == "1",
        raw.stdout,
    )


def boot_again(proof: Proof, guest: Guest, place: Place, node: str) -> None:
    """After a power cut with a broken configuration, then with the corrected one."""
    auditor = place.auditor
    before = identity(guest)
    guest.off()
    secrets_gone(proof, guest.card)
    guest.card.write("edgeface.toml", place.toml().replace("[mqtt]", "[mqtt"))
    told = len(auditor.heard)
    guest.start()
    guest.wait_for(
        lambda: any(
            h.topic == f"edgeface/{node}/health" and "not taken" in str(h.json["configuration"]["error"])
            for h in auditor.heard[told:]
        ),
        "health that tells of the broken file",
        BOOT_S,
    )
    proof.holds("a broken edgeface.toml: the last good one runs, and health says so", True)
    guest.wait_for(guest.answers, "a login by key", BOOT_S)
    proof.holds("the same card keeps its identity", identity(guest) == before, (before, identity(guest)))
    guest.off()
    guest.card.write("edgeface.toml", place.toml() + "# corrected\n")
    told = len(auditor.heard)
    guest.start()
    guest.wait_for(
        lambda: any(
            h.topic == f"edgeface/{node}/health" and h.json["configuration"]["error"] is None
            for h in auditor.heard[told:]
        ),
        "health of the corrected file",
        BOOT_S,
    )
    proof.holds("the corrected one is taken at the next boot", True)


def boots(proof: Proof, place: Place) -> None:
    """Two copies, one of them three times."""
    one = place.guest("one")
    node = first_boot(proof, one, place.auditor)
    look_inside(proof, one)
    mine = identity(one)
    boot_again(proof, one, place, node)
    one.off()
    two = place.guest("two")
    two.start()
    two.wait_for(lambda: node_of(place.auditor, {node}) is not None, "another node's first message", BOOT_S)
    two.wait_for(two.answers, "a login by key", BOOT_S)
    theirs = identity(two)
    proof.holds("another copy is another node", all(mine[name] != theirs[name] for name in mine), (mine, theirs))


def updates(proof: Proof, place: Place) -> None:
    """A good update holds, one that nobody signed is not tried."""
    good = place.slot()
    guest = place.guest("node", steady=True)
    guest.second = good
    guest.start()
    guest.wait_for(guest.answers, "a login by key", BOOT_S)
    said = guest.install(place.sign(good, key="stranger"))
    proof.holds("an update of somebody else is not tried", "not signed by a key" in said, said)
    said = guest.install(place.sign(good))
    proof.holds("a signed update goes to the idle slot", "slot b has version" in said, said)
    guest.run("sudo systemctl reboot", check=False)
    guest.ended()
    guest.start()
    guest.wait_for(guest.answers, "a login by key", BOOT_S)
    proof.holds("it is booted", "slot b" in guest.run("sudo edgeface-slot status"))
    guest.wait_for(
        lambda: guest.run("sudo cat /data/slots/active", check=False).strip() == "b",
        "the trial to be confirmed",
        BOOT_S,
    )
    proof.holds("it holds once the service has reached its broker", True)


def falls_back(proof: Proof, place: Place) -> None:
    """An update whose service cannot start is given up, and the slot before it runs again."""
    guest = place.guest("node")
    guest.second = place.slot(broken=True)
    guest.start()
    guest.wait_for(guest.answers, "a login by key", 2 * BOOT_S)
    said = guest.install(place.sign(guest.second))
    proof.holds("a signed update whose service is broken goes to the idle slot", "slot b has version" in said, said)
    guest.run("sudo systemctl reboot", check=False)
    guest.ended()
    guest.start()
    began_s = time.monotonic()
    guest.ended(2 * BOOT_S)
    proof.figure("a broken slot gave up after s", round(time.monotonic() - began_s))
    guest.start()
    guest.wait_for(guest.answers, "a login by key", BOOT_S)
    status = guest.run("sudo edgeface-slot status")
    proof.holds("the slot before it runs again", "slot a\n" in status and "slot b was tried" in status, status)
    proof.holds("it says why the other one did not hold", "did not hold: " in status, status)
    words = guest.run("sudo sh -c 'cat /data/last-words/*-trial'", check=False)
    proof.holds("what that boot said is kept", "edgeface.service: Main process exited" in words, words[-300:])


def main() -> int:
    """Print what came of it; 1 where something does not hold."""
    parts: Mapping[str, Callable[[Proof, Place], None]] = {
        "boot": boots, "update": updates, "fallback": falls_back, "cuts": cuts, "writes": writes,
        "troubles": troubles, "network": network, "twin": twin, "bytes": count,
    }  # fmt: skip
    parser = Parser(prog="scripts/slow image", description=__doc__)
    parser.add_argument("--disk", type=Path, default=DISK, help="the image, unpacked")
    parser.add_argument("--maker", type=Path, metavar="KEY", help="secret half of the image's --update-key")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to work, and leave everything")
    parser.add_argument("--cuts", type=int, default=10, metavar="N", help="of the power (10)")
    parser.add_argument("--only", choices=parts, action="append", help="a part of it (repeatable)")
    args = parser.parse_args()
    if (package := missing_programs(NEEDED)) is not None:
        print(f"edgeface: a program is missing; apt install {package}", file=sys.stderr)
        return 2
    if not args.disk.exists():
        print(f"edgeface: {args.disk} is not there; packaging/image/build --keep-disk makes it", file=sys.stderr)
        return 2
    signed = {"update", "fallback"} if args.maker is None else set()
    if signed & set(args.only or ()):
        print("edgeface: update and fallback need --maker KEY, whose public half is in the image", file=sys.stderr)
        return 2
    proof = Proof()
    began_s = time.monotonic()
    folder = args.keep or Path(tempfile.mkdtemp(prefix="edgeface-image-"))
    if args.maker is None and not args.only:
        print("edgeface: without --maker no update is tried", file=sys.stderr)
    for name in args.only or [part for part in parts if part not in signed]:
        print(f"{name}:", flush=True)
        place = Place(folder / name, args.disk, args.maker, cuts=args.cuts)
        try:
            parts[name](proof, place)
        except GuestError as error:
            proof.holds(str(error), False)
        finally:
            place.close()
    if args.keep is None and not proof.bad:
        shutil.rmtree(folder)
    print(json.dumps({**proof.told, "seconds": round(time.monotonic() - began_s), "bad": proof.bad}))
    return 1 if proof.bad else 0


if __name__ == "__main__":
    sys.exit(main())
