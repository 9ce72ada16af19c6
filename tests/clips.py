"""The demo's clips, checked by sha256; a test that wants one skips with a word where they cannot be fetched."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path

import pytest

from edgeface.errors import SourceError

DEMO = Path(__file__).parents[1] / "scripts" / "demo.py"


def clip(name: str) -> Path:
    """Path of one clip."""
    folder = _folder()
    if isinstance(folder, str):
        pytest.skip(f"the clips cannot be fetched: {folder}")
    return folder / name


@cache
def _folder() -> Path | str:
    try:
        return fetch()
    except SourceError as error:
        return str(error)


def fetch() -> Path:
    """Folder of all clips.

    Raises
    ------
    SourceError : they are not here and cannot be fetched
    """
    spec = importlib.util.spec_from_file_location("edgeface_demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    # Its data classes look their module up.
    sys.modules[spec.name] = demo
    spec.loader.exec_module(demo)
    folder: Path = demo.fetch_clips()
    return folder
