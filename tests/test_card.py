"""What a card says to the node: read from real files as people and Raspberry Pi Imager write them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from edgeface_card import applying, clock, imager, network_txt, render, secrets
from edgeface_card import card as card_module
from edgeface_card.card import Card, overwrite
from edgeface_card.configuration import choose
from edgeface_card.settings import Address, CardError, Read, Settings, User, Wifi, merge, wifi
from edgeface_card.settings import user as make_user

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0S6dL5wVg6Pj1zXn8rj5QnQmJ2v0o1Yk6Yx3ZpFq8A somebody@desk"
PSK = "0123456789abcdef" * 4
USER_DATA = f"""#cloud-config
hostname: hall
manage_etc_hosts: true
packages:
- avahi-daemon
apt:
  conf: |
    Acquire {{
      Check-Date "false";
    }};
timezone: Europe/Berlin
keyboard:
  model: pc105
  layout: "de"
enable_ssh: true
users:
- name: anna
  groups: users,adm,dialout,audio,netdev,video,plugdev,cdrom,games,input,gpio,spi,i2c,render,sudo
  shell: /bin/bash
  lock_passwd: false
  passwd: $5$abc$0123456789
  ssh_authorized_keys:
    - {KEY}
    - {KEY}
  sudo: ALL=(ALL) NOPASSWD:ALL
ssh_pwauth: true
runcmd:
  - [ sh, -c, "printf '%s\\n' 'token-of-connect' > /home/anna/key" ]
  - [ rfkill, unblock, wifi ]
"""
NETWORK_CONFIG = f"""network:
  version: 2
  ethernets:
    eth0:
      dhcp4: true
      optional: true
  wifis:
    wlan0:
      dhcp4: true
      regulatory-domain: "DE"
      access-points:
        "Caf\\xc3\\xa9 \\"1\\"":
          hidden: true
          password: "{PSK}"
      optional: true
"""
FIRSTRUN = f"""#!/bin/sh
set +e
CURRENT_HOSTNAME=$(cat /etc/hostname | tr -d " \\t\\n\\r")
if [ -f /usr/lib/raspberrypi-sys-mods/imager_custom ]; then
   /usr/lib/raspberrypi-sys-mods/imager_custom set_hostname yard
else
   echo yard >/etc/hostname
fi
if [ -f /usr/lib/raspberrypi-sys-mods/imager_custom ]; then
   /usr/lib/raspberrypi-sys-mods/imager_custom enable_ssh -k '{KEY}' '{KEY}'
fi
if [ -f /usr/lib/userconf-pi/userconf ]; then
   /usr/lib/userconf-pi/userconf 'bert' '$5$abc$0123456789'
fi
   /usr/lib/raspberrypi-sys-mods/imager_custom set_wlan  -h 'It'"'"'s here' '{PSK}' 'GB'
   /usr/lib/raspberrypi-sys-mods/imager_custom set_keymap 'gb'
   /usr/lib/raspberrypi-sys-mods/imager_custom set_timezone 'Europe/London'
rm -f /boot/firstrun.sh
exit 0
"""
STOCK_CMDLINE = "console=tty1 root=edgeface rootwait"


def good(_: str) -> None:
    """Judge everything good."""


# network.txt


def test_everything_of_network_txt_is_read() -> None:
    read = network_txt.read(
        "# comment\nhostname = shop-1\ntimezone=Europe/Berlin\nwifi_country = de\nwifi_ssid = My # net\n"
        "wifi_password = pass # word=1\nwifi_hidden = Yes\naddress = 192.168.1.20/24\ngateway = 192.168.1.1\n"
        "dns = 192.168.1.1, 9.9.9.9\n"
    )
    assert read.complaints == ()
    assert read.settings == Settings(
        hostname="shop-1",
        timezone="Europe/Berlin",
        country="DE",
        wifi=Wifi(b"My # net", "pass # word=1", hidden=True),
        address=Address("192.168.1.20/24", "192.168.1.1", ("192.168.1.1", "9.9.9.9")),
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_editor_may_have_written_it(encoding: str) -> None:
    data = 'hostname = hall\r\nwifi_country = DE\r\nwifi_ssid = "Café "\r\n'.encode(encoding)
    read = network_txt.read(network_txt.decode(data))
    assert (read.settings.hostname, read.settings.wifi) == ("hall", Wifi("Café ".encode()))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("hostname = my node", "no name of a host"),
        ("wifi_country = Germany", "two letters"),
        ("wifi_ssid = x\nwifi_country = DE\nwifi_password = short", "8 to 63"),
        ("wifi_password = long enough", "without wifi_ssid"),
        ("wifi_ssid = x\nwifi_country = uk", "write GB"),
        ("wifi_ssid = x\nwifi_country = DE\nwifi_hidden = perhaps", "neither yes nor no"),
        ("address = 192.168.1.20", "192.168.1.20/24"),
        ("address = 192.168.1.20/24\ngateway = 10.0.0.1", "not in the net"),
        ("gateway = 10.0.0.1", "without address"),
        ("address = 192.168.1.0/24", "of its whole net"),
        ("address = 192.168.1.20/24\ngateway = 192.168.1.20", "the node's own address"),
        ("dns = router", "no address"),
        ("wifi = x", "unknown; known are hostname"),
        ("my network", "line 1 is no KEY = VALUE"),
    ],
)
def test_what_cannot_hold_is_one_line_and_the_rest_holds(line: str, said: str) -> None:
    read = network_txt.read(f"{line}\ntimezone = Europe/Berlin\n")
    assert len(read.complaints) == 1
    assert said in read.complaints[0]
    assert read.settings.timezone == "Europe/Berlin"
    assert "short" not in read.complaints[0]  # a password is not repeated


@pytest.mark.parametrize("quotes", ['""', "''", "\u201c\u201d", "\u2018\u2019", "\u201e\u201c"])
def test_quotes_are_no_part_of_a_name(quotes: str) -> None:
    """Text programs turn what is typed into other ones."""
    first, last = quotes[0], quotes[1]
    read = network_txt.read(f"wifi_ssid = {first}My net{last}\nwifi_password = {first}correct horse{last}\n")
    assert read == Read(Settings(wifi=Wifi(b"My net", "correct horse")))


def test_what_provisioning_leaves_empty_says_nothing() -> None:
    read = network_txt.read("hostname = aisle-1\ntimezone = \nwifi_country = \naddress = \ndns = \n")
    assert (read.settings, read.complaints) == (Settings(hostname="aisle-1"), ())


# What Imager writes


def test_user_data_is_obeyed_and_the_rest_is_named() -> None:
    read = imager.user_data(USER_DATA)
    assert read.settings == Settings(hostname="hall", timezone="Europe/Berlin", users=(User("anna", (KEY,)),))
    assert read.complaints == ()
    assert set(read.ignored) == {
        "password of anna", "login with a password", "packages (avahi-daemon)", "apt", "keyboard", "runcmd"
    }  # fmt: skip
    assert "token-of-connect" not in str(read)


def test_somebody_without_a_key_is_told_that_he_cannot_come_in() -> None:
    read = imager.user_data("users:\n- name: anna\n  passwd: $5$x\nssh_pwauth: true\n")
    assert read.settings.users is None
    assert "anna has no key" in read.complaints[0]


def test_a_line_that_is_no_key_does_not_keep_out_who_has_another() -> None:
    for read in (
        imager.user_data(f"users:\n- name: anna\n  ssh_authorized_keys:\n  - ssh-dss AAAA\n  - {KEY}\n"),
        imager.script(f"{imager.IMAGER_CUSTOM} enable_ssh -k 'ssh-dss AAAA' '{KEY}'\n{imager.USERCONF} 'anna' ''\n"),
    ):
        assert read.settings.users == (User("anna", (KEY,)),)
        assert len(read.complaints) == 1
        assert "no public key for SSH" in read.complaints[0]


def test_network_config_is_obeyed() -> None:
    read = imager.network_config(NETWORK_CONFIG)
    assert read.complaints == read.ignored == ()
    assert read.settings == Settings(country="DE", wifi=Wifi('Café "1"'.encode(), PSK, hidden=True))


@pytest.mark.parametrize("ssid", ["007", "1_000", "3.10", "No", "2026-12-01", "12:30:45", "0x1F"])
def test_a_name_that_yaml_would_take_for_something_else_is_as_written(ssid: str) -> None:
    """Read as a number, a date or a word for no, each would be another network's name, or another password."""
    read = imager.network_config(
        f"version: 2\nwifis:\n  wlan0:\n    access-points:\n      {ssid}:\n        password: 01234567\n"
        "        hidden: yes\n"
    )
    assert read.complaints == ()
    assert read.settings.wifi == Wifi(ssid.encode(), "01234567", hidden=True)
    assert imager.user_data("hostname: 007\nssh_pwauth: no\n") == Read(Settings(hostname="007"))


