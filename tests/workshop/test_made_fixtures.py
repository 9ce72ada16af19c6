"""The files in tests/fixtures are what `made` makes of its networks with these tools."""

from __future__ import annotations

from pathlib import Path

import made
import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("again")
    made.write(folder)
    return folder


@pytest.mark.parametrize("name", ["answers.onnx", "step.onnx", "answers.tflite", "step.tflite"])
def test_fixtures_are_what_their_maker_makes(again: Path, name: str) -> None:
    assert (again / name).read_bytes() == (FIXTURES / name).read_bytes()


def test_nothing_else_lies_there(again: Path) -> None:
    hostile = ["endless.onnx", "greedy.onnx"]  # made by hostile.py
    assert sorted(path.name for path in FIXTURES.iterdir()) == sorted([*hostile, *(p.name for p in again.iterdir())])
