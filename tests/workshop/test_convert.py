"""``convert``: one command from a file to a bundle that a device installs, with labelled faces and without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from own_module import BLOCKS, MODULE
from tiny import write_tiny

from converters.__main__ import main
from converters.bundles.convert import Request, expect_free, with_files, written
from converters.bundles.variants import Variant, make_variants
from converters.inspection.metadata_labels import metadata_labels, parse
from converters.recipes.reading import read_network, read_recipe
from edgeface.bundle import open_bundle
from edgeface.cli.main import main as device
from edgeface.errors import UsageError

Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's folder with ``made.onnx`` in it, which is where they stand."""
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "build"))
    place = tmp_path / "person"
    place.mkdir()
    write_tiny(place).unlink()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    def convert(*arguments: str) -> tuple[int, list[str], str]:
        capfd.readouterr()
        code = main(["convert", *arguments])
        said = capfd.readouterr()
        return code, said.out.splitlines(), said.err

    return convert


def test_a_file_becomes_a_bundle_that_a_device_installs(run: Run, folder: Path) -> None:
    code, said, told = run("made.onnx", "--task", "gender", "--labels", "female,male")
    assert code == 0
    assert ".edgeface-" not in told, "no path that is gone afterwards"
    assert {path.name for path in Path("made").iterdir()} == written("made") - {"made.ranges.json"}
    heads, plain, half = said[1:4]
    assert heads.split() == ["variant", "bytes", "loss", "ms", "here", "in", "the", "bundle"]
    size = f"{Path('made/bundle/made.fp32.onnx').stat().st_size:,}"
    assert plain.split()[:3] == ["onnx", "fp32", size]
    assert plain.split()[-1] == half.split()[-1] == "yes"
    assert plain[heads.index("loss") : heads.index("ms here")].strip() == "", "nothing was measured"
    (missing,) = (line for line in said if line.startswith("missing: "))
    assert "--data DIR" in missing
    assert "rgb pixels from 0 to 1" in missing, "what was assumed is said"
    following = said[-1].partition("edgeface ")[2].split()
    assert following == ["models", "install", "made/made-1.tar"]
    assert device([*following, "--to", "installed"]) == 0
    bundle = open_bundle(folder / "installed" / "made")
    assert [network.name for network in bundle.manifest.networks] == ["made", "yunet"]
    assert bundle.manifest.defaults == {"detect": "yunet", "gender": "made"}
    assert bundle.network("made").answers["gender"].labels == ("female", "male")  # type: ignore[union-attr]
    assert str(folder) not in (folder / "made" / "bundle" / "manifest.json").read_text("utf-8")


def test_what_it_wrote_is_a_recipe_that_builds_again(run: Run, folder: Path) -> None:
    run("made.onnx", "--labels", "male,female", "--name", "mine", "--out", "some/where")
    first = (folder / "some/where/bundle/manifest.json").read_bytes()
    assert main(["build", "some/where/bundle.toml", "--out", "again"]) == 0
    assert (folder / "again" / "manifest.json").read_bytes() == first
    network = read_network("some/where/mine.toml")[1]
    assert "Assumed, not tried" in (folder / "some/where/mine.toml").read_text("utf-8")
    assert network.files == {"onnx": ("fp32", "fp16w")}
    assert "# " in (folder / "some/where/mine.md").read_text("utf-8"), "its card"


def test_nothing_is_overwritten_unasked(run: Run, folder: Path) -> None:
    given = ("made.onnx", "--labels", "female,male")
    assert run(*given)[0] == 0
    (folder / "made" / "made.toml").write_text("mine now", "utf-8")
    code, said, error = run(*given)
    assert (code, said) == (2, [])
    assert error.strip() == "edgeface: made is there already; give another folder with --out, or --force to replace it"
    assert (folder / "made" / "made.toml").read_text("utf-8") == "mine now"
    assert run(*given, "--force")[0] == 0
    assert read_network("made/made.toml")[1].task == "gender"
    (folder / "made" / "notes.txt").write_text("dear", "utf-8")
    code, _, error = run(*given, "--force")
    assert code == 2
    assert "made holds notes.txt, which `convert` did not write" in error
    assert not list(folder.glob(".edgeface-*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["none.onnx"], "there is no file none.onnx", id="no file"),
        pytest.param(["made.onnx"], "does not tell which of its answers is which gender; give --labels", id="labels"),
        pytest.param(["made.onnx", "--labels", "female"], "--labels names 1 of 2 classes", id="too few labels"),
        pytest.param(
            ["made.onnx", "--task", "age"], "made.onnx does not answer age; its answers fit gender", id="task"
        ),
        pytest.param(["made.onnx", "--name", "yunet"], "give --name my-yunet", id="a known name"),
        pytest.param(["made.onnx", "--name", "../up"], "'../up' is no name", id="no name"),
        pytest.param(["made.onnx", "--data", "none"], "there is no folder none", id="no data"),
        pytest.param(["made.onnx", "--data", "."], "; ", id="a folder without faces"),
        pytest.param(["made.onnx", "--out", "made.onnx"], "made.onnx is a file", id="a file there"),
        pytest.param(["broken.onnx", "--labels", "female,male"], "broken.onnx", id="a broken file"),
        pytest.param(["broken.pth"], "broken.pth", id="a broken checkpoint"),
    ],
)
def test_what_fails_is_one_line_and_leaves_nothing(run: Run, folder: Path, arguments: list[str], words: str) -> None:
    for name in ("broken.onnx", "broken.pth"):
        (folder / name).write_bytes(b"nothing of the kind")
    before = sorted(folder.iterdir())
    code, said, error = run(*arguments)
    assert code in (1, 2)
    assert said == []
    assert error.strip().splitlines()[-1].startswith("edgeface: ")
    assert words in error
    assert "Traceback" not in error
    assert sorted(folder.iterdir()) == before


