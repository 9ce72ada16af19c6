"""What may be said of a node from outside: values, their ranges, and which source goes before which."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

TAKEN = "taken"
"""Stands on the card where a secret stood."""
HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}")
COUNTRY = re.compile(r"[A-Za-z]{2}")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
KEY = re.compile(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com)"
    r" +[A-Za-z0-9+/]{40,}={0,3}( .*)?"
)
PASSPHRASE = re.compile(r"[ -~]{8,63}")
PSK = re.compile(r"[0-9a-fA-F]{64}")
IP = re.compile(r"[0-9a-fA-F.:]+(/\d{1,3})?")
"""Without a zone: Python takes any text behind the %, ends of lines too."""


class CardError(Exception):
    """A value that cannot hold: what, and what to do, in one line."""


@dataclass(frozen=True, slots=True)
class Wifi:
    """A wireless network.

    Attributes
    ----------
    ssid : 1 to 32 bytes
    password : 8 to 63 characters, or 64 hexadecimal digits (the key itself); None for an open network
    hidden : it does not announce itself
    """

    ssid: bytes
    password: str | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """A fixed address; what is None or empty is left to DHCP.

    Attributes
    ----------
    address : with the size of its net, ``192.168.1.20/24``
    dns : addresses of servers
    wired : the cable's, whatever wireless network is named; else that of the wireless network where one is
    """

    address: str
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    wired: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may come in by SSH, with one of these keys."""

    name: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one source says; None where it says nothing.

    Attributes
    ----------
    country : two letters, where radio is allowed by its law
    dns : servers to ask although the address is not fixed
    """

    hostname: str | None = None
    timezone: str | None = None
    country: str | None = None
    wifi: Wifi | None = None
    address: Address | None = None
    dns: tuple[str, ...] | None = None
    users: tuple[User, ...] | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """What came out of one file.

    Attributes
    ----------
    settings : what holds
    complaints : a line for each value that cannot hold, and was left out
    ignored : what was asked for and is not done here, by its name
    """

    settings: Settings = Settings()
    complaints: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def merge(*sources: Settings) -> Settings:
    """Let the first source that says something win, value by value."""
    found: dict[str, object] = {}
    for field in fields(Settings):
        found[field.name] = next((value for one in sources if (value := getattr(one, field.name)) is not None), None)
    return Settings(**found)  # type: ignore[arg-type]


def hostname(text: str) -> str:
    """A name of a host.

    Raises
    ------
    CardError : it is none
    """
    short = text.split(".", maxsplit=1)[0]
    if not HOSTNAME.fullmatch(short):
        raise CardError(f"{text!r} is no name of a host; use up to 63 letters, digits and -")
    return short


def timezone(text: str) -> str:
    """A time zone by its shape; whether it exists the system knows.

    Raises
    ------
    CardError : it is none
    """
    if not ZONE.fullmatch(text):
        raise CardError(f"{text!r} is no time zone; write for example Europe/Berlin")
    return text


def country(text: str) -> str:
    """Two capital letters.

    Raises
    ------
    CardError : they are not
    """
    if not COUNTRY.fullmatch(text):
        raise CardError(f"{text!r} is no country; write two letters, such as DE")
    if text.upper() == "UK":
        raise CardError(f"{text!r} is no country; write GB")
    return text.upper()


def wifi(ssid: bytes, password: str | None, *, hidden: bool = False) -> Wifi:
    """A wireless network.

    Raises
    ------
    CardError : no network can be called that, no password is like that (it is not repeated), or it was taken and is
        not known: without it the node would go into any open network of that name
    """
    if not 1 <= len(ssid) <= 32:
        raise CardError(f"the name of the wireless network has {len(ssid)} bytes; it may have 1 to 32")
    if password == TAKEN:
        raise CardError("the password of the wireless network is not known here any more; write it again")
    if password and not (PASSPHRASE.fullmatch(password) or PSK.fullmatch(password)):
        raise CardError(
            f"the password of the wireless network has {len(password)} characters or some that are not plain; "
            "it has 8 to 63 plain ones, or 64 hexadecimal digits: copy it again"
        )
    return Wifi(ssid, password or None, hidden)


def address(text: str, gateway: str | None, dns: tuple[str, ...], *, wired: bool = False) -> Address:
    """A fixed address.

    Raises
    ------
    CardError : the size of its net is missing, something is no address, or nobody can have this one in its net
    """
    if "/" not in text:
        raise CardError(f"address {text} says not how large its net is; write for example {text}/24")
    try:
        interface = ipaddress.ip_interface(_without_zone(text))
        router = ipaddress.ip_address(_without_zone(gateway)) if gateway else None
    except ValueError as error:
        raise CardError(f"{error}; write for example 192.168.1.20/24") from None
    net = interface.network
    if router is not None and router not in net:
        raise CardError(f"gateway {gateway} is not in the net of {text}; correct one of them")
    if router == interface.ip:
        raise CardError(f"gateway {gateway} is the node's own address; write the router's")
    if net.version == 4 and net.num_addresses > 2 and interface.ip in (net[0], net[-1]):
        raise CardError(f"address {text} is that of its whole net; write another of the same net")
    return Address(str(interface), gateway or None, servers(dns), wired)


def servers(dns: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses of servers.

    Raises
    ------
    CardError : one of them is none
    """
    for server in dns:
        try:
            ipaddress.ip_address(_without_zone(server))
        except ValueError:
            raise CardError(f"dns {server!r} is no address; write for example 192.168.1.1") from None
    return dns


def _without_zone(text: str) -> str:
    if not IP.fullmatch(text):
        raise ValueError(f"{text!r} is no address")
    return text


def user(name: str, keys: tuple[str, ...]) -> User:
    """Somebody and their keys, each once.

    Raises
    ------
    CardError : nobody can be called that, or a key is none
    """
    if not USER.fullmatch(name) or name == "root":
        raise CardError(f"{name!r} is no name of a user; use small letters, digits and -, not root")
    return User(name, tuple(dict.fromkeys(map(public_key, keys))))


def public_key(text: str) -> str:
    """A line of a .pub file.

    Raises
    ------
    CardError : it is none
    """
    if not KEY.fullmatch(text):
        raise CardError(f"{text[:24]!r}... is no public key for SSH; copy the whole line of the .pub file")
    return text


def said(text: Mapping[str, str], key: str) -> str | None:
    """What is said under a key; nothing is as good as no line at all."""
    return text.get(key) or None
