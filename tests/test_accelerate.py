"""Which provider computes: tried in a child, bounded, the processor last; and what becomes of TensorRT's engines."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accelerators import pretend
from bundles import DEFAULT

from edgeface import board
from edgeface.bundle import Bundle, open_bundle
from edgeface.config import Config, Detector, NetworkChoice, Runtime
from edgeface.config.types import ProviderChoice
from edgeface.proof import Accelerated, accelerate, build
from edgeface.proof.accelerate import MOST_TRIES, engines_folder, try_provider
from edgeface.runtime import library, onnx
from edgeface.runtime.providers import CUDA, Provider

BUNDLE = open_bundle(DEFAULT)
ON_CUDA = Provider(name="cuda", execution=(CUDA,))


def settings(provider: ProviderChoice, size: str = "auto") -> Config:
    return Config(runtime=Runtime(name="onnx", provider=provider), detector=Detector(size=size))


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Children, too, have an ONNX Runtime that says it has CUDA and TensorRT."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, name)
    folder = pretend(tmp_path / "system")
    monkeypatch.setattr(library._Settled, "origin", library.Origin(folder=str(folder), version="1.23.0"))
    monkeypatch.setattr(onnx, "onnxruntime", library.import_from(folder))
    yield folder
    sys.modules.pop("onnxruntime", None)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "state").mkdir()
    return {"STATE_DIRECTORY": str(tmp_path / "state")}


def never(bundle: Bundle, config: Config, provider: Provider, seconds: float) -> str | None:
    raise AssertionError(f"{provider.name} was tried")


def saying(answers: dict[str, str | None], tried: list[str]) -> Callable[..., str | None]:
    def attempt(bundle: Bundle, config: Config, provider: Provider, seconds: float) -> str | None:
        tried.append(provider.name)
        return answers[provider.name]

    return attempt


def test_where_nothing_is_listed_nothing_is_tried(environ: dict[str, str]) -> None:
    assert "CUDAExecutionProvider" not in onnx.listed()
    assert accelerate(BUNDLE, settings("auto"), environ, attempt=never) == Accelerated()
    found = accelerate(BUNDLE, settings("cuda"), environ, attempt=never)
    assert found.provider.name == "cpu"
    assert found.reasons == (f"cuda is not part of this ONNX Runtime {onnx.version()} (edgeface's own)",)


def test_the_processor_and_another_runtime_ask_nobody(pretended: Path, environ: dict[str, str]) -> None:
    assert accelerate(BUNDLE, settings("cpu"), environ, attempt=never) == Accelerated()
    litert = Config(runtime=Runtime(name="litert"))
    assert accelerate(BUNDLE, litert, environ, attempt=never) == Accelerated()
    mixed = Config(runtime=Runtime(name="litert"), networks={"yunet": NetworkChoice(runtime="onnx")})
    tried: list[str] = []
    assert accelerate(BUNDLE, mixed, environ, attempt=saying({"cuda": None}, tried)).provider == ON_CUDA
    assert tried == ["cuda"], "TensorRT's engines come first, in the background"


def test_the_service_manager_is_told_before_each_try(pretended: Path, environ: dict[str, str]) -> None:
    asked: list[float] = []
    accelerate(BUNDLE, settings("auto"), environ, extend=asked.append, attempt=saying({"cuda": "no"}, []))
    assert len(asked) == 2
    assert all(seconds > 180 for seconds in asked)


@pytest.mark.parametrize(
    ("mode", "seconds", "words"),
    [
        ("works", 60, None),
        ("left out", 60, "cuda does not load: ONNX Runtime leaves CUDAExecutionProvider out"),
        ("raises", 60, "cuda does not load: CUDA failure 35"),
        ("dies", 60, r"its process died \(signal 6\)"),
        ("hangs", 3, "it was ended after 3 seconds without an answer"),
        ("wrong", 60, "fails its self-test"),
    ],
)
def test_a_real_child_tells_what_a_provider_does(
    pretended: Path, monkeypatch: pytest.MonkeyPatch, mode: str, seconds: float, words: str | None
) -> None:
    monkeypatch.setenv("FAKE_CUDA", mode)
    said = try_provider(BUNDLE, settings("cuda"), ON_CUDA, seconds)
    if words is None:
        assert said is None
    else:
        assert said is not None
        assert re.search(words, said)
        assert "\n" not in said


def test_the_first_that_computes_is_taken_and_why_not_the_others_is_told(
    pretended: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CUDA", "raises")
    found = accelerate(BUNDLE, settings("cuda"), environ)
    assert found.provider.name == "cpu"
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith("cuda is not used: ")
    assert "CUDA failure 35" in found.reasons[0]


def test_a_library_that_is_missing_is_found_before_a_session_is_made(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, name)
    folder = pretend(tmp_path / "system", loads=False)
    monkeypatch.setattr(library._Settled, "origin", library.Origin(folder=str(folder)))
    monkeypatch.setattr(onnx, "onnxruntime", library.import_from(folder))
    found = accelerate(BUNDLE, settings("auto"), environ, attempt=never)
    assert [reason.partition(":")[0] for reason in found.reasons] == ["tensorrt does not load", "cuda does not load"]
    sys.modules.pop("onnxruntime", None)


def test_engines_are_built_once_and_found_again(pretended: Path, environ: dict[str, str]) -> None:
    config = settings("tensorrt")
    first = accelerate(BUNDLE, config, environ)
    assert first.provider == ON_CUDA, "the node works meanwhile"
    assert first.pending is not None
    engines = Path(first.pending.engines)
    assert engines.parent == Path(environ["STATE_DIRECTORY"]) / "engines"
    assert build(BUNDLE, config, first.pending) is None
    built = sorted(path.parent.name.partition("-f")[0] for path in engines.glob("*/*.engine"))
    assert built == ["age-gender-compact", "expression-compact", "yunet"]
    again = accelerate(BUNDLE, config, environ)
    assert (again.provider, again.pending) == (first.pending, None)
    # Another size is another engine; the ones that are there stay until the new ones are.
    larger = accelerate(BUNDLE, settings("tensorrt", "1280x960"), environ)
    assert larger.pending is not None
    assert len(list(engines.glob("yunet*"))) == 1
    assert build(BUNDLE, settings("tensorrt", "1280x960"), larger.pending) is None
    assert [path.name.split("-")[2] for path in engines.glob("yunet*")] == ["1x3x1280x1280"]


def test_what_was_built_for_another_gpu_or_version_is_swept(pretended: Path, environ: dict[str, str]) -> None:
    folder = Path(environ["STATE_DIRECTORY"]) / "engines"
    (folder / "old-board-onnxruntime-1.18.0-tensorrt-8.6" / "yunet").mkdir(parents=True)
    found = accelerate(BUNDLE, settings("auto"), environ, attempt=saying({"cuda": None}, []))
    assert found.pending is not None
    assert build(BUNDLE, settings("auto"), found.pending, attempt=saying({"tensorrt": None}, [])) is None
    assert [path.name for path in folder.iterdir()] == [Path(found.pending.engines).name]


def test_a_build_that_takes_the_service_down_is_not_begun_for_ever(
    pretended: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> str | None:
        raise Killed

    answers = saying({"cuda": None}, [])
    for _ in range(MOST_TRIES):
        found = accelerate(BUNDLE, settings("auto"), environ, attempt=answers)
        assert found.pending is not None
        with pytest.raises(Killed):
            build(BUNDLE, settings("auto"), found.pending, attempt=killed)
    found = accelerate(BUNDLE, settings("auto"), environ, attempt=answers)
    assert (found.provider, found.pending) == (ON_CUDA, None)
    assert "to try again, delete" in found.reasons[0]
    assert str(tmp_path / "state" / "engines") in found.reasons[0]


def test_without_a_place_for_engines_there_is_no_tensorrt(pretended: Path, tmp_path: Path) -> None:
    found = accelerate(BUNDLE, settings("auto"), {"HOME": str(tmp_path)}, attempt=saying({"cuda": None}, []))
    assert (found.provider, found.pending) == (ON_CUDA, None)
    assert "no state directory" in found.reasons[0]


def test_the_folder_of_engines_names_gpu_and_versions(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "usr/lib/aarch64-linux-gnu").mkdir(parents=True)
    (root / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n")
    (root / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    for name in ("libnvinfer.so.10", "libnvinfer.so.10.3.0"):
        (root / "usr/lib/aarch64-linux-gnu" / name).touch()
    assert board.gpu(root) == "NVIDIA Jetson Orin Nano Developer Kit L4T 36.4.3"
    assert board.tensorrt(root) == "10.3.0"
    folder = engines_folder({"STATE_DIRECTORY": "/var/lib/edgeface"}, root)
    assert folder is not None
    assert folder.name == (
        f"NVIDIA-Jetson-Orin-Nano-Developer-Kit-L4T-36.4.3-onnxruntime-{onnx.version()}-tensorrt-10.3.0"
    )


def test_a_card_of_a_pc_is_known_by_its_driver(tmp_path: Path) -> None:
    card = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t NVIDIA GeForce RTX 3060\nIRQ:   \t\t 100\n")
    (tmp_path / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\nGCC version:  gcc version 12.2.0\n"
    )
    assert board.gpu(tmp_path) == "NVIDIA GeForce RTX 3060 driver 535.183.01"
    assert board.gpu(tmp_path / "none") is None
    assert board.tensorrt(tmp_path) == ""
