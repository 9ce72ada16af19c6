"""Every kind of head learns from its labels, and a student from a teacher, on greys that tell them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from tiny_training import NETWORK, RECIPE, write_training

from converters.recipes.reading import read_network
from converters.references.torch_module import load_module
from converters.train.batches import Scale
from converters.train.figures import answer_all
from converters.train.prepare import prepare
from converters.train.processes import CPU, Processes
from converters.train.recipe import read_training
from converters.train.session import train
from converters.train.view import View

COUNT = 96
YEARS = ", ".join(f"{year}.0" for year in range(101))
HEADS = {
    "age by ranks": ("age", 'kind = "coral"\nlength = 99', 'kind = "coral"\noutput = "x"\nlowest = 1\nranks = 99'),
    "age as a distribution": (
        "age",
        'kind = "softmax"\nlength = 101',
        f'kind = "expectation"\noutput = "x"\nsupport = [{YEARS}]',
    ),
    "valence and arousal": ("affect", 'kind = "tanh"\nlength = 2', 'kind = "affect"\noutput = "x"'),
}
SCORES = {"age": "utkface MAE years", "affect": "utkface valence RMSE"}


class Greys:
    """Faces whose brightness tells their age, and how pleasant they are; every second age is a bin."""

    missed = 0
    view = View(stored_wh=(16, 16), stored_padding=0, wanted_wh=(16, 16), padding=0, color="grey", density=1.0)

    def __init__(self, part: str) -> None:
        level = np.random.default_rng(len(part)).random(COUNT)
        self.pixels = np.broadcast_to((40 + 170 * level)[:, None, None], (COUNT, 16, 16)).astype(np.uint8)
        ages = [round(10 + 50 * one) for one in level]
        decades = [f"{age // 10 * 10}-{age // 10 * 10 + 9}" for age in ages]
        bins = part == "train"
        self.rows = [
            {
                "age": decade if bins and number % 2 else str(age),
                "valence": f"{2 * one - 1:.3f}",
                "arousal": f"{1 - 2 * one:.3f}",
                "race": "",
                "gender": "",
            }
            for number, (age, decade, one) in enumerate(zip(ages, decades, level, strict=True))
        ]


def load(_: Any, __: str, part: str, **___: Any) -> Greys:
    return Greys(part)


@pytest.mark.parametrize("name", HEADS)
def test_every_kind_of_head_learns(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("converters.train.prepare.storing.load_faces", load)
    monkeypatch.setattr("converters.train.record._files_key", lambda *_: "made")
    task, options, head = HEADS[name]
    network = NETWORK.partition("[options]")[0].replace('task = "expression"', f'task = "{task}"')
    network += "[options]\nchannels = 1\nwidth = 4\nstem_stride = 2\ndropout = 0.0\n"
    spec = NETWORK.partition("[input]")[2].partition("[head]")[0]
    network += f"[options.heads.x]\n{options}\n[input]\n{spec}[head]\n{head}\n"
    recipe = RECIPE.partition("[loss")[0].replace("fer2013 accuracy", SCORES[task]).replace("= 1.0", "= -1.0")
    recipe = recipe.replace("fer2013", "utkface").replace("publictest", "val").replace("epochs = 4", "epochs = 15")
    path = write_training(tmp_path, recipe)
    (tmp_path / "made.toml").write_text(network)
    torch.set_num_threads(1)
    prepared = prepare(read_training(str(path)), data=tmp_path, cache=tmp_path, folder=tmp_path, processes=Processes())
    train(prepared, tmp_path / "out", data=tmp_path, resume=False, weights=None, told=lambda _: None)
    curve = json.loads((tmp_path / "out" / "tiny.json").read_text())["curve"]
    figures = [row["figures"][SCORES[task]] for row in curve]
    assert min(figures) < (8 if task == "age" else 0.3), figures
    assert curve[-1]["loss"][task] < curve[0]["loss"][task]


def test_a_student_learns_from_a_teacher_alone(tmp_path: Path) -> None:
    text = RECIPE.replace("epochs = 4", "epochs = 8")
    teacher = '\n[teacher]\nnetwork = "large.toml"\ncheckpoints = ["large.pt"]\nshare = 1.0\n'
    path = write_training(tmp_path, text + teacher)
    (tmp_path / "large.toml").write_text(NETWORK.replace("width = 2", "width = 4"), "utf-8")
    network = read_network(str(tmp_path / "large.toml"))[1]
    module = load_module(msgspec.structs.replace(network, seed=7))
    torch.save(module.state_dict(), tmp_path / "large.pt")
    torch.set_num_threads(1)
    prepared = prepare(
        read_training(str(path)), data=tmp_path / "data", cache=tmp_path / "cache", folder=None, processes=Processes()
    )
    faces = prepared.held[0].faces
    ask: dict[str, Any] = {
        "heads": prepared.heads,
        "faces": faces,
        "scale": Scale(prepared.training.network.input, CPU),
        "bfloat16": False,
    }
    wanted = answer_all(module, **ask)["expression"]
    before = answer_all(prepared.begun.module.eval(), **ask)["expression"]
    train(prepared, tmp_path / "out", data=tmp_path / "data", resume=False, weights=None, told=lambda _: None)
    state = torch.load(tmp_path / "out" / "state.pt", weights_only=True)
    module = prepared.begun.module
    module.load_state_dict(state["ema"])
    after = answer_all(module.eval(), **ask)["expression"]
    assert np.abs(after - wanted).mean() < 0.7 * np.abs(before - wanted).mean()
    record = json.loads((tmp_path / "out" / "tiny.json").read_text())
    assert [len(one) for one in record["teachers"]] == [64]
