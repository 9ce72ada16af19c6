"""What Raspberry Pi Imager writes to a card: cloud-init's YAML, words on the kernel's command line, or a script.

Nothing of it is run. What is known is read; all else is named and ignored.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from edgeface_card import network_txt, settings
from edgeface_card.settings import TAKEN, CardError, Read, Settings, User

USER_DATA, NETWORK_CONFIG, CMDLINE = "user-data", "network-config", "cmdline.txt"
SCRIPTS = ("firstrun.sh",)
DEFAULT_USER = "pi"
"""Whose the keys are that are given to nobody by name."""
QUIET = frozenset({
    "hostname", "fqdn", "timezone", "users", "user", "ssh_authorized_keys", "manage_etc_hosts", "enable_ssh",
    "disable_root", "preserve_hostname", "prefer_fqdn_over_hostname",
})  # fmt: skip
"""Of user-data: what is obeyed, or is so here anyway."""
PASSWORDS = ("passwd", "plain_text_passwd", "hashed_passwd")
RUN = re.compile(r" *\bsystemd\.(run|run_success_action|run_failure_action|unit)=\S+")
IMAGER_CUSTOM = "/usr/lib/raspberrypi-sys-mods/imager_custom"
USERCONF = "/usr/lib/userconf-pi/userconf"


AS_WRITTEN = {
    first: [pair for pair in pairs if pair[0] in ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
"""What YAML may take a plain text for: nothing and a merge. A network may be called ``007`` or ``No``."""


class _Found:
    """Collects values, complaints and what is ignored of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.values: dict[str, Any] = {}
        self.complaints: list[str] = []
        self.ignored: list[str] = []

    def keep(self, name: str, make: Callable[..., object], *values: object, **named: object) -> None:
        try:
            self.values[name] = make(*values, **named)
        except CardError as error:
            self.complaints.append(f"{self.file}: {error}")

    def read(self) -> Read:
        return Read(Settings(**self.values), tuple(self.complaints), tuple(dict.fromkeys(self.ignored)))


def user_data(text: str) -> Read:
    """Read ``user-data``: host name, time zone, users with keys; the rest is named."""
    found = _Found(USER_DATA)
    tree = _tree(text, found)
    if name := _text(tree.get("hostname")) or _text(tree.get("fqdn")):
        found.keep("hostname", settings.hostname, name)
    if zone := _text(tree.get("timezone")):
        found.keep("timezone", settings.timezone, zone)
    users = list(_users(tree, found))
    if users:
        found.values["users"] = tuple(users)
    if _yes(tree.get("ssh_pwauth")):
        found.ignored.append("login with a password")
    for key, value in tree.items():
        if key not in QUIET and key != "ssh_pwauth":
            found.ignored.append(_named(key, value))
    return found.read()


def network_config(text: str) -> Read:
    """Read ``network-config``, version 2 of cloud-init's: the wireless network, its country, a fixed address."""
    found = _Found(NETWORK_CONFIG)
    tree = _tree(text, found)
    tree = _table(tree.get("network")) or tree
    if tree.get("version", "2") != "2":
        found.complaints.append(f"{NETWORK_CONFIG}: version {tree['version']} is not read; write version 2")
        return found.read()
    for kind in ("wifis", "ethernets"):
        for number, (name, interface) in enumerate(_table(tree.get(kind)).items()):
            if number:
                found.ignored.append(f"{kind} {name}")
                continue
            one = _table(interface)
            if kind == "wifis":
                _wifi(one, found)
            _address(one, found)
    found.ignored += [str(key) for key in tree if key not in {"version", "renderer", "wifis", "ethernets"}]
    return found.read()


def cmdline(text: str) -> Read:
    """Read the words that were added to the kernel's command line: the country; what would be run is named."""
    found = _Found(CMDLINE)
    for word in text.split():
        key, _, value = word.partition("=")
        if key == "cfg80211.ieee80211_regdom" and value:
            found.keep("country", settings.country, value)
        elif key == "systemd.run" and not any(value.endswith(name) for name in SCRIPTS):
            found.ignored.append(f"{key}={value}")
    return found.read()


def without_run(text: str) -> str:
    """A command line without what Imager added to run a script once."""
    return RUN.sub("", text).strip() + "\n"


def script(text: str) -> Read:
    """Read ``firstrun.sh`` by the calls that Imager writes into it; what they do not cover is not known here."""
    found = _Found(SCRIPTS[0])
    name, keys = "", []
    for words in _calls(text):
        program, *rest = words
        if program == USERCONF and rest:
            name = rest[0]
            if len(rest) > 1 and rest[1] != TAKEN:
                found.ignored.append(f"password of {name}")
            continue
        what, *rest = rest
        if what == "set_hostname" and rest:
            found.keep("hostname", settings.hostname, rest[0])
        elif what == "set_timezone" and rest:
            found.keep("timezone", settings.timezone, rest[0])
        elif what == "enable_ssh":
            keys = [word for word in rest if word != "-k"]
            if not keys:
                found.ignored.append("login with a password")
        elif what == "set_wlan" and len(rest) >= 2:
            hidden = rest[0] == "-h"
            ssid, password, *land = rest[1:] if hidden else rest
            found.keep("wifi", settings.wifi, ssid.encode(), password or None, hidden=hidden)
            if land and land[0]:
                found.keep("country", settings.country, land[0])
        else:
            found.ignored.append(what)
    if name or keys:
        found.keep("users", lambda: (settings.user(name or DEFAULT_USER, tuple(keys)),))
    return found.read()


