"""How a face moves and how its picture changes from frame to frame: smooth courses of the numbers that spoil a crop.

A course is a sum of cosines over time, so it is continuous, its rate is bounded, and any spacing of frames may sample
it. What `converters.datasets.camera` throws for a single face runs along such courses here; the crop drifts slowly, as
where a face comes nearer, and jumps from frame to frame by the shipped detector's measured error, no further.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from converters.datasets.camera import FRESH, HELD, NORMALS, THROWS, Camera
from converters.train.warp import Motion

F64 = npt.NDArray[np.float64]
WAVES = 4
"""Cosines of a course, which together have the deviation 1."""
PEAK = sqrt(2 * WAVES)
"""Largest value of a course."""
AXES = 4
"""Of a crop: size, right, down, turn."""
FARTHEST = 3.0
"""Deviations beyond which no frame jumps."""

Seconds = Annotated[float, Meta(ge=0.01, le=600)]


class Moving(Camera, frozen=True, kw_only=True):
    """How sequences are made of still faces.

    Jitter is the deviation of one frame's crop, as measured of the shipped detector (``docs/training.md``): in bad
    light 3.9 % in size, 1.3 % in shift, 1.8 degrees, which no recipe may exceed. Drift is what remains over a slow
    change of size by half.
    """

    spacing: Annotated[
        tuple[Seconds, Seconds], Meta(description="least and most seconds between two frames, one for each sequence")
    ] = (0.04, 4.0)
    period: Annotated[
        tuple[Seconds, Seconds], Meta(description="shortest and longest period in which light and pose change, seconds")
    ] = (2.0, 20.0)
    drift_scale: Annotated[float, Meta(ge=0, le=0.09, description="slow deviation of the crop's size (logarithm)")] = (
        0.07
    )
    drift_shift: Annotated[float, Meta(ge=0, le=0.03, description="slow deviation of its shift, in shares")] = 0.025
    drift_rotation: Annotated[float, Meta(ge=0, le=4, description="slow deviation of its turn, degrees")] = 3.5
    jitter_scale: Annotated[
        float, Meta(ge=0, le=0.039, description="deviation of the size from frame to frame (logarithm)")
    ] = 0.027
    jitter_shift: Annotated[float, Meta(ge=0, le=0.013, description="the same of the shift, in shares")] = 0.009
    jitter_rotation: Annotated[float, Meta(ge=0, le=1.8, description="the same of the turn, degrees")] = 1.3
    mirror: Annotated[float, Meta(ge=0, le=1, description="share of the sequences with left and right changed")] = 0.5

    def __post_init__(self) -> None:
        """Refuse ranges that are the wrong way round."""
        for name, (low, high) in (("spacing", self.spacing), ("period", self.period)):
            if low > high:
                raise ValueError(f"{name}: give the least first")


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What happens to one face in T frames.

    Attributes
    ----------
    seconds : float64 (T,), from 0
    motions : how each frame's crop differs from the rule's
    throws, normals : float64 (T, `THROWS`) from 0 to 1 and (T, `NORMALS`), as `converters.datasets.camera.spoilt` reads
    """

    seconds: F64
    motions: tuple[Motion, ...]
    throws: F64
    normals: F64


def smooth(rng: np.random.Generator, seconds: F64, period: tuple[float, float], count: int) -> F64:
    """Courses (T, ``count``) of mean 0 and deviation 1, at most `PEAK`, that rise no faster than `fastest` says."""
    periods = np.exp(rng.uniform(np.log(period[0]), np.log(period[1]), (WAVES, count)))
    phases = rng.uniform(0, 2 * pi, (WAVES, count))
    waves = np.cos(2 * pi * seconds[:, None, None] / periods + phases)
    found: F64 = waves.sum(axis=1) * (PEAK / WAVES)
    return found


def fastest(period: tuple[float, float]) -> float:
    """Most that a course of `smooth` changes in a second."""
    return 2 * pi * PEAK / period[0]


def make_course(moving: Moving, frames: int, rng: np.random.Generator) -> Course:
    """Throw what happens to one face; the same state of ``rng`` gives the same."""
    low, high = np.log(moving.spacing)
    seconds: F64 = np.arange(frames, dtype=np.float64) * float(np.exp(rng.uniform(low, high)))
    slow = smooth(rng, seconds, moving.period, AXES + THROWS + NORMALS)
    throws = as_shares(slow[:, AXES : AXES + THROWS])
    throws[:, HELD] = rng.random(len(HELD))
    throws[:, FRESH] = rng.random((frames, len(FRESH)))
    jumps = np.clip(rng.standard_normal((frames, AXES)), -FARTHEST, FARTHEST)
    mirrored = bool(rng.random() < moving.mirror)
    shift = moving.drift_shift * slow[:, 1:3] + moving.jitter_shift * jumps[:, 1:3]
    turn = moving.drift_rotation * slow[:, 3] + moving.jitter_rotation * jumps[:, 3]
    size = np.exp(moving.drift_scale * slow[:, 0] + moving.jitter_scale * jumps[:, 0])
    motions = tuple(
        Motion(
            scale=float(size[frame]),
            right=float(shift[frame, 0]),
            down=float(shift[frame, 1]),
            degrees=float(turn[frame]),
            mirrored=mirrored,
        )
        for frame in range(frames)
    )
    return Course(seconds=seconds, motions=motions, throws=throws, normals=slow[:, AXES + THROWS :])


def as_shares(values: F64) -> F64:
    """Numbers of deviation 1 as numbers from 0 to 1, about equally often each: the logistic curve nearest to normal."""
    shares: F64 = 1 / (1 + np.exp(-1.702 * values))
    return shares
