"""Whether the networks are loaded as they run best on this board, and how old that measurement is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from edgeface.diagnosis.finding import Finding, good, skipped, warning
from edgeface.diagnosis.node import TUNE_UNIT, Node
from edgeface.events import moment
from edgeface.tuning import place, tuned

TUNE = "sudo edgeface tune"


def tuning(node: Node) -> Iterator[Finding]:
    """What a running daemon says, else what lies here."""
    told = None
    if node.running is not None and node.health is not None and node.health.inference is not None:
        told = node.health.inference.tuning
    if told is not None:
        standing, made, text = told.state, told.made, told.text
    else:
        found = tuned(node.opened, node.config, place(node.environ, node.root))
        standing, made, text = found.standing, found.made, found.text
    if standing == "fresh":
        days = None if made is None else (datetime.now(timezone.utc) - moment(made)).days
        age = "" if days is None else ", today" if days < 1 else f", {days} day{'' if days == 1 else 's'} ago"
        yield good(f"{text}{age}")
    elif standing in ("stale", "none") and node.measuring:
        yield skipped(f"{text.partition('; run ')[0]}; {TUNE_UNIT} is measuring now, it takes minutes")
    elif standing == "stale":
        yield warning(text.partition("; run ")[0], fix=TUNE)
    elif standing == "none":
        yield skipped(f"{text.partition('; run ')[0]}; {TUNE}")
    else:
        yield skipped(text)
