"""Key maps: other people's names and axes become ours, and what does not fit is told by name."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from converters.checkpoints import keyfile
from converters.checkpoints.keyfile import KEYS, KeyMap, read_map
from converters.checkpoints.keymap import fit, load_weights, parameter_shapes
from converters.checkpoints.layouts import to_torch_axes
from converters.checkpoints.reading import KINDS, kind_of, read_tensors
from converters.checkpoints.repetition import bindings, fill
from converters.formats.errors import CheckpointError
from converters.networks import FAMILIES
from converters.networks.retinaface import RetinaFace

KERNEL = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
DEPTHWISE = np.arange(6 * 4 * 5, dtype=np.float32).reshape(6, 1, 4, 5)
DENSE = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    ("layout", "theirs", "ours"),
    [
        pytest.param("plain", KERNEL, KERNEL, id="torch and ONNX"),
        pytest.param("hwio", KERNEL.transpose(2, 3, 1, 0), KERNEL, id="Keras kernel"),
        pytest.param("ohwi", KERNEL.transpose(0, 2, 3, 1), KERNEL, id="TFLite kernel"),
        pytest.param("ohwi", KERNEL.transpose(0, 2, 3, 1).reshape(-1), KERNEL, id="flat array of an object file"),
        pytest.param("hwim", DEPTHWISE.transpose(2, 3, 0, 1), DEPTHWISE, id="Keras depthwise"),
        pytest.param(
            "hwim",
            DEPTHWISE.reshape(3, 2, 4, 5).transpose(2, 3, 0, 1),
            DEPTHWISE,
            id="Keras depthwise, each channel taken twice",
        ),
        pytest.param("1hwc", DEPTHWISE.transpose(1, 2, 3, 0), DEPTHWISE, id="TFLite depthwise"),
        pytest.param("hwc", DEPTHWISE.transpose(2, 3, 0, 1).reshape(20, 6), DEPTHWISE, id="rows merged"),
        pytest.param("io", DENSE.T, DENSE, id="Keras dense"),
        pytest.param("io", DENSE.T, DENSE.reshape(2, 3, 1, 1), id="dense layer as a convolution"),
        pytest.param("io", KERNEL.reshape(2, -1).T, KERNEL, id="dense layer over a map, channel first"),
        pytest.param(
            "owhi", KERNEL.transpose(0, 3, 2, 1).reshape(2, -1), KERNEL, id="dense layer over a map by width and height"
        ),
        pytest.param("plain", np.ones((1, 7, 1, 1), np.float32), np.ones(7, np.float32), id="a vector with more axes"),
        pytest.param("plain", np.ones((), np.float32), np.ones(1, np.float32), id="a number"),
    ],
)
def test_axes_become_those_of_torch(layout: str, theirs: np.ndarray, ours: np.ndarray) -> None:
    got = to_torch_axes(theirs, layout, ours.shape)
    np.testing.assert_array_equal(got, ours)
    assert got.flags.c_contiguous


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        pytest.param("plain", (3, 2, 4, 5), id="axes exchanged"),
        pytest.param("hwio", (2, 3, 4, 5), id="already in our order"),
        pytest.param("plain", (2, 3, 4, 4), id="other kernel"),
        pytest.param("plain", (4, 30), id="as many numbers, cut elsewhere"),
    ],
)
def test_another_shape_is_never_bent_into_ours(layout: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="has the shape"):
        to_torch_axes(np.zeros(shape, np.float32), layout, KERNEL.shape)


@given(st.permutations("oihw"), st.tuples(*[st.integers(1, 5)] * 4))
def test_any_order_of_axes_can_be_told(letters: list[str], shape: tuple[int, ...]) -> None:
    ours = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    theirs = ours.transpose(["oihw".index(letter) for letter in letters])
    np.testing.assert_array_equal(to_torch_axes(theirs, "".join(letters), shape), ours)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        pytest.param("plain", ["plain"], id="nothing to fill in"),
        pytest.param("b.{n}", ["b.0", "b.1"], id="numbers"),
        pytest.param("b_{2*n+1}", ["b_1", "b_3"], id="sums"),
        pytest.param("{head}.{n}", ["cls.0", "cls.1", "box.0", "box.1"], id="words and numbers"),
        pytest.param("b_{3*n+k+2}", ["b_2", "b_3", "b_4", "b_5", "b_6", "b_7"], id="two names in one sum"),
    ],
)
def test_one_line_stands_for_many_names(pattern: str, names: list[str]) -> None:
    ranges: dict[str, int | tuple[str, ...]] = {"n": 2, "k": 3, "head": ("cls", "box")}
    assert [fill(pattern, values) for values in bindings(pattern, ranges)] == names


class Small(nn.Module):
    """A convolution with batch norm, and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.dense = nn.Linear(4, 2)


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a key map of a folder of its own."""
    monkeypatch.setattr(keyfile, "KEYS", tmp_path)

    def write(text: str, name: str = "small.keras.toml") -> None:
        (tmp_path / name).write_text(text)

    return write


def small_state() -> dict[str, np.ndarray]:
    torch.manual_seed(5)
    state = Small().state_dict()
    return {name: tensor.numpy() for name, tensor in state.items() if tensor.is_floating_point()}


def test_a_state_dictionary_of_the_same_names_needs_no_map(keys: Callable[..., None]) -> None:
    module = Small()
    load_weights(module, "small", "torch", small_state())
    assert not module.training
    np.testing.assert_array_equal(module.conv.weight.detach(), small_state()["conv.weight"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(
            lambda s: s.update({"konv.weight": s.pop("conv.weight")}),
            "does not fit small: missing: conv.weight; extra: konv.weight;",
            id="a renamed tensor",
        ),
        pytest.param(
            lambda s: s.update({"dense.weight": s["dense.weight"].T}),
            r"another shape: dense.weight has the shape \[4, 2\], not \[2, 4\];",
            id="another shape",
        ),
        pytest.param(
            lambda s: s.update({f"more.{n}": np.zeros(1, np.float32) for n in range(9)}),
            "extra: more.0, more.1, more.2, more.3, more.4, more.5 and 3 more;",
            id="many of them",
        ),
        pytest.param(lambda s: s.clear(), "missing: conv.bias, conv.weight, dense.bias, .* and 2 more;", id="nothing"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(
    keys: Callable[..., None], change: Callable[[dict[str, np.ndarray]], None], words: str
) -> None:
    state = small_state()
    change(state)
    with pytest.raises(CheckpointError, match=words) as raised:
        load_weights(Small(), "small", "torch", state)
    assert "\n" not in str(raised.value)


def test_names_are_exchanged_by_pattern(keys: Callable[..., None]) -> None:
    keys('unused = ["^top"]\n[rename]\n"^features\\\\.(\\\\w+)" = "\\\\1"\n', "small.torch.toml")
    module = Small()
    theirs = {f"features.{name}": array for name, array in small_state().items()} | {"top.x": np.zeros(3, np.float32)}
    load_weights(module, "small", "torch", theirs)
    np.testing.assert_array_equal(module.dense.weight.detach(), small_state()["dense.weight"])


def test_a_batch_norm_is_folded_as_torch_runs_it() -> None:
    torch.manual_seed(1)
    plain, norm, folded = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=1e-3), nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.uniform_(0.5, 2)
    tensors = {
        "c/kernel": plain.weight.detach().permute(2, 3, 1, 0).numpy(),
        "c/bias": plain.bias.detach().numpy(),
        "n/gamma": norm.weight.detach().numpy(),
        "n/beta": norm.bias.detach().numpy(),
        "n/moving_mean": norm.running_mean.numpy(),
        "n/moving_variance": norm.running_var.numpy(),
    }
    entry = keyfile.Folded(kernel="c/kernel", bias="c/bias", layout="hwio", norm="n")
    shapes = {"weight": (4, 3, 3, 3), "bias": (4,)}
    found = fit(KeyMap(folded={"": entry}), {f".{name}": shape for name, shape in shapes.items()}, tensors)
    assert not found.faults
    folded.load_state_dict({name.lstrip("."): torch.tensor(array) for name, array in found.state.items()})
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(folded(x), norm.eval()(plain(x)), rtol=1e-5, atol=1e-5)


def test_slices_can_be_taken_and_scaled() -> None:
    piece = keyfile.Piece(
        source="w", reshape=(2, 4), take=keyfile.Take(axis=1, indices=(2, 0)), layout="io", scale_by="s"
    )
    theirs = {"w": np.arange(8, dtype=np.float32), "s": np.array([10, 100], np.float32)}
    found = fit(KeyMap(tensors={"x": piece}), {"x": (2, 2)}, theirs)
    assert found.state["x"].tolist() == [[20.0, 60.0], [0.0, 400.0]]


def test_of_several_maps_the_one_that_fits_is_taken(keys: Callable[..., None]) -> None:
    keys('[tensors]\n"weight" = "kernel"\n"bias" = "offset"\n')
    keys(
        '[tensors]\n"weight" = { from = "dense/kernel", layout = "io" }\n"bias" = "dense/bias"\n', "small.keras.b.toml"
    )
    module = nn.Linear(3, 2)
    load_weights(module, "small", "keras", {"dense/kernel": DENSE.T, "dense/bias": np.ones(2, np.float32)})
    np.testing.assert_array_equal(module.weight.detach(), DENSE)


def test_what_no_map_can_say_is_code_beside_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def adapt(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name.lower(): array for name, array in tensors.items()}

    monkeypatch.setattr(sys.modules[__name__], "adapt", adapt, raising=False)
    module = Small()
    load_weights(module, "small", "torch", {name.upper(): array for name, array in small_state().items()})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("tensor = 1", "Object contains unknown field `tensor`", id="a typo"),
        pytest.param('[tensors]\n"a.{n}" = "b"', "n stands in no", id="a name without a range"),
        pytest.param('unused = ["("]', "key map small.keras.toml: missing ", id="a pattern that is none"),
        pytest.param('[ranges]\nn = 2\n[tensors]\n"a.{n}" = "b{n-1}"', "is no sum of", id="something else in braces"),
        pytest.param("[tensors", "key map small.keras.toml", id="no TOML"),
    ],
)
def test_a_map_with_a_mistake_says_so(keys: Callable[..., None], text: str, words: str) -> None:
    keys(text)
    with pytest.raises(CheckpointError, match=words) as raised:
        load_weights(Small(), "small", "keras", small_state())
    assert "\n" not in str(raised.value)


def test_without_a_map_other_kinds_of_files_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"no_such_family has no key map for tflite files; write keys/"):
        load_weights(Small(), "no_such_family", "tflite", small_state())


@pytest.mark.parametrize("path", sorted(KEYS.glob("*.toml")), ids=lambda path: path.name)
def test_every_shipped_map_can_be_read_and_belongs_to_a_family(path: Path) -> None:
    family, kind = path.name.split(".")[:2]
    assert family in FAMILIES
    assert kind in KINDS.values()
    read_map(path)


def test_a_file_without_a_known_ending_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"weights.bin has no known ending; bring one of .pth"):
        kind_of("folder/weights.bin".rpartition("/")[2])


def saved(held: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(held, buffer)
    return buffer.getvalue()


def scripted() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "held",
    [
        pytest.param({"a.w": torch.ones(2)}, id="plain"),
        pytest.param({"module.a.w": torch.ones(2)}, id="of several GPUs"),
        pytest.param({"state_dict": {"a.w": torch.ones(2)}, "epoch": 3}, id="beside an epoch"),
        pytest.param({"model": {"module.a.w": torch.ones(2)}, "optimizer": {"lr": 1}}, id="beside an optimizer"),
        pytest.param({"a.w": torch.ones(2, dtype=torch.float16)}, id="in half precision"),
        pytest.param({"a.w": torch.ones(2), "n.num_batches_tracked": torch.tensor(7)}, id="with a counter"),
    ],
)
def test_state_dictionaries_as_people_save_them(held: object) -> None:
    tensors = read_tensors(saved(held), "weights.pth")
    assert list(tensors) == ["a.w"]
    assert tensors["a.w"].dtype == np.float32


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(scripted(), "w.pt is TorchScript, a program and no state dictionary; save torch.jit", id="script"),
        pytest.param(saved(Small()), "w.pt is pickled code and no state dictionary, and was not run", id="a model"),
        pytest.param(saved({"a": torch.ones(99)})[:300], "w.pt is no torch file that can be read", id="cut off"),
        pytest.param(b"no torch", "w.pt is", id="noise"),
        pytest.param(b"", "w.pt is", id="empty"),
        pytest.param(saved([1, 2]), "w.pt holds no state dictionary", id="a list"),
        pytest.param(saved({"epoch": 3}), "w.pt holds no state dictionary", id="no tensor"),
    ],
)
def test_what_is_no_state_dictionary_is_refused_in_one_line(data: bytes, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as raised:
        read_tensors(data, "w.pt")
    assert "\n" not in str(raised.value)


def test_the_real_retinaface_fits_with_and_without_its_prefix_and_names_a_renamed_tensor(
    checkpoint: Callable[[str], bytes],
) -> None:
    state = torch.load(io.BytesIO(checkpoint("retinaface")), "cpu", weights_only=True)
    for prefix in ("", "module."):
        data = saved({f"{prefix}{name}": tensor for name, tensor in state.items()})
        module = RetinaFace()
        load_weights(module, "retinaface", "torch", read_tensors(data, "w.pth"))
        torch.testing.assert_close(module.state_dict()["fpn.output1.0.weight"], state["fpn.output1.0.weight"])
    state["fpn.outputs1.0.weight"] = state.pop("fpn.output1.0.weight")
    with pytest.raises(CheckpointError, match=r"missing: fpn.output1.0.weight; extra: fpn.outputs1.0.weight"):
        load_weights(RetinaFace(), "retinaface", "torch", read_tensors(saved(state), "w.pth"))
    assert len(parameter_shapes(RetinaFace())) > 200
