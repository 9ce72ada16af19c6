"""Readers of the labelled data in the layout of every set, and what is missing said in one line."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.datasets.labelled import SETS, chips, photographs, read
from edgeface.errors import UsageError

COLUMNS = {
    "fer2013": "part,i,emotion",
    "utkface": "part,i,age,gender,race",
    "fairface": "part,i,age,gender,race,service_test",
}
COLOURS = {"fer2013": False, "utkface": True, "fairface": True}


def grey_of(number: int) -> int:
    return 10 + number % 200


def make_set(root: Path, name: str, part: str, numbers: Sequence[int]) -> Path:
    """Lossless sheets in the set's true layout, tile ``i`` in its own grey, and a table that lists some of them."""
    shape = SETS[name]
    folder = root / name
    folder.mkdir(exist_ok=True)
    for sheet in sorted({number // shape.per for number in numbers}):
        rows = -(-shape.per // shape.columns)
        tiles = np.array([grey_of(sheet * shape.per + i) for i in range(shape.per)], np.uint8).reshape(rows, -1)
        image = np.repeat(np.repeat(tiles, shape.side, axis=0), shape.side, axis=1)
        if COLOURS[name]:
            image = cv2.merge([image, image // 2, image // 4])
        assert cv2.imwrite(str(folder / f"{part}_{sheet:03d}.png"), image)
    fields = COLUMNS[name].count(",") - 1
    lines = [f"{part},{number}" + ",x" * fields for number in numbers]
    (folder / "labels.csv").write_text("\n".join([COLUMNS[name], *lines]) + "\n", encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("name", "part", "numbers"),
    [
        pytest.param("fer2013", "publictest", [0, 1, 39, 40, 1599, 1600, 1641], id="fer2013: 40 to a row, grey"),
        pytest.param("utkface", "val", [0, 15, 16, 255, 256, 300], id="utkface: 16 to a row"),
        pytest.param("fairface", "train", [0, 15, 16, 255, 512], id="fairface: a sheet that nobody asks for"),
    ],
)
def test_every_tile_is_found_in_its_sheet(tmp_path: Path, name: str, part: str, numbers: list[int]) -> None:
    make_set(tmp_path, name, part, numbers)
    found = list(chips(tmp_path, name, part))
    assert [int(chip.labels["i"]) for chip in found] == numbers
    side = SETS[name].side
    for chip in found:
        assert chip.image.shape == (side, side, 3)
        blue = grey_of(int(chip.labels["i"]))
        expected = (blue, blue // 2, blue // 4) if COLOURS[name] else (blue, blue, blue)
        assert (chip.image == expected).all()


def test_order_is_by_number_not_by_text_and_limit_counts_from_the_first(tmp_path: Path) -> None:
    make_set(tmp_path, "utkface", "val", [100, 9, 20, 3])
    assert [chip.labels["i"] for chip in chips(tmp_path, "utkface", "val")] == ["3", "9", "20", "100"]
    assert [chip.labels["i"] for chip in chips(tmp_path, "utkface", "val", limit=2)] == ["3", "9"]
    assert [chip.labels["i"] for chip in chips(tmp_path, "utkface", "val", limit=9)] == ["3", "9", "20", "100"]


def test_a_part_that_nobody_labelled_is_empty(tmp_path: Path) -> None:
    make_set(tmp_path, "utkface", "val", [1])
    assert list(chips(tmp_path, "utkface", "test")) == []


def no_table(root: Path) -> None:
    (root / "utkface" / "labels.csv").unlink()


def no_set(root: Path) -> None:
    shutil.rmtree(root / "utkface")


def no_sheet(root: Path) -> None:
    (root / "utkface" / "val_000.png").unlink()


def torn_sheet(root: Path) -> None:
    path = root / "utkface" / "val_000.png"
    path.write_bytes(path.read_bytes()[:60])


def short_sheet(root: Path) -> None:
    path = root / "utkface" / "val_000.png"
    cv2.imwrite(str(path), read(path)[: 2 * SETS["utkface"].side])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(no_table, r"utkface/labels\.csv cannot be read: No such file", id="no table"),
        pytest.param(no_set, r"utkface/labels\.csv cannot be read: No such file", id="no folder"),
        pytest.param(no_sheet, r"utkface has no sheet val_000; complete the data set", id="no sheet"),
        pytest.param(torn_sheet, r"val_000\.png cannot be decoded", id="half a sheet"),
        pytest.param(short_sheet, r"utkface has no tile for val 40; complete the data set", id="too few tiles"),
    ],
)
def test_what_is_missing_is_one_line(tmp_path: Path, damage: object, says: str) -> None:
    make_set(tmp_path, "utkface", "val", [0, 40])
    assert callable(damage)
    damage(tmp_path)
    with pytest.raises(UsageError, match=says) as caught:
        list(chips(tmp_path, "utkface", "val"))
    assert "\n" not in str(caught.value)


def make_photographs(root: Path) -> Path:
    folder = root / "widerface"
    folder.mkdir()
    (folder / "images.txt").write_text("b/two words\na/one\n\n", encoding="utf-8")
    (folder / "boxes.csv").write_text(
        "event,image,width,height,x,y,w,h,easy,medium,hard\n"
        "a,one,100,80,10,20,30,40,1,1,1\n"
        "a,one,100,80,1,2,3,4,0,0,1\n"
        "c,elsewhere,100,80,1,2,3,4,1,1,1\n",
        encoding="utf-8",
    )
    return root


def test_photographs_come_in_the_order_of_the_list(tmp_path: Path) -> None:
    found = photographs(make_photographs(tmp_path))
    assert [photograph.name for photograph in found] == ["b/two words", "a/one"]
    assert [photograph.name for photograph in photographs(tmp_path, limit=1)] == ["b/two words"]
    nobody, two = found
    assert nobody.boxes.shape == (0, 4)
    assert {level: flags.tolist() for level, flags in nobody.counted.items()} == {"easy": [], "medium": [], "hard": []}
    np.testing.assert_array_equal(two.boxes, [[10, 20, 40, 60], [1, 2, 4, 6]])
    assert two.boxes.dtype == np.float32
    assert two.counted["easy"].tolist() == [True, False]
    assert two.counted["hard"].tolist() == [True, True]


@pytest.mark.parametrize("missing", ["images.txt", "boxes.csv"])
def test_a_list_that_is_not_there_is_one_line(tmp_path: Path, missing: str) -> None:
    (make_photographs(tmp_path) / "widerface" / missing).unlink()
    with pytest.raises(UsageError, match=f"{missing} cannot be read") as caught:
        photographs(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_picture_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nobody\.avif cannot be decoded"):
        read(tmp_path / "nobody.avif")
