"""Virtual environments for the tests that need one of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

OFFLINE = re.compile(r"No matching distribution found|Connection|Temporary failure|timed out", re.IGNORECASE)


def make(folder: Path, *what: str, python: str = sys.executable) -> Path:
    """Make an environment with these packages; returns its interpreter."""
    # The pip of these tests serves it: a pip of its own takes longer than most packages.
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True, capture_output=True)
    interpreter = folder / "bin" / "python"
    if what:
        pip(interpreter, "install", *what)
    return interpreter


def pip(interpreter: Path, *words: str) -> None:
    """Run pip; skips where the registry cannot be reached, except in CI."""
    command = [sys.executable, "-m", "pip", "--python", str(interpreter), "--disable-pip-version-check", "--no-input"]
    command += ["--quiet", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    if done.returncode and OFFLINE.search(done.stderr) and "CI" not in os.environ:
        pytest.skip(f"pip reaches no registry: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
