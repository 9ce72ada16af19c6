"""The first partition, whose files anybody may have written, and what of them is kept on the data partition.

A file of the card is only ever overwritten in place: a new copy beside it would leave the secret in the clusters of the
old one.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgeface_card import imager, network_txt, secrets
from edgeface_card.configuration import Choice, choose
from edgeface_card.secrets import Spot
from edgeface_card.settings import TAKEN, Read, Settings, merge

CONFIGURATION, NETWORK = "edgeface.toml", "network.txt"
OVERWRITING = "overwriting"
"""What a file of the card was and is to be, while it is written over."""
SECTOR = 512
PUBLIC = ("ca.pem", "cert.pem")
"""Go to /etc/edgeface as they are."""
PRIVATE = ("password", "key.pem")
"""Go to /etc/edgeface/credentials, and stay on the card only as ``taken``."""
UNKNOWN = "{} is not known here any more; write it again"
PERHAPS = '{} is "taken", and nothing is kept for it: if the word stands for a secret, write that again'
"""A password of a broker or a camera may be that word."""
NO_COUNTRY = (
    "no country stands for the wireless network: only channels that are allowed everywhere are used; write "
    "wifi_country = and two letters, such as DE, into network.txt"
)
ELSEWHERE = ("wpa_supplicant.conf", "userconf.txt", "userconf", "custom.toml", "ssh", "ssh.txt")
"""Files by which Raspberry Pi OS was told the same before, and may hold secrets."""
HIDDEN = ".txt"
"""Windows adds it to what is saved under a new name, and does not show it."""
LARGEST_BYTES = 256 * 1024
LARGEST_JOURNAL_BYTES = 13 * LARGEST_BYTES
"""Twice a file in JSON, which writes a byte as up to six."""
Reader = Callable[[str], Read]


@dataclass(slots=True)
class Findings:
    """What came out of a card.

    Attributes
    ----------
    settings : of all files, by their rank
    choice : which edgeface.toml is run
    public, private : files of /etc/edgeface and of its credentials, by name
    complaints : a line each, for the console and the journal
    """

    settings: Settings = field(default_factory=Settings)
    choice: Choice = field(default_factory=lambda: Choice(None, None))
    public: dict[str, bytes] = field(default_factory=dict)
    private: dict[str, bytes] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)


class Card:
    """A card's first partition and the folder of the data partition that keeps what it said.

    Parameters
    ----------
    place : where the first partition is mounted
    kept : private folder, made where it is not there
    unlock : called once before the first file of the card is written: it is mounted for reading
    """

    def __init__(self, place: Path, kept: Path, unlock: Callable[[], object] | None = None) -> None:
        self._place = place
        self._unlock = unlock
        self._kept = kept
        kept.mkdir(parents=True, exist_ok=True)
        kept.chmod(0o700)
        (kept / "credentials").mkdir(mode=0o700, exist_ok=True)
        self._complaints: list[str] = []
        try:
            self._secrets: dict[str, str] = json.loads(self._look(kept / "secrets.json") or b"{}")
        except ValueError:
            self._secrets = {}

    def read(self, judge: Callable[[str], str | None]) -> Findings:
        """Read everything; secrets are kept first, then taken off the card."""
        found = Findings(complaints=self._complaints)
        _sweep(self._kept)
        _sweep(self._kept / "credentials")
        self._finish_overwriting()
        reads = [
            self._settings(NETWORK, network_txt.read, secrets.in_network_txt),
            self._settings(imager.USER_DATA, imager.user_data, secrets.in_yaml(imager.USER_DATA)),
            self._settings(imager.NETWORK_CONFIG, imager.network_config, secrets.in_yaml(imager.NETWORK_CONFIG)),
            self._cmdline(),
            self._script(),
        ]
        found.settings = merge(*(read.settings for read in reads))
        for read in reads:
            found.complaints += read.complaints
            found.complaints += [f"not done here: {what}" for what in read.ignored]
        if found.settings.wifi is not None and found.settings.country is None:
            found.complaints.append(NO_COUNTRY)
        found.choice = self._configuration(judge)
        if found.choice.problem is not None:
            found.complaints.append(found.choice.problem)
        for name in PUBLIC:
            if (data := self._on_card(name)) is not None:
                found.public[name] = data
        for name in PRIVATE:
            self._credential(name, found)
        for name in (CONFIGURATION, NETWORK, imager.USER_DATA, imager.NETWORK_CONFIG, *PUBLIC, *PRIVATE):
            if (self._place / f"{name}{HIDDEN}").exists():
                found.complaints.append(f"{name}{HIDDEN} is not read; call it {name}: Windows hides the end of a name")
        for name in ELSEWHERE:
            if (self._place / name).exists():
                found.complaints.append(
                    f"{name} is not read here; take it off the card: the network goes into network.txt, users with "
                    "their SSH keys into user-data"
                )
        return found

    def keep_good(self, text: str) -> None:
        """Remember a configuration with which the program can run, secrets and all."""
        if self._look(self._kept / CONFIGURATION) != text.encode():
            self._keep(self._kept / CONFIGURATION, text.encode())

    def _settings(self, name: str, reader: Reader, spots: Callable[[str], Iterator[Spot]]) -> Read:
        text = self._text(name)
        if text is None:
            return Read()
        # What is missing and matters here is a wireless network's password: its reader says so, and leaves it alone.
        whole = self._take(name, text, spots)[0]
        try:
            return reader(whole)
        except Exception as error:
            kind = type(error).__name__
            return Read(complaints=(f"{name} cannot be read here ({kind}); nothing of it is taken, correct it",))

    def _take(self, name: str, text: str, spots: Callable[[str], Iterator[Spot]]) -> tuple[str, list[str]]:
        """The text with all its secrets, which are kept and no longer on the card; those that are missing."""
        bare, new = secrets.take(text, spots)
        if new:
            self._secrets |= new
            if self._keep(self._kept / "secrets.json", json.dumps(self._secrets, sort_keys=True).encode()):
                self._overwrite(name, bare.encode())
        return secrets.put_back(bare, spots, self._secrets)

    def _cmdline(self) -> Read:
        text = self._text(imager.CMDLINE)
        if text is None:
            return Read()
        plain = imager.without_run(text)
        if plain.split() != text.split():
            # Left there, systemd would start nothing but that script, at every boot.
            self._complaints.append("what Imager wanted to be run once was taken out of cmdline.txt")
            self._overwrite(imager.CMDLINE, plain.encode())
        return imager.cmdline(text)

    def _script(self) -> Read:
        """A script is code, so nobody corrects a secret in it: all of it is taken."""
        name = imager.SCRIPTS[0]
        text, kept = self._text(name), self._kept / name
        if text is None:
            return Read()
        if text.strip() == f"# {TAKEN}":
            data = self._look(kept)
            if data is None:
                self._complaints.append(UNKNOWN.format(name))
            text = (data or b"").decode("utf-8", "replace")
        elif self._keep(kept, text.encode()):
            self._overwrite(name, f"# {TAKEN}\n".encode())
        return imager.script(text)

    def _configuration(self, judge: Callable[[str], str | None]) -> Choice:
        text = self._text(CONFIGURATION)
        last_good = self._look(self._kept / CONFIGURATION)
        whole, missing = (None, []) if text is None else self._take(CONFIGURATION, text, secrets.in_toml)
        self._complaints += [PERHAPS.format(one) for one in missing]
        return choose(whole, None if last_good is None else last_good.decode(), judge)

    def _credential(self, name: str, found: Findings) -> None:
        data, kept = self._on_card(name), self._kept / "credentials" / name
        if data is not None and data.strip() and data.strip() != TAKEN.encode():
            found.private[name] = data
            if self._keep(kept, data):
                self._overwrite(name, f"{TAKEN}\n".encode())
        elif (private := self._look(kept)) is not None:
            found.private[name] = private
        elif data is not None and data.strip():
            perhaps = name == "password"
            found.complaints.append((PERHAPS if perhaps else UNKNOWN).format(name))
            if perhaps:
                found.private[name] = data

    def _keep(self, path: Path, data: bytes) -> bool:
        """Keep something for the next boots; False and a line where the data partition takes nothing."""
        try:
            write_private(path, data)
        except OSError as error:
            self._complaints.append(
                f"the data partition does not take {path.name} ({error.strerror}): it holds for this boot alone, and "
                "what is secret stays on the card; make room, or write the card anew"
            )
            return False
        return True

    def _overwrite(self, name: str, data: bytes) -> None:
        path, journal = self._place / name, self._kept / OVERWRITING
        old = self._look(path) or b""
        texts = {"name": name, "old": old.decode("latin-1"), "new": padded(data, len(old)).decode("latin-1")}
        if self._keep(journal, json.dumps(texts).encode()):
            self._write_over(path, data)
            erase(journal)

    def _write_over(self, path: Path, data: bytes) -> None:
        if self._unlock is not None:
            self._unlock()
            self._unlock = None
        try:
            overwrite(path, data)
        except OSError as error:
            self._complaints.append(
                f"{path.name} could not be overwritten on the card ({error.strerror}); take out its secrets"
            )

    def _finish_overwriting(self) -> None:
        """Go on where the power went while a file was written over; one that was edited since is left alone."""
        journal = self._kept / OVERWRITING
        try:
            texts = json.loads(self._look(journal, LARGEST_JOURNAL_BYTES) or b"{}")
        except ValueError:
            texts = {}
        if texts:
            path = self._place / texts["name"]
            old, new = (texts[key].encode("latin-1") for key in ("old", "new"))
            if (now := self._look(path)) is not None and torn(now, old, new):
                self._write_over(path, new)
        erase(journal)

    def _text(self, name: str) -> str | None:
        data = self._on_card(name)
        return None if data is None else network_txt.decode(data)

    def _on_card(self, name: str) -> bytes | None:
        """Bytes of a file of the card; None where there is none, and with a line where there is one of no use."""
        path = self._place / name
        data = self._look(path)
        if data is None and path.exists():
            self._complaints.append(f"{name} is damaged, or no file of at most 256 KiB; it is not read: write it anew")
        return data

    @staticmethod
    def _look(path: Path, most: int = LARGEST_BYTES) -> bytes | None:
        """Bytes of a file; None where there is none, or one that nobody wrote for this."""
        try:
            with path.open("rb") as file:
                data = file.read(most + 1)
        except OSError:
            return None
        return data if len(data) <= most else None


def write_private(path: Path, data: bytes) -> None:
    """Write so that only root reads it, and a power cut leaves the old file or the new one.

    The old one is written over where it lay: it may have held a secret too. So is what a cut or a full partition has
    left of a new one.
    """
    beside, before = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    _drop(before, path)
    if path.exists():
        before.hardlink_to(path)
    erase(beside)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    erase(before)


def erase(path: Path) -> None:
    """Remove a file and leave its content in no free block; one that is not there, or cannot be written, is let be."""
    with contextlib.suppress(OSError):
        _write_where_it_lies(path, bytes)
        path.unlink()


def _drop(before: Path, path: Path) -> None:
    """Erase an old copy that a cut has left; where it is the file itself by another name, only that name goes."""
    if before.exists() and not (path.exists() and before.samefile(path)):
        erase(before)
    before.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Erase what a cut has left beside the files of a folder: it may hold a secret that is written no second time."""
    with contextlib.suppress(OSError):
        for beside in list(folder.glob(".*.new")):
            erase(beside)
        for before in list(folder.glob(".*.old")):
            _drop(before, before.with_name(before.name[1 : -len(".old")]))


def padded(data: bytes, length: int) -> bytes:
    """What stands where ``length`` bytes stood: blanks follow."""
    return data + b" " * (length - len(data) - 1) + (b"\n" if length > len(data) else b"")


def torn(now: bytes, old: bytes, new: bytes) -> bool:
    """Whether every sector of a file is its old or its new one, some of each: a card writes a sector whole."""
    if now in (old, new) or len(now) not in (len(old), len(new)):
        return False
    ends = [(at, min(at + SECTOR, len(now))) for at in range(0, len(now), SECTOR)]
    return all(now[at:end] in (old[at:end], new[at:end]) for at, end in ends)


def overwrite(path: Path, data: bytes) -> None:
    """Write over a file where it lies, blanks up to its old length; what was there is gone from these blocks."""
    _write_where_it_lies(path, lambda length: padded(data, length))


def _write_where_it_lies(path: Path, content: Callable[[int], bytes]) -> None:
    with path.open("r+b") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        file.write(content(length))
        file.flush()
        os.fsync(file.fileno())
