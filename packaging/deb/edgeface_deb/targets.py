"""For which systems there are packages, and what they are called: all of them may lie in one repository."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PACKAGE = "edgeface"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Debian's name of an architecture, and that of wheels and lock files."""
VERSION = re.compile(r"(\d+\.\d+\.\d+)(?:(a|b|rc)(\d+))?(?:\.dev(\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One release of a distribution.

    Attributes
    ----------
    suffix : what tells its packages from those of the others
    codename : of the suite in a repository
    python : version of its /usr/bin/python3
    glibc : version of its C library
    serves : names by which people know it
    """

    suffix: str
    codename: str
    python: tuple[int, int]
    glibc: tuple[int, int]
    serves: str


SYSTEMS = (
    System(
        suffix="deb12",
        codename="bookworm",
        python=(3, 11),
        glibc=(2, 36),
        serves="Debian 12, Raspberry Pi OS Bookworm",
    ),
    System(
        suffix="deb13", codename="trixie", python=(3, 13), glibc=(2, 41), serves="Debian 13, Raspberry Pi OS Trixie"
    ),
    System(suffix="ubuntu22.04", codename="jammy", python=(3, 10), glibc=(2, 35), serves="Ubuntu 22.04, JetPack 6"),
    System(suffix="ubuntu24.04", codename="noble", python=(3, 12), glibc=(2, 39), serves="Ubuntu 24.04, JetPack 7"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """A system on an architecture."""

    system: System
    arch: str

    @property
    def name(self) -> str:
        """Name of its own folders."""
        return f"{self.system.suffix}-{self.arch}"

    @property
    def machine(self) -> str:
        """Architecture as wheels name it."""
        return MACHINES[self.arch]

    @property
    def python(self) -> str:
        """``3.11``."""
        return "{}.{}".format(*self.system.python)

    @property
    def abi(self) -> str:
        """``cp311``."""
        return "cp{}{}".format(*self.system.python)

    @property
    def lock(self) -> str:
        """Name of its file in ``requirements/``."""
        return f"python{self.python}-{self.machine}.txt"

    def version(self, version: str, revision: int) -> str:
        """Version of the package."""
        return f"{debian_version(version)}-{revision}~{self.system.suffix}"

    def file(self, version: str, revision: int) -> str:
        """Name of the package's file."""
        return f"{PACKAGE}_{self.version(version, revision)}_{self.arch}.deb"


def debian_version(version: str) -> str:
    """Render a version of Python's kind so that dpkg sorts it alike: ``0.2.0rc1`` comes before ``0.2.0``.

    Raises
    ------
    ValueError : it is none that a release of this project has
    """
    parts = VERSION.fullmatch(version)
    if parts is None:
        raise ValueError(f"{version} is no version of edgeface")
    release, stage, number, development = parts.groups()
    early = f"~{stage}{number}" if stage else ""
    # "~~" sorts before "~": what is developed comes before its first release candidate.
    return f"{release}{early}" + ("" if development is None else f"~~dev{development}")


def targets(archs: Sequence[str] = (), pythons: Sequence[str] = ()) -> list[Target]:
    """Every target of these architectures and Pythons (``3.11``); of all where none is named."""
    every = [Target(system, arch) for system in SYSTEMS for arch in MACHINES]
    return [one for one in every if (not archs or one.arch in archs) and (not pythons or one.python in pythons)]
