"""WIDER FACE as published: folders of photographs by event, and MATLAB files of boxes and of which faces count.

Yang et al. 2016. ``wider_face_val.mat`` (boxes x, y, w, h) comes with the annotations, ``wider_easy_val.mat`` and its
like (numbers of the faces that count, from 1) with the evaluation code. Photographs lie in
``WIDER_val/images/EVENT/NAME.jpg``. Pictures of the whole part may be missing: those that are there are measured, and
how many were not is said.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from converters.datasets.labelled import Photograph, photographs
from converters.datasets.labels import LEVELS
from edgeface.errors import UsageError
from edgeface.types import F32

NAME = "wider-mat"
BOXES = "wider_face_val.mat"
SUFFIXES = (".jpg", ".avif", ".png")
DEPTH = ("", "*/", "*/*/", "*/*/*/")

logger = logging.getLogger(__name__)


def find_photographs(
    folder: Path, *, layout: str | None = None, limit: int | None = None
) -> tuple[list[Photograph], str, str]:
    """Photographs of a folder with their true boxes, the title of the set, and the layout it was found in.

    The project's layout is ``sheets`` (``widerface/images.txt`` and ``boxes.csv``), the makers' ``wider-mat``.

    Raises
    ------
    UsageError : neither lies there, or a file is missing or damaged
    """
    if layout not in (None, "sheets", NAME):
        raise UsageError(f"'{layout}' is no layout of WIDER FACE", fix="choose one of: sheets, wider-mat")
    if layout != NAME and (folder / "widerface" / "boxes.csv").is_file():
        found = photographs(folder, limit=limit)
        return found, f"WIDER FACE {len(found)}-image dev share", "sheets"
    if layout != "sheets" and _search(folder, BOXES) is not None:
        found = read_mat(folder, limit=limit)
        return found, f"WIDER FACE validation part, {len(found)} images", NAME
    raise UsageError(
        f"{folder} holds neither widerface/boxes.csv nor {BOXES}", fix="give the folder of WIDER FACE with --data"
    )


def read_mat(folder: Path, *, limit: int | None = None) -> list[Photograph]:
    """Photographs of the makers' layout in the order of their list; those without a picture are left out."""
    boxes = _load(folder, BOXES, ("event_list", "file_list", "face_bbx_list"))
    counted = {level: _load(folder, f"wider_{level}_val.mat", ("gt_list",))["gt_list"] for level in LEVELS}
    root = _images(folder, [str(event[0]) for event in boxes["event_list"][:, 0]])
    found: list[Photograph] = []
    missing: list[str] = []
    for number, event_cell in enumerate(boxes["event_list"][:, 0]):
        event = str(event_cell[0])
        names = [str(cell[0]) for cell in boxes["file_list"][number, 0][:, 0]]
        for row, name in enumerate(names):
            if limit is not None and len(found) == limit:
                return found
            path = next((p for p in (root / event / f"{name}{suffix}" for suffix in SUFFIXES) if p.is_file()), None)
            if path is None:
                missing.append(f"{event}/{name}")
                continue
            where = f"{BOXES}, {event}, picture {row + 1} ({name})"
            xywh = np.asarray(boxes["face_bbx_list"][number, 0][row, 0], np.float32)
            chosen = {level: counted[level][number, 0][row, 0] for level in LEVELS}
            found.append(_photograph(f"{event}/{name}", path, xywh, chosen, where))
    if missing:
        logger.warning("%d photographs have no picture, the first is %s", len(missing), missing[0])
    if not found:
        raise UsageError(f"no photograph of {BOXES} lies in {root}", fix="unpack WIDER_val.zip there")
    return found


def _photograph(name: str, path: Path, xywh: F32, chosen: dict[str, Any], where: str) -> Photograph:
    if xywh.ndim != 2 or xywh.shape[1] != 4:
        raise UsageError(f"{where}: boxes of shape {xywh.shape}, expected (N, 4)", fix="take the file as published")
    corners: F32 = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    counted = {}
    for level, numbers in chosen.items():
        which = np.asarray(numbers, np.int64).reshape(-1)
        if len(which) and not 1 <= which.min() <= which.max() <= len(xywh):
            raise UsageError(
                f"{where}: {level} counts face {which.max()} of {len(xywh)}", fix="take all files of one edition"
            )
        counted[level] = np.zeros(len(xywh), bool)
        counted[level][which - 1] = True
    return Photograph(name, path, corners, counted)


def _load(folder: Path, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    from scipy.io import loadmat  # a second, which --help need not wait for

    path = _search(folder, name)
    if path is None:
        raise UsageError(f"{folder} has no {name}", fix="put the makers' evaluation files (ground_truth) beside it")
    try:
        found: dict[str, Any] = loadmat(str(path))
    except Exception as error:  # scipy raises whatever the bytes lead it to
        raise UsageError(f"{path} is not a MATLAB file: {error}", fix="take the file as published") from None
    missing = [key for key in keys if key not in found]
    if missing:
        raise UsageError(f"{path} has no {', '.join(missing)}", fix="take the file as published")
    return found


def _search(folder: Path, name: str) -> Path | None:
    return next((path for depth in DEPTH for path in sorted(folder.glob(depth + name))), None)


def _images(folder: Path, events: list[str]) -> Path:
    """Folder of the events' folders."""
    for depth in DEPTH:
        for event in events:
            for path in sorted(folder.glob(depth + event)):
                if path.is_dir():
                    return path.parent
    return folder
