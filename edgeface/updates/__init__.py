"""What is to be installed comes here and is believed: fetched within limits, by sha256 or by its maker's signature."""

from __future__ import annotations

from edgeface.updates.fetch import Limits, is_address
from edgeface.updates.keys import KEYS, SUFFIXES, Keys, read_keys
from edgeface.updates.trust import Trust, bring
from edgeface.updates.versions import is_older

__all__ = ["KEYS", "Keys", "Limits", "Trust", "SUFFIXES", "bring", "is_address", "is_older", "read_keys"]
