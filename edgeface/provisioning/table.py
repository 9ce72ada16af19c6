"""The table of nodes: a row each, as a spreadsheet saves it; what cannot hold is one line with row and fix. Pure.

Rows count as a spreadsheet counts them: the first has the columns' names, and empty ones count.
"""

from __future__ import annotations

import csv
import difflib
import io
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar, cast
from zoneinfo import available_timezones

import msgspec

from edgeface.config.values import NAME
from edgeface.errors import ConfigError, EdgefaceError

T = TypeVar("T")
Auth = Literal["password", "certificate"]
RESERVED = frozenset({"homeassistant", "operator", "broker"})
"""Accounts of others."""
LARGEST = 10_000_000
"""Bytes of a table: some fifty thousand rows."""
_SEPARATOR = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
"""A first line by which spreadsheets are told what parts the cells."""
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.IGNORECASE)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")
_ROUNDED = re.compile(r"\d[.,]\d+E\+\d+", re.IGNORECASE)
"""What a spreadsheet makes of sixteen digits in a cell that is not text."""
_YES: Mapping[str, bool] = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}
SHORTEST = 8
"""Characters of a network's password."""
_WHOLE = {
    "wifi_ssid": "leave the network's cells empty and write it into nodes/NAME/network.txt, in quotes",
    "wifi_password": "give the 64 digits that `wpa_passphrase` makes of it",
}
"""Columns of which no blank is taken away, and what is done with one that is meant."""
# fmt: off
COLUMNS: Mapping[str, str] = {
    "name": "id of the node in topics, its account at the broker, its folder",
    "auth": "password (usual) or certificate",
    "cameras": "ID=SOURCE, several with blanks between; empty: what --base says, else main on the first camera",
    "hostname": "empty: the name, as a host may be called",
    "timezone": "such as Europe/Berlin",
    "wifi_ssid": "name of the wireless network; empty: cable",
    "wifi_password": "8 to 63 characters, or 64 hexadecimal digits; empty: an open network",
    "wifi_country": "two letters, such as DE; radio is off without",
    "wifi_hidden": "yes or no",
    "address": "with the length of the net, such as 192.168.1.20/24; empty: DHCP",
    "gateway": "address of the router",
    "dns": "addresses of name servers, with blanks between",
}
# fmt: on
"""Columns and what they mean; only `name` must be there."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One node as the table has it; ``number`` is its row, ``network`` what network.txt says."""

    number: int
    name: str
    auth: Auth
    cameras: Mapping[str, str]
    network: Mapping[str, str]


class TableError(ConfigError):
    """A table or a row of it that cannot hold."""


def read_rows(data: bytes, place: str) -> list[Row]:
    """Rows of a table that holds throughout.

    Raises
    ------
    TableError : the first thing that cannot hold, with its row
    """
    columns, lines = _split(data, place)
    rows: list[Row] = []
    taken: dict[tuple[str, str], Row] = {}
    for number, cells in lines:
        try:
            row = _row(number, columns, cells)
            _take(row, taken)
        except EdgefaceError as error:
            raise TableError(f"{place} row {number}: {error.what}", fix=error.fix) from None
        rows.append(row)
    if not rows:
        raise TableError(f"{place} has no row below the columns' names", fix="write a row for each node")
    return rows


def _split(data: bytes, place: str) -> tuple[Sequence[str], list[tuple[int, Sequence[str]]]]:
    """Columns, and the cells of each row that is not empty."""
    if len(data) > LARGEST:
        raise TableError(f"{place} has over {LARGEST:,} bytes", fix="give a table of nodes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise TableError(f"{place} row {row}: it is not UTF-8", fix='save it as "CSV UTF-8"') from None
    told = _SEPARATOR.match(text)
    head = text[told.end() if told else 0 :].lstrip("\r\n").partition("\n")[0]
    delimiter = told[1] if told else max(",;\t", key=head.count)
    lines: list[tuple[int, Sequence[str]]] = []
    number = 1
    try:
        # Not splitlines: it parts at what only looks like the end of a line, too.
        for number, cells in enumerate(
            csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), start=1
        ):
            if any(cell.strip() for cell in cells) and not (number == 1 and told):
                lines.append((number, cells))
    except csv.Error as error:
        fix = 'correct its quotes: a cell is "..." whole, and " within is ""'
        raise TableError(f"{place} is no table after row {number}: {error}", fix=fix) from None
    if not lines:
        raise TableError(f"{place} is empty", fix=f"begin it with the columns' names: {', '.join(COLUMNS)}")
    number, names = lines[0]
    return _columns([name.strip().lower() for name in names], f"{place} row {number}"), lines[1:]


