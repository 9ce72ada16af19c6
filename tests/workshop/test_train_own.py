"""A labelled folder of one's own trains a shipped family, or a network of own code, by a recipe of a few lines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from own_module import write_own

from converters.__main__ import main
from converters.building.pinning import pin
from converters.recipes.reading import RECIPES, read_network, recipe_path
from converters.references.torch_module import load_module

COUNT = 16

MODULE = '''
from torch import nn


class Net(nn.Module):
    """Grey 8x8 -> two shares; nothing says what it gives."""

    def __init__(self, width=3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, width, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten())
        self.last = nn.Linear(width * 16, 2)

    def forward(self, x):
        return self.last(self.body(x)).softmax(1)
'''

TRAINING = """
network = "own.toml"
seed = 5
data = [{ set = "own", folder = "faces" }]
validation = { sets = [{ set = "own", part = "val", folder = "faces" }], score = { "own gender accuracy" = 1.0 } }
schedule = { epochs = 12, batch = 4, rate = 0.01, ema = 0.5, precision = "float32" }
augment = { light = 0, occlusion = 0, equalise = 0, shift = 0.02 }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The astronaut, dark as M and bright as F; and a network of one's own for gender."""
    face = np.ascontiguousarray(skimage.data.astronaut()[30:230, 130:320, ::-1])
    (tmp_path / "faces").mkdir()
    lines = ["path,gender"]
    for number in range(COUNT):
        dark = number % 2 == 0
        cv2.imwrite(str(tmp_path / "faces" / f"{number}.png"), face // 2 - number if dark else face)
        lines.append(f"{number}.png,{'M' if dark else 'F'}")
    for part in ("train", "val"):
        (tmp_path / "faces" / f"{part}.csv").write_text("\n".join(lines) + "\n")
    recipe = write_own(tmp_path)
    (tmp_path / "mine.py").write_text(MODULE)
    text = recipe.read_text("utf-8").replace('task = "expression"', 'task = "gender"').partition("labels =")[0]
    recipe.write_text(
        text.replace('[source]\nregistry = "file"\npath = "mine.pth"\n', "") + 'labels = ["female", "male"]\n'
    )
    (tmp_path / "training.toml").write_text(TRAINING)
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    return [
        "train",
        str(folder / "training.toml"),
        "--cache",
        str(folder / "cache"),
        "--out",
        str(folder / "out"),
        *more,
    ]


def test_a_network_of_ones_own_learns_ones_own_faces(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder)) == 0, capsys.readouterr().err
    record = json.loads((folder / "out" / "training.json").read_text())
    assert record["training"]["own train"]["faces"] + record["training"]["own train"]["missed"] == COUNT
    assert record["best"]["figures"]["own gender accuracy"] > 80
    assert record["network_recipe"]["family"] == "mine.py:Net"
    assert str(folder) not in (folder / "out" / "training.json").read_text()


def test_it_goes_on_from_weights_of_ones_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from converters.networks.own import load_own

    torch.manual_seed(1)
    torch.save(load_own(folder / "mine.py", "Net", {}).state_dict(), folder / "mine.pth")
    text = (folder / "training.toml").read_text()
    (folder / "training.toml").write_text('start = { checkpoint = "mine.pth" }\n' + text)
    assert main(arguments(folder, "--dry-run")) == 0, capsys.readouterr().err
    assert "starts from the weights of mine.pth" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "words"),
    [
        pytest.param("0.png,X", "train.csv, line 18: gender 'X' is none of M, F", id="label out of range"),
        pytest.param("none.png,M", "none.png cannot be read", id="missing picture"),
        pytest.param("0.png", "1 cells, expected 2", id="short row"),
    ],
)
def test_a_wrong_row_is_one_line(folder: Path, row: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = folder / "faces" / "train.csv"
    table.write_text(table.read_text() + row + "\n")
    assert main(arguments(folder)) == 2 or "none.png" in row
    said = capsys.readouterr().err.splitlines()
    assert words in said[-1], said
    assert not (folder / "out").exists()


FINE = """
network = "age-gender-compact"
start = { network = "age-gender-compact" }
data = [{ set = "own", folder = "faces" }]
validation = { sets = [{ set = "own", folder = "faces" }], score = { "own gender accuracy" = 1.0 } }
schedule = { epochs = 4, batch = 4, rate = 1e-3 }
"""


def test_a_network_that_ships_is_fine_tuned_and_its_weights_become_a_network_and_are_pinned(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the recipe of the documentation; then both ways on: a recipe of one's own, and `pin`."""
    for part in ("train", "val"):
        table = folder / "faces" / f"{part}.csv"
        rows = table.read_text().replace("gender", "gender,age").replace(",M", ",M,20").replace(",F", ",F,60-69")
        table.write_text(rows)
    (folder / "training.toml").write_text(FINE)
    assert main(arguments(folder)) == 0, capsys.readouterr().err
    made = folder / "out" / "training.safetensors"
    record = json.loads(made.with_suffix(".json").read_text())
    recipe = recipe_path("age-gender-compact").read_text("utf-8")
    assert record["start_sha256"] in recipe
    assert record["start"] == "age-gender-compact: 88 of 88 tensors", "it begins as all of what ships"
    first, *_, last = (sum(row["loss"].values()) for row in record["curve"])
    assert last < 0.9 * first
    assert record["best"]["figures"]["own gender accuracy"] >= 90

    recipes = folder / "recipes"
    shutil.copytree(RECIPES, recipes)
    kept, *_ = pin("age-gender-compact", made, recipes=recipes, weights=folder / "weights")
    assert kept.read_bytes() == made.read_bytes()
    _, pinned = read_network("age-gender-compact", recipes)
    assert pinned.source is not None
    assert pinned.source.sha256 == record["weights_sha256"]

    (folder / "mine.toml").write_text(
        recipe.partition("[variants")[0]
        .replace('registry = "own"', 'registry = "file"')
        .replace('path = "age-gender-compact-fairface-steadier.safetensors"', 'path = "out/training.safetensors"')
        .replace(record["start_sha256"], record["weights_sha256"])
    )
    built, mine = read_network(str(folder / "mine.toml"))
    assert (built, list(mine.also)) == ("mine", ["gender"])
    weights = load_module(mine).state_dict()
    shipped = load_module(read_network("age-gender-compact")[1]).state_dict()
    assert not torch.equal(weights["heads.gender.weight"], shipped["heads.gender.weight"])


def test_somebody_in_both_parts_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "val"):
        table = folder / "faces" / f"{part}.csv"
        head, *rows = table.read_text().splitlines()
        named = [f"{row},{part if number else 'ann'}" for number, row in enumerate(rows)]
        table.write_text("\n".join([f"{head},group", *named, ""]))
    assert main(arguments(folder)) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].endswith("set own: group ann is both in train and in val; keep each group in one part"), said
    assert not (folder / "out").exists()


def test_a_question_that_nobody_labelled_is_not_trained_by_chance(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "training.toml").read_text().replace("own.toml", "age-gender-compact")
    (folder / "training.toml").write_text(text)
    assert main(arguments(folder)) == 2
    assert "no training face has a label for age; name a set that has, or say [loss.age]" in capsys.readouterr().err
    (folder / "training.toml").write_text(text + 'loss = { age = { kind = "distribution", weight = 0 } }\n')
    assert main(arguments(folder, "--dry-run")) == 0
