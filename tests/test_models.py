"""The bundle that ships: complete, of the stated bytes, small enough, and right on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import pytest

from edgeface.bundle import Bundle, Network, NetworkFile, open_bundle
from edgeface.runtime import load_network
from edgeface.selftest import check

MODELS = Path(__file__).parents[1] / "models"
BUNDLE = MODELS / "default"
LARGEST_BYTES = 15_000_000
SMALL_NETWORK_BYTES = 2_000_000
NEEDED = ["yunet", "retinaface", "age-gender-compact", "expression-compact"]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(BUNDLE)


def files() -> list[tuple[Network, NetworkFile]]:
    networks = open_bundle(BUNDLE).manifest.networks
    return [(network, file) for network in networks for kind in network.files.values() for file in kind]


def test_everything_under_models_is_less_than_fifteen_megabytes() -> None:
    total = sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file())
    assert total < LARGEST_BYTES


def test_the_bundle_has_its_networks_and_defaults(bundle: Bundle) -> None:
    assert [network.name for network in bundle.manifest.networks] == NEEDED
    assert set(bundle.manifest.defaults) == {"detect", "age", "gender", "expression"}
    for task, name in bundle.manifest.defaults.items():
        assert task in (*bundle.network(name).answers, bundle.network(name).task)
    assert set(bundle.manifest.runtimes) == {"x86_64", "aarch64"}
    assert not bundle.manifest.runtimes["aarch64"].measured


def test_every_network_says_where_it_comes_from_and_what_it_is_not_for(bundle: Bundle) -> None:
    for network in bundle.manifest.networks:
        for text in (network.title, network.paper, network.licence, network.training_data, network.limits):
            assert text.strip()
        assert network.licence in {"MIT", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0", "Apache-2.0"}
        assert network.source.version or (network.source.registry == "own" and network.source.sha256)
        assert network.source.path
        assert (network.input.crop is None) == (network.task == "detect")


@pytest.mark.parametrize(("network", "file"), [pytest.param(n, f, id=f.path) for n, f in files()])
def test_every_file_has_the_stated_size_and_hash(network: Network, file: NetworkFile) -> None:
    data = (BUNDLE / file.path).read_bytes()
    assert len(data) == file.bytes
    assert hashlib.sha256(data).hexdigest() == file.sha256


def test_nothing_lies_in_the_bundle_that_the_manifest_does_not_name(bundle: Bundle) -> None:
    named = {file.path for _, file in files()} | {network.selftest.path for network in bundle.manifest.networks}
    found = {str(path.relative_to(BUNDLE)) for path in BUNDLE.rglob("*") if path.is_file()}
    assert found - {"manifest.json"} == named


def test_small_networks_ship_in_fp32_in_both_runtimes(bundle: Bundle) -> None:
    for network in bundle.manifest.networks:
        if 4 * network.parameters < SMALL_NETWORK_BYTES:
            for runtime in ("onnx", "litert"):
                assert "fp32" in {file.precision for file in network.files[runtime]}, f"{network.name} {runtime}"


@pytest.mark.parametrize(("network", "file"), [pytest.param(n, f, id=f.path) for n, f in files()])
def test_every_file_passes_its_self_test_here(bundle: Bundle, network: Network, file: NetworkFile) -> None:
    if file.runtime == "litert" and not any(map(importlib.util.find_spec, ("ai_edge_litert", "tflite_runtime"))):
        pytest.skip("LiteRT is not installed")
    runner = load_network(bundle, network, file.runtime, precision=file.precision, threads=1)
    assert check(bundle, network, runner) <= file.tolerance