def test_a_fixed_address_of_network_config() -> None:
    read = imager.network_config(
        "version: 2\nethernets:\n  eth0:\n    addresses: [10.0.0.5/8]\n"
        "    routes:\n    - to: default\n      via: 10.0.0.1\n"
        "    nameservers:\n      addresses: [10.0.0.1]\n"
    )
    assert read.settings.address == Address("10.0.0.5/8", "10.0.0.1", ("10.0.0.1",), wired=True)


def access_point(text: str) -> Read:
    return imager.network_config(f"version: 2\nwifis:\n  wlan0:\n    access-points:\n      Corp: {{{text}}}\n")


@pytest.mark.parametrize(
    "text",
    [
        "auth: {key-management: eap, method: tls, identity: anna, client-key: /key}",
        "auth: {key-management: eap, method: peap, identity: anna, password: long enough}",
        "auth: {method: tls, identity: anna}",
        "auth: {key-management: 802.1x}",
        "auth: {key-management: sae}",
        "auth: {key-management: psk}",
        "mode: ap, password: long enough",
        "mode: adhoc",
    ],
)
def test_what_is_entered_in_another_way_is_never_an_open_network(text: str) -> None:
    """Anybody can make an open one of that name, and a company's network takes no such password."""
    read = access_point(text)
    assert read.settings.wifi is None
    assert len(read.complaints) == 1
    assert read.complaints[0].startswith("network-config: ")


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ('password: ""', None),  # As Imager writes an open one.
        ("auth: {key-management: none}", None),
        ("auth: {key-management: none, password: long enough}", None),
        ("mode: infrastructure, password: long enough", "long enough"),
        ("auth: {password: long enough}", "long enough"),
        ("auth: {key-management: sae, password: long enough}", "long enough"),
        ("auth: {key-management: psk-sha256, psk: long enough}", "long enough"),
    ],
)
def test_how_a_wireless_network_is_entered(text: str, password: str | None) -> None:
    assert access_point(text) == Read(Settings(wifi=Wifi(b"Corp", password)))


def test_an_address_of_the_cable_stays_there_beside_a_wireless_network() -> None:
    read = imager.network_config(
        "version: 2\nethernets:\n  eth0:\n    addresses: [10.0.0.5/8]\n    gateway4: 10.0.0.1\n"
        "wifis:\n  wlan0:\n    dhcp4: true\n    access-points: {Shop: {password: correct horse}}\n"
    )
    assert read.settings.address == Address("10.0.0.5/8", "10.0.0.1", wired=True)
    files = render.network_files(read.settings)
    assert "Address=10.0.0.5/8" in files[render.WIRED]
    assert "DHCP=yes" in files[render.WIRELESS]


