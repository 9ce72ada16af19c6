"""What ONNX networks compute on: names, options and files, and sessions that do not run where they were asked to."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from accelerators import pretend
from bundles import AGE, DEFAULT, EXPRESSION

from edgeface.bundle import MtcnnHead, choose_file, choose_runtime, open_bundle
from edgeface.config import Config, NetworkChoice, Runtime, load_config
from edgeface.engine.networks import Networks
from edgeface.errors import ConfigError, EdgefaceError
from edgeface.runtime import library, onnx
from edgeface.runtime.providers import (
    CUDA,
    ON_PROCESSOR,
    PROCESSOR,
    TENSORRT,
    Provider,
    candidates,
    engine_name,
    longest_side,
    tensorrt_options,
)

BUNDLE = open_bundle(DEFAULT)
EVERY = (TENSORRT, CUDA, PROCESSOR)
ON_CUDA = Provider(name="cuda", execution=(CUDA,))


@pytest.mark.parametrize(
    ("choice", "listed", "expected"),
    [
        ("auto", EVERY, ["tensorrt", "cuda"]),
        ("auto", (CUDA, PROCESSOR), ["cuda"]),
        ("auto", (PROCESSOR,), []),
        ("auto", ("OpenVINOExecutionProvider", "AzureExecutionProvider", PROCESSOR), []),
        ("tensorrt", EVERY, ["tensorrt", "cuda"]),
        ("tensorrt", (TENSORRT, PROCESSOR), []),
        ("cuda", EVERY, ["cuda"]),
        ("cpu", EVERY, []),
        ("cuda", (), []),
    ],
)
def test_what_is_tried_is_what_is_listed_in_order(choice: Any, listed: tuple[str, ...], expected: list[str]) -> None:
    found = candidates(choice, listed, engines="/e", longest=1024)
    assert [one.name for one in found] == expected
    # TensorRT leaves nodes that it does not know to CUDA, never at once to the processor.
    assert all(one.execution[-1] == CUDA for one in found)


def test_on_a_gpu_files_in_floating_point_come_first() -> None:
    for name in (AGE, EXPRESSION):
        network = BUNDLE.network(name)
        assert choose_file(network, "onnx").precision == "int8", "as measured on processors"
        assert choose_file(network, "onnx", floats=True).precision == "fp16w"
        assert choose_file(network, "onnx", "int8", floats=True).precision == "int8", "as somebody asked"
        assert choose_file(network, "litert").precision == choose_file(BUNDLE.network(name), "litert").precision
    assert choose_file(BUNDLE.network("yunet"), "onnx", floats=True).precision == "fp32"


def test_a_provider_that_is_asked_for_is_onnx_runtime_s(tmp_path: Path) -> None:
    manifest = BUNDLE.manifest
    for provider in ("cuda", "tensorrt"):
        assert choose_runtime(manifest, "auto", provider=provider, machine="x") == "onnx"
        assert choose_runtime(manifest, "litert", provider="auto") == "litert"
        path = tmp_path / "edgeface.toml"
        path.write_text(f'[runtime]\nname = "litert"\nprovider = "{provider}"\n')
        with pytest.raises(ConfigError, match=f'runtime.provider: "{provider}".*leave runtime.name out'):
            load_config(path)


def test_every_free_axis_has_its_range_and_the_folder_says_what_lies_in_it() -> None:
    age, yunet = BUNDLE.network(AGE), BUNDLE.network("yunet")
    file = choose_file(age, "onnx", floats=True)
    options = tensorrt_options(age, file, Path("/state/engines/orin"), 1024)
    side = age.input.height
    assert options["trt_profile_min_shapes"] == f"{file.input}:1x3x{side}x{side}"
    assert options["trt_profile_opt_shapes"] == f"{file.input}:4x3x{side}x{side}"
    assert options["trt_profile_max_shapes"] == f"{file.input}:8x3x{side}x{side}"
    assert options["trt_engine_cache_enable"] is True
    folder = Path(options["trt_engine_cache_path"])
    assert folder.parent == Path("/state/engines/orin")
    assert folder.name == f"{AGE}-fp16w-8x3x{side}x{side}-{file.sha256[:16]}"
    found = choose_file(yunet, "onnx", floats=True)
    step = yunet.input.multiple_of
    detector = tensorrt_options(yunet, found, Path("/e"), 1000)
    assert detector["trt_profile_min_shapes"] == f"{found.input}:1x3x{step}x{step}"
    assert detector["trt_profile_opt_shapes"] == f"{found.input}:1x3x320x320"
    assert detector["trt_profile_max_shapes"] == f"{found.input}:1x3x1024x1024"
    assert engine_name(yunet, found, 1000) == engine_name(yunet, found, 1024) != engine_name(yunet, found, 2000)


@pytest.mark.parametrize(("size", "expected"), [("auto", 1024), ("original", 1024), ("64x32", 1024), ("64x2000", 2000)])
def test_a_larger_input_is_prepared_where_it_is_asked_for(size: str, expected: int) -> None:
    assert longest_side(size) == expected


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program's ONNX Runtime is one that says it has CUDA and TensorRT."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, name)
    folder = pretend(tmp_path / "system")
    monkeypatch.setattr(onnx, "onnxruntime", library.import_from(folder))
    return folder


def test_a_session_says_on_what_it_runs(pretended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(networks={"yunet": NetworkChoice(runtime="litert")})
    networks = Networks(BUNDLE, config, provider=ON_CUDA)
    networks.verify(BUNDLE)
    placed = {name: (one.file.runtime, one.file.precision, one.provider) for name, one in networks.runners.items()}
    assert placed["yunet"] == ("litert", "fp32", "cpu"), "another runtime has no such provider"
    assert placed[AGE] == placed[EXPRESSION] == ("onnx", "fp16w", "cuda")
    on_processor = Networks(BUNDLE, Config(runtime=Runtime(name="onnx")))
    assert {one.provider for one in on_processor.runners.values()} == {"cpu"}
    assert on_processor.runners[AGE].file.precision == "int8"


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("left out", "cuda does not load: ONNX Runtime leaves CUDAExecutionProvider out"),
        ("raises", "cuda does not load: CUDA failure 35: CUDA driver version is insufficient"),
    ],
)
def test_a_session_that_runs_elsewhere_is_an_error(
    pretended: Path, monkeypatch: pytest.MonkeyPatch, mode: str, words: str
) -> None:
    monkeypatch.setenv("FAKE_CUDA", mode)
    with pytest.raises(onnx.ProviderError, match=words):
        Networks(BUNDLE, Config(), provider=ON_CUDA)


def test_a_library_that_is_missing_is_named(tmp_path: Path, pretended: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = pretended / "onnxruntime/capi/libonnxruntime_providers_cuda.so"
    part.unlink()
    monkeypatch.setenv("FAKE_CUDA", "left out")
    with pytest.raises(onnx.ProviderError, match="libonnxruntime_providers_cuda.so: cannot open shared object file"):
        Networks(BUNDLE, Config(), provider=ON_CUDA)


def test_tensorrt_beside_a_cuda_that_is_left_out_is_no_tensorrt(
    pretended: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider(name="tensorrt", execution=(TENSORRT, CUDA), engines=str(tmp_path / "engines"))
    networks = Networks(BUNDLE, Config(), provider=provider)
    assert {one.provider for one in networks.runners.values()} == {"tensorrt"}
    assert len(list((tmp_path / "engines").glob("*/*.engine"))) == len(networks.runners)
    monkeypatch.setenv("FAKE_CUDA", "left out")
    with pytest.raises(onnx.ProviderError, match="CUDAExecutionProvider"):
        Networks(BUNDLE, Config(), provider=provider)


def test_a_gpu_that_fails_while_it_works_ends_the_run_with_one_line(
    pretended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CUDA", "fails later")
    networks = Networks(BUNDLE, Config(), provider=ON_CUDA)
    with pytest.raises(EdgefaceError, match="fails on cuda: CUDA failure 2: out of memory; set runtime.provider"):
        for _ in range(12):
            networks.verify(BUNDLE)


def test_float32_is_float32() -> None:
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0", "set before NVIDIA's libraries are loaded, unless somebody has"


def test_networks_of_sizes_that_nobody_knows_go_to_cuda() -> None:
    tensorrt = Provider(name="tensorrt", execution=(TENSORRT, CUDA), engines="/e")
    assert tensorrt.for_network(BUNDLE.network("yunet")) == tensorrt
    pyramid = msgspec.structs.replace(BUNDLE.network("yunet"), head=MtcnnHead(refine="a", output="b"))
    assert tensorrt.for_network(pyramid) == ON_CUDA
    assert ON_PROCESSOR.for_network(BUNDLE.network("yunet")) == ON_PROCESSOR
