"""Proof that a bundle computes here: its files one by one, then detector, crop and head as one chain.

A network is a program that somebody else wrote: it may loop for ever or ask for all memory. So whoever proves a bundle
starts a child with limits of time and memory (`running`), which does the work (`trial`) and says a line a step. What
held is remembered by bundle and runtime versions (`proven`), so that a start need not do it again.
"""

from __future__ import annotations

from edgeface.proof.accelerate import Accelerated, accelerate, build
from edgeface.proof.proven import prove_once
from edgeface.proof.running import prove
from edgeface.proof.steps import Outcome, Step, steps_of, untried_networks

__all__ = [
    "Accelerated",
    "Outcome",
    "Step",
    "accelerate",
    "build",
    "prove",
    "prove_once",
    "steps_of",
    "untried_networks",
]
