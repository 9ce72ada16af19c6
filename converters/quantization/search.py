"""``search``: find which layers of a network must stay float so that its int8 variant keeps a tolerance.

Slow, and therefore never part of a build: the result goes to the lock beside the recipe, which the build reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from tqdm import tqdm

from converters.quantization.search_state import Found, Scheme, Score, Sensitivity
from edgeface.errors import EdgefaceError

MOST = 0.5
"""Share of the layers that may stay float; with more of them the file is not worth the name int8."""

logger = logging.getLogger(__name__)


Measure = Callable[[Scheme, Sequence[str]], Score]
"""Score of the variant made by a scheme in which certain layers stay float."""
ErrorMeasure = Callable[[Scheme, Sequence[str]], float]
"""Normalised error of its outputs."""


def search(
    schemes: Sequence[Scheme],
    layers: Callable[[Scheme], Sequence[str]],
    measure: Measure,
    sensitivity: ErrorMeasure,
    tolerance: float,
) -> Found:
    """Settle on a scheme and on the layers that stay float.

    Parameters
    ----------
    schemes : those to try; the one with the smallest loss is taken
    layers : names of the layers of the network prepared for a scheme
    measure : score of a variant on all search pictures
    sensitivity : normalised error of a variant's outputs, by which layers are ordered
    tolerance : largest loss that is allowed

    Raises
    ------
    EdgefaceError : with half of the layers float the tolerance still does not hold
    """
    plain = {str(scheme): measure(scheme, ()) for scheme in tqdm(schemes, desc="ways", disable=None, leave=False)}
    best = min(schemes, key=lambda scheme: plain[str(scheme)].worst)
    score, kept = plain[str(best)], []
    sensitivities: list[Sensitivity] = []
    if score.worst >= tolerance:
        names = list(layers(best))
        sensitivities = layer_sensitivities(names, best, sensitivity)
        for place in tqdm(
            sensitivities[: int(MOST * len(names))], desc="floating", unit="layer", disable=None, leave=False
        ):
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
    return Found(quantize=how, tolerance=tolerance, schemes=plain, sensitivities=sensitivities, search=score)


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


def layer_sensitivities(names: Sequence[str], scheme: Scheme, sensitivity: ErrorMeasure) -> list[Sensitivity]:
    """Layers by sensitivity, the normalised error of the outputs when each alone is int8, the worst first.

    Not by the task's loss: of most layers alone that is luck. Of RetinaFace's first layers it was a gain of half a
    point on 32 photographs, though they cost most when all are quantized.
    """
    sensitivities = [
        Sensitivity(layer=layer, normalised_error=sensitivity(scheme, [other for other in names if other != layer]))
        for layer in tqdm(names, desc="layers", unit="layer", disable=None, leave=False)
    ]
    return sorted(sensitivities, key=lambda place: -place.normalised_error)


def table(name: str, runtime: str, found: Found) -> str:
    """What was found, for people."""
    rows = [f"{name} {runtime}: loss against fp32 in int8 throughout"]
    rows += [f"  {scheme:28s} {score.worst:8.3f} (mean {score.mean:.3f})" for scheme, score in found.schemes.items()]
    if found.sensitivities:
        rows.append("outputs moved when one layer alone is int8, share of their variance")
        rows += [f"  {place.layer:28s} {place.normalised_error:8.1e}" for place in found.sensitivities]
    kept = ", ".join(found.quantize.keep) or "none"
    rows.append(f"float layers: {kept}")
    rows.append(f"loss on the search half {found.search.worst:.3f} (tolerance {found.tolerance})")
    if found.decide is not None:
        rows.append(f"loss on the other half {found.decide.worst:.3f}")
    return "\n".join(rows)
