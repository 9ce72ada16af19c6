"""What the machine says of itself, held against the kernel and against other ways to ask."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

import pytest

from edgeface import machine
from edgeface.config import Config, Node

PI = "processor\t: 0\nBogoMIPS\t: 108.00\n\nRevision\t: c03114\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"
JETSON = "processor\t: 0\nmodel name\t: \nBogoMIPS\t: 62.50\nCPU part\t: 0xd42\n"
PC = "processor\t: 0\nmodel name\t: Intel(R) N100\n"
TREE = "NVIDIA Jetson Orin Nano Developer Kit\0"


def test_a_configured_id_is_the_id() -> None:
    assert machine.node_id(Config(node=Node(id="hall"))) == "hall"


def test_the_id_is_the_same_each_time_and_fits_a_topic() -> None:
    """No level separator, no wildcard, no space; at most 53 characters."""
    first, second = machine.node_id(Config()), machine.node_id(Config())
    assert first == second
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,48}-[0-9a-f]{4}", first)


@pytest.mark.parametrize(
    ("host", "begins"),
    [("raspberrypi", "raspberrypi-"), ("hall.example.org", "hall-"), ("+#/", "node-"), ("x" * 64, "x" * 48 + "-")],
)
def test_any_host_name_becomes_an_id(host: str, begins: str) -> None:
    told = machine.node_id(Config(), hostname=lambda: host)
    assert told.startswith(begins)
    assert len(told) == len(begins) + 4


def test_a_host_that_is_named_by_the_same_digits_has_them_once() -> None:
    """So the card's image names a host that was given no name."""
    digits = machine.node_id(Config(), hostname=lambda: "x").removeprefix("x-")
    assert machine.node_id(Config(), hostname=lambda: f"edgeface-{digits}") == f"edgeface-{digits}"
    long = f"{'x' * 58}-{digits}"
    assert machine.node_id(Config(), hostname=lambda: long) == f"{'x' * 48}-{digits}"


def test_resident_memory_is_what_the_kernel_counts() -> None:
    before = machine.resident_mb()
    assert before is not None
    held = bytearray(os.urandom(1 << 10) * (64 << 10))
    after = machine.resident_mb()
    assert after is not None
    assert after - before == pytest.approx(len(held) / 1e6, rel=0.25)


def test_the_peak_is_at_least_what_is_held_now() -> None:
    peak, now = machine.peak_mb(), machine.resident_mb()
    assert peak is not None
    assert now is not None
    assert peak > 0.95 * now
    assert peak == pytest.approx(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, rel=0.25)


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="needs /proc/cpuinfo")
def test_the_processor_is_a_line_of_the_kernel() -> None:
    name = machine.processor()
    assert "\n" not in name
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    if re.search(r"^(model name|Model)\s*:", text, flags=re.MULTILINE):
        assert name
        assert name in text


@pytest.mark.parametrize(
    ("cpuinfo", "tree", "name"),
    [
        (PI, None, "Raspberry Pi 4 Model B Rev 1.4"),
        (PC, None, "Intel(R) N100"),
        (JETSON, TREE, "NVIDIA Jetson Orin Nano Developer Kit"),
        (None, TREE, "NVIDIA Jetson Orin Nano Developer Kit"),
    ],
)
def test_the_processor_or_else_the_board(cpuinfo: str | None, tree: str | None, name: str, tmp_path: Path) -> None:
    for file, text in (("cpuinfo", cpuinfo), ("model", tree)):
        if text is not None:
            (tmp_path / file).write_text(text)
    assert machine.processor(cpuinfo=tmp_path / "cpuinfo", model=tmp_path / "model") == name


@pytest.mark.parametrize(
    ("processor", "flags", "exact"),
    [
        ("x86_64", "fpu avx2 avx512_vnni", True),
        ("x86_64", "fpu avx2 avx_vnni", True),
        ("x86_64", "fpu avx2 avx512f", False),
        ("aarch64", "", True),
    ],
)
def test_which_processors_sum_products_of_bytes_exactly(
    processor: str, flags: str, exact: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: processor)
    (tmp_path / "cpuinfo").write_text(f"model name\t: CPU\nflags\t\t: {flags}\n")
    assert machine.multiplies_bytes_exactly(cpuinfo=tmp_path / "cpuinfo") is exact


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        pytest.param("0::/", {}, 8, id="no limit is stated"),
        pytest.param("0::/", {"cpu.max": "max 100000"}, 8, id="none is set"),
        pytest.param("0::/", {"cpu.max": "150000 100000"}, 2, id="a container, one and a half"),
        pytest.param("0::/", {"cpu.max": "5000 100000"}, 1, id="less than one"),
        pytest.param("0::/", {"cpu.max": "100100 100000"}, 1, id="one, rounded by whoever set it"),
        pytest.param(
            "0::/a/b.service", {"a/b.service/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3, id="slice"
        ),
        pytest.param("0::/../host/path", {"cpu.max": "200000 100000"}, 2, id="a path of the host"),
        pytest.param(
            "3:cpuset:/x\n1:cpu,cpuacct:/x\n0::/x",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "200000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"},
            2,
            id="cgroups 1",
        ),
        pytest.param(
            "1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8, id="cgroups 1 without"
        ),
    ],
)
def test_no_more_cores_than_the_time_that_a_container_gets(
    groups: str, files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert machine.cores(root=tmp_path) == 8
    stated = {f"sys/fs/cgroup/{name}": text for name, text in files.items()} | {"proc/self/cgroup": groups}
    for name, text in stated.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert machine.cores(root=tmp_path) == expected
