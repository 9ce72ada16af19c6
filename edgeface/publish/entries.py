"""What the outbox holds, and what it says of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeface.events import Kind

Lane = Literal["place", "update", "start", "end", "newest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One message as it will travel.

    Attributes
    ----------
    seq : sequence number in the message, also the entry's key; below 0 for what an earlier run left
    suffix : topic below ``<prefix>/<node>/``
    payload : JSON, UTF-8
    lane : which of its kind it is, for the order of dropping
    again : whether it was refused once and released; it is not kept a second time
    unsure : whether it was sent and the connection lost before it was acknowledged: the broker may have it
    expires_s : seconds after which the broker is to forget it, or None
    """

    seq: int
    kind: Kind
    suffix: str
    payload: bytes
    qos: int
    retain: bool
    lane: Lane
    again: bool = False
    unsure: bool = False
    expires_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Where every accepted message is: ``accepted = delivered + queued + rejected + sum(dropped)``.

    ``queued`` includes what is in flight. ``dropped`` has every kind, also at 0. ``rejected_visits`` are among
    ``rejected``.
    """

    accepted: int
    delivered: int
    queued: int
    rejected: int
    rejected_visits: int
    dropped: dict[Kind, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Messages that the broker surely does not have; those that newer ones have replaced do not count.

    Attributes
    ----------
    messages : all kinds
    visits : of kind `visits`, among ``messages``
    gone : of ``visits`` those that will not be tried again: dropped, or refused by the broker
    """

    messages: int
    visits: int
    gone: int
