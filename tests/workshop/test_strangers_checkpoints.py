"""Checkpoints as training scripts leave them: wrapped names, foreign objects beside the weights, other tools' files."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import io
import os
import pathlib
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save

from converters.checkpoints.keymap import load_weights
from converters.checkpoints.reading import kind_of, read_tensors
from converters.inspection.any_file import examine
from converters.networks import make_network
from edgeface.errors import EdgefaceError

FAMILY, OPTIONS = "vgg48", {"form": "plain", "labels": 7}
FITS = 'vgg48 form="plain" labels=7'


class Attributes(dict[str, object]):
    """As Lightning, EasyDict and OmegaConf have them: a dictionary of a class of their own."""


class Config:
    """An object with state."""

    def __init__(self) -> None:
        self.content = Attributes(lr=0.1)


class Colour(enum.Enum):
    RED = 1


class Many(list[object]):
    """A list of a class of its own."""


def helper() -> None:
    """A function that somebody kept beside weights."""


class Runs:
    """What a hostile file would like to be called."""

    def __init__(self, *called: Any) -> None:
        self.called = called

    def __reduce__(self) -> tuple[Any, ...]:
        return self.called[0], self.called[1:]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    module = make_network(FAMILY, OPTIONS)
    return {name: torch.rand_like(value) for name, value in module.state_dict().items()}


def saved(held: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(held, buffer, **options)
    return buffer.getvalue()


def prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in state.items()}


def read(data: bytes, name: str = "w.pth") -> dict[str, np.ndarray]:
    """Tensors as they come into the network that they fit."""
    module = make_network(FAMILY, OPTIONS)
    load_weights(module, FAMILY, kind_of(name), read_tensors(data, name))
    return {name: value.numpy() for name, value in module.state_dict().items()}


def expect(data: bytes, state: dict[str, torch.Tensor], name: str = "w.pth") -> None:
    for key, value in read(data, name).items():
        np.testing.assert_array_equal(value, state[key].numpy())


@pytest.mark.parametrize(
    "prefix",
    ["_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.", "model.backbone.", "a.b.c."],
)
def test_prefixes_are_taken_off(prefix: str, state: dict[str, torch.Tensor]) -> None:
    expect(saved(prefixed(state, prefix)), state)


@pytest.mark.parametrize("prefix", ["model.", "student.", "net.module."])
def test_something_else_beside_a_wrapper(prefix: str, state: dict[str, torch.Tensor]) -> None:
    beside = {"criterion.weight": torch.ones(3), "epoch": torch.tensor(3.0)}
    expect(saved({"state_dict": {**prefixed(state, prefix), **beside}}), state)


NESTED: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    "ema": lambda s: {"ema": {"decay": 0.9, "module": s}, "epoch": 1},
    "model and ema": lambda s: {"model": s, "ema": {"module": {k: v + 1 for k, v in s.items()}}},
    "unknown key": lambda s: {"generator": s, "optimizer": {"state": {str(i): torch.zeros(9) for i in range(99)}}},
    "two deep": lambda s: {"checkpoint": {"state_dict": prefixed(s, "module.")}},
    "class of its own": lambda s: Attributes(state_dict=Attributes(s)),
    "params are no weights": lambda s: {"params": {"lr": 0.1}, "state_dict": s},
    "whole model beside": lambda s: {"model": torch.nn.Linear(2, 2), "model_state_dict": s},
}


@pytest.mark.parametrize("nest", NESTED.values(), ids=NESTED)
def test_nests(nest: Callable[[dict[str, torch.Tensor]], Any], state: dict[str, torch.Tensor]) -> None:
    expect(saved(nest(state)), state)


BESIDE: dict[str, Any] = {
    "numpy number": np.float64(0.7),
    "numpy array": np.arange(3.0),
    "numpy state": np.random.RandomState(0).get_state(),
    "Namespace": argparse.Namespace(lr=0.1, out=pathlib.Path("x")),
    "SimpleNamespace": types.SimpleNamespace(a=[1, 2]),
    "defaultdict": collections.defaultdict(list, {"a": [1]}),
    "OrderedDict": collections.OrderedDict(a=1),
    "attributes": Attributes(lr=1, deep=Attributes(cfg=Config())),
    "object": Config(),
    "enum": Colour.RED,
    "list": Many([1, 2]),
    "function": helper,
    "time": datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
    "module": torch.nn.Linear(2, 2),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)
def test_what_lies_beside_the_weights_is_passed_over(beside: Any, zipped: bool, state: dict[str, torch.Tensor]) -> None:
    held = {"epoch": 9, "more": beside, "state_dict": state}
    expect(saved(held, _use_new_zipfile_serialization=zipped), state)


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ((os.system, "touch {}"), "posix.system"),
        ((eval, "open('{}', 'w')"), "eval"),
        ((exec, "open('{}', 'w')"), "exec"),
    ],
)
def test_code_is_named_and_not_run(
    called: tuple[Any, str], name: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    data = saved({"state_dict": state, "x": Runs(called[0], called[1].format(trace))})
    with pytest.raises(EdgefaceError, match=rf"w.pth is pickled code .* was not run: it calls \S*{name}"):
        read(data)
    assert not trace.exists()


def test_a_whole_model_is_named_by_its_class() -> None:
    with pytest.raises(EdgefaceError, match=r"pickled code .* not run: of torch.nn.modules.linear.Linear; save"):
        read(saved(torch.nn.Linear(2, 2)))
    with pytest.raises(EdgefaceError, match=r"pickled code .* not run: of torch.nn.modules.linear.Linear; save"):
        read(saved({"model": torch.nn.Linear(2, 2)}))


def test_safetensors_and_lightning_are_read(state: dict[str, torch.Tensor]) -> None:
    expect(save({name: value.contiguous() for name, value in state.items()}), state, "w.safetensors")
    expect(saved({"state_dict": prefixed(state, "model."), "pytorch-lightning_version": "2.0"}), state, "w.ckpt")
    halves = {name: value.bfloat16() for name, value in state.items()}
    np.testing.assert_allclose(read(save(halves), "w.safetensors")["dense.0.bias"], state["dense.0.bias"], atol=1e-2)


def test_weights_that_are_not_numbers_are_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    broken = {**state, "dense.0.bias": state["dense.0.bias"] / 0}
    with pytest.raises(EdgefaceError, match=r"vgg48 holds 305 values in dense.0.bias that are not numbers"):
        read(saved(broken))
    path = tmp_path / "w.pth"
    path.write_bytes(saved(broken))
    assert examine(path)["not_numbers"] == ("dense.0.bias",)


def found(path: Path, data: bytes) -> dict[str, Any]:
    path.write_bytes(data)
    return examine(path)


def test_nearest_is_always_said(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    assert found(tmp_path / "c.pth", saved(prefixed(state, "_orig_mod.")))["fits"] == (FITS,)
    renamed = {f"layer{number}.x": value for number, value in enumerate(state.values())}
    assert found(tmp_path / "r.pth", saved(renamed))["nearest"].startswith(f"{FITS} by shapes alone: ")
    nothing = {"a": torch.ones(3, 5), "b": torch.ones(5, 7)}
    assert found(tmp_path / "n.pth", saved(nothing))["nearest"].startswith("none: no network known here")
    with h5py.File(tmp_path / "k.h5", "w") as file:
        for number, value in enumerate(state.values()):
            # Keras' axes: height, width, in, out.
            file[f"model_weights/all/inner/layer_{number}/kernel:0"] = value.permute(*range(value.ndim)[::-1]).numpy()
    assert examine(tmp_path / "k.h5")["nearest"].startswith(FITS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("w.keras", r"w.keras is a Keras archive, which is not read here; .*NAME.h5"),
        ("saved_model.pb", r"is a TensorFlow graph, .*tf2onnx"),
        ("model.ckpt.index", r"is a part of a TensorFlow checkpoint"),
        ("w.engine", r"is a compiled network.*bring the .onnx"),
        ("w.pkl", r"a pickle, which may run code"),
        ("w.unheard", r"has no known ending; bring one of"),
        ("w.safetensors", r"is no safetensors file that can be read"),
        ("w.ckpt", r"is no torch file .*if it is TensorFlow's"),
    ],
)
def test_a_file_that_nothing_here_reads_says_the_way_on(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"12345678 no such thing")
    with pytest.raises(EdgefaceError, match=words) as raised:
        examine(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_a_folder_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(EdgefaceError, match=r"is a TensorFlow SavedModel, not a file.*tf2onnx"):
        examine(tmp_path)


def test_a_real_keras_archive_is_told_by_its_ending(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(EdgefaceError, match="a Keras archive"):
        examine(tmp_path / "w.keras")
