"""What the tests leave behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
def test_no_folder_of_states_is_left(workers: list[str], tmp_path: Path) -> None:
    """Each worker of each run has one; thousands were found in /tmp."""
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *(workers or ["-n", "0"]),
        str(Path(__file__).with_name("test_geometry.py")),
    ]
    done = subprocess.run(
        [*words, "--collect-only"] if not workers else words,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.glob("edgeface-state-*")) == []
