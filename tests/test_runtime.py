"""Runtimes: batches, padding, both engines alike, and what is said when one is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from bundles import DEFAULT, EXPRESSION, GENDER
from hypothesis import given
from hypothesis import strategies as st

from edgeface.bundle import Input, Network, open_bundle
from edgeface.config import Config, Runtime
from edgeface.engine.networks import Networks
from edgeface.errors import BundleError
from edgeface.runtime import load_network, run_faces, split, to_tensor
from edgeface.runtime.threads import opencv_threads
from edgeface.selftest import stored_input

BUNDLE = open_bundle(DEFAULT)
ATTRIBUTES = [network for network in BUNDLE.manifest.networks if network.task != "detect"]
FILES = [
    pytest.param(network, file.runtime, file.precision, id=f"{network.name}-{file.runtime}-{file.precision}")
    for network in ATTRIBUTES
    for files in network.files.values()
    for file in files
]


def runner_of(network: Network, runtime: Any, precision: str | None = None) -> Any:
    if runtime == "litert":
        pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    return load_network(BUNDLE, network, runtime, precision=precision)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (1, [(1, 1)]),
        (2, [(1, 1), (1, 1)]),
        (3, [(4, 3)]),
        (5, [(4, 4), (1, 1)]),
        (6, [(8, 6)]),
        (8, [(8, 8)]),
        (11, [(8, 8), (4, 3)]),
        (17, [(8, 8), (8, 8), (1, 1)]),
    ],
)
def test_faces_into_batches(count: int, expected: list[tuple[int, int]]) -> None:
    assert split(count, (1, 4, 8)) == expected


@given(st.integers(0, 200), st.sets(st.integers(1, 32), min_size=1).map(sorted))
def test_batches_hold_everybody_and_little_padding(count: int, sizes: list[int]) -> None:
    calls = split(count, sizes)
    assert sum(used for _, used in calls) == count
    assert all(size in sizes and 1 <= used <= size for size, used in calls)
    if sizes[0] == 1:
        assert all(used >= 0.75 * size for size, used in calls)
        assert all(used == size for size, used in calls[:-1])


@given(
    st.integers(1, 5),
    st.sampled_from([1, 3]),
    st.sampled_from([0.0, 127.5]),
    st.sampled_from([1.0, 1 / 127.5]),
    st.sampled_from(["NCHW", "NHWC"]),
)
def test_tensors(count: int, channels: int, mean: float, scale: float, layout: str) -> None:
    pixels = np.random.default_rng(count).integers(0, 256, (count, 6, 8, channels), np.uint8)
    means = tuple(mean + channel for channel in range(channels))
    spec = Input(color="bgr" if channels == 3 else "grey", mean=means, scale=scale)
    tensor = to_tensor(pixels, spec, layout)
    expected = (pixels.astype(np.float64) - means) * scale
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor, expected.transpose(0, 3, 1, 2) if layout == "NCHW" else expected, atol=1e-4)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_scale_for_each_channel_or_one_for_all(layout: str, count: int) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (count, 6, 8, 3), np.uint8)
    means, scales = (123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375)
    for mean, scale in ((means, scales), (127.5, 1 / 127.5), (means, (0.5, 0.5, 0.5)), (0.0, scales)):
        tensor = to_tensor(pixels, Input(color="rgb", mean=mean, scale=scale), layout)
        expected = (pixels.astype(np.float64) - mean) * scale
        assert tensor.dtype == np.float32
        np.testing.assert_allclose(tensor, expected.transpose(0, 3, 1, 2) if layout == "NCHW" else expected, atol=1e-4)


def faces_for(network: Network, count: int) -> Any:
    """The stored face, moved and darkened, so that every row differs."""
    face = stored_input(BUNDLE, network)[0]
    return np.stack([np.roll(face, 3 * row, axis=1) // (1 + row % 3) for row in range(count)])


@pytest.mark.parametrize(("network", "runtime", "precision"), FILES)
def test_padding_changes_nothing_and_answers_vary(network: Network, runtime: str, precision: str) -> None:
    runner = runner_of(network, runtime, precision)
    pixels = faces_for(network, 7)
    single = [run_faces(runner, network, pixels[row : row + 1]) for row in range(7)]
    for count in (2, 3, 5, 7):
        together = run_faces(runner, network, pixels[:count])
        for name, array in together.items():
            assert len(array) == count
            for row in range(count):
                np.testing.assert_allclose(array[row], single[row][name][0], atol=2e-3)
    for name in single[0]:
        # A wrong scale gives one answer to everybody.
        assert max(np.abs(single[row][name] - single[0][name]).max() for row in range(1, 7)) > 1e-3


@pytest.mark.parametrize("network", ATTRIBUTES, ids=lambda network: network.name)
def test_runtimes_agree(network: Network) -> None:
    pixels = faces_for(network, 4)
    ours = run_faces(runner_of(network, "onnx"), network, pixels)
    theirs = run_faces(runner_of(network, "litert"), network, pixels)
    for name, array in ours.items():
        np.testing.assert_allclose(theirs[name], array, atol=0.03)


def test_calls_are_as_few_as_the_batches_allow() -> None:
    calls: list[tuple[int, ...]] = []

    def run(batch: Any) -> dict[str, Any]:
        calls.append(batch.shape)
        return {"out": batch[:, 0, 0, :1]}

    spec = Input(color="grey", mean=(0.0,), scale=1.0)
    network: Any = SimpleNamespace(input=spec)
    runner: Any = SimpleNamespace(batches=(1, 4, 8), file=SimpleNamespace(layout="NHWC"), run=run)
    pixels = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)
    assert run_faces(runner, network, pixels)["out"].ravel().tolist() == list(range(12))
    assert [shape[0] for shape in calls] == [8, 4]
    assert run_faces(runner, network, pixels[:0]) == {}


def test_a_shape_that_was_not_prepared_is_said() -> None:
    network = BUNDLE.network(EXPRESSION)
    side, runner = network.input.width or 0, runner_of(network, "litert")
    with pytest.raises(BundleError, match=rf"no signature for batch, height, width \(3, {side}, {side}\)"):
        runner.run(np.zeros((3, side, side, 1), np.float32))


def test_outputs_are_kept_when_the_next_call_comes() -> None:
    """An engine that hands out its own buffer would change the answers of the frame before."""
    network = BUNDLE.network(GENDER)
    for runtime in ("onnx", "litert"):
        runner = runner_of(network, runtime)
        first = run_faces(runner, network, faces_for(network, 1))
        before = {name: array.copy() for name, array in first.items()}
        run_faces(runner, network, faces_for(network, 7)[5:6])
        for name, array in before.items():
            np.testing.assert_array_equal(first[name], array)


HIDE = """
import sys
for name in {hidden!r}:
    sys.modules[name] = None
