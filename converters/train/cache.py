"""Crops of a part of a set as one file that is mapped into memory, and their labels: cut once, kept, resumable.

A folder ``SET-PART-KEY``: ``pixels.raw`` (N crops, uint8, one after another), ``rows.jsonl`` (a line for every face
that was looked at: its labels, or null for a miss). While it is made it is called ``.SET-PART-KEY`` and holds as much
as was done; who is killed goes on there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from edgeface.errors import EdgefaceError
from edgeface.files import make_folder, swap_folder
from edgeface.types import Image

PIXELS, ROWS = "pixels.raw", "rows.jsonl"
EACH = 256
"""Faces between two writings: what a kill can cost."""
CHUNK = 1 << 20

Labels = Mapping[str, str]
Seen = tuple[Labels, Image | None]
"""Labels of one face, and its crop; None where it was not found."""
Face = TypeVar("Face")


def key_of(files: Iterable[Path], *facts: object) -> str:
    """Hash of what crops depend on: names and contents of files, and facts that msgspec can write."""
    digest = hashlib.sha256(msgspec.json.encode(facts))
    for path in files:
        digest.update(f"\n{path.name}\n".encode("utf-8", "surrogateescape"))
        try:
            with path.open("rb") as file:
                while block := file.read(CHUNK):
                    digest.update(block)
        except OSError as error:
            raise EdgefaceError(f"{path} cannot be read: {error.strerror}", fix="complete the data set") from None
    return digest.hexdigest()[:16]


def read_cache(folder: Path, shape: Sequence[int]) -> tuple[npt.NDArray[np.uint8], list[Labels], int] | None:
    """Crops (N, *shape), the labels of each and the number of misses; None where nothing finished lies there."""
    if not folder.is_dir():
        return None
    try:
        seen = _rows((folder / ROWS).read_bytes())
        rows = [row for row in seen if row is not None]
        path, expected = folder / PIXELS, len(rows) * int(np.prod(shape))
        if path.stat().st_size != expected:
            raise EdgefaceError(f"{path} has not {expected} bytes", fix="delete its folder: it is made anew")
        pixels = (
            np.asarray(np.memmap(path, np.uint8, "r", shape=(len(rows), *shape)))
            if rows
            else np.zeros((0, *shape), np.uint8)
        )
    except (OSError, msgspec.MsgspecError) as error:
        raise EdgefaceError(f"{folder} cannot be read: {error}", fix="delete it: it is made anew") from None
    return pixels, rows, len(seen) - len(rows)


def fill_cache(folder: Path, shape: Sequence[int], faces: Iterable[Face], cut: Callable[[Face], Seen]) -> None:
    """Write what is not there yet.

    Parameters
    ----------
    shape : of one crop
    faces : all of them, in order
    cut : called for those that were not looked at in an earlier run

    Raises
    ------
    EdgefaceError : the disk is full or not writable; what was cut is kept and not cut again
    """
    part = folder.with_name(f".{folder.name}")
    make_folder(folder.parent)
    try:
        with _alone(folder):
            if folder.is_dir():  # another process made it while this one waited
                return
            part.mkdir(exist_ok=True)
            _append(part, int(np.prod(shape)), faces, cut)
            swap_folder(part, folder)
    except OSError as error:
        raise EdgefaceError(
            f"{part} cannot be written: {error.strerror}", fix="free space or name another cache; what was cut is kept"
        ) from None


def done_in(folder: Path) -> int:
    """Faces that an unfinished cache holds already, misses included."""
    rows = folder.with_name(f".{folder.name}") / ROWS
    return len(_rows(rows.read_bytes())) if rows.is_file() else 0


def _append(part: Path, size: int, faces: Iterable[Face], cut: Callable[[Face], Seen]) -> None:
    with (part / PIXELS).open("ab") as pixels, (part / ROWS).open("ab") as rows:
        done = _mend(part, size)
        remaining = map(cut, islice(faces, done, None))
        while block := list(islice(remaining, EACH)):
            # Pixels first: a row whose pixels are missing would shift all that follow.
            pixels.write(b"".join(np.ascontiguousarray(crop).tobytes() for _, crop in block if crop is not None))
            pixels.flush()
            rows.write(b"".join(msgspec.json.encode(_row(face)) + b"\n" for face in block))
            rows.flush()


def _row(face: Seen) -> Labels | None:
    labels, crop = face
    return None if crop is None else dict(labels)


def _mend(part: Path, size: int) -> int:
    """Cut both files back to the faces that are whole in both; how many were looked at."""
    text = (part / ROWS).read_bytes()
    whole = (part / PIXELS).stat().st_size // size
    done = found = length = 0
    for line in text.splitlines(keepends=True):
        is_found = line.strip() != b"null"
        if not line.endswith(b"\n") or found + is_found > whole:
            break
        done, found, length = done + 1, found + is_found, length + len(line)
    os.truncate(part / ROWS, length)
    os.truncate(part / PIXELS, found * size)
    return done


def _rows(text: bytes) -> list[Labels | None]:
    return [
        msgspec.json.decode(line, type=dict[str, str] | None)
        for line in text.splitlines(keepends=True)
        if line.endswith(b"\n")
    ]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process makes this cache: those of one training all ask for it at once."""
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
