"""Ranges are measured once, kept as text, and read instead of pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.export.ranges import Measured, Pictures, RangesFile, read_ranges, rounded, write_ranges
from converters.quantization.samples import LEAST, Samples
from converters.recipes.reading import list_recipes, read_network
from converters.recipes.schema import RANGES, Quantize
from edgeface.bundle import Signature
from edgeface.errors import EdgefaceError, UsageError

PICTURES = Pictures(set="made faces", count=64, seed=1, sha256="0" * 64)


def file(**tensors: tuple[float, float]) -> RangesFile:
    measured = Measured(method="average", graphs={"b1": dict(tensors), "b4": dict(tensors)})
    return RangesFile(network="small", pictures=PICTURES, runtimes={"litert": measured})


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.floats(-1e30, 1e30))
def test_four_digits_are_kept(low: float, high: float) -> None:
    (a, b) = rounded({"x": (low, high)})["x"]
    assert a == pytest.approx(low, rel=5.1e-4, abs=0)
    assert b == pytest.approx(high, rel=5.1e-4, abs=0)
    assert len(f"{b:.17g}") > 0
    assert float(f"{b:.4g}") == b


def test_what_is_written_is_read_and_a_tensor_takes_a_line(tmp_path: Path) -> None:
    path = tmp_path / "small.ranges.json"
    write_ranges(path, file(first=(-1.5, 2.0), second=(0.0, 6.125)))
    text = path.read_text("utf-8")
    assert text.count('"first": [-1.5, 2.0]') == 2
    assert text.count('"second": [0.0, 6.125]') == 2
    assert "made faces" in text
    measured = read_ranges(path, "litert", "average", equalise=False)
    assert measured.graphs["b4"] == {"first": (-1.5, 2.0), "second": (0.0, 6.125)}


@pytest.mark.parametrize(
    ("text", "runtime", "method", "equalise", "words"),
    [
        pytest.param(None, "litert", "average", False, "small has no calibrated ranges", id="missing"),
        pytest.param("", "onnx", "average", False, "has no ranges for onnx", id="other runtime"),
        pytest.param(
            "", "litert", "minmax", False, "calibration average, the recipe says calibration minmax", id="way"
        ),
        pytest.param("", "litert", "average", True, "the recipe says calibration average, equalised", id="equalised"),
        pytest.param("{", "litert", "average", False, "cannot be read", id="cut off"),
        pytest.param('{"network": 3}', "litert", "average", False, "cannot be read", id="another file"),
    ],
)
def test_ranges_that_do_not_serve_name_the_command(
    tmp_path: Path, text: str | None, runtime: str, method: str, equalise: bool, words: str
) -> None:
    path = tmp_path / "small.ranges.json"
    if text == "":
        write_ranges(path, file(first=(0.0, 1.0)))
    elif text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(EdgefaceError, match=words) as caught:
        read_ranges(path, runtime, method, equalise=equalise)  # type: ignore[arg-type]
    assert "python -m converters calibrate small" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [0, 3, LEAST - 1])
def test_too_few_pictures_are_refused(tmp_path: Path, count: int) -> None:
    for number in range(count):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((40, 40, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture", "utf-8")
    samples = Samples(read_network("yunet")[1], tmp_path, pictures=tmp_path)
    with pytest.raises(UsageError, match=f"{count} pictures are too few to calibrate with; give at least {LEAST}"):
        next(samples.batches(Signature(key="w64h32", batch=1, width=64, height=32)))


def test_own_pictures_become_inputs_and_their_hash_is_kept(tmp_path: Path) -> None:
    for number in range(LEAST):
        cv2.imwrite(str(tmp_path / f"{number:02d}.png"), np.full((40, 80, 3), number, np.uint8))
    shape = Signature(key="w64h32", batch=1, width=64, height=32)
    samples = Samples(read_network("yunet")[1], tmp_path, pictures=tmp_path)
    batches = list(samples.batches(shape))
    assert len(batches) == LEAST
    assert batches[5].shape == (1, 32, 64, 3)
    assert batches[5].max() == 5
    first = samples.described()
    assert (first.set, first.count) == ("own pictures", LEAST)
    cv2.imwrite(str(tmp_path / "00.png"), np.full((40, 80, 3), 99, np.uint8))
    again = Samples(read_network("yunet")[1], tmp_path, pictures=tmp_path)
    list(again.batches(shape))
    assert again.described().sha256 != first.sha256


def test_every_int8_file_that_ships_has_its_ranges() -> None:
    for name in list_recipes("networks"):
        built, network = read_network(name)
        for runtime, precisions in network.files.items():
            if "int8" in precisions and runtime != "opencv" and not network.random:
                how = network.quantize.get(runtime, Quantize())
                measured = read_ranges(RANGES / f"{built}.ranges.json", runtime, how.calibration, equalise=how.equalise)
                assert all(measured.graphs.values())
