"""A fleet's folder: written from a table of nodes, and written again without touching what need not change.

::

    fleet.json            what is known of the nodes
    ca/                   the authority; whoever has ca.key can be any node
    broker/               for the broker: mosquitto.conf, acl, passwords, its certificate and key, ca.pem, crl.pem
    accounts/             a password each: homeassistant, operator
    nodes/NAME/           for a node, and as it is for the first partition of its card

Everything is for its owner alone. What is wrong with table or orders is found before the first file is written.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from edgeface.errors import ConfigError, EdgefaceError, UsageError
from edgeface.files import write_private
from edgeface.provisioning.access import (
    ACCOUNTS,
    SALT_BYTES,
    access_list,
    account_access,
    broker_config,
    is_line_of,
    node_access,
    password_line,
)
from edgeface.provisioning.authority import Authority
from edgeface.provisioning.rendering import AUTHORITY, CERTIFICATE, KEY, PASSWORD, Node, read_base, render
from edgeface.provisioning.state import Known, State, read_state, write_state
from edgeface.provisioning.table import LARGEST, TableError, read_rows
from edgeface.publish.certificates import file_end

PASSWORD_BYTES = 24
MOST_NAMES = 8
"""Of the broker, in its certificate: the newest."""
SECRETS: Mapping[str, tuple[str, ...]] = {"password": (PASSWORD,), "certificate": (KEY, CERTIFICATE)}


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is told beside the table.

    Attributes
    ----------
    broker : its name or address, as nodes reach it
    base : configuration that all nodes share
    broker_folder : where the broker will find its files; of these three, None: as before
    rotate : nodes that get a new password, or key and certificate; what they had holds no longer
    revoke : nodes that may nothing any more
    renew_days : certificates that end within so many days are made anew, of the same keys
    """

    broker: str | None = None
    base: Path | None = None
    broker_folder: str | None = None
    rotate: tuple[str, ...] = ()
    revoke: tuple[str, ...] = ()
    renew_days: int | None = None


class Report(msgspec.Struct, kw_only=True):
    """What a run did, by names of nodes; never a secret."""

    added: list[str] = []
    changed: list[str] = []
    rotated: list[str] = []
    renewed: list[str] = []
    revoked: list[str] = []
    edited: list[str] = []
    """Files that somebody has changed by hand and whose row has changed too: they stay."""
    absent: list[str] = []
    """Nodes that are in no row of the table: they stay as they are."""
    bare: list[str] = []
    """Nodes whose secrets are not here any more."""
    restored: list[str] = []
    """Files for the broker and of accounts that were written though no node has changed."""


def provision(
    table: Path,
    out: Path,
    orders: Orders,
    *,
    now: datetime,
    token: Callable[[int], str] = secrets.token_urlsafe,
    salt: Callable[[int], bytes] = os.urandom,
) -> Report:
    """Write a fleet's folder.

    Raises
    ------
    ConfigError : the table, the base, an order or the folder cannot hold; nothing is written
    EdgefaceError : the folder cannot be written, or OpenSSL fails
    """
    before = read_state(out)
    broker = orders.broker or (before.broker if before else None)
    if broker is None:
        raise UsageError("it is not known where the broker is", fix="give --broker HOST, as the nodes will reach it")
    state = before or State(broker=broker)
    had = state.names or [state.broker]
    names = [*(name for name in had if name != broker), broker][-MOST_NAMES:]
    state = msgspec.structs.replace(
        state,
        broker=broker,
        names=names,
        broker_folder=orders.broker_folder or state.broker_folder,
        base=str(orders.base.absolute()) if orders.base else state.base,
    )
    nodes = _read(table, state)
    _judge(nodes, state, orders, str(table))
    with _locked(out):
        report = Report()
        authority = Authority(out / "ca", names=names, now=now, begun=before is not None)
        renamed = before is not None and not {*names} <= {*had}
        if _broker_certificate(out, authority, orders, now, renamed=renamed) and before is not None:
            report.renewed.append("broker")
        fleet = _Fleet(out, state, authority, report, token)
        fleet.revoke(orders.revoke)
        fleet.take(nodes, set(orders.rotate))
        if orders.renew_days is not None:
            fleet.renew(now + timedelta(days=orders.renew_days))
        told = _tell_broker(out, state, token, salt)
        write_state(out, state)
        if not any((report.added, report.changed, report.rotated, report.renewed, report.revoked)):
            report.restored = told
        here = {node.row.name for node in nodes}
        report.absent = sorted(name for name, known in state.nodes.items() if name not in here and not known.revoked)
    return report