def test_labels_that_the_file_tells_need_not_be_given(run: Run, folder: Path) -> None:
    model = onnx.load("made.onnx")
    model.metadata_props.add(key="names", value="{0: 'male', 1: 'female'}")
    onnx.save(model, "named.onnx")
    assert run("named.onnx")[0] == 0
    assert read_network("named/named.toml")[1].head.labels == ("male", "female")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a,b", ("a", "b")),
        ("a\nb\n", ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ("{1: 'b', 0: 'a'}", ("a", "b")),
        ('{"1": "b", "0": "a"}', ("a", "b")),
        ("{'x': 'a'}", ()),
        ("7", ()),
    ],
)
def test_ways_to_write_labels(text: str, labels: tuple[str, ...]) -> None:
    assert parse(text) == labels


def test_a_file_without_labels_tells_none(folder: Path) -> None:
    assert metadata_labels((folder / "made.onnx").read_bytes(), "made.onnx") == ()
    assert metadata_labels(b"no model", "x.onnx") == metadata_labels(b"no model", "x.tflite") == ()


def test_a_module_of_ones_own_is_converted_by_its_file(run: Run, folder: Path) -> None:
    """48x48 is the second size that is tried: nothing says which it wants, or how many channels."""
    (folder / "blocks.py").write_text(BLOCKS, "utf-8")
    (folder / "mine.py").write_text(MODULE.replace("width * 16", "width * 576"), "utf-8")
    torch.manual_seed(3)
    state = {**torch.nn.Conv2d(1, 2, 3).state_dict(prefix="body.0.")}
    state |= torch.nn.Linear(1152, 7).state_dict(prefix="last.")
    torch.save(state, folder / "net.pth")
    labels = "angry,disgust,fear,happy,sad,surprise,neutral"
    code, said, _ = run("net.pth", "--family", "mine.py:Net", "--labels", labels, "--name", "own")
    assert code == 0
    first = 1 + next(number for number, line in enumerate(said) if line.startswith("variant"))
    made = [tuple(line.split()[:2]) for line in said[first : first + 4]]
    assert made == [(runtime, kind) for runtime in ("onnx", "litert") for kind in ("fp32", "fp16w")]
    network = read_network("own/own.toml")[1]
    assert (network.input.color, network.input.height) == ("grey", 48)
    assert str(folder) not in (folder / "own" / "own.toml").read_text("utf-8"), "its module is seen from the recipe"


def test_a_card_of_ones_own_network(run: Run, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run("made.onnx", "--labels", "female,male")
    assert main(["card", "made/bundle", "--out", "cards"]) == 0
    assert capfd.readouterr().out.splitlines()[-2:] == ["cards/made.md", "cards/made.png"]
    text = (folder / "cards" / "made.md").read_text("utf-8")
    assert "a file that somebody brought, `made.onnx`" in text
    assert "Not measured here" in text
    assert "## Rebuild" not in text, "no command here has the file"
    assert main(["card", "default"]) == 2
    assert "has no network of your own" in capfd.readouterr().err
    assert main(["card", "--out", "cards"]) == 2


def test_a_variant_that_cannot_be_made_says_why(folder: Path) -> None:
    write_tiny(folder)
    recipe = read_recipe("tiny.toml")
    broken = [one for one in make_variants(recipe, "tiny") if not one.ships]
    assert broken == []
    variants = [
        Variant(runtime="onnx", precision="fp32", bytes=1),
        Variant(runtime="onnx", precision="int8", bytes=1, why="past the limit: all"),
        Variant(runtime="litert", precision="fp32", why="no converter"),
    ]
    assert with_files(recipe.networks["tiny"], variants).files == {"onnx": ("fp32",)}


def test_a_place_is_free_or_not(folder: Path) -> None:
    asked = Request(file=Path("made.onnx"), name="made", out=folder / "empty")
    expect_free(asked)
    (folder / "empty").mkdir()
    expect_free(asked)
    with pytest.raises(UsageError, match="default is the name of one that is known here"):
        expect_free(Request(file=Path("made.onnx"), name="default", out=folder / "empty"))
