"""``edgeface models install`` and ``remove``: archives that may be trusted, and all those that may not."""

from __future__ import annotations

import fcntl
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from brokers import eventually
from bundles import DEFAULT, EXPRESSION

from edgeface.bundle import MANIFEST, SEARCH_PATH, open_bundle
from edgeface.errors import BundleError, EdgefaceError, UsageError
from edgeface.files import OLD, exchange, swap_folder
from edgeface.installing import install, remove

Members = list[tuple[tarfile.TarInfo, bytes]]


def members(name: str = "small") -> Members:
    """A small bundle made of one network of the default one."""
    manifest = json.loads((DEFAULT / MANIFEST).read_text("utf-8"))
    network = next(n for n in manifest["networks"] if n["name"] == EXPRESSION)
    manifest |= {"name": "small", "networks": [network], "defaults": {"expression": EXPRESSION}}
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
        assert open_bundle(bundle.folder).manifest.defaults == {"expression": EXPRESSION}
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
        pytest.param(of_type(tarfile.DIRTYPE), "holds an entry of a folder .*; pack it with", id="folder"),
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


def manifest_of(content: Members) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(content[0][1])
    return found


def with_manifest(content: Members, manifest: dict[str, Any]) -> Members:
    data = json.dumps(manifest).encode()
    return [(entry(content[0][0].name, data), data), *content[1:]]


def test_only_what_the_manifest_states_is_unpacked(tmp_path: Path) -> None:
    place = tmp_path / "models"
    longer = [(entry(info.name, data + b"x"), data + b"x") for info, data in members()[1:2]]
    for content, words in (
        ([members()[0], *longer, *members()[2:]], r"small\.tar: .* it is not the file of the manifest"),
        (members()[:-1], r"lacks .*, which its manifest names"),
    ):
        with pytest.raises(BundleError, match=words):
            install(write(tmp_path / "small.tar", content), place)
    assert not place.exists()


