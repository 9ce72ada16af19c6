"""Memory: sequences of still faces, the bar of the weighted mean, and a study from its recipe to its report."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from modules import run, seeded
from tiny_training import NETWORK

from converters.__main__ import main
from converters.checkpoints.reading import read_tensors
from converters.datasets.camera import FRESH, HELD, NORMALS, THROWS
from converters.evaluation.groups import first_half
from converters.train.arms import prepare_run
from converters.train.courses import FARTHEST, PEAK, Moving, fastest, make_course, smooth
from converters.train.processes import Processes
from converters.train.recipe import read_training
from converters.train.sequences import Clips, simulated, windows
from converters.train.state import follow
from converters.train.study import Study, prepare_study
from converters.train.study_report import Report
from converters.train.study_session import describe_study, run_study
from converters.train.view import View
from converters.train.weighted_mean import fuse, gain, years_off
from edgeface.errors import EdgefaceError, UsageError

VIEW = View(stored_wh=(48, 48), stored_padding=0.25, wanted_wh=(16, 16), padding=0.0, color="grey", density=1.0)
AGES = (10, 25, 40, 55)
RECIPE = """
network = "made.toml"
seed = 3
data = [{ set = "own" }]
validation = { sets = [{ set = "own", part = "val" }], score = { "own MAE years" = -1.0 } }
schedule = { epochs = 2, batch = 8, rate = 0.01, ema = 0.5, precision = "float32" }
loss.age = { kind = "distribution", prior = true }

[memory]
frames = 4
kinds = ["lstm-1", "gru-2"]
repeats = 2
all = { epochs = 1, batch = 8, rate = 0.001, precision = "float32" }
moving = { spacing = [0.1, 0.5] }
"""
HEAD = 'head = { kind = "expectation", output = "age", support = [10.0, 25.0, 40.0, 55.0] }\n'


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def crops(part: str, count: int, **columns: Sequence[str]) -> Any:
    """Greys with some texture: the brighter, the older."""
    dice = np.random.default_rng(len(part))
    ages = [AGES[number % 4] for number in range(count)]
    pixels = [np.clip(dice.normal(4 * age, 9, (48, 48)), 0, 255).astype(np.uint8) for age in ages]
    rows: list[Mapping[str, str]] = [
        {"age": str(age), "group": f"{part}{number // 2}", **{key: own[number] for key, own in columns.items()}}
        for number, age in enumerate(ages)
    ]
    return SimpleNamespace(pixels=np.stack(pixels), rows=rows, missed=0, view=VIEW)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of two kinds of layers on greys, and its network."""

    def loaded(network: Any, name: str, part: str, **_: Any) -> Any:
        return crops(part, 32)

    monkeypatch.setattr("converters.train.faces.load_faces", loaded)
    monkeypatch.setattr("converters.train.record._files_key", lambda *_: "0")
    text = NETWORK.replace('task = "expression"', 'task = "age"').partition("[head]")[0]
    text = text.replace(
        'heads.expression = { kind = "softmax", length = 7 }', 'heads.age = { kind = "softmax", length = 4 }'
    )
    first, _, rest = text.partition("\n[options]")
    (tmp_path / "made.toml").write_text(f"{first}\n{HEAD}\n[options]{rest}", "utf-8")
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE, "utf-8")
    return path


def prepared(recipe: Path) -> Study:
    return prepare_study(
        read_training(str(recipe)), data=recipe.parent, cache=recipe.parent / "cache", processes=Processes()
    )


def studied(recipe: Path, out: Path, *, resume: bool = False) -> tuple[Report, list[str]]:
    lines: list[str] = []
    path = run_study(prepared(recipe), out, data=recipe.parent, resume=resume, told=lines.append)
    return msgspec.json.decode(path.read_bytes(), type=Report), lines


