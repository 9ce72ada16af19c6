"""The page of all detectors: a table, the ones that nothing cheaper matches, and the best per millisecond."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from converters.datasets.labels import LEVELS
from converters.evaluation.all_detectors import RUNS, SCORE, SIZES, UNTRAINED_TIMED
from converters.evaluation.widerface import MIN_SCORE
from converters.measurements.detectors import DetectorTable, Row
from converters.paths import ROOT
from converters.recipes.reading import read_recipe

PAGE = ROOT / "docs" / "detectors.md"
USEFUL = 0.5
"""Least mean precision that counts as finding faces, when the best per millisecond is chosen."""


def precision(row: Row) -> float:
    """Mean of the three levels' average precision; 0 where the network was never trained."""
    return 0.0 if row.ap is None else mean(row.ap[level] for level in LEVELS)


def best_per_ms(rows: Sequence[Row]) -> Row:
    """The row with the most mean precision per CPU millisecond, of those that reach `USEFUL`, else of all trained."""
    trained = [row for row in rows if row.ap is not None]
    useful = [row for row in trained if precision(row) >= USEFUL]
    return max(useful or trained, key=lambda row: precision(row) / row.cpu_ms)


def unmatched(rows: Sequence[Row]) -> list[Row]:
    """Rows for which no other one costs as little and finds as much, cheapest first."""
    trained = sorted((row for row in rows if row.ap is not None), key=lambda row: (row.cpu_ms, -precision(row)))
    front: list[Row] = []
    for row in trained:
        if not front or precision(row) > precision(front[-1]):
            front.append(row)
    return front


def table(field: DetectorTable) -> str:
    """The table in Markdown, cheapest first."""
    front = unmatched(field.rows)
    best = best_per_ms(field.rows) if front else None
    lines = [
        "| detector | input | parameters | MAC, million | AP easy / medium / hard | CPU ms | AP per ms | landmarks |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(field.rows, key=lambda row: row.cpu_ms):
        name = f"**{row.detector}**" if row in front else row.detector
        ap = "random weights" if row.ap is None else " / ".join(f"{row.ap[level]:.3f}" for level in LEVELS)
        share = "-" if row.ap is None else f"{precision(row) / row.cpu_ms:.3f}"
        macs = "-" if row.macs is None else f"{row.macs / 1e6:,.0f}"
        lines.append(
            f"| {name}{' (best per ms)' if row == best else ''} | {row.size} | {row.parameters:,} | {macs} | {ap} "
            f"| {row.cpu_ms:.1f} | {share} | {'five' if row.landmarks else 'none'} |"
        )
    return "\n".join(lines)


def page(field: DetectorTable) -> str:
    """The whole page."""
    best, front = best_per_ms(field.rows), unmatched(field.rows)
    strongest = max(field.rows, key=precision)
    names = ", ".join(f"{row.detector} at {row.size}" for row in front)
    default = read_recipe().defaults["detect"]
    part = "It is the default bundle's detector." if best.detector == default else f"The default bundle has {default}."
    return f"""# Detectors

Every detector that the workshop can build, on the same pictures: WIDER FACE's {field.pictures}-image dev share (images
of 5 of its 61 events: figures to compare with each other, not with published ones). This page is written by

    {field.command}

which makes the files, measures, and keeps the figures in `converters/measurements/detectors.json`.

{table(field)}

**Best per millisecond: {best.detector} at {best.size}**, with a mean average precision of {precision(best):.3f} in
{best.cpu_ms:.1f} ms. {part}
Most is found by {strongest.detector} at {strongest.size}, with {precision(strongest):.3f} in {strongest.cpu_ms:.1f} ms.
Bold are those that nothing cheaper matches:
{names}.

How it was measured:

- fp32, ONNX Runtime (Viola-Jones: OpenCV itself), one thread, through the device's own code. Detectors of free size
  see {" and ".join(SIZES)} (the picture letterboxed, never enlarged), the others the one size that they were made for.
- Average precision by WIDER FACE's published procedure, single scale, detections from a score of {MIN_SCORE:g} on.
  AP per ms is the mean of the three levels over CPU time; the best is one whose mean is at least {USEFUL:g}.
- CPU ms: one whole detection of a picture in memory (shrink, network, decode, suppress) at a score of {SCORE:g}; the
  cheapest of {RUNS} runs, mean of {field.timed} pictures ({UNTRAINED_TIMED} where the weights are random), the
  detectors taking turns; on {field.machine}. A machine with other work, as this one had, takes longer for all of them:
  compare rows with each other. `python -m converters evaluate all-detectors --cost` measures only this again.
- MAC: multiply-accumulates of convolutions and dense layers that were really run, mean per picture. MTCNN's second and
  third network look more often where there are more faces.
- `retinaface-resnet50` has random weights, because no public package carries trained ones: its cost is real, and it
  finds nothing.
- BlazeFace gives six points without corners of the mouth, Ultra-Light and Viola-Jones give none: networks that are cut
  by landmarks cannot be used with them. A crop rule by boxes fits the detector that it was measured with.
"""
