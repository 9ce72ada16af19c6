"""A disk that is full is one line, whichever library was writing, and nothing half-written stays."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny

from converters import __main__ as command_line
from converters.building.parts import beside
from converters.bundles.build import make_all
from converters.paths import ROOT
from converters.recipes.reading import read_recipe
from edgeface.errors import EdgefaceError

RECIPE = """
family = "vgg48"
task = "expression"
title = "Untrained"
paper = "none"
licence = "none"
training_data = "none"
limits = "none"
weights = "random"
files = { litert = ["fp32"] }
options = { form = "plain", labels = 7 }
input = { color = "grey", mean = [0.0], scale = 0.004, height = 48, width = 48, crop = { kind = "square" } }
prepared = { batches = [1] }

[head]
kind = "categorical"
output = "probabilities"
labels = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
"""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte; skips where this user may not mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_tflite_on_a_full_disk(small: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "untrained.toml"
    recipe.write_text(RECIPE, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "converters", "build", str(recipe)],
        cwd=ROOT,
        env={**os.environ, "EDGEFACE_BUILD": str(small), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith("edgeface: ")
    assert line.endswith("untrained.fp32.tflite cannot be written: No space left on device; free some room")
    assert "Traceback" not in done.stderr
    assert [path for path in small.rglob("*") if path.is_file()] == []


def test_what_a_build_left_that_was_ended_is_swept(tmp_path: Path) -> None:
    dead = tmp_path / f".edgeface-{2**22 + 1}-net.tflite"  # no process has a number that high
    living = tmp_path / f".edgeface-{os.getppid()}-net.tflite"
    dead.touch()
    living.touch()
    with beside(tmp_path / "net.tflite") as part:
        part.write_bytes(b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"net.tflite", living.name}


def test_a_full_disk_elsewhere_is_a_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/scratch/plain.onnx")

    monkeypatch.setattr("converters.cli.list.run", full)
    assert command_line.main(["list"]) == 1
    assert capsys.readouterr().err == (
        "edgeface: /scratch/plain.onnx cannot be written: No space left on device; free some room\n"
    )


def test_a_conversion_that_was_ended_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pool(Executor):
        """Of processes, one of which the system ends."""

        def submit(self, *_: object, **__: object) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool("ended"))
            return future

    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "products"))
    first = write_tiny(tmp_path)
    bundle = tmp_path / "two.toml"
    (tmp_path / "other.toml").write_text(first.read_text("utf-8"), "utf-8")
    bundle.write_text('name = "two"\nversion = "1"\nnetworks = ["tiny.toml", "other.toml"]\n', "utf-8")
    with pytest.raises(EdgefaceError, match="ended from outside.*; give fewer --jobs"):
        make_all(read_recipe(str(bundle)), jobs=2, executor=lambda _: Pool())
