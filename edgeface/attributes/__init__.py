"""What networks say about a face: raw outputs become probabilities, probabilities become estimates.

A kind of head is one file with a class that satisfies `edgeface.types.Head`, and one line in `make_head`.
"""

from __future__ import annotations

from edgeface.attributes.categorical import Categorical
from edgeface.attributes.expectation import Expectation
from edgeface.bundle import ExpectationHead, Network
from edgeface.errors import BundleError
from edgeface.types import Head


def make_head(network: Network) -> Head:
    """Return the head of an attribute network."""
    head = network.attribute_head()
    if network.task == "detect":
        raise BundleError(f"network {network.name} answers no question about a face", fix="install the bundle again")
    if isinstance(head, ExpectationHead):
        return Expectation(network.task, head)
    return Categorical(network.task, head)
