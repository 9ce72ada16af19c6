"""Weights that were trained here are kept under the recipe's name, and pinned there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_training import NETWORK

from converters.building.pinning import pin
from converters.networks import make_network
from converters.recipes.reading import read_network
from edgeface.errors import EdgefaceError, UsageError

OLD, WIDE = "0" * 64, "1" * 64
SOURCE = f"""[source]
registry = "own"
path = "kept.safetensors"
sha256 = "{OLD}"
"""


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """One network whose weights are trained here, and a wider variant with weights of its own."""
    folder = tmp_path / "recipes"
    (folder / "networks").mkdir(parents=True)
    text = NETWORK.replace('weights = "random"\n', "")
    text += f'{SOURCE}[variants.wide]\noptions.width = 3\nsource = {{ path = "wide.safetensors", sha256 = "{WIDE}" }}\n'
    (folder / "networks" / "made.toml").write_text(text)
    (folder / "networks" / "random.toml").write_text(NETWORK)
    return folder


def weights(path: Path, width: int) -> Path:
    options: dict[str, Any] = {
        "channels": 1, "width": width, "stem_stride": 2,
        "heads": {"expression": {"kind": "softmax", "length": 7}},
    }  # fmt: skip
    torch.manual_seed(width)
    save_file(
        {name: value.contiguous() for name, value in make_network("dense_residual", options).state_dict().items()}, path
    )
    return path


@pytest.mark.parametrize(
    ("name", "width", "kept"), [("made", 2, "kept"), ("made@wide", 3, "wide"), ("made-wide", 3, "wide")]
)
def test_weights_are_kept_with_their_record_and_pinned(
    name: str, width: int, kept: str, recipes: Path, tmp_path: Path
) -> None:
    path = weights(tmp_path / "run.safetensors", width)
    path.with_suffix(".json").write_text("{}")
    path.with_suffix(".log").write_text("epoch 1\n")
    place = tmp_path / "weights"
    written = pin(name, path, recipes=recipes, weights=place)
    assert written == [
        place / f"{kept}.safetensors",
        recipes / "networks" / "made.toml",
        place / f"{kept}.json",
        place / f"{kept}.log",
    ]
    source = read_network(name, recipes)[1].source
    assert source is not None
    assert source.sha256 == hashlib.sha256((place / source.path).read_bytes()).hexdigest()
    other = WIDE if name == "made" else OLD
    assert other in (recipes / "networks" / "made.toml").read_text(), "the other's pin stays"


def test_what_does_not_fit_changes_nothing(recipes: Path, tmp_path: Path) -> None:
    path = weights(tmp_path / "run.safetensors", 3)
    before = (recipes / "networks" / "made.toml").read_text()
    with pytest.raises(EdgefaceError, match="does not fit"):
        pin("made", path, recipes=recipes, weights=tmp_path / "weights")
    with pytest.raises(UsageError, match="recipe random names no weights that were trained here"):
        pin("random", path, recipes=recipes, weights=tmp_path / "weights")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        pin("made", tmp_path / "gone.safetensors", recipes=recipes, weights=tmp_path / "weights")
    assert (recipes / "networks" / "made.toml").read_text() == before
    assert not (tmp_path / "weights").exists()
