"""What the board says, laid out as files of a kernel."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edgeface import board
from edgeface.service.vitals import Trouble, Vitals

SENSOR = "sys/class/hwmon/hwmon"


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_raspberry_pi(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
            "proc/device-tree/serial-number": "10000000abcdef01\0",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "52582\n",
            "sys/class/thermal/thermal_zone1/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone1/temp": "60000\n",
            "sys/class/thermal/thermal_zone2/type": "absent\n",
            "sys/class/thermal/thermal_zone2/temp": "-273000\n",
            "sys/class/thermal/cooling_device0/type": "fan\n",
            board.THROTTLED: "50005\n",
            "proc/meminfo": "MemTotal:  900000 kB\nMemAvailable:     500000 kB\n",
        },
    )
    assert (board.model(root), board.serial(root)) == ("Raspberry Pi 4 Model B Rev 1.4", "10000000abcdef01")
    assert board.temperatures(root) == {"cpu-thermal": 52.6, "cpu-thermal-2": 60.0}
    assert board.throttled(root) == (["under-voltage", "throttled"], ["under-voltage", "throttled"])
    assert board.free_memory_mb(root) == 512.0


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, None, id="no Raspberry Pi"),
        pytest.param({board.THROTTLED: "0"}, ([], []), id="all well"),
        pytest.param({board.THROTTLED: "80008"}, (["temperature limit"],) * 2, id="too hot"),
        pytest.param({board.THROTTLED: "10000"}, ([], ["under-voltage"]), id="was once"),
        pytest.param(
            {board.THROTTLED: "0", f"{SENSOR}1/name": "rpi_volt", f"{SENSOR}1/in0_lcrit_alarm": "1"},
            (["under-voltage"],) * 2,
            id="a kernel that leaves the word at 0",
        ),
        pytest.param({f"{SENSOR}0/name": "nvme", f"{SENSOR}3/name": "rpi_volt"}, ([], []), id="sensor alone"),
    ],
)
def test_throttling(tmp_path: Path, files: dict[str, str], expected: object) -> None:
    assert board.throttled(lay(tmp_path, files)) == expected


def test_a_pc_without_rights(tmp_path: Path) -> None:
    root = lay(tmp_path, {"sys/class/dmi/id/sys_vendor": "Intel\n", "sys/class/dmi/id/product_name": "NUC\n"})
    assert (board.model(root), board.serial(root)) == ("Intel NUC", None)
    assert board.temperatures(root) == {}
    assert board.free_memory_mb(root) is None


def test_this_machine_answers() -> None:
    assert board.clock_synchronised() in {True, False, None}
    assert (board.free_disk_mb(Path("/nonexistent/below")) or 0) > 0
    assert (board.free_memory_mb() or 0) > 0


def test_processor_time_is_that_since_the_last_message(tmp_path: Path) -> None:
    now_s, used_s = iter([0.0, 10.0, 10.0]), iter([1.0, 6.0, 6.0])
    vitals = Vitals(tmp_path, root=tmp_path, clock=lambda: next(now_s), processor_s=lambda: next(used_s))
    assert vitals.measure().cpu == 0.5
    assert vitals.measure().cpu is None, "no time has passed"


def test_the_latest_trouble_is_kept_in_one_line() -> None:
    trouble = Trouble().attach()
    logger = logging.getLogger("edgeface.some.room")
    try:
        logger.info("all well")
        before = trouble.latest
        logger.warning("camera %s lost", "door\nERROR forged")
        logger.info("fine")
    finally:
        trouble.detach()
    logger.error("after the end")
    assert before is None
    assert trouble.latest is not None
    assert trouble.latest.text == "camera door\\u000aERROR forged lost"