def _columns(names: Sequence[str], place: str) -> Sequence[str]:
    for at, name in enumerate(names):
        if name and name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            fix = f"did you mean {near[0]}?" if near else f"known are {', '.join(COLUMNS)}"
            raise TableError(f"{place}: unknown column {name!r}", fix=fix)
        if name and name in names[:at]:
            raise TableError(f"{place}: column {name} is there twice", fix="take one away")
    if "name" not in names:
        raise TableError(f"{place}: there is no column name", fix="write the columns' names into the first row")
    return names


def _row(number: int, columns: Sequence[str], cells: Sequence[str]) -> Row:
    as_written = dict(zip(columns, cells, strict=False))
    cells = [cell.strip() for cell in cells]
    if len(cells) > len(columns) and any(cells[len(columns) :]):
        raise TableError(
            f"it has {len(cells)} cells for {len(columns)} columns", fix='quote a cell that holds the separator: "a;b"'
        )
    given = dict.fromkeys(COLUMNS, "") | {name: cell for name, cell in zip(columns, cells, strict=False) if name}
    if over := [cell for name, cell in zip(columns, cells, strict=False) if not name and cell]:
        raise TableError(f"{over[0]!r} stands below no column's name", fix="name the column, or take it away")
    for key, fix in _WHOLE.items():
        # Cells are stripped, for tables that people write; here a blank may be meant, and is as often a slip.
        cell = as_written.get(key, "")
        if cell != given[key] and (given[key] or len(cell) >= SHORTEST):
            raise TableError(f"{key} begins or ends with a blank", fix=f"take it away; if it is meant, {fix}")
    name, auth = given["name"], given["auth"].lower() or "password"
    if not re.fullmatch(NAME, name):
        raise TableError(f"name {name!r} is no level of a topic", fix="use 1 to 64 letters, digits, - and _")
    if name.lower() in RESERVED:
        raise TableError(f"name {name} is another's account", fix="choose another name")
    if auth not in ("password", "certificate"):
        raise TableError(f"auth {given['auth']!r} is neither password nor certificate", fix="write one of these")
    return Row(
        number=number,
        name=name,
        auth=cast("Auth", auth),
        cameras=_cameras(given["cameras"]),
        network={key: value for key, value in _network(name, given).items() if value},
    )


def _take(row: Row, taken: dict[tuple[str, str], Row]) -> None:
    """Note what a node has for itself; TableError for what another has."""
    address = row.network.get("address", "").partition("/")[0]
    for key, value in (("name", row.name.lower()), ("hostname", row.network["hostname"].lower()), ("address", address)):
        if not value:
            continue
        other = taken.setdefault((key, value), row)
        if other is not row:
            alike = key == "name" and other.name != row.name
            raise TableError(
                f"{key} {row.name if key == 'name' else value} is in row {other.number} too"
                + (f", but for large and small letters ({other.name})" if alike else ""),
                fix=f"give each node {'an' if key == 'address' else 'a'} {key} of its own",
            )


def _cameras(text: str) -> Mapping[str, str]:
    cameras: dict[str, str] = {}
    for word in text.split():
        camera, sign, source = word.partition("=")
        if not sign or not source or not re.fullmatch(NAME, camera):
            raise TableError(f"cameras: {camera!r} is no ID=SOURCE", fix="write for example door=/dev/video0 yard=1")
        if source[-1] in ",;" or ("://" not in source and re.search(r"[,;][\w-]+=", source)):
            raise TableError(
                f"cameras: {source!r} is no source", fix="put a blank between two cameras, and nothing else"
            )
        if camera in cameras:
            raise TableError(f"cameras: {camera} is there twice", fix="give each camera an id of its own")
        cameras[camera] = source
    return cameras


