"""Whether a network says more than one and the same answer for everybody would."""

from __future__ import annotations

import numpy as np

from converters.probing.readings import F64, Labels, Probed, Read, years_off
from edgeface.bundle import CategoricalHead

SURE = 4.0
"""Standard errors by which the mean must be better. The winner is the best of some hundred settings on the same faces:
of so many that say nothing, the best is two or three better by luck."""
OLDEST = 100


def one_answer(task: Probed, labels: Labels) -> F64:
    """Errors (N,) of the one answer that is best for all of these faces: the commonest label, or one age."""
    if task == "age":
        every = [years_off(np.full(len(labels), float(years)), labels) for years in range(OLDEST + 1)]
        return min(every, key=lambda errors: float(errors.mean()))
    words = np.array([row["emotion" if task == "expression" else "gender"] for row in labels])
    kinds, counts = np.unique(words, return_counts=True)
    wrong: F64 = (words != kinds[counts.argmax()]).astype(np.float64)
    return wrong


def beats_one_answer(read: Read, task: Probed, labels: Labels) -> bool:
    """Whether a reading is surely better than the best single answer."""
    if read.constant:
        return False
    gain = one_answer(task, labels) - read.errors
    spread = float(gain.std()) / np.sqrt(len(gain))
    return bool(gain.mean() > SURE * max(spread, 1e-9))


def format_errors(read: Read, task: Probed, labels: Labels) -> str:
    """What a reading and the best single answer come to."""
    alone = float(one_answer(task, labels).mean())
    if isinstance(read.head, CategoricalHead):
        return f"{100 * (1 - read.error):.1f} % right, {100 * (1 - alone):.1f} % with one answer for all"
    return f"{read.error:.1f} years off, {alone:.1f} with one answer for all"
