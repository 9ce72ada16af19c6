"""CPU time of shipped files, by a clock that is handed in."""

from __future__ import annotations

from itertools import count

import pytest

from converters.bundles.timing import ROUND_S, measure_bundle
from converters.measurements.speeds import describe_machine
from converters.paths import BUNDLE
from edgeface.bundle import open_bundle


def test_every_file_of_a_bundle_is_timed() -> None:
    """By the clock, two fifths of a round pass between any two looks at it: three calls a round."""
    ticks = count()
    speeds = measure_bundle(BUNDLE, rounds=2, warm_up=0, clock=lambda: next(ticks) * ROUND_S * 0.4)
    files = [
        (network.name, file.runtime, file.precision)
        for network in open_bundle(BUNDLE).manifest.networks
        for of_runtime in network.files.values()
        for file in of_runtime
    ]
    assert [(speed.network, speed.runtime, speed.precision) for speed in speeds] == files
    assert [speed.cpu_ms for speed in speeds] == pytest.approx([1000 * ROUND_S * 0.4] * len(files), abs=0.01)
    assert {speed.machine for speed in speeds} == {describe_machine()}
    # Two rounds of three calls, each round with a look at the clock before it.
    assert next(ticks) == len(files) * 2 * 4
