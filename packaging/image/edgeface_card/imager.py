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
INTERFACE = frozenset({
    "dhcp4", "dhcp6", "optional", "addresses", "routes", "gateway4", "gateway6", "nameservers", "regulatory-domain",
    "access-points", "hidden", "renderer",
})  # fmt: skip
"""Of an interface: what is obeyed, or is so here anyway."""
BY_PASSWORD = frozenset({"psk", "psk-sha256", "sae"})
"""How a wireless network may know us, beside by nothing (``none``)."""
EVERYWHERE = frozenset({"default", "0.0.0.0/0", "::/0"})
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
            _address(str(name), one, found, wired=kind == "ethernets")
            found.ignored += [f"{key} of {name}" for key in one if key not in INTERFACE]
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
        found.keep("users", lambda: (settings.user(name or DEFAULT_USER, _keys(keys, found)),))
    return found.read()


def _tree(text: str, found: _Found) -> Mapping[str, Any]:
    try:
        loader = yaml.SafeLoader(text)
        loader.yaml_implicit_resolvers = AS_WRITTEN
        tree = loader.get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" line {place.line + 1}" if place is not None else ""
        found.complaints.append(
            f"{found.file}{where} is no YAML; nothing of it is taken, and its secrets stay on the card: correct it"
        )
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
            user = settings.user(name, _keys(keys, found))
        except CardError as error:
            found.complaints.append(f"{found.file}: {error}")
            continue
        if user.keys:
            yield user
        else:
            found.complaints.append(
                f"{found.file}: {name} has no key and cannot come in; choose public-key authentication in Imager"
            )


def _keys(texts: Sequence[str], found: _Found) -> tuple[str, ...]:
    """Those that are public keys; one that is none must not keep out who has another."""
    keys = []
    for text in texts:
        try:
            keys.append(settings.public_key(text))
        except CardError as error:
            found.complaints.append(f"{found.file}: {error}")
    return tuple(keys)


def _wifi(interface: Mapping[str, Any], found: _Found) -> None:
    if land := _text(interface.get("regulatory-domain")):
        found.keep("country", settings.country, land)
    for number, (name, point) in enumerate(_table(interface.get("access-points")).items()):
        if number:
            found.ignored.append(f"access point {name}")
            continue
        one = _table(point)
        # Imager's first releases with cloud-init put the word one level up.
        hidden = _yes(one.get("hidden", interface.get("hidden")))
        found.keep("wifi", _network, _octets(str(name)), one, hidden=hidden)


def _network(ssid: bytes, point: Mapping[str, Any], *, hidden: bool) -> settings.Wifi:
    return settings.wifi(ssid, _password(point), hidden=hidden)


def _password(point: Mapping[str, Any]) -> str | None:
    """What an access point is entered with; None for an open one, which only what says so or has no word of it is.

    Raises
    ------
    CardError : it is entered in another way: without a password that would be any open network of its name
    """
    auth = _table(point.get("auth"))
    password = _text(point.get("password")) or _text(auth.get("password")) or _text(auth.get("psk"))
    how = _text(auth.get("key-management")) or ("eap" if "method" in auth or "identity" in auth else None)
    mode = _text(point.get("mode")) or "infrastructure"
    if mode != "infrastructure":
        raise CardError(f"mode {mode} of the wireless network is not done here; name one to go into")
    if how == "none":
        return None
    if how is not None and how not in BY_PASSWORD:
        raise CardError(f"key-management {how} of the wireless network is not done here; use one with a password")
    if how is not None and password is None:
        raise CardError("the wireless network has no password; write it, or key-management none for an open one")
    return password


def _address(name: str, interface: Mapping[str, Any], found: _Found, *, wired: bool) -> None:
    servers = _table(interface.get("nameservers"))
    dns = _texts(servers.get("addresses"))
    found.ignored += [f"nameservers {key} of {name}" for key in servers if key != "addresses"]
    addresses = _addresses(interface.get("addresses"))
    routes = interface.get("routes")
    routers = []
    for route in map(_table, routes if isinstance(routes, list) else []):
        to, via = _text(route.get("to")), _text(route.get("via"))
        if via and to in EVERYWHERE:
            routers.append(via)
        else:
            found.ignored.append(f"route to {to} of {name}")
    if not addresses:
        if dns:
            found.keep("dns", settings.servers, dns)
        return
    one = next((text for text in addresses if ":" not in text), addresses[0])
    if "address" in found.values:
        found.ignored += [f"address {text} of {name}" for text in addresses]
        return
    found.ignored += [f"address {text} of {name}" for text in addresses if text != one]
    sixth = ":" in one
    own = _text(interface.get("gateway6" if sixth else "gateway4"))
    gateway = own or next((via for via in routers if (":" in via) == sixth), None)
    found.keep("address", settings.address, one, gateway, dns, wired=wired)


def _addresses(value: object) -> tuple[str, ...]:
    """Addresses of an interface; one may be a key, whose value says more of it."""
    many = value if isinstance(value, list) else []
    return _texts([next(iter(one), None) if isinstance(one, dict) else one for one in many])


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
