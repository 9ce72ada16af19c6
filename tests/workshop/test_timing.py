"""CPU time of shipped files, by a clock that is handed in."""

from __future__ import annotations

from itertools import count

import pytest

from converters.bundles.timing import ROUND_S, measure_network
from converters.measurements.speeds import describe_machine, read_speeds
from converters.paths import BUNDLE
from edgeface.bundle import open_bundle


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
