"""Other processes that are ``edgeface run``, and for which node, by what configuration, each of them runs."""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeface.board import ROOT
from edgeface.config import CONFIG_PATHS, find_config, load_config, parse_override
from edgeface.errors import EdgefaceError
from edgeface.machine import node_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What a process runs for.

    Attributes
    ----------
    node : id in topics; None where its configuration does not hold any more
    path : its configuration file, resolved; None for the built-in one
    """

    node: str | None
    path: Path | None


def daemons(root: Path = ROOT) -> list[int]:
    """Numbers of other processes that are ``edgeface run``."""
    folders = (root / "proc").glob("[0-9]*")
    runs = (int(folder.name) for folder in folders if _words_of_run(_words(folder / "cmdline")) is not None)
    return sorted(number for number in runs if number != os.getpid())


def purpose(number: int, root: Path = ROOT) -> Purpose | None:
    """What one of them runs for, by its command line, environment and folder; None where we may not look at them."""
    folder = root / "proc" / str(number)
    try:
        variables = (word.partition("=") for word in _text(folder / "environ").split("\0"))
        environ = {name: value for name, _, value in variables if name}
        here = (folder / "cwd").readlink()
    except OSError:
        return None
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--config")
    parser.add_argument("--set", action="append", default=[])
    path = None
    try:
        given, _ = parser.parse_known_args(_words_of_run(_words(folder / "cmdline")) or [])
        found = find_config(given.config, environ, places=[here / place for place in CONFIG_PATHS])
        path = None if found is None else (here / found).resolve()
        overrides = dict(parse_override(text) for text in given.set)
        config = load_config(path, environ=environ, overrides=overrides, warn=lambda _: None)
    except (EdgefaceError, argparse.ArgumentError):
        return Purpose(node=None, path=path)
    return Purpose(node=node_id(config), path=path)


def _words(path: Path) -> list[str]:
    try:
        return _text(path).split("\0")
    except OSError:
        return []


def _text(path: Path) -> str:
    return os.fsdecode(path.read_bytes())


def _words_of_run(words: Sequence[str]) -> list[str] | None:
    """What follows ``.../edgeface run`` or ``python -m edgeface run``; None of another command line."""
    for at, (word, follower) in enumerate(itertools.pairwise(words[:5])):
        if follower == "run" and Path(word).name in {"edgeface", "__main__.py"}:
            return [word for word in words[at + 2 :] if word]
    return None
