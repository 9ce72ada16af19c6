"""``edgeface models install`` and ``remove``: archives that may be trusted, and all those that may not."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeface.bundle import MANIFEST, SEARCH_PATH, open_bundle
from edgeface.errors import BundleError, EdgefaceError, UsageError
from edgeface.installing import install, remove

DEFAULT = Path(__file__).parents[1] / "models" / "default"
SMALL = "gender-v1"
Members = list[tuple[tarfile.TarInfo, bytes]]


def members(name: str = "small") -> Members:
    """A small bundle made of one network of the default one."""
    manifest = json.loads((DEFAULT / MANIFEST).read_text("utf-8"))
    network = next(n for n in manifest["networks"] if n["name"] == SMALL)
    manifest |= {"name": "small", "networks": [network], "defaults": {"gender": SMALL}}
    files = {MANIFEST: json.dumps(manifest).encode()}
    paths = [network["selftest"]["path"], *(f["path"] for fs in network["files"].values() for f in fs)]
    files |= {path: (DEFAULT / path).read_bytes() for path in paths}
    return [(entry(f"{name}/{path}", data), data) for path, data in files.items()]


def entry(name: str, data: bytes = b"") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info


def write(path: Path, content: Members) -> Path:
    with tarfile.open(path, "w") as tar:
        for info, data in content:
            tar.addfile(info, io.BytesIO(data))
    return path


def test_installed_replaced_and_removed(tmp_path: Path) -> None:
    archive, place = write(tmp_path / "small.tar", members()), tmp_path / "models"
    for _ in range(2):
        bundle = install(archive, place)
        assert bundle.folder == place / "small"
        assert open_bundle(bundle.folder).manifest.defaults == {"gender": SMALL}
        assert [path.name for path in place.iterdir()] == ["small"]
    assert remove("small", place) == place / "small"
    assert list(place.iterdir()) == []


def outside(name: str) -> Callable[[Members], None]:
    return lambda content: content.append((entry(name, b"x"), b"x"))


def of_type(kind: bytes) -> Callable[[Members], None]:
    def change(content: Members) -> None:
        info = entry("small/odd")
        info.type, info.linkname = kind, "/etc/passwd"
        content.append((info, b""))

    return change


def tampered(content: Members) -> None:
    info, data = content[-1]
    content[-1] = (info, data[:-1] + bytes([data[-1] ^ 1]))


def twice(content: Members) -> None:
    content.append(content[-1])


def without_manifest(content: Members) -> None:
    del content[0]


def other_name(content: Members) -> None:
    for info, _ in content:
        info.name = info.name.replace("small/", "large/")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(outside("../evil"), "path outside its folder: '../evil'", id="climbs out"),
        pytest.param(outside("small/../../evil"), "path outside its folder", id="climbs out from inside"),
        pytest.param(outside("/etc/evil"), "path outside its folder", id="absolute"),
        pytest.param(outside("evil"), "path outside its folder", id="beside the folder"),
        pytest.param(outside("second/manifest.json"), "does not hold one folder", id="two folders"),
        pytest.param(outside("small/extra.py"), "holds extra.py, which its manifest does not name", id="stray file"),
        pytest.param(of_type(tarfile.SYMTYPE), "no plain file", id="link"),
        pytest.param(of_type(tarfile.LNKTYPE), "no plain file", id="hard link"),
        pytest.param(of_type(tarfile.CHRTYPE), "no plain file", id="device"),
        pytest.param(of_type(tarfile.DIRTYPE), "no plain file", id="folder"),
        pytest.param(tampered, "is not the file of the manifest", id="one bit"),
        pytest.param(twice, "twice", id="named twice"),
        pytest.param(without_manifest, "does not hold one folder with a manifest.json", id="no manifest"),
        pytest.param(other_name, "calls large what its manifest calls small", id="another name"),
    ],
)
def test_an_archive_that_cannot_be_trusted_leaves_everything_as_it_was(
    tmp_path: Path, change: Callable[[Members], None], words: str
) -> None:
    place = tmp_path / "deep" / "models"
    before = install(write(tmp_path / "good.tar", members()), place)
    stamp = (before.folder / MANIFEST).stat().st_mtime_ns
    content = members()
    change(content)
    with pytest.raises(BundleError, match=words) as caught:
        install(write(tmp_path / "bad.tar", content), place)
    assert "\n" not in str(caught.value)
    assert (before.folder / MANIFEST).stat().st_mtime_ns == stamp
    assert [path.name for path in place.iterdir()] == ["small"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tar", "deep", "good.tar"]


@pytest.mark.parametrize("data", [b"", b"no archive at all" * 100, b"\x1f\x8b" + b"0" * 600])
def test_what_is_no_archive_is_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "odd.tar"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"odd\.tar"):
        install(path, tmp_path / "models")


def test_an_archive_cut_short_is_refused(tmp_path: Path) -> None:
    archive = write(tmp_path / "small.tar", members())
    archive.write_bytes(archive.read_bytes()[:100_000])
    with pytest.raises(BundleError):
        install(archive, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_missing_things_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*nowhere\.tar"):
        install(tmp_path / "nowhere.tar", tmp_path)
    with pytest.raises(UsageError, match=r"no bundle 'small' is installed in .*; installed there: none"):
        remove("small", tmp_path)
    with pytest.raises(UsageError, match="no bundle '../models'"):
        remove("../models", tmp_path)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(EdgefaceError, match=r"cannot be written: .*; run it with sudo, or name another folder"):
        install(write(tmp_path / "small.tar", members()), tmp_path / "file" / "models")


def test_on_the_command_line(tmp_path: Path) -> None:
    archive = write(tmp_path / "small.tar", members())

    def edgeface(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edgeface", "models", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))

    done = edgeface("install", str(archive), "--to", str(tmp_path / "models"))
    assert done.returncode == 0, done.stderr
    assert f"small 0.1.0 is installed in {tmp_path / 'models' / 'small'}" in done.stdout
    assert edgeface("verify", "--bundle", str(tmp_path / "models" / "small")).returncode == 0
    done = edgeface("remove", "small", "--to", str(tmp_path / "models"))
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'models' / 'small'} is removed\n")
    done = edgeface("remove", "small", "--to", str(tmp_path / "models"))
    assert done.returncode == 2
    assert done.stderr.startswith("edgeface: no bundle 'small'")
    assert str(SEARCH_PATH[0]) in edgeface("install", "--help").stdout
