"""The part of a model card on crops: what points a little off, small faces and blur cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from converters.formats.markdown import table
from converters.measurements.chosen import SMALLEST_FACE
from converters.measurements.crops import LIMITS_TEXT, CropLoss, change_text, loss_text
from converters.measurements.measured import of_network
from edgeface.bundle import Network


def crops(network: Network, losses: Sequence[CropLoss]) -> Iterator[str]:
    """Losses of the first ONNX file, a table for each set and question."""
    own = of_network(network, losses)
    if not own:
        return
    yield "### Crops that are a little off, small faces, blur"
    smallest = next((fact for fact in network.chosen if fact.metric == SMALLEST_FACE), None)
    down_to = (
        f"No height of a face was chosen by which at most {LIMITS_TEXT} are lost"
        if smallest is None
        else f"At most {LIMITS_TEXT} are lost on {smallest.set.replace(' + ', ' and ')}: "
        f"down to {smallest.value:g} pixels"
    )
    yield (
        "Against the same faces as they are; in brackets 95 % confidence, paired. *Found* are those that the detector "
        f"finds again in the changed picture; points are moved after it. {down_to}. "
        f"Made by `python -m converters evaluate crops --network {network.name}`."
    )
    for name, task in dict.fromkeys((loss.set, loss.task) for loss in own):
        rows = [loss for loss in own if (loss.set, loss.task) == (name, task)]
        yield f"{task[0].upper()}{task[1:]}, {name}:"
        yield table(
            ("change", "lost", "faces", "found"),
            [(change_text(loss), loss_text(loss), str(loss.count), f"{100 * loss.found:.1f} %") for loss in rows],
        )
