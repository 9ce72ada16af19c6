"""Named arrays out of a shared object's data section; nothing of it is loaded or executed.

The authors' C++ build of YuNet keeps each tensor as an exported float32 object, so the dynamic symbol table is a
state dictionary.
"""

from __future__ import annotations

import struct

import numpy as np

from converters.formats.errors import CheckpointError
from edgeface.types import F32

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_DYNSYM = 11
_NOBITS = 8
_OBJECT = 1


def read_float_objects(data: bytes, name: str = "the file") -> dict[str, F32]:
    """Every named data object of a 64-bit little-endian ELF file, as flat float32.

    Parameters
    ----------
    data : the whole shared object

    Returns
    -------
    name to array, shape (values,), in the order of the symbol table. Objects whose size is no multiple of four, or that
    have no bytes in the file, are left out.

    Raises
    ------
    CheckpointError : not a 64-bit little-endian ELF file, or its tables lead outside of it
    """
    if data[:6] != b"\x7fELF\x02\x01":
        raise CheckpointError(f"{name} is no 64-bit little-endian ELF file", fix="bring the pinned shared object")
    try:
        return _read(data)
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise CheckpointError(
            f"{name}: a table of the ELF file is cut off: {error}", fix="bring the whole file"
        ) from None


def _read(data: bytes) -> dict[str, F32]:
    header = _HEADER.unpack_from(data)
    start, entry, count = header[6], header[11], header[12]
    sections = [_SECTION.unpack_from(data, start + entry * index) for index in range(count)]
    arrays: dict[str, F32] = {}
    for section in sections:
        if section[1] != _DYNSYM:
            continue
        names_at = sections[section[6]][4]
        for position in range(section[4], section[4] + section[5], _SYMBOL.size):
            name_at, info, _, index, address, size = _SYMBOL.unpack_from(data, position)
            if info & 15 != _OBJECT or not size or size % 4 or not 0 < index < len(sections):
                continue
            home = sections[index]
            if home[1] == _NOBITS:
                continue
            end = data.find(b"\0", names_at + name_at)
            name = data[names_at + name_at : end].decode("ascii")
            offset = home[4] + address - home[3]
            if not 0 <= offset <= len(data) - size:
                raise ValueError(f"object {name} lies outside the file")
            arrays[name] = np.frombuffer(data, "<f4", size // 4, offset).astype(np.float32)
    return arrays