def _network(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """What network.txt says, in its order."""
    hostname = given["hostname"] or re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")[:63] or "node"
    if not _HOST.fullmatch(hostname):
        raise TableError(f"hostname {hostname!r} is no name of a host", fix="use up to 63 letters, digits and -")
    zone = given["timezone"]
    if zone and not _ZONE.fullmatch(zone):
        raise TableError(f"timezone {zone!r} is no time zone", fix="write for example Europe/Berlin")
    if zone and (known := available_timezones()) and zone not in known:
        near = difflib.get_close_matches(zone, known, n=1)
        fix = f"did you mean {near[0]}?" if near else "see `timedatectl list-timezones`"
        raise TableError(f"timezone {zone!r} is not known", fix=fix)
    return {"hostname": hostname, "timezone": zone} | _wifi(given) | _address(given)


def _wifi(given: Mapping[str, str]) -> dict[str, str]:
    ssid, password, country = given["wifi_ssid"], given["wifi_password"], given["wifi_country"].upper()
    if not ssid:
        for key in ("wifi_password", "wifi_hidden"):
            if given[key]:
                raise TableError(f"{key} stands without wifi_ssid", fix="name the network too")
        return {"wifi_country": _country(country)} if country else {}
    if len(ssid.encode()) > 32 or not ssid.isprintable():
        raise TableError("wifi_ssid has over 32 bytes or a control character", fix="copy the network's name")
    if not country:
        raise TableError("wifi_ssid stands without wifi_country", fix="write two letters: radio is off without")
    # Never shown: it is a secret.
    if password and not (
        re.fullmatch(rf"[ -~]{{{SHORTEST},63}}", password) or re.fullmatch(r"[0-9a-fA-F]{64}", password)
    ):
        raise TableError(
            "wifi_password has not 8 to 63 plain characters", fix="copy it again; 64 hexadecimal digits will do"
        )
    if _ROUNDED.fullmatch(password):
        raise TableError(
            "wifi_password is a number that a spreadsheet has rounded", fix="make its column text, and type it again"
        )
    if given["wifi_hidden"].lower() not in _YES:
        raise TableError(f"wifi_hidden {given['wifi_hidden']!r} is neither yes nor no", fix="write one of these")
    hidden = "yes" if _YES[given["wifi_hidden"].lower()] else ""
    return {"wifi_ssid": ssid, "wifi_password": password, "wifi_country": _country(country), "wifi_hidden": hidden}


def _country(text: str) -> str:
    if not re.fullmatch(r"[A-Z]{2}", text):
        raise TableError(f"wifi_country {text!r} is no country", fix="write two letters, such as DE")
    if text == "UK":
        raise TableError("wifi_country 'UK' is no country", fix="write GB")
    return text


def _address(given: Mapping[str, str]) -> dict[str, str]:
    address, gateway, servers = given["address"], given["gateway"], given["dns"].split()
    if not address:
        if gateway:
            raise TableError("gateway stands without address", fix="write the node's address too, or neither")
    elif "/" not in address:
        raise TableError(f"address {address} says not how large its net is", fix=f"write for example {address}/24")
    interface = _read(ipaddress.ip_interface, address, "address") if address else None
    if gateway and interface is not None and _read(ipaddress.ip_address, gateway, "gateway") not in interface.network:
        raise TableError(f"gateway {gateway} is not in the net of {address}", fix="correct one of them")
    if interface is not None and _is_no_host(interface):
        raise TableError(f"address {address} is that of its whole net", fix="give it another of the same net")
    if gateway and interface is not None and ipaddress.ip_address(gateway) == interface.ip:
        raise TableError(f"gateway {gateway} is the node's own address", fix="write the router's")
    for server in servers:
        _read(ipaddress.ip_address, server, "dns")
    return {"address": address, "gateway": gateway, "dns": " ".join(servers)}


def _is_no_host(interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> bool:
    """Whether an address names its net or all in it; nets of one or two addresses have none such."""
    net = interface.network
    return interface.version == 4 and net.num_addresses > 2 and interface.ip in (net[0], net[-1])


def _read(kind: Callable[[str], T], text: str, what: str) -> T:
    try:
        return kind(text)
    except ValueError:
        raise TableError(f"{what} {text!r} is no address", fix="write for example 192.168.1.20/24") from None
