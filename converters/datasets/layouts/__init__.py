"""Labelled data in the folders and files of its makers: one small module per layout, all giving the same values.

A layout of faces is a function ``find(folder, part)``: None where the folder is not in this layout, else the set it
holds. Faces come as `Chip` with the labels of the project's own tables: ``emotion`` (and FER+'s ten votes), ``age``,
``gender`` (M, F), ``race``, ``valence``, ``arousal``, and ``in_training`` (1 where the same picture is also in the
training part).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from converters.datasets.layouts import affect_csv, faces_csv, fairface_csv, fer2013_csv, sheets, utkface_names
from converters.datasets.layouts.sets import FaceSet
from edgeface.errors import UsageError

__all__ = ["FaceSet", "LAYOUTS", "find_faces"]

LAYOUTS: Mapping[str, Mapping[str, Callable[[Path, str | None], FaceSet | None]]] = {
    "fer2013": {"sheets": partial(sheets.find, "fer2013"), "fer2013-csv": fer2013_csv.find},
    "utkface": {"sheets": partial(sheets.find, "utkface"), "utkface-names": utkface_names.find},
    "fairface": {"sheets": partial(sheets.find, "fairface"), "fairface-csv": fairface_csv.find},
    "affect": {"affect-csv": affect_csv.find},
    "own": {"faces-csv": faces_csv.find},
}
"""By set and name of the layout; looked for in this order."""


def find_faces(
    folder: Path,
    names: Sequence[str],
    *,
    layout: str | None = None,
    part: str | None = None,
    where: str = "--data",
) -> list[FaceSet]:
    """Sets of faces that a folder holds.

    Parameters
    ----------
    names : sets that are asked for, keys of `LAYOUTS`
    layout : take this one; None finds out by what lies in the folder
    part : ``val``, ``publictest`` ...; None for the part that networks are judged on
    where : what says ``folder``, for messages

    Raises
    ------
    UsageError : the folder holds none of them, or not in this layout
    """
    found: list[FaceSet] = []
    tried: dict[str, None] = {}
    for name in names:
        for known, find in LAYOUTS[name].items():
            tried[known] = None
            faces = find(folder, part) if layout in (None, known) else None
            if faces is not None:
                found.append(faces)
                break
    if layout is not None and layout not in tried:
        raise UsageError(f"'{layout}' is no layout of {' or '.join(names)}", fix=f"choose one of: {', '.join(tried)}")
    if not found:
        kind = layout or f"any of the layouts {', '.join(tried)}"
        tables = {"own": f"{part or faces_csv.PART}.csv", "affect": "a table with valence and arousal"}
        inside = [tables.get(name, f"{name}/, or its maker's own files") for name in names]
        raise UsageError(
            f"{folder} does not hold {' or '.join(names)} in {kind}",
            fix=f"give {where} a folder that holds {' or '.join(inside)}",
        )
    return found