def test_one_address_is_taken_and_the_way_out_is_the_default_route() -> None:
    """The rest is named: of several addresses that of IPv4 is kept, wherever it stands."""
    read = imager.network_config(
        "version: 2\nethernets:\n  eth0:\n    macaddress: 02:00:00:00:00:01\n"
        "    addresses: ['fd00::5/64', 10.0.0.5/8: {label: 'eth0:1'}, 10.0.0.6/8]\n"
        "    routes:\n    - {to: 10.9.0.0/16, via: 10.0.0.9}\n    - {to: '::/0', via: 'fd00::1'}\n"
        "    - {to: 0.0.0.0/0, via: 10.0.0.1}\n    nameservers: {search: [lan]}\n"
        "wifis:\n  wlan0:\n    addresses: [10.0.0.7/8]\n    access-points: {Shop: {}}\n"
    )
    assert read.complaints == ()
    assert read.settings.address == Address("10.0.0.7/8", None)
    assert set(read.ignored) == {
        "macaddress of eth0", "address fd00::5/64 of eth0", "address 10.0.0.5/8 of eth0", "address 10.0.0.6/8 of eth0",
        "route to 10.9.0.0/16 of eth0", "nameservers search of eth0",
    }  # fmt: skip
    by_cable = imager.network_config(
        "version: 2\nethernets:\n  eth0:\n    addresses: ['fd00::5/64', 10.0.0.5/8: {label: x}]\n"
        "    routes:\n    - {to: 10.9.0.0/16, via: 10.0.0.9}\n    - {to: default, via: 'fd00::1'}\n"
        "    - {to: default, via: 10.0.0.1}\n"
    )
    assert by_cable.settings.address == Address("10.0.0.5/8", "10.0.0.1", wired=True)
    assert set(by_cable.ignored) == {"address fd00::5/64 of eth0", "route to 10.9.0.0/16 of eth0"}


@pytest.mark.parametrize("text", ["a: [", "- 1\n", "just words", "&a [*a, *a]", "\x00"])
@pytest.mark.parametrize("reader", [imager.user_data, imager.network_config])
def test_what_is_no_yaml_of_ours_is_told(reader: Callable[[str], object], text: str) -> None:
    assert "nothing of it is taken" in str(reader(text))


@pytest.mark.parametrize(
    "text", ["users: 3\nhostname: [a]\n", "users: [[1]]\n", "user: {name: root}\n", "wifis: {w: 1}\n"]
)
def test_odd_values_break_nothing(text: str) -> None:
    assert imager.user_data(text).settings.users is None
    assert imager.network_config(text).settings == Settings()


def test_a_country_alone_comes_by_the_command_line() -> None:
    assert imager.cmdline(f"{STOCK_CMDLINE} cfg80211.ieee80211_regdom=FR").settings == Settings(country="FR")


def test_a_script_of_imager_is_read_and_not_run() -> None:
    read = imager.script(FIRSTRUN)
    assert read.settings == Settings(
        hostname="yard",
        timezone="Europe/London",
        country="GB",
        wifi=Wifi(b"It's here", PSK, hidden=True),
        users=(User("bert", (KEY,)),),
    )
    assert set(read.ignored) == {"password of bert", "set_keymap"}


@pytest.mark.parametrize("value", ['!!int ""', "!!timestamp x", "!!bool x", "[" * 2000])
def test_a_file_that_breaks_its_reader_is_one_line(place: Path, value: str) -> None:
    """PyYAML raises whatever its own code stumbles over."""
    (place / "user-data").write_text(f"hostname: {value}\n")
    (place / "network.txt").write_text("timezone = Europe/Berlin\n")
    found = boot(place).read(good)
    assert found.settings.timezone == "Europe/Berlin"
    assert len([line for line in found.complaints if line.startswith("user-data")]) == 1


