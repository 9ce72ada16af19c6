"""CPU time of shipped files, by a clock that is handed in."""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from bundles import AGE, EXPRESSION
from onnx import numpy_helper

from benchmarks.attributes import bundle_of, cleared, lines
from converters.evaluation.shipped import used
from converters.evaluation.timing import ROUND_S, RUNTIMES, Timed, fastest, measure_network, time_together
from converters.measurements.speeds import describe_machine, read_speeds
from converters.paths import BUNDLE
from edgeface.bundle import Bundle, FileRuntime, open_bundle
from edgeface.errors import UsageError


def test_every_file_of_a_network_is_timed() -> None:
    """By the clock, two fifths of a round pass between any two looks at it: three calls a round."""
    ticks = count()
    bundle = open_bundle(BUNDLE)
    network = bundle.network("yunet")
    speeds = measure_network(bundle, network, rounds=2, warm_up=0, clock=lambda: next(ticks) * ROUND_S * 0.4)
    files = [file for of_runtime in network.files.values() for file in of_runtime]
    assert [(speed.runtime, speed.precision) for speed in speeds] == [(file.runtime, file.precision) for file in files]
    assert [speed.cpu_ms for speed in speeds] == pytest.approx([1000 * ROUND_S * 0.4] * len(files), abs=0.01)
    assert {(speed.network, speed.machine) for speed in speeds} == {("yunet", describe_machine())}
    # Two rounds of three calls, each round with a look at the clock before it.
    assert next(ticks) == len(files) * 2 * 4


def test_the_files_of_a_runtime_stand_in_the_order_of_their_time_on_record() -> None:
    """The device takes the first: on a processor where int8 is slower than float, float stands before it."""
    timed = {(speed.network, speed.runtime, speed.precision): speed.cpu_ms for speed in read_speeds()}
    for network in open_bundle(BUNDLE).manifest.networks:
        for runtime, files in network.files.items():
            shipped = [file.precision for file in files]
            on_record = {p: ms for (name, of, p), ms in timed.items() if (name, of) == (network.name, runtime)}
            assert shipped == sorted(on_record, key=on_record.__getitem__), f"{network.name} {runtime}"


# Attribute networks, beside those of a commit


def measure(bundle: Bundle, *runtimes: FileRuntime) -> list[Timed]:
    """Time every file of a bundle's networks once, all in turns."""
    (timed,) = time_together([(bundle, list(used(bundle)))], runtimes, rounds=1)
    return timed


@pytest.fixture
def copied(tmp_path: Path) -> Bundle:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    return open_bundle(tmp_path / "bundle")


def test_values_that_only_cost_time_are_cleared_in_a_copy_that_still_runs(copied: Bundle) -> None:
    path = copied.folder / copied.network(EXPRESSION).files["onnx"][1].path
    model = onnx.load(path)
    weights = next(one for one in model.graph.initializer if len(one.dims) == 4)
    values = numpy_helper.to_array(weights).copy()
    values.flat[0] = 1e-20
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    path.write_bytes(model.SerializeToString())
    found = cleared(copied)
    kept = next(one for one in onnx.load(path).graph.initializer if one.name == weights.name)
    values.flat[0] = 0
    np.testing.assert_array_equal(numpy_helper.to_array(kept), values)
    # Each file is held against its hash before it runs.
    onnx_files, litert_files = measure(found, "onnx"), measure(found, "litert")
    assert len(onnx_files) == len(litert_files) == 4
    assert len(measure(found, *RUNTIMES)) == 8


def test_the_fastest_file_of_each_network_counts_and_ratios_are_those_of_rounds(classic: Bundle) -> None:
    age, gender = classic.network("age-v1"), classic.network("gender-v1")
    before = [Timed(age, age.files["onnx"][0], [2.0, 4.0, 8.0])]
    now = [
        Timed(age, age.files["onnx"][0], [1.0, 2.0, 3.0]),
        Timed(gender, gender.files["onnx"][0], [5.0, 9.0, 9.0]),
        Timed(gender, gender.files["onnx"][1], [1.0, 1.0, 1.0]),
    ]
    assert fastest(now) == [now[0], now[2]]
    rows = list(lines("mine", now, before))
    assert len(rows) == 4
    size = now[0].file.bytes + now[2].file.bytes
    kinds = f"onnx {now[0].file.precision}, onnx {now[2].file.precision}"
    # 2 of 2, 3 of 4, 4 of 8.
    assert rows[-1] == f"| **mine, together** ({kinds}) | 3.000 | 0.75 | 87.9 | {size:,} |"


def test_what_cannot_be_timed_is_one_line(tmp_path: Path) -> None:
    bundle = open_bundle(BUNDLE)
    bare = msgspec.structs.replace(bundle.network(AGE), files={})
    manifest = msgspec.structs.replace(bundle.manifest, networks=(bare,), defaults={"age": AGE})
    with pytest.raises(UsageError, match=f"{AGE} has no file for onnx; choose another --runtime"):
        measure(Bundle(folder=bundle.folder, manifest=manifest), "onnx")
    with pytest.raises(UsageError, match="there is no models/default at none; name another commit"):
        bundle_of("none", tmp_path)
