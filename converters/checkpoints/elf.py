"""Named arrays out of a shared object's data section; nothing of it is loaded or executed.

The authors' C++ build of YuNet keeps each tensor as an exported float32 object, so the dynamic symbol table is a
state dictionary.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from converters.formats.errors import CheckpointError
from edgeface.types import F32


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
    except (ELFError, OverflowError, ValueError) as error:
        raise CheckpointError(
            f"{name}: a table of the ELF file is cut off: {error}", fix="bring the whole file"
        ) from None


def _read(data: bytes) -> dict[str, F32]:
    file = ELFFile(BytesIO(data))
    arrays: dict[str, F32] = {}
    for symbol in (symbol for table in file.iter_sections("SHT_DYNSYM") for symbol in table.iter_symbols()):
        size, index = symbol["st_size"], symbol["st_shndx"]
        # What is imported, or common to several files, has a word in place of a section's number.
        if symbol["st_info"]["type"] != "STT_OBJECT" or not size or size % 4 or not isinstance(index, int):
            continue
        home = file.get_section(index)
        if home["sh_type"] == "SHT_NOBITS":
            continue
        offset = home["sh_offset"] + symbol["st_value"] - home["sh_addr"]
        if not 0 <= offset <= len(data) - size:
            raise ValueError(f"object {symbol.name} lies outside the file")
        arrays[symbol.name] = np.frombuffer(data, "<f4", size // 4, offset).astype(np.float32)
    return arrays
