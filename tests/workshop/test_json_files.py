"""Committed JSON is as its writers write it: what is made again changes the lines of its own figures and no other."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from converters.building.entry import encode
from converters.export.ranges import RangesFile, write_ranges
from converters.formats.json_files import write_json
from converters.paths import BUNDLE, ROOT
from edgeface.bundle import MANIFEST, Manifest

COMMITTED = sorted((ROOT / "converters").rglob("*.json"))


@pytest.mark.parametrize("committed", COMMITTED, ids=lambda path: path.name)
def test_a_committed_file_is_as_it_is_written(committed: Path, tmp_path: Path) -> None:
    path = tmp_path / committed.name
    data = committed.read_bytes()
    if committed.name.endswith(".ranges.json"):
        write_ranges(path, msgspec.json.decode(data, type=RangesFile))
    elif committed.name.endswith(".manifest.json"):
        path.write_bytes(encode(msgspec.json.decode(data)))
    else:
        write_json(path, msgspec.json.decode(data))
    assert path.read_bytes() == data


def test_the_shipped_manifest_is_as_it_is_written() -> None:
    data = (BUNDLE / MANIFEST).read_bytes()
    assert encode(msgspec.json.decode(data, type=Manifest)) == data
