"""The texts of a package: pure functions of a target, a version, and what was put in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from email.utils import format_datetime

from edgeface_deb.targets import PACKAGE, Target
from edgeface_deb.tree import LIBRARIES, PROGRAM

MAINTAINER = "edgeface <edgeface@users.noreply.github.com>"
HOMEPAGE = "https://github.com/edgeface/edgeface"
SHORT = "people before the camera as MQTT events"
LONG = """\
A service that finds faces in the picture of a camera, follows people,
estimates apparent age, gender and expression on the device itself, and
publishes events over MQTT. No picture leaves it.
.
Networks and libraries are inside; nothing is fetched when it is installed.
Made for {serves}."""
EXEC = re.compile(r"^(ExecStart=)\S+", re.MULTILINE)
FIRST_LINES = re.compile(r"\A(#.*\n)+\n?")
UNIT_HEAD = """\
# Of the package edgeface. Changes of your own go into a drop-in: systemctl edit edgeface

"""
WHEEL_TAGS = (
    "custom-library-search-path",
    "embedded-library",
    "executable-not-elf-or-script",
    "library-not-linked-against-libc",
    "relative-library-search-path",
    "shared-library-lacks-prerequisites",
    "unstripped-binary-or-object",
)
"""What lintian calls what every wheel is: built elsewhere, with libraries of its own beside it."""
GLIBC = re.compile(rb"GLIBC_(\d+)\.(\d+)")
ELF_MACHINES = {"amd64": 0x3E, "arm64": 0xB7}


def control(target: Target, version: str, *, installed_kb: int, glibc: tuple[int, int]) -> str:
    """Text of ``control``.

    Parameters
    ----------
    version : of the package
    installed_kb : size of all files in kilobytes of 1024
    glibc : the newest that a library inside asks for
    """
    major, minor = target.system.python
    depends = (
        f"python3 (>= {major}.{minor})",
        f"python3 (<< {major}.{minor + 1}~)",
        f"libc6 (>= {glibc[0]}.{glibc[1]})",
        "libgcc-s1",
        "libstdc++6",
        "zlib1g",
        "udev",  # makes the groups that the unit names
        "init-system-helpers (>= 1.54~)",
    )
    fields = {
        "Package": PACKAGE,
        "Version": version,
        "Architecture": target.arch,
        "Maintainer": MAINTAINER,
        "Installed-Size": str(installed_kb),
        "Depends": ", ".join(depends),
        # https and its authorities; what verifies signed bundles; what makes the certificates of many nodes.
        "Recommends": "ca-certificates, openssh-client, openssl",
        "Section": "net",
        "Priority": "optional",
        "Homepage": HOMEPAGE,
        "Description": SHORT,
    }
    text = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return text + "".join(f" {line}\n" for line in LONG.format(serves=target.system.serves).splitlines())


def fill(template: str, target: Target) -> str:
    """A file of ``files/`` for a target.

    Raises
    ------
    ValueError : a ``@WORD@`` that means nothing
    """
    major, minor = target.system.python
    words = {
        "MAJOR": str(major),
        "MINOR": str(minor),
        "PYTHON": target.python,
        "LIBRARIES": f"{LIBRARIES}/{target.abi}",
        "SERVES": target.system.serves,
    }
    for word, value in words.items():
        template = template.replace(f"@{word}@", value)
    if unknown := re.search(r"@[A-Z]+@", template):
        raise ValueError(f"{unknown[0]} means nothing")
    return template


def unit(text: str) -> str:
    """The project's unit, starting the package's program."""
    changed, count = EXEC.subn(rf"\1/{PROGRAM}", FIRST_LINES.sub("", text))
    if count != 1:
        raise ValueError("the unit has no one line ExecStart=")
    return UNIT_HEAD + changed


def changelog(target: Target, version: str, *, upstream: str, epoch: int) -> str:
    """Debian's changelog: one entry, which names the upstream version."""
    at = format_datetime(datetime.fromtimestamp(epoch, timezone.utc))
    return (
        f"{PACKAGE} ({version}) {target.system.codename}; urgency=medium\n\n"
        f"  * edgeface {upstream}; changelog.gz says what is new.\n\n"
        f" -- {MAINTAINER}  {at}\n"
    )


def overrides() -> str:
    """What lintian is not to tell: a line for each kind of finding."""
    own = (
        "# only root may read credentials",
        f"{PACKAGE}: non-standard-dir-perm *credentials*",
        "# wheels are built elsewhere, with libraries of their own beside them",
    )
    return "\n".join([*own, *(f"{PACKAGE}: {tag}" for tag in WHEEL_TAGS)]) + "\n"


def md5sums(files: Mapping[str, bytes]) -> str:
    """Text of ``md5sums``, by path."""
    return "".join(
        f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  {path}\n" for path, data in sorted(files.items())
    )


def installed_kb(sizes: Iterable[int]) -> int:
    """As dpkg counts: each file in whole kilobytes of 1024, and one for a directory's entry is not counted."""
    return sum(-(-size // 1024) for size in sizes)


def newest_glibc(data: bytes) -> tuple[int, int]:
    """The newest version of the C library that a shared object names; (0, 0) where it names none."""
    return max(((int(major), int(minor)) for major, minor in GLIBC.findall(data)), default=(0, 0))


def is_for(data: bytes, arch: str) -> bool:
    """Whether the beginning of an ELF file is of this architecture, little-endian and of 64 bits."""
    return data[4:6] == b"\x02\x01" and int.from_bytes(data[18:20], "little") == ELF_MACHINES[arch]


def manual(upstream: str, epoch: int) -> str:
    """A page of the manual that says where to look; the program explains its own options."""
    day = f"{datetime.fromtimestamp(epoch, timezone.utc):%Y-%m-%d}"
    return f"""\
.TH EDGEFACE 1 {day} "edgeface {upstream}"
.SH NAME
edgeface \\- {SHORT}
.SH SYNOPSIS
.B edgeface
.I COMMAND
[options]
.SH DESCRIPTION
.B edgeface \\-\\-help
names the commands,
.B edgeface COMMAND \\-\\-help
the options of one.
The service is started by systemd; as root,
.B edgeface doctor
says what is wrong with it and what to do.
.SH FILES
.TP
.I /etc/edgeface/edgeface.toml
The configuration; every key stands there with its meaning.
.TP
.I /etc/edgeface/credentials/password
The broker's password, for root alone.
.TP
.I /var/lib/edgeface
What the service remembers, and installed bundles of networks.
"""
