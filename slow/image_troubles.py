"""The card's image in trouble: a broken file, no camera, no network, no clock, a full card, a panic; and its radio."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator

from slow.guest import Guest
from slow.image_place import BOOT_S, Place, Proof
from slow.image_twin import ADDRESS, SERVICES, address_on, ask_mdns

NETWORK = """wifi_country = DE
wifi_ssid = Shop # 1
wifi_password = pass"word 1
wifi_hidden = yes
address = 10.99.0.2/24
"""
POINT = """network={
 ssid="Shop # 1"
 mode=2
 frequency=2412
 key_mgmt=WPA-PSK
 proto=RSN
 pairwise=CCMP
 psk=%s
 ignore_broadcast_ssid=1
}
"""
"""wpa_supplicant can be the other end, too; a key as digits, for its reader ends a text at its first quote."""
TAP = "edgeface-tap"


def troubles(proof: Proof, place: Place) -> None:
    """One after the other, each said in one clear line on the console."""
    guest = place.guest("node")
    guest.card.write("edgeface.toml", place.toml().replace("[mqtt]", "[mqtt"))
    guest.start(words="")
    guest.wait_for(lambda: guest.said("edgeface: inactive"), "a console", BOOT_S)
    proof.holds(
        "a broken edgeface.toml on a first boot: the console says where", guest.said("not valid TOML: Expected")
    )
    proof.holds("nothing is published", not place.auditor.of("availability"))
    guest.off()

    guest.card.write("edgeface.toml", place.toml())
    guest.forget()
    guest.start(words="", online=False, year=2020)
    guest.wait_for(lambda: guest.said("edgeface: active"), "the service without a network", BOOT_S)
    proof.holds("no network: the console says so", guest.said("no address yet"))
    proof.holds("no camera: the console says so", guest.said("0 of 1 cameras running"))
    proof.holds("no broker: the console says so", guest.said("broker offline") or guest.said("broker connecting"))
    guest.off()

    guest.forget()
    guest.start(words="", year=2020, resets=True)
    guest.wait_for(guest.answers, "a login by key", BOOT_S)
    year = guest.run("date +%Y").strip()
    proof.holds("no clock: it starts where the card was written last", int(year) >= time.gmtime().tm_year, year)
    guest.run("sudo sh -c 'cat /dev/zero >/data/state/filler; sync'; true", limit_s=300)
    guest.forget()
    with contextlib.suppress(subprocess.TimeoutExpired):
        guest.run("sudo sh -c 'echo c >/proc/sysrq-trigger'", limit_s=20, check=False)
    guest.wait_for(lambda: guest.said("edgeface: active"), "the boot after a panic", BOOT_S)
    guest.wait_for(guest.answers, "a login by key", BOOT_S)
    proof.holds("a full data partition: the console says so, and the service runs", guest.said("partition is full"))
    guest.run("sudo rm /data/state/filler")
    words = guest.run("sudo sh -c 'cat /data/last-words/*-panic'", check=False)
    proof.holds("a panic's last words are kept", "sysrq triggered crash" in words, words[-300:])


@contextlib.contextmanager
def cable() -> Iterator[list[str]]:
    """A network between the host and the guest that takes multicast; its words for the emulator."""
    subprocess.run(["ip", "tuntap", "add", "dev", TAP, "mode", "tap"], check=True)
    try:
        with address_on(TAP):
            yield ["-netdev", f"tap,id=n1,ifname={TAP},script=no,downscript=no", "-device",
                   "virtio-net-pci,netdev=n1,romfile="]  # fmt: skip
    finally:
        subprocess.run(["ip", "link", "del", TAP], check=True)


def network(proof: Proof, place: Place) -> None:
    """The node is found by its name from outside, and joins a hidden wireless network of a simulated radio."""
    guest = place.guest("node")
    guest.card.write("network.txt", NETWORK)
    with cable() as words:
        guest.start(devices=words)
        guest.wait_for(guest.answers, "a login by key", 2 * BOOT_S)
        found = lambda: b"\xa9\xfe" in ask_mdns("hall.local", ADDRESS)  # noqa: E731  169.254
        guest.wait_for(found, "an answer to hall.local", BOOT_S)
        proof.holds("hall.local is answered over mDNS, asked from outside", True)
        guest.wait_for(lambda: b"hall" in ask_mdns("_edgeface._tcp.local", SERVICES), "its service over mDNS", BOOT_S)
        proof.holds("so is its service", True)
        radio(proof, guest)
        guest.stop()


def radio(proof: Proof, guest: Guest) -> None:
    """Two simulated radios: the first is the node's, the second plays the access point."""
    key = guest.run("sudo cat /etc/wpa_supplicant/wpa_supplicant-wlan0.conf | sed -n 's/^\tpsk=//p'").strip()
    point = POINT % key
    guest.run(f"sudo modprobe mac80211_hwsim radios=2; cat >/tmp/point <<'END'\n{point}END\n"
              "sudo wpa_supplicant -B -i wlan1 -c /tmp/point", limit_s=300)  # fmt: skip
    status = ""

    def joined() -> bool:
        nonlocal status
        status = guest.run("sudo wpa_cli -i wlan0 status; ip -brief address show dev wlan0", check=False)
        return "wpa_state=COMPLETED" in status and "10.99.0.2/24" in status

    guest.wait_for(joined, "wlan0 to join", BOOT_S)
    proof.holds("it joins a hidden network with WPA2, and has its fixed address there", True, status)
    land = guest.run("sudo wpa_cli -i wlan0 get country").strip()
    proof.holds("the country is that of network.txt", land == "DE", land)
