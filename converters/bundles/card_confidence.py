"""The part of a model card on how sure answers may be taken to be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from converters.formats.markdown import table
from converters.measurements.confidence import Confidence, coverage_rows, curve_rows, summary
from edgeface.bundle import Network


def confidence(network: Network, found: Sequence[Confidence]) -> Iterator[str]:
    """What the first ONNX file claims and what holds, for each question and set."""
    files = network.files.get("onnx", ())
    own = [
        one
        for one in found
        if files and (one.network, one.runtime, one.precision) == (network.name, "onnx", files[0].precision)
    ]
    if not own:
        return
    yield "### How sure it may be taken to be"
    yield (
        "A temperature divides the logits: of labels it makes the truth likeliest, of an age it makes the published "
        "interval cover what it claims. The calibration error is the mean distance between what was claimed and what "
        "was right. In a bin of ages every year is held to be as likely. In brackets 95 % confidence. "
        f"Made by `python -m converters evaluate confidence --network {network.name}`."
    )
    for one in own:
        yield f"{one.task[0].upper()}{one.task[1:]}, {one.set}: {summary(one)}"
        yield table(*(coverage_rows(one) if one.task == "age" else curve_rows(one)))
