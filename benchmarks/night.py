"""How many faces the detector alone finds in bad light: made clips darkened in several ways, as they are and brighter.

    python -m benchmarks.night CLIP.mp4... [--every N] [--only NAME,...]

Beside each clip lies the truth that its maker has written, as for `benchmarks.following`. Of every N-th frame a picture
is made in each light, with the noise of a sensor, and searched once at 320x192; printed are the share of the faces that
were found and, in brackets, how many were found where there is none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np

from benchmarks.following import OVERLAP, truth_of
from converters.paths import BUNDLE
from edgeface.bundle import open_bundle
from edgeface.config import Config, Detector, Runtime
from edgeface.detect.exposure import exposure_of
from edgeface.engine.networks import Networks
from edgeface.errors import run_command
from edgeface.geometry import iou
from edgeface.runtime.threads import opencv_threads
from edgeface.tuning.scene import EPOCH
from edgeface.types import F32, Frame, Image

SIZE = "320x192"
DIM = 0.03
"""Light that is left where an infrared lamp does not reach."""
Light = Callable[[int, int, F32], F32]
"""Height, width and boxes (N, 4) of all faces give the share of the light in each pixel, (height, width)."""


def evenly(share: float) -> Light:
    """The same everywhere."""
    return lambda height, width, _: np.full((height, width), share, np.float32)


def infrared(height: int, width: int, boxes: F32) -> F32:
    """Who is near is lit, and nothing behind."""
    light = np.full((height, width), DIM, np.float32)
    for x1, y1, x2, y2 in boxes.tolist():
        middle, half = (round((x1 + x2) / 2), round((y1 + y2) / 2)), (round(x2 - x1), round(y2 - y1))
        cv2.ellipse(light, middle, half, 0, 0, 360, 1.1, -1)
    return np.asarray(cv2.GaussianBlur(light, (0, 0), 8), np.float32)


def cone(height: int, width: int, _: F32) -> F32:
    """A lamp's cone in the middle."""
    down, across = np.mgrid[:height, :width].astype(np.float32)
    off = np.hypot(across / width - 0.5, down / height - 0.5)
    return np.asarray(1.2 * np.exp(-((off / 0.22) ** 2)) + 0.04, np.float32)


def half(height: int, width: int, _: F32) -> F32:
    """The left half is dark."""
    light = np.ones((height, width), np.float32)
    light[:, : width // 2] = 0.1
    return light


def bars(height: int, width: int, _: F32) -> F32:
    """A telephone's upright video between black bars."""
    light, side = np.zeros((height, width), np.float32), (width - height * 9 // 16) // 2
    light[:, side : width - side] = 1
    return light


def seen_between_bars(picture: Image, boxes: F32) -> F32:
    """Those of the boxes (N, 4) that are wholly between the bars of a picture."""
    lit = np.flatnonzero(picture.any(axis=(0, 2)))
    kept: F32 = boxes[(boxes[:, 0] > lit[0]) & (boxes[:, 2] < lit[-1])]
    return kept


LIGHTS: Mapping[str, tuple[Light, float, bool]] = {
    "day": (evenly(1), 0, False),
    "dim": (evenly(0.55), 3, False),
    "evening": (evenly(0.35), 6, False),
    "night": (evenly(0.2), 8, False),
    "night-grey": (evenly(0.2), 8, True),
    "dark": (evenly(0.05), 4, False),
    "infrared": (infrared, 4, True),
    "cone": (cone, 5, False),
    "half": (half, 5, False),
    "bars": (bars, 0, False),
}
"""Light, deviation of the noise in levels, and whether colours are gone."""


def photographed(image: Image, boxes: F32, name: str) -> Image:
    """A frame in another light."""
    light, noise, grey = LIGHTS[name]
    if grey:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    share = light(image.shape[0], image.shape[1], boxes)
    dark = cv2.multiply(image, cv2.merge([share, share, share]), dtype=cv2.CV_16S)
    if noise:
        dark = cv2.add(dark, cv2.randn(np.zeros(image.shape, np.int16), 0, noise))
    taken: Image = np.clip(dark, 0, 255).astype(np.uint8)
    return taken


def score(clips: Sequence[Path], names: Sequence[str], every: int) -> dict[tuple[str, bool], list[int]]:
    """Faces, found ones and false ones by light and by whether dark parts are made brighter."""
    config = Config(detector=Detector(size=SIZE), runtime=Runtime(threads=1))
    loaded = Networks(open_bundle(BUNDLE), config)
    counts = {(name, brighter): [0, 0, 0] for name in names for brighter in (False, True)}
    for clip in clips:
        truth, capture = truth_of(clip), cv2.VideoCapture(str(clip))
        for index, faces, hidden in zip(count(), truth["frames"], truth["hidden"], strict=False):
            done, image = capture.read()
            if not done or index % every:
                continue
            boxes = np.array([row[1:] for row in faces], np.float32).reshape(-1, 4)
            anybody = np.array([row[1:] for row in [*faces, *hidden]], np.float32).reshape(-1, 4)
            for name in names:
                picture = photographed(np.asarray(image, np.uint8), boxes, name)
                frame = Frame(image=picture, camera="main", index=index, time_s=0.0, captured_at=EPOCH)
                wanted = seen_between_bars(picture, boxes) if name == "bars" else boxes
                for brighter in (False, True):
                    with patch("edgeface.engine.networks.exposure_of", exposure_of if brighter else lambda _: None):
                        found = loaded.search(frame, min_score=config.detector.score).boxes
                    counted = counts[name, brighter]
                    counted[0] += len(wanted)
                    counted[1] += int((iou(wanted, found) >= OVERLAP).any(axis=1).sum()) if len(found) else 0
                    counted[2] += int((~(iou(found, anybody) >= OVERLAP).any(axis=1)).sum()) if len(found) else 0
    return counts


def main() -> int:
    """Print a line for each light."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=16)
    parser.add_argument("--only", default=",".join(LIGHTS))
    asked = parser.parse_args()
    cv2.setRNGSeed(1)
    names = asked.only.split(",")
    if unknown := set(names) - set(LIGHTS):
        parser.error(f"--only: no light is called {', '.join(sorted(unknown))}; there are {', '.join(LIGHTS)}")
    with opencv_threads(1):
        counts = score(asked.clips, names, asked.every)
    for name in names:
        of, dark, false = counts[name, False]
        _, bright, more_false = counts[name, True]
        shares = f"as it is {dark / max(1, of):.3f} ({false}), brighter {bright / max(1, of):.3f} ({more_false})"
        print(f"{name}: {shares}; {of} faces")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
