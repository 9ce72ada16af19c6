"""What cards and front page claim: every shipped file was measured, the worst comes first, losses are told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from converters.bundles import card, card_figures
from converters.evaluation.bundle_figures import AGREEMENT
from converters.evaluation.widerface import as_rows
from converters.measurements.measured import read_measured
from edgeface.bundle import Bundle, Measured, Network

ROOT = Path(__file__).parents[2]
SETS = {
    "detect": "WIDER FACE 274-image dev share",
    "age": "UTKFace val",
    "gender": "UTKFace val",
    "expression": "FER-2013 PublicTest",
}


def test_the_manifest_carries_the_figures_on_record(bundle: Bundle) -> None:
    for network in bundle.manifest.networks:
        assert network.measured == read_measured(network.name), "run `python -m converters manifest`"


def test_every_file_that_ships_was_measured(bundle: Bundle) -> None:
    for network in bundle.manifest.networks:
        measured = {(row.runtime, row.precision) for row in network.measured}
        shipped = {(file.runtime, file.precision) for files in network.files.values() for file in files}
        assert shipped <= measured, f"{network.name}: {shipped - measured} ship and have no figure"
        assert all(row.command.startswith("python -m converters ") for row in network.measured)


def test_the_first_page_says_for_whom_it_is_worst_and_what_it_is_not_for(bundle: Bundle) -> None:
    for network in bundle.manifest.networks:
        first_page = card.card(network).split("\n## ")[0]
        assert "**Worst group**" in first_page, network.name
        assert network.limits in first_page
        assert "not " in network.limits.lower()


def test_the_table_names_licence_source_size_and_figure_of_each(bundle: Bundle) -> None:
    lines = {
        line.split("]")[0].removeprefix("| ["): line
        for line in card.readme(bundle.manifest).splitlines()
        if "](" in line
    }
    for network in bundle.manifest.networks:
        line = lines[network.name]
        assert network.licence in line
        assert f"{network.source.package} {network.source.version}" in line
        assert "not measured" not in line
        for file in (file for files in network.files.values() for file in files):
            assert f"{file.runtime} {file.precision} {file.bytes / 1e6:.2f} MB" in line


def test_the_front_page_says_what_was_measured(bundle: Bundle) -> None:
    front = (ROOT / "README.md").read_text(encoding="utf-8")
    for network in bundle.manifest.networks:
        (line,) = (line for line in front.splitlines() if f"](docs/cards/{network.name}.md) |" in line)
        rows = [r for r in card_figures.first_file(network) if (r.set, r.group) == (SETS[network.task], "all")]
        if network.task == "detect":
            assert as_rows({r.metric[3:]: r.value for r in rows if r.size == "320x320"}) in line
        elif network.task == "age":
            assert f"{next(r.value for r in rows if r.metric == 'MAE years'):.1f} years" in line
        else:
            finder = None if network.task == "expression" else "yunet"
            right = next(r.value for r in rows if r.metric == "accuracy" and r.detector == finder)
            assert f"{right * 100:.1f} %" in line


def of(bundle: Bundle, name: str, rows: list[Measured]) -> Network:
    return msgspec.structs.replace(bundle.network(name), measured=tuple(rows))


def accuracy(group: str, value: float, count: int, **more: str) -> Measured:
    made = {"metric": "accuracy", "set": "faces", "group": group, "value": value, "count": count, **more}
    return msgspec.convert(made, Measured)


def test_nothing_measured_claims_nothing(classic: Bundle) -> None:
    network = of(classic, "gender-v1", [])
    assert card_figures.worst_group(network).startswith("**Not measured here**")
    assert card_figures.headline(network) == "not measured"
    assert "%" not in "".join(card_figures.group_figures(network)).replace("30 %", "").replace("95 %", "")


@pytest.mark.parametrize(("share", "told"), [(0.85, True), (0.97, False)])
def test_a_card_tells_the_loss_between_crops(classic: Bundle, share: float, told: bool) -> None:
    rows = [
        msgspec.structs.replace(accuracy("all", share, 500, detector="yunet"), metric=AGREEMENT, set="photographs"),
        accuracy("all", 0.64, 900, detector="yunet"),
        accuracy("all", 0.66, 800, detector="retinaface"),
    ]
    text = card.card(of(classic, "expression-mini-xception", rows))
    assert ("the same for 85.0 % of 500 faces of photographs" in text) == told
    assert ("right are 64.0 % of 900 faces that yunet found and 66.0 % of 800" in text) == told


def test_a_detector_is_known_by_its_largest_size(bundle: Bundle) -> None:
    def at(size: str, value: float) -> Measured:
        made = {"metric": "AP hard", "set": "photographs", "group": "all", "value": value, "count": 50, "size": size}
        return msgspec.convert(made, Measured)

    rows = [at("128x128", 0.1), at("original", 0.9), at("640x384", 0.4), at("320x320", 0.3)]
    assert card_figures.headline(of(bundle, "yunet", rows)) == "AP hard .400 at 640x384, photographs, n 50"
    assert card_figures.headline(of(bundle, "yunet", rows[:2])) == "AP hard .100 at 128x128, photographs, n 50"
