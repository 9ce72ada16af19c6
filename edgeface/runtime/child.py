"""A Python program in a child: a library that was built for another processor, or other libraries, ends its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from edgeface.config import child_environ

ABI_SIGNS = ("multiarray failed to import", "_ARRAY_API not found", "dtype size changed", "compiled using NumPy 1.x")
"""What libraries say that were built for another numpy."""
PATIENCE_S = 60.0
"""A large library is read from a card."""
HEAD = (
    'import sys\nsys.path[:] = sys.argv.pop(1).split(":")\nsys.modules.update(dict.fromkeys(sys.argv.pop(1).split()))\n'
)


def import_path() -> str:
    """What a child may import from, as we do: never the current folder."""
    return ":".join(entry for entry in sys.path if entry and os.path.isabs(entry))  # noqa: PTH117


def barred() -> list[str]:
    """Modules that are barred here: whose import fails, whatever is installed."""
    return [name for name, module in sys.modules.copy().items() if module is None]


def run_python(program: str, *words: str, patience_s: float = PATIENCE_S) -> tuple[str, str | None]:
    """Output of a Python program in a child that imports what we do, and why it failed.

    Parameters
    ----------
    words : ``sys.argv[1:]`` of the program
    patience_s : seconds after which it is ended
    """
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-X", "utf8", "-c", HEAD + program, import_path(), " ".join(barred()), *words],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=patience_s,
            check=False,
            stdin=subprocess.DEVNULL,
            env=child_environ(os.environ),
        )
    except subprocess.TimeoutExpired:
        return "", "it hangs"
    if done.returncode == 0:
        return done.stdout, None
    if done.returncode == -signal.SIGILL:
        return "", "it needs instructions that this processor does not have"
    if done.returncode < 0:
        return "", f"it ends by signal {-done.returncode}"
    return "", done.stderr


def why_in_words(failure: str) -> str:
    """What a child that failed has said, in one line."""
    if any(sign in failure for sign in ABI_SIGNS):
        return "it was built for another numpy"
    lines = failure.strip().splitlines()
    return lines[-1] if lines else "it says nothing"
