"""Readers of the labelled data on tiny sheets that the test paints, and figures with their intervals."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.datasets import labelled as data
from converters.datasets.labelled import Sheets, chips, data_folder, photographs
from converters.evaluation.statistics import mean_figure, share_figure
from edgeface.errors import UsageError
from edgeface.types import Image


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven chips of 4 x 4 pixels, three to a sheet row, six to a sheet; chip i is painted in grey level 10 i."""
    monkeypatch.setitem(data.SETS, "utkface", Sheets(side=4, columns=3, per=6))
    folder = tmp_path / "utkface"
    folder.mkdir()
    for number in (0, 1):
        sheet = np.zeros((8, 12, 3), np.uint8)
        for place in range(6):
            y, x = (4 * p for p in divmod(place, 3))
            sheet[y : y + 4, x : x + 4] = 10 * (6 * number + place)
        cv2.imwrite(str(folder / f"val_{number:03d}.png"), sheet)
    rows = [f"val,{i},{20 + i}" for i in (6, 0, 1, 2, 3, 4, 5)] + ["train,0,99"]
    (folder / "labels.csv").write_text("part,i,age\n" + "\n".join(rows) + "\n")
    return tmp_path


def test_chips_come_in_order_with_their_labels(faces: Path) -> None:
    found = list(chips(faces, "utkface", "val"))
    assert [int(chip.labels["age"]) for chip in found] == [20, 21, 22, 23, 24, 25, 26]
    assert [int(chip.image.mean()) for chip in found] == [0, 10, 20, 30, 40, 50, 60]
    assert {chip.image.shape for chip in found} == {(4, 4, 3)}


def test_each_sheet_is_decoded_once(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Path] = []
    plain = data.read

    def read(path: Path) -> Image:
        decoded.append(path)
        return plain(path)

    monkeypatch.setattr(data, "read", read)
    list(chips(faces, "utkface", "val"))
    assert [path.name for path in decoded] == ["val_000.png", "val_001.png"]


def test_limit_stops_early(faces: Path) -> None:
    assert len(list(chips(faces, "utkface", "val", limit=2))) == 2


def test_a_missing_sheet_is_named(faces: Path) -> None:
    (faces / "utkface" / "val_001.png").unlink()
    with pytest.raises(UsageError, match="no sheet val_001"):
        list(chips(faces, "utkface", "val"))


def test_photographs_keep_boxes_that_a_level_ignores(tmp_path: Path) -> None:
    root = tmp_path / "widerface"
    root.mkdir()
    (root / "images.txt").write_text("party/one\nparty/two\n")
    (root / "boxes.csv").write_text(
        "event,image,x,y,w,h,easy,medium,hard\nparty,one,10,20,30,40,0,1,1\nparty,one,1,2,3,4,0,0,0\n"
    )
    one, two = photographs(tmp_path)
    np.testing.assert_array_equal(one.boxes, [[10, 20, 40, 60], [1, 2, 4, 6]])
    assert one.counted["easy"].tolist() == [False, False]
    assert one.counted["medium"].tolist() == [True, False]
    assert one.path == root / "images" / "party" / "one.avif"
    assert two.boxes.shape == (0, 4)


def test_data_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(data.ENVIRONMENT, str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="there is no labelled data"):
        data_folder()
    assert data_folder(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        # Wilson's interval as statsmodels' proportion_confint(method="wilson") gives it.
        pytest.param(8, 10, 0.4902, 0.9433, id="8 of 10"),
        pytest.param(0, 20, 0.0, 0.1611, id="none"),
        pytest.param(500, 1000, 0.4691, 0.5309, id="half of a thousand"),
    ],
)
def test_share_with_wilsons_interval(hits: int, count: int, low: float, high: float) -> None:
    figure = share_figure([True] * hits + [False] * (count - hits))
    assert figure.value == hits / count
    assert figure.low == pytest.approx(low, abs=1e-4)
    assert figure.high == pytest.approx(high, abs=1e-4)


def test_mean_with_bootstrap_interval_is_repeatable_and_near_the_normal_one() -> None:
    values = np.random.default_rng(3).normal(6, 2, 1000).tolist()
    spread = float(np.std(values))
    figure = mean_figure(values)
    assert figure == mean_figure(values)
    assert figure.low == pytest.approx(figure.value - 1.96 * spread / 1000**0.5, abs=0.03)
    assert figure.high == pytest.approx(figure.value + 1.96 * spread / 1000**0.5, abs=0.03)


def test_no_values_have_no_interval() -> None:
    for figure in (share_figure([]), mean_figure([])):
        assert (figure.value, figure.count, figure.low, figure.high) == (0.0, 0, None, None)
