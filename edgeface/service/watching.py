"""Whether a file has changed."""

from __future__ import annotations

from pathlib import Path

EVERY_S = 5.0
"""Between two looks."""


class Watch:
    """Looks at one file, which another program writes at once and whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._due_s = float("-inf")
        self._stamp = self._look()

    def changed(self, now_s: float) -> bool:
        """Whether it was written, made or taken away since the last call that said so; asked every few seconds."""
        if now_s < self._due_s:
            return False
        self._due_s = now_s + EVERY_S
        before, self._stamp = self._stamp, self._look()
        return before != self._stamp

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns
