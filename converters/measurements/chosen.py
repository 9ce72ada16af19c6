"""What a manifest says of a network because it was measured: smallest face, temperatures, thresholds of *unknown*.

All are chosen on validation parts of the sets that the network's recipe allows (``judged_on``). Where it names none,
UTKFace has no part in any: on it the default bundle is told apart from others. A figure holds only for the weights on
which it was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from converters.measurements.confidence import Confidence
from converters.measurements.crops import CropLoss, smallest_face_px
from converters.measurements.measured import of_network
from converters.recipes.reading import read_network
from converters.recipes.schema import LabelledSet
from edgeface.bundle import AttributeHead, Measured, Network
from edgeface.errors import UsageError
from edgeface.types import Task

TITLES: Mapping[LabelledSet, str] = {
    "utkface": "UTKFace val",
    "fairface": "FairFace val",
    "fer2013": "FER-2013 PublicTest",
}
"""What figures on record call the part of a set by which something is chosen."""
USUAL: tuple[LabelledSet, ...] = ("fairface", "fer2013")
"""By these anything may be chosen, of every network."""
CHOSEN_ON = tuple(TITLES[name] for name in USUAL)
SMALLEST_FACE = "smallest_face_px"


def allowed(name: str) -> tuple[LabelledSet, ...]:
    """Sets by which a network may be chosen, by its recipe; the usual ones where no recipe here has this name."""
    try:
        return read_network(name)[1].judged_on or USUAL
    except UsageError:
        return USUAL


def with_chosen(
    network: Network,
    losses: Sequence[CropLoss],
    found: Sequence[Confidence],
    *,
    judged_on: Sequence[LabelledSet] = (),
    bundle: str = "",
) -> Network:
    """A network as the records say it, each number with its provenance in ``chosen``.

    What is not on record, or was measured on other weights or chosen on other sets, stays as its recipe has it.

    Parameters
    ----------
    judged_on : sets that its recipe allows; none: the usual ones
    bundle : what its commands must name as ``--bundle``; empty for the default one
    """
    facts: list[Measured] = []
    titles = [TITLES[name] for name in judged_on or USUAL]
    own = choosing(of_network(network, losses), judged_on or USUAL)
    smallest = smallest_face_px(own)
    if smallest is not None:
        count = min(loss.count for loss in own if (loss.kind, loss.amount) == ("size", smallest))
        sets = dict.fromkeys(loss.set for loss in own)
        facts.append(_fact(network, SMALLEST_FACE, smallest, " + ".join(sets), count, "crops", bundle))
        spec = msgspec.structs.replace(network.input, smallest_face_px=smallest)
        network = msgspec.structs.replace(network, input=spec)
    for one in _fits(of_network(network, found), titles):
        assert one.fitted is not None
        values = {"temperature": one.fitted.temperature, "certainty": one.fitted.certainty}
        chosen = {name: value for name, value in values.items() if value is not None}
        head = msgspec.structs.replace(network.answers[one.task], **chosen)
        network = with_head(network, one.task, head)
        count = sum(same.count for same in found if _fit_of(same) == _fit_of(one) and same.set in one.fitted_on)
        facts += [
            _fact(network, f"{one.task}.{name}", value, " + ".join(one.fitted_on), count, "confidence", bundle)
            for name, value in chosen.items()
        ]
    return msgspec.structs.replace(network, chosen=tuple(facts))


def _fits(own: Sequence[Confidence], titles: Sequence[str]) -> list[Confidence]:
    """Of each question one figure of the fit that may be taken; of several fits that on most sets."""
    fits: dict[Task, Confidence] = {}
    for one in own:
        if one.fitted is None or not set(one.fitted_on) <= set(titles) or one.set != one.fitted_on[0]:
            continue
        if one.task not in fits or len(one.fitted_on) > len(fits[one.task].fitted_on):
            fits[one.task] = one
    return list(fits.values())


def _fit_of(one: Confidence) -> tuple[object, ...]:
    return one.network, one.runtime, one.precision, one.weights, one.task, one.fitted_on


def choosing(losses: Iterable[CropLoss], sets: Sequence[LabelledSet]) -> list[CropLoss]:
    """Losses by which the smallest face is chosen."""
    titles = [TITLES[name] for name in sets]
    return [loss for loss in losses if loss.set in titles]


def with_head(network: Network, task: Task, head: AttributeHead) -> Network:
    """The same network with another head for one of its questions."""
    if task == network.task:
        return msgspec.structs.replace(network, head=head)
    return msgspec.structs.replace(network, also={**network.also, task: head})


def _fact(network: Network, name: str, value: float, sets: str, count: int, protocol: str, bundle: str) -> Measured:
    file = network.files["onnx"][0]
    where = f"--bundle {bundle} " if bundle else ""
    return Measured(
        metric=name,
        value=float(value),  # as a manifest that was read has it, or the file would change when it is written again
        set=sets,
        count=count,
        runtime=file.runtime,
        precision=file.precision,
        command=f"python -m converters evaluate {protocol} {where}--network {network.name} --record",
    )
