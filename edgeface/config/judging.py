"""What the types cannot say of a value: whether a host can be one."""

from __future__ import annotations

import ipaddress
import re

from edgeface.config.secrets import hide_credentials
from edgeface.errors import ConfigError


def judge_host(host: str, *, where: str) -> None:
    """Raise ConfigError for what is no name and no address: with a scheme, a port, brackets or a user, or with blanks.

    Other programs want ``mqtt://host:1883``; here it would be a name that no server knows.
    """
    scheme, sign, rest = host.rpartition("://")
    name = rest.rpartition("@")[2]
    bare = name.partition("/")[0].partition(":")[0] or "the name"
    what = f"{where}: mqtt.host: {hide_credentials(host) if sign else name!r} is no host name or address"
    if sign:
        tls = " with mqtt.tls = true" if scheme.lower() in {"mqtts", "ssl", "tls", "wss"} else ""
        raise ConfigError(what, fix=f"write {bare} alone{tls}; the port is mqtt.port")
    if "[" in name or "]" in name:
        raise ConfigError(what, fix=f"write {name.split(']')[0].strip('[')} without brackets; the port is mqtt.port")
    if ":" in name and not _is_ipv6(name):
        raise ConfigError(what, fix=f"write {bare} alone; the port is mqtt.port")
    try:
        # As the connection will: it refuses empty and overlong parts.
        host.encode("idna")
    except UnicodeError:
        raise ConfigError(what, fix="check its dots and its length") from None
    if re.search(r"[\s/@\\?#]", host):
        raise ConfigError(what, fix="write the broker's name or address and nothing else")


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
