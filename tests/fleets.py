"""Tables of nodes, provisioned into folders of a test."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgeface.provisioning import Orders, Report, provision

NOW = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
Tree = Mapping[str, tuple[bytes, int]]


class Fleet:
    """A folder, the table beside it, and an address of a broker."""

    def __init__(self, folder: Path, broker: str = "127.0.0.1") -> None:
        self.table, self.out = folder / "nodes.csv", folder / "fleet"
        self._broker = broker

    def write(self, *rows: str, head: str = "name;auth;cameras") -> Path:
        self.table.write_text("\n".join([head, *rows]) + "\n")
        return self.table

    def run(self, *rows: str, now: datetime = NOW, **orders: Any) -> Report:
        """Provision these rows, or the same as before."""
        if rows:
            self.write(*rows)
        given = {"broker": self._broker, "broker_folder": str(self.out / "broker"), **orders}
        return provision(self.table, self.out, Orders(**given), now=now)

    def node(self, name: str, file: str) -> Path:
        return self.out / "nodes" / name / file

    def tree(self) -> Tree:
        """Bytes and time of every file."""
        return {
            str(path.relative_to(self.out)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(self.out.rglob("*"))
            if path.is_file()
        }

    def changed(self, before: Tree) -> set[str]:
        """Files that are other ones than before, were not there, or are gone; the authority's books left out."""
        after = self.tree()
        names = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        return {name for name in names if not name.startswith("ca/")}
