"""What says no more than one answer for everybody would gets no recipe."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from test_probe import red_and_blue_faces, red_or_blue

from converters.probing import faces
from converters.probing.baseline import beats_one_answer, format_errors, one_answer
from converters.probing.probe import probe
from converters.probing.progress import Progress
from converters.probing.readings import Read
from edgeface.bundle import CategoricalHead, RegressionHead
from edgeface.errors import EdgefaceError

GENDERS = [{"gender": "FM"[number % 2], "age": str(20 + number % 40)} for number in range(200)]
HEAD = CategoricalHead(labels=("female", "male"), output="p")


def said(wrong: np.ndarray) -> Read:
    answers = np.array([number % 2 for number in range(len(wrong))], float)
    return Read(head=HEAD, words="", errors=wrong.astype(float), answers=answers, surprise=0.0)


def test_the_best_single_answer() -> None:
    assert one_answer("gender", GENDERS[:1] + GENDERS).mean() == pytest.approx(100 / 201)
    ages = [{"age": age} for age in ("10", "20", "20", "60")]
    assert one_answer("age", ages).mean() == pytest.approx((10 + 0 + 0 + 40) / 4)
    emotions = [{"emotion": word} for word in ("happy", "happy", "sad")]
    assert one_answer("expression", emotions).tolist() == [0, 0, 1]


def test_luck_is_no_answer() -> None:
    dice = np.random.default_rng(0)
    best = min((dice.random(200) < 0.5 for _ in range(200)), key=lambda wrong: wrong.mean())
    assert not beats_one_answer(said(best), "gender", GENDERS)
    assert beats_one_answer(said(np.arange(200) % 10 == 0), "gender", GENDERS)
    assert (
        format_errors(said(np.arange(200) % 10 == 0), "gender", GENDERS)
        == "90.0 % right, 50.0 % with one answer for all"
    )


def test_years_far_off_are_no_answer() -> None:
    head = RegressionHead(output="p", error_years=10)
    years = np.linspace(1, 90, 200)
    far = Read(head=head, words="", errors=np.full(200, 33.0), answers=years, surprise=33.0)
    near = Read(head=head, words="", errors=np.full(200, 4.0), answers=years, surprise=4.0)
    assert not beats_one_answer(far, "age", GENDERS)
    assert beats_one_answer(near, "age", GENDERS)


def blind(path: Path) -> None:
    """Make a network of it that answers to green alone, which says nothing here."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "w":
            tensor.CopyFrom(numpy_helper.from_array(np.array([[0, 0], [20, 0], [0, 0]], np.float32), "w"))
    onnx.save(model, path)


def test_no_recipe_is_written_for_what_is_not_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "gather", lambda *_, **__: red_and_blue_faces())
    path, out = red_or_blue(tmp_path / "net.onnx"), tmp_path / "net.toml"
    assert probe(path, task="gender", out=out) == out
    assert out.is_file()
    out.unlink()
    blind(path)
    with pytest.raises(
        EdgefaceError, match=r"surely better than one answer for all \(.*\): no recipe is written"
    ) as why:
        probe(path, task="gender", out=out)
    assert why.value.exit_code == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_long_search_says_how_long_it_still_takes(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    with caplog.at_level(logging.INFO), Progress(20, clock=lambda: now[0]) as progress:
        for _ in range(10):
            now[0] += 4
            progress.update()
    assert [record.getMessage() for record in caplog.records] == [
        "4 of about 20 settings, about 64 s left",
        "8 of about 20 settings, about 48 s left",
    ]
