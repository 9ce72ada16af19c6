"""The targets of `slow.fuzz`, each a function of bytes out of which nothing but our own errors may come.

Runs in a process of its own under libFuzzer (atheris), which ends it:
``python -m slow.fuzz_targets TARGET SECONDS FOLDER``.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import atheris
import msgspec

with atheris.instrument_imports(include=["edgeface", "tarfile", "tomllib"]):
    from edgeface.archive import unpack
    from edgeface.bundle import read_manifest
    from edgeface.config import load_config, parse_override
    from edgeface.errors import BundleError, EdgefaceError
    from edgeface.events import COMMANDS, KINDS, decode, judge
    from edgeface.publish.account import Account
    from edgeface.publish.journal import Batch
    from edgeface.publish.sentences import sentence
    from edgeface.publish.spool_files import StoreError, discard
    from edgeface.publish.store import Store

from spools import row

from slow.fuzz import TARGETS

ROOT = Path(__file__).resolve().parents[1]
LONGEST_BYTES = 4096
"""Of an input: enough for every rule, and short runs."""
NOW = datetime(2026, 3, 14, 12, tzinfo=timezone.utc)
SLOWEST_S = 10
"""One input may take so long: an endless loop is a fault, too."""
MOST_MB = 2048
Target = Callable[[Path], Callable[[bytes], None]]
"""Given a scratch folder, what takes one input; whatever it raises is a fault."""


def configuration(scratch: Path) -> Callable[[bytes], None]:
    """A configuration file, and the same text as an override."""
    path = scratch / "edgeface.toml"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(EdgefaceError):
            load_config(path, warn=lambda _: None)
        with contextlib.suppress(EdgefaceError):
            key, value = parse_override(data.decode(errors="replace"))
            load_config(overrides={key: value}, warn=lambda _: None)

    return run


def manifest(_: Path) -> Callable[[bytes], None]:
    """A bundle's manifest."""

    def run(data: bytes) -> None:
        with contextlib.suppress(BundleError):
            read_manifest(data, "manifest.json")

    return run


def archive(scratch: Path) -> Callable[[bytes], None]:
    """A bundle's archive; nothing may be written outside its folder."""
    path, inside = scratch / "bundle.tar", scratch / "room" / "inside"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        inside.mkdir(parents=True)
        with contextlib.suppress(EdgefaceError):
            unpack(path, inside)
        assert [one.name for one in inside.parent.iterdir()] == ["inside"], "something was written outside"
        shutil.rmtree(inside.parent)

    return run


def spool(scratch: Path) -> Callable[[bytes], None]:
    """The spool's file."""
    path = scratch / "spool.db"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(StoreError):
            store = Store(path)
            try:
                store.read()
            finally:
                store.release()
        discard(path)

    return run


def message(_: Path) -> Callable[[bytes], None]:
    """A payload under each topic: what `watch` says of it, what `audit` makes of it, and there and back again."""

    def run(data: bytes) -> None:
        account = Account()
        for kind in KINDS:
            topic = f"edgeface/hall/main/{kind}"
            assert sentence(topic, data)
            account.heard(topic, data)
            with contextlib.suppress(msgspec.DecodeError):
                read = decode(kind, data)
                assert decode(kind, msgspec.json.encode(read)) == read
        account.runs()

    return run


def command(_: Path) -> Callable[[bytes], None]:
    """A payload on each topic of commands: a command, or a sentence that says why it is none."""

    def run(data: bytes) -> None:
        for name in COMMANDS:
            judged = judge(name, data, retained=False, now=NOW)
            assert judged

    return run


_FUNCTIONS = (configuration, manifest, archive, spool, message, command)
MADE: Mapping[str, Target] = dict(zip(TARGETS, _FUNCTIONS, strict=True))


def seeds(target: str) -> Iterator[bytes]:
    """True inputs to begin with."""
    if target == "configuration":
        yield from _blocks("toml", *(ROOT / "docs").glob("*.md"))
        yield b"visits.lost_after=2.5"
    elif target in ("manifest", "archive"):
        tree = _least_manifest()
        data = json.dumps(tree).encode()
        yield data if target == "manifest" else _packed(tree["name"], data)
    elif target == "spool":
        yield from _spooled()
    elif target == "command":
        for more in (b"", b',"on":true', b',"on":false,"camera":"a"'):
            yield b'{"at":"2026-03-14T12:00:00Z"%s}' % more
    else:
        yield from _blocks("json", ROOT / "docs" / "mqtt.md")


def _blocks(language: str, *pages: Path) -> Iterator[bytes]:
    """What stands in the documentation."""
    for page in pages:
        yield from (found.encode() for found in re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL))


def _least_manifest() -> dict[str, Any]:
    """The default manifest with one network, without figures: small enough to be changed everywhere."""
    tree: dict[str, Any] = json.loads((ROOT / "models" / "default" / "manifest.json").read_text())
    network = next(one for one in tree["networks"] if one["name"] == tree["defaults"]["detect"])
    kept = {key: value for key, value in network.items() if key not in ("measured", "chosen")}
    return {**tree, "networks": [kept], "defaults": {"detect": network["name"]}}


def _packed(name: str, data: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo(f"{name}/manifest.json")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return made.getvalue()


def _spooled() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool.db"
        store = Store(path)
        store.write(
            Batch(new=(row(0, "start", "a"), row(1, "end", "a")), settled=(), gone=(), flush=True),
            runs=[("old", "machine")],
            over=(),
        )
        store.close()
        yield path.read_bytes()


def run(target: str, seconds: int, folder: Path) -> None:
    """Run one target; this process ends in it. ``folder``: of its corpus, and of what breaks it."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    longest = LONGEST_BYTES
    for number, data in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(data)
        longest = max(longest, len(data) + 64)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as scratch:
        limits = [f"-max_total_time={seconds}", f"-timeout={SLOWEST_S}", f"-rss_limit_mb={MOST_MB}"]
        atheris.Setup(
            [target, *limits, f"-max_len={longest}", f"-artifact_prefix={folder}/", str(corpus)],
            MADE[target](Path(scratch)),
        )
        atheris.Fuzz()


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
