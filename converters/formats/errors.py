"""What can be wrong with a checkpoint, in one line."""

from __future__ import annotations

from edgeface.errors import EdgefaceError


class CheckpointError(EdgefaceError):
    """A checkpoint that cannot be read, or that does not fit the network it is meant for."""


class ImportedNetworkError(EdgefaceError):
    """A file that cannot pass through, and why, with the operator's name."""
