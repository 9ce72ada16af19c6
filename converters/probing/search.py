"""Settings tried one after another: scale, colour order, size and crop, each with its best reading of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import msgspec
import numpy as np

from converters.evaluation.groups import paired_loss
from converters.probing.faces import Faces
from converters.probing.opening import Opened
from converters.probing.progress import Progress
from converters.probing.readings import Probed, Read, readings
from converters.recipes.reading import read_network
from edgeface.bundle import AttributeHead, BoxCrop, CropRule, Input, LandmarkCrop, SquareCrop
from edgeface.runtime import to_tensor

SCREEN, STARTS = 100, 4
"""Faces of the first, coarse look, and how many of its best settings are tried on all faces."""
ROUNDS = 4
"""Sweeps over all settings; as a rule the second changes nothing."""
BATCH = 64

SCALINGS: Mapping[str, tuple[tuple[float, float, float], float]] = {
    "0..255": ((0, 0, 0), 1.0),
    "0..1": ((0, 0, 0), 1 / 255),
    "-1..1": ((127.5, 127.5, 127.5), 1 / 127.5),
    "(x - 127.5) / 128": ((127.5, 127.5, 127.5), 1 / 128),
    "-0.5..0.5": ((127.5, 127.5, 127.5), 1 / 255),
    "less dlib's mean, / 256": ((122.782, 117.001, 104.298), 1 / 256),
    "less dlib's mean, / 255": ((122.782, 117.001, 104.298), 1 / 255),
    "less ImageNet's mean": ((123.68, 116.779, 103.939), 1.0),
    "less ImageNet's mean, / 256": ((123.68, 116.779, 103.939), 1 / 256),
    "ImageNet's mean and deviation": ((123.675, 116.28, 103.53), 1 / 57.63),
    "less VGGFace's mean": ((129.186, 104.762, 93.594), 1.0),
    "less VGGFace2's mean": ((131.091, 103.883, 91.495), 1.0),
}
"""Mean in red, green, blue, and scale. ImageNet's three deviations are taken for one: they differ by two percent."""
COARSE = ("0..255", "0..1", "-1..1", "less dlib's mean, / 256", "less ImageNet's mean")
"""Scalings of the coarse look: the others are near one of these."""
GREY_SCALINGS = ("0..255", "0..1", "-1..1", "(x - 127.5) / 128", "-0.5..0.5")
SQUARES = (0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8)
MARGINS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
PADDINGS = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3)
TEMPLATES = {"dlib's": "gender-v1", "ArcFace's": "mobile-face-net"}
"""Templates of five points, by the recipe that holds each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One setting and what came of it."""

    spec: Input
    read: Read

    @property
    def error(self) -> float:
        """Mean error of its best reading."""
        return self.read.error


class Prober:
    """Tries settings of one network on labelled faces; each setting once.

    Parameters
    ----------
    output : what the network answers the question with
    ways : ways to read that
    """

    def __init__(
        self, opened: Opened, task: Probed, output: str, ways: Mapping[str, AttributeHead], faces: Faces
    ) -> None:
        self.opened, self.task, self.faces = opened, task, faces
        self._output, self._ways = output, ways
        self._rows: dict[Input, Row] = {}

    @property
    def rows(self) -> list[Row]:
        """Every setting that was tried, best first."""
        return sorted(self._rows.values(), key=lambda row: row.error)

    @property
    def winner(self) -> Row:
        """The best setting that a device can use: one with a rule that cuts faces out of pictures."""
        return preferred([row for row in self.rows if row.spec.crop is not None])

    def row(self, spec: Input) -> Row:
        """Try one setting, or say what came of it before."""
        if spec not in self._rows:
            self._rows[spec] = Row(spec=spec, read=self.readings(spec)[0])
        return self._rows[spec]

    def readings(self, spec: Input) -> list[Read]:
        """Every way to read the answers under one setting, the one to take first."""
        pixels = self.faces.crops(spec)
        parts = [
            self.opened.network.run(to_tensor(pixels[at : at + BATCH], spec, "NCHW"))[self._output]
            for at in range(0, len(pixels), BATCH)
        ]
        outputs = {self._output: np.concatenate(parts)}
        return readings(self.task, self._ways, outputs, self.faces.labels)


Sweep = Callable[[Input], Iterable[Input]]


def search(opened: Opened, task: Probed, output: str, ways: Mapping[str, AttributeHead], faces: Faces) -> Prober:
    """Find the best setting: a coarse look at all combinations on some faces, then one fact at a time on all."""
    import torch

    before = torch.get_num_threads()
    # On networks of this size two threads wait for one another longer than they work.
    torch.set_num_threads(1)
    try:
        return _search(opened, task, output, ways, faces)
    finally:
        torch.set_num_threads(before)


