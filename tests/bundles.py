"""Copies of the default bundle with something changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgeface.bundle import open_bundle
from edgeface.config import Config, Runtime
from edgeface.config import Detector as DetectorTable
from edgeface.engine.networks import Networks
from edgeface.runtime import Runner, RunnerWrapper
from edgeface.types import F32

DEFAULT = Path(__file__).parents[1] / "models" / "default"
FIXTURES = Path(__file__).parent / "fixtures"
Tree = dict[str, Any]

AGE, GENDER, EXPRESSION = (
    str(json.loads((DEFAULT / "manifest.json").read_text())["defaults"][task])
    for task in ("age", "gender", "expression")
)
"""Networks of the bundle that ships, by what they answer; one may answer several questions."""

PICTURE = np.full((1, 8, 8, 1), 102, np.uint8)
"""Two fifths of white."""
EXPECTED = {
    "answers": {
        "years": np.array([[40.0]], np.float32),
        "gender": np.array([[0.4, 0.6]], np.float32),
        "affect": np.array([[-0.2, 0.25]], np.float32),
    },
    "step": {
        "ranks": (1 / (1 + np.exp(-10 * (0.5 - np.arange(12)))))[None].astype(np.float32),
        "counted": np.array([[1.0]], np.float32),
    },
}
ENTRIES: dict[str, Tree] = {
    "answers": {
        "task": "age",
        "head": {"kind": "regression", "output": "years", "error_years": 6.0},
        "also": {
            "gender": {"kind": "categorical", "labels": ["female", "male"], "output": "gender"},
            "affect": {"kind": "affect", "output": "affect"},
        },
    },
    "step": {
        "task": "age",
        "head": {"kind": "coral", "output": "ranks", "lowest": 20, "ranks": 12},
        "time": {
            "spacing_s": 0.2,
            "window": 20,
            "states": [{"input": "count", "output": "counted", "shape": [1]}],
        },
    },
}
"""What the manifest says of the networks in tests/fixtures, which tests/workshop/made.py makes and describes."""


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


def add_made(made: Path, name: str, **changes: Any) -> Path:
    """Put a network of tests/fixtures into a copied bundle; ``changes`` replace keys of its entry."""
    path = made / "manifest.json"
    tree = json.loads(path.read_text())
    expected = EXPECTED[name]
    np.savez(made / "selftest" / f"{name}.npz", input=PICTURE, **expected)
    states = [state["input"] for state in ENTRIES[name].get("time", {}).get("states", [])]
    onnx = {
        "runtime": "onnx",
        "layout": "NCHW",
        "input": "input",
        "outputs": {output: output for output in expected},
        "batches": [1, 4],
    }
    litert = {
        "runtime": "litert",
        "layout": "NHWC",
        "input": "args_0",
        "inputs": {state: f"args_{number}" for number, state in enumerate(states, start=1)},
        "outputs": {output: f"output_{number}" for number, output in enumerate(expected)},
        "signatures": [{"key": f"b{batch}", "batch": batch, "width": 8, "height": 8} for batch in (1, 4)],
    }
    for file, ending in ((onnx, "onnx"), (litert, "tflite")):
        shutil.copy(FIXTURES / f"{name}.{ending}", made)
        file |= {"precision": "fp32", **stated(made, f"{name}.{ending}")}
    words = dict.fromkeys(("title", "paper", "licence", "training_data", "limits"), "made for a test")
    entry = {
        "name": name,
        **words,
        "source": {"registry": "random"},
        "input": {
            "color": "grey",
            "mean": [0.0],
            "scale": 1 / 255,
            "height": 8,
            "width": 8,
            "crop": {"kind": "square"},
        },
        "files": {"onnx": [onnx], "litert": [litert]},
        "selftest": stated(made, f"selftest/{name}.npz"),
        "parameters": 0,
        **ENTRIES[name],
        **changes,
    }
    tree["networks"].append(entry)
    path.write_text(json.dumps(tree))
    return made


def write_manifest(folder: Path, change: Callable[[Tree], object]) -> None:
    """Edit the manifest of a bundle in place."""
    path = folder / "manifest.json"
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))


def stated(folder: Path, path: str) -> Tree:
    """What a manifest says of a file."""
    data = (folder / path).read_bytes()
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@cache
def networks(runtime: str = "onnx", detector: str = "yunet", *, still: bool = True) -> Networks:
    """Load the default bundle's networks once per test process."""
    config = Config(
        runtime=Runtime(name=runtime, threads=1),  # type: ignore[arg-type]
        detector=DetectorTable(network=detector),
    )
    return Networks(open_bundle(DEFAULT), config, still=still)


class SpoiledRunner(RunnerWrapper):
    """A kernel or a processor that computes something else, in numbers of the right size."""

    def __init__(self, runner: Runner, spoil: Callable[[F32], F32]) -> None:
        super().__init__(runner)
        self._spoil = spoil

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        return {name: self._spoil(array) for name, array in super().run(batch, states).items()}
