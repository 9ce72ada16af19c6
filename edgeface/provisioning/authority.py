"""One authority for certificates of broker and nodes, kept by OpenSSL's own `openssl ca` in a folder.

Keys are for TLS alone: a node's for a client, the broker's for a server, so that no node can pass for the broker.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

from edgeface.config import child_environ
from edgeface.errors import EdgefaceError, RuntimeMissingError
from edgeface.files import write_private

START = "20240101000000Z"
"""Certificates hold from long ago on: a board without a clock wakes up in the past, and must reach the broker."""
LIFE = timedelta(days=3650)
AUTHORITY_LIFE = timedelta(days=7300)
WORKS_S = 120.0
_TIME = r"[0-9]{12}(?:[0-9]{2})?Z"
_ROW = re.compile(rf"(?:[VE]\t{_TIME}\t|R\t{_TIME}\t{_TIME}[^\t]*)\t(?:[0-9A-F]{{2}})+\t[^\t]+\t.*/CN=[^\t]+")
_NUMBER = re.compile(r"(?:[0-9A-Fa-f]{2})+\n?")
_SETTINGS = """\
[req]
distinguished_name = subject
[subject]
[ca]
default_ca = fleet
[fleet]
dir = .
database = ./index.txt
new_certs_dir = ./certs
certificate = ./ca.pem
private_key = ./ca.key
rand_serial = yes
unique_subject = no
default_md = sha256
default_crl_days = {crl_days}
crlnumber = ./crlnumber
policy = policy
[policy]
commonName = supplied
[authority]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[node]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[broker]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""

KEY, CERTIFICATE = "ca.key", "ca.pem"
INDEX, NUMBER = "index.txt", "crlnumber"
"""OpenSSL's books: without the first, what was revoked would hold again."""
BACKUP = "take the folder from a backup, or begin a new fleet with another --out"


