"""Fit an installation into the root of a system that does not run. Called by ``scripts/install --root``.

``check ROOT`` ends with 2 and one line where programs from this machine would not start; ``settle ROOT PREFIX`` leaves
nothing in PREFIX that names ROOT.
"""

from __future__ import annotations

import compileall
import platform
import re
import sys
from pathlib import Path

MACHINES = {0x03: "i686", 0x28: "arm", 0x3E: "x86_64", 0xB7: "aarch64", 0xF3: "riscv64"}
"""ELF's ``e_machine``, as ``uname -m`` says it."""
INTERPRETER = "usr/bin/python3"
PROGRAMS = (INTERPRETER, "bin/sh", "usr/bin/env", "sbin/init", "lib/systemd/systemd", "bin/busybox")
LINKS_MOST = 40

# Read by sh it starts the interpreter beside it, read by Python it is a string; uv's relocatable environments do so.
LAUNCHER = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")/python" "$0" "$@"
' '''
"""
STARTED = re.compile(rb"\A#!(?:.*python.*|/bin/sh\n'''exec' .*\n' ''')\n")
"""How pip begins a program: the second way where the interpreter's path is too long for the kernel."""


def inside(root: Path, path: str) -> Path:
    """Follow links as the image would: one that begins with ``/`` begins at ``root``."""
    found, links = root, 0
    rest = [part for part in path.split("/") if part]
    while rest:
        part = rest.pop(0)
        step = found / part
        if part == "..":
            found = found if found == root else found.parent
        elif step.is_symlink() and links < LINKS_MOST:
            links += 1
            target = str(step.readlink())
            found = root if target.startswith("/") else found
            rest = [word for word in target.split("/") if word not in {"", "."}] + rest
        else:
            found = step
    return found


def machine_of(program: Path) -> str | None:
    """Architecture of an ELF file; None for anything else."""
    if not program.is_file():
        return None
    with program.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    number = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    return MACHINES.get(number, f"machine {number}")


def fault(root: Path, machine: str, version: str) -> tuple[str, str] | None:
    """What keeps programs made with this machine's Python from starting in ``root``, and the fix; None if nothing does.

    A folder in which there is no system yet has no fault.
    """
    found = [name for program in PROGRAMS if (name := machine_of(inside(root, program))) is not None]
    if not found:
        return None
    if found[0] != machine:
        return f"{root} is a system for {found[0]} and this machine is {machine}", f"install it on one of {found[0]}"
    python = inside(root, INTERPRETER)
    if not python.is_file():
        return f"{root} has no /{INTERPRETER}", "install python3 in it first"
    named = re.fullmatch(r"python(\d+\.\d+)", python.name)
    if named is not None and named[1] != version:
        return f"{root} has Python {named[1]} and PYTHON is {version}", f"set PYTHON to a Python {named[1]}"
    return None


def check(root: Path) -> int:
    """Say what is wrong with an image; 2 then."""
    version = ".".join(platform.python_version_tuple()[:2])
    wrong = fault(root, platform.machine(), version)
    if wrong is not None:
        print(f"edgeface: {wrong[0]}; {wrong[1]}", file=sys.stderr)
        return 2
    return 0


def settle(root: Path, prefix: Path) -> int:
    """Make programs find the interpreter beside them, and everything else name the image's own root."""
    here, there = str(prefix).encode(), b"/" + str(prefix.relative_to(root)).encode()
    for path in [*(prefix / "bin").iterdir(), prefix / "pyvenv.cfg"]:
        if path.is_symlink() or here not in (data := path.read_bytes()):
            continue
        path.write_bytes(STARTED.sub(lambda _: LAUNCHER, data).replace(here, there))
    # Tracebacks name the file as it was compiled; the service itself may not write it anew.
    compileall.compile_dir(prefix / "lib", quiet=2, force=True, stripdir=str(root), prependdir="/")
    python = inside(root, INTERPRETER)
    if python.is_file():
        _use(prefix, f"/{python.relative_to(root)}")
    return 0


def _use(prefix: Path, python: str) -> None:
    """Start the image's interpreter, wherever the one lies that made the environment."""
    for name, target in (("python3", python), ("python", "python3")):
        link = prefix / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    settings = prefix / "pyvenv.cfg"
    text = re.sub(r"^home = .*", f"home = {Path(python).parent}", settings.read_text(encoding="utf-8"), flags=re.M)
    settings.write_text(re.sub(r"^executable = .*", f"executable = {python}", text, flags=re.M), encoding="utf-8")
    # From outside it may not run: the next installation begins anew.
    (prefix / ".python").unlink(missing_ok=True)


if __name__ == "__main__":
    command, *paths = map(Path, sys.argv[1:])
    sys.exit(check(*paths) if command.name == "check" else settle(*paths))
