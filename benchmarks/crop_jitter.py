"""How steady the detector's five points are: one face, its picture changed a little, the crop's scale, shift and turn.

Each chip of a labelled set is padded as in evaluation and found by the default bundle's detector; then copies of it,
scaled, shifted by part of a pixel, with noise and compressed, as the frames of a video differ. The similarity that the
points of a copy ask for, beside that of the original, is the jitter of the crop: of its size in percent, of its middle
in percent of its side, of its turn in degrees.

    python -m benchmarks.crop_jitter [--data DIR] [--set fairface] [--part val] [--faces N] [--side PX] [--json]

Both crops err, so the deviation that is printed is that of one crop times the square root of two.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from converters.datasets.labelled import data_folder
from converters.datasets.layouts import find_faces
from converters.evaluation.subject import Finder, padded
from converters.paths import BUNDLE
from converters.recipes.reading import read_network
from edgeface.bundle import LandmarkCrop, open_bundle
from edgeface.errors import UsageError
from edgeface.geometry import shrink, similarity
from edgeface.types import F32, Image

F64 = npt.NDArray[np.float64]
Copy = tuple[Image, F64]
"""A changed picture, and where a point of the original went: float64 (2, 3)."""
SCALES, SHIFT_PX = (0.5, 1.5), 1.0
GOOD, BAD = (2.0, 85), (8.0, 50)
"""Noise in levels and quality of JPEG of a camera in good light, and of one in bad."""
FIGURES = ("scale, %", "right, %", "down, %", "turn, degrees")


def scaled(image: Image, rng: np.random.Generator) -> Copy:
    """Half to one and a half times as large."""
    factor = float(np.exp(rng.uniform(*np.log(SCALES))))
    height, width = image.shape[:2]
    size = (round(width * factor), round(height * factor))
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=kind), np.array([[size[0] / width, 0, 0], [0, size[1] / height, 0]])


def shifted(image: Image, rng: np.random.Generator) -> Copy:
    """Shifted by up to a pixel in x and y."""
    matrix = np.array([[1, 0, rng.uniform(0, SHIFT_PX)], [0, 1, rng.uniform(0, SHIFT_PX)]])
    size = image.shape[1::-1]
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), matrix


def noisy(image: Image, rng: np.random.Generator, levels: float = BAD[0]) -> Copy:
    """With noise."""
    return np.clip(np.rint(image + rng.normal(0, levels, image.shape)), 0, 255).astype(np.uint8), np.eye(2, 3)


def compressed(image: Image, rng: np.random.Generator, quality: int = BAD[1]) -> Copy:  # noqa: ARG001 - as the others
    """As JPEG."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    read = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert read is not None
    return read, np.eye(2, 3)


def video(image: Image, rng: np.random.Generator, camera: tuple[float, int] = BAD) -> Copy:
    """Shifted, with noise and compressed: the next frame of somebody who sits still."""
    moved, matrix = shifted(image, rng)
    return compressed(noisy(moved, rng, camera[0])[0], rng, camera[1])[0], matrix


def everything(image: Image, rng: np.random.Generator) -> Copy:
    """Scaled and then as in a video."""
    small, first = scaled(image, rng)
    changed, then = video(small, rng)
    return changed, np.concatenate([then[:, :2] @ first[:, :2], (then[:, :2] @ first[:, 2] + then[:, 2])[:, None]], 1)


CHANGES: Mapping[str, Callable[[Image, np.random.Generator], Copy]] = {
    "scaled by 0.5 to 1.5": scaled,
    "shifted by up to a pixel": shifted,
    "noise of 8 levels": noisy,
    "JPEG of quality 50": compressed,
    "next frame, good light": partial(video, camera=GOOD),
    "next frame, bad light": video,
    "scaled, then bad light": everything,
}


def _matrix(points: F32, target: F32) -> F64:
    a, b, right, down = similarity(points.tolist(), target.tolist())
    return np.array([[a, -b, right], [b, a, down]])


def jitter(before: F32, after: F32, moved: F64, target: F32) -> tuple[float, float, float, float]:
    """How a copy's crop lies beside the original's: size in percent, right and down in percent of it, degrees."""
    expected = (before @ moved[:, :2].T + moved[:, 2]).astype(np.float32)
    first, second = _matrix(expected, target), _matrix(after, target)
    # From the first crop's unit square to the second's.
    back = cv2.invertAffineTransform(first)
    linear = second[:, :2] @ back[:, :2]
    middle = second[:, :2] @ (back[:, :2] @ np.array([0.5, 0.5]) + back[:, 2]) + second[:, 2] - 0.5
    size = float(np.hypot(linear[0, 0], linear[1, 0]))
    turn = float(np.degrees(np.arctan2(linear[1, 0], linear[0, 0])))
    return 100 * (size - 1), 100 * float(middle[0]), 100 * float(middle[1]), turn


def measure(
    args: argparse.Namespace, target: F32
) -> tuple[Mapping[str, list[tuple[float, float, float, float]]], Mapping[str, int], float]:
    """By kind of copy what was measured, and how often the copy's face was lost; the median height of the faces."""
    finder, rng = Finder(open_bundle(BUNDLE), threads=1), np.random.default_rng(0)
    rows: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in CHANGES}
    lost = dict.fromkeys(CHANGES, 0)
    heights = []
    (faces,) = find_faces(data_folder(args.data), [args.set], part=args.part)
    for chip in tqdm(faces.read(args.faces), total=args.faces, unit="face", disable=None, leave=False):
        image = padded(shrink(chip.image, (args.side, args.side)))
        face = finder.face(image)
        if face is None or face[1] is None:
            continue
        heights.append(float(face[0][3] - face[0][1]))
        for name, change in CHANGES.items():
            copy, moved = change(image, rng)
            again = finder.face(copy)
            if again is None or again[1] is None:
                lost[name] += 1
            else:
                rows[name].append(jitter(face[1], again[1], moved, target))
    return rows, lost, float(np.median(heights))


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data")
    parser.add_argument("--set", default="fairface", choices=("fairface", "utkface"))
    parser.add_argument("--part", default="val")
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--side", type=int, default=128, help="chips are brought to this side, before they are padded")
    parser.add_argument("--network", default="age-v1", help="whose crop rule counts")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rule = read_network(args.network)[1].input.crop
    if not isinstance(rule, LandmarkCrop):
        raise UsageError(f"{args.network} is not cut by landmarks", fix="name a network that is")
    target = ((np.array(rule.template) + rule.padding) / (1 + 2 * rule.padding)).astype(np.float32)
    rows, lost, height = measure(args, target)
    found = {name: np.array(of_kind) for name, of_kind in rows.items() if of_kind}
    deviations = {name: array.std(axis=0).round(2).tolist() for name, array in found.items()}
    most = {name: np.percentile(np.abs(array), 95, axis=0).round(2).tolist() for name, array in found.items()}
    if args.json:
        print(json.dumps({"face_px": height, "columns": FIGURES, "deviation": deviations, "95 in 100": most}))
        return
    print(f"{args.set} {args.part}, faces of {height:.0f} pixels (median)\n")
    print(f"| copy | faces (lost) | {' | '.join(FIGURES)} |\n{'|---' * (2 + len(FIGURES))}|")
    for name, array in found.items():
        cells = (
            f"{one:.1f} ({ninety_five:.1f})" for one, ninety_five in zip(deviations[name], most[name], strict=True)
        )
        print(f"| {name} | {len(array)} ({lost[name]}) | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
