"""Which wheel of a locked package a target takes; pip fetches them, and each is judged again before it is unpacked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgeface_deb.targets import Target

OLDEST_GLIBC = 17
"""manylinux2014; 2.17 is older than every system."""
MANYLINUX2014 = "manylinux2014"
LINE = re.compile(r"([a-z0-9-]+)==([0-9][\w.+]*)(?: ; .*)?")


@dataclass(frozen=True, slots=True)
class Locked:
    """A package of a lock file: ``hashes`` are those of all its wheels."""

    name: str
    version: str
    hashes: frozenset[str]


def read_lock(text: str) -> list[Locked]:
    """Packages of a file of ``requirements/``.

    Raises
    ------
    ValueError : a line that is no package with hashes
    """
    packages = []
    for line in text.replace(" \\\n", " ").splitlines():
        if not line or line.startswith("#"):
            continue
        what, *hashes = line.split("--hash=sha256:")
        found = LINE.fullmatch(what.strip())
        if found is None or not hashes:
            raise ValueError(f"not a locked package: {line[:60]}")
        packages.append(Locked(found[1], found[2], frozenset(text.strip() for text in hashes)))
    return packages


def platforms(target: Target) -> list[str]:
    """Platform tags that run on the target, the best first: no wheel for a newer C library than it has."""
    major, minor = target.system.glibc
    tags = [f"manylinux_{major}_{level}_{target.machine}" for level in range(minor, OLDEST_GLIBC - 1, -1)]
    return [*tags, f"{MANYLINUX2014}_{target.machine}"]


def pip_options(target: Target) -> Iterator[str]:
    """Options with which pip chooses for the target, on whatever machine it runs itself."""
    yield from ("--python-version", target.python, "--implementation", "cp")
    for abi in (target.abi, "abi3", "none"):
        yield from ("--abi", abi)
    for platform in platforms(target):
        yield from ("--platform", platform)


def fits(wheel: str, target: Target) -> bool:
    """Whether a wheel of this name runs on the target."""
    python_tags, abi_tags, platform_tags = (part.split(".") for part in wheel.removesuffix(".whl").split("-")[-3:])
    if abi_tags == ["none"]:
        right_python = bool({"py3", "py2.py3", target.abi} & {*python_tags})
    elif "abi3" in abi_tags:
        right_python = any(_minor(tag) <= target.system.python[1] for tag in python_tags if tag.startswith("cp3"))
    else:
        right_python = target.abi in python_tags and target.abi in abi_tags
    return right_python and bool({"any", *platforms(target)} & {*platform_tags})


def choose(wheels: Iterable[str], package: Locked, target: Target) -> str | None:
    """Name of the wheel among those that are there; None where it is yet to be fetched."""
    wanted = (package.name.replace("-", "_"), package.version)
    own = [wheel for wheel in wheels if (_key(wheel) == wanted and fits(wheel, target))]
    return max(own, key=lambda wheel: _preference(wheel, target), default=None)


def _key(wheel: str) -> tuple[str, str]:
    name, version, *_ = wheel.split("-")
    return name.lower().replace(".", "_"), version


def _preference(wheel: str, target: Target) -> int:
    """How near a wheel is to the best for the target; 0 is the best, and where it does not matter."""
    order = platforms(target)
    tags = wheel.removesuffix(".whl").split("-")[-1].split(".")
    return max((-order.index(tag) for tag in tags if tag in order), default=0)


def _minor(tag: str) -> int:
    return int(tag.removeprefix("cp3") or 0)
