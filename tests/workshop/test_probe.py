"""``probe``: facts of a made network are found again, label orders counted, recipes written and built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from converters.__main__ import main
from converters.bundles.build import build
from converters.checkpoints.archive import ArchiveError, fetch_archive, read_source
from converters.datasets.expressions import FER
from converters.datasets.labelled import DEFAULT, ENVIRONMENT, Chip, data_folder
from converters.datasets.layouts.sets import FaceSet
from converters.evaluation.subject import Finder
from converters.paths import BUNDLE
from converters.probing import search as searching
from converters.probing.faces import Faces, Shown, choose
from converters.probing.opening import Opened, open_file
from converters.probing.readings import (
    FOUND,
    agreed,
    assign,
    heads,
    is_distribution,
    is_ranks,
    read,
    tasks_of,
    years_off,
)
from converters.probing.reporting import report
from converters.probing.search import SCALINGS, Prober, crops, scaling, search
from converters.probing.writing import complete, place, recipe_text
from converters.recipes.reading import read_network, read_recipe
from edgeface.bundle import (
    AttributeHead,
    BoxCrop,
    CategoricalHead,
    CropRule,
    LandmarkCrop,
    RegressionHead,
    SquareCrop,
    open_bundle,
)
from edgeface.errors import UsageError
from edgeface.types import F32, Task

SIDE = 8
GENDER = ("female", "male")


def red_or_blue(path: Path, channels: int = 3) -> Path:
    """Network that is sure of a picture's second label where it has more red than blue, of pixels within 0 and 1.

    Where pixels are larger, the sums saturate and every picture is the first.
    """
    weights = np.zeros((channels, 2), np.float32)
    weights[0, 1], weights[-1, 0] = 20, 20
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("Clip", ["flat", "low", "high"], ["clipped"]),
        helper.make_node("MatMul", ["clipped", "w"], ["said"]),
        helper.make_node("Softmax", ["said"], ["sure"]),
    ]
    held = [
        helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel()),
        helper.make_tensor("low", TensorProto.FLOAT, (), [0.0]),
        helper.make_tensor("high", TensorProto.FLOAT, (), [1.0]),
    ]
    return save(path, nodes, held, ("n", channels, SIDE, SIDE), {"sure": ("n", 2)})


Sides = tuple[str | int, ...]
"""Of a shape; what is free has a name."""


def save(
    path: Path, nodes: list[onnx.NodeProto], held: list[onnx.TensorProto], shape: Sides, outputs: Mapping[str, Sides]
) -> Path:
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, sides in outputs.items()],
        held,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def ends_with(path: Path, outputs: Mapping[str, int], shape: Sides = ("n", 3, SIDE, SIDE)) -> Path:
    """Network that answers with so many numbers."""
    nodes, held = [helper.make_node("ReduceMean", ["images", "axes"], ["mean"], keepdims=0)], []
    held.append(helper.make_tensor("axes", TensorProto.INT64, (len(shape) - 1,), range(1, len(shape))))
    nodes.append(helper.make_node("Unsqueeze", ["mean", "last"], ["column"]))
    held.append(helper.make_tensor("last", TensorProto.INT64, (1,), [1]))
    for name, count in outputs.items():
        held.append(helper.make_tensor(f"w{name}", TensorProto.FLOAT, (1, count), [1.0] * count))
        nodes.append(helper.make_node("MatMul", ["column", f"w{name}"], [name]))
    return save(path, nodes, held, shape, {name: (shape[0], count) for name, count in outputs.items()})


def red_and_blue_faces(count: int = 48) -> Faces:
    """Pictures that are red (labelled male) or blue within their boxes and the other way round beyond them."""
    dice = np.random.default_rng(3)
    shown = []
    for number in range(count):
        male = number % 2 == 1
        inside, outside = (dice.integers(60, 200, 2) + 40).tolist()
        image = np.zeros((64, 64, 3), np.uint8)
        image[..., 0 if male else 2] = outside
        image[16:48, 16:48] = 20
        image[16:48, 16:48, 2 if male else 0] = inside
        points = np.array([[24, 24], [40, 24], [32, 32], [26, 40], [38, 40]], np.float32)
        box = np.array([16, 16, 48, 48], np.float32)
        labels = {"gender": "FM"[male], "age": "30"}
        shown.append(Shown(chip=image[16:48, 16:48], image=image, face=(box, points), labels=labels))
    return Faces(sets="made pictures", finder=Finder(open_bundle(BUNDLE)), shown=shown, missed=0)


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Opened, Prober]:
    path = red_or_blue(tmp_path_factory.mktemp("probe") / "red.onnx")
    opened = open_file(path)
    ways = heads("gender", "sure", opened.outputs["sure"])
    return path, opened, search(opened, "gender", "sure", ways, red_and_blue_faces())


def test_facts_of_a_made_network_are_found_again(probed: tuple[Path, Opened, Prober]) -> None:
    _, opened, found = probed
    assert (opened.channels, opened.sizes, opened.recipe.family) == (3, ((SIDE, SIDE),), None)
    best = found.winner
    assert best.error == 0
    assert isinstance(best.read.head, CategoricalHead)
    # Colours and labels turned together are the same answer: blue first and [male, female] is as good.
    assert (best.spec.color, best.read.head.labels) in (("rgb", GENDER), ("bgr", GENDER[::-1]))
    assert best.spec.scale != 1
    whole = [row for row in found.rows if scaling(row.spec) == "0..255"]
    assert whole
    assert all(row.read.constant for row in whole)


def test_the_table_says_what_was_tried_and_how_sure_it_is(probed: tuple[Path, Opened, Prober]) -> None:
    lines = list(report(probed[2]))
    assert lines[0].startswith("gender on 48 faces of made pictures")
    assert sum(line.startswith("*  ") for line in lines) == 1
    assert any("CONSTANT" in line or "with a constant answer" in line for line in lines)
    assert any(line.startswith("  read as:") and line.endswith(": sure") for line in lines)
    assert any(line.startswith("  scale: ") and "not told apart" in line for line in lines)


def test_the_recipe_is_read_again_and_built(
    probed: tuple[Path, Opened, Prober], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "build"))
    file, opened, found = probed
    best = found.winner
    recipe = complete(opened.recipe, "gender", best.spec, best.read.head, also={}, detector="yunet")
    path = tmp_path / "found.toml"
    path.write_text(recipe_text(recipe, path, "made"), "utf-8")
    name, again = read_network(str(path))
    assert (name, again.input, again.head) == ("found", best.spec, best.read.head)
    assert again.source is not None
    assert Path(again.source.path).resolve() == file.resolve()
    assert again.measured_with == ("yunet",)
    assert "correct this" in again.licence
    folder = build(read_recipe(str(path)), is_bundle=False, jobs=1)
    assert (folder / "found.fp32.onnx").is_file()


@settings(max_examples=25)
@given(
    st.permutations(FER),
    st.sampled_from(
        [
            SquareCrop(scale=1.3),
            BoxCrop(left=0.1, top=0.2, right=0.1, bottom=0.0),
            LandmarkCrop(template=((0.5, 1),) * 5),
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
def test_any_recipe_text_says_the_same_again(
    tmp_path_factory: pytest.TempPathFactory, order: list[str], crop: CropRule, words: str
) -> None:
    base = read_network("expression-mini-xception")[1]
    spec = msgspec.structs.replace(base.input, crop=crop)
    head = CategoricalHead(labels=tuple(order), output=words, activation="softmax")
    also: dict[Task, AttributeHead] = {"age": RegressionHead(output="years", error_years=3.5, unit_years=100)}
    recipe = complete(base, "expression", spec, head, also=also, detector=words)
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(recipe_text(recipe, path, "made"), "utf-8")
    again = read_network(str(path))[1]
    assert (again.head, again.also, again.input, again.measured_with) == (head, also, spec, (words,))


def labelled(words: Sequence[str]) -> list[dict[str, str]]:
    return [{"emotion": word} for word in words]


@settings(max_examples=40)
@given(st.permutations(FER), st.floats(0, 0.4), st.integers(0, 99))
def test_a_label_order_is_counted_through_noise(order: list[str], noise: float, seed: int) -> None:
    dice = np.random.default_rng(seed)
    words = [FER[i % 7] for i in range(700)]
    answers = np.array([order.index(word) for word in words])
    wrong = dice.random(len(words)) < noise
    answers[wrong] = dice.integers(0, 7, wrong.sum())
    assert assign(answers, labelled(words), 7) == tuple(order)


def test_the_class_that_is_left_over_is_contempt() -> None:
    words = [FER[i % 7] for i in range(140)]
    answers = np.array([FER.index(word) + (FER.index(word) > 2) for word in words])
    assert assign(answers, labelled(words), 8) == (*FER[:3], "contempt", *FER[3:])


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (FER, "FER-2013's"),
        (("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise"), "face-api's"),
        (("sad", "fear", "angry", "happy", "disgust", "neutral", "surprise"), FOUND),
    ],
)
def test_an_order_that_is_met_has_a_name_and_any_other_is_counted(order: Sequence[str], words: str) -> None:
    labels = labelled([FER[i % 7] for i in range(210)])
    raw: F32 = np.eye(7, dtype=np.float32)[[order.index(row["emotion"]) for row in labels]]
    said = read("expression", heads("expression", "p", raw), {"p": raw}, labels)
    assert (said.words, said.head.labels, said.error) == (words, tuple(order), 0)  # type: ignore[union-attr]
    assert agreed(said, labels) == (7, 7)


def one_hot(numbers: Sequence[int], count: int) -> F32:
    return np.eye(count, dtype=np.float32)[list(numbers)]


AGES = (20, 31, 44, 58, 65)
READ_AS = {
    "years": (np.array([AGES], np.float32).T, "1 is 1 years"),
    "hundredths": (np.array([AGES], np.float32).T / 100, "1 is 100 years"),
    "classes from nought": (one_hot(AGES, 101), "classes from 0 years"),
    "classes from one": (one_hot([age - 1 for age in AGES], 100), "classes from 1 years"),
    "ranks": (np.array([np.arange(15, 70) < age for age in AGES], np.float32), "ranks from 15 years"),
}


@pytest.mark.parametrize("name", READ_AS)
def test_ages_are_read_in_their_own_way(name: str) -> None:
    raw, words = READ_AS[name]
    labels = [{"age": str(age)} for age in AGES]
    assert tasks_of({"p": raw}) == {"age": "p"}
    said = read("age", heads("age", "p", raw), {"p": raw}, labels)
    assert (said.words, said.constant) == (words, False)
    assert said.error == pytest.approx(0, abs=0.6)  # at ten years' error a bell's mean is a little off


def test_what_numbers_may_mean() -> None:
    dice = np.random.default_rng(1)
    shares = dice.dirichlet(np.ones(80), 4).astype(np.float32)
    falling = -np.sort(-dice.random((4, 39), np.float32), axis=1)
    assert (is_distribution(shares, 60), is_ranks(shares)) == (True, False)
    assert (is_distribution(falling, 10), is_ranks(falling)) == (False, True)
    several = {"a": dice.random((4, 512), np.float32), "years": falling[:, :1], "g": falling[:, :2]}
    assert tasks_of(several) == {"age": "years", "gender": "g"}
    assert heads("gender", "g", 9 * falling[:, :2])["female, male"].activation == "softmax"  # type: ignore[union-attr]


def test_years_within_a_bin_are_right() -> None:
    labels = [{"age": "20-29"}, {"age": "20-29"}, {"age": "33"}]
    assert years_off(np.array([29.9, 18.0, 35.0]), labels).tolist() == [0, 2, 2]


def test_faces_are_drawn_evenly_from_a_sorted_set() -> None:
    def sorted_set(limit: int | None) -> object:
        for number in range(900):
            label = FER[0] if number < 700 else FER[1 + number % 6]
            yield Chip(np.full((2, 2, 3), number % 251, np.uint8), {"emotion": label, "number": str(number)})

    drawn = choose(FaceSet(name="fer2013", title="made", layout="other", read=sorted_set, files=list), "expression", 70)  # type: ignore[arg-type]
    counts = {word: sum(chip.labels["emotion"] == word for chip in drawn) for word in FER}
    assert counts == dict.fromkeys(FER, 10)
    assert max(int(chip.labels["number"]) for chip in drawn if chip.labels["emotion"] == FER[0]) > 100


def test_all_three_kinds_of_crop_and_all_scalings_are_tried() -> None:
    spec = read_network("gender-v1")[1].input
    kinds = {type(one.crop) for one in crops(spec)}
    assert kinds == {SquareCrop, BoxCrop, LandmarkCrop}
    assert spec in list(crops(spec))
    assert [scaling(one) for one in searching.scalings(spec)] == list(SCALINGS)
    turned = next(one for one in searching.colours(spec) if one.color == "bgr")
    assert scaling(turned) == scaling(spec)


REFUSED: dict[str, tuple[Callable[[Path], Path], list[str], str]] = {
    "no such file": (lambda f: f / "none.onnx", [], "No such file"),
    "no network": (lambda f: write(f / "bad.onnx", b"not a network"), [], "is no ONNX file"),
    "another ending": (lambda f: write(f / "bad.unheard", b""), [], "has no known ending"),
    "an embedding": (lambda f: ends_with(f / "e.onnx", {"v": 128}), [], "fits none of age, gender, expression"),
    "not a picture": (lambda f: ends_with(f / "s.onnx", {"v": 2}, ("n", 40)), [], "not one picture"),
    "a fixed batch": (lambda f: ends_with(f / "b.onnx", {"v": 2}, (4, 3, 8, 8)), [], "4 pictures a call"),
    "another task": (lambda f: ends_with(f / "g.onnx", {"v": 2}), ["--task", "age"], "does not answer age"),
    "few labels": (lambda f: ends_with(f / "l.onnx", {"v": 2}), ["--labels", "male"], "names 1 of 2 classes"),
    "no labels": (lambda f: ends_with(f / "w.onnx", {"v": 2}), ["--labels", "cat,dog"], "there is no gender 'cat'"),
    "no such family": (lambda f: ends_with(f / "f.onnx", {"v": 2}), ["--family", "resnet9"], "does not fit resnet9"),
    "no data": (lambda f: ends_with(f / "d.onnx", {"v": 2}), ["--data", "nowhere"], "no labelled data at nowhere"),
}


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_probed_is_said_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, further, words = REFUSED[name]
    code = main(["probe", str(make(tmp_path)), "--out", str(tmp_path / "out.toml"), *further])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("edgeface: ")]
    assert code in (1, 2)
    assert len(lines) == 1
    assert words in lines[0]
    assert not (tmp_path / "out.toml").exists()


@pytest.mark.parametrize("name", ["Bad Name.toml", "x.json", "gone/x.toml", "there.toml"])
def test_a_recipe_needs_a_free_place(name: str, tmp_path: Path) -> None:
    (tmp_path / "there.toml").touch()
    with pytest.raises(UsageError):
        place(Path("net.onnx"), tmp_path / name)


def test_a_recipe_is_called_after_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place(Path("models/My_Net V2.onnx"), None) == Path("my-net-v2.toml")


@pytest.mark.timeout(600)
def test_published_facts_of_a_real_network_are_found(tmp_path: Path) -> None:
    """Its makers: RGB less (122.782, 117.001, 104.298), / 256, aligned by landmarks, [female, male]."""
    try:
        data_folder()
    except UsageError:
        pytest.skip(f"the labelled data is not here: set {ENVIRONMENT} (looked in {DEFAULT})")
    published = read_network("gender-v1")[1]
    assert published.source is not None
    try:
        fetch_archive(published.source)
    except ArchiveError as error:
        pytest.skip(f"the pinned archive is not to be had: {error}")
    file = write(tmp_path / "brought.onnx", read_source(published.source)[0])
    out = tmp_path / "brought.toml"
    assert main(["probe", str(file), "--limit", "120", "--out", str(out)]) == 0
    found = read_network(str(out))[1]
    assert found.family == "gender_v1"
    assert found.head == published.head
    assert found.input.color == "rgb"
    assert isinstance(found.input.crop, LandmarkCrop)
    # Means a grey level apart and 1 / 255 give the same answers: no face tells them apart.
    assert found.input.scale == pytest.approx(1 / 256, rel=0.01)
    assert found.input.mean == pytest.approx(published.input.mean, abs=6)
