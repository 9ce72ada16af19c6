"""A network whose code is somebody's own: ``family = "mine.py:Net"`` in a recipe, nothing of the package edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from own_module import BLOCKS, MODULE, RECIPE, write_own

from converters.__main__ import main
from converters.building.maker import Maker
from converters.bundles.build import build
from converters.export.equalise import equalise
from converters.recipes.reading import read_recipe
from converters.references.torch_module import TorchReference
from edgeface.bundle import Network
from edgeface.errors import EdgefaceError


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recipe of a torch module that lies beside it; what is built goes below it."""
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "build"))
    return write_own(tmp_path)


def reference(recipe: Path) -> TorchReference:
    return TorchReference(read_recipe(str(recipe)).networks["own"])


def test_it_is_built_and_verified_as_any_other(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = build(read_recipe(str(own)), is_bundle=False, jobs=1)
    entry = msgspec.json.decode((folder / "network.json").read_bytes(), type=Network)
    assert [file.precision for file in entry.files["onnx"]] == ["fp32", "int8w"]
    assert entry.files["onnx"][0].outputs == {"shares": "shares"}, "one tensor has the name that the head reads"
    assert entry.parameters == 30 + 48 * 7 + 7
    monkeypatch.chdir(own.parent.parent)  # a recipe sees its module from where it lies
    assert main(["verify", str(own), "--folder", str(folder)]) == 0
    assert "own.int8w.onnx: off by" in capsys.readouterr().out


SEVERAL = MODULE.replace(".softmax(1)", ".softmax(1), x.mean((2, 3))")
NAMED = MODULE.replace("return self.last", "return {'b': x.mean((2, 3)), 'a': self.last") + "        }\n"
NAMED = NAMED.replace(".softmax(1)\n        }", ".softmax(1)}")
SAID = SEVERAL.replace("    def __init__", '    outputs = ("p", "q")\n\n    def __init__')
STEP = SEVERAL.replace("(self, x)", "(self, x, sum)").replace("x.mean((2, 3))", "sum + x.mean((2, 3))")
STEP = STEP.replace("    def __init__", '    states = {"sum": (1,)}\n\n    def __init__')


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        pytest.param(MODULE, ("shares",), id="one tensor"),
        pytest.param(SEVERAL, ("output_0", "output_1"), id="a tuple"),
        pytest.param(NAMED, ("b", "a"), id="a dictionary"),
        pytest.param(SAID, ("p", "q"), id="it says so"),
        pytest.param(STEP, ("shares",), id="a step with a memory"),
    ],
)
def test_what_it_gives_is_found_out(own: Path, text: str, outputs: tuple[str, ...]) -> None:
    own.with_name("mine.py").write_text(text, "utf-8")
    network = reference(own)
    assert network.outputs == outputs
    answers = network.run(np.ones((2, 1, 8, 8), np.float32))
    assert {name: array.shape for name, array in answers.items() if name in ("shares", "a", "p", "output_0")}
    assert all(len(array) == 2 for array in answers.values())
    assert list(answers) == list(network.names)


def test_it_gives_what_its_own_class_gives(own: Path) -> None:
    picture = torch.rand((2, 1, 8, 8))
    module = reference(own).module
    theirs: Any = type(module).__mro__[1]
    with torch.no_grad():
        assert torch.equal(module(picture)[0], theirs.forward(module, picture))


