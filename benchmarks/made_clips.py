"""The clips in which following people is measured: a program beside the source tree makes them, once for each seed.

``make_clip.py`` writes a video and beside it, as JSON, who is where in each frame, and how old; six adults of UTKFace's
validation part, who cross a room, cover each other, leave and come back. It is no part of this project: where it is not
there, there are no clips.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np

from benchmarks.clips import CLIPS
from converters.datasets.labelled import DEFAULT
from edgeface.errors import EdgefaceError
from edgeface.types import F32, Image

MAKER = DEFAULT.parent / "tools" / "make_clip.py"
AGAIN = 100
"""Added to a person's number after a long absence: another visit, and the same person."""


class MadeVisit(msgspec.Struct, frozen=True):
    """One true visit: whose it is, and how old they are in years."""

    person: int
    age: int


class Truth(msgspec.Struct, frozen=True):
    """Who is where: of each frame rows of person, x1, y1, x2, y2 in pixels."""

    visits: list[MadeVisit]
    frames: list[list[tuple[int, float, float, float, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody in a clip."""

    labels: dict[str, str]


@dataclass(frozen=True, kw_only=True, eq=False)
class MadeClip:
    """A clip that lies on the disk, and who is in it."""

    path: Path
    truth: Truth

    @property
    def people(self) -> Sequence[Person]:
        """Everybody who comes in it, by number."""
        ages = {visit.person: visit.age for visit in self.truth.visits}
        return [Person(labels={"age": str(ages[number])}) for number in sorted(ages)]

    def frames(self, fps: float) -> Iterator[tuple[float, Image, list[tuple[int, F32]]]]:
        """Time, picture uint8 (H, W, 3) BGR, and of everybody in it number and box (4,) x1 y1 x2 y2."""
        capture = cv2.VideoCapture(str(self.path))
        try:
            for index, rows in enumerate(self.truth.frames):
                done, image = capture.read()
                if not done:
                    raise EdgefaceError(f"{self.path} has {index} frames", fix="remove it: it is made anew")
                boxes = [(number % AGAIN, np.array(box, np.float32)) for number, *box in rows]
                yield index / fps, image.astype(np.uint8, copy=False), boxes
        finally:
            capture.release()


def make_clip(maker: Path, data: Path, *, seed: int, fps: float, folder: Path = CLIPS, small: bool = False) -> MadeClip:
    """The clip of a seed, made where it is not yet there; ``small``: with faces of 20 to 110 pixels.

    Raises
    ------
    EdgefaceError : the program fails
    """
    path = folder / f"made-{'small-' if small else ''}{seed}-{fps:g}.mp4"
    if not path.with_suffix(".json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        words = ["--data", data, "--out", path, "--seed", seed, "--fps", fps, *(["--small"] if small else [])]
        made = subprocess.run(
            [sys.executable, str(maker), *map(str, words)], capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise EdgefaceError(f"{maker} failed: {(made.stderr.splitlines() or ['?'])[-1]}", fix="see its --help")
    return MadeClip(path=path, truth=msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=Truth))
