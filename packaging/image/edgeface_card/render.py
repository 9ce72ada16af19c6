"""Settings become the files of systemd-networkd and wpa_supplicant: text in, text out."""

from __future__ import annotations

import hashlib

from edgeface_card.settings import PSK, Address, Settings, Wifi

WIRED = "run/systemd/network/70-edgeface-wired.network"
WIRELESS = "run/systemd/network/70-edgeface-wireless.network"
SUPPLICANT = "etc/wpa_supplicant/wpa_supplicant-wlan0.conf"


def network_files(settings: Settings) -> dict[str, str]:
    """Files by their place below the root; a fixed address is the wireless network's, where one is named and it may."""
    fixed = settings.address
    over_air = settings.wifi is not None and not (fixed is not None and fixed.wired)
    files = {
        WIRED: network("Type=ether\nKind=!*", None if over_air else fixed, settings.dns or (), metric=100),
        WIRELESS: network("Type=wlan", fixed if over_air else None, settings.dns or (), metric=600),
    }
    if settings.wifi is not None:
        files[SUPPLICANT] = supplicant(settings.wifi, settings.country)
    return files


def network(match: str, fixed: Address | None, dns: tuple[str, ...], *, metric: int) -> str:
    """A file of systemd-networkd; the metric is that of the route: less goes first."""
    lines = [f"[Match]\n{match}\n", "[Link]\nRequiredForOnline=no\n", "[Network]"]
    if fixed is None:
        lines.append("DHCP=yes")
    else:
        lines.append(f"Address={fixed.address}")
        dns = fixed.dns
    lines += [f"DNS={server}" for server in dns]
    # Without a server for addresses, two ends of a cable still find each other by name. Beside a fixed address the name
    # would have two, and who takes the other one reaches nobody.
    lines += [f"LinkLocalAddressing={'yes' if fixed is None else 'ipv6'}", "MulticastDNS=yes", "LLMNR=no"]
    if fixed is not None and fixed.gateway:
        lines.append(f"\n[Route]\nGateway={fixed.gateway}\nMetric={metric}")
    if fixed is None:
        more = "\nUseDNS=no" if dns else ""
        # By the machine id, which is new on each card, a router would give a board that was written anew another
        # address, and many would pass over what was reserved for its hardware address.
        lines.append(f"\n[DHCPv4]\nClientIdentifier=mac\nRouteMetric={metric}\nUseHostname=no{more}")
        lines.append(f"\n[DHCPv6]\nUseHostname=no{more}")
        lines.append(f"\n[IPv6AcceptRA]\nRouteMetric={metric}{more}")
    return "\n".join(lines) + "\n"


def supplicant(wifi: Wifi, country: str | None) -> str:
    """Configuration of wpa_supplicant; the name is written as hexadecimal digits, which know no quotes."""
    lines = ["ctrl_interface=DIR=/run/wpa_supplicant GROUP=root"]
    if country:
        lines.append(f"country={country}")
    lines += ["network={", f"\tssid={wifi.ssid.hex()}", f"\tscan_ssid={int(wifi.hidden)}"]
    if wifi.password is None:
        lines.append("\tkey_mgmt=NONE")
    elif PSK.fullmatch(wifi.password):
        # The key itself: WPA3 begins with the password, which cannot be had from it.
        lines += ["\tkey_mgmt=WPA-PSK WPA-PSK-SHA256", f"\tpsk={wifi.password.lower()}", "\tieee80211w=1"]
    else:
        # A quoted psk ends at its first quote, a quoted sae_password at its last one: WPA2's key is made here.
        key = hashlib.pbkdf2_hmac("sha1", wifi.password.encode(), wifi.ssid, 4096, 32).hex()
        lines += ["\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE", f"\tpsk={key}", f'\tsae_password="{wifi.password}"']
        lines.append("\tieee80211w=1")
    return "\n".join([*lines, "}"]) + "\n"


def hosts(hostname: str) -> str:
    """/etc/hosts."""
    return f"127.0.0.1 localhost\n127.0.1.1 {hostname}\n::1 localhost ip6-localhost ip6-loopback\n"
