"""Files that nobody sees half of: what a write leaves, and what a failed one leaves."""

from __future__ import annotations

import os
import re
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeface.errors import EdgefaceError
from edgeface.files import Growing, make_folder, swap_folder, write_atomic

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def umask() -> Iterator[None]:
    """The usual one, whatever the shell has."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Files of this process may not grow beyond 1 kB: the kernel's own refusal, as from a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_written_file_is_whole_readable_and_alone(tmp_path: Path, umask: None) -> None:
    path = tmp_path / "new" / "folder" / "file.json"
    write_atomic(path, b"first")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_who_may_read_it_hangs_on_the_umask_unless_it_is_said(tmp_path: Path, umask: None) -> None:
    os.umask(0o077)
    for words, mode in (({}, 0o600), ({"public": True}, 0o644), ({"private": True}, 0o600)):
        write_atomic(tmp_path / "file", b"x", **words)
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, full_disk: None) -> None:
    path = tmp_path / "file.json"
    write_atomic(path, b"old")
    with pytest.raises(EdgefaceError, match=r"file\.json cannot be written: File too large"):
        write_atomic(path, bytes(2048))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_or_the_new(tmp_path: Path) -> None:
    """A process that reads all the time while another writes; both sizes whole, none between."""
    path = tmp_path / "file"
    write_atomic(path, b"a" * 100_000)
    program = (
        "import sys; from pathlib import Path; path = Path(sys.argv[1]); print('reading', flush=True)\n"
        "seen = set()\n"
        "while b'b' not in seen: data = path.read_bytes(); seen.add(data[:1]); "
        "assert len(data) == 100_000 and len(set(data)) == 1\n"
    )
    reader = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
    assert reader.stdout is not None
    with reader, reader.stdout:
        reader.stdout.readline()
        for _ in range(50):
            write_atomic(path, b"a" * 100_000)
        write_atomic(path, b"b" * 100_000)
        assert reader.wait(20) == 0


def test_a_folder_takes_a_place_with_all_it_has(tmp_path: Path) -> None:
    new, place = tmp_path / "new", tmp_path / "place"
    for folder, text in ((place, "old"), (new, "new")):
        folder.mkdir()
        (folder / text).write_text(text, encoding="utf-8")
    swap_folder(new, place)
    assert [path.name for path in place.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [place]


SWAP = "import sys, pathlib; from edgeface.files import swap_folder; swap_folder(*map(pathlib.Path, sys.argv[1:]))"
TRACED = "fsync,rename,renameat,renameat2,unlink,unlinkat,rmdir"


@pytest.mark.parametrize("way", ["nothing there", "exchanged", "in two steps"])
def test_a_folder_is_on_the_disk_before_it_takes_its_place(strace: str, tmp_path: Path, way: str) -> None:
    """As the kernel saw it: a power cut at any call leaves the old folder or the new one, whole."""
    new, place, log = tmp_path / "new", tmp_path / "place", tmp_path / "log"
    (new / "inner").mkdir(parents=True)
    for file in (new / "file", new / "inner/file"):
        file.write_bytes(b"new")
    if way != "nothing there":
        place.mkdir()
        (place / "old").write_bytes(b"old")
    refused = ["-e", "inject=renameat2:error=EINVAL"] if way == "in two steps" else []
    command = [strace, "-qq", "-y", "-s", "400", "-e", f"trace={TRACED}", *refused, "-o", str(log)]
    command += [sys.executable, "-B", "-c", SWAP, str(new), str(place)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=60)
    assert (place / "inner/file").read_bytes() == b"new"
    done = [line for line in log.read_text().splitlines() if str(tmp_path) in line and " = -1 " not in line]
    seen = [line.partition("(")[0].rstrip("0123456789") for line in done]
    renames = [i for i, name in enumerate(seen) if name.startswith("rename")]
    removals = [i for i, name in enumerate(seen) if name in {"unlink", "unlinkat", "rmdir"}]
    assert (len(renames), len(removals)) == {"nothing there": (1, 0), "exchanged": (1, 2)}.get(way, (2, 2))
    before = {flushed(line) for line in done[: renames[0]]}
    assert before == {new, new / "file", new / "inner", new / "inner/file"}
    assert tmp_path in {flushed(line) for line in done[renames[-1] + 1 : min(removals, default=len(done))]}


def flushed(line: str) -> Path | None:
    """What an ``fsync`` of a trace was for; None of another call."""
    found = re.match(r"fsync\(\d+<(.*)>\) += 0", line)
    return Path(found[1]) if found else None


def test_a_folder_that_is_not_there_takes_no_place(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "old").write_text("old", encoding="utf-8")
    with pytest.raises(EdgefaceError, match="cannot be written"):
        swap_folder(tmp_path / "missing", place)
    assert [path.name for path in place.iterdir()] == ["old"]


def test_a_growing_file_appears_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "out" / "lines.txt"
    growing = Growing(path)
    growing.write("one")
    growing.write("a name that is not UTF-8: \udcff")
    assert not path.exists()
    growing.finish()
    assert path.read_bytes() == b"one\na name that is not UTF-8: \xff\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(EdgefaceError, match=r"file/below cannot be made: Not a directory"):
        make_folder(tmp_path / "file/below")
    with pytest.raises(EdgefaceError, match=r"file/below cannot be made: Not a directory"):
        write_atomic(tmp_path / "file/below/x", b"")
