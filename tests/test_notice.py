"""NOTICE names the makers of every network and data set, and the pages for contributors name true places."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
NOTICE = (ROOT / "NOTICE").read_text(encoding="utf-8")
RECIPES = sorted((ROOT / "converters" / "recipes" / "networks").glob("*.toml"))
SETS = (
    "WIDER FACE", "FER-2013", "UTKFace", "FairFace", "LFW", "IMDB-WIKI", "CelebA", "MS-Celeb-1M", "CACD", "MegaAge",
    "FG-NET", "ChaLearn",
)  # fmt: skip
SPELT = {"FGNET": "FG-NET", "WIKI": "IMDB-WIKI", "IMDB": "IMDB-WIKI"}
# Words with capitals or digits in `training_data` that are no sets of pictures.
NO_SETS = {"README", "Random", "Pictures", "None"}


def sections() -> dict[str, str]:
    parts = re.split(r"^\d\. (.*)\n", NOTICE, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def section(word: str) -> str:
    (text,) = [text for title, text in sections().items() if word in title]
    return text


def test_every_shipped_network_is_named_with_its_licence_and_package() -> None:
    manifest = json.loads((ROOT / "models" / "default" / "manifest.json").read_text(encoding="utf-8"))
    text = section("NETWORKS IN")
    entries = re.split(r"\n(?=  \S)", text)
    assert len(manifest["networks"]) >= 4
    for network in manifest["networks"]:
        found = [entry for entry in entries if re.match(rf"\s*(\S+, )*{network['name']}\b", entry)]
        assert len(found) == 1, network["name"]
        assert network["licence"] in found[0]
        assert network["source"].get("package", "") in found[0]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_a_network_is_named(path: Path) -> None:
    named = {word for title, text in sections().items() if "NETWORKS" in title for word in re.findall(r"[\w-]+", text)}
    recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    assert recipe.get("name", path.stem) in named


@pytest.mark.parametrize("name", SETS)
def test_every_data_set_has_its_attribution(name: str) -> None:
    assert re.search(rf"^  {re.escape(name)}\b", section("DATA SETS"), flags=re.MULTILINE)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_what_a_recipe_was_trained_on_is_among_them(path: Path) -> None:
    for told in re.findall(r'^training_data = "(.*)"', path.read_text(encoding="utf-8"), flags=re.MULTILINE):
        words = set(re.findall(r"\b[A-Z][\w+-]*(?: FACE)?", told)) - NO_SETS
        assert {SPELT.get(word, word) for word in words} <= set(SETS), told


PLACES = ("edgeface/", "converters/", "docs/", "scripts/", "tests/", "requirements/", "models/")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "docs/deprecation.md", "docs/installing.md"])
def test_the_places_that_a_page_names_are_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = {word for word in re.findall(r"`([\w./-]+)`", text) if word.startswith(PLACES) and "NAME" not in word}
    assert named or name == "docs/deprecation.md"
    assert [word for word in sorted(named) if not (ROOT / word).exists()] == []


def test_contributing_has_a_row_for_everything_one_adds() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| an? \*\*(.+?)\*\*", text, flags=re.MULTILINE))
    assert {"detector", "head", "source", "message field", "command", "data set"} <= rows


def test_the_names_in_contributing_are_there() -> None:
    """`NAME` of `path`: what a row sends its reader to."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    pairs = re.findall(r"`(\w+)` (?:of|in) `(edgeface/[\w/]+\.py)`", text)
    assert len(pairs) >= 3
    for name, path in pairs:
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text(encoding="utf-8")), f"{path} has no {name}"
