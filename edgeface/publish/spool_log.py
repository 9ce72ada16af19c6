"""SQLite's write-ahead log, as a file: how far it is used, and room in it that is written already.

Numbers in it are big-endian. A head of 32 bytes (magic, version, page size, count, two salts, checksums), then frames:
a head of 24 bytes (page, size, the log's salts, checksums) and a page. When the log begins anew it has other salts;
what was there before has the old ones, zeros have none. https://sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import os
from contextlib import suppress

HEAD_BYTES, FRAME_HEAD_BYTES = 32, 24
MAGIC = 0x377F0682
"""Its last bit says how checksums are reckoned."""
BLOCK_BYTES = 4096


class Log:
    """The log of one open file.

    Parameters
    ----------
    descriptor : its own, for reading and writing; SQLite holds another
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._salts = self._folded = b""
        self._end = HEAD_BYTES

    def used(self) -> int:
        """Bytes that hold frames which are not folded into the file, their head included."""
        head = os.pread(self._descriptor, HEAD_BYTES, 0)
        salts = head[16:24]
        if len(head) < HEAD_BYTES or int.from_bytes(head[:4], "big") & ~1 != MAGIC or salts == self._folded:
            return 0
        if salts != self._salts:
            self._salts, self._end = salts, HEAD_BYTES
        step = FRAME_HEAD_BYTES + int.from_bytes(head[8:12], "big")
        while os.pread(self._descriptor, 8, self._end + 8) == salts:
            self._end += step
        return self._end

    def folded(self) -> None:
        """Note that the file has all of it, and the next frame begins it anew."""
        self._folded = os.pread(self._descriptor, HEAD_BYTES, 0)[16:24]

    def fill(self, size: int) -> None:
        """Write zeros behind its end up to a size; what is kept for it stays unwritten where that is not possible."""
        end = os.fstat(self._descriptor).st_size
        # In one piece the kernel would keep it as one, and count all of it as written whenever a part is.
        with suppress(OSError):
            while end < size:
                end += os.pwrite(self._descriptor, bytes(min(BLOCK_BYTES - end % BLOCK_BYTES, size - end)), end)
