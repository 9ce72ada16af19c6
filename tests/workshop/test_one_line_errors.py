"""What goes wrong on the real command line is one line with its fix; no traceback, nothing half-written."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from tiny import write_tiny

from converters.networks import make_network
from converters.paths import BUNDLE, ROOT
from edgeface.bundle import MANIFEST

PROGRESS = re.compile(r"tiny: (making|calibrating) tiny\.\S+|\(INFO\) .*")
"""What may stand before the line: which file was begun."""


def change(recipe: Path, *pairs: tuple[str, str]) -> None:
    text = recipe.read_text("utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    recipe.write_text(text, "utf-8")


def of_torch(recipe: Path, checkpoint: bytes) -> None:
    """Make the recipe one of a `.pth` file for a family that is known."""
    recipe.with_name("mine.pth").write_bytes(checkpoint)
    change(
        recipe,
        ('task = "gender"', 'family = "vgg48"\ntask = "expression"\noptions = { form = "plain", labels = 2 }'),
        ("made.onnx", "mine.pth"),
        ('color = "rgb"\nmean = [127.5, 127.5, 127.5]', 'color = "grey"\nmean = [127.5]'),
        ("height = 16\nwidth = 16", "height = 48\nwidth = 48"),
    )


def state(renamed: str = "") -> bytes:
    tensors = dict(make_network("vgg48", {"form": "plain", "labels": 2}).state_dict())
    if renamed:
        tensors["another." + renamed] = tensors.pop(renamed)
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def corrupt_checkpoint(recipe: Path) -> list[str]:
    of_torch(recipe, state()[:-4000])
    return ["converters", "build", str(recipe)]


def wrong_hash(recipe: Path) -> list[str]:
    change(recipe, ('path = "made.onnx"', f'path = "made.onnx"\nsha256 = "{"0" * 64}"'))
    return ["converters", "build", str(recipe)]


def renamed_tensor(recipe: Path) -> list[str]:
    of_torch(recipe, state("stages.0.0.weight"))
    return ["converters", "build", str(recipe)]


def typo(recipe: Path) -> list[str]:
    change(recipe, ("licence =", "license ="))
    return ["converters", "build", str(recipe)]


def typo_in_options(recipe: Path) -> list[str]:
    of_torch(recipe, state())
    change(recipe, ('form = "plain"', 'from = "plain"'))
    return ["converters", "build", str(recipe)]


def three_pictures(recipe: Path) -> list[str]:
    change(recipe, ('"int8w"', '"int8"'))
    folder = recipe.with_name("pictures")
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((64, 64, 3), 90, np.uint8))
    return ["converters", "calibrate", str(recipe), "--pictures", str(folder)]


def no_ranges(recipe: Path) -> list[str]:
    change(recipe, ('"int8w"', '"int8"'))
    return ["converters", "build", str(recipe)]


def unsupported_operator(recipe: Path) -> list[str]:
    model = onnx.load(recipe.with_name("made.onnx"))
    model.graph.node[2].domain = "com.example"
    model.graph.node[2].op_type = "Sharpen"
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    onnx.save(model, recipe.with_name("made.onnx"))
    return ["converters", "build", str(recipe)]


def no_file(recipe: Path) -> list[str]:
    recipe.with_name("made.onnx").unlink()
    return ["converters", "build", str(recipe)]


def no_recipe(_: Path) -> list[str]:
    return ["converters", "build", "gender-v2"]


def climbing_pack(recipe: Path) -> list[str]:
    archive = recipe.with_name("evil.tar")
    with tarfile.open(archive, "w") as tar:
        for name, data in (
            (f"mine/{MANIFEST}", (BUNDLE / MANIFEST).read_bytes()),
            ("mine/../../climbed.txt", b"out"),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return ["edgeface", "models", "install", str(archive), "--to", str(recipe.parent / "build" / "models")]


CASES: dict[Callable[[Path], list[str]], tuple[int, str]] = {
    corrupt_checkpoint: (1, r"mine\.pth .*; "),
    wrong_hash: (1, r"made\.onnx has sha256 \w+\.\.\., the pin says 000000000000\.\.\.; correct the recipe's sha256"),
    renamed_tensor: (1, r"missing.* stages\.0\.0\.weight.* another\.stages\.0\.0\.weight"),
    typo: (2, r"recipe .*tiny\.toml: Object contains unknown field `license`; correct the recipe"),
    typo_in_options: (2, r"family vgg48 cannot be made so: .*'from'.*; correct the recipe's options"),
    three_pictures: (2, r"pictures: 3 pictures are too few to calibrate with; give at least 32"),
    no_ranges: (1, r"tiny has no calibrated ranges \(tiny\.ranges\.json\); run `python -m converters calibrate"),
    unsupported_operator: (1, r"tiny uses com\.example\.Sharpen, an operator that is not ONNX's own; export it with"),
    no_file: (1, r"made\.onnx: No such file or directory; correct the recipe's path"),
    no_recipe: (2, r"there is no recipe 'gender-v2'; did you mean gender-v1"),
    climbing_pack: (2, r"evil\.tar holds a path outside its folder: 'mine/\.\./\.\./climbed\.txt'; do not use it"),
}


@pytest.mark.parametrize(("make", "expected"), CASES.items(), ids=[make.__name__ for make in CASES])
def test_one_line_and_nothing_half_written(
    make: Callable[[Path], list[str]], expected: tuple[int, str], tmp_path: Path
) -> None:
    code, words = expected
    built = tmp_path / "build"
    built.mkdir()
    arguments = make(write_tiny(tmp_path))
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "EDGEFACE_BUILD": str(built), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    *rest, line = done.stderr.splitlines()
    assert line.startswith("edgeface: ")
    assert re.search(words, line)
    assert [other for other in rest if not PROGRESS.fullmatch(other)] == []
    assert done.returncode == code
    assert done.stdout == ""
    # A whole fp32 file may stay for the next try; parts of files, parts of manifests and bundles may not.
    left = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert {path.name for path in left} <= {"tiny.fp32.onnx", "stamps.json"}


@pytest.mark.parametrize(
    "words", [["convert"], ["evaluate", "nothing"], ["evaluate", "age", "--nothing"], ["nothing"]], ids=" ".join
)
def test_a_wrong_argument_is_one_line(words: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "converters", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert re.fullmatch(r"edgeface: .*; see `python -m converters.* --help`\n", ended.stderr)
