"""Keys that have a new name: the old one goes on working, says so in one line, and never stands beside the new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgeface.errors import ConfigError, one_line

RENAMED: Mapping[str, str] = {
    "detector.every": "detector.interval",
    "schedule.<name>.every": "schedule.<name>.interval",
    "schedule.<name>.first": "schedule.<name>.initial_interval",
    "schedule.<name>.looks": "schedule.<name>.initial_samples",
    "schedule.<name>.better": "schedule.<name>.improvement",
    "visits.update": "visits.update_interval",
}
"""Old key to new key, which differ in their last names. ``docs/deprecation.md`` says since when and until when."""
_DEPTH = max(len(old.split(".")) for old in RENAMED)


class Names:
    """The names of one place (a file, the environment, the command line), each as it is called now.

    Places override each other; within one place an old name and its new one contradict each other.
    """

    def __init__(self) -> None:
        self._written: dict[tuple[str, ...], str] = {}
        self._old: dict[tuple[str, ...], str] = {}

    def current(self, table: Sequence[str], name: str, *, where: str) -> str:
        """What a name in a table is called now.

        Raises
        ------
        ConfigError : the same place gives the key by its other name, too
        """
        key = (*table, name)
        renamed = _renamed(key)
        new = name if renamed is None else RENAMED[renamed].rpartition(".")[2]
        path = ".".join((*table, new))
        written = self._written.setdefault((*table, new), name)
        if written != name:
            old = ".".join((*table, written if name == new else name))
            raise ConfigError(f"{where}: {old} and {path} are one key, and both are given", fix=f"keep {path}")
        if renamed is not None:
            self._old[key] = path
        return new

    def tree(self, value: Any, table: Sequence[str] = (), *, where: str) -> Any:
        """A table's value with every name in it as it is called now; what is no table unchanged.

        Raises
        ------
        ConfigError : both names of one key
        """
        if not isinstance(value, dict) or len(table) >= _DEPTH:
            return value
        return {
            self.current(table, name, where=where): self.tree(inner, (*table, name), where=where)
            for name, inner in value.items()
        }

    def warnings(self, where: str) -> Iterator[str]:
        """One line for each old name."""
        for old, new in self._old.items():
            yield one_line(f"{where}: {'.'.join(old)} is called {new} now; the old name still works")

    def old_key(self, key: str) -> str | None:
        """The old name of a key (``schedule.<name>.interval``), if this place gives one like it."""
        used = {_renamed(path) for path in self._old}
        return next((old for old, new in RENAMED.items() if new == key and old in used), None)


def _renamed(path: Sequence[str]) -> str | None:
    """The old key in `RENAMED` that a path is, if it is one."""
    for old in RENAMED:
        parts = old.split(".")
        if len(parts) == len(path) and all(part in (name, "<name>") for part, name in zip(parts, path, strict=True)):
            return old
    return None
