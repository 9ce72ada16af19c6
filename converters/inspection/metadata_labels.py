"""Names of classes that a network file carries itself: in an ONNX file's metadata, or packed behind a TFLite file."""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Mapping
from typing import Any

KEYS = ("labels", "names", "classes", "class_names")
"""Metadata keys that exporters write them under."""


def metadata_labels(data: bytes, name: str) -> tuple[str, ...]:
    """Labels in the order of the outputs, as the file spells them; none where it does not tell."""
    lower = name.lower()
    if lower.endswith(".onnx"):
        import onnx

        try:
            model = onnx.load_model_from_string(data)
        except Exception:  # the parser's errors; who opens the file says what is wrong with it
            return ()
        held = {prop.key.lower(): prop.value for prop in model.metadata_props}
        return next((parse(held[key]) for key in KEYS if held.get(key)), ())
    return _packed(data) if lower.endswith(".tflite") else ()


def parse(text: str) -> tuple[str, ...]:
    """Labels of a list, of a table by number, or of words between commas or lines."""
    try:
        value: Any = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if isinstance(value, Mapping):
        try:
            value = [value[key] for key in sorted(value, key=int)]
        except (TypeError, ValueError):
            return ()
    if isinstance(value, str):
        value = value.replace("\n", ",").split(",")
    words = [str(word).strip() for word in value] if isinstance(value, (list, tuple)) else []
    return tuple(word for word in words if word)


def _packed(data: bytes) -> tuple[str, ...]:
    """Lines of the one text file in the archive that TFLite's metadata tools append."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            texts = [name for name in archive.namelist() if name.endswith(".txt")]
            return parse(archive.read(texts[0]).decode()) if len(texts) == 1 else ()
    except (zipfile.BadZipFile, UnicodeDecodeError):
        return ()