def test_a_sparse_member_is_no_plain_file(tmp_path: Path) -> None:
    info = entry("small/odd")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(10**12)}
    data = b"1\n0\n512\n".ljust(1024, b"\0")
    info.size = len(data)
    with tarfile.open(tmp_path / "sparse.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in [*members(), (info, data)]:
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(BundleError, match="no plain file|holds too much"):
        install(tmp_path / "sparse.tar", tmp_path / "models")


@pytest.mark.parametrize("size", [-512, -1, 10**15])
def test_a_size_that_lies_ends(tmp_path: Path, size: int) -> None:
    archive = write(tmp_path / "small.tar", members())
    data = bytearray(archive.read_bytes())
    at = data.index(b"small/selftest")
    header = data[at : at + 512]
    header[124:136] = (b"\x80" if size >= 0 else b"\xff") + size.to_bytes(11, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[at : at + 512] = header
    archive.write_bytes(bytes(data))
    with pytest.raises(BundleError):
        install(archive, tmp_path / "models")


def test_an_archive_larger_than_any_bundle_is_not_read(tmp_path: Path) -> None:
    archive = write(tmp_path / "small.tar", members())
    with archive.open("r+b") as file:
        file.truncate(10**12)
    with pytest.raises(BundleError, match="holds too much"):
        install(archive, tmp_path / "models")


def test_a_chain_that_does_not_hold_is_not_installed(tmp_path: Path) -> None:
    content = members()
    manifest = manifest_of(content)
    manifest["networks"][0]["head"]["labels"] = ["a", "b", "c"]
    place = tmp_path / "models"
    with pytest.raises(BundleError, match=rf"network {EXPRESSION}: .* gives \(7,\) values for 3 labels") as caught:
        install(write(tmp_path / "small.tar", with_manifest(content, manifest)), place)
    assert str(tmp_path) not in str(caught.value)
    assert not place.exists()


@pytest.mark.parametrize("there", ["", "models"], ids=["made for it", "there before"])
def test_a_failed_install_leaves_no_folder_that_was_not_there(tmp_path: Path, there: str) -> None:
    base = tmp_path / "var"
    (base / there).mkdir(parents=True)
    content = members()
    tampered(content)
    (tmp_path / "no.tar").write_bytes(b"rubbish")
    for archive in (write(tmp_path / "bad.tar", content), tmp_path / "no.tar"):
        with pytest.raises(BundleError):
            install(archive, base / "models" if there else base / "lib" / "models")
        assert [str(path.relative_to(base)) for path in base.rglob("*")] == ([there] if there else [])


def test_a_folder_that_another_took_away_while_we_waited_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive, place = write(tmp_path / "small.tar", members()), tmp_path / "models"
    place.mkdir()
    other = os.open(place, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as pool:
        installed = pool.submit(install, archive, place)
        eventually(lambda: "waiting for it" in caplog.text)
        place.rmdir()
        os.close(other)
        assert installed.result(60).folder == place / "small"
    open_bundle(place / "small")


def test_the_service_can_read_what_a_private_umask_installs(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        bundle = install(write(tmp_path / "small.tar", members()), tmp_path / "deep" / "models")
    finally:
        os.umask(old)
    for path in (tmp_path / "deep", tmp_path / "deep" / "models", bundle.folder, bundle.folder / "selftest"):
        assert path.stat().st_mode & 0o777 == 0o755, path
    files = [path for path in bundle.folder.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}


def test_what_others_left_is_swept_and_put_back(tmp_path: Path) -> None:
    place = tmp_path / "models"
    install(write(tmp_path / "small.tar", members()), place)
    # Killed between the two steps of a file system that cannot exchange.
    (place / "small").rename(place / f"{OLD}small")
    (place / ".edgeface-left").mkdir()
    with pytest.raises(BundleError):
        install(write(tmp_path / "bad.tar", members()[:-1]), place)
    assert [path.name for path in place.iterdir()] == ["small"]
    open_bundle(place / "small")


def test_two_at_a_time_take_turns(tmp_path: Path) -> None:
    archive, place = write(tmp_path / "small.tar", members()), tmp_path / "models"
    command = [sys.executable, "-m", "edgeface", "models", "install", str(archive), "--to", str(place)]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert [path.name for path in place.iterdir()] == ["small"]


def test_a_folder_takes_a_place_in_one_step_or_in_two(tmp_path: Path) -> None:
    def folder(name: str, text: str) -> Path:
        path = tmp_path / name
        path.mkdir()
        (path / "file").write_text(text)
        return path

    place = folder("place", "first")
    assert exchange(folder("other", "second"), place)
    assert (place / "file").read_text() == "second"
    assert (tmp_path / "other" / "file").read_text() == "first"
    swap_folder(tmp_path / "other", place)
    assert (place / "file").read_text() == "first"
    swap_folder(folder("third", "third"), place, exchange=lambda *_: False)
    assert (place / "file").read_text() == "third"
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_a_bundle_whose_runtime_is_not_here_is_installed_only_when_asked(tmp_path: Path) -> None:
    content = members()
    manifest = manifest_of(content)
    gone = [file["path"] for file in manifest["networks"][0]["files"].pop("onnx")]
    kept = [(info, data) for info, data in content if info.name.removeprefix("small/") not in gone]
    archive = write(tmp_path / "small.tar", with_manifest(kept, manifest))
    for name in ("ai_edge_litert", "tflite_runtime"):
        (tmp_path / "without" / name).mkdir(parents=True)
        (tmp_path / "without" / name / "__init__.py").write_text("raise ImportError('not here')\n")
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path / 'without'}:{Path(__file__).parents[1]}"}

    def edgeface(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edgeface", "models", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)

    done = edgeface("install", str(archive), "--to", str(tmp_path / "models"))
    assert done.returncode == 1
    assert (
        f"network {EXPRESSION} was not tried, no file of it runs here (hash only, litert is not installed); "
        in done.stderr
    )
    assert "--allow-untried" in done.stderr
    assert not (tmp_path / "models").exists()
    done = edgeface("install", str(archive), "--to", str(tmp_path / "models"), "--allow-untried")
    assert done.returncode == 0, done.stderr
    done = edgeface("verify", "--bundle", str(tmp_path / "models" / "small"))
    assert done.returncode == 1
    assert f"not tried, no file runs here: {EXPRESSION}" in done.stdout


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
    assert not (tmp_path / "models").exists()


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
    assert (
        f"small {open_bundle(DEFAULT).manifest.version} is installed in {tmp_path / 'models' / 'small'}" in done.stdout
    )
    assert edgeface("verify", "--bundle", str(tmp_path / "models" / "small")).returncode == 0
    done = edgeface("remove", "small", "--to", str(tmp_path / "models"))
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'models' / 'small'} is removed\n")
    done = edgeface("remove", "small", "--to", str(tmp_path / "models"))
    assert done.returncode == 2
    assert done.stderr.startswith("edgeface: no bundle 'small'")
    assert str(SEARCH_PATH[0]) in edgeface("install", "--help").stdout
