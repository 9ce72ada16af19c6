"""CPU time of shipped files, by a clock that is handed in."""

from __future__ import annotations

from itertools import count

import pytest

from converters.bundles.timing import ROUND_S, measure_network
from converters.measurements.speeds import describe_machine
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
