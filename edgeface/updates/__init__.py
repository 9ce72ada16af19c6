"""What is to be installed comes here and is believed: fetched within limits, by sha256 or by its maker's signature."""

from __future__ import annotations

from edgeface.updates.fetch import Limits
from edgeface.updates.keys import KEYS, read_keys
from edgeface.updates.trust import Trust, bring, judge
from edgeface.updates.versions import is_older

__all__ = ["KEYS", "Limits", "Trust", "bring", "is_older", "judge", "read_keys"]
