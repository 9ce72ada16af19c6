"""Which ONNX Runtime is imported: ours, or the system's where that one has CUDA."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerators import pretend

from edgeface.runtime import library
from edgeface.runtime.library import CUDA_PART, SYSTEM, Origin, choose

ROOT = Path(__file__).parents[1]


def package(folder: Path, code: str = "", *, cuda: bool = True) -> Path:
    """A folder of the system with a package of that name."""
    (folder / "onnxruntime").mkdir(parents=True)
    (folder / "onnxruntime" / "__init__.py").write_text(code)
    if cuda:
        (folder / CUDA_PART).parent.mkdir()
        (folder / CUDA_PART).touch()
    return folder


def never(folder: Path) -> tuple[str, str | None]:
    raise AssertionError(f"{folder} was asked")


def test_on_most_machines_nobody_is_asked(tmp_path: Path) -> None:
    own = package(tmp_path / "own", cuda=False)
    other = package(tmp_path / "other", cuda=False)
    assert choose(own, [tmp_path / "none", other, own], never) == Origin()
    with_cuda = package(tmp_path / "with")
    assert choose(with_cuda, [package(tmp_path / "too")], never) == Origin(), "ours has CUDA"
    assert choose(with_cuda, [with_cuda], never).folder == str(with_cuda), "ours is the system's"


def test_the_system_s_is_taken_where_it_loads_with_cuda(tmp_path: Path) -> None:
    folder = pretend(tmp_path / "system")
    found = choose(package(tmp_path / "own", cuda=False), [folder])
    assert (found.folder, found.why) == (str(folder), None)
    assert found.words == f"the system's, in {folder}"
    assert found.version.count(".") == 2


@pytest.mark.parametrize(
    ("code", "why"),
    [
        pytest.param(
            "raise ImportError('libcudart.so.12: cannot open shared object file')", "libcudart.so.12", id="file"
        ),
        pytest.param("raise ImportError('numpy.core.multiarray failed to import')", "another numpy", id="numpy"),
        pytest.param("import os; os.abort()", "ends by signal 6", id="dies"),
        pytest.param(
            "__version__ = '1.23.0'\ndef get_available_providers(): return ['CPUExecutionProvider']",
            "version 1.23.0 does not list CUDA",
            id="without CUDA",
        ),
    ],
)
def test_one_that_does_not_load_beside_our_numpy_is_told_and_not_taken(tmp_path: Path, code: str, why: str) -> None:
    bad = package(tmp_path / "bad", code)
    found = choose(None, [bad])
    assert found.folder is None
    assert found.why is not None and why in found.why and str(bad) in found.why
    good = pretend(tmp_path / "good")
    assert choose(None, [bad, good]).folder == str(good)


def test_only_that_package_comes_from_there(tmp_path: Path) -> None:
    folder = pretend(tmp_path / "system")
    (folder / "numpy").mkdir()
    (folder / "numpy" / "__init__.py").write_text("raise ImportError('the wrong numpy')")
    program = (
        "import json, os, sys, pathlib; from edgeface.runtime import library as l; "
        "l.SYSTEM = (pathlib.Path(sys.argv[1]),); l.settle(l.choose(None, l.SYSTEM)); "
        "from edgeface.runtime import onnx; import numpy; "
        "print(json.dumps([l.origin().folder, onnx.onnxruntime.__file__, list(onnx.listed()), numpy.__file__, "
        "sys.argv[1] in sys.path, os.environ['ORT_DISABLE_TELEMETRY']]))"
    )
    environ = {key: value for key, value in os.environ.items() if key not in {"ORT_DISABLE_TELEMETRY", "CI"}}
    said = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env={**environ, "PYTHONPATH": str(ROOT), "ORT_DISABLE_TELEMETRY": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    origin, file, listed, numpy, on_path, telemetry = json.loads(said.stdout)
    assert origin == str(folder)
    assert file.startswith(str(folder))
    assert listed[:2] == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    assert not numpy.startswith(str(folder))
    assert not on_path
    assert telemetry == "1", "the switch holds for the system's package, too"


def test_debian_s_folders_of_this_python_are_looked_at() -> None:
    version = f"python3.{sys.version_info.minor}"
    assert SYSTEM[:2] == (Path(f"/usr/local/lib/{version}/dist-packages"), Path("/usr/lib/python3/dist-packages"))


def test_what_is_imported_already_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library._Settled, "origin", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert library.origin() == Origin()
    with pytest.raises(ImportError):
        library.load()
