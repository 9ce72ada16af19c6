"""Recipes: the only place where numbers of a bundle are chosen, read into types that refuse what they do not know."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from edgeface.bundle import (
    CategoricalHead,
    Closed,
    ExpectationHead,
    Four,
    Input,
    Precision,
    PreferredRuntime,
    RetinaFaceHead,
    Signature,
    Source,
    YunetHead,
)
from edgeface.config import RuntimeName
from edgeface.errors import EdgefaceError
from edgeface.types import Task

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).parent / "recipes"
DetectOrTask = Task | Literal["detect"]
Calibration = Literal["average", "minmax"]
"""How int8 ranges are gathered: a moving average over the samples, or the least and the largest value."""


class Limit(Closed, frozen=True, kw_only=True):
    """How much a quantized file may lose against fp32 and still ship; any one that is named suffices.

    ``points`` are of accuracy or average precision (percent), ``years`` of mean absolute error, ``agreement`` the
    share of equal answers.
    """

    points: float | None = None
    years: float | None = None
    agreement: float | None = None


class SelfTestRecipe(Closed, frozen=True, kw_only=True):
    """The face of the self-tests' picture in pixels, and the input size (width, height) of a detector's test."""

    box: Four
    landmarks: tuple[tuple[float, float], ...]
    detector_size: tuple[int, int]


class Prepared(Closed, frozen=True, kw_only=True):
    """Shapes that a device meets: input sizes (width, height) of detectors, batches of attribute networks."""

    sizes: tuple[tuple[int, int], ...]
    batches: tuple[int, ...]


class NetworkRecipe(Closed, frozen=True, kw_only=True):
    """One network: where from, what it sees and says, what ships (best first) and what else was tried.

    ``keep`` is a pattern, by runtime, of the weights' names there: in the form int8w these stay in float16, where they
    cost much of the accuracy and little of the size. ``tolerances`` go before the bundle's.
    """

    family: str
    task: DetectOrTask
    title: str
    paper: str
    licence: str
    training_data: str
    limits: str
    source: Source
    input: Input
    head: ExpectationHead | CategoricalHead | YunetHead | RetinaFaceHead
    files: dict[RuntimeName, tuple[Precision, ...]]
    calibration: dict[RuntimeName, Calibration] = msgspec.field(default_factory=dict)
    tolerances: dict[Precision, float] = msgspec.field(default_factory=dict)
    keep: dict[RuntimeName, str] = msgspec.field(default_factory=dict)
    tried: tuple[Precision, ...] = msgspec.field(name="try", default=())

    @property
    def is_detector(self) -> bool:
        """Whether the input size is free."""
        return self.task == "detect"

    @property
    def channels(self) -> int:
        """Colour channels of the input."""
        return 1 if self.input.color == "grey" else 3

    def signatures(self, prepared: Prepared) -> tuple[Signature, ...]:
        """Shapes of a TFLite file: ``w320h192`` ... for detectors, ``b1`` ... for attribute networks."""
        if self.is_detector:
            return tuple(
                Signature(key=f"w{width}h{height}", batch=1, width=width, height=height)
                for width, height in prepared.sizes
            )
        height, width = self.input.height, self.input.width
        assert height is not None
        assert width is not None
        return tuple(Signature(key=f"b{n}", batch=n, width=width, height=height) for n in prepared.batches)


class Recipe(Closed, frozen=True, kw_only=True):
    """One bundle."""

    name: str
    version: str
    max_bytes: int
    defaults: dict[DetectOrTask, str]
    runtimes: dict[str, PreferredRuntime]
    limits: dict[DetectOrTask, Limit]
    selftest: SelfTestRecipe
    prepared: Prepared
    tolerances: dict[Precision, float]
    networks: Mapping[str, NetworkRecipe]


def read_recipe(name: str = "default") -> Recipe:
    """Read ``recipes/NAME.toml``; EdgefaceError names the key that is wrong."""
    path = RECIPES / f"{name}.toml"
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Recipe)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise EdgefaceError(f"recipe {path}: {error}", fix="correct the recipe") from None