from edgeface.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def hiding(*hidden: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("EDGEFACE")}
    return subprocess.run(
        [sys.executable, "-c", HIDE.format(hidden=hidden), *words],
        capture_output=True,
        text=True,
        env={**environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        check=False,
    )


@pytest.mark.parametrize(
    ("hidden", "runtime", "said"),
    [
        pytest.param(
            ("ai_edge_litert", "ai_edge_litert.interpreter", "tflite_runtime", "tflite_runtime.interpreter"),
            "litert",
            "edgeface: LiteRT is not installed; pip install 'edgeface[litert]' or choose",
            id="LiteRT",
        ),
        pytest.param(
            ("onnxruntime",),
            "onnx",
            "edgeface: onnxruntime is not installed; pip install onnxruntime",
            id="ONNX Runtime",
        ),
    ],
)
def test_a_runtime_that_is_missing_is_one_line(
    tmp_path: Path, hidden: tuple[str, ...], runtime: str, said: str
) -> None:
    picture = tmp_path / "x.png"
    picture.write_bytes(b"not read")
    done = hiding(*hidden, words=["analyze", "--set", f"runtime.name={runtime}", "--json", str(picture)])
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_models_verify_hashes_what_it_cannot_run() -> None:
    done = hiding(
        "ai_edge_litert", "ai_edge_litert.interpreter", "tflite_runtime", "tflite_runtime.interpreter",
        words=["models", "verify"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "hash only, litert is not installed" in done.stdout


def test_opencv_s_threads_are_borrowed_by_who_measures_and_left_alone_by_who_loads() -> None:
    with opencv_threads(3):
        with pytest.raises(ZeroDivisionError), opencv_threads(1):
            assert cv2.getNumThreads() == 1
            raise ZeroDivisionError
        assert cv2.getNumThreads() == 3
        networks = Networks(open_bundle(DEFAULT), Config(runtime=Runtime(threads=1)))
        assert (networks.threads, cv2.getNumThreads()) == (1, 3)
