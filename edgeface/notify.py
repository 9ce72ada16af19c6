"""systemd's notify protocol: one datagram per word. See sd_notify(3); a library would be larger than this."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

logger = logging.getLogger(__name__)


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
        """Start-up is complete."""
        self._send("READY=1")

    def watchdog(self) -> None:
        """The worker has finished a turn."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """A clean stop has begun."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent only when it changes."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def _send(self, word: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                # A manager that does not read must not hold up the work.
                sender.setblocking(False)
                sender.connect(self._address)
                sender.sendall(word.encode())
        except OSError as error:
            # A manager that does not listen must not stop the work; it will notice by itself.
            logger.debug("service manager not told %s: %s", word, error)
