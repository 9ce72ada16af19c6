"""One probability per label: gender as the training data labels it, expression."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeface.attributes.columns import select
from edgeface.attributes.distribution import normalised, tempered
from edgeface.bundle import CategoricalHead
from edgeface.errors import BundleError
from edgeface.types import F32, LabelEstimate, Task


class Categorical:
    """Probabilities over ``labels``, in the network's order."""

    def __init__(self, task: Task, head: CategoricalHead) -> None:
        self.task: Task = task
        self.labels = head.labels
        self.certainty = head.certainty
        self._head = head

    def probabilities(self, outputs: Mapping[str, F32]) -> F32:
        """Rows (N, K) that sum to 1; quantized outputs are brought back to a sum of 1.

        Raises
        ------
        BundleError : the network gives another number of values than there are labels
        """
        raw = select(outputs, self._head)
        if raw.shape[1:] != (len(self.labels),):
            raise BundleError(
                f"a network for {self.task} gives {raw.shape[1:]} values for {len(self.labels)} labels",
                fix="install the bundle again",
            )
        if self._head.activation == "softmax":
            raw = np.exp(raw - raw.max(axis=1, keepdims=True))
        return tempered(normalised(raw), self._head.temperature)

    def estimate(self, probabilities: F32) -> LabelEstimate:
        """The likeliest label and all probabilities by label."""
        best = int(np.argmax(probabilities))
        return LabelEstimate(
            label=self.labels[best],
            probability=float(probabilities[best]),
            probabilities={label: float(p) for label, p in zip(self.labels, probabilities, strict=True)},
        )
