"""What `pip install .` gives to somebody who has no source tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import environments
import pytest
from astronaut import write_picture

import edgeface

ROOT = Path(__file__).resolve().parents[1]
BUILT_FROM = ("edgeface", "models", "pyproject.toml", "README.md", "LICENSE", "NOTICE")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy of the tree, which is then gone: nothing can be found in it by accident."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "bundles"))
        else:
            shutil.copy(ROOT / name, tree / name)
    builder = environments.make(folder / "builder")
    environments.pip(builder, "wheel", "--no-deps", "--wheel-dir", str(folder), str(tree))
    shutil.rmtree(tree)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def program(wheel: Path) -> Path:
    """Install the wheel with all that it asks for into an empty environment; the command."""
    return environments.make(wheel.parent / "venv", str(wheel)).parent / "edgeface"


def run(program: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    ours = ("EDGEFACE", "PYTHON", "VIRTUAL_ENV")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [str(program), *words], capture_output=True, text=True, env=environ, cwd=folder, timeout=120, check=False
    )


def test_the_wheel_holds_program_bundle_and_licences(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    held = {name.removeprefix("edgeface/bundles/default/") for name in names if "/bundles/default/" in name}
    bundle = ROOT / "models" / "default"
    assert held >= {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert "edgeface/py.typed" in names
    assert {name.rsplit("/", 1)[-1] for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
    assert not [name for name in names if name.startswith(("tests/", "converters/")) or "__pycache__" in name]
    assert wheel.stat().st_size < 20e6
    assert wheel.name == f"edgeface-{edgeface.__version__}-py3-none-any.whl"


def test_the_networks_are_verified_far_from_the_tree(program: Path, tmp_path: Path) -> None:
    done = run(program, tmp_path, "models", "verify", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert Path(told["bundle"]).is_relative_to(program.parents[1])
    assert told["bad"] == 0
    # Without extras there is one runtime; the files of the other are only hashed.
    details = {row["file"].rsplit(".", 1)[-1]: row["detail"] for row in told["files"]}
    assert details["onnx"].startswith("off by ")
    assert "litert is not installed" in details["tflite"]


def test_a_picture_is_analysed_far_from_the_tree(program: Path, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "astronaut.png")
    done = run(program, tmp_path, "analyze", str(picture), "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout.splitlines()[0])["faces"]) == 1
