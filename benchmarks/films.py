"""Films of known people, made of labelled still faces: each walks along a lane, nods, comes nearer, in changing light.

Frames are computed when they are asked for; no picture is written. Nobody covers anybody: whom the device follows is
measured elsewhere, here it is asked what it makes of its samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import pi, sin
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from edgeface.types import F32, Image

WIDTH, HEIGHT = 960, 540
LANES = 3
"""People in view at once, one above another."""
STAY_S, PAUSE_S = (8.0, 16.0), 4.0
"""How long somebody stays, and nobody after that: longer than `visits.lost_after`."""
SIDES = 80.0, 125.0
"""Sides of the chips in the picture, pixels; a face fills most of its chip."""
TURN_DEGREES, NEARER, LIGHT, NOISE = 8.0, 0.2, 0.15, 4
"""Swings: of a head's turn, of its size and of the light in shares, and of the camera's noise in levels."""
CHIP = 200
MORE = 64
"""Rows and columns by which the grain is larger than the picture: each frame has another part of it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Walker:
    """One person: a still face, uint8 (S, S, 3) BGR, its labels, and how it moves."""

    number: int
    chip: Image
    labels: dict[str, str]
    lane: int
    start_s: float
    end_s: float
    side: float
    phase: float
    left: bool

    def place(self, time_s: float) -> tuple[float, float, float, float]:
        """Middle x and y and side in pixels, and turn in degrees."""
        along = (time_s - self.start_s) / (self.end_s - self.start_s)
        along = along if self.left else 1 - along
        side = self.side * (1 + NEARER * sin(0.6 * time_s + self.phase))
        y = HEIGHT * (self.lane + 0.5) / LANES + 5 * sin(1.3 * time_s + self.phase)
        return WIDTH * (0.12 + 0.76 * along), y, side, TURN_DEGREES * sin(0.9 * time_s + self.phase)


class Known(Protocol):
    """Somebody in a film."""

    @property
    def labels(self) -> dict[str, str]:
        """What is known of them."""


class Shown(Protocol):
    """A film of known people."""

    @property
    def people(self) -> Sequence[Known]:
        """Everybody who comes in it, by number."""

    def frames(self, fps: float) -> Iterator[tuple[float, Image, list[tuple[int, F32]]]]:
        """Time, picture uint8 (H, W, 3) BGR, and of everybody in it number and box (4,) x1 y1 x2 y2."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Film:
    """People one after another in each lane, before a still background."""

    people: Sequence[Walker]
    still: Image
    grain: npt.NDArray[np.int16]
    seconds: float

    def frames(self, fps: float) -> Iterator[tuple[float, Image, list[tuple[int, F32]]]]:
        """Time, picture uint8 (H, W, 3) BGR, and of everybody in it number and square (4,) x1 y1 x2 y2."""
        for index in range(int(self.seconds * fps)):
            time_s = index / fps
            image = self.still.copy()
            there = [walker for walker in self.people if walker.start_s <= time_s <= walker.end_s]
            squares = [(walker.number, _paint(image, walker, time_s)) for walker in there]
            down, right = index * 7 % MORE, index * 11 % MORE
            noise = self.grain[down : down + HEIGHT, right : right + WIDTH]
            yield time_s, cv2.add(image, noise, dtype=cv2.CV_8U), squares


def make_film(faces: Sequence[tuple[Image, dict[str, str]]], seed: int) -> Film:
    """A film of these people; the same seed gives the same one."""
    rng = np.random.default_rng(seed)
    free = np.full(LANES, 0.5)
    people = []
    for number, (chip, labels) in enumerate(faces):
        lane = number % LANES
        start, stay = float(free[lane] + rng.uniform(0, 1)), float(rng.uniform(*STAY_S))
        free[lane] = start + stay + PAUSE_S
        people.append(
            Walker(
                number=number,
                chip=cv2.resize(chip, (CHIP, CHIP), interpolation=cv2.INTER_LINEAR),
                labels=labels,
                lane=lane,
                start_s=start,
                end_s=start + stay,
                side=float(rng.uniform(*SIDES)),
                phase=float(rng.uniform(0, 2 * pi)),
                left=bool(rng.integers(2)),
            )
        )
    grain = rng.integers(-NOISE, NOISE + 1, (HEIGHT + MORE, WIDTH + MORE, 3)).astype(np.int16)
    return Film(people=people, still=_background(rng), grain=grain, seconds=float(free.max()) - PAUSE_S + 0.5)


def _background(rng: np.random.Generator) -> Image:
    """A room-like still without anything like a face."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    room = np.stack([90 + 60 * y / HEIGHT, 100 + 40 * x / WIDTH, 110 + 30 * (x + y) / (WIDTH + HEIGHT)], -1)
    for _ in range(30):
        x0, y0 = int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT))
        part = room[y0 : y0 + int(rng.integers(20, HEIGHT // 3)), x0 : x0 + int(rng.integers(20, WIDTH // 4))]
        part[:] = part * 0.6 + rng.integers(30, 220, 3) * 0.4
    found: Image = np.clip(cv2.GaussianBlur(room, (0, 0), 2), 0, 255).astype(np.uint8)
    return found


def _oval() -> F32:
    """How much of a chip is laid on the picture, float32 (CHIP, CHIP, 1): an oval with a soft edge."""
    mask = np.zeros((CHIP, CHIP), np.float32)
    cv2.ellipse(mask, (CHIP // 2, CHIP // 2), (int(0.44 * CHIP), int(0.49 * CHIP)), 0, 0, 360, (1.0,), -1)
    soft: F32 = cv2.GaussianBlur(mask, (0, 0), 5)[..., None].astype(np.float32)
    return soft


OVAL = _oval()


def _paint(image: Image, walker: Walker, time_s: float) -> F32:
    """Lay a face on the picture, in place; its square, inside the picture."""
    x, y, side, turn = walker.place(time_s)
    both = np.concatenate([walker.chip.astype(np.float32), OVAL * 255], axis=2)
    matrix = cv2.getRotationMatrix2D((CHIP / 2, CHIP / 2), turn, 1)
    both = cv2.warpAffine(both, matrix, (CHIP, CHIP), borderMode=cv2.BORDER_REPLICATE)
    length = int(side)
    both = cv2.resize(both, (length, length), interpolation=cv2.INTER_AREA)
    light = 1 + LIGHT * sin(0.4 * time_s + walker.phase)
    x0, y0 = int(x - side / 2), int(y - side / 2)
    x1, y1 = max(x0, 0), max(y0, 0)
    x2, y2 = min(x0 + length, WIDTH), min(y0 + length, HEIGHT)
    seen = both[y1 - y0 : y2 - y0, x1 - x0 : x2 - x0]
    share = seen[..., 3:] / 255
    part = image[y1:y2, x1:x2]
    part[:] = np.clip(part * (1 - share) + seen[..., :3] * light * share, 0, 255).astype(np.uint8)
    return np.array([x1, y1, x2, y2], np.float32)
