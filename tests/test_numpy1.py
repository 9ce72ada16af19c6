"""The device as Raspberry Pi OS Bookworm knows it: numpy 1, OpenCV 4.10 and LiteRT's predecessor, tflite-runtime."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import environments
import pytest
from astronaut import write_picture

ROOT = Path(__file__).resolve().parents[1]
PINNED = ("numpy==1.24.2", "opencv-python-headless==4.10.0.84", "tflite-runtime==2.14.0")
NEEDED = ("msgspec>=0.20,<0.23", "paho-mqtt>=2.1,<3", "tqdm>=4.66,<5", "tomli>=2.0,<3")

pytestmark = pytest.mark.timeout(600)


def old_python() -> str:
    """Find an interpreter that tflite-runtime has wheels for."""
    if sys.version_info[:2] in {(3, 10), (3, 11)}:
        return sys.executable
    for name in ("python3.11", "python3.10"):
        path = shutil.which(name)
        # A version manager's shim is found for versions that are not switched on.
        if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    pytest.skip("tflite-runtime has wheels for Python 3.10 and 3.11, and neither is here")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numpy1") / "venv"
    return environments.make(folder, *PINNED, *NEEDED, python=old_python())


def edgeface(python: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "EDGEFACE_BUNDLE": str(ROOT / "models" / "default")}
    command = [str(python), "-m", "edgeface", *words, "--set", "runtime.name=litert"]
    folder = python.parents[1]
    return subprocess.run(command, capture_output=True, text=True, env=environ, cwd=folder, timeout=300, check=False)


def test_tflite_runtime_computes_every_shipped_file(python: Path) -> None:
    done = edgeface(python, "models", "verify", "--json")
    assert done.returncode == 0, done.stderr
    files = [row for row in json.loads(done.stdout)["files"] if row["file"].endswith(".tflite")]
    assert len(files) >= 5
    assert [row for row in files if row["result"] != "ok" or not row["detail"].startswith("off by ")] == []


def test_a_picture_goes_the_whole_way(python: Path, tmp_path: Path) -> None:
    done = edgeface(python, "analyze", str(write_picture(tmp_path / "astronaut.png")), "--json")
    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout.splitlines()[0])["faces"]
    assert face["gender"]["label"] == "female"
    assert 20 < face["age"]["years"] < 50
