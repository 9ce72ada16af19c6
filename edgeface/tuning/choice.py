"""The choice as it is kept: what was measured, on which board, and whether that still holds."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edgeface.board import ROOT
from edgeface.bundle import MANIFEST, Bundle, Network, attribute_networks, chosen_detector
from edgeface.config import Config, NetworkChoice, Optimization, RuntimeName
from edgeface.errors import EdgefaceError
from edgeface.files import NOT_JSON, expect_writable, write_atomic
from edgeface.machine import SERVICE_STATE, cores, instruction_sets, memory_mb, node_state, processor, state_folder
from edgeface.proof.proven import library_versions
from edgeface.runtime import library

FILE = "tuning.json"
SCHEMA = 1
LARGEST = 1_000_000
"""Bytes of a file that is read."""
TUNE = "run `edgeface tune` (with sudo for the service)"
Standing = Literal["fresh", "stale", "none", "off", "unused"]


class Fingerprint(Struct, frozen=True, kw_only=True):
    """What a choice hangs on.

    Attributes
    ----------
    processor, instructions, cores, memory_mb : of the board; instruction sets in the kernel's words
    versions : of the libraries that compute, by package
    bundle : sha256 of its manifest, which has that of each file
    networks : those in use, sorted
    """

    processor: str
    instructions: tuple[str, ...]
    cores: int
    memory_mb: int | None
    versions: dict[str, str]
    bundle: str
    networks: tuple[str, ...]

    def difference(self, now: Fingerprint) -> str | None:
        """What is another one by now, in words; None: nothing is."""
        if (self.processor, self.instructions) != (now.processor, now.instructions):
            return f"another processor ({self.processor or 'unknown'})"
        if self.cores != now.cores:
            return f"{self.cores} cores, here are {now.cores}"
        if self.memory_mb != now.memory_mb:
            return "another memory"
        names = sorted(self.versions.keys() | now.versions.keys())
        other = next((name for name in names if self.versions.get(name) != now.versions.get(name)), None)
        if other is not None:
            return f"{other} {self.versions.get(other) or 'none'}, here is {now.versions.get(other) or 'none'}"
        if self.bundle != now.bundle:
            return "another bundle"
        return None if set(now.networks) <= set(self.networks) else "other networks"


class Row(Struct, frozen=True, kw_only=True):
    """One thing that was timed.

    Attributes
    ----------
    network : its name; empty: the whole pipeline
    what : which file, or which files, in words
    threads, batch : 0: not one for all
    ms : of one face or frame, the best of the rounds; None: it was not timed
    cpu_ms : processor time of that; None as above
    rounds : in how many it was timed
    note : ``chosen``, ``the bundle's order``, why it was left out, or nothing
    """

    network: str
    what: str
    runtime: str = ""
    precision: str = ""
    optimization: str = ""
    threads: int = 0
    batch: int = 0
    ms: float | None = None
    cpu_ms: float | None = None
    rounds: int = 0
    note: str = ""


class Picked(Struct, frozen=True, kw_only=True):
    """What is to be loaded of one network, and how."""

    runtime: RuntimeName
    precision: str
    optimization: Optimization = "all"
    threads: Annotated[int, Meta(ge=1, le=64)]
    batch: Annotated[int, Meta(ge=1, le=1024)]


class Choice(Struct, frozen=True, kw_only=True):
    """What `edgeface tune` found.

    Attributes
    ----------
    made : when, ISO 8601, UTC
    seconds : how long it took
    networks : by name
    usual_ms, chosen_ms : of a frame through the whole pipeline: with the bundle's order, and as chosen
    notes : what may have disturbed it, in sentences
    rows : what was timed
    """

    schema: int = SCHEMA
    made: str
    seconds: float
    fingerprint: Fingerprint
    networks: dict[str, Picked]
    usual_ms: float
    chosen_ms: float
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()


class Tuned(Struct, frozen=True, kw_only=True):
    """A configuration with the choice that holds, and how that stands.

    Attributes
    ----------
    config : with the choice taken in, where it is fresh; keys of its own have won
    standing : ``fresh``; ``stale``, it is of another board, bundle or library; ``none``, there is none; ``off``, it is
        not wanted; ``unused``, the networks do not run on the processor
    made : when it was made, or None
    text : the same in one line, with the fix where something is to be done
    """

    config: Config
    standing: Standing
    made: str | None = None
    text: str = ""


def networks_of(bundle: Bundle, config: Config) -> list[Network]:
    """The networks that a configuration loads: detector, its stages, and those for faces."""
    detector = chosen_detector(bundle, config)
    return [detector, *bundle.stages(detector), *attribute_networks(bundle, config)]


def fingerprint(bundle: Bundle, config: Config) -> Fingerprint:
    """What a choice made here and now hangs on."""
    return Fingerprint(
        processor=f"{platform.machine()} {processor()}".strip(),
        instructions=instruction_sets(),
        cores=cores(),
        memory_mb=memory_mb(),
        versions=_versions(),
        bundle=hashlib.sha256((bundle.folder / MANIFEST).read_bytes()).hexdigest(),
        networks=tuple(sorted({network.name for network in networks_of(bundle, config)})),
    )


def _versions() -> dict[str, str]:
    """Of the libraries that compute; where ONNX Runtime is the system's, of that one."""
    found = library.origin()
    own = {} if found.folder is None else {"onnxruntime": f"{found.version}, {found.words}"}
    return library_versions() | own


