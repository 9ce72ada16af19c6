"""What our own code does: the modules that one reaches by imports, and of each what can change a file.

A module counts by its syntax tree without docstrings and other bare strings; comments, blank lines and the folds of a
line are not in it. What Python runs is all that is left.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLLOWED = (
    "converters.checkpoints",
    "converters.export",
    "converters.formats",
    "converters.networks",
    "converters.paths",
    "converters.references",
    "edgeface.crop",
    "edgeface.geometry",
    "edgeface.runtime.tensor",
)
"""Modules, and packages with all that is in them, that imports are followed into. The others check and describe, or
hold types and values (a recipe's stand in the stamp themselves)."""
PASSED_OVER = ("converters.networks",)
"""The package's own file is a table of all families: one more of them changes nobody's file."""


class Place(NamedTuple):
    """A folder in which modules are looked for; of one's own folder (``followed`` empty) all modules are followed."""

    folder: Path
    followed: Sequence[str] = ()

    def find(self, module: str) -> Path | None:
        """File of a module that is followed, or None."""
        known = not self.followed or any(module == name or module.startswith(f"{name}.") for name in self.followed)
        if not known or module in PASSED_OVER:
            return None
        path = self.folder.joinpath(*module.split("."))
        return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)


def reached(roots: Iterable[Path], places: Sequence[Place]) -> list[Path]:
    """Files of the roots and of every module that they reach by imports, those inside functions included; sorted.

    Raises
    ------
    FileNotFoundError : a root that is no file: a module that moved must not drop out of a stamp in silence
    """
    waiting, found = list(roots), set[Path]()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            names = _imports(path.read_text("utf-8"))
            own = any(not place.followed and path.is_relative_to(place.folder) for place in places)
            near = [*places, Place(path.parent)] if own else places  # a package of one's own may import by dots
            waiting += [held for name in names for place in near if (held := place.find(name)) is not None]
    return sorted(found)


@cache
def code_of(source: str) -> str:
    """A module's source without what Python does not run; whole where it is no Python, which whoever runs it says."""
    tree = _parsed(source)
    if tree is None:
        return source
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_bare_string(line)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


@cache
def _imports(source: str) -> tuple[str, ...]:
    """Names of modules that a source may import; of ``from a import b`` both ``a`` and ``a.b``."""
    tree = _parsed(source)
    return () if tree is None else tuple(dict.fromkeys(_imported(tree)))


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except SyntaxError:
        return None


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from (name for alias in node.names for name in (module, f"{module}.{alias.name}".strip(".")) if name)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue  # not imported when it runs
        else:
            yield from _imported(node)


def _is_bare_string(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
