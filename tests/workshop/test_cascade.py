"""A cascade as a reference: its file as it came, what is none, and how many numbers it has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from astronaut import astronaut

from converters.recipes.schema import NetworkRecipe
from converters.references.cascade import CascadeReference
from edgeface.bundle import CascadeHead, Input, Source
from edgeface.errors import UsageError

FILE = Path(cv2.__file__).with_name("data") / "haarcascade_frontalface_default.xml"


def recipe(path: Path | None) -> NetworkRecipe:
    source = None
    if path is not None:
        source = Source(registry="file", path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    return NetworkRecipe(
        task="detect", title="Faces", paper="none", licence="none", training_data="none", limits="Frontal.",
        files={"opencv": ("fp32",)}, source=source, input=Input(color="grey", mean=0.0, scale=1.0),
        head=CascadeHead(),
    )  # fmt: skip


def test_the_astronaut_is_found() -> None:
    reference = CascadeReference(recipe(FILE))
    grey = cv2.cvtColor(astronaut(), cv2.COLOR_BGR2GRAY)
    found = reference.run(grey[None, None].astype(np.float32))
    assert tuple(found) == tuple(reference.outputs)
    np.testing.assert_allclose(found["boxes"][0, 0], [177, 66, 272, 161], atol=2)


def test_every_threshold_and_vote_is_counted() -> None:
    """25 stages of 2,913 stumps, as its makers say: a threshold and two votes each, and a threshold for a stage."""
    assert CascadeReference(recipe(FILE)).parameters == 25 + 3 * 2913


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no xml", id="text"),
        pytest.param(b"\xff\xfe\0", id="bytes"),
        pytest.param(b"{}", id="JSON, which OpenCV reads too"),
        pytest.param(b'<?xml version="1.0"?>\n<opencv_storage>\n<cascade>\n</cascade>\n</opencv_storage>\n', id="bare"),
    ],
)
def test_what_is_no_cascade_is_one_line(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "faces.xml").write_bytes(data)
    with pytest.raises(UsageError, match="faces.xml: it is no cascade; bring an .xml file of OpenCV's"):
        CascadeReference(recipe(tmp_path / "faces.xml"))


def test_a_cascade_comes_from_a_file() -> None:
    with pytest.raises(UsageError, match="a cascade's recipe needs a source; name the .xml file"):
        CascadeReference(recipe(None))