def test_anchors_of_anchors_take_no_time() -> None:
    lines = ["a0: &a0 {password: x}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    spots = list(secrets.in_yaml("user-data")("\n".join(lines)))
    assert len(spots) == 1


@pytest.mark.parametrize("where", ["addresses: ['{}']", "addresses: [10.0.0.2/24]\n  gateway4: '{}'",
                                   "nameservers: {{addresses: ['{}']}}"])  # fmt: skip
def test_an_address_brings_no_lines_of_its_own(where: str) -> None:
    """Python takes any text as the zone of an address, which would become lines of systemd-networkd's file."""
    hostile = "fe80::1%x\\n[Link]\\nUnmanaged=yes"
    text = "version: 2\nethernets:\n eth0:\n  " + where.format("HOSTILE")
    read = imager.network_config(text.replace("'HOSTILE'", f'"{hostile}"'))
    assert len(read.complaints) == 1
    assert not any("Unmanaged" in text for text in render.network_files(read.settings).values())


def test_nobody_becomes_root_by_a_card() -> None:
    with pytest.raises(CardError, match="not root"):
        make_user("root", (KEY,))
    with pytest.raises(CardError, match="no public key"):
        make_user("anna", ('command="sh" ssh-ed25519 AAAA',))


def test_network_txt_wins() -> None:
    by_hand = network_txt.read("hostname = shop\nwifi_ssid = Shop\nwifi_country = AT\n").settings
    by_imager = imager.network_config(NETWORK_CONFIG).settings
    both = merge(by_hand, by_imager, imager.user_data(USER_DATA).settings)
    assert (both.hostname, both.wifi, both.country, both.timezone) == ("shop", Wifi(b"Shop"), "AT", "Europe/Berlin")


# What becomes of it


def test_a_wireless_network_for_wpa_supplicant() -> None:
    text = render.supplicant(wifi("Café".encode(), 'pass "word"', hidden=True), "DE")
    assert "country=DE\n" in text
    assert "\tssid=436166c3a9\n\tscan_ssid=1\n" in text
    assert '\tsae_password="pass "word""\n' in text
    assert "SAE" in text
    assert "SAE" not in render.supplicant(Wifi(b"x", PSK), "DE")
    assert "key_mgmt=NONE" in render.supplicant(Wifi(b"x"), None)


def test_the_key_of_wpa2_is_that_of_the_standard() -> None:
    """IEEE 802.11-2020, annex J.4.2: the first test vector of the mapping from a passphrase to a key."""
    text = render.supplicant(Wifi(b"IEEE", "password"), None)
    assert "\tpsk=f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e\n" in text


@pytest.mark.skipif(
    shutil.which("wpa_supplicant", path="/usr/sbin:/sbin") is None, reason="wpa_supplicant is not installed"
)
@pytest.mark.parametrize("password", ['pass "word"', "pass#word\\", '"quoted all"', " blanks ", PSK, None])
def test_the_real_wpa_supplicant_reads_it(tmp_path: Path, password: str | None) -> None:
    """It is asked for an interface that is not there, so it ends once it has read its file."""
    file = tmp_path / "wpa.conf"
    file.write_text(render.supplicant(wifi("Café".encode(), password), "DE"))
    program = shutil.which("wpa_supplicant", path="/usr/sbin:/sbin")
    command = [str(program), "-Dwired", "-inone0", "-dd", f"-c{file}"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout
    assert "Reading configuration file" in said
    assert "ailed to parse" not in said, said


def test_a_fixed_address_is_that_of_the_wireless_network_where_one_is_named() -> None:
    fixed = Address("192.168.1.20/24", "192.168.1.1", ("9.9.9.9",))
    by_cable = render.network_files(Settings(address=fixed))
    assert "Address=192.168.1.20/24\nDNS=9.9.9.9\n" in by_cable[render.WIRED]
    assert "Gateway=192.168.1.1\nMetric=100" in by_cable[render.WIRED]
    assert "DHCP=yes" not in by_cable[render.WIRED]
    by_air = render.network_files(Settings(address=fixed, wifi=Wifi(b"x")))
    assert "DHCP=yes" in by_air[render.WIRED]
    assert "Address=192.168.1.20/24" in by_air[render.WIRELESS]
    assert render.SUPPLICANT in by_air
    assert "ClientIdentifier" not in by_cable[render.WIRED]
    assert "LinkLocalAddressing=ipv6\n" in by_cable[render.WIRED], "its name has one address of IPv4"
    assert "LinkLocalAddressing=yes\n" in by_cable[render.WIRELESS]
    own_servers = render.network_files(Settings(dns=("9.9.9.9",)))[render.WIRED]
    assert "DNS=9.9.9.9" in own_servers
    assert own_servers.count("UseDNS=no") == 3


def test_a_board_that_was_written_anew_is_the_same_to_its_router() -> None:
    """By default systemd-networkd names itself by the machine id, which each new card makes anew."""
    files = render.network_files(Settings(wifi=Wifi(b"x")))
    for name in (render.WIRED, render.WIRELESS):
        assert "\n[DHCPv4]\nClientIdentifier=mac\n" in files[name]


# Secrets


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "firmware"
    folder.mkdir()
    return folder


def kept_of(place: Path) -> Path:
    return place.parent / "data" / "card"


def boot(place: Path, judge: Callable[[str], str | None] = good) -> Card:
    return Card(place, kept_of(place))


def test_a_file_whose_name_windows_has_lengthened_is_named(place: Path) -> None:
    """Its end is hidden there, so whoever wrote it sees the right name, and a node that does nothing."""
    (place / "edgeface.toml.txt").write_text("[mqtt]\n")
    (place / "password.txt").write_text("secret\n")
    (place / "notes.txt").write_text("mine\n")
    found = boot(place).read(good)
    assert [line.partition(";")[0] for line in found.complaints if ".txt" in line] == [
        "edgeface.toml.txt is not read", "password.txt is not read"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["network.txt", "user-data", "edgeface.toml", "password", "ca.pem"])
@pytest.mark.parametrize("large", [True, False])
def test_a_file_of_no_use_is_told(place: Path, name: str, large: bool) -> None:
    """One on a spot of the card that is worn out, a folder, a film: as if it were not there, but for the line."""
    if large:
        (place / name).write_bytes(b"#" * (card_module.LARGEST_BYTES + 1))
    else:
        (place / name).mkdir()
    (place / "cmdline.txt").write_text(f"{STOCK_CMDLINE} cfg80211.ieee80211_regdom=FR")
    found = boot(place).read(good)
    assert found.settings == Settings(country="FR")
    assert len([line for line in found.complaints if line.startswith(f"{name} is damaged, or no file")]) == 1


@pytest.mark.parametrize("name", ["wpa_supplicant.conf", "userconf.txt", "ssh", "custom.toml"])
def test_a_file_by_which_raspberry_pi_os_was_told_is_named(place: Path, name: str) -> None:
    """It may hold a password, and whoever put it there waits for a node that never comes."""
    (place / name).write_text('psk="correct horse"\n')
    told = [line for line in boot(place).read(good).complaints if line.startswith(f"{name} is not read here")]
    assert len(told) == 1
    assert "take it off the card" in told[0]


def test_a_wireless_network_without_a_country_is_told_once_from_all_files(place: Path) -> None:
    (place / "network.txt").write_text("wifi_ssid = Shop\n")
    told = [line for line in boot(place).read(good).complaints if "country" in line]
    assert len(told) == 1
    assert "wifi_country" in told[0]
    (place / "cmdline.txt").write_text(f"{STOCK_CMDLINE} cfg80211.ieee80211_regdom=GB\n")
    assert not [line for line in boot(place).read(good).complaints if "country" in line]


def test_an_empty_password_is_not_taken(place: Path) -> None:
    """It is how Imager writes an open network; ``taken`` would stand for a secret that nobody gave."""
    text = NETWORK_CONFIG.replace(f'"{PSK}"', '""')
    (place / "network-config").write_text(text)
    for _ in range(2):
        found = boot(place).read(good).settings.wifi
        assert found is not None
        assert found.password is None
    assert (place / "network-config").read_text() == text


def test_secrets_leave_the_card_and_are_known_at_the_next_boot(place: Path) -> None:
    files = {
        "network.txt": "wifi_country = DE\nwifi_ssid = Shop\nwifi_password = correct horse\n",
        "user-data": USER_DATA,
        "network-config": NETWORK_CONFIG,
        "edgeface.toml": '[mqtt]\npassword = "mine, all"\n[cameras.door]\nsource = "rtsp://me:p@ss/w@cam/1"\n',
        "password": "mqtt-secret\n",
        "key.pem": "-----BEGIN PRIVATE KEY-----\nabc\n",
        "firstrun.sh": FIRSTRUN,
        "cmdline.txt": STOCK_CMDLINE
        + " systemd.run=/boot/firstrun.sh systemd.run_success_action=reboot systemd.unit=kernel-command-line.target\n",
    }
    for name, text in files.items():
        (place / name).write_text(text)
    sizes = {name: (place / name).stat().st_size for name in files}
    first = boot(place).read(good)
    for hidden in ("correct horse", "$5$abc", "token-of-connect", PSK, "mine, all", "p@ss/w", "mqtt-secret", "abc\n"):
        for name in files:
            assert hidden not in (place / name).read_text(), name
    assert all((place / name).stat().st_size >= size for name, size in sizes.items())
    assert (place / "cmdline.txt").read_text().strip() == STOCK_CMDLINE
    second = boot(place).read(good)
    for found in (first, second):
        assert found.settings.wifi == Wifi(b"Shop", "correct horse")
        assert found.private == {"password": b"mqtt-secret\n", "key.pem": b"-----BEGIN PRIVATE KEY-----\nabc\n"}
        assert found.choice.text is not None
        assert 'password = "mine, all"' in found.choice.text
        assert "rtsp://me:p@ss/w@cam/1" in found.choice.text
        assert found.settings.hostname == "hall"
    assert not [line for line in second.complaints if "not known" in line]
    for path in kept_of(place).rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_new_secret_replaces_the_old_one(place: Path) -> None:
    file = place / "network.txt"
    file.write_text("wifi_country = DE\nwifi_ssid = Shop\nwifi_password = the first one\n")
    boot(place).read(good)
    file.write_text(file.read_text().replace("taken", "the second one"))
    assert boot(place).read(good).settings.wifi == Wifi(b"Shop", "the second one")
    assert boot(place).read(good).settings.wifi == Wifi(b"Shop", "the second one")


def test_a_secret_that_went_with_another_card_is_asked_for(place: Path) -> None:
    (place / "network.txt").write_text("wifi_country = DE\nwifi_ssid = Shop\nwifi_password = taken\n")
    (place / "firstrun.sh").write_text("# taken\n")
    (place / "key.pem").write_text("taken\n")
    found = boot(place).read(good)
    told = [line for line in found.complaints if "not known here any more" in line]
    assert len(told) == 3
    assert sum("network.txt: the password of the wireless network" in line for line in told) == 1
    assert found.private == {}
    # Not as an open network either: anybody can make one of that name.
    assert found.settings.wifi is None


def test_a_word_that_stands_for_a_secret_may_be_one(place: Path) -> None:
    """``taken`` is a password like others where none was taken; an older card has the kept one behind it."""
    files = {
        "network.txt": "wifi_country = DE\nwifi_ssid = taken\nwifi_password = taken one\n",
        "edgeface.toml": '[mqtt]\npassword = "taken"\n[cameras.door]\nsource = "rtsp://me:taken@cam/1"\n',
        "password": "taken\n",
    }
    for name, text in files.items():
        (place / name).write_text(text)
    for _ in range(2):
        found = boot(place).read(good)
        assert found.settings.wifi == Wifi(b"taken", "taken one")
        assert found.choice.text == files["edgeface.toml"]
        assert found.private == {"password": b"taken\n"}
        assert len([line for line in found.complaints if "if the word stands for a secret" in line]) == 3
    # As a card of before was left: the word on it, the secrets kept.
    (kept_of(place) / "credentials/password").write_text("mqtt-secret\n")
    kept = {"edgeface.toml password": '"mine"', "edgeface.toml address me@cam": "camera's"}
    (kept_of(place) / "secrets.json").write_text(json.dumps(kept))
    found = boot(place).read(good)
    assert found.private == {"password": b"mqtt-secret\n"}
    assert found.choice.text is not None
    assert 'password = "mine"' in found.choice.text
    assert "rtsp://me:camera's@cam/1" in found.choice.text
    assert [line for line in found.complaints if "taken" in line] == []


def test_secrets_are_kept_before_they_are_taken(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut between the two leaves the secret in both places, never in none."""
    (place / "password").write_text("mqtt-secret\n")

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgeface_card.card.overwrite", cut)
    with pytest.raises(KeyboardInterrupt):
        boot(place).read(good)
    assert (kept_of(place) / "credentials" / "password").read_bytes() == b"mqtt-secret\n"
    assert (place / "password").read_text() == "mqtt-secret\n"


def test_a_card_that_cannot_be_written_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "password").write_text("mqtt-secret\n")

    def refused(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("edgeface_card.card.overwrite", refused)
    found = boot(place).read(good)
    assert found.private == {"password": b"mqtt-secret\n"}
    assert any("take out its secrets" in line for line in found.complaints)


def test_a_card_is_unlocked_only_where_it_has_a_secret(place: Path) -> None:
    asked = []
    (place / "network.txt").write_text("wifi_ssid = Shop\nwifi_country = DE\n")
    Card(place, kept_of(place), lambda: asked.append("rw")).read(good)
    assert asked == []
    (place / "password").write_text("mqtt-secret\n")
    (place / "key.pem").write_text("key\n")
    Card(place, kept_of(place), lambda: asked.append("rw")).read(good)
    assert asked == ["rw"]


def test_a_full_data_partition_stops_no_boot(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be kept holds for this boot, and stays on the card."""
    files = {
        "network.txt": "wifi_country = DE\nwifi_ssid = Shop\nwifi_password = correct horse\n",
        "edgeface.toml": '[mqtt]\npassword = "mine"\n',
        "password": "mqtt-secret\n",
        "firstrun.sh": FIRSTRUN,
    }
    for name, text in files.items():
        (place / name).write_text(text)
    card = boot(place)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edgeface_card.card.write_private", full)
    found = card.read(good)
    card.keep_good(str(found.choice.text))
    assert found.settings.wifi == Wifi(b"Shop", "correct horse")
    assert found.settings.hostname == "yard"
    assert found.private == {"password": b"mqtt-secret\n"}
    assert 'password = "mine"' in str(found.choice.text)
    assert {name: (place / name).read_text() for name in files} == files
    assert all("No space left on device" in line for line in found.complaints if "does not take" in line)
    root = root_of(tmp_path)
    applying.apply(found, root)
    assert (root / applying.READY).exists()


@pytest.mark.parametrize("sectors", [1, 3])
def test_a_cut_while_a_file_is_written_over_is_made_good(
    place: Path, monkeypatch: pytest.MonkeyPatch, sectors: int
) -> None:
    """The rest of a key would be taken for a new one, and a configuration would be half of each."""
    comment = "# eine Bemerkung für später" * (150 if sectors == 1 else 7000)
    texts = {"key.pem": "K" * 2000 + "\n", "edgeface.toml": f'[mqtt]\npassword = "mine"\n{comment}\n'}

    for name, text in texts.items():
        (place / name).write_text(text)

        def cut(path: Path, data: bytes) -> None:
            old = path.read_bytes()
            whole = card_module.padded(data, len(old))
            path.write_bytes(whole[: 512 * sectors] + old[512 * sectors :])
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("edgeface_card.card.overwrite", cut)
            with pytest.raises(KeyboardInterrupt):
                boot(place).read(good)
        found = boot(place).read(good)
    assert found.private["key.pem"] == texts["key.pem"].encode()
    assert found.choice.text is not None
    assert found.choice.text.strip() == texts["edgeface.toml"].strip()
    assert not (kept_of(place) / card_module.OVERWRITING).exists()


def test_what_was_kept_before_and_while_a_file_was_written_over_lies_in_no_free_block(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to each file, made while it is there, shows what its blocks hold afterwards."""
    (place / "password").write_text("the first one\n")
    (place / "network.txt").write_text("wifi_country = DE\nwifi_ssid = Shop\nwifi_password = of the shop\n")
    links: list[Path] = []
    real = card_module.overwrite

    def linking(path: Path, data: bytes) -> None:
        for kept in [one for one in kept_of(place).rglob("*") if one.is_file()]:
            links.append(place.parent / f"link-{len(links)}")
            links[-1].hardlink_to(kept)
        real(path, data)

    monkeypatch.setattr(card_module, "overwrite", linking)
    boot(place).read(good)
    (place / "password").write_text("the second one\n")
    boot(place).read(good)
    kept = {path.stat().st_ino for path in kept_of(place).rglob("*")}
    gone = [path for path in links if path.stat().st_ino not in kept]
    assert len(gone) >= 4
    assert [path.read_bytes().strip(b"\0") for path in gone] == [b""] * len(gone)
    assert boot(place).read(good).private["password"] == b"the second one\n"


def test_an_old_copy_that_a_cut_has_left_is_erased_and_never_the_file_itself(place: Path) -> None:
    kept = kept_of(place)
    kept.mkdir(parents=True, exist_ok=True)
    path, before = kept / "active", kept / ".active.old"
    card_module.write_private(path, b"one")
    before.hardlink_to(path)  # the power went before the new one took its place
    card_module.write_private(path, b"two")
    before.write_bytes(b"one")  # and after it had
    (place.parent / "link").hardlink_to(before)
    card_module.write_private(path, b"three")
    assert path.read_bytes() == b"three"
    assert (place.parent / "link").read_bytes() == bytes(3)
    assert [one.name for one in kept.iterdir()] == ["active"]


def test_nothing_goes_before_what_follows_is_on_the_disk(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros that are not flushed before the file goes are never written; the old copy outlives the switch."""
    path, calls = place.parent / "key", []
    path.write_bytes(b"one")
    old, sync, unlink = path.stat().st_ino, os.fsync, Path.unlink

    def noted_sync(handle: int) -> None:
        calls.append(("sync", os.fstat(handle).st_ino))
        sync(handle)

    def noted_unlink(gone: Path, missing_ok: bool = False) -> None:
        if gone.exists():
            calls.append(("unlink", gone.stat().st_ino))
        unlink(gone, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "unlink", noted_unlink)
    card_module.write_private(path, b"two")
    new, folder = path.stat().st_ino, path.parent.stat().st_ino
    assert calls == [("sync", new), ("sync", folder), ("sync", old), ("unlink", old)]


@pytest.mark.parametrize("how", ["by the next one", "at the next boot"])
def test_what_a_cut_has_left_of_a_new_copy_is_erased(place: Path, how: str) -> None:
    """Opened anew with nothing in it, it would leave the secret in a free block."""
    kept = kept_of(place) / "credentials"
    kept.mkdir(parents=True)
    for folder, name in ((kept, ".password.new"), (kept.parent, f".{card_module.OVERWRITING}.new")):
        (folder / name).write_bytes(b"mqtt-sec")
        (place.parent / name).hardlink_to(folder / name)
        if how == "by the next one":
            card_module.write_private(folder / name[1:-4], b"mqtt-secret")
            assert (folder / name[1:-4]).read_bytes() == b"mqtt-secret"
    if how == "at the next boot":
        boot(place).read(good)
    assert [(place.parent / name).read_bytes() for name in (".password.new", ".overwriting.new")] == [bytes(8)] * 2
    assert not list(kept.parent.rglob(".*.new"))


def test_an_old_copy_that_a_cut_has_left_is_erased_at_the_next_boot(place: Path) -> None:
    """Nobody may ever write that file again."""
    kept = kept_of(place) / "credentials"
    kept.mkdir(parents=True)
    (kept / "password").write_text("the second one\n")
    (kept / ".password.old").write_text("the first one\n")
    (place.parent / "link").hardlink_to(kept / ".password.old")
    (kept / "key.pem").write_text("key\n")
    (kept / ".key.pem.old").hardlink_to(kept / "key.pem")
    (place / "password").write_text("taken\n")
    (place / "key.pem").write_text("taken\n")
    assert boot(place).read(good).private == {"password": b"the second one\n", "key.pem": b"key\n"}
    assert not (place.parent / "link").read_bytes().strip(b"\0")
    assert sorted(one.name for one in kept.iterdir()) == ["key.pem", "password"]


def test_what_cannot_be_erased_stops_no_boot(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = kept_of(place)
    kept.mkdir(parents=True)
    (kept / ".overwriting.old").mkdir()
    (kept / ".secrets.json.new").mkdir()
    (place / "password").write_text("mqtt-secret\n")
    assert boot(place).read(good).private == {"password": b"mqtt-secret\n"}


def test_a_file_that_was_edited_after_a_cut_is_the_person_s(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place / "network.txt"
    file.write_text("wifi_country = DE\nwifi_ssid = Shop\nwifi_password = the first one\n")

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("edgeface_card.card.overwrite", cut)
        with pytest.raises(KeyboardInterrupt):
            boot(place).read(good)
    file.write_text("wifi_country = DE\nwifi_ssid = Shed\nwifi_password = the other one\n")
    assert boot(place).read(good).settings.wifi == Wifi(b"Shed", "the other one")


def test_a_password_goes_to_its_own_host_alone(place: Path) -> None:
    """Whatever stands before it, or is written in its place."""
    file = place / "edgeface.toml"
    second = '[cameras.two]\nsource = "rtsp://admin:second@10.0.0.2/1"\n'
    file.write_text(f'[cameras.one]\nsource = "rtsp://admin:first@10.0.0.1/1"\n{second}')
    boot(place).read(good)
    bare = file.read_text()
    assert "first" not in bare
    file.write_text('[cameras.new]\nsource = "rtsp://admin:third@10.0.0.3/1"\n' + bare)
    text = str(boot(place).read(good).choice.text)
    assert [f"{word}@10.0.0.{n}" in text for n, word in ((1, "first"), (2, "second"), (3, "third"))] == [True] * 3
    file.write_text('[cameras.one]\nsource = "rtsp://admin:taken@stranger/1"\n')
    assert "first" not in str(boot(place).read(good).choice.text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [('"a\\"b"', 'a"b'), ('"a\\\\b"', "a\\b"), ("'a\\b'", "a\\b"), ('"caf\\u00e9"', "café")],
)
def test_a_password_is_what_toml_says(place: Path, tmp_path: Path, written: str, meant: str) -> None:
    root = root_of(tmp_path)
    (place / "edgeface.toml").write_text(f"[mqtt]\npassword = {written}\nport = 1883\n")
    applying.apply(boot(place).read(good), root)
    assert (root / "etc/edgeface/credentials/password").read_text() == f"{meant}\n"
    told = "[mqtt]\n# password: among the credentials\nport = 1883\n"
    assert (root / "etc/edgeface/edgeface.toml").read_text() == told
    assert (place / "edgeface.toml").read_text().startswith('[mqtt]\npassword = "taken"\nport')


def test_what_toml_says_in_three_quotes_stays_as_it_is() -> None:
    text = '[mqtt]\npassword = """mine"""\n'
    assert secrets.take(text, secrets.in_toml) == (text, {})


def test_a_file_is_overwritten_where_it_lies(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"secret secret\n")
    node = file.stat().st_ino
    overwrite(file, b"taken\n")
    assert (file.read_bytes(), file.stat().st_ino) == (b"taken\n       \n", node)


def test_comments_hold_no_secrets() -> None:
    text = '# password = "an example"\n# source = "rtsp://user:secret@camera/1"\n'
    assert secrets.take(text, secrets.in_toml) == (text, {})
    stock = "# wifi_password = \nwifi_password =\n"
    assert secrets.take(stock, secrets.in_network_txt) == (stock, {})


# edgeface.toml


def test_the_last_good_configuration_runs_until_the_card_s_is_corrected() -> None:
    def judge(text: str) -> str | None:
        return "line 1 is wrong" if "broken" in text else None

    assert choose("broken", None, judge) == choose("broken", None, judge)
    first = choose("broken", None, judge)
    assert (first.text, first.problem) == (None, "line 1 is wrong")
    fallen = choose("broken", "good", judge)
    assert (fallen.text, fallen.problem) == ("good", "line 1 is wrong")
    corrected = choose("better", "good", judge)
    assert (corrected.text, corrected.problem) == ("better", None)
    gone = choose(None, "good", judge)
    assert gone.text == "good"
    assert "not on the card" in str(gone.problem)


def test_what_was_good_is_not_judged_again() -> None:
    def judge(_: str) -> str | None:
        raise AssertionError("judged")

    assert choose("good", "good", judge).problem is None


def test_the_program_itself_judges(tmp_path: Path) -> None:
    program = tmp_path / "edgeface"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m edgeface "$@"\n')
    program.chmod(0o755)
    judge = applying.Judge(str(program), tmp_path, {}, 120.0)
    said = judge("[mqtt]\nprot = 1883\n")
    assert said is not None
    assert "mqtt.prot" in said
    assert str(tmp_path) not in said
    assert judge('[mqtt]\nhost = "broker.lan"\n') is None


def test_what_nobody_could_judge_in_time_runs(tmp_path: Path) -> None:
    program = tmp_path / "edgeface"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    assert applying.Judge(str(program), tmp_path, {"PATH": "/usr/bin:/bin"}, 0.1)("") is None
    assert applying.Judge(str(tmp_path / "gone"), tmp_path, {}, 1.0)("") is None


# Below the root


def root_of(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "usr/share/zoneinfo/Europe").mkdir(parents=True)
    (root / "usr/share/zoneinfo/Europe/Berlin").write_text("zone")
    (root / "etc").mkdir()
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    return root


def test_a_cameras_password_is_not_for_everybody(place: Path, tmp_path: Path) -> None:
    """The broker's goes among the credentials; this one stays, and the service reads it by its group."""
    root = root_of(tmp_path)
    for source, mode in (("rtsp://me:pass-word@cam/1", 0o640), ("rtsp://cam/1", 0o644)):
        (place / "edgeface.toml").write_text(f'[mqtt]\npassword = "mine"\n[cameras.door]\nsource = "{source}"\n')
        applying.apply(boot(place).read(good), root)
        path = root / "etc/edgeface/edgeface.toml"
        if os.geteuid() == 0:
            assert path.stat().st_mode & 0o777 == mode
            assert mode == 0o644 or path.group() == "video"
        assert source in path.read_text()


def test_files_below_the_root(place: Path, tmp_path: Path) -> None:
    root = root_of(tmp_path)
    (place / "edgeface.toml").write_text('[mqtt]\nhost = "broker.lan"\npassword = "mine"\n')
    (place / "network.txt").write_text("timezone = Europe/Berlin\nwifi_country = DE\nwifi_ssid = Shop\n")
    (place / "ca.pem").write_text("CA")
    applying.apply(boot(place).read(good), root)
    name = (root / "etc/hostname").read_text().strip()
    assert name == applying.default_hostname("0123456789abcdef0123456789abcdef")
    assert (root / "etc/localtime").readlink() == Path("../usr/share/zoneinfo/Europe/Berlin")
    assert (root / render.SUPPLICANT).stat().st_mode & 0o777 == 0o600
    assert "mine" not in (root / "etc/edgeface/edgeface.toml").read_text()
    assert (root / "etc/edgeface/credentials/password").read_bytes() == b"mine\n"
    assert (root / "etc/edgeface/credentials/password").stat().st_mode & 0o777 == 0o600
    assert (root / "etc/edgeface/ca.pem").read_text() == "CA"
    assert (root / applying.READY).exists()
    assert (root / applying.ENVIRONMENT).read_text() == ""


def test_a_first_boot_with_a_broken_file_starts_nothing_and_says_why(place: Path, tmp_path: Path) -> None:
    root = root_of(tmp_path)
    (place / "edgeface.toml").write_text("[mqtt\n")
    applying.apply(boot(place).read(lambda _: 'line 1: "]" is missing'), root)
    assert not (root / applying.READY).exists()
    assert not (root / "etc/edgeface/edgeface.toml").exists()
    assert 'line 1: "]" is missing' in (root / applying.SAID).read_text()


def test_a_later_boot_with_a_broken_file_is_told_to_the_program(place: Path, tmp_path: Path) -> None:
    root = root_of(tmp_path)
    (place / "edgeface.toml").write_text("# good\n")
    card = boot(place)
    card.keep_good(str(card.read(good).choice.text))
    (place / "edgeface.toml").write_text("[mqtt\n")
    applying.apply(boot(place).read(lambda _: 'line 1: "]" is missing'), root)
    assert (root / applying.READY).exists()
    assert (root / "etc/edgeface/edgeface.toml").read_text() == "# good\n"
    note = (root / applying.ENVIRONMENT).read_text()
    assert note.startswith(f"{applying.NOTE}=\"the card's edgeface.toml is not taken")
    assert note.count('"') == 2


def test_an_unknown_time_zone_is_told(tmp_path: Path) -> None:
    root = root_of(tmp_path)
    found = boot(root).read(good)
    found.settings = Settings(timezone="Europe/Berlim")
    applying.apply(found, root)
    assert (root / "etc/localtime").readlink().name == "UTC"
    assert "Europe/Berlim" in (root / applying.SAID).read_text()


@pytest.mark.parametrize(("listed", "told"), [(None, False), ("GB", False), ("FR", True)])
def test_an_unknown_country_is_told(tmp_path: Path, listed: str | None, told: bool) -> None:
    """A system without the list believes all."""
    root = root_of(tmp_path)
    if listed is not None:
        (root / "usr/share/zoneinfo/iso3166.tab").write_text(f"#code\tname\n{listed}\tA country\n")
    found = boot(root).read(good)
    found.settings = Settings(country="GB")
    applying.apply(found, root)
    assert any("'GB' is no country that this system knows" in line for line in found.complaints) is told


def test_radios_are_unblocked_and_nothing_else(tmp_path: Path) -> None:
    for number, kind in enumerate(("wlan", "bluetooth")):
        folder = tmp_path / f"rfkill{number}"
        folder.mkdir()
        (folder / "type").write_text(f"{kind}\n")
        (folder / "soft").write_text("1\n")
    applying.unblock_wifi(tmp_path)
    assert [(tmp_path / f"rfkill{n}" / "soft").read_text().strip() for n in (0, 1)] == ["0", "1"]


def test_what_the_console_repeats_is_plain_text(tmp_path: Path) -> None:
    root = root_of(tmp_path)
    found = boot(root).read(good)
    found.complaints.append("not done here: systemd.run=\x1b[2J\nedgeface: all is well")
    applying.apply(found, root)
    assert "not done here: systemd.run=?[2J?edgeface: all is well" in (root / applying.SAID).read_text().splitlines()


def test_trouble_with_the_data_partition_is_told() -> None:
    assert "replace it" in applying.partition_troubles("lost\n", 10**9)[0]
    assert "is full" in applying.partition_troubles("mounted\n", 4096)[0]
    assert applying.partition_troubles("mounted\n", 10**9) == []


def test_a_clock_starts_where_the_partition_was_written_last(tmp_path: Path) -> None:
    put: list[float] = []
    assert not clock.set_forward(tmp_path, 1_000.0, put.append)
    (tmp_path / "clock").touch()
    os.utime(tmp_path / "clock", (5_000, 5_000))
    spool = tmp_path / "state/edgeface/spool"
    spool.mkdir(parents=True)
    (spool / "1").touch()
    for path, time_s in ((spool / "1", 9_000), (spool, 0), (spool.parent, 0)):
        os.utime(path, (time_s, time_s))
    assert clock.set_forward(tmp_path, 1_000.0, put.append)
    assert put == [9_000.0]
    assert not clock.set_forward(tmp_path, 10_000.0, put.append)  # never back


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_host_keys_are_made_once_and_a_torn_one_anew(tmp_path: Path) -> None:
    kept, folder = tmp_path / "kept", tmp_path / "ssh"
    folder.mkdir()
    applying.keep_ssh_keys(kept, folder)
    first = (folder / "ssh_host_ed25519_key.pub").read_text()
    applying.keep_ssh_keys(kept, folder)
    assert (folder / "ssh_host_ed25519_key.pub").read_text() == first
    (kept / "ssh_host_ed25519_key").write_bytes(b"")  # what a power cut may leave
    applying.keep_ssh_keys(kept, folder)
    assert (folder / "ssh_host_ed25519_key.pub").read_text() not in ("", first)
    assert (folder / "ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600


def test_what_is_kept_is_json_that_a_cut_cannot_tear(place: Path) -> None:
    (place / "network.txt").write_text("wifi_ssid = Shop\nwifi_password = correct horse\n")
    boot(place).read(good)
    assert json.loads((kept_of(place) / "secrets.json").read_text()) == {"network.txt wifi_password": "correct horse"}
    (kept_of(place) / "secrets.json").write_text("{")
    assert any("not known here" in line for line in boot(place).read(good).complaints)
