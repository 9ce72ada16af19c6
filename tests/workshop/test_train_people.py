"""Whom faces show: nobody is both learnt from and judged by, where a set says who they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from converters.datasets.labelled import data_folder
from converters.datasets.tables import read_table
from converters.train.faces import SAME, TRAINED
from converters.train.people import Shown, expect_apart, person_of
from converters.train.recipe import TRAINING, read_training
from edgeface.errors import UsageError

HERE = Path("faces")


def shown(part: str, *groups: str, name: str = "own", folder: Path = HERE) -> Shown:
    return Shown(name, part, folder, [{"group": group} for group in groups])


def test_who_is_in_both_parts_is_named_with_them() -> None:
    learnt = [shown("train", "ann", "bea"), shown("extra", "cleo")]
    expect_apart(learnt, [shown("val", "dora")])
    with pytest.raises(UsageError) as caught:
        expect_apart(learnt, [shown("val", "dora", "bea", "ann", "bea")])
    assert str(caught.value) == (
        "set own: group bea and 1 more are both in train and in val; keep each group in one part"
    )
    with pytest.raises(UsageError, match="set own: group cleo is both in extra and in val; keep"):
        expect_apart(learnt, [shown("val", "cleo")])


def test_names_mean_something_within_a_set_in_a_folder() -> None:
    learnt = [shown("train", "1", "2")]
    expect_apart(learnt, [shown("val", "1", name="fairface"), shown("val", "2", folder=Path("others"))])
    with pytest.raises(UsageError, match="group 1 is both"):
        expect_apart(learnt, [shown("val", "1", folder=Path("others/../faces"))])


def test_of_whom_nothing_is_known_is_in_no_two_parts() -> None:
    learnt, judged = (Shown("own", part, HERE, [{"path": "1.png"}, {"group": ""}]) for part in ("train", "val"))
    expect_apart([learnt], [judged])
    with pytest.raises(UsageError, match="set own: val is both learnt from and judged by; judge by another part"):
        expect_apart([learnt, judged], [judged])
    assert person_of({"sequence": "3", "group": ""}) == "sequence 3", "a film shows one person"


def test_recipes_that_ship_learn_from_nobody_whom_they_are_judged_by() -> None:
    """Their sets as they lie, without the pictures: what the tables say of the parts that the recipes name."""
    try:
        data = data_folder()
    except UsageError as error:
        pytest.skip(str(error))
    tables: dict[str, Sequence[dict[str, str]]] = {
        name: [dict(row.cells) for row in read_table(data / name / "labels.csv", ("part", "group"))]
        for name in ("fairface", "utkface", "fer2013")
    }

    def part_of(name: str, part: str) -> Shown:
        rows = [row for row in tables[name] if row["part"] == part]
        kept = [row for row in rows if part not in TRAINED or not row.get(SAME)]
        assert kept, (name, part)
        return Shown(name, part, data, kept)

    for path in sorted(TRAINING.glob("*.toml")):
        recipe = read_training(path.stem).recipe
        expect_apart(
            [part_of(one.set, part) for one in recipe.data for part in one.parts],
            [part_of(one.set, one.part) for one in recipe.validation.sets],
        )
