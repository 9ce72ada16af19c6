"""``search``: find which layers of a network must stay float so that its int8 form keeps a tolerance.

Slow, and therefore never part of a build: the result goes to the lock beside the recipe, which the build reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from tqdm import tqdm

from converters.quantization.search_state import Found, Rank, Score, Way
from edgeface.errors import EdgefaceError

MOST = 0.5
"""Share of the layers that may stay float; with more of them the file is not worth the name int8."""

logger = logging.getLogger(__name__)


Measure = Callable[[Way, Sequence[str]], Score]
"""Score of the form made a certain way in which certain layers stay float."""
Movement = Callable[[Way, Sequence[str]], float]
"""How far its outputs move."""


def search(
    ways: Sequence[Way],
    layers: Callable[[Way], Sequence[str]],
    measure: Measure,
    rank: Movement,
    tolerance: float,
) -> Found:
    """Settle on a way and on the layers that stay float.

    Parameters
    ----------
    ways : those to try; the one with the smallest loss is taken
    layers : names of the layers of the network prepared one way
    measure : score of a form on all search pictures
    rank : how far a form's outputs move, to rank layers by
    tolerance : largest loss that is allowed

    Raises
    ------
    EdgefaceError : with half of the layers float the tolerance still does not hold
    """
    plain = {str(way): measure(way, ()) for way in tqdm(ways, desc="ways", disable=None, leave=False)}
    best = min(ways, key=lambda way: plain[str(way)].worst)
    score, kept = plain[str(best)], []
    ranks: list[Rank] = []
    if score.worst >= tolerance:
        names = list(layers(best))
        ranks = rank_layers(names, best, rank)
        for place in tqdm(ranks[: int(MOST * len(names))], desc="floating", unit="layer", disable=None, leave=False):
            kept.append(place.layer)
            score = measure(best, kept)
            logger.info("%d float layers (last: %s): loses %.3f", len(kept), place.layer, score.worst)
            if score.worst < tolerance:
                kept, score = needed(kept, score, lambda layers: measure(best, layers), tolerance)
                break
        else:
            raise EdgefaceError(
                f"{len(kept)} float layers still lose {score.worst:.3f}, {tolerance} is allowed",
                fix="fine-tune the network with quantization in the loop, or ship int8w",
            )
    how = best.quantize(kept)
    return Found(quantize=how, tolerance=tolerance, ways=plain, ranks=ranks, search=score)


def needed(
    kept: Sequence[str], score: Score, measure: Callable[[Sequence[str]], Score], tolerance: float
) -> tuple[list[str], Score]:
    """Drop the float layers that the tolerance holds without, and the score then: losses of layers do not add up.

    ``kept`` in the order in which they were taken; each is tried once, from the last but one (without the last one the
    tolerance did not hold) back to the first.
    """
    left = list(kept)
    for layer in tqdm(kept[-2::-1], desc="letting back", unit="layer", disable=None, leave=False):
        fewer = [other for other in left if other != layer]
        tried = measure(fewer)
        if tried.worst < tolerance:
            left, score = fewer, tried
            logger.info("%d float layers (without %s): loses %.3f", len(left), layer, score.worst)
    return left, score


def rank_layers(names: Sequence[str], way: Way, rank: Movement) -> list[Rank]:
    """Layers by how far the outputs move when each alone is quantized, the worst first.

    Not by the task's loss: of most layers alone that is luck. Of RetinaFace's first layers it was a gain of half a
    point on 32 photographs, though they cost most when all are quantized.
    """
    ranks = [
        Rank(layer=layer, moved=rank(way, [other for other in names if other != layer]))
        for layer in tqdm(names, desc="layers", unit="layer", disable=None, leave=False)
    ]
    return sorted(ranks, key=lambda place: -place.moved)


def table(name: str, runtime: str, found: Found) -> str:
    """What was found, for people."""
    rows = [f"{name} {runtime}: loss against fp32 in int8 throughout"]
    rows += [f"  {way:28s} {score.worst:8.3f} (mean {score.mean:.3f})" for way, score in found.ways.items()]
    if found.ranks:
        rows.append("outputs moved when one layer alone is int8, share of their variance")
        rows += [f"  {place.layer:28s} {place.moved:8.1e}" for place in found.ranks]
    kept = ", ".join(found.quantize.keep) or "none"
    rows.append(f"float layers: {kept}")
    rows.append(f"loss on the search half {found.search.worst:.3f} (tolerance {found.tolerance})")
    if found.decide is not None:
        rows.append(f"loss on the other half {found.decide.worst:.3f}")
    return "\n".join(rows)
