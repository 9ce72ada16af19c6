"""Synthetic scenes: people whose true places are known at every time, seen by an imperfect detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import asin, pi, sin

import numpy as np

from edgeface.types import Detections

FACE = 80.0
"""Face width in pixels."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """Moves to and fro around a place; speed is the greatest one, in face widths a second.

    With ``abrupt`` they go at full speed and turn at once. ``hidden`` are spans of time in which the detector does not
    find them.
    """

    x: float
    y: float
    speed: float = 0.0
    period_s: float = 8.0
    drift: float = 0.0
    phase: float = 0.0
    size: float = FACE
    arrives_s: float = 0.0
    leaves_s: float = 1e9
    abrupt: bool = False
    hidden: tuple[tuple[float, float], ...] = ()

    def centre(self, time_s: float) -> tuple[float, float]:
        angle = 2 * pi * time_s / self.period_s + self.phase
        swing = self.speed * self.size * self.period_s / (2 * pi)
        along = asin(sin(angle)) if self.abrupt else sin(angle)
        x = self.x + swing * along + self.drift * self.size * time_s
        return x, self.y + 0.1 * swing * sin(2 * angle)

    def visible(self, time_s: float) -> bool:
        return self.arrives_s <= time_s < self.leaves_s and not any(a <= time_s < b for a, b in self.hidden)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """One frame: its time, what was detected, and whose each row is (-1: nobody's)."""

    time_s: float
    detections: Detections
    owners: list[int]


def film(
    people: Sequence[Person],
    *,
    fps: float,
    seconds: float,
    seed: int = 0,
    jitter: float = 0.02,
    missed: float = 0.0,
    false: float = 0.0,
    uneven: float = 0.0,
) -> Iterator[Shot]:
    """Frames of a scene.

    ``jitter`` is the deviation of box edges in face sizes, ``missed`` and ``false`` the shares of frames in which a
    face is overlooked or a false one (never twice at the same place) appears, ``uneven`` the share of a frame's time
    by which its time varies.
    """
    rng = np.random.default_rng(seed)
    for index in range(int(seconds * fps)):
        time_s = max(0.0, (index + uneven * rng.uniform(-0.5, 0.5)) / fps)
        rows: list[tuple[int, list[float], float]] = []
        for owner, person in enumerate(people):
            if not person.visible(time_s) or rng.random() < missed:
                continue
            x, y = person.centre(time_s)
            half = person.size / 2
            edges = np.array([x - half, y - 1.2 * half, x + half, y + 1.2 * half]) + rng.normal(
                0, jitter * person.size, 4
            )
            rows.append((owner, edges.tolist(), float(rng.uniform(0.7, 1.0))))
        if rng.random() < false:
            x, y = rng.uniform(0, 2000, 2)
            rows.append((-1, [x, y, x + 50, y + 60], float(rng.uniform(0.6, 0.9))))
        order = rng.permutation(len(rows))
        rows = [rows[i] for i in order]
        yield Shot(
            time_s=time_s,
            detections=Detections(
                boxes=np.array([row[1] for row in rows], dtype=np.float32).reshape(-1, 4),
                scores=np.array([row[2] for row in rows], dtype=np.float32),
            ),
            owners=[row[0] for row in rows],
        )
