"""What a bundle must keep before it may take its place: losses, detectors that crops fit, size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

from converters.measurements.trials import Trial, find_trial
from converters.recipes.schema import BundleRecipe, NetworkRecipe, Recipe
from edgeface.bundle import BoxCrop, Network, Precision, SquareCrop, choose_file
from edgeface.config import RuntimeName
from edgeface.errors import EdgefaceError, UsageError
from edgeface.types import Task

logger = logging.getLogger(__name__)


def check_limits(
    recipe: Recipe,
    trials: Sequence[Trial],
    made: Sequence[Network],
    where: Callable[[str, RuntimeName, Precision], str] = lambda *_: "",
) -> None:
    """Raise EdgefaceError for a quantized variant that was judged and loses more than its task's limit.

    ``made`` are the manifest entries of the files, ``where`` names the layer that is furthest off. A variant that was
    never judged, or as another file, is let pass with a warning: who has no labelled faces, or other tools, can still
    build. Networks that were never trained have no answers to lose.
    """
    entries = {entry.name: entry for entry in made}
    for name, network in recipe.networks.items():
        if network.random or network.task not in recipe.limits:
            continue
        questions: list[Task | None] = [None, *(task for task in network.also if task in recipe.limits)]
        for task, (runtime, precision) in product(questions, quantized_variants(network)):
            tried = find_trial(trials, name, network, runtime, precision, task=task)
            if tried is None and task is not None and find_trial(trials, name, network, runtime, precision) is None:
                continue  # said already
            if tried is None:
                logger.warning(
                    "%s %s %s was never held against fp32 on labelled faces: run `python -m converters try %s`",
                    name, runtime, precision, recipe.argument(name),
                )  # fmt: skip
                continue
            same = tried.sha256 == choose_file(entries[name], runtime, precision).sha256
            if not tried.within:
                as_what = "" if same else " (as another file, of other ranges or tools)"
                again = f"run `python -m converters {'search' if same else 'try'} {recipe.argument(name)}`"
                raise EdgefaceError(
                    f"{name} {runtime} {precision} loses more than its limit{as_what}{where(name, runtime, precision)}",
                    fix=f"{again}, or take it out of the recipe's files",
                )
            if not same:
                logger.warning(
                    "%s %s %s was held against fp32 as another file (other ranges or tools): run"
                    " `python -m converters try %s`",
                    name, runtime, precision, recipe.argument(name),
                )  # fmt: skip


class WorstLayer:
    """Words for the layer of a made file that is furthest from fp32.

    ``places`` are the folders of the networks' files.
    """

    def __init__(self, recipe: Recipe, entries: Sequence[Network], places: Mapping[str, Path]) -> None:
        self._recipe = recipe
        self._entries = {entry.name: entry for entry in entries}
        self._places = places

    def __call__(self, name: str, runtime: RuntimeName, precision: Precision) -> str:
        """Words such as ``, most at conv1 (12.3 dB)``, or none where no layer stands out."""
        from converters.building.parity import worst_layer  # loads both runtimes

        network = self._entries[name]
        file = choose_file(network, runtime, precision)
        return worst_layer(self._recipe, self._places[name], network, file)


def quantized_variants(network: NetworkRecipe) -> list[tuple[RuntimeName, Precision]]:
    """Variants that ship and are not fp32."""
    return [
        (runtime, precision)
        for runtime, precisions in network.files.items()
        for precision in precisions
        if runtime != "opencv" and precision != "fp32"
    ]


def check_detectors(recipe: Recipe, networks: Sequence[Network]) -> None:
    """Raise UsageError for a network cut by boxes beside a detector that it was not measured with.

    A rule by boxes fits the boxes of the detector that it was made for; another's are larger, smaller or elsewhere, and
    the network then sees what it never saw in training.
    """
    detector = recipe.defaults.get("detect")
    if detector is None or recipe.bundle.remeasure:
        return
    for network in networks:
        if not isinstance(network.input.crop, BoxCrop | SquareCrop) or network.random_weights:
            continue
        own = recipe.networks.get(network.name)
        known = {row.detector for row in network.measured} | set(own.measured_with if own else ())
        if detector not in known:
            raise UsageError(
                f"{network.name} is cut by boxes and was not measured with {detector}",
                fix="set remeasure = true in the bundle's recipe (needs the labelled data), or choose another detector",
            )


def check_size(recipe: BundleRecipe, folder: Path, place: Path | None = None) -> None:
    """Raise EdgefaceError for a bundle that is larger than its recipe allows; ``place`` is where it will stand."""
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if recipe.max_bytes is not None and total > recipe.max_bytes:
        raise EdgefaceError(
            f"{place or folder} has {total:,} bytes, allowed {recipe.max_bytes:,}", fix="ship fewer files"
        )
    logger.info("%s: %s bytes", place or folder, f"{total:,}")
