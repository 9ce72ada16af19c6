"""Room on the disk that is kept for what will be written, so that it can be when the disk is full."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from contextlib import suppress

KEEP_SIZE = 1
"""Of linux/falloc.h: the file looks as long as before."""


def keep(descriptor: int, size: int) -> bool:
    """Let the first bytes of a file have their blocks, also those behind its end; False where it cannot be told to.

    Raises
    ------
    OSError : there is no room on the disk, of the quota, or of what a file may have
    """
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if most != resource.RLIM_INFINITY and size > most:
        # The kernel holds writes against it, not this.
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    library = ctypes.CDLL(None, use_errno=True)
    # The plain one takes offsets of 32 bits on some boards; where it is the only one, of 64.
    ask = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if ask is None:
        return False
    number = errno.EINTR
    while number == errno.EINTR:
        if ask(ctypes.c_int(descriptor), ctypes.c_int(KEEP_SIZE), ctypes.c_int64(0), ctypes.c_int64(size)) == 0:
            return True
        number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number))


def keep_most(descriptor: int, sizes: tuple[int, ...]) -> int | None:
    """The first of some sizes that can be kept; 0 where none can, None where no file can be told to."""
    for size in sizes:
        with suppress(OSError):
            return size if keep(descriptor, size) else None
    return 0
