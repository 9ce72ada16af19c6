"""What the machine says of itself, as the kernels of boards write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeface.machine import processor

PI = "processor\t: 0\nBogoMIPS\t: 108.00\n\nRevision\t: c03114\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n"
JETSON = "processor\t: 0\nmodel name\t: \nBogoMIPS\t: 62.50\nCPU part\t: 0xd42\n"
PC = "processor\t: 0\nmodel name\t: Intel(R) N100\n"
TREE = "NVIDIA Jetson Orin Nano Developer Kit\0"


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
    assert processor(cpuinfo=tmp_path / "cpuinfo", model=tmp_path / "model") == name
