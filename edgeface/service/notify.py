"""systemd's notify protocol: one datagram per word. See sd_notify(3); a library would be larger than this."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

logger = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""For the words that are said once; the others are said again soon, and a busy manager is not waited for."""


class Notifier:
    """Tells the service manager how we fare; does nothing where none listens.

    Parameters
    ----------
    environ : ``NOTIFY_SOCKET`` names a unix datagram socket, an ``@`` at its start an abstract one
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._status = ""

    def ready(self) -> None:
        """Start-up is complete, or a reload, whether it was taken or not."""
        self._send("READY=1", PATIENCE_S)

    def reloading(self, monotonic_us: int) -> None:
        """The configuration is read again, until `ready`; ``monotonic_us`` is when, by the monotonic clock.

        A unit of ``Type=notify-reload`` (systemd 253) asks for the time; older managers pass it over.
        """
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_us}", PATIENCE_S)

    def extend(self, seconds: float) -> None:
        """Ask for so many seconds from now on before a start counts as hung."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}", PATIENCE_S)

    def watchdog(self) -> None:
        """The worker has finished a turn."""
        self._send("WATCHDOG=1", 0.0)

    def stopping(self) -> None:
        """A clean stop has begun."""
        self._send("STOPPING=1", PATIENCE_S)

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent only when it changes."""
        # A line break would begin another word.
        text = text.replace("\n", " ")
        if text != self._status and self._send(f"STATUS={text}", 0.0):
            self._status = text

    def _send(self, word: str, patience_s: float) -> bool:
        """Whether it was handed over; the kernel keeps about ten datagrams for a manager that does not read."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(patience_s)
                sender.connect(self._address)
                sender.sendall(word.encode())
        except OSError as error:
            # A manager that does not listen must not stop the work; it will notice by itself.
            logger.debug("service manager not told %s: %s", word, error)
            return False
        return True
