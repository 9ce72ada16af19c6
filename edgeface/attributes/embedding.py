"""One-to-one verification: whether two pictures that somebody lays side by side show one person.

No visit and no message ever carries a vector: edgeface recognises nobody. This is for whoever asks for it by name.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeface.bundle import EmbeddingHead, Network
from edgeface.errors import BundleError
from edgeface.types import F32


class Embedding:
    """Vectors of length one, a distance between two of them, and the manifest's threshold."""

    def __init__(self, head: EmbeddingHead) -> None:
        self._head = head

    def vectors(self, outputs: Mapping[str, F32]) -> F32:
        """Rows (N, K) of length one, from the named outputs of a batch of N.

        Raises
        ------
        BundleError : the network gives vectors of another length than the manifest says
        """
        raw = outputs[self._head.output]
        if raw.shape[1:] != (self._head.length,):
            raise BundleError(
                f"an embedding has {raw.shape[1:]} values instead of {self._head.length}",
                fix="install the bundle again",
            )
        lengths = np.linalg.norm(raw, axis=1, keepdims=True)
        rows: F32 = raw / np.maximum(lengths, np.float32(1e-12))
        return rows

    def distance(self, a: F32, b: F32) -> float:
        """Between two vectors of length one, shape (K,), by the head's own measure; 0 for the same one."""
        return cosine_distance(a, b) if self._head.distance == "cosine" else euclidean_distance(a, b)

    def same_person(self, a: F32, b: F32) -> bool:
        """Whether two vectors lie no further apart than the threshold."""
        return self.distance(a, b) <= self._head.threshold


def make_embedding(network: Network) -> Embedding:
    """Return the head of an embedding network; BundleError for another one."""
    if not isinstance(network.head, EmbeddingHead):
        raise BundleError(f"network {network.name} gives no embedding", fix="name a network of task embedding")
    return Embedding(network.head)


def cosine_distance(a: F32, b: F32) -> float:
    """One minus the cosine of two vectors of length one, shape (K,): 0 to 2."""
    return float(np.clip(1 - np.dot(a, b), 0, 2))


def euclidean_distance(a: F32, b: F32) -> float:
    """Length of the difference of two vectors of length one, shape (K,): 0 to 2."""
    return float(np.linalg.norm(a - b))
