"""An archive is brought to where nobody else can change it, and believed by its sha256, its signature, or both."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec

from edgeface.config import hide_credentials
from edgeface.errors import BundleError, EdgefaceError, UsageError
from edgeface.files import look
from edgeface.updates.fetch import Limits, expect_https, fetch, is_address, optional
from edgeface.updates.keys import KEYS, LARGEST, NAMESPACE, SUFFIXES, Keys, kind_of, read_keys, verify


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """By what an archive is believed.

    Attributes
    ----------
    sha256 : of the archive, in hexadecimal
    signature : file or address of it; None: beside the archive, with the suffix of its kind
    keys : folder of public keys; with one there, only what one of them has signed
    limits : of what an address may cost
    """

    sha256: str | None = None
    signature: str | None = None
    keys: Path = KEYS
    limits: Limits = Limits()


class Order(msgspec.Struct, frozen=True):
    """What is to be brought, and what it must be: a sha256, one of the keys' signature, both, or (a file) neither."""

    what: str
    trust: Trust
    sha256: str | None
    keys: Keys

    @property
    def shown(self) -> str:
        """What it is called in errors: without what opens an address."""
        return hide_credentials(self.what)


def judge(what: str, trust: Trust) -> Order:
    """Say what a file or an address must be, before anything is done.

    Raises
    ------
    UsageError : no such file or no https address; a sha256 that is none; an address with nothing to believe it by
    ConfigError : the folder of keys cannot be trusted
    """
    order = Order(what, trust, _sha256(trust.sha256), read_keys(trust.keys))
    if trust.signature is not None and not order.keys:
        raise UsageError(f"{trust.keys} holds no key to verify a signature with", fix="put its maker's key there")
    if not is_address(what):
        if look(Path(what)) != "file" or not Path(what).is_file():
            raise UsageError(f"there is no file {what}", fix="give an archive that `python -m converters pack` wrote")
    elif expect_https(what) and order.sha256 is None and not order.keys:
        raise UsageError(
            f"nothing says that {order.shown} is what it should be",
            fix=f"give --sha256, or put its maker's public key into {trust.keys}",
        )
    return order


def bring(order: Order, scratch: Path, *, most_bytes: int) -> Path:
    """Copy a file or fetch an address into ``scratch``, and believe it or not before anybody looks inside.

    Raises
    ------
    BundleError : it is too large, of another sha256, not signed, or signed by somebody else
    EdgefaceError : it cannot be fetched or copied, or the program that verifies is missing
    """
    archive = scratch / "archive"
    _take(order, archive, most_bytes)
    if order.sha256 is not None:
        _expect_sha256(archive, order.shown, order.sha256)
    if order.keys:
        _expect_signature(order, archive)
    return archive


def _take(order: Order, target: Path, most_bytes: int) -> None:
    if is_address(order.what):
        fetch(order.what, target, most_bytes=most_bytes, limits=order.trust.limits)
        return
    path = Path(order.what)
    try:
        if path.stat().st_size > most_bytes:
            raise BundleError(f"{path} holds too much", fix="do not use it")
        # A copy: who may change the file could do so after it was believed.
        shutil.copyfile(path, target)
    except OSError as error:
        raise EdgefaceError(
            f"{path} cannot be copied: {error.strerror}", fix="free some room, or check its permissions"
        ) from None


def _sha256(given: str | None) -> str | None:
    """The digest that is wanted: what `sha256sum` prints, with or without the file's name."""
    if given is None:
        return None
    digest = (given.split() or [""])[0].lower().removeprefix("sha256:")
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise UsageError(f"--sha256 {given} is no sha256", fix="give the 64 digits that `sha256sum FILE` prints")
    return digest


def _expect_sha256(archive: Path, shown: str, wanted: str) -> None:
    with archive.open("rb") as file:
        digest = hashlib.sha256()
        for data in iter(lambda: file.read(1 << 20), b""):
            digest.update(data)
    if digest.hexdigest() != wanted:
        raise BundleError(
            f"{shown} is another file: its sha256 is {digest.hexdigest()}, not {wanted}", fix="do not use it"
        )


def _expect_signature(order: Order, archive: Path) -> None:
    """BundleError unless a signature of one of the keys lies beside the archive, or where it is said to."""
    trust, keys, shown, found = order.trust, order.keys, order.shown, False
    places = (
        [trust.signature]
        if trust.signature is not None
        else [_beside(order.what, SUFFIXES[kind]) for kind in keys.kinds]
    )
    for place in places:
        signature = archive.with_name("signature")
        if not _take_signature(place, signature, trust.limits):
            continue
        found = True
        kind = kind_of(signature.read_bytes())
        if kind in keys.kinds and verify(archive, signature, kind, keys, archive.parent):
            return
    if trust.signature is not None and not found:
        raise UsageError(f"there is no signature {hide_credentials(trust.signature)}", fix="check the path or address")
    if not found:
        names = " or ".join(hide_credentials(place) for place in places)
        raise BundleError(
            f"{shown} is not signed (no {names}), and {keys.folder} holds keys",
            fix="have it signed by the owner of one of them",
        )
    raise BundleError(
        f"the signature of {shown} is by none of the keys in {keys.folder}, not for {NAMESPACE}, or of another file",
        fix="do not use it, or put its maker's key there",
    )


def _beside(what: str, suffix: str) -> str:
    if not is_address(what):
        return f"{what}{suffix}"
    parts = urlsplit(what)
    return urlunsplit(parts._replace(path=f"{parts.path}{suffix}"))


def _take_signature(place: str, target: Path, limits: Limits) -> bool:
    """Copy or fetch a signature; False where there is none."""
    target.unlink(missing_ok=True)
    if is_address(place):
        with optional():
            fetch(place, target, most_bytes=LARGEST, limits=limits)
    elif look(Path(place)) == "file":
        try:
            with Path(place).open("rb") as file:
                target.write_bytes(file.read(LARGEST))
        except OSError as error:
            raise EdgefaceError(f"{place} cannot be read: {error.strerror}", fix="check its permissions") from None
    return target.exists()