def _read(table: Path, state: State) -> list[Node]:
    try:
        with table.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{table} cannot be read: {error.strerror}", fix="give a table of nodes (CSV)") from None
    base = read_base(Path(state.base) if state.base else None)
    return [render(row, base, broker=state.broker, place=str(table)) for row in read_rows(data, str(table))]


def _judge(nodes: Sequence[Node], state: State, orders: Orders, place: str) -> None:
    known = set(state.nodes) | {node.row.name for node in nodes}
    for option, names, there in (("rotate", orders.rotate, known), ("revoke", orders.revoke, set(state.nodes))):
        for name in names:
            if name not in there:
                raise UsageError(f"--{option} {name}: no node is called that", fix=f"known are {_some(sorted(there))}")
    if both := sorted(set(orders.rotate) & set(orders.revoke)):
        raise UsageError(f"--rotate and --revoke {both[0]}", fix="give one of them")
    if gone := sorted(set(orders.rotate) - {node.row.name for node in nodes}):
        raise UsageError(f"--rotate {gone[0]}: it is in no row of {place}", fix="write its row")
    for node in nodes:
        name = node.row.name
        had = state.nodes.get(name)
        if had is not None and had.revoked and name not in (*orders.rotate, *orders.revoke):
            raise TableError(
                f"{place} row {node.row.number}: {name} was revoked",
                fix=f"take the row out, or let it in again with --rotate {name}",
            )


class _Fleet:
    """The nodes' part of a run."""

    def __init__(
        self, out: Path, state: State, authority: Authority, report: Report, token: Callable[[int], str]
    ) -> None:
        self._nodes = out / "nodes"
        self._known = state.nodes
        self._authority = authority
        self._report = report
        self._token = token
        _make_private(self._nodes)

    def revoke(self, names: Sequence[str]) -> None:
        """Let nodes do nothing any more; their folders' secrets go."""
        named = [name for name in names if name in self._known]
        if any(self._known[name].auth == "certificate" for name in named):
            self._authority.revoke(named)
        for name in named:
            self._known[name].revoked = True
            self._drop_secrets(name)
            self._report.revoked.append(name)

    def take(self, nodes: Sequence[Node], rotate: set[str]) -> None:
        """Bring every node's files to what its row says; secrets for who has none, or is to have others."""
        nodes = [node for node in nodes if node.row.name not in self._report.revoked]
        fresh = [node for node in nodes if self._needs_secret(node, rotate)]
        again = [node.row.name for node in fresh if node.row.name in self._known]
        if any(self._known[name].auth == "certificate" for name in again):
            self._authority.revoke(again)
        for name in again:
            self._drop_secrets(name)
        for node in nodes:
            _make_private(self._nodes / node.row.name)
        for node in fresh:
            password = self._nodes / node.row.name / PASSWORD
            if node.row.auth == "password" and not _holds_secret(password):
                write_private(password, f"{self._token(PASSWORD_BYTES)}\n".encode())
        self._certify([node.row.name for node in fresh if node.row.auth == "certificate"])
        authority = self._authority.certificate.read_bytes()
        for node in nodes:
            mended = write_private(self._nodes / node.row.name / AUTHORITY, authority)
            self._write_files(node, rotated=node.row.name in again, mended=mended)

    def renew(self, until: datetime) -> None:
        """Make certificates anew that end before."""
        for name, known in sorted(self._known.items()):
            folder = self._nodes / name
            end = file_end(folder / CERTIFICATE)
            if known.revoked or known.auth != "certificate" or end is None or end >= until:
                continue
            if not (folder / KEY).exists():
                raise EdgefaceError(
                    f"the certificate of {name} ends on {end:%Y-%m-%d}, and its key is not here", fix=f"--rotate {name}"
                )
            self._authority.ask_again(name, folder / KEY)
            write_private(folder / CERTIFICATE, self._authority.sign([(name, folder / KEY)])[name])
            self._report.renewed.append(name)

    def _needs_secret(self, node: Node, rotate: set[str]) -> bool:
        known = self._known.get(node.row.name)
        return known is None or node.row.name in rotate or known.auth != node.row.auth

    def _drop_secrets(self, name: str) -> None:
        for files in SECRETS.values():
            for file in files:
                (self._nodes / name / file).unlink(missing_ok=True)

    def _certify(self, names: Sequence[str]) -> None:
        pairs = [(name, self._nodes / name / KEY) for name in names]
        self._authority.keys(pairs)
        for name, certificate in self._authority.sign(pairs).items():
            write_private(self._nodes / name / CERTIFICATE, certificate)

    def _write_files(self, node: Node, *, rotated: bool, mended: bool) -> None:
        name, folder, report = node.row.name, self._nodes / node.row.name, self._report
        known = self._known.get(name)
        written = dict(known.written) if known else {}
        changed = mended
        for file, text in node.files.items():
            path, digest = folder / file, hashlib.sha256(text.encode()).hexdigest()
            if written.get(file) == digest and path.exists():
                continue
            if file in written and path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() != written[file]:
                report.edited.append(str(path))
                continue
            write_private(path, text.encode())
            written[file] = digest
            changed = True
        if not all(_holds_secret(folder / file) for file in SECRETS[node.row.auth]):
            report.bare.append(name)
        access = node_access(node.config, name)
        changed = changed or (known is not None and known.access != access)
        self._known[name] = Known(
            auth=node.row.auth,
            access=access,
            prefixes=(node.config.mqtt.prefix.rstrip("/"), node.config.home_assistant.prefix.rstrip("/")),
            written=written,
        )
        if known is None or known.revoked:
            report.added.append(name)
        elif rotated:
            report.rotated.append(name)
        elif changed:
            report.changed.append(name)