class TestCourses:
    """Motion and light from frame to frame."""

    MOVING = Moving(spacing=(0.01, 0.01))

    def test_a_course_is_continuous_and_bounded(self) -> None:
        seconds: Any = np.arange(3000) * 0.01
        found = smooth(np.random.default_rng(1), seconds, (2.0, 20.0), 40)
        assert np.abs(found).max() <= PEAK
        assert np.abs(np.diff(found, axis=0)).max() <= 0.01 * fastest((2.0, 20.0))
        assert found.std() == pytest.approx(1, abs=0.15)

    def test_a_face_drifts_smoothly_and_jumps_by_the_detector_s_error_alone(self) -> None:
        still = Moving(spacing=(0.01, 0.01), jitter_scale=0, jitter_shift=0, jitter_rotation=0)
        step = 0.01 * fastest(still.period)
        for seed in range(20):
            smooth_one, jumping = (
                np.array([(np.log(m.scale), m.right, m.down, m.degrees) for m in made.motions])
                for made in (make_course(one, 400, np.random.default_rng(seed)) for one in (still, self.MOVING))
            )
            drift = np.array([still.drift_scale, still.drift_shift, still.drift_shift, still.drift_rotation])
            assert (np.abs(np.diff(smooth_one, axis=0)) <= step * drift).all()
            assert (np.abs(smooth_one) <= PEAK * drift).all()
            jump = np.array([0.027, 0.009, 0.009, 1.3])
            assert (np.abs(jumping - smooth_one) <= FARTHEST * jump + 1e-9).all()
            assert (jumping - smooth_one).std(axis=0) == pytest.approx(jump, rel=0.2)

    def test_no_recipe_makes_more_jitter_than_was_measured(self) -> None:
        for name, most in (("jitter_scale", 0.039), ("jitter_shift", 0.013), ("jitter_rotation", 1.8)):
            msgspec.convert({name: most}, Moving)
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert({name: most * 1.01}, Moving)

    def test_a_camera_stays_the_same_and_its_noise_does_not(self) -> None:
        made = make_course(self.MOVING, 50, np.random.default_rng(4))
        assert made.throws.shape == (50, THROWS)
        assert made.normals.shape == (50, NORMALS)
        assert (made.throws[:, HELD] == made.throws[0, HELD]).all()
        assert len(np.unique(made.throws[:, FRESH])) == 50
        slow = np.delete(made.throws, [*HELD, *FRESH], axis=1)
        assert 0 < np.abs(np.diff(slow, axis=0)).max() < 0.05
        assert ((made.throws > 0) & (made.throws < 1)).all()

    def test_spacing_varies_between_sequences(self) -> None:
        moving = Moving(spacing=(0.04, 4.0))
        found = [make_course(moving, 3, np.random.default_rng(seed)).seconds for seed in range(200)]
        spacing = np.array([one[1] for one in found])
        assert ((spacing >= 0.04) & (spacing <= 4)).all()
        assert (spacing < 0.2).any()
        assert (spacing > 2).any()
        assert all(one[2] == pytest.approx(2 * one[1]) for one in found)


class TestSequences:
    """Windows of a part, and whom they show."""

    def test_the_same_seed_gives_the_same_sequence(self) -> None:
        face = crops("train", 1).pixels[0]
        one, same, other = (simulated(face, VIEW, Moving(), 6, np.random.default_rng(seed)) for seed in (7, 7, 8))
        assert one.pixels.shape == (6, 16, 16, 1)
        np.testing.assert_array_equal(one.pixels, same.pixels)
        np.testing.assert_array_equal(one.quality, same.quality)
        assert not np.array_equal(one.pixels, other.pixels)
        assert ((one.quality > 0) & (one.quality <= 1)).all()

    def test_a_blurred_frame_weighs_less(self) -> None:
        face = np.random.default_rng(2).integers(90, 160, (48, 48), np.uint8)
        calm: dict[str, Any] = dict.fromkeys(("occlusion", "light", "low_resolution", "noise", "jpeg", "equalise"), 0)
        sharp, soft = (simulated(face, VIEW, Moving(**calm, blur=blur), 6, np.random.default_rng(1)) for blur in (0, 1))
        assert (soft.quality < sharp.quality).all()

    def test_halves_share_no_person(self, recipe: Path) -> None:
        study = prepared(recipe)
        (choosing,), (telling,) = study.choosing, study.telling
        assert set(choosing.features.people).isdisjoint(telling.features.people)
        assert len(choosing.features) + len(telling.features) == 32
        assert all(first_half(person) for person in choosing.features.people)

    def test_filmed_frames_are_cut_into_windows_in_the_order_of_time(self) -> None:
        names = ["a", "b"] * 5
        seconds = [str(10 - number) for number in range(10)]
        rows: list[Mapping[str, str]] = [
            {"sequence": name, "seconds": second} for name, second in zip(names, seconds, strict=True)
        ]
        assert windows(rows, 2, "own") == [[8, 6], [4, 2], [9, 7], [5, 3]]

    def test_filmed_frames_are_taken_as_they_are(self) -> None:
        faces = crops("train", 8, sequence=["a"] * 8, seconds=[f"{number / 2}" for number in range(8)])
        clips = Clips("own", "train", faces, Moving(), 3)
        assert (len(clips), clips.left_out, clips.real) == (2, 2, True)
        assert [row["age"] for row in clips.rows] == ["40", "25"], "the label of a window's last frame"
        made = clips.frames(1, np.random.default_rng(0))
        assert made.seconds.tolist() == [0, 0.5, 1]
        means = made.pixels.mean(axis=(1, 2, 3))
        assert means == pytest.approx(4 * np.array([55, 10, 25]), abs=5)

    def test_a_filmed_frame_without_a_time_is_one_line(self) -> None:
        rows = [{"sequence": "a", "seconds": "1"}, {"sequence": "a", "seconds": "soon"}]
        with pytest.raises(UsageError, match="own train, face 1: a frame needs sequence and seconds; complete the row"):
            windows(rows, 2, "own train")


