"""What networks say of faces in the dark: their crops as they are, and made brighter as the device does.

    python -m benchmarks.dark_faces --data DIR [--faces N]

Labelled faces (`find_faces` of converters/datasets), every fourth, as large as before a camera: found by day, then
darkened to a share of their light with the noise of a sensor, and cut out where they were found. Printed are mean
errors (years of an age, shares of wrong labels), and how much less they are in brighter crops, with the 95 % interval
of the paired difference.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from converters.datasets.labelled import chips
from converters.evaluation.stills import errors_of, photograph
from converters.evaluation.subject import Answers, Finder, Subject, shipped_subjects
from converters.paths import BUNDLE
from edgeface.bundle import open_bundle
from edgeface.cli.common import columns
from edgeface.crop import brightened
from edgeface.errors import run_command
from edgeface.types import Image, Task

LIGHTS = ((1.0, 0.0), (0.2, 8.0), (0.1, 6.0), (0.05, 4.0))
"""Share of the light, and deviation of the noise in levels."""
SETS: Sequence[tuple[str, str, tuple[Task, ...]]] = (
    ("utkface", "val", ("age", "gender")),
    ("fairface", "val", ("gender",)),
    ("fer2013", "publictest", ("expression",)),
)
EVERY = 4


def darkened(image: Image, light: float, noise: float, chance: np.random.Generator) -> Image:
    """A picture in so much of its light."""
    dark = image * np.float32(light) + noise * chance.standard_normal(image.shape, np.float32)
    taken: Image = np.clip(dark, 0, 255).astype(np.uint8)
    return taken


def rows_of(
    subject: Subject, finder: Finder, data: Path, name: str, part: str, tasks: Sequence[Task], faces: int
) -> Iterator[tuple[str, ...]]:
    """One row for each question and light."""
    pictures = []
    for chip in islice(chips(data, name, part), 0, EVERY * faces, EVERY):
        image = cv2.resize(photograph(chip.image), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        pictures.append((chip.labels, image, finder.face(image)))
    for light, noise in LIGHTS:
        chance = np.random.default_rng(1)
        dark = [darkened(image, light, noise, chance) for _, image, _ in pictures]

        def answers(finish: Callable[[Image], Image], dark: Sequence[Image] = dark) -> Answers:
            return subject.answer_pixels(
                (labels, None if face is None else finish(finder.cut(image, face, subject.network.input)))
                for image, (labels, _, face) in zip(dark, pictures, strict=True)
            )

        as_it_is, brighter = answers(lambda crop: crop), answers(brightened)
        for task in (task for task in tasks if task in subject.network.answers):
            was, now = (errors_of(said, subject.network, task) for said in (as_it_is, brighter))
            less = (was - now)[~np.isnan(was - now)]
            spread = 1.96 * less.std() / len(less) ** 0.5
            yield (
                f"{name} {task}",
                f"{light:g}, {noise:g}",
                f"{np.nanmean(was):.3f}",
                f"{np.nanmean(now):.3f}",
                f"{less.mean():.3f} ({less.mean() - spread:.3f} to {less.mean() + spread:.3f})",
                str(len(less)),
            )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=500, help="of each set")
    args = parser.parse_args()
    bundle = open_bundle(BUNDLE)
    finder = Finder(bundle, threads=1)
    rows: list[tuple[str, ...]] = [("faces", "light, noise", "error as it is", "brighter", "less", "faces")]
    for name, part, tasks in SETS:
        for subject in shipped_subjects(bundle, finder, runtime="onnx"):
            if set(tasks) & subject.network.answers.keys():
                rows += rows_of(subject, finder, args.data, name, part, tasks, args.faces)
    print(*columns(rows), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
