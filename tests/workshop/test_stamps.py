"""Which code a stamp follows: what a module reaches by imports, and of that only what Python runs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from own_module import write_own

from converters.building.closure import FOLLOWED, Place, code_of, reached
from converters.building.stamps import CODE, ENTRY, code_hash
from converters.networks import FAMILIES, module_file
from converters.paths import ROOT

HERE = [Place(ROOT, FOLLOWED)]


def names(*roots: str) -> set[str]:
    found = reached([ROOT / "converters" / f"{root}.py" for root in roots], HERE)
    return {path.relative_to(ROOT).with_suffix("").as_posix() for path in found}


@pytest.mark.parametrize(
    ("root", "needs"),
    [
        ("networks/coral_lstm", "converters/networks/coral"),
        ("networks/big_xception", "converters/networks/layers"),
        ("networks/retinaface", "converters/networks/resnet"),
        ("export/to_tflite", "converters/export/layers"),
        ("export/quantize_tflite", "converters/export/ranges"),
        ("export/equalise", "converters/networks/layers"),
        ("references/imported", "converters/references/free_axes"),
        ("references/torch_module", "converters/checkpoints/keymap"),
        ("building/selftest", "edgeface/geometry"),
    ],
)
def test_a_module_reaches_what_it_imports(root: str, needs: str) -> None:
    assert needs in names(root)


def test_checks_and_the_table_of_families_change_no_file() -> None:
    every = names(
        "references/torch_module", "references/imported", *(root for roots in CODE.values() for root in roots)
    )
    assert not {name for name in every if name.startswith(("converters/inspection", "converters/recipes"))}
    assert "converters/networks/__init__" not in every


def test_every_root_is_a_file() -> None:
    for name in {*ENTRY, *(root for roots in CODE.values() for root in roots)}:
        assert (ROOT / "converters" / f"{name}.py").is_file()
    assert all(module_file(family).is_file() for family in FAMILIES)
    with pytest.raises(FileNotFoundError):
        reached([ROOT / "converters" / "moved.py"], HERE)


def test_words_are_no_code() -> None:
    plain = "A = 1\n\ndef f(x):\n    return x + A\n"
    told = '"""Docs."""\nA = 1  # one\n"""What it is."""\n\n\ndef f(x):\n    """Adds.\n    """\n'
    told += "    return (x\n        + A)\n"
    assert code_of(told) == code_of(plain)
    assert code_of(plain.replace("+ A", "- A")) != code_of(plain)
    assert code_of('def f():\n    """Only words."""\n') == code_of("def f():\n    pass\n")


def test_imports_for_types_alone_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("if TYPE_CHECKING:\n    import b\ndef f():\n    from c import d\n", "utf-8")
    for name in "bcd":
        (tmp_path / f"{name}.py").write_text("", "utf-8")
    assert [path.name for path in reached([tmp_path / "a.py"], [Place(tmp_path)])] == ["a.py", "c.py"]


def test_a_package_of_ones_own_is_followed_by_its_dots(tmp_path: Path) -> None:
    (tmp_path / "nets").mkdir()
    (tmp_path / "mine.py").write_text("from nets.net import Net\n", "utf-8")
    (tmp_path / "nets" / "net.py").write_text("from .blocks import block\n", "utf-8")
    (tmp_path / "nets" / "blocks.py").write_text("block = 1\n", "utf-8")
    found = reached([tmp_path / "mine.py"], [*HERE, Place(tmp_path)])
    assert {path.name for path in found} == {"mine.py", "net.py", "blocks.py"}


def test_families_differ_and_equalising_counts() -> None:
    roots = CODE["onnx", "fp32"]
    hashes = {code_hash(family, roots) for family in ("coral", "coral_lstm", None)}
    assert len({*hashes, code_hash("coral", roots, equalised=True)}) == 4


AGAIN = """
import sys
from converters.__main__ import main
assert main(["build", *sys.argv[1:]]) == 0
print(sorted({"torch", "onnx", "litert_torch"} & sys.modules.keys()))
"""


def test_a_build_with_nothing_to_do_loads_no_torch_and_no_checkpoint(tmp_path: Path) -> None:
    recipe = write_own(tmp_path)
    pin = hashlib.sha256((tmp_path / "mine.pth").read_bytes()).hexdigest()
    recipe.write_text(recipe.read_text("utf-8").replace('"mine.pth"', f'"mine.pth"\nsha256 = "{pin}"'), "utf-8")
    environ = {**os.environ, "EDGEFACE_BUILD": str(tmp_path / "build")}

    def build() -> str:
        command = [sys.executable, "-c", AGAIN, str(recipe), "--jobs", "1"]
        return subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True, text=True).stdout

    assert "torch" in build()
    entry = (tmp_path / "build" / "networks" / "own" / "network.json").read_bytes()
    (tmp_path / "mine.pth").unlink()  # whoever reads it now fails
    recipe.write_text(recipe.read_text("utf-8").replace("A made network", "Another title"), "utf-8")
    assert build().splitlines()[-1] == "[]"
    again = (tmp_path / "build" / "networks" / "own" / "network.json").read_bytes()
    assert again == entry.replace(b"A made network", b"Another title")


def test_help_loads_nothing_heavy() -> None:
    heavy = ("torch", "onnx", "onnxruntime", "litert_torch", "matplotlib", "sklearn")
    code = f"import sys, converters.__main__ as m; m._parser(); print(sorted({heavy!r} & sys.modules.keys()))"
    code = code.replace(repr(heavy), repr(set(heavy)))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
