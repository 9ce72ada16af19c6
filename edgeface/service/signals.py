"""What signals ask of the daemon. Caught before anything slow: this module imports nothing that is."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from types import FrameType


class Signals:
    """SIGTERM and SIGINT stop, SIGHUP reloads or stops; the handler only writes down what was asked.

    A second SIGTERM or SIGINT ends the process at once: whoever asks twice does not want to wait for the broker. While
    the program starts, a stop interrupts it. What the parent ignores for us (``nohup``) stays ignored.

    SIGHUP stops when the terminal has gone, and when a person started the program in one without a service manager;
    else it asks for the configuration to be read again, any number of times in a row for one reading.

    Parameters
    ----------
    environ : ``NOTIFY_SOCKET``, and ``SYSTEMD_EXEC_PID`` with our own number, tell of a service manager

    Attributes
    ----------
    stop : number of the signal that asked to stop, None while none has
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.stop: int | None = None
        self._managed = bool(environ.get("NOTIFY_SOCKET")) or environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())
        self._terminal = _has_terminal()
        self._interactive = any(os.isatty(stream) for stream in (0, 1, 2))
        self._starting = True
        self._reload = False
        self._unraisable = sys.unraisablehook

    def catch(self) -> Signals:
        """Begin to listen; from the main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        sys.unraisablehook = self._on_unraisable
        return self

    def interruptible(self) -> None:
        """Let an interrupt be an exception again, where ``edgeface/__main__.py`` has let it end the program."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def started(self) -> None:
        """From now on a stop is noticed by who asks for `stop`, and interrupts nothing."""
        self._starting = False
        sys.unraisablehook = self._unraisable

    def take_reload(self) -> bool:
        """Whether a reload was asked for since the last call."""
        asked, self._reload = self._reload, False
        return asked

    @property
    def exit_code(self) -> int:
        """What the process ends with after a stop: 130 for Ctrl-C, as shells expect, else 0."""
        return 130 if self.stop == signal.SIGINT else 0

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGHUP and (self.stop is not None or self._means_reload()):
            self._reload = True
            return
        if self.stop is not None:
            os._exit(128 + number)
        self.stop = number
        if self._starting:
            raise SystemExit(self.exit_code)

    def _on_unraisable(self, told: sys.UnraisableHookArgs) -> None:
        # Python swallows what is raised in the callback of a weak reference, as of each import: the start would go on.
        if self._starting and self.stop is not None and isinstance(told.exc_value, SystemExit):
            os._exit(self.exit_code)
        self._unraisable(told)

    def _means_reload(self) -> bool:
        if self._terminal and not _has_terminal():
            return False
        return self._managed or not self._interactive


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal; one that was closed is gone."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