class TestBar:
    """The weighted mean, and what beats it."""

    def test_the_mean_weighs_by_quality(self) -> None:
        answers = np.array([[[1, 0], [0, 1], [0.5, 0.5]]], np.float32)
        fused = fuse(answers, np.array([[0.6, 0.2, 0.2]], np.float32))
        np.testing.assert_allclose(fused, [[0.7, 0.3]], rtol=1e-6)

    def test_years_off_count_to_the_nearer_end_of_a_bin(self) -> None:
        off = years_off(np.array([25.0, 18.5, 31.0, 40.0]), ["20-29", "20-29", "20-29", "37"])
        assert off.tolist() == [0, 1.5, 2, 3]

    def test_a_worked_example(self) -> None:
        # Two repeats of four windows, the last two of one person. Gains: 1 2 0 1 and 1 2 2 3, in the mean 1 2 1 2.
        bar = np.array([4.0, 5.0, 3.0, 4.0])
        tried = np.array([[3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 1.0, 1.0]])
        found = gain(bar, tried, ["a", "b", "c", "c"])
        assert (found.windows, found.people, found.repeats) == (4, 3, 2)
        assert found.years == pytest.approx(1.5)
        # People: (.5^2 + .5^2 + 0) / 16 * 3/2; repeats: means 1 and 2, variance .5, of two.
        assert found.error == pytest.approx((0.5 / 16 * 1.5 + 0.25) ** 0.5, abs=1e-6)
        assert not found.beats
        assert "not beaten" in found.text

    def test_a_sure_gain_beats(self) -> None:
        dice = np.random.default_rng(0)
        bar = dice.normal(6, 2, 400)
        tried = bar - 0.3 + dice.normal(0, 0.5, (3, 400))
        found = gain(bar, tried, [str(number) for number in range(400)])
        assert found.beats
        assert not gain(bar, bar[None] + 0.3, [str(number) for number in range(400)]).beats


