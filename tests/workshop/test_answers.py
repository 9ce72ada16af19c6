"""What a network answers is held against its recipe before a file is made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tiny import write_tiny

from converters.building.maker import Maker
from converters.recipes.reading import read_recipe
from edgeface.errors import EdgefaceError
from edgeface.runtime.litert import dequantized, quantized


def change(recipe: Path, old: str, new: str) -> Path:
    text = recipe.read_text("utf-8")
    assert old in text
    recipe.write_text(text.replace(old, new, 1), "utf-8")
    return recipe


def maker(recipe: Path, tmp_path: Path) -> Maker:
    return Maker("tiny", read_recipe(str(recipe)), products=tmp_path / "products")


def rewrite(recipe: Path, edit: Callable[[ModelProto], None]) -> Path:
    path = recipe.with_name("made.onnx")
    model = onnx.load(path)
    edit(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return recipe


def logits(model: ModelProto) -> None:
    del model.graph.node[-1]
    model.graph.output[0].name = "said"


def sigmoids(model: ModelProto) -> None:
    """Each label by itself: what softmax would make of that is no probability either."""
    model.graph.node[-1].op_type = "Sigmoid"


def three_columns(model: ModelProto) -> None:
    """Female, male and age / 100 side by side."""
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.full((768, 1), 1e-4, np.float32), "years"))
    graph.node.append(helper.make_node("MatMul", ["flat", "years"], ["age"]))
    graph.node.append(helper.make_node("Concat", ["probabilities", "age"], ["fc1"], axis=1))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("fc1", TensorProto.FLOAT, ("n", 3)))


def one_column(model: ModelProto) -> None:
    graph = model.graph
    for name, values in (("from", [1]), ("to", [2]), ("axis", [1])):
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    graph.node.append(helper.make_node("Slice", ["probabilities", "from", "to", "axis"], ["male"]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("male", TensorProto.FLOAT, ("n", 1)))


def broken(model: ModelProto) -> None:
    (stored,) = model.graph.initializer
    weights = numpy_helper.to_array(stored).copy()
    weights[3:5] = np.nan
    stored.CopyFrom(numpy_helper.from_array(weights, "w"))


def nothing(model: ModelProto) -> None:
    """The file as it is."""


LABELS = 'labels = ["female", "male"]'
EXPECTATION = 'kind = "expectation"\noutput = "probabilities"\nsupport = [10.0, 60.0]'
AGE = '[also.age]\nkind = "regression"\noutput = "probabilities"\ncolumns = [2]\nunit_years = 100\nerror_years = 6\n'
WRONG = {
    "more labels": (
        nothing,
        LABELS,
        'labels = ["a", "b", "c"]',
        r"gives \(2,\) values for 3 labels; correct",
    ),
    "three columns": (three_columns, LABELS, LABELS, r"gives \(3,\) values for 2 labels; .*columns"),
    "one column": (
        one_column,
        LABELS,
        LABELS,
        r"gives \(1,\) values for 2 labels; export it with",
    ),
    "no such column": (nothing, LABELS, LABELS + "\ncolumns = [1, 2]", r"has no columns \[1, 2\]"),
    "another question": (
        nothing,
        'task = "gender"',
        'task = "age"',
        r"cannot answer age .*expectation, coral",
    ),
    "logits": (logits, LABELS, LABELS, r'values from -.* no probabilities; set activation = "softmax"'),
    "sigmoids": (sigmoids, LABELS, LABELS, "no probabilities; export it with its softmax"),
    "softmax twice": (
        nothing,
        LABELS,
        LABELS + '\nactivation = "softmax"',
        "probabilities already.*take activation",
    ),
    "NaN": (broken, LABELS, LABELS, "tiny holds 4 values in w that are not numbers"),
    "size": (nothing, "height = 16", "height = 24", "takes pictures of 16x16, its recipe says 16x24; set height = 16"),
    "channels": (
        nothing,
        'color = "rgb"\nmean = [127.5, 127.5, 127.5]',
        'color = "grey"\nmean = [127.5]',
        "no axis of 1 channels",
    ),
}


@pytest.mark.parametrize(("edit", "old", "new", "words"), WRONG.values(), ids=WRONG)
def test_one_line(edit: Callable[[ModelProto], None], old: str, new: str, words: str, tmp_path: Path) -> None:
    recipe = change(rewrite(write_tiny(tmp_path), edit), old, new)
    with pytest.raises(EdgefaceError, match=words) as raised:
        _ = maker(recipe, tmp_path).reference
    assert "\n" not in str(raised.value)


def test_ages_must_be_probabilities_too(tmp_path: Path) -> None:
    recipe = change(rewrite(write_tiny(tmp_path), logits), 'task = "gender"', 'task = "age"')
    change(recipe, f'kind = "categorical"\noutput = "probabilities"\n{LABELS}', EXPECTATION)
    with pytest.raises(EdgefaceError, match="no probabilities; export it with its softmax"):
        _ = maker(recipe, tmp_path).reference


@pytest.mark.parametrize("edit", [nothing, logits])
def test_what_is_right_passes(edit: Callable[[ModelProto], None], tmp_path: Path) -> None:
    recipe = rewrite(write_tiny(tmp_path), edit)
    if edit is logits:
        change(recipe, LABELS, LABELS + '\nactivation = "softmax"')
    assert maker(recipe, tmp_path).file("onnx", "fp32").is_file()


def test_columns_of_one_output_answer_two_questions(tmp_path: Path) -> None:
    recipe = rewrite(write_tiny(tmp_path), three_columns)
    change(recipe, LABELS, f"{LABELS}\ncolumns = [0, 1]\n\n{AGE}")
    assert set(maker(recipe, tmp_path).reference.outputs) == {"probabilities"}


def in_halves(model: ModelProto) -> None:
    graph = model.graph
    (stored,) = graph.initializer
    stored.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored).astype(np.float16), "w"))
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16


def in_bytes(model: ModelProto) -> None:
    graph = model.graph
    graph.node[0].input[0] = "wide"
    graph.node.insert(0, helper.make_node("Cast", ["images"], ["wide"], to=TensorProto.FLOAT))
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def by_scale(model: ModelProto) -> None:
    """int8 in and out, each with a scale and a zero point."""
    graph = model.graph
    for name, value in (("in_scale", 0.01), ("out_scale", 1 / 256)):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    for name, number in (("in_zero", 3), ("out_zero", -128)):
        graph.initializer.append(numpy_helper.from_array(np.array(number, np.int8), name))
    graph.node[0].input[0] = "wide"
    graph.node.insert(0, helper.make_node("DequantizeLinear", ["images", "in_scale", "in_zero"], ["wide"]))
    graph.node.append(helper.make_node("QuantizeLinear", ["probabilities", "out_scale", "out_zero"], ["small"]))
    graph.output[0].name = "small"
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.elem_type = TensorProto.INT8


def answers(recipe: Path, tmp_path: Path) -> np.ndarray:
    reference = maker(recipe, tmp_path).reference
    tensor = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16)).astype(np.float32)
    scaled = "mean = [127.5" in recipe.read_text("utf-8")
    return reference.run((tensor - 127.5) * np.float32(0.01) if scaled else tensor)["probabilities"]


@pytest.mark.parametrize(("edit", "allowed"), [(in_halves, 2e-3), (by_scale, 2e-2)])
def test_inputs_of_another_type_answer_alike(
    edit: Callable[[ModelProto], None], allowed: float, tmp_path: Path
) -> None:
    plain, other = tmp_path / "plain", tmp_path / "other"
    plain.mkdir()
    other.mkdir()
    expected = answers(write_tiny(plain), plain)
    got = answers(rewrite(write_tiny(other), edit), other)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=allowed)


def test_pixels_as_whole_numbers_must_not_be_scaled(tmp_path: Path) -> None:
    recipe = rewrite(write_tiny(tmp_path), in_bytes)
    with pytest.raises(EdgefaceError, match=r"takes pixels 0 to 255 as whole numbers.*; set every mean to"):
        _ = maker(recipe, tmp_path).reference
    change(recipe, "mean = [127.5, 127.5, 127.5]\nscale = 0.01", "mean = [0.0, 0.0, 0.0]\nscale = 1.0")
    rows = answers(recipe, tmp_path)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


def test_whole_numbers_by_their_scale() -> None:
    detail = {"dtype": np.uint8, "quantization": (1 / 255, 0)}
    real = np.array([0.0, 0.503, 1.0, 2.0, -1.0], np.float32)
    small = quantized(real, detail)
    assert small.dtype == np.uint8
    assert small.tolist() == [0, 128, 255, 255, 0]
    np.testing.assert_allclose(dequantized(small, detail), np.clip(real, 0, 1), atol=1 / 255)
    assert quantized(real, {"dtype": np.float32, "quantization": (0.0, 0)}) is real
    assert quantized(real, {"dtype": np.float16, "quantization": (0.0, 0)}).dtype == np.float16
    assert quantized(np.array([7.6], np.float32), {"dtype": np.int32, "quantization": (0.0, 0)}).tolist() == [8]


def test_a_detector_whose_outputs_no_head_reads(tmp_path: Path) -> None:
    recipe = change(write_tiny(tmp_path), 'task = "gender"', 'task = "detect"')
    change(recipe, '[input.crop]\nkind = "square"\n', "")
    change(
        recipe,
        f'kind = "categorical"\noutput = "probabilities"\n{LABELS}',
        'kind = "yunet"\nstrides = [8]\nnms_iou = 0.3',
    )
    with pytest.raises(EdgefaceError, match="gives probabilities 2, which a head of kind yunet cannot read"):
        _ = maker(recipe, tmp_path).reference
