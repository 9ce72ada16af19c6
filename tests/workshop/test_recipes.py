"""The recipe, the manifest that follows from it, and what may ship."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from converters.building.entry import describe_file
from converters.building.maker import Maker
from converters.bundles.gates import check_limits, quantized_variants
from converters.measurements.chosen import with_chosen
from converters.measurements.confidence import read_confidence
from converters.measurements.crops import read_crop_losses
from converters.measurements.measured import read_detector_fits, read_measured
from converters.measurements.trials import find_trial, read_trials
from converters.paths import BUNDLE
from converters.recipes import reading as recipes
from converters.recipes.reading import read_recipe
from converters.recipes.schema import Recipe
from edgeface.bundle import Bundle, choose_file
from edgeface.errors import EdgefaceError


@pytest.mark.parametrize("name", ["default", "classic"])
def test_every_smaller_file_that_ships_was_tried_and_kept_its_limit(name: str, bundle: Bundle, classic: Bundle) -> None:
    trials, recipe = read_trials(), read_recipe(name)
    entries = {"default": bundle, "classic": classic}[name]
    check_limits(recipe, trials, entries.manifest.networks)
    for one, network in recipe.networks.items():
        for runtime, precision in quantized_variants(network):
            found = find_trial(trials, one, network, runtime, precision)
            assert found, f"run `python -m converters try {one}`"
            assert found.sha256 == choose_file(entries.network(one), runtime, precision).sha256


def test_a_file_that_loses_too_much_does_not_ship(classic: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    made, recipe = classic.manifest.networks, read_recipe("classic")
    name, network = "age-v1", recipe.networks["age-v1"]
    found = find_trial(read_trials(), name, network, "onnx", "int8w")
    assert found is not None
    rest = [trial for trial in read_trials() if trial.network != name]
    with pytest.raises(EdgefaceError, match="age-v1 onnx int8w loses more than its limit; run `python -m converters"):
        check_limits(recipe, [*rest, msgspec.structs.replace(found, within=False)], made)
    elsewhere = msgspec.structs.replace(found, within=False, sha256="0" * 64)
    with pytest.raises(EdgefaceError, match=r"limit \(as another file, .*\); run `python -m converters try age"):
        check_limits(recipe, [*rest, elsewhere], made)
    check_limits(recipe, rest, made)
    assert "age-v1 onnx int8w was never held against fp32" in caplog.text
    check_limits(recipe, [*rest, msgspec.structs.replace(found, sha256="0" * 64)], made)
    assert "age-v1 onnx int8w was held against fp32 as another file" in caplog.text


def test_the_manifest_is_what_the_recipe_says(recipe: Recipe, bundle: Bundle) -> None:
    assert [n.name for n in bundle.manifest.networks] == list(recipe.networks)
    assert bundle.manifest.defaults == recipe.defaults
    assert bundle.manifest.runtimes == recipe.runtimes
    for network in bundle.manifest.networks:
        wanted = recipe.networks[network.name]
        maker = Maker(network.name, recipe)
        plain = msgspec.structs.replace(network, input=wanted.input, head=wanted.head, also=wanted.also, chosen=())
        assert network == with_chosen(plain, read_crop_losses(), read_confidence(), judged_on=wanted.judged_on)
        for field in ("task", "title", "paper", "licence", "training_data", "limits", "source"):
            assert getattr(network, field) == getattr(wanted, field), (
                f"{network.name}: run `python -m converters manifest`"
            )
        assert {r: tuple(f.precision for f in fs) for r, fs in network.files.items()} == wanted.files
        for file in (file for files in network.files.values() for file in files):
            path = BUNDLE / file.path
            assert file == describe_file(maker, recipe, file.runtime, file.precision, path)
        assert network.measured == read_measured(network.name), "run `python -m converters manifest`"
        fit = read_detector_fits().get(network.name)
        assert network.box_to_reference == (fit and fit.box)
        assert network.landmarks_to_reference == (fit and fit.landmarks)


def test_the_manifest_is_written_sorted_and_readable(bundle: Bundle) -> None:
    text = (BUNDLE / "manifest.json").read_text("utf-8")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param('licence = "MIT"\ncolour = "red"', "unknown field `colour`", id="unknown key"),
        pytest.param("licence = 3", "Expected `str`, got `int`", id="wrong type"),
        pytest.param('licence = "MIT', "Illegal character|not TOML|Unterminated", id="not TOML"),
    ],
)
def test_a_wrong_recipe_is_one_line_that_names_the_key(tmp_path: Path, line: str, words: str) -> None:
    text = recipes.recipe_path("retinaface").read_text("utf-8").replace('licence = "MIT"', line, 1)
    (tmp_path / "broken.toml").write_text(text, "utf-8")
    with pytest.raises(EdgefaceError, match=words) as caught:
        read_recipe(str(tmp_path / "broken.toml"))
    assert "\n" not in str(caught.value)


def test_trials_carry_what_a_card_needs() -> None:
    for found in read_trials():
        assert found.count >= 200
        assert found.bytes > 0
        assert found.bytes_fp32 > 0
        assert [found.points, found.years].count(None) == 1
        assert msgspec.to_builtins(found)["set"]


def test_a_variant_may_be_named_as_cards_name_it() -> None:
    assert read_recipe("mobilenet-v1-w050").networks == read_recipe("mobilenet-v1@w050").networks
    assert list(read_recipe("expression-mini-xception-48").networks) == ["expression-mini-xception-48"], "no variant"
    with pytest.raises(EdgefaceError, match="there is no recipe 'mobilenet-v1-w051'; did you mean"):
        read_recipe("mobilenet-v1-w051")


@pytest.mark.timeout(900)
def test_public_networks_are_built_as_recorded(classic: Bundle, classic_files: Bundle) -> None:
    """Whoever depends on their answers gets the same bytes, with the tools on record; in any case all that is named."""
    assert classic_files.manifest.defaults == classic.manifest.defaults
    for network in classic.manifest.networks:
        made = classic_files.network(network.name)
        assert made.files.keys() == network.files.keys()
        if classic_files.manifest.made_by == classic.manifest.made_by:
            assert (made.files, made.parameters) == (network.files, network.parameters)