class Authority:
    """The authority in a folder, made where there never was one: nobody would believe a second one.

    Parameters
    ----------
    names : names and addresses that the broker's certificate is for
    now : aware
    begun : whether there are nodes that believe the one that was made

    Raises
    ------
    RuntimeMissingError : OpenSSL is not installed
    EdgefaceError : its key, certificate or books are gone or broken; from every method: OpenSSL fails
    """

    def __init__(self, folder: Path, *, names: Sequence[str], now: datetime, begun: bool = False) -> None:
        program = shutil.which("openssl")
        if program is None:
            raise RuntimeMissingError(
                "openssl, which makes certificates, is not installed", fix="sudo apt install openssl"
            )
        begun = begun or (folder / CERTIFICATE).exists()
        gone = [name for name in (KEY, CERTIFICATE, INDEX, NUMBER) if begun and not (folder / name).exists()]
        if gone:
            raise EdgefaceError(
                f"{folder} has no {' and no '.join(gone)}, by which this fleet's nodes and broker know each other",
                fix=BACKUP,
            )
        self._program = program
        self._folder = folder
        self._now = now
        if begun:
            self._judge_books()
        for inside in (folder, folder / "certs"):
            inside.mkdir(mode=0o700, exist_ok=True)
        settings = _SETTINGS.format(crl_days=AUTHORITY_LIFE.days, names=", ".join(map(_alternative, names)))
        write_private(folder / "openssl.cnf", settings.encode())
        for name, text in ((INDEX, ""), (f"{INDEX}.attr", "unique_subject = no\n"), (NUMBER, "01\n")):
            if not (folder / name).exists():
                write_private(folder / name, text.encode())
        self.certificate, self.revoked = folder / CERTIFICATE, folder / "crl.pem"
        if not self.certificate.exists():
            self._make()
        elif not self.revoked.exists():
            self.list_revoked()

    def keys(self, names_and_keys: Sequence[tuple[str, Path]]) -> None:
        """Make a key for each name, and a request for a certificate beside it; several at a time."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for _ in pool.map(lambda pair: self._request(*pair), names_and_keys):
                pass

    def ask_again(self, name: str, key: Path) -> None:
        """Make a request for a key that is there."""
        self._run("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", _asked(key))

    def sign(self, names_and_keys: Sequence[tuple[str, Path]], *, kind: str = "node") -> dict[str, bytes]:
        """Certificates by name, for the requests beside these keys."""
        if not names_and_keys:
            return {}
        asked = [_asked(key) for _, key in names_and_keys]
        self._run("ca", "-batch", "-notext", *self._life(LIFE), "-extensions", kind, "-infiles", *asked)
        for path in asked:
            path.unlink()
        latest = {name: serial for state, serial, name in self._index() if state == "V"}
        return {name: (self._folder / "certs" / f"{latest[name]}.pem").read_bytes() for name, _ in names_and_keys}

    def revoke(self, names: Iterable[str]) -> None:
        """Take back all certificates of these names that hold."""
        gone = set(names)
        for state, serial, name in self._index():
            if state == "V" and name in gone:
                certificate = self._folder / "certs" / f"{serial}.pem"
                if not certificate.exists():
                    raise EdgefaceError(f"{certificate}, a certificate of {name}, is gone", fix=BACKUP)
                self._run("ca", "-revoke", certificate)
        self.list_revoked()

    def list_revoked(self) -> None:
        """Write the list of what was taken back."""
        self._run("ca", "-gencrl", "-out", "crl.new")
        (self._folder / "crl.new").replace(self.revoked)

    def _judge_books(self) -> None:
        """Raise EdgefaceError for what OpenSSL would choke on half way, and would say in its own words."""
        self._index()
        number = self._folder / NUMBER
        if not _NUMBER.fullmatch(_bytes(number).decode("utf-8", "replace")):
            raise EdgefaceError(f"{number} is no number that OpenSSL wrote", fix=BACKUP)
        certificate, key = self._folder / CERTIFICATE, self._folder / KEY
        if self._public(certificate, "x509", "-noout", "-pubkey") != self._public(key, "pkey", "-pubout"):
            raise EdgefaceError(f"{key} is not the key of {certificate.name}", fix=BACKUP)

    def _public(self, path: Path, *words: str) -> bytes:
        """The public key of a certificate or a key."""
        try:
            done = subprocess.run(
                [self._program, *words],
                input=_bytes(path),
                capture_output=True,
                timeout=WORKS_S,
                env=child_environ(os.environ),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EdgefaceError(f"openssl {words[0]} did not end within {WORKS_S:g} s", fix="try again") from None
        if done.returncode:
            raise EdgefaceError(f"{path} is none that OpenSSL wrote", fix=BACKUP)
        return done.stdout

    def _make(self) -> None:
        key = self._folder / KEY
        self._request("edgeface fleet", key)
        words = ["-selfsign", "-keyfile", key, *self._life(AUTHORITY_LIFE), "-extensions", "authority"]
        self._run("ca", "-batch", "-notext", *words, "-in", _asked(key), "-out", "ca.new")
        _asked(key).unlink()
        (self._folder / "ca.new").replace(self.certificate)
        self.list_revoked()

    def _request(self, name: str, key: Path) -> None:
        words = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key]
        self._run("req", "-new", *words, "-subj", f"/CN={name}", "-out", _asked(key))

    def _life(self, life: timedelta) -> tuple[str, ...]:
        return "-startdate", START, "-enddate", (self._now + life).strftime("%Y%m%d%H%M%SZ")

    def _index(self) -> list[tuple[str, str, str]]:
        """State (V holds, R revoked, E ended), serial number and name of each certificate, in their order."""
        path = self._folder / INDEX
        # Never empty: the authority's own certificate stands in it too.
        lines = _bytes(path).decode("utf-8", "replace").removesuffix("\n").split("\n")
        rows: list[list[str]] = []
        serials = set[str]()
        for number, line in enumerate(lines, start=1):
            rows.append(line.split("\t"))
            if not _ROW.fullmatch(line) or rows[-1][3] in serials:
                raise EdgefaceError(f"row {number} of {path} is none that OpenSSL wrote", fix=BACKUP)
            serials.add(rows[-1][3])
        return [(row[0], row[3], row[5].rpartition("/CN=")[2]) for row in rows]

    def _run(self, command: str, *words: object) -> None:
        """Run OpenSSL in the folder; what it writes is for this user alone."""
        line = [
            self._program,
            command,
            "-config",
            "openssl.cnf",
            *(str(word.absolute() if isinstance(word, Path) else word) for word in words),
        ]
        try:
            done = subprocess.run(
                line,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=WORKS_S,
                umask=0o077,
                env=child_environ(os.environ),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EdgefaceError(f"openssl {command} did not end within {WORKS_S:g} s", fix="try again") from None
        if done.returncode:
            said = next((line for line in reversed(done.stderr.splitlines()) if "rror" in line), done.stderr[-200:])
            raise EdgefaceError(
                f"openssl {command} failed: {said}", fix=f"look into {self._folder}; OpenSSL 3 is needed"
            )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EdgefaceError(f"{path} cannot be read: {error.strerror}", fix="check its permissions") from None


def _asked(key: Path) -> Path:
    return key.with_suffix(".csr")


def _alternative(broker: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(broker.strip('[]'))}"
    except ValueError:
        return f"DNS:{broker}"