def _tree(text: str, found: _Found) -> Mapping[str, Any]:
    try:
        loader = yaml.SafeLoader(text)
        loader.yaml_implicit_resolvers = AS_WRITTEN
        tree = loader.get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" line {place.line + 1}" if place is not None else ""
        found.complaints.append(f"{found.file}{where} is no YAML; nothing of it is taken")
        return {}
    if tree is not None and not isinstance(tree, dict):
        found.complaints.append(f"{found.file} has no KEY: VALUE; nothing of it is taken")
    return _table(tree)


def _users(tree: Mapping[str, Any], found: _Found) -> Iterator[User]:
    """Each user with keys; without a key nobody comes in, so that is said."""
    given: list[Mapping[str, Any]] = []
    own = tree.get("user")
    base = {"name": own} if isinstance(own, str) else dict(_table(own))
    loose = _texts(tree.get("ssh_authorized_keys"))
    users = tree.get("users", [])
    for one in users if isinstance(users, list) else []:
        if one == "default":
            given.append({"name": DEFAULT_USER, **base})
        elif isinstance(one, str):
            given.append({"name": one})
        else:
            given.append(_table(one))
    if not given and (base or loose):
        given.append({"name": DEFAULT_USER, **base})
    for number, one in enumerate(given):
        name = _text(one.get("name")) or DEFAULT_USER
        if any(one.get(key) not in (None, TAKEN) for key in PASSWORDS):
            found.ignored.append(f"password of {name}")
        keys = _texts(one.get("ssh_authorized_keys")) or _texts(one.get("ssh-authorized-keys"))
        keys += loose if number == 0 else ()
        try:
            user = settings.user(name, keys)
        except CardError as error:
            found.complaints.append(f"{found.file}: {error}")
            continue
        if user.keys:
            yield user
        else:
            found.complaints.append(
                f"{found.file}: {name} has no key and cannot come in; choose public-key authentication in Imager"
            )


def _wifi(interface: Mapping[str, Any], found: _Found) -> None:
    if land := _text(interface.get("regulatory-domain")):
        found.keep("country", settings.country, land)
    for number, (name, point) in enumerate(_table(interface.get("access-points")).items()):
        if number:
            found.ignored.append(f"access point {name}")
            continue
        one = _table(point)
        auth = _table(one.get("auth"))
        password = _text(one.get("password")) or _text(auth.get("password")) or _text(auth.get("psk"))
        # Imager's first releases with cloud-init put the word one level up.
        hidden = _yes(one.get("hidden", interface.get("hidden")))
        found.keep("wifi", settings.wifi, _octets(str(name)), password, hidden=hidden)


def _address(interface: Mapping[str, Any], found: _Found) -> None:
    dns = _texts(_table(interface.get("nameservers")).get("addresses"))
    addresses = _texts(interface.get("addresses"))
    if not addresses:
        if dns:
            found.keep("dns", settings.servers, dns)
        return
    routes = interface.get("routes")
    gateways = [_text(one.get("via")) for one in (routes if isinstance(routes, list) else []) if isinstance(one, dict)]
    gateway = _text(interface.get("gateway4")) or next(iter(gateways), None)
    found.keep("address", settings.address, addresses[0], gateway, dns)


def _calls(text: str) -> Iterator[Sequence[str]]:
    """Lines of the script that call one of the two programs that Imager knows."""
    for line in text.splitlines():
        if not line.strip().startswith((IMAGER_CUSTOM, USERCONF)):
            continue
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        if len(words) > 1:
            yield words


def _octets(ssid: str) -> bytes:
    """Bytes of a network's name: Imager writes a byte beyond ASCII as two digits, which YAML reads as a character."""
    try:
        octets = ssid.encode("latin-1")
        octets.decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return ssid.encode()
    return octets


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> tuple[str, ...]:
    many = value if isinstance(value, list) else [value]
    return tuple(one.strip() for one in many if isinstance(one, str) and one.strip())


def _yes(value: object) -> bool:
    return isinstance(value, str) and network_txt.YES.get(value.lower(), False)


def _named(key: str, value: object) -> str:
    """``packages (avahi-daemon)``; only names of packages are no secrets."""
    if key == "packages":
        return f"packages ({', '.join(_texts(value))})"
    return str(key)
