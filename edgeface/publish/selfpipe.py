"""The self-pipe: another thread ends a wait for the network."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol


class Selectable(Protocol):
    """What has a descriptor: a socket, plain or TLS."""

    def fileno(self) -> int:
        """Number of the descriptor."""


def wait_for(
    readers: Sequence[Selectable], writers: Sequence[Selectable], timeout_s: float
) -> tuple[set[Selectable], set[Selectable]]:
    """Wait until a socket can be read or written, at most ``timeout_s``: those that can.

    ``poll`` and not ``select``: the latter fails for descriptors from 1,024 on.

    Raises
    ------
    OSError, ValueError : a socket that is closed
    """
    with selectors.PollSelector() as selector:
        for sock in {*readers, *writers}:
            wanted = (selectors.EVENT_READ if sock in readers else 0) | (
                selectors.EVENT_WRITE if sock in writers else 0
            )
            selector.register(sock, wanted, data=sock)
        ready = [(key.data, events) for key, events in selector.select(max(0.0, timeout_s))]
    return (
        {sock for sock, events in ready if events & selectors.EVENT_READ},
        {sock for sock, events in ready if events & selectors.EVENT_WRITE},
    )


class SelfPipe:
    """Ends a wait for the network from another thread; closed, it wakes nobody."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        self._writer.setblocking(False)

    def set(self) -> None:
        """End the wait that runs, or the next one."""
        with suppress(OSError):  # Full of wake-ups: it will wake. Or closed.
            self._writer.send(b"!")

    def clear(self) -> None:
        """Forget all wake-ups so far."""
        with suppress(BlockingIOError):
            while self.reader.recv(4096):
                pass

    def close(self) -> None:
        """Give both ends back; once nobody waits any more."""
        self.reader.close()
        self._writer.close()

    def wait(self, timeout_s: float) -> None:
        """Sleep until woken or ``timeout_s`` have passed."""
        wait_for([self.reader], [], timeout_s)
        self.clear()
