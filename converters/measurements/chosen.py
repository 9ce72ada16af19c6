"""What a manifest says of a network because it was measured: smallest face, temperatures, thresholds of *unknown*.

All are chosen on validation parts of the sets below; UTKFace, on which the default bundle is told apart from others,
has no part in any. A figure holds only for the weights on which it was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from converters.measurements.confidence import Confidence
from converters.measurements.crops import CropLoss, smallest_face_px
from converters.measurements.measured import of_network
from edgeface.bundle import AttributeHead, Measured, Network
from edgeface.types import Task

CHOSEN_ON = ("FairFace val", "FER-2013 PublicTest")
"""Titles of the sets on which anything is chosen."""


def with_chosen(network: Network, losses: Sequence[CropLoss], found: Sequence[Confidence]) -> Network:
    """A network as the records say it, each number with its provenance in ``chosen``.

    What is not on record, or was measured on other weights or only on other sets, stays as its recipe has it.
    """
    facts: list[Measured] = []
    own = choosing(of_network(network, losses))
    smallest = smallest_face_px(own)
    if smallest is not None:
        count = min(loss.count for loss in own if (loss.kind, loss.amount) == ("size", smallest))
        sets = dict.fromkeys(loss.set for loss in own)
        facts.append(_fact(network, "smallest_face_px", smallest, " + ".join(sets), count, "crops"))
        spec = msgspec.structs.replace(network.input, smallest_face_px=smallest)
        network = msgspec.structs.replace(network, input=spec)
    for one in of_network(network, found):
        if one.fitted is None or not set(one.fitted_on) <= set(CHOSEN_ON) or one.set != one.fitted_on[0]:
            continue
        values = {"temperature": one.fitted.temperature, "certainty": one.fitted.certainty}
        chosen = {name: value for name, value in values.items() if value is not None}
        head = msgspec.structs.replace(network.answers[one.task], **chosen)
        network = with_head(network, one.task, head)
        facts += [
            _fact(network, f"{one.task}.{name}", value, " + ".join(one.fitted_on), one.count, "confidence")
            for name, value in chosen.items()
        ]
    return msgspec.structs.replace(network, chosen=tuple(facts))


def choosing(losses: Iterable[CropLoss]) -> list[CropLoss]:
    """Losses by which the smallest face is chosen."""
    return [loss for loss in losses if loss.set in CHOSEN_ON]


def with_head(network: Network, task: Task, head: AttributeHead) -> Network:
    """The same network with another head for one of its questions."""
    if task == network.task:
        return msgspec.structs.replace(network, head=head)
    return msgspec.structs.replace(network, also={**network.also, task: head})


def _fact(network: Network, name: str, value: float, sets: str, count: int, protocol: str) -> Measured:
    file = network.files["onnx"][0]
    return Measured(
        metric=name,
        value=float(value),  # as a manifest that was read has it, or the file would change when it is written again
        set=sets,
        count=count,
        runtime=file.runtime,
        precision=file.precision,
        command=f"python -m converters evaluate {protocol} --network {network.name} --record",
    )
