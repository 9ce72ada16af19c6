"""A file of any kind that somebody named: described as a network, as a checkpoint, or as both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from converters.checkpoints.reading import kind_of
from converters.formats.errors import CheckpointError
from converters.inspection.facts import FileFacts
from converters.inspection.network_file import NETWORKS, companions_of, describe_network, read_file


def examine(path: Path) -> dict[str, Any]:
    """Everything that can be said of a file, as plain data.

    Raises
    ------
    UsageError : there is no such file
    CheckpointError : it cannot be read
    """
    from converters.inspection.checkpoint import describe_checkpoint  # torch takes seconds

    data = read_file(path)
    companions = companions_of(path, data)
    if kind_of(path.name) in NETWORKS:
        return _with_fits(describe_network(data, str(path), companions), data, companions, path)
    return dict(msgspec.to_builtins(describe_checkpoint(data, str(path), companions)))


def _with_fits(facts: FileFacts, data: bytes, companions: Mapping[str, bytes], path: Path) -> dict[str, Any]:
    """What is said of a network file, and which architecture of ours its weights fit."""
    from converters.inspection.checkpoint import describe_checkpoint

    try:
        found = msgspec.to_builtins(describe_checkpoint(data, str(path), companions))
    except CheckpointError as error:
        found = {"nearest": f"its weights cannot be read: {error.what}"}
    return dict(msgspec.to_builtins(facts)) | {key: found[key] for key in ("fits", "nearest") if key in found}
