"""The part of a model card on how sure answers may be taken to be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from converters.formats.markdown import table
from converters.measurements.confidence import (
    LEAST_FACES,
    RULE,
    Confidence,
    Threshold,
    coverage_rows,
    curve_rows,
    summary,
)
from converters.measurements.measured import of_network
from edgeface.bundle import Network


def chosen(network: Network) -> Iterator[str]:
    """Which numbers of the manifest were chosen, on what faces."""
    if network.chosen:
        yield "### Numbers chosen on labelled faces"
        yield table(
            ("number", "value", "chosen on", "faces", "by"),
            [(f.metric, f"{f.value:g}", f.set, str(f.count), f"`{f.command}`") for f in network.chosen],
        )


def confidence(network: Network, found: Sequence[Confidence]) -> Iterator[str]:
    """What the first ONNX file claims and what holds, for each question and set."""
    own = of_network(network, found)
    if not own:
        return
    yield "### How sure it may be taken to be"
    yield (
        "A temperature divides the logits: of labels it makes the truth likeliest, of an age it makes the published "
        "interval cover what it claims. The calibration error is the mean distance between what was claimed and what "
        "was right. In a bin of ages every year is held to be as likely. In brackets 95 % confidence. "
        f"{RULE} *Worst* is the group of {LEAST_FACES} answers or more of which most are wrong. "
        f"Made by `python -m converters evaluate confidence --network {network.name}`."
    )
    for one in own:
        yield f"{one.task[0].upper()}{one.task[1:]}, {one.set}: {summary(one)}"
        if one.task == "age":
            yield table(*coverage_rows(one))
        else:
            yield _drawn((one.fitted or one.shipped).curve)
            yield table(*curve_rows(one))


def _drawn(curve: Sequence[Threshold]) -> str:
    """Both sides of the trade as a chart, in the language that code hosts draw."""
    places = ", ".join(f'"{row.probability:g}"' for row in curve)
    answered = ", ".join(f"{100 * row.answered:.1f}" for row in curve)
    wrong = ", ".join(f"{100 * row.wrong:.1f}" for row in curve)
    return (
        "```mermaid\nxychart-beta\n"
        '    title "Upper line: answered; lower line: of these wrong"\n'
        f'    x-axis "unknown below" [{places}]\n'
        '    y-axis "percent of faces" 0 --> 100\n'
        f"    line [{answered}]\n"
        f"    line [{wrong}]\n```"
    )
