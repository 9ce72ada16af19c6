"""Keys of those whose signatures are believed: root's files, of OpenSSH or minisign; the programs of these two verify.

A folder that holds anything that is no key, or that others may write, is an error: what is passed over would mean that
nothing needs a signature.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from edgeface.config import child_environ
from edgeface.errors import ConfigError, EdgefaceError, RuntimeMissingError

KEYS = Path("/etc/edgeface/keys")
Kind = Literal["ssh", "minisign"]
SUFFIXES: Mapping[Kind, str] = {"ssh": ".sig", "minisign": ".minisig"}
"""What `ssh-keygen -Y sign` and `minisign -S` add to the name of what they sign."""
NAMESPACE = "edgeface-bundle"
"""Of ssh signatures: one that was made for something else says nothing here."""
SIGNER = "edgeface"
LARGEST = 16_384
"""Bytes of a file with keys, or of a signature."""
VERIFY_S = 120.0
_SSH = re.compile(r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]+ [A-Za-z0-9+/]+=*(?: .*)?")
_MINISIGN = re.compile(r"untrusted comment:[^\n]*\n(RW[A-Za-z0-9+/]{54})\s*")
_PROGRAMS: Mapping[Kind, tuple[str, str]] = {
    "ssh": ("ssh-keygen", "openssh-client"),
    "minisign": ("minisign", "minisign"),
}


class Keys(msgspec.Struct, frozen=True):
    """Public keys by kind, each as its program takes it; falsy without any."""

    folder: Path
    ssh: tuple[str, ...] = ()
    minisign: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ssh or self.minisign)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of signatures that can be believed."""
        return tuple(kind for kind in SUFFIXES if getattr(self, kind))


def read_keys(folder: Path) -> Keys:
    """Read all keys of a folder; none where it is not there.

    Raises
    ------
    ConfigError : others may write it, it cannot be read, or a file in it is no public key
    """
    ssh: list[str] = []
    minisign: list[str] = []
    try:
        if not folder.exists():
            return Keys(folder)
        _expect_own(folder)
        for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
            _expect_own(path)
            _read(path, ssh, minisign)
    except OSError as error:
        raise ConfigError(
            f"{error.filename or folder} cannot be read: {error.strerror}", fix="run it with sudo, or check the path"
        ) from None
    return Keys(folder, tuple(ssh), tuple(minisign))


def kind_of(signature: bytes) -> Kind | None:
    """What a signature is of; None for none."""
    if signature.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        return "ssh"
    return "minisign" if signature.startswith(b"untrusted comment:") else None


def verify(archive: Path, signature: Path, kind: Kind, keys: Keys, scratch: Path) -> bool:
    """Whether a signature of this kind is one of the keys', of exactly this file.

    Parameters
    ----------
    scratch : folder for what the programs want to read

    Raises
    ------
    RuntimeMissingError : the program that can tell is not installed
    EdgefaceError : it does not end
    """
    program, package = _PROGRAMS[kind]
    found = shutil.which(program)
    if found is None:
        raise RuntimeMissingError(
            f"{program}, which verifies signatures, is not installed", fix=f"sudo apt install {package}"
        )
    if kind == "minisign":
        return any(_run([found, "-V", "-q", "-m", archive, "-x", signature, "-P", key]) for key in keys.minisign)
    allowed = scratch / "allowed"
    allowed.write_text("".join(f"{SIGNER} {key}\n" for key in keys.ssh), encoding="utf-8")
    return _run([found, "-Y", "verify", "-f", allowed, "-I", SIGNER, "-n", NAMESPACE, "-s", signature], stdin=archive)


def _run(words: list[str | Path], *, stdin: Path = Path(os.devnull)) -> bool:
    try:
        with stdin.open("rb") as file:
            done = subprocess.run(
                words,
                stdin=file,
                capture_output=True,
                timeout=VERIFY_S,
                check=False,
                env=child_environ(os.environ),
            )
    except subprocess.TimeoutExpired:
        raise EdgefaceError(f"{words[0]} did not end within {VERIFY_S:g} s", fix="try again") from None
    return done.returncode == 0


def _expect_own(path: Path) -> None:
    """ConfigError where somebody but root, or who runs this, could put a key."""
    info = path.stat()
    if info.st_uid not in (0, os.geteuid()) or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"{path} may be written by others, who could let anything be installed",
            fix=f"sudo chown -R root: {path} && sudo chmod -R go-w {path}",
        )


def _read(path: Path, ssh: list[str], minisign: list[str]) -> None:
    with path.open("rb") as file:
        text = file.read(LARGEST + 1).decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n")
    if "PRIVATE KEY" in text or "encrypted secret key" in text:
        raise ConfigError(f"{path} is a secret key", fix="take it away from here, and put its public half (.pub) there")
    whole = _MINISIGN.fullmatch(text)
    if whole:
        minisign.append(whole[1])
        return
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines or len(text) > LARGEST or not all(_SSH.fullmatch(line) for line in lines):
        raise ConfigError(
            f"{path} is no public key of OpenSSH or minisign",
            fix="put the file that ends with .pub there, or remove it",
        )
    ssh += lines
