"""What the workshop advises works as it is typed, and a mistake is told where it can be seen first."""

from __future__ import annotations

import logging
import re
import shlex
from pathlib import Path

import msgspec
import pytest
from test_answers import change
from tiny import write_tiny

from converters.__main__ import main
from converters.building.maker import Maker
from converters.bundles.build import build
from converters.bundles.plan import plan
from converters.datasets.labelled import data_folder
from converters.datasets.layouts import find_faces
from converters.recipes.choices import choices
from converters.recipes.reading import read_recipe
from converters.recipes.schema import BundleRecipe, NetworkRecipe
from edgeface.errors import EdgefaceError, UsageError

ADVISED = re.compile(r"`python -m converters (\w+) ([^`]*)`")


def own(tmp_path: Path) -> Path:
    """Write the made network's recipe into a folder whose name a shell would part."""
    folder = tmp_path / "my files"
    folder.mkdir()
    return write_tiny(folder)


@pytest.mark.parametrize("variant", ["", "@turned"])
def test_build_advises_the_recipe_as_it_was_named(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "products"))
    said = f"{own(tmp_path)}{variant}"
    with caplog.at_level(logging.WARNING):
        build(read_recipe(said), is_bundle=False, jobs=1)
    ((command, argument),) = ADVISED.findall(caplog.text)
    assert command == "try"
    assert shlex.split(argument) == [said]
    assert read_recipe(*shlex.split(argument)).networks


def test_missing_ranges_advise_the_recipe_as_it_was_named(tmp_path: Path) -> None:
    recipe = change(own(tmp_path), '"int8w"', '"int8"')
    maker = Maker("tiny", read_recipe(str(recipe)), products=tmp_path / "products")
    with pytest.raises(EdgefaceError, match="has no calibrated ranges") as raised:
        maker.file("onnx", "int8")
    ((command, argument),) = ADVISED.findall(str(raised.value))
    assert (command, shlex.split(argument)) == ("calibrate", [str(recipe)])


def test_dry_run_sees_what_is_not_there_or_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = write_tiny(tmp_path)
    assert plan(read_recipe(str(recipe))).steps
    change(recipe, 'path = "made.onnx"', f'path = "made.onnx"\nsha256 = "{"0" * 64}"')
    assert main(["build", str(recipe), "--dry-run"]) == 1
    assert "the pin says 000000000000" in capsys.readouterr().err
    recipe.with_name("made.onnx").unlink()
    assert main(["build", str(recipe), "--dry-run"]) == 1
    assert "made.onnx: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "listed"),
    [
        ('task = "gender"', 'task = "genders"', "age, affect, detect"),
        ('kind = "categorical"', 'kind = "categoric"', "categorical"),
        ('kind = "square"', 'kind = "squares"', "landmarks, square, box"),
        ('color = "rgb"', 'color = "grayscale"', "bgr, grey, rgb"),
        ('"int8w"', '"int4"', "fp16w, fp32, int8, int8w"),
        ("files = { onnx", "files = { onxx", "litert, onnx, opencv"),
        ('registry = "file"', 'registry = "files"', "file, npm, own, pypi, random"),
        ('output = "probabilities"', 'output = "probabilities"\nactivation = "sigmoid"', "none, softmax"),
    ],
)
def test_a_wrong_word_lists_the_right_ones(old: str, new: str, listed: str, tmp_path: Path) -> None:
    recipe = change(write_tiny(tmp_path), old, new)
    with pytest.raises(UsageError, match="choose one of: ") as raised:
        read_recipe(str(recipe))
    told = set(str(raised.value).partition("choose one of: ")[2].split(", "))
    assert set(listed.split(", ")) <= told


def test_where_any_word_goes_none_is_listed() -> None:
    assert choices(NetworkRecipe, "Object contains unknown field `colour` - at `$.input`") == []
    assert choices(NetworkRecipe, "Expected `str`, got `int` - at `$.title`") == []
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert({"name": "x", "version": "1", "runtimes": {"x86_64": {"runtime": "onyx"}}}, BundleRecipe)
    assert {"onnx", "litert"} <= set(choices(BundleRecipe, str(raised.value)))


def test_a_set_may_be_named_by_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fer2013").mkdir()
    assert data_folder(str(tmp_path / "fer2013")) == tmp_path / "fer2013"
    (tmp_path / "fer2013" / "labels.csv").write_text("part,i\n", "utf-8")
    assert data_folder(str(tmp_path / "fer2013")) == tmp_path
    monkeypatch.chdir(tmp_path / "fer2013")
    assert data_folder(".") == tmp_path
    with pytest.raises(UsageError, match=r"does not hold utkface .*; give --data a folder that holds utkface/"):
        find_faces(tmp_path, ["utkface"])
    with pytest.raises(UsageError, match=r"; give --data a folder that holds val\.csv$"):
        find_faces(tmp_path, ["own"], part="val")


def test_no_folder_is_told_that_nobody_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEFACE_DATA", raising=False)
    with pytest.raises(UsageError, match="^no labelled data is named; set EDGEFACE_DATA or give --data DIR$"):
        data_folder(None, usual=tmp_path / "nowhere")


BUNDLE = """
name = "mine"
version = "1.0"
networks = ["my files/tiny.toml"]
max_bytes = 10
[defaults]
gender = "tiny"
"""


def test_no_error_names_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "products"))
    own(tmp_path)
    (tmp_path / "mine.toml").write_text(BUNDLE, "utf-8")
    place = tmp_path / "place" / "mine"
    with pytest.raises(EdgefaceError, match="allowed 10") as raised:
        build(read_recipe(str(tmp_path / "mine.toml")), place, jobs=1)
    assert str(raised.value).startswith(f"{place} has ")
