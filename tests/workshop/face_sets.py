"""Tiny data sets in the layouts of their makers, drawn by the tests: nobody's face is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from converters.datasets.expressions import VOTES

NO_VOTES = dict.fromkeys(VOTES, 0)


def grey(level: int, side: int = 8) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


def write_picture(path: Path, level: int, side: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The decoder goes by what a file holds, not by its name: lossless under any.
    path.write_bytes(cv2.imencode(".png", grey(level, side))[1].tobytes())
    return path


def fer2013(folder: Path, rows: Sequence[tuple[str, int, int]], votes: Sequence[Mapping[str, int]] = ()) -> Path:
    """``fer2013.csv`` of pictures in one grey: usage, number of the expression, level; and FER+'s votes for each."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{emotion},{' '.join([str(level)] * 2304)},{usage}" for usage, emotion, level in rows]
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    if votes:
        table = [
            ",".join([usage, f"fer{i:07}.png", *(str(({**NO_VOTES, **own})[name]) for name in VOTES)])
            for i, ((usage, _, _), own) in enumerate(zip(rows, votes, strict=True))
        ]
        (folder / "fer2013new.csv").write_text("\n".join([f"Usage,Image name,{','.join(VOTES)}", *table]) + "\n")
    return folder


def utkface(folder: Path, names: Mapping[str, int]) -> Path:
    for name, level in names.items():
        write_picture(folder / name, level)
    return folder


def fairface(folder: Path, rows: Sequence[tuple[str, str, str, str]], *, part: str = "val") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["file,age,gender,race,service_test", *(",".join([*row, "False"]) for row in rows)]
    (folder / f"fairface_label_{part}.csv").write_text("\n".join(lines) + "\n")
    for number, (file, *_) in enumerate(rows):
        write_picture(folder / file, 10 * number)
    return folder


def affect(folder: Path, rows: Sequence[tuple[str, float | str, float | str]], levels: Sequence[int] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,valence,arousal", *(f"{path},{valence},{arousal}" for path, valence, arousal in rows)]
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    for (path, *_), level in zip(rows, levels or [128] * len(rows), strict=True):
        write_picture(folder / path, level)
    return folder


def people(folder: Path, levels: Mapping[str, Sequence[int]]) -> Path:
    for name, own in levels.items():
        for number, level in enumerate(own):
            write_picture(folder / name / f"{name}_{number + 1:04}.jpg", level)
    return folder
