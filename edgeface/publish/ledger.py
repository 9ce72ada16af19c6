"""The ledger of what could not be delivered: survives the process, so that the next start can tell.

A file in the state directory holds, for each run (boot), how many messages the broker surely did not get. It is
written rarely, for flash wears: never while everything is delivered, during an outage at most every ten seconds, and
at a stop. It never claims more than is true, not after a power cut either: before what waits is delivered, it is taken
back. Numbers of earlier runs stay until a `health` message that carries them has been sent.
"""

from __future__ import annotations

import fcntl
import logging
import threading
from pathlib import Path
from typing import IO

import msgspec

from edgeface.errors import EdgefaceError
from edgeface.events import Undelivered
from edgeface.files import NOT_JSON, flush_one, glimpse, make_folder, write_atomic
from edgeface.publish.entries import Left

logger = logging.getLogger(__name__)

AWAY_S, CONNECTED_S = 10.0, 600.0
"""Least seconds between two notes: while the broker is away, and while it is there but refuses some."""
BOOTS_KEPT = 10
"""Runs that are remembered; of more, the oldest are forgotten."""


class Ledger:
    """Keeps the ledger of one node for one run; safe to use from several threads.

    Parameters
    ----------
    folder : need not exist; where it cannot be written, one line says so and nothing is kept
    node, boot : who we are and which run this is

    Attributes
    ----------
    earlier : what earlier runs could not deliver, oldest first; each is logged once by `open`
    """

    def __init__(self, folder: Path, *, node: str, boot: str) -> None:
        self._path = folder / f"undelivered-{node}.json"
        self._boot = boot
        self._lock = threading.Lock()
        self._held: IO[bytes] | None = None
        self._broken = False
        self._recorded = 0
        self._since_s: float | None = None
        self._closed = False
        self._opened = False
        self.earlier: tuple[Undelivered, ...] = ()
        self._keep: tuple[Undelivered, ...] = ()
        self._own: Undelivered | None = None

    def open(self) -> None:
        """Take the file over from earlier runs, once: a run that this one follows must have closed it."""
        if self._opened:
            return
        self._opened = True
        if glimpse(self._path) is not None and self._hold():
            self.earlier = self._keep = _read(self._path)
        for left in self.earlier:
            logger.warning("%s", _sentence(left))

    def note(self, left: Left, *, away: bool, now_s: float) -> None:
        """Write down what waits, where it is time to; ``now_s`` is monotonic."""
        with self._lock:
            if self._closed:
                return
            if left.messages < self._recorded:
                self._write(_undelivered(self._boot, left.gone, left.gone, exact=False))
            if left.messages == self._recorded or not left.visits:
                self._since_s = None if left.messages == self._recorded else self._since_s
                return
            self._since_s = now_s if self._since_s is None else self._since_s
            if now_s - self._since_s >= (AWAY_S if away else CONNECTED_S):
                self._since_s = now_s
                self._write(_undelivered(self._boot, left.messages, left.visits, exact=False))

    def only_gone(self, left: Left) -> None:
        """Take back what is about to be delivered; what is dropped or refused stays."""
        with self._lock:
            if not self._closed and self._recorded > left.gone:
                self._write(_undelivered(self._boot, left.gone, left.gone, exact=False))

    def forget_earlier(self) -> None:
        """Forget earlier runs: a `health` message that carries them has been sent."""
        with self._lock:
            if self._keep and not self._closed:
                self._keep = ()
                self._write(self._own)

    def close(self, left: Left) -> None:
        """Write the last word at a stop."""
        with self._lock:
            if self._closed:
                return
            messages = left.messages if left.visits else 0
            if messages or self._recorded:
                self._write(_undelivered(self._boot, messages, left.visits, exact=True))
            self._closed = True
            if self._held is not None:
                self._held.close()

    def _write(self, own: Undelivered | None) -> None:
        if self._broken or not self._hold():
            return
        rows = [*self._keep, *([own] if own is not None and own.messages else [])][-BOOTS_KEPT:]
        try:
            if rows:
                write_atomic(self._path, msgspec.json.encode(rows), durable=True)
            else:
                self._path.unlink(missing_ok=True)
                flush_one(self._path.parent)
        except (EdgefaceError, OSError) as error:
            self._give_up(error)
            return
        self._own, self._recorded = own, 0 if own is None else own.messages

    def _hold(self) -> bool:
        """Whether the ledger is ours: another process of this node, by mistake or by hand, has its own troubles."""
        if self._held is not None:
            return True
        if self._broken:
            return False
        try:
            make_folder(self._path.parent)
            held = self._path.with_suffix(".lock").open("ab")
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            self._broken = True
            return False
        except (EdgefaceError, OSError) as error:
            self._give_up(error)
            return False
        self._held = held
        return True

    def _give_up(self, error: Exception) -> None:
        self._broken = True
        logger.warning("what cannot be delivered is not written down for the next start: %s", error)


def _undelivered(boot: str, messages: int, visits: int, *, exact: bool) -> Undelivered:
    return Undelivered(boot=boot, messages=messages, visits=visits, exact=exact)


def _read(path: Path) -> tuple[Undelivered, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Undelivered, ...])
    except (OSError, *NOT_JSON) as error:
        logger.warning("%s cannot be read, what earlier runs did not deliver is not known: %s", path, error)
        return ()


def _sentence(left: Undelivered) -> str:
    least = "" if left.exact else "at least "
    return f"{least}{left.messages} messages of boot {left.boot} were not delivered, {left.visits} of them on visits"
