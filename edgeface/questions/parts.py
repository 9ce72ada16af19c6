"""What the parts of messages share: ranges, and how a share is rounded."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]
Shares = Annotated[dict[str, Share], Meta(description="share by label, 0 to 1, together 1")]
Count = Annotated[int, Meta(ge=0)]
Looks = Annotated[Count, Meta(description="looks that count")]


def rounded_share(value: float) -> float:
    """Four digits; sums of float32 may stand a hair outside 0 to 1, a share never does."""
    return round(min(1.0, max(0.0, float(value))), 4)


def percent(share: float) -> str:
    """Say a probability: no estimate is certain."""
    return f"{min(99.0, share * 100):.0f} %"
