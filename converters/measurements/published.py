"""What others measured and what data sets do not say, on record: what no command here makes of a card."""

from __future__ import annotations

import msgspec

from converters.paths import RESULTS
from edgeface.bundle import Closed

Levels = tuple[float, float, float]
"""Average precision on the easy, medium and hard faces."""


class Published(Closed, frozen=True, kw_only=True):
    """Figures and words that are not measured here.

    ``precisions``, by detector and input size, are those of the public weights in their own framework on the same
    pictures, single scale; ``notes``, by network, what its makers published; ``unlabelled``, by task, which groups of
    people its data set does not tell apart.
    """

    precisions: dict[str, dict[str, Levels]]
    notes: dict[str, str]
    unlabelled: dict[str, str]


def read_published() -> Published:
    """What is on record."""
    return msgspec.json.decode((RESULTS / "published.json").read_bytes(), type=Published)
