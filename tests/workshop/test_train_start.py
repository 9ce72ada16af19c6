"""Where training begins, what it is judged by, and teachers of another size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from tiny_training import NETWORK, RECIPE, write_training

from converters.checkpoints.archive import UnreachableError
from converters.evaluation.attributes import age_figures
from converters.networks import make_network
from converters.recipes.reading import read_network
from converters.references.torch_module import load_module
from converters.train.batches import Scale
from converters.train.belief import believed
from converters.train.figures import Judged, judge, score
from converters.train.processes import Processes
from converters.train.recipe import read_training
from converters.train.start import Begun, Teachers, begin
from converters.train.view import View
from edgeface.bundle import AffectHead, CategoricalHead, CoralHead, ExpectationHead, Input
from edgeface.errors import UsageError
from edgeface.types import Task

CPU = torch.device("cpu")


def test_the_age_network_begins_where_age_v1_ends() -> None:
    try:
        begun = begin(read_training("age-gender-fairface"))
    except UnreachableError as error:
        pytest.skip(f"the pinned archive is not to be had: {error}")
    theirs = load_module(read_network("age-v1")[1])
    faces = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 0.3
    with torch.no_grad():
        age, gender = begun.module.eval()(faces)
        (plain,) = theirs(faces)
    assert gender.shape == (4, 2)
    shares = age[:, :81] / age[:, :81].sum(1, keepdim=True)
    torch.testing.assert_close(shares, plain, atol=1e-4, rtol=1e-3)
    assert (age[:, 82:] <= age[:, 81:-1]).all(), "each year beyond is less likely"
    assert "age-v1: 24 of 26 tensors, new: heads.gender.weight, heads.gender.bias" in begun.words
    assert len(begun.sha256) == 64
    values = torch.cat([parameter.detach().flatten() for parameter in begun.module.parameters()])
    assert not ((values != 0) & (values.abs() < 1e-15)).any()


def test_what_the_start_believes_is_asked_once_and_anew_of_another_start(tmp_path: Path) -> None:
    head = ExpectationHead(support=(10.0, 20.0), output="age")
    faces: Any = {"made train": Faces([{"age": "12"}, {"age": "19"}])}
    scale = Scale(Input(color="grey", mean=0.0, scale=1.0, height=8, width=8), CPU)

    def ask(rows: list[list[float]], sha256: str) -> Any:
        module = Said(age=rows).eval()
        begun = Begun(module=module, words="made", sha256=sha256)
        return believed(begun, head, faces, scale, tmp_path, Processes())

    first = ask([[0.25, 0.75], [1, 0]], "a" * 64)
    np.testing.assert_allclose(first, [[0.25, 0.75], [1.0, 0.0]], atol=1e-3)
    np.testing.assert_array_equal(ask([[0.5, 0.5], [0.5, 0.5]], "a" * 64), first)
    np.testing.assert_array_equal(ask([[0.5, 0.5], [0.5, 0.5]], "b" * 64), np.full((2, 2), 0.5))
    (tmp_path / "belief.npz").write_bytes(b"cut off")
    np.testing.assert_allclose(ask([[0.25, 0.75], [1, 0]], "a" * 64), first)


def test_ranks_begin_untrained_on_the_trunk_of_age_v1() -> None:
    network = make_network("age_gender_v1", {"heads": {"age": {"kind": "coral", "length": 99}}})
    given = network.start_from(dict(make_network("age_v1", {}).state_dict()))
    assert "stem.weight" in given
    assert not [name for name in given if "heads" in name]


def test_heads_that_nobody_knows_are_refused() -> None:
    with pytest.raises(UsageError, match=r"heads.age: give kind \(one of softmax, coral, tanh\) and length"):
        make_network("dense_residual", {"heads": {"age": {"kind": "ranks", "length": 9}}})
    with pytest.raises(UsageError, match="name at least one answer"):
        make_network("dense_residual", {"heads": {}})


def with_teacher(tmp_path: Path, teacher: str) -> Any:
    recipe = write_training(tmp_path, RECIPE + '\n[teacher]\nnetwork = "large.toml"\ncheckpoints = ["large.pt"]\n')
    (tmp_path / "large.toml").write_text(teacher, "utf-8")
    network = read_network(str(tmp_path / "large.toml"))[1]
    module = load_module(msgspec.structs.replace(network, seed=7))
    torch.save(module.state_dict(), tmp_path / "large.pt")
    return read_training(str(recipe)), module


def test_a_teacher_sees_the_students_pixels_in_its_own_scale_and_size(tmp_path: Path) -> None:
    text = NETWORK.replace("mean = [127.5]", "mean = [10.0]").replace("0.0078125", "0.5")
    training, module = with_teacher(tmp_path, text)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 16, 16, 1), np.uint8)
    student, teacher = (
        Scale(training.network.input, CPU),
        Scale(read_network(str(tmp_path / "large.toml"))[1].input, CPU),
    )
    heads = Teachers(training, CPU).heads
    said = Teachers(training, CPU)(student(pixels), heads)["expression"]
    with torch.no_grad():
        (own,) = module.eval()(teacher(pixels))
    torch.testing.assert_close(said, own, atol=1e-5, rtol=1e-4)
    larger = text.replace("height = 16\nwidth = 16", "height = 32\nwidth = 32")
    (tmp_path / "large.toml").write_text(larger, "utf-8")
    assert Teachers(training, CPU)(student(pixels), heads)["expression"].shape == (3, 7)


def test_a_teacher_of_another_crop_is_refused(tmp_path: Path) -> None:
    training, _ = with_teacher(tmp_path, NETWORK.replace('kind = "square"', 'kind = "square"\nscale = 1.4'))
    with pytest.raises(UsageError, match="the teacher large sees another crop than the student"):
        Teachers(training, CPU)


class Said(torch.nn.Module):
    """Answers by the place of a face in the set, whatever it sees."""

    def __init__(self, **answers: Any) -> None:
        super().__init__()
        self.answers = {name: torch.tensor(rows, dtype=torch.float32) for name, rows in answers.items()}
        self.outputs = tuple(answers)

    def forward(self, _: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.answers.values())


class Faces:
    missed = 0
    view = View(stored_wh=(8, 8), stored_padding=0, wanted_wh=(8, 8), padding=0, color="grey", density=1.0)

    def __init__(self, rows: list[dict[str, str]]) -> None:
        self.rows = rows
        self.pixels = np.zeros((len(rows), 8, 8), np.uint8)


def figures_of(module: Said, heads: dict[Task, Any], rows: list[dict[str, str]]) -> dict[str, float]:
    scale = Scale(Input(color="grey", mean=0.0, scale=1.0, height=8, width=8), CPU)
    return judge(module.eval(), heads, [Judged(name="made", faces=Faces(rows))], scale, bfloat16=False)


def test_figures_are_those_of_the_evaluation() -> None:
    support = (10.0, 20.0, 40.0)
    module = Said(age=[[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5]], gender=[[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    heads: dict[Task, Any] = {
        "age": ExpectationHead(support=support, output="age"),
        "gender": CategoricalHead(labels=("female", "male"), output="gender"),
    }
    rows = [
        {"age": "12", "gender": "F", "race": "Black"},
        {"age": "20", "gender": "F", "race": "White"},
        {"age": "34", "gender": "M", "race": "White"},
    ]
    found = figures_of(module, heads, rows)
    assert found["made MAE years"] == pytest.approx((2 + 0 + 4) / 3, abs=1e-3)
    assert found["made gender accuracy"] == pytest.approx(66.667, abs=1e-3)
    assert found["made gender accuracy race White"] == 50
    binned = figures_of(
        module, heads, [{**row, "age": age} for row, age in zip(rows, ("10-19", "20-29", "40-49"), strict=True)]
    )
    assert binned["made bin accuracy"] == pytest.approx(66.667, abs=1e-3)
    assert score(binned, {"made bin accuracy": 1.0, "made years outside bin": -1.0}) == pytest.approx(
        66.6667 - 10 / 3, abs=1e-3
    )


def test_ranks_are_read_as_a_device_reads_them() -> None:
    module = Said(age=[[1, 1, 0.2, 0.1], [0.9, 0.4, 0.3, 0.0]])
    heads: dict[Task, Any] = {"age": CoralHead(output="age", lowest=10, ranks=4)}
    found = figures_of(module, heads, [{"age": "12"}, {"age": "15"}])
    assert found["made MAE years"] == pytest.approx((0 + 4) / 2), "two ranks are passed, then one: 12 and 11 years"


def test_sets_without_races_or_ages_are_judged_too() -> None:
    module = Said(gender=[[0.9, 0.1], [0.2, 0.8]])
    heads: dict[Task, Any] = {"gender": CategoricalHead(labels=("female", "male"), output="gender")}
    found = figures_of(module, heads, [{"gender": "F"}, {"gender": "M"}])
    assert found["made gender accuracy"] == 100
    assert not [name for name in found if "race" in name or "years" in name]
    assert next(age_figures([], exact=True))[:2] == ("found", "all")


def test_expression_and_affect_have_their_figures() -> None:
    module = Said(expression=[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], affect=[[0.5, 0], [-0.5, 0], [0.5, 0.2]])
    heads: dict[Task, Any] = {
        "expression": CategoricalHead(labels=("sad", "happy"), output="expression"),
        "affect": AffectHead(output="affect"),
    }
    rows = [
        {"emotion": "sad", "valence": "0.5", "arousal": "0.1"},
        {"emotion": "happy", "valence": "-0.5", "arousal": "-0.1"},
        {"emotion": "happy", "valence": "", "arousal": ""},
    ]
    found = figures_of(module, heads, rows)
    assert found["made accuracy"] == pytest.approx(66.667, abs=1e-3)
    assert found["made macro-F1"] == pytest.approx(66.667, abs=1e-3)
    assert found["made sensitivity happy"] == 50
    assert found["made valence CCC"] == pytest.approx(1)
    assert found["made arousal RMSE"] == pytest.approx(0.1, abs=1e-4)
