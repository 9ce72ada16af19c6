"""The lock files of ``requirements/`` agree with pyproject.toml: no network, no resolver."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TARGETS = [(python, machine) for python in ("3.10", "3.11", "3.12", "3.13") for machine in ("x86_64", "aarch64")]
LINE = re.compile(r"#.*|[a-z0-9][a-z0-9-]*==[0-9][\w.+]*( ; [^\\]*)?( \\)?|    --hash=sha256:[0-9a-f]{64}( \\)?")


def read_lock(name: str) -> dict[str, str]:
    """Versions by package; each has its hashes."""
    text = (FOLDER / name).read_text(encoding="utf-8").replace(" \\\n", " ")
    packages = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        what, _, hashes = line.partition(" --hash=")
        package, version = what.split(" ;")[0].strip().split("==")
        assert hashes.startswith("sha256:") or "--hash=sha256:" in line, line
        packages[package] = version
    return packages


def locks() -> list[str]:
    return sorted(path.name for path in FOLDER.glob("*.txt"))


def test_there_is_one_for_each_python_and_machine() -> None:
    assert locks() == sorted(["build.txt", *(f"python{python}-{machine}.txt" for python, machine in TARGETS)])
    named = {text.rsplit(" ", 1)[-1] for text in PROJECT["project"]["classifiers"] if ":: Python :: 3." in text}
    assert named == {python for python, _ in TARGETS}


@pytest.mark.parametrize("name", locks())
def test_it_holds_packages_and_hashes_and_no_address(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if LINE.fullmatch(line) is None] == []


@pytest.mark.parametrize(("python", "machine"), TARGETS)
def test_what_pyproject_asks_for_is_locked_within_its_bounds(python: str, machine: str) -> None:
    locked = read_lock(f"python{python}-{machine}.txt")
    target = {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": machine}
    project = PROJECT["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["litert"]]:
        asked = Requirement(text)
        if asked.marker is None or asked.marker.evaluate(target):
            version = locked.get(canonicalize_name(asked.name))
            assert version is not None, f"{asked.name} is not locked: scripts/lock"
            assert version in asked.specifier, f"{asked} is locked at {version}: scripts/lock"


def test_what_builds_the_wheel_is_locked() -> None:
    locked = read_lock("build.txt")
    for text in PROJECT["build-system"]["requires"]:
        asked = Requirement(text)
        assert locked[canonicalize_name(asked.name)] in asked.specifier


@pytest.mark.parametrize(("python", "machine"), TARGETS)
def test_no_runtime_that_reports_home_is_locked(python: str, machine: str) -> None:
    """onnxruntime reports by default from 1.29 on."""
    version = read_lock(f"python{python}-{machine}.txt")["onnxruntime"]
    assert tuple(map(int, version.split(".")[:2])) < (1, 29)


def test_jetpack_6s_own_runtime_loads_beside_our_numpy() -> None:
    """Its ONNX Runtime is built for numpy 1, which does not load beside numpy 2; the other way round it does."""
    locked = read_lock("python3.10-aarch64.txt")
    assert locked["numpy"].startswith("1.26."), "the newest numpy 1: scripts/lock"
    others = [
        f"python{python}-{machine}.txt" for python, machine in TARGETS if (python, machine) != ("3.10", "aarch64")
    ]
    assert {read_lock(name)["numpy"].split(".")[0] for name in others} == {"2"}
