"""ONNX files whose values lie in a file beside them: read there, and written as one whole file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny import write_tiny

from converters.building.maker import Maker
from converters.checkpoints.archive import read_source
from converters.checkpoints.reading import read_tensors
from converters.formats.errors import CheckpointError
from converters.formats.onnx_data import external_files, whole_file
from converters.inspection.any_file import examine
from converters.recipes.reading import read_recipe
from edgeface.errors import EdgefaceError

DATA = "made.onnx.data"


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The made network's recipe, its values beside it; the current folder has zeros of the same name."""
    theirs, here = tmp_path / "theirs", tmp_path / "here"
    theirs.mkdir()
    here.mkdir()
    recipe = write_tiny(theirs)
    model = onnx.load(theirs / "made.onnx")
    (stored,) = model.graph.initializer
    stored.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored), "w"))  # only raw values are saved apart
    onnx.save(model, theirs / "made.onnx", save_as_external_data=True, location=DATA, size_threshold=0)
    (here / DATA).write_bytes(bytes((theirs / DATA).stat().st_size))
    monkeypatch.chdir(here)
    return recipe


def weights(path: Path) -> np.ndarray:
    model = onnx.load(path, load_external_data=False)
    (stored,) = (tensor for tensor in model.graph.initializer if tensor.name == "w")
    assert not stored.external_data
    return np.asarray(numpy_helper.to_array(stored))


def test_a_build_writes_one_whole_file(apart: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    write_tiny(whole)
    maker = Maker("tiny", read_recipe(str(apart)), products=tmp_path / "products")
    np.testing.assert_array_equal(weights(maker.file("onnx", "fp32")), weights(whole / "made.onnx"))


def test_other_values_are_another_file(apart: Path, tmp_path: Path) -> None:
    def made() -> bytes:
        return Maker("tiny", read_recipe(str(apart)), products=tmp_path / "products").file("onnx", "fp32").read_bytes()

    before = made()
    data = apart.with_name(DATA)
    data.write_bytes(np.full(data.stat().st_size // 4, 0.001, np.float32).tobytes())
    assert made() != before


def test_inspect_counts_what_lies_beside(apart: Path) -> None:
    found = examine(apart.with_name("made.onnx"))
    assert found["parameters"] == 1536
    assert found["runtimes"] == {"onnxruntime": "runs"}
    assert found["bytes"] == apart.with_name("made.onnx").stat().st_size


def cut_off(apart: Path) -> None:
    data = apart.with_name(DATA)
    data.write_bytes(data.read_bytes()[:-8])


def gone(apart: Path) -> None:
    apart.with_name(DATA).unlink()


def climbing(apart: Path) -> None:
    model = onnx.load(apart.with_name("made.onnx"), load_external_data=False)
    (entry,) = (e for t in model.graph.initializer for e in t.external_data if e.key == "location")
    entry.value = f"../here/{DATA}"
    apart.with_name("made.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (cut_off, "made.onnx.data ends before the values of w do"),
        (gone, "made.onnx.data.*put it there"),
        (climbing, "outside its folder, in '../here/made.onnx.data'"),
    ],
)
def test_data_that_cannot_be_had_is_one_line(apart: Path, harm: Callable[[Path], None], words: str) -> None:
    harm(apart)
    with pytest.raises(EdgefaceError, match=words):
        examine(apart.with_name("made.onnx"))
    with pytest.raises(EdgefaceError, match=words):
        _ = Maker("tiny", read_recipe(str(apart))).reference


def test_values_of_constant_nodes_and_branches_are_found() -> None:
    value = numpy_helper.from_array(np.arange(4, dtype=np.float32), "c")
    node = onnx.helper.make_node("Constant", [], ["c"], value=value)
    branch = onnx.helper.make_graph([node], "b", [], [onnx.helper.make_empty_tensor_value_info("c")])
    choice = onnx.helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    graph = onnx.helper.make_graph([choice], "g", [], [])
    for attribute in graph.node[0].attribute:
        tensor = attribute.g.node[0].attribute[0].t
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="v.bin")
    data = onnx.helper.make_model(graph).SerializeToString()
    assert external_files(data) == ["v.bin"]
    held = np.arange(4, dtype="<f4").tobytes()
    assert whole_file(data, "f.onnx", {"v.bin": held}).count(held) == 2
    with pytest.raises(CheckpointError, match="keeps its values in v.bin, which is not there"):
        read_tensors(data, "f.onnx")


def test_a_whole_file_is_left_as_it_is(tmp_path: Path) -> None:
    write_tiny(tmp_path)
    data = (tmp_path / "made.onnx").read_bytes()
    assert whole_file(data, "made.onnx", {}) is data
    recipe = read_recipe(str(tmp_path / "tiny.toml")).networks["tiny"]
    assert recipe.source is not None
    assert read_source(recipe.source) == (data, {})