def place(environ: Mapping[str, str], root: Path = ROOT) -> Path:
    """Where the choice of this node lies: with the service's state where this user may write there, else the user's."""
    folder = node_state(environ, root)
    if folder == root / SERVICE_STATE and not os.access(folder, os.W_OK | os.X_OK):
        folder = state_folder(environ)
    return folder / FILE


def write(choice: Choice, path: Path) -> None:
    """Keep a choice; EdgefaceError where the folder cannot be written."""
    # What root measured the service's own user reads.
    write_atomic(path, msgspec.json.format(msgspec.json.encode(choice), indent=1), durable=True, public=True)


def expect_place(path: Path) -> None:
    """See, before minutes are spent, that a choice can be kept there.

    Raises
    ------
    EdgefaceError : the folder cannot be written, or a folder has the file's name
    """
    if path.is_dir():
        raise EdgefaceError(f"{path} is a folder", fix=f"remove it, then {TUNE}")
    expect_writable(path)


def read(path: Path) -> Choice | None:
    """The choice that is kept; None where there is none.

    Raises
    ------
    EdgefaceError : it cannot be read, is broken or of another edgeface
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError(f"over {LARGEST:,} bytes")
        choice = msgspec.json.decode(data, type=Choice)
    except FileNotFoundError:
        return None
    except IsADirectoryError:
        raise EdgefaceError(f"{path} is a folder", fix=f"remove it, then {TUNE}") from None
    except OSError as error:
        raise EdgefaceError(f"{path} cannot be read ({error.strerror})", fix=TUNE) from None
    except (*NOT_JSON, ValueError):
        raise EdgefaceError(f"{path} is broken", fix=TUNE) from None
    if choice.schema != SCHEMA:
        raise EdgefaceError(f"{path} is of another edgeface", fix=TUNE)
    return choice


def tuned(bundle: Bundle, config: Config, path: Path, *, on_processor: bool = True) -> Tuned:
    """A configuration as this board runs it best, where that is known.

    Parameters
    ----------
    path : where the choice is kept
    on_processor : whether the networks run on the processor; what was measured there says nothing of a GPU
    """
    if not config.runtime.tune:
        return Tuned(config=config, standing="off", text="runtime.tune is off: the bundle's order holds")
    if not on_processor:
        return Tuned(config=config, standing="unused", text="the networks do not run on the processor")
    try:
        choice = read(path)
    except EdgefaceError as error:
        return Tuned(config=config, standing="stale", text=f"{error.what}: the bundle's order holds; {error.fix}")
    if choice is None:
        return Tuned(config=config, standing="none", text=f"not measured here: the bundle's order holds; {TUNE}")
    other = choice.fingerprint.difference(fingerprint(bundle, config))
    if other is not None:
        text = f"what was measured on {choice.made[:10]} was for {other}: the bundle's order holds; {TUNE}"
        return Tuned(config=config, standing="stale", made=choice.made, text=text)
    networks = {network.name: network for network in networks_of(bundle, config)}
    given = {name: picked for name, picked in choice.networks.items() if name in networks}
    lacking = [name for name, picked in given.items() if not _has(networks[name], picked)]
    if lacking:
        standing: Standing = "stale"
        text = f"{path} names a file of {lacking[0]} that the bundle lacks: the bundle's order holds; {TUNE}"
    else:
        standing, config = "fresh", merged(config, given)
        times = f"{choice.chosen_ms:.1f} ms a frame, {choice.usual_ms:.1f} in the bundle's order"
        text = f"measured on {choice.made[:10]}: {times}"
    return Tuned(config=config, standing=standing, made=choice.made, text=text)


def _has(network: Network, picked: Picked) -> bool:
    return any(file.precision == picked.precision for file in network.files.get(picked.runtime, ()))


def with_threads(config: Config, threads: int) -> Config:
    """The same configuration with so many threads in every network, whatever was picked."""
    networks = {name: msgspec.structs.replace(one, threads=None) for name, one in config.networks.items()}
    runtime = msgspec.structs.replace(config.runtime, threads=threads)
    return msgspec.structs.replace(config, runtime=runtime, networks=networks)


def merged(config: Config, picked: Mapping[str, Picked]) -> Config:
    """A configuration with what was picked, wherever no key of its own says otherwise.

    A network of which keys want another file than was picked is left to them altogether.
    """
    runtime, networks = config.runtime, dict(config.networks)
    for name, one in picked.items():
        own = networks.get(name, NetworkChoice())
        wanted = own.runtime or (runtime.name if runtime.name != "auto" else one.runtime)
        if wanted != one.runtime or own.precision not in (None, one.precision):
            continue
        networks[name] = NetworkChoice(
            runtime=one.runtime,
            precision=one.precision,
            threads=own.threads or runtime.threads or one.threads,
            optimization=own.optimization or one.optimization,
            batch=own.batch or one.batch,
        )
    return msgspec.structs.replace(config, networks=networks)
