"""Variants of a training recipe side by side: trained where they are not yet, told in one table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_training import RECIPE, write_training

from benchmarks import trainings
from converters.__main__ import main

RECIPES = f"""{RECIPE}
[variants.short]
schedule.epochs = 2

[variants.broken]
schedule.rate = 3
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trainings that were begun, in this process instead of one of their own."""
    names: list[str] = []

    def train(recipe: str, name: str, folder: Path, options: Sequence[str]) -> bool:
        names.append(name)
        word = recipe if name == trainings.PLAIN else f"{recipe}@{name}"
        return main(["train", word, "--out", str(folder), *options]) == 0

    monkeypatch.setattr(trainings, "train", train)
    return names


def compare(monkeypatch: pytest.MonkeyPatch, recipe: Path, *words: str) -> None:
    folder = recipe.parent
    common = ["--data", str(folder / "data"), "--cache", str(folder / "cache"), "--out", str(folder / "out")]
    monkeypatch.setattr(sys, "argv", ["trainings", str(recipe), *words, *common])
    trainings.main()


def test_what_is_not_finished_is_trained_and_all_stands_in_one_table(
    tmp_path: Path, started: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_training(tmp_path, RECIPES.partition("[variants.broken]")[0])
    compare(monkeypatch, recipe, "short")
    assert started == ["short"]
    compare(monkeypatch, recipe)
    assert started == ["short", "plain"], "what is finished is not trained again"
    capsys.readouterr()
    compare(monkeypatch, recipe, "--table")
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| variant | fer2013 accuracy | epochs | core-minutes |"
    assert [row.split(" | ")[0] for row in rows] == ["| plain", "| short"]
    assert [row.split(" | ")[2] for row in rows] == ["4", "2"]
    assert len(started) == 2


def test_a_variant_that_does_not_hold_is_one_line(
    tmp_path: Path, started: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_training(tmp_path, RECIPES)
    with pytest.raises(SystemExit) as stopped:
        compare(monkeypatch, recipe)
    assert stopped.value.code == 2
    assert "Expected `float` <= 1.0" in capsys.readouterr().err.splitlines()[-1]
    assert started == []
