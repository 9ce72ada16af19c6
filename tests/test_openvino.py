"""The session code on another real provider than the processor's: OpenVINO, which needs no GPU.

It stands in for CUDA: loading, what a session says of itself, answers within tolerance, the child that tries it.
`scripts/slow providers` runs it; in the ordinary environment there is no such package, and it is skipped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astronaut import write_picture
from bundles import AGE, DEFAULT, EXPRESSION

from edgeface.bundle import open_bundle
from edgeface.config import Config, Limits, Runtime
from edgeface.engine.networks import Networks
from edgeface.proof import accelerate
from edgeface.proof.accelerate import try_provider
from edgeface.runtime import onnx
from edgeface.runtime.providers import CUDA, Provider
from edgeface.sources import read_picture

OPENVINO = "OpenVINOExecutionProvider"
pytestmark = pytest.mark.skipif(
    OPENVINO not in onnx.listed(), reason="onnxruntime-openvino is not installed: scripts/slow providers installs it"
)
BUNDLE = open_bundle(DEFAULT)
CONFIG = Config(runtime=Runtime(name="onnx"))
ON_OPENVINO = Provider(name="openvino", execution=(OPENVINO,))


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks(BUNDLE, CONFIG, provider=ON_OPENVINO)


def test_every_network_runs_there_and_computes_what_the_workshop_computed(networks: Networks) -> None:
    assert {one.provider for one in networks.runners.values()} == {"openvino"}
    assert {one.file.precision for one in networks.runners.values()} == {"fp32", "fp16w"}
    off = networks.verify(BUNDLE)
    assert set(off) == {"yunet", AGE, EXPRESSION}


def test_a_face_is_found_where_the_processor_finds_it(networks: Networks, tmp_path: Path) -> None:
    image = read_picture(write_picture(tmp_path / "astronaut.png"), Limits()).image
    usual = Networks(BUNDLE, CONFIG)
    for still in (True, False):
        there = networks.detect(image, min_score=0.5, still=still)
        here = usual.detect(image, min_score=0.5, still=still)
        assert len(there.boxes) == len(here.boxes) == 1
        assert np.abs(there.boxes - here.boxes).max() < 0.5


def test_a_child_finds_that_it_computes() -> None:
    assert try_provider(BUNDLE, CONFIG, ON_OPENVINO, 120.0) is None


def test_nobody_who_asks_for_cuda_gets_it(tmp_path: Path) -> None:
    environ = {"STATE_DIRECTORY": str(tmp_path)}
    assert accelerate(BUNDLE, CONFIG, environ).provider.name == "cpu"
    asked = Config(runtime=Runtime(provider="cuda"))
    assert "cuda is not part of this ONNX Runtime" in accelerate(BUNDLE, asked, environ).reasons[0]
    with pytest.raises(onnx.ProviderError, match="cuda does not load: .*libonnxruntime_providers_cuda.so"):
        Networks(BUNDLE, CONFIG, provider=Provider(name="cuda", execution=(CUDA,)))
