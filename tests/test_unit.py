"""The systemd unit, judged by systemd itself where it is installed."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeface.service.waits import Waits

ROOT = Path(__file__).resolve().parents[1]
UNIT = ROOT / "systemd" / "edgeface.service"
TUNE = ROOT / "systemd" / "edgeface-tune.service"
UNITS = (UNIT, TUNE)
EXPOSURE_MOST = 1.5
NEWER_THAN_249 = {"RestartSteps", "RestartMaxDelaySec", "MemoryZSwapMax", "OpenFile", "LogFilterPatterns"}

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (apt install systemd)"
)


def read_unit(path: Path = UNIT) -> dict[str, list[tuple[str, str]]]:
    """Sections in order; a directive may stand several times."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            sections[line.strip("[]")] = current = []
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            current.append((key, value))
    return sections


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A system just large enough for the unit: the programs it names and the targets it waits for."""
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    for unit in UNITS:
        shutil.copy(unit, tmp_path / "etc/systemd/system")
    units = tmp_path / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for name in ("sysinit", "basic", "network", "nss-lookup", "shutdown", "multi-user"):
        (units / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n", encoding="utf-8")
    for program in ("opt/edgeface/bin/edgeface", "bin/sh"):
        path = tmp_path / program
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/true\n", encoding="utf-8")
        path.chmod(0o755)
    return tmp_path


@needs_systemd
def test_systemd_finds_nothing_wrong(system: Path) -> None:
    result = analyze("verify", f"--root={system}", *(unit.name for unit in UNITS))
    assert (result.returncode, result.stderr.strip()) == (0, "")


@needs_systemd
def test_systemd_would_find_something_wrong(system: Path) -> None:
    (system / "opt/edgeface/bin/edgeface").unlink()
    assert analyze("verify", f"--root={system}", "edgeface.service").returncode != 0


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_exposure(unit: Path) -> None:
    result = analyze("security", "--offline=true", str(unit))
    if "unrecognized option" in result.stderr:
        pytest.skip("this systemd-analyze judges running services only")
    told = re.search(rf"exposure level for {unit.name}: ([0-9.]+)", result.stdout)
    assert told is not None, result.stdout + result.stderr
    assert float(told[1]) <= EXPOSURE_MOST


JETSON = ROOT / "systemd" / "edgeface.service.d" / "jetson.conf"


@needs_systemd
def test_systemd_finds_nothing_wrong_with_what_a_gpu_needs(system: Path) -> None:
    """It says the same of the unit alone: what is forbidden there is allowed here by whole directives."""
    beside = system / "etc/systemd/system/edgeface.service.d"
    beside.mkdir()
    shutil.copy(JETSON, beside)
    result = analyze("verify", f"--root={system}", "edgeface.service")
    assert (result.returncode, result.stderr.strip()) == (0, "")


def test_what_a_gpu_needs_is_memory_code_and_devices_and_nothing_else() -> None:
    service = read_unit(JETSON)["Service"]
    assert {key for key, _ in service} == {
        "MemoryHigh",
        "MemoryMax",
        "TasksMax",
        "MemoryDenyWriteExecute",
        "DeviceAllow",
    }
    given = dict(service)
    assert (given["MemoryDenyWriteExecute"], given["MemoryMax"], given["MemoryHigh"]) == ("no", "75%", "infinity")
    devices = [value for key, value in service if key == "DeviceAllow"]
    assert {"/dev/nvmap rw", "/dev/nvhost-ctrl-gpu rw", "char-nvidia* rw"} <= set(devices)
    # systemd takes wildcards in groups only: with one in a path it would look for a device of that name.
    assert not [device for device in devices if device.startswith("/") and "*" in device]


def test_a_wrong_configuration_is_not_tried_again() -> None:
    service = dict(read_unit()["Service"])
    assert service["RestartPreventExitStatus"] == "2"
    assert service["Restart"] == "always"


def test_the_last_messages_have_time() -> None:
    assert (
        float(dict(read_unit()["Service"])["TimeoutStopSec"]) > Waits().flush_s + Waits().join_s + Waits().leave_s + 1
    )


def test_the_watchdog_is_slower_than_a_turn() -> None:
    assert float(dict(read_unit()["Service"])["WatchdogSec"]) > 20 * Waits().turn_s


def test_no_directive_is_too_new_for_systemd_249() -> None:
    used = {key for unit in UNITS for section in read_unit(unit).values() for key, _ in section}
    assert not used & NEWER_THAN_249
    assert dict(read_unit()["Service"])["Type"] == "notify", "notify-reload came with 253"


def test_telemetry_is_off_and_nothing_can_be_written() -> None:
    service = read_unit()["Service"]
    assert any("ORT_DISABLE_TELEMETRY=1" in value for key, value in service if key == "Environment")
    assert ("ProtectSystem", "strict") in service
    assert not [value for key, value in service if key == "ReadWritePaths"]


def test_libcamera_finds_what_it_opens() -> None:
    """Sensors and image processors (sub-devices are of video4linux too), buffers, and udev, which tells of them."""
    service = read_unit()["Service"]
    allowed = {value for key, value in service if key == "DeviceAllow"}
    assert allowed >= {"char-media rw", "char-video4linux rw", "char-dma_heap rw"}
    assert "AF_NETLINK" in dict(service)["RestrictAddressFamilies"].split()
    assert "video" in dict(service)["SupplementaryGroups"].split()


def test_it_is_a_unit_file() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    assert parser.sections() == ["Unit", "Service", "Install"]


def test_nothing_waits_for_the_measurement_and_it_comes_last() -> None:
    """Wanted by the target, ordered after it: a boot is complete before four minutes are over."""
    unit, service = dict(read_unit(TUNE)["Unit"]), dict(read_unit(TUNE)["Service"])
    assert unit["After"].split() == ["edgeface.service", "multi-user.target"]
    assert not {"Before", "Requires", "BindsTo", "PartOf"} & unit.keys()
    # Of a oneshot the start is done when the program ends, and until then the system is "starting".
    assert service["Type"] == "exec"
    assert int(service["RuntimeMaxSec"]) == 1800
    assert int(service["Nice"]) > int(dict(read_unit()["Service"])["Nice"])
    assert "edgeface-tune" not in UNIT.read_text(encoding="utf-8")


def test_what_is_measured_is_what_the_service_would_compute() -> None:
    """The same user, state and limits on code: what a sandbox forbids must be forbidden while it is measured."""
    own, other = (dict(read_unit(unit)["Service"]) for unit in (TUNE, UNIT))
    same = ("User", "DynamicUser", "StateDirectory", "StateDirectoryMode", "MemoryDenyWriteExecute", "Environment",
            "SystemCallFilter", "ProtectProc", "EnvironmentFile")  # fmt: skip
    assert {key: own.get(key) for key in same} == {key: other.get(key) for key in same}
    assert "ORT_DISABLE_TELEMETRY=1" in own["Environment"]
    # Whose group a configuration with a camera's password has: both read it.
    assert all("video" in unit["SupplementaryGroups"].split() for unit in (own, other))
