"""What `health` says beside frames and messages: bundle, board, configuration, and the latest trouble of the log."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec

from edgeface import board
from edgeface.bundle import MANIFEST, Bundle
from edgeface.config import Config, redacted
from edgeface.errors import one_line
from edgeface.events import (
    HASH_DIGITS,
    BundleHealth,
    LastError,
    MachineHealth,
    TuningHealth,
    iso,
)
from edgeface.tuning import Tuned

logger = logging.getLogger("edgeface")

CLOCK_SET = timedelta(seconds=10)
"""From here on a step of the clock is none of its small corrections."""


class Start:
    """When the program was started: ``at_s``, monotonic, and by the clock."""

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s
        self._at = datetime.now(timezone.utc)

    def by_clock(self, now_s: float) -> datetime:
        """The moment; told anew only where the clock was set meanwhile, for it is no measurement."""
        at = datetime.now(timezone.utc) - timedelta(seconds=now_s - self.at_s)
        if abs(at - self._at) > CLOCK_SET:
            self._at = at
        return self._at


class Trouble(logging.Handler):
    """Keeps the latest warning or error of the program's log.

    Attributes
    ----------
    latest : None while there was none
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.latest: LastError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take in a line of the log; what it says of times and levels is left out."""
        at = datetime.fromtimestamp(record.created, timezone.utc)
        self.latest = LastError(at=iso(at), text=one_line(record.getMessage()))

    def attach(self) -> Trouble:
        """Begin to listen."""
        logger.addHandler(self)
        return self

    def detach(self) -> None:
        """Listen no more."""
        logger.removeHandler(self)


class Vitals:
    """The board as `health` tells of it.

    Parameters
    ----------
    folder : where state is kept, whose disk is told of
    root : where files of the kernel begin, for tests
    """

    def __init__(
        self,
        folder: Path,
        *,
        root: Path = board.ROOT,
        clock: Callable[[], float] = time.monotonic,
        processor_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._folder = folder
        self._root = root
        self._clock = clock
        self._processor_s = processor_s
        self._board, self._serial = board.model(root), board.serial(root)
        self._before = clock(), processor_s()

    def measure(self) -> MachineHealth:
        """How the board fares; `cpu` is that of the time since the last call."""
        now_s, used_s = self._clock(), self._processor_s()
        elapsed_s, worked_s = now_s - self._before[0], used_s - self._before[1]
        self._before = now_s, used_s
        degrees = board.temperatures(self._root)
        troubles = board.throttled(self._root)
        load = board.load()
        return MachineHealth(
            board=self._board,
            serial=self._serial,
            temperature=max(degrees.values(), default=None),
            temperatures=degrees,
            throttled=None if troubles is None else list(troubles[0]),
            throttled_since_boot=None if troubles is None else list(troubles[1]),
            cpu=round(max(0.0, worked_s / elapsed_s), 3) if elapsed_s > 0 else None,
            load=None if load is None else round(load, 2),
            memory_free_mb=board.free_memory_mb(self._root),
            disk_free_mb=board.free_disk_mb(self._folder),
            clock_synchronised=board.clock_synchronised(),
        )


def bundle_health(bundle: Bundle) -> BundleHealth:
    """Name, version and hash of a bundle that was opened."""
    manifest = bundle.manifest
    digest = _digest((bundle.folder / MANIFEST).read_bytes())
    return BundleHealth(name=manifest.name, version=manifest.version, hash=digest)


def tuning_health(tuned: Tuned) -> TuningHealth:
    """Whether the networks are loaded as they run best on this board."""
    return TuningHealth(state=tuned.standing, made=tuned.made, text=one_line(tuned.text))


def config_hash(config: Config) -> str:
    """Tell configurations apart without their secrets: a password's hash could be guessed against."""
    return _digest(msgspec.json.encode(redacted(config), order="sorted"))


def configuration_note(environ: Mapping[str, str]) -> str | None:
    """Why what starts the program gave it another configuration than the one that was meant; None: it is the one.

    A card's image runs the last good one where the card's cannot hold; `run` itself never falls back.
    """
    note = environ.get("EDGEFACE_CONFIGURATION_NOTE", "").strip()
    return one_line(note) if note else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:HASH_DIGITS]
