"""Copies of the default bundle with something changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from edgeface.bundle import open_bundle
from edgeface.config import Config, Runtime
from edgeface.config import Detector as DetectorTable
from edgeface.worker import Networks

DEFAULT = Path(__file__).parents[1] / "models" / "default"
Tree = dict[str, Any]


def copy(folder: Path, change: Callable[[Tree], object] = lambda _tree: None) -> Path:
    """Copy the whole bundle; ``change`` edits the manifest's tree in place."""
    made = folder / "bundle"
    shutil.copytree(DEFAULT, made)
    path = made / "manifest.json"
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))
    return made


def network(tree: Tree, name: str) -> Tree:
    """Look up a network in a manifest's tree."""
    found: Tree = next(network for network in tree["networks"] if network["name"] == name)
    return found


@cache
def networks(runtime: str = "onnx", detector: str = "yunet", *, still: bool = True) -> Networks:
    """Load the default bundle's networks once per test process."""
    config = Config(
        runtime=Runtime(name=runtime, threads=1),  # type: ignore[arg-type]
        detector=DetectorTable(network=detector),
    )
    return Networks(open_bundle(DEFAULT), config, still=still)
