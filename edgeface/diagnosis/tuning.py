"""Whether the networks are loaded as they run best on this board, and how old that measurement is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone

from edgeface.diagnosis.finding import Finding, good, skipped, warning
from edgeface.diagnosis.node import TUNE_UNIT, Node
from edgeface.events import moment
from edgeface.machine import SERVICE_STATE
from edgeface.tuning import FILE, TUNE, tuned

SUDO = "sudo edgeface tune"


def tuning(node: Node) -> Iterator[Finding]:
    """What a running daemon says, else what lies where its state does."""
    told = None
    if node.running is not None and node.health is not None and node.health.inference is not None:
        told = node.health.inference.tuning
    if told is not None:
        standing, made, text = told.state, told.made, told.text
    elif node.state == node.root / SERVICE_STATE and not os.access(node.state, os.X_OK):
        # What this user has measured for himself is not what the service takes.
        yield skipped(f"what the service takes lies in {node.state}, closed to this user; sudo edgeface doctor")
        return
    else:
        found = tuned(node.opened, node.config, node.state / FILE)
        standing, made, text = found.standing, found.made, found.text
    what, usual, _ = text.partition("; run ")
    what, fix = (what, SUDO) if usual else text.replace(TUNE, SUDO).rpartition("; ")[::2]
    if standing == "fresh":
        days = None if made is None else (datetime.now(timezone.utc) - moment(made)).days
        age = "" if days is None else ", today" if days < 1 else f", {days} day{'' if days == 1 else 's'} ago"
        yield good(f"{text}{age}")
    elif standing in ("stale", "none") and node.measuring:
        yield skipped(f"{text.partition('; run ')[0]}; {TUNE_UNIT} is measuring now, it takes minutes")
    elif standing == "stale":
        yield warning(what or text, fix=fix)
    elif standing == "none":
        yield skipped(f"{what}; {SUDO}")
    else:
        yield skipped(text)