class TestStudy:
    """From a recipe to a report, on greys."""

    def test_it_trains_chooses_and_tells(self, recipe: Path, tmp_path: Path) -> None:
        report, lines = studied(recipe, tmp_path / "out")
        ways = [one.way for one in report.trained]
        assert ways == [
            *[("frame", "layers+head")] * 2,
            *[(kind, arm) for kind in ("lstm-1", "gru-2") for arm in ("layers", "layers+head") for _ in range(2)],
            (report.chosen[0] if report.chosen else "", "all"),
        ]
        scores = {way: np.mean([one.score for one in report.trained if one.way == way]) for way in ways[2:-1]}
        assert scores[report.chosen] == max(scores.values())  # type: ignore[index]
        assert set(report.gains["own"]) == {
            "weighted mean",
            "device's pool",
            "weighted mean, head tuned",
            "single frame",
            "single frame, head tuned",
        }
        mine = [one.off["own"] for one in report.trained if one.way == report.chosen]
        assert report.gains["own"]["weighted mean"].years == pytest.approx(report.bar["own"] - np.mean(mine), abs=0.002)
        assert report.gains["own"]["device's pool"].years == pytest.approx(
            report.pool["own"] - np.mean(mine), abs=0.002
        )
        assert any("beside the weighted mean:" in line for line in lines)
        assert (tmp_path / "out" / "lstm-1.layers.1" / "lstm-1.layers.1.json").is_file()

    def test_an_arm_trains_its_own_weights_alone(self, recipe: Path, tmp_path: Path) -> None:
        studied(recipe, tmp_path / "out")
        begun = dict(prepared(recipe).begun.module.named_parameters())
        moved = {}
        for arm in ("layers", "layers-head"):
            path = tmp_path / "out" / f"lstm-1.{arm}.1" / f"lstm-1.{arm}.1.safetensors"
            held = {
                name.removeprefix("backbone."): value
                for name, value in read_tensors(path.read_bytes(), path.name).items()
            }
            moved[arm] = {
                name
                for name, value in begun.items()
                if not np.allclose(held[name], (value.half() if value.ndim > 1 else value).detach(), atol=1e-6)
            }
        assert moved["layers"] == set()
        assert moved["layers-head"] == {"heads.age.weight", "heads.age.bias"}
        whole = prepare_run(prepared(recipe), "lstm-1", "all", 1)
        assert all(parameter.requires_grad for parameter in whole.begun.module.parameters())
        assert whole.lesson.batches[0].faces.shape == (8, 4, 1, 16, 16)

    def test_stopped_and_resumed_it_finds_the_same(
        self, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole, _ = studied(recipe, tmp_path / "whole")
        calls = 0

        def stopped(*arguments: Any) -> None:
            nonlocal calls
            calls += 1
            follow(*arguments)
            if calls == 21:
                os.kill(os.getpid(), signal.SIGTERM)

        with monkeypatch.context() as patch:
            patch.setattr("converters.train.loop.follow", stopped)
            with pytest.raises(EdgefaceError, match="all of it is kept; go on with --resume"):
                studied(recipe, tmp_path / "parts")
        with pytest.raises(UsageError, match="holds a study; go on with --resume"):
            studied(recipe, tmp_path / "parts")
        parts, _ = studied(recipe, tmp_path / "parts", resume=True)
        assert [one.off for one in parts.trained] == [one.off for one in whole.trained]
        assert parts.gains == whole.gains

    def test_frames_before_the_last_may_go_unjudged(self, recipe: Path) -> None:
        recipe.write_text(RECIPE.replace("frames = 4", "frames = 4\nevery = false"), "utf-8")
        batch = prepare_run(prepared(recipe), "gru-2", "layers", 1).lesson.batches[0]
        known = ~batch.targets["age"][:, 0].isnan()
        assert known.view(8, 4).tolist() == [[False, False, False, True]] * 8
        assert batch.faces.shape == (8, 4, 16)

    def test_features_are_made_once(self, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = prepared(recipe)
        monkeypatch.setattr("converters.train.features.features_of", lambda made, *_: np.zeros((len(made.pixels), 16)))
        again = prepared(recipe)
        np.testing.assert_array_equal(first.features[0].values, again.features[0].values)
        assert np.abs(again.features[0].values).sum() > 0

    def test_a_dry_run_says_what_would_be(self, recipe: Path) -> None:
        said = "\n".join(describe_study(prepared(recipe)))
        for words in ("own train: 32 windows of 16 people", "choose", "gru-2: 8 steps", "everything: 4 steps", "hours"):
            assert words in said

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            pytest.param('kinds = ["lstm-1", "gru-2"]', 'kinds = ["lstm-4"]', "Invalid enum value", id="layers"),
            pytest.param("spacing = [0.1, 0.5]", "jitter_shift = 0.05", "<= 0.013", id="jitter"),
            pytest.param("spacing = [0.1, 0.5]", "spacing = [0.5, 0.1]", "least first", id="spacing"),
            pytest.param(
                'set = "own" }', 'set = "own", parts = ["val"] }', "val is both learnt from and judged by", id="people"
            ),
        ],
    )
    def test_what_is_wrong_is_one_line(self, recipe: Path, old: str, new: str, words: str) -> None:
        assert old in RECIPE
        recipe.write_text(RECIPE.replace(old, new, 1), "utf-8")
        with pytest.raises(UsageError, match=words):
            prepared(recipe)


