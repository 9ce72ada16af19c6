"""Recipes of one's own, given by path: networks, bundles of them, and where their ranges lie."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tiny import write_tiny

from converters.__main__ import main
from converters.building.maker import Maker
from converters.bundles.build import build
from converters.paths import BUNDLE
from converters.recipes.reading import is_bundle, lock_path, read_recipe
from converters.recipes.schema import RANGES, Quantize
from edgeface.bundle import open_bundle
from edgeface.errors import UsageError

OWN = """
name = "mine"
version = "2"
networks = ["nets/tiny.toml", "nets/tiny.toml@turned"]
taken = [{ bundle = "BUNDLE", network = "yunet" }]

[defaults]
detect = "yunet"
gender = "tiny"
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of a bundle's recipe in a folder of its own, its network's below that; built below it, too."""
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "build"))
    (tmp_path / "nets").mkdir()
    write_tiny(tmp_path / "nets")
    path = tmp_path / "anything.toml"
    path.write_text(OWN.replace("BUNDLE", "models/default"), "utf-8")
    return path


def test_a_bundle_of_own_and_taken_networks_is_built_by_path(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", str(own), "--out", str(tmp_path / "bundle"), "--jobs", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "bundle")]
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert (manifest.name, manifest.version) == ("mine", "2")
    assert [network.name for network in manifest.networks] == ["tiny", "tiny-turned", "yunet"]
    assert manifest.networks[2] == open_bundle(BUNDLE).network("yunet")
    assert str(tmp_path) not in (tmp_path / "bundle" / "manifest.json").read_text("utf-8")


def test_paths_are_seen_from_the_recipe_wherever_one_stands(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(read_recipe(str(own)), tmp_path / "first", jobs=1)
    second = tmp_path / "nets" / "second.toml"
    second.write_text(
        'name = "second"\nversion = "1"\ntaken = [{ bundle = "../first", network = "tiny-turned" }]\n', "utf-8"
    )
    monkeypatch.chdir(tmp_path / "nets")
    for name in ("second.toml", "../nets/second.toml", str(second)):
        bundle = open_bundle(build(read_recipe(name), tmp_path / "out", jobs=1))
        assert bundle.network("tiny-turned") == open_bundle(first).network("tiny-turned")


@pytest.mark.parametrize("name", ["models/default", "default", str(BUNDLE)])
def test_a_bundle_to_take_from_goes_by_name_or_by_path(own: Path, name: str, tmp_path: Path) -> None:
    own.write_text(OWN.replace("BUNDLE", name).replace('networks = ["nets/tiny.toml", "nets/tiny.toml@turned"]', "")
                   .replace('gender = "tiny"', ""), "utf-8")  # fmt: skip
    assert [n.name for n in open_bundle(build(read_recipe(str(own)), tmp_path / "b")).manifest.networks] == ["yunet"]


def test_which_recipes_are_bundles(own: Path) -> None:
    assert [is_bundle(str(own)), is_bundle("default")] == [True, True]
    assert [is_bundle(str(own.parent / "nets" / "tiny.toml")), is_bundle("yunet"), is_bundle("no.toml")] == [False] * 3


def test_ranges_of_ones_own_lie_beside_the_recipe(own: Path) -> None:
    for name in (str(own), str(own.parent / "nets" / "tiny.toml")):
        assert Maker("tiny", read_recipe(name)).ranges == own.parent / "nets" / "tiny.ranges.json"
    for name in ("yunet", "default", "converters/recipes/networks/yunet.toml"):
        assert Maker("yunet", read_recipe(name)).ranges == RANGES / "yunet.ranges.json"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param('name = "mine"', 'name = "default"', "cannot be called 'default'", id="name of ours"),
        pytest.param('name = "mine"', 'name = "../mine"', "cannot be called '../mine'", id="a name that climbs"),
        pytest.param("networks =", "network =", "unknown field `network`", id="a typo"),
        pytest.param("nets/tiny.toml@turned", "nets/none.toml", "there is no recipe .*none.toml", id="no such recipe"),
        pytest.param("nets/tiny.toml@turned", "nets/tiny.toml@flat", "no variant 'flat'", id="no such variant"),
    ],
)
def test_a_wrong_bundle_recipe_is_one_line(own: Path, old: str, new: str, words: str) -> None:
    own.write_text(own.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(UsageError, match=words) as caught:
        read_recipe(str(own))
    assert "\n" not in str(caught.value)


def test_a_network_of_ones_own_cannot_take_the_figures_of_a_known_one(own: Path) -> None:
    mine = own.parent / "nets" / "tiny.toml"
    known = mine.rename(mine.with_name("gender-v1.toml"))
    with pytest.raises(UsageError, match="has the name of a known network; call it otherwise, my-gender-v1.toml"):
        read_recipe(str(known))


def test_a_bundle_that_is_not_there_is_one_line(own: Path, tmp_path: Path) -> None:
    recipe = read_recipe(str(own))
    taken = (msgspec.structs.replace(recipe.bundle.taken[0], bundle="nowhere"),)
    recipe = msgspec.structs.replace(recipe, bundle=msgspec.structs.replace(recipe.bundle, taken=taken))
    with pytest.raises(UsageError, match="there is no bundle nowhere"):
        build(recipe, tmp_path / "out", jobs=1)
    assert not (tmp_path / "out").exists()


def test_what_search_found_goes_before_the_recipe_as_a_whole(tmp_path: Path) -> None:
    recipe = write_tiny(tmp_path)
    quantize = '\n[quantize.onnx]\ncalibration = "average"\nkeep = ["^w$"]\n[quantize.litert]\nequalise = true\n'
    recipe.write_text(recipe.read_text("utf-8").replace("\n[head]", quantize + "\n[head]"), "utf-8")
    assert read_recipe(str(recipe)).networks["tiny"].quantize["onnx"] == Quantize(calibration="average", keep=("^w$",))
    lock = lock_path(recipe, "tiny")
    lock.write_text('{"onnx": {"quantize": {"equalise": true}, "tolerance": 0.5}}', "utf-8")
    found = read_recipe(str(recipe)).networks["tiny"].quantize
    assert found == {"onnx": Quantize(equalise=True), "litert": Quantize(equalise=True)}
    lock.write_text('{"onnx": {"tolerance": 0.5}}', "utf-8")
    with pytest.raises(UsageError, match=r"lock .*tiny\.lock\.json cannot be read: .*; run `search` again"):
        read_recipe(str(recipe))
