"""What a visit's age interval holds after so many frames, by how many independent samples they are taken for.

Windows of frames are made of the still faces of FairFace's validation part, as for a study of memory
(`converters.train.courses`), the shipped network answers each frame, and the device's own pool fuses them. Rows are
`WORTH` of `edgeface/questions/age.py`, the less the wider; cells the share of ages in the interval, of all people and
with each age band counting alike. It is fitted on one half of the people; the other half tells how good that is.

    python -m benchmarks.visit_intervals [--data DIR] [--cache DIR] [--recipe age-over-time]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from converters.cli.train import default_cache
from converters.datasets.labelled import data_folder
from converters.evaluation.confidence import covered_shares
from converters.evaluation.groups import first_half
from converters.paths import BUNDLE
from converters.train.answers import heads_of
from converters.train.batches import Scale
from converters.train.features import Features, load_features
from converters.train.memory import FRAME
from converters.train.prepare import load
from converters.train.recipe import Training, read_training
from converters.train.remembering import answer_windows, make_net
from converters.train.sequences import Clips
from converters.train.start import begin
from converters.train.weighted_mean import pool
from edgeface.attributes import make_heads
from edgeface.bundle import open_bundle
from edgeface.errors import EdgefaceError, UsageError
from edgeface.types import F32, AgeEstimate, Head

FRAMES = (1, 2, 5, 7, 10, 20)
WORTH = (1.1, 1.0, 0.92, 0.85, 0.8, 0.77, 0.75, 0.72)


def windows(training: Training, data: Path | None, cache: Path) -> tuple[Features, F32]:
    """Features of the windows of the part that is judged, and what the network says of each frame, (N, T, K)."""
    memory = training.recipe.memory
    if memory is None:
        raise UsageError(f"{training.name} is no study of memory", fix="name one that is")
    begun = begin(training)
    begun.module.eval()
    scale = Scale(training.network.input, torch.device("cpu"))
    one = training.recipe.validation.sets[0]
    clips = Clips(one.set, one.part, load(training, one, one.part, data, cache), memory.moving, memory.frames)
    features = load_features(
        clips,
        begun.module,
        scale,
        moving=memory.moving,
        frames=memory.frames,
        seed=training.recipe.seed,
        takes=1,
        cache=cache,
    )
    net = make_net(training, FRAME, begun).eval()
    heads = heads_of(training.network, training.network_name)
    return features, answer_windows(net, heads, memory.question, features)


def covered(
    head: Head, features: Features, said: F32, frames: int, chosen: Sequence[int]
) -> Iterator[tuple[float, float]]:
    """For each of `WORTH` the share of ages in the interval after so many frames: of all, and bands alike."""
    pools = pool(said[chosen, :frames], features.quality[chosen, :frames])
    rows = [features.rows[number] for number in chosen]
    bands = np.array([row["age"] for row in rows])
    for worth in WORTH:
        ages = [head.estimate(one.sharpened(worth)) for one in pools]
        held = covered_shares([age for age in ages if isinstance(age, AgeEstimate)], rows)
        yield float(held.mean()), float(np.mean([held[bands == band].mean() for band in np.unique(bands)]))


def main() -> None:
    """Measure and print a table for each half."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="DIR")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where crops and features are kept")
    parser.add_argument("--recipe", default="age-over-time", help="training recipe with [memory] (%(default)s)")
    args = parser.parse_args()
    try:
        training = read_training(args.recipe)
        features, said = windows(training, data_folder(args.data), args.cache or default_cache())
        head = make_heads(open_bundle(BUNDLE).network(training.network_name))["age"]
    except EdgefaceError as error:
        parser.error(str(error))
    for title, first in (("who choose", True), ("who tell", False)):
        chosen = [
            number
            for number, person in enumerate(features.people)
            if first_half(person) == first and features.rows[number].get("age")
        ]
        columns = [list(covered(head, features, said, frames, chosen)) for frames in FRAMES]
        print(f"{len(chosen)} windows of people {title}: % of ages in the interval, by frames; bands alike\n")
        print(f"| worth | {' | '.join(map(str, FRAMES))} |\n{'|---' * (1 + len(FRAMES))}|")
        for worth, cells in zip(WORTH, zip(*columns, strict=True), strict=True):
            print(f"| {worth:g} | {' | '.join(f'{100 * whole:.1f}; {100 * alike:.1f}' for whole, alike in cells)} |")
        print()


if __name__ == "__main__":
    main()
