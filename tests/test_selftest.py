"""Stored inputs: bounded before they are unpacked, and compared such that nonsense is noticed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import DEFAULT, EXPRESSION, SpoiledRunner, Tree, copy, network, stated, write_manifest

from edgeface import selftest
from edgeface.bundle import Bundle, open_bundle
from edgeface.errors import BundleError
from edgeface.runtime import load_network

PATH = f"selftest/{EXPRESSION}.npz"
OUTPUT = open_bundle(DEFAULT).network(EXPRESSION).answers["expression"].output
"""Its one output, of shape (1, 7)."""


def good() -> dict[str, np.ndarray[Any, Any]]:
    with np.load(DEFAULT / PATH) as arrays:
        return dict(arrays)


def packed(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def lying(shape: str, *, size: int | None = None) -> bytes:
    """An archive whose array's header says another shape, or whose directory another size, than there is."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in good().items():
            one = io.BytesIO()
            np.save(one, array)
            data = one.getvalue()
            if name == OUTPUT:
                old = str(array.shape).encode()
                data = data.replace(old, shape.encode().ljust(len(old)))
            archive.writestr(f"{name}.npy", data)
    data = buffer.getvalue()
    if size is not None:
        at = data.rindex(b"PK\x01\x02")
        data = data[: at + 24] + size.to_bytes(4, "little") + data[at + 28 :]
    return data


def endless() -> bytes:
    """Sixty megabytes of zeros in sixty kilobytes, under a name that is asked for."""
    buffer = io.BytesIO(packed(**{name: array for name, array in good().items() if name == "input"}))
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{OUTPUT}.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file,
            {"descr": "<f4", "fortran_order": False, "shape": (1, 15_000_000)},
        )
        for _ in range(6):
            file.write(bytes(10_000_000))
    return buffer.getvalue()


def with_selftest(folder: Path, data: bytes) -> Bundle:
    made = copy(folder)
    (made / PATH).write_bytes(data)

    def change(tree: Tree) -> None:
        network(tree, EXPRESSION)["selftest"] = stated(made, PATH)

    write_manifest(made, change)
    return open_bundle(made)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: packed(**good(), more=np.zeros(10)), id="an array that nobody names"),
        pytest.param(endless, id="an array of 60 MB"),
        pytest.param(lambda: lying("(1, 9)"), id="a shape larger than its data"),
        pytest.param(lambda: lying("(1, 7)", size=10**9), id="a directory that says more"),
        pytest.param(lambda: lying("(1, 7)", size=1), id="a directory that says less"),
        pytest.param(lambda: lying("(-1,7)"), id="a shape below zero"),
        pytest.param(lambda: lying("(((((("), id="brackets"),
        pytest.param(lambda: packed(**{OUTPUT: good()[OUTPUT]}), id="no input"),
        pytest.param(lambda: packed(**{**good(), "input": good()["input"][:, :16]}), id="another height"),
        pytest.param(lambda: packed(**{**good(), "input": good()["input"].astype(np.float32)}), id="another type"),
        pytest.param(lambda: packed(**{**good(), OUTPUT: np.full((1, 7), np.nan, np.float32)}), id="NaN"),
        pytest.param(lambda: packed(**{**good(), OUTPUT: np.full((1, 7), 1 / 7)}), id="float64"),
        pytest.param(lambda: b"PK\x03\x04" + bytes(100), id="no archive"),
        pytest.param(lambda: packed(**good())[:-40], id="cut"),
    ],
)
def test_stored_arrays_that_do_not_fit(tmp_path: Path, data: Callable[[], bytes]) -> None:
    bundle = with_selftest(tmp_path, data())
    with pytest.raises(BundleError, match=f"the self-test of network {EXPRESSION} .* does not fit it"):
        selftest.stored(bundle, bundle.network(EXPRESSION))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda array: np.roll(array, array.shape[1] // 2, axis=1), id="of another place"),
        pytest.param(lambda array: np.zeros_like(array) + array.mean(axis=1, keepdims=True), id="always the same"),
        pytest.param(lambda array: array[:, ::-1], id="upside down"),
    ],
)
@pytest.mark.parametrize("name", ["yunet", "retinaface"])
def test_a_detector_that_sees_another_picture_is_noticed(
    name: str, spoil: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
) -> None:
    bundle = open_bundle(DEFAULT)
    wanted = bundle.network(name)
    runner = load_network(bundle, wanted, "onnx", precision="int8")
    assert selftest.check(bundle, wanted, runner) <= runner.file.tolerance
    with pytest.raises(BundleError, match="fails its self-test"):
        selftest.check(bundle, wanted, SpoiledRunner(runner, spoil))


def test_the_relative_error_notices_what_the_largest_does_not() -> None:
    rng = np.random.default_rng(3)
    expected = rng.normal(size=(1, 500, 2)).astype(np.float32)
    expected[0, 0] = 20
    other = rng.normal(size=(1, 500, 2)).astype(np.float32)
    other[0, 0] = 20
    assert selftest.largest_error(other, expected) < 0.5
    assert selftest.relative_error(other, expected) > selftest.OTHER
    coarse = (np.round(expected * 2) / 2).astype(np.float32)
    assert selftest.relative_error(coarse, expected) < 0.2
    assert selftest.relative_error(np.full_like(expected, np.nan), expected) == np.inf
    assert selftest.relative_error(expected[:, :4], other[:, :4]) == 0


def test_what_says_little_is_named() -> None:
    arrays = {
        "constant": np.full((1, 40), 0.3, np.float32),
        "saturated": np.array([[1e-6, 1 - 1e-6]], np.float32),
        "useful": np.array([[0.2, 0.8]], np.float32),
        "years": np.array([[40.0]], np.float32),
    }
    assert selftest.uninformative(arrays) == ("constant", "saturated")


@pytest.mark.parametrize("name", [found.name for found in open_bundle(DEFAULT).manifest.networks])
def test_stored_outputs_say_something(name: str) -> None:
    bundle = open_bundle(DEFAULT)
    arrays = selftest.stored(bundle, bundle.network(name))
    assert selftest.uninformative({key: array for key, array in arrays.items() if key != "input"}) == ()