def test_its_file_and_what_it_imports_are_part_of_the_stamp(own: Path) -> None:
    def stands() -> bool:
        return Maker("own", read_recipe(str(own))).stands()

    build(read_recipe(str(own)), is_bundle=False, jobs=1)
    assert stands()
    own.with_name("mine.py").write_text(MODULE.replace("nothing says", "nobody says") + "\n# a remark\n", "utf-8")
    assert stands(), "words about it are no part of it"
    own.with_name("blocks.py").write_text(BLOCKS.replace("nn.ReLU()", "nn.Tanh()"), "utf-8")
    assert not stands()
    own.with_name("blocks.py").write_text(BLOCKS, "utf-8")
    assert stands()
    own.with_name("mine.py").write_text(MODULE.replace(".softmax(1)", ".sigmoid()"), "utf-8")
    assert not stands()


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        pytest.param("own.toml", "mine.py:Net", "none.py:Net", r"there is no file .*none.py; put it", id="no file"),
        pytest.param(
            "own.toml", "mine.py:Net", "mine.py", 'names no class; write "mine.py:CLASS"', id="no class named"
        ),
        pytest.param(
            "own.toml", "mine.py:Net", "mine.py:Nets", r"mine.py has no class Nets; it has: Net", id="no class"
        ),
        pytest.param("own.toml", "mine.py:Net", "mine.py:nn", r"mine.py has no class nn", id="a module"),
        pytest.param(
            "own.toml", "mine.py:Net", "mine.py:middle", r"does not fit .*middle: missing: 0.bias", id="function"
        ),
        pytest.param("own.toml", "width = 3", "depth = 3", r"mine.py:Net cannot be made so: .*depth", id="options"),
        pytest.param("own.toml", "width = 3", "width = 4", r"does not fit .*mine.py:Net: another shape", id="weights"),
        pytest.param("own.toml", "width = 3", "width = -1", r"mine.py:Net cannot be made so", id="constructor"),
        pytest.param("own.toml", "height = 8", "height = 16", r"Net takes no pictures of 1x16x8", id="pictures"),
        pytest.param("mine.py", "class Net(", "class Net(:", r"mine.py line 6: .*; correct the file", id="syntax"),
        pytest.param("mine.py", "from blocks", "from bricks", r"mine.py cannot be run: ModuleNotFound", id="import"),
        pytest.param("mine.py", "class Net(", "exit(3)\nclass Net(", r"mine.py cannot be run: SystemExit", id="exit"),
        pytest.param("mine.py", "(nn.Module)", "(dict)", r"mine.py:Net (cannot|gives a Net, no torch)", id="no module"),
    ],
)
def test_what_is_wrong_with_it_is_one_line(own: Path, file: str, old: str, new: str, words: str) -> None:
    path = own.with_name(file)
    path.write_text((RECIPE if file == "own.toml" else MODULE).replace(old, new), "utf-8")
    with pytest.raises(EdgefaceError, match=words) as caught:
        build(read_recipe(str(own)), is_bundle=False, jobs=1)
    assert "\n" not in str(caught.value)


def test_tensors_of_other_names_fit_by_a_key_map_beside_it(own: Path) -> None:
    state = torch.load(own.with_name("mine.pth"), weights_only=True)
    torch.save({name.replace("last.", "fc."): value for name, value in state.items()}, own.with_name("mine.pth"))
    with pytest.raises(EdgefaceError, match="missing: last"):
        reference(own)
    own.with_name("mine.torch.toml").write_text('[rename]\n"^fc\\\\." = "last."\n', "utf-8")
    assert reference(own).outputs == ("shares",)


def test_a_module_that_cannot_be_exported_is_one_line(own: Path) -> None:
    """Its way depends on the values that it sees."""
    text = MODULE.replace(
        "        return self.last", "        if float(x.sum()) > 1:\n            x = -x\n        return self.last"
    )
    own.with_name("mine.py").write_text(text, "utf-8")
    with pytest.raises(EdgefaceError, match=r"mine.py:Net cannot be exported to onnx: ") as caught:
        build(read_recipe(str(own)), is_bundle=False, jobs=1)
    assert "\n" not in str(caught.value)


def test_its_weights_can_be_evened_across_layers_as_any_others(own: Path) -> None:
    module = reference(own).module
    picture = torch.rand((2, 1, 8, 8))
    with torch.no_grad():
        assert torch.allclose(equalise(module)(picture)[0], module(picture)[0], atol=1e-5)