def _broker_certificate(out: Path, authority: Authority, orders: Orders, now: datetime, *, renamed: bool) -> bool:
    """Make the broker's certificate where there is none, it lacks a name, or it ends soon; whether it did."""
    folder = out / "broker"
    _make_private(folder)
    key, certificate = folder / "broker.key", folder / "broker.pem"
    end = file_end(certificate)
    soon = orders.renew_days is not None and end is not None and end < now + timedelta(days=orders.renew_days)
    if end is not None and key.exists() and not (renamed or soon):
        return False
    if key.exists():
        authority.ask_again("broker", key)
    else:
        authority.keys([("broker", key)])
    write_private(certificate, authority.sign([("broker", key)], kind="broker")["broker"])
    for name, path in ((AUTHORITY, authority.certificate), ("crl.pem", authority.revoked)):
        write_private(folder / name, path.read_bytes())
    return True


def _tell_broker(out: Path, state: State, token: Callable[[int], str], salt: Callable[[int], bytes]) -> list[str]:
    """Write what the broker reads; a line that holds stays as it is. Names of the files that were written."""
    folder, accounts = out / "broker", out / "accounts"
    _make_private(accounts)
    bare = [name for name in ACCOUNTS if not _holds_secret(accounts / name)]
    fresh = {accounts / name: f"{token(PASSWORD_BYTES)}\n".encode() for name in bare}
    told = [path for path, password in fresh.items() if write_private(path, password)]
    live = {name: known for name, known in state.nodes.items() if not known.revoked}
    files = {name: out / "nodes" / name / PASSWORD for name, known in live.items() if known.auth == "password"}
    files |= {name: accounts / name for name in ACCOUNTS}
    access = {name: known.access for name, known in live.items()}
    access |= account_access({known.prefixes for known in live.values()})
    lists = {
        "passwords": _passwords(folder / "passwords", files, salt).encode(),
        "acl": access_list(access).encode(),
        "mosquitto.conf": broker_config(state.broker_folder).encode(),
        "ca.pem": (out / "ca" / "ca.pem").read_bytes(),
        "crl.pem": (out / "ca" / "crl.pem").read_bytes(),
    }
    told += [folder / name for name, data in lists.items() if write_private(folder / name, data)]
    return sorted(str(path.relative_to(out)) for path in told)


def _passwords(path: Path, files: Mapping[str, Path], salt: Callable[[int], bytes]) -> str:
    """The password file: of each account the line it has, or one for what its file says now."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    had = {line.partition(":")[0]: line for line in lines}
    told = []
    for name, file in sorted(files.items()):
        line = had.get(name, "")
        # A password that was taken away from here, once its card was written, still holds.
        if _holds_secret(file):
            password = file.read_text(encoding="utf-8").rstrip("\r\n")
            if not is_line_of(line, name, password):
                line = password_line(name, password, salt(SALT_BYTES))
        if line:
            told.append(line)
    return "".join(f"{line}\n" for line in told)


def _holds_secret(path: Path) -> bool:
    """Whether it is there and says something: an account whose password is empty lets everybody in."""
    try:
        return bool(path.read_bytes().strip())
    except FileNotFoundError:
        return False


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Make the folder, and be alone in it."""
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(
            f"{out} cannot be a fleet's folder: {error.strerror}", fix="give another with --out"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EdgefaceError(f"somebody else writes into {out}", fix="wait until it is done") from None
        try:
            yield
        except OSError as error:
            raise EdgefaceError(
                f"{error.filename or out} cannot be written: {error.strerror}", fix="check permissions and free space"
            ) from None
    finally:
        os.close(descriptor)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 10 else shown or "none"
