"""The card's image in trouble: a broken file, no camera, no network, no clock, a full card, a panic; and its radio."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from slow.guest import Guest, GuestError
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
SAID_S = 120.0
"""For the console to have said all of it, once the service runs: it looks every five seconds."""
FULL = "sudo fallocate -l $(df --output=avail -B1 /data | tail -1) /data/state/filler && sync && df /data"
"""All that is not root's own."""
CHECKED = "sudo tune2fs -l /dev/vda4 | grep 'Last checked'"


def troubles(proof: Proof, place: Place) -> None:
    """One after the other, each said in one clear line on the console."""
    guest = place.guest("node")

    def says(what: str, *texts: str) -> None:
        try:
            guest.wait_for(lambda: any(guest.said(text) for text in texts), what, SAID_S)
        except GuestError as error:
            proof.holds(what, False, error)
        else:
            proof.holds(what, True)

    guest.card.write("edgeface.toml", place.toml().replace("[mqtt]", "[mqtt"))
    guest.start(words="")
    guest.wait_for(lambda: guest.said("edgeface: inactive"), "a console", BOOT_S)
    says("a broken edgeface.toml on a first boot: the console says where", "not valid TOML: Expected")
    proof.holds("nothing is published", not place.auditor.of("availability"))
    guest.wait_for(guest.answers, "a login by key", BOOT_S)
    stopped_s = int(guest.run("date +%s"))
    before = guest.run(CHECKED)
    guest.run("sudo systemctl poweroff", check=False)
    guest.ended()

    guest.card.write("edgeface.toml", place.toml())
    guest.forget()
    guest.start(words="", online=False, year=2020)
    guest.wait_for(lambda: guest.said("edgeface: active"), "the service without a network", BOOT_S)
    says("no network: the console says so", "no address yet")
    says("no camera: the console says so", "0 of 1 cameras running")
    says("no broker: the console says so", "broker offline", "broker connecting")
    guest.off()

    guest.card.mark_errors()
    guest.forget()
    guest.start(words="", year=2020, resets=True)
    guest.wait_for(guest.answers, "a login by key", BOOT_S)
    now_s = int(guest.run("date +%s"))
    proof.holds("no clock: it starts where the card was written last", now_s >= stopped_s, (now_s, stopped_s))
    # Not by the journal: a starved emulator's watchdog may have booted it once more meanwhile.
    seen = guest.run("sudo tune2fs -l /dev/vda4 | grep state; sudo journalctl -b | grep edgeface-boot", check=False)
    repaired = "with errors" not in seen and guest.run(CHECKED) != before
    proof.holds("a data partition with errors that were marked is repaired", repaired, seen)
    print(guest.run(FULL), flush=True)
    guest.forget()
    guest.run("sudo sh -c '(sleep 2; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &'")
    guest.wait_for(lambda: guest.said("sysrq triggered crash"), "the panic", SAID_S)
    guest.forget()
    guest.wait_for(lambda: guest.said("edgeface: active"), "the boot after a panic", 2 * BOOT_S)
    says("a full data partition: the console says so, and the service runs", "partition is full")
    guest.wait_for(guest.answers, "a login by key", BOOT_S)
    words = guest.run("sudo sh -c 'cat /data/last-words/*-panic'", check=False)
    proof.holds(
        "a panic's last words are kept, though there is no room", "sysrq triggered crash" in words, words[-300:]
    )


@contextlib.contextmanager
def cable() -> Iterator[list[str]]:
    """A network between the host and the guest that takes multicast; its words for the emulator."""
    # One that was broken off leaves it.
    subprocess.run(["ip", "link", "del", TAP], check=False, capture_output=True)
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
