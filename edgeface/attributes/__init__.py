"""What networks say about a face: raw outputs become probabilities, probabilities become estimates.

A kind of head is one file with a class that satisfies `edgeface.types.Head`, and one line in `KINDS`. `embedding` is a
room of its own: it answers no question about one face.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeface.attributes.affect import Affect
from edgeface.attributes.categorical import Categorical
from edgeface.attributes.coral import Coral
from edgeface.attributes.expectation import Expectation
from edgeface.attributes.regression import Regression
from edgeface.bundle import AffectHead, CategoricalHead, CoralHead, ExpectationHead, Network, RegressionHead
from edgeface.errors import BundleError
from edgeface.questions import QUESTIONS
from edgeface.types import F32, AffectEstimate, AgeEstimate, Estimate, Head, LabelEstimate, Task

KINDS: Mapping[type, tuple[Callable[[Task, Any], Head], type[Estimate]]] = {
    ExpectationHead: (Expectation, AgeEstimate),
    CoralHead: (Coral, AgeEstimate),
    RegressionHead: (Regression, AgeEstimate),
    CategoricalHead: (Categorical, LabelEstimate),
    AffectHead: (Affect, AffectEstimate),
}
"""By the manifest's struct: how such a head is made, and what it estimates; it answers the questions that read that."""


def make_heads(network: Network) -> dict[Task, Head]:
    """Return a head for every question that one pass of the network answers, its own first.

    Raises
    ------
    BundleError : it answers none, or a head is of a kind that cannot answer its question
    """
    network.attribute_head()
    made: dict[Task, Head] = {}
    for task, head in network.answers.items():
        make, estimate = KINDS[type(head)]
        if QUESTIONS[task].reads is not estimate:
            raise BundleError(f"network {network.name} cannot answer {task} so", fix="install the bundle again")
        made[task] = make(task, head)
    return made


def read_answers(head: Head, output: str, outputs: Mapping[str, F32], count: int) -> list[F32 | None]:
    """One vector, as `Answer.probabilities`, for each of ``count`` faces; None where the network gave no answer.

    That is a value that is not a number or infinite, no probability for anything, or another number of values than the
    head reads.

    Parameters
    ----------
    output : name of the head's own output
    """
    raw = outputs.get(output)
    if raw is None or raw.shape[:1] != (count,):
        return [None] * count
    try:
        with np.errstate(all="ignore"):
            rows = head.probabilities(outputs)
    except BundleError:
        return [None] * count
    affect = isinstance(head, Affect)
    # Of numbers that are all finite the sum is, but for the hugest: row by row is looked only where it is not.
    if isfinite(raw.sum() + rows.sum()) and (affect or rows.any(axis=1).all()):
        return list(rows)
    both = np.concatenate([raw.reshape(count, -1), rows], axis=1)
    sound: npt.NDArray[np.bool_] = np.isfinite(both).all(axis=1)
    if not affect:
        sound = sound & rows.any(axis=1)
    return [row if good else None for row, good in zip(rows, sound, strict=True)]
