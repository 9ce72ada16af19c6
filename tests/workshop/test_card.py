"""Model cards: the committed ones are what manifest and results say, and a card names its worst group."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
import pytest

from converters.bundles.card import card, documents
from converters.bundles.recorded import recorded
from converters.measurements.chosen import with_chosen
from converters.measurements.confidence import read_confidence
from converters.measurements.crops import read_crop_losses
from converters.measurements.measured import read_measured
from converters.paths import ROOT
from converters.recipes.reading import read_recipe
from edgeface.bundle import Bundle, Measured, Network


@pytest.fixture(scope="module")
def written(bundle: Bundle) -> dict[str, bytes]:
    return documents(bundle, recorded())


def test_every_network_has_a_card_and_no_card_is_left_over(bundle: Bundle, written: dict[str, bytes]) -> None:
    whole = {network.name for network in bundle.manifest.networks}
    others = [n for manifest in recorded() for n in manifest.networks if n.task != "stage" and not n.random_weights]
    whole |= {network.name for network in others}
    drawn = whole - {network.name for network in others if "opencv" in network.files}
    expected = {f"docs/cards/{name}.md" for name in whole} | {f"docs/cards/{name}.png" for name in drawn}
    expected |= {"models/README.md"}
    assert set(written) == expected
    there = {f"docs/cards/{path.name}" for path in (ROOT / "docs" / "cards").iterdir()}
    assert there | {"models/README.md"} == expected


def test_the_committed_texts_are_what_manifest_and_results_say(written: dict[str, bytes]) -> None:
    """Otherwise run ``python -m converters manifest`` and ``python -m converters card``."""
    for path, data in written.items():
        if path.endswith(".md"):
            assert (ROOT / path).read_bytes().decode() == data.decode(), path


def test_what_a_recorded_bundle_takes_from_the_default_one_is_what_ships(bundle: Bundle) -> None:
    """Otherwise its hashes predate the files: run ``python -m converters build`` and ``manifest --record`` for it."""
    shipped = {network.name: network for network in bundle.manifest.networks}
    taken = [network for manifest in recorded() for network in manifest.networks if network.name in shipped]
    assert {"yunet", "retinaface"} <= {network.name for network in taken}
    for network in taken:
        assert (network.files, network.selftest) == (shipped[network.name].files, shipped[network.name].selftest)


def test_the_committed_pictures_show_what_the_networks_see(written: dict[str, bytes]) -> None:
    """Pixel by pixel: another OpenCV may pack the same picture into other bytes."""
    for path, data in written.items():
        if path.endswith(".png"):
            there, expected = (
                cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
                for png in ((ROOT / path).read_bytes(), data)
            )
            np.testing.assert_array_equal(there, expected, err_msg=path)


def figure(
    metric: str, group: str, value: float, count: int, *, name: str = "Faces", detector: str = "yunet"
) -> Measured:
    return Measured(metric=metric, value=value, set=name, group=group, count=count, detector=detector)


def card_of(network: Network, *figures: Measured) -> str:
    precision = network.files["onnx"][0].precision
    measured = tuple(msgspec.structs.replace(row, precision=precision) for row in figures)
    return card(msgspec.structs.replace(network, measured=measured))


def worst_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("**Worst group**")]
    assert len(lines) <= 1
    return lines[0] if lines else ""


@pytest.mark.parametrize(
    ("network", "figures", "named", "silent"),
    [
        pytest.param(
            "gender-v1",
            [
                figure("accuracy", "all", 0.9, 400),
                figure("accuracy", "race Black", 0.8, 30),
                figure("accuracy", "race White", 0.95, 300),
                figure("accuracy", "age 70+", 0.1, 29),
                figure("found", "all", 0.01, 400),
                figure("accuracy", "from 10 years", 0.5, 390),
            ],
            ["*race Black*", "80.0 %", "90.0 %"],
            ["*age 70+*", "*race White*", "1.0 %", "*from 10 years*"],
            id="gender: the least accuracy, of 30 faces or more",
        ),
        pytest.param(
            "age-v1",
            [
                figure("MAE years", "all", 6.25, 400),
                figure("MAE years", "age 0-9", 2.5, 100),
                figure("MAE years", "age 71+", 11.5, 80),
                figure("MAE years", "race Others", 20.0, 12),
                figure("bias years", "age 0-9", 40.0, 100),
            ],
            ["*age 71+*", "11.50", "6.25"],
            ["*race Others*", "*age 0-9*", "40.00"],
            id="age: the largest error",
        ),
        pytest.param(
            "expression-mini-xception",
            [
                figure("accuracy", "all", 0.65, 400),
                figure("sensitivity", "fear", 0.4, 90),
                figure("sensitivity", "happy", 0.87, 90),
                figure("sensitivity", "disgust", 0.1, 14),
            ],
            ["*fear*", "40.0 %"],
            ["*disgust*", "*happy*"],
            id="expression: the label that is missed most",
        ),
        pytest.param("gender-v1", [figure("accuracy", "all", 0.9, 400)], [], ["Worst group"], id="no groups, no name"),
        pytest.param("gender-v1", [], [], ["Worst group"], id="nothing measured"),
    ],
)
def test_the_worst_group_is_named(
    classic: Bundle, network: str, figures: list[Measured], named: list[str], silent: list[str]
) -> None:
    line = worst_line(card_of(classic.network(network), *figures))
    for words in named:
        assert words in line
    for words in silent:
        assert words not in line


def test_figures_of_two_detectors_are_never_mixed(classic: Bundle) -> None:
    text = card_of(
        classic.network("gender-v1"),
        figure("accuracy", "all", 0.91, 100),
        figure("accuracy", "all", 0.84, 90, detector="retinaface"),
    )
    sections = [section for section in text.split("### ") if section.startswith("Faces")]
    assert [section.splitlines()[0] for section in sections] == [
        "Faces, faces found by yunet",
        "Faces, faces found by retinaface",
    ]
    assert "91.0 %" in sections[0]
    assert "84.0 %" not in sections[0]
    assert "84.0 %" in sections[1]


def test_ages_are_listed_as_they_rise(classic: Bundle) -> None:
    groups = ["age 10-19", "age 3-9", "all", "age 70+", "age 0-2"]
    text = card_of(classic.network("age-v1"), *(figure("bias years", group, 0.9, 40) for group in groups))
    table = text[text.index("### Faces") :]
    listed = sorted(groups, key=lambda group: table.index(f"| {group} |"))
    assert listed == ["all", "age 0-2", "age 3-9", "age 10-19", "age 70+"]


@pytest.mark.parametrize(
    ("network", "metric", "values", "told"),
    [
        pytest.param("gender-v1", "accuracy", (0.9, 0.8, 0.95, 0.7), "+10.0 points", id="the least accuracy"),
        pytest.param("age-v1", "MAE years", (6.0, 9.5, 2.0, 11.0), "+3.50 years", id="the largest error"),
    ],
)
def test_the_worst_group_comes_first(
    classic: Bundle, network: str, metric: str, values: tuple[float, ...], told: str
) -> None:
    groups = (("all", 400), ("race Black", 60), ("age 20-29", 200), ("age 0-2", 29))
    text = card_of(
        classic.network(network),
        *(figure(metric, group, v, count) for (group, count), v in zip(groups, values, strict=True)),
    )
    assert text.index("**Worst group**") < text.index("## Whom it fails") < text.index("## Figures")
    section = text[text.index("## Whom it fails") : text.index("## Figures")]
    lines = [line for line in section.splitlines() if line.startswith(("| race", "| age"))]
    assert [line.split(" | ")[0] for line in lines] == ["| race Black", "| age 20-29", "| age 0-2"]
    assert told in lines[0]
    assert "too few to rank" in lines[2]
    assert text.count("| race Black |") + text.count("| accuracy | race Black |") == 1, "nothing twice"


def test_every_figure_of_the_shipped_default_file_stands_in_its_card(bundle: Bundle) -> None:
    for network in bundle.manifest.networks:
        text = card(network)
        assert network.licence in text
        assert network.source.sha256 in text
        for file in (file for files in network.files.values() for file in files):
            assert f"`{file.path}`" in text
            assert f"{file.bytes:,}" in text
        for row in network.measured:
            assert row.set in text or row.metric.startswith("AP ")


def test_recorded_bundles_are_what_their_recipes_say() -> None:
    """Otherwise run ``python -m converters build NAME`` and ``python -m converters manifest NAME --record``."""
    for manifest in recorded():
        recipe = read_recipe(manifest.name)
        assert dict(recipe.defaults) == manifest.defaults
        for network in manifest.networks:
            if network.name in recipe.networks:
                wanted = recipe.networks[network.name]
                for field in ("task", "title", "paper", "licence", "training_data", "limits", "source"):
                    assert getattr(network, field) == getattr(wanted, field), network.name
                plain = msgspec.structs.replace(
                    network, input=wanted.input, head=wanted.head, also=wanted.also, chosen=()
                )
                assert network == with_chosen(
                    plain,
                    read_crop_losses(),
                    read_confidence(),
                    judged_on=wanted.judged_on,
                    bundle=f"build/bundles/{manifest.name}",
                ), network.name
                shipped = {runtime: tuple(f.precision for f in files) for runtime, files in network.files.items()}
                assert shipped == wanted.files
                assert network.measured == read_measured(network.name)
                assert network.measured or network.task == "stage", f"{network.name} was never measured"


def test_a_detector_without_points_promises_none(bundle: Bundle) -> None:
    networks = {network.name: network for manifest in recorded() for network in manifest.networks}
    assert "\nFor finding faces. " in card(networks["viola-jones"])
    assert "\nFor finding faces and five points in each. " in card(bundle.network("yunet"))
    assert "\nFor finding faces and five points in each. " in card(networks["centerface"])