def _search(opened: Opened, task: Probed, output: str, ways: Mapping[str, AttributeHead], faces: Faces) -> Prober:
    few = Prober(opened, task, output, ways, faces.some(SCREEN))
    every = Prober(opened, task, output, ways, faces)
    first = list(coarse(opened, task))
    # One round of sweeps as a rule finds everything and a second one nothing more.
    rest = sum(len(list(sweep(first[0]))) for sweep in sweeps(opened))
    with Progress(len(first) + STARTS + 2 * rest) as bar:
        looks = sorted((_tried(few, spec, bar) for spec in first), key=lambda row: row.error)
        best = preferred([_tried(every, row.spec, bar) for row in looks[:STARTS]])
        for _ in range(ROUNDS):
            before = best.spec
            for sweep in sweeps(opened):
                tried = [_tried(every, spec, bar) for spec in sweep(best.spec)]
                # A whole chip is no rule for a device: what sees faces in pictures goes before, however good chips are.
                best = preferred([row for row in (best, *tried) if row.spec.crop is not None] or [best, *tried])
            if best.spec == before:
                break
    return every


def preferred(rows: Sequence[Row]) -> Row:
    """Of the settings that the faces do not tell from the best, the one that is surest of the true labels.

    Right and wrong answers are a coarse measure: with pixels as in training a network is not only right, but sure.
    """
    best = min(rows, key=lambda row: row.error)
    losses = ((row, paired_loss(best.read.errors, row.read.errors, {})[0]) for row in rows)
    return min((row for row, loss in losses if (loss.low or 0) <= 0), key=lambda row: row.read.surprise)


def _tried(prober: Prober, spec: Input, bar: Progress) -> Row:
    row = prober.row(spec)
    bar.update()
    return row


def coarse(opened: Opened, task: Probed) -> Iterator[Input]:
    """All scalings, colours and sizes with a few crops; expressions on whole chips, which are crops already."""
    start = msgspec.structs.replace(opened.recipe.input, color="grey" if opened.channels == 1 else "rgb")
    rules: Sequence[CropRule | None] = (
        (None,) if task == "expression" else (SquareCrop(scale=1.0), SquareCrop(scale=1.6), _usual())
    )
    for crop, sized in product(rules, sizes(start, opened)):
        for toned in tones(sized, COARSE):
            yield msgspec.structs.replace(toned, crop=crop)


def sweeps(opened: Opened) -> tuple[Sweep, ...]:
    """Neighbours of a setting, by the fact that differs."""
    return tones, lambda spec: sizes(spec, opened), crops


def tones(spec: Input, names: Sequence[str] = tuple(SCALINGS)) -> Iterator[Input]:
    """Scalings with both orders of the colours: what one of them hides, the other shows."""
    for scaled in scalings(spec, names):
        yield from colours(scaled)


def scalings(spec: Input, names: Sequence[str] = tuple(SCALINGS)) -> Iterator[Input]:
    """Every scaling, for one setting."""
    for name in names:
        if spec.color == "grey" and name not in GREY_SCALINGS:
            continue
        rgb, scale = SCALINGS[name]
        mean = rgb[:1] if spec.color == "grey" else rgb if spec.color == "rgb" else rgb[::-1]
        yield msgspec.structs.replace(spec, mean=tuple(map(float, mean)), scale=scale)


def scaling(spec: Input) -> str:
    """Name of a setting's scaling."""
    mean = spec.means[::-1] if spec.color == "bgr" else spec.means
    return next(n for n, (rgb, scale) in SCALINGS.items() if mean == rgb[: len(mean)] and spec.scale == scale)


def colours(spec: Input) -> Iterator[Input]:
    """Both orders of the colours with the means in the same order; a grey network has none."""
    yield spec
    if spec.color != "grey":
        other = "bgr" if spec.color == "rgb" else "rgb"
        yield msgspec.structs.replace(spec, color=other, mean=spec.means[::-1])


def sizes(spec: Input, opened: Opened) -> Iterator[Input]:
    """Every size that the network takes."""
    for height, width in opened.sizes:
        yield msgspec.structs.replace(spec, height=height, width=width)


def crops(spec: Input) -> Iterator[Input]:
    """Every crop rule."""
    squares = (SquareCrop(scale=scale) for scale in SQUARES)
    boxes = (BoxCrop(left=m, top=m, right=m, bottom=m) for m in MARGINS)
    for rule in (*squares, *boxes, *_aligned()):
        yield msgspec.structs.replace(spec, crop=rule)


def _usual() -> LandmarkCrop:
    return LandmarkCrop(template=next(iter(templates().values())), padding=0.2)


def _aligned() -> Iterator[LandmarkCrop]:
    for template in templates().values():
        for padding in PADDINGS:
            yield LandmarkCrop(template=template, padding=padding)


@cache
def templates() -> dict[str, tuple[tuple[float, float], ...]]:
    """Templates of five points, by whose they are."""
    rules = {whose: read_network(name)[1].input.crop for whose, name in TEMPLATES.items()}
    return {whose: rule.template for whose, rule in rules.items() if isinstance(rule, LandmarkCrop)}
