"""What decoders share."""

from __future__ import annotations

MOST = 80.0
"""Largest exponent: a network that answers nonsense gives a huge box, not an exception."""
