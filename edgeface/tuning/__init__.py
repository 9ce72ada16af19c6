"""What runs best on this board: measured once (`measuring`), kept with what it hangs on (`choice`), used meanwhile.

Every file of every network is tried in a child first, since a file may end its process on some processor. What is left
races by network and then as whole pipelines (`race`, pure), in rounds, so that a busy minute harms all alike.
"""

from __future__ import annotations

from edgeface.tuning.choice import (
    FILE,
    TUNE,
    Choice,
    Row,
    Tuned,
    expect_place,
    place,
    read,
    tuned,
    with_threads,
    write,
)

__all__ = ["FILE", "TUNE", "Choice", "Row", "Tuned", "expect_place", "place", "read", "tuned", "with_threads", "write"]