class TestNetwork:
    """Step and window are one network."""

    OPTIONS: Mapping[str, Any] = {
        "backbone": "dense_residual",
        "options": {
            "channels": 1,
            "width": 4,
            "heads": {"age": {"kind": "coral", "length": 9}, "gender": {"kind": "softmax", "length": 2}},
        },
    }
    FACES = torch.rand(2, 6, 1, 16, 16, generator=torch.Generator().manual_seed(5))

    def both(self, **options: Any) -> tuple[Any, Any]:
        """A window and a step with its weights, which remember: torch's first ones forget nearly at once."""
        window = seeded("over_time", form="window", **self.OPTIONS, **options)
        with torch.no_grad():
            for weight in window.layers.parameters():
                weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
        step = seeded("over_time", **self.OPTIONS, **options)
        step.load_state_dict(window.state_dict())
        return window, step

    @pytest.mark.parametrize("shortcut", [False, True])
    @pytest.mark.parametrize(
        ("cell", "layers"), [("lstm", 1), ("lstm", 2), ("lstm", 3), ("gru", 1), ("gru", 3), ("mean", 1)]
    )
    def test_steps_are_one_window(self, cell: str, layers: int, shortcut: bool) -> None:
        window, step = self.both(cell=cell, layers=layers, shortcut=shortcut)
        memory = [torch.zeros(2, *shape) for shape in step.states.values()]
        assert len(memory) == layers * (1 if cell == "gru" else 2)
        said = []
        for frame in range(6):
            age, gender, *memory = run(step, self.FACES[:, frame], *memory)
            said.append(age)
        expected = run(window, self.FACES)
        torch.testing.assert_close(said[-1], expected[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(gender, expected[1])
        assert (
            said[-1] - run(step, self.FACES[:, -1], *(torch.zeros_like(one) for one in memory))[0]
        ).abs().max() > 1e-4
        with torch.no_grad():
            every = window.logits(window.features(self.FACES))[0].view(2, 6, -1).sigmoid()
        torch.testing.assert_close(every, torch.stack(said, dim=1), atol=1e-5, rtol=0)

    def test_a_learnt_mean_begins_as_the_plain_one(self) -> None:
        window = seeded("over_time", form="window", cell="mean", layers=1, **self.OPTIONS)
        with torch.no_grad():
            mean = window.features(self.FACES).mean(dim=1)
            torch.testing.assert_close(run(window, self.FACES)[0], window.backbone.heads(mean)[0])

    def test_without_layers_each_frame_stands_for_itself(self) -> None:
        window = seeded("over_time", form="window", layers=0, **self.OPTIONS)
        torch.testing.assert_close(run(window, self.FACES)[0], run(window.backbone, self.FACES[:, -1])[0])

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"layers": 4}, "give 0 to 3"),
            ({"cell": "mean", "layers": 2}, "a learnt mean has 1"),
            ({"cell": "rnn"}, "a cell of lstm, gru, mean"),
            ({"remembers": "mood"}, "answers age, gender, not mood"),
            ({"form": "both"}, "step or window"),
        ],
    )
    def test_what_it_cannot_be_is_one_line(self, wrong: Mapping[str, Any], words: str) -> None:
        with pytest.raises(UsageError, match=words):
            seeded("over_time", **{**self.OPTIONS, **wrong})


def as_toml(value: Any) -> str:
    """A value as TOML has it in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(one)}" for key, one in value.items() if one is not None) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(as_toml, value))}]"
    return json.dumps(value)


@pytest.mark.parametrize("kind", ["lstm-1", "gru-2", "mean-1"])
def test_what_was_trained_is_built_frame_by_frame(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made = msgspec.to_builtins(prepare_run(prepared(recipe), kind, "layers", 1).training.network)
    made |= {"files": {"onnx": ["fp32"], "litert": ["fp32"]}, "prepared": {"batches": [1]}}
    lines = [f"{key} = {as_toml(value)}" for key, value in made.items() if value is not None]
    (tmp_path / "mine.toml").write_text("\n".join(lines) + "\n", "utf-8")
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "build"))
    assert main(["build", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "built")]) == 0
    assert {path.name for path in (tmp_path / "built").glob("mine.fp32.*")} == {"mine.fp32.onnx", "mine.fp32.tflite"}
