"""Who is followed, and for how long: made clips of known people through `analyze`, beside ByteTrack on its detections.

    python -m benchmarks.following CLIP.mp4... [--spoil shake|night|off|lamp|infrared] [--runtime auto|onnx|litert]
                                    [--no-motion]
    python -m benchmarks.following --make PATH/make_clip.py --seeds 1-6 --fps 10,5 [--small] [--data DIR]

Beside each clip lies the truth that the maker of clips has written (JSON: `frames`, boxes with a person's number;
`hidden`, those of people whom others cover; `visits`). Prints IDF1 (Ristani et al. 2016), identity switches (Bernardin,
Stiefelhagen 2008), visits off, the share of faces found and of found ones that are nobody's, how many frames rested,
and the share found by height.

ByteTrack is that of supervision 0.26.1, which is not installed with anything here: without it, its rows are left out
with a word. It gets every face that the detector found in the frame, whichever pass did; frames that rested have none.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from benchmarks.made_clips import make_clip
from converters.datasets.labelled import data_folder
from converters.paths import BUNDLE
from edgeface.bundle import open_bundle
from edgeface.config import Config, Detector, Runtime
from edgeface.engine.networks import Networks
from edgeface.engine.search import QUICK, Plan
from edgeface.errors import UsageError, run_command
from edgeface.geometry import iou
from edgeface.offline.analyze import VideoAnalysis
from edgeface.types import F32, Detections, Frame, Image

SUPERVISION = "0.26.1"
OVERLAP = 0.3
"""Least intersection over union of a face and the box that it has in truth."""
NEVER = 1e3
SHAKE_PX, DARK, NOISE = 3, 0.2, 8.0
"""A camera in the wind: so many pixels each way from picture to picture; at night: the light that is left, and the
deviation of its noise in levels."""
SWITCHED = {"off": ((0.15, 0.15, 0.15), 6.0), "lamp": ((0.35, 0.55, 0.75), 5.0), "infrared": ((0.7, 0.7, 0.7), 6.0)}
"""A lamp goes out, another one is lit, a camera goes over to infrared, which has no colours: the light that is left in
blue, green and red, and the deviation of the noise. Each lasts `SWITCH_S`, as what was before does then."""
SWITCH_S = 5.0
SPOILS = ("shake", "night", *SWITCHED)
LEAST_S = 0.3
"""ByteTrack's tracks that last so long count as visits, as ours do (`visits.confirm`)."""


Fits = npt.NDArray[np.bool_]
"""Whether a box in truth (row) and a face that was found (column) are at the same place."""


class Named(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Faces of one frame: boxes float32 (N, 4), and whose each is said to be; None: nobody's yet."""

    boxes: F32
    names: Sequence[str | None]


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """What following came to in one clip; ``found`` and ``of`` by tens of pixels of a face's height."""

    idf1: float
    switches: int
    visits: int
    due: int
    recall: float
    false: float
    rested: float
    found: Mapping[int, int]
    of: Mapping[int, int]


class Recording(Networks):
    """Networks that keep what was found in each frame."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.found: dict[int, tuple[float, Detections]] = {}

    def search(self, frame: Frame, plan: Plan = QUICK, *, min_score: float) -> Detections:
        """Find the faces of a frame, and remember them."""
        found = super().search(frame, plan, min_score=min_score)
        self.found[frame.index] = frame.time_s, found
        return found


def follow(clip: Path, networks: Recording, config: Config) -> tuple[list[Named], int, float]:
    """Faces by frame as `analyze --json` names them, number of visits, and the share of frames that rested."""
    networks.found.clear()
    video = VideoAnalysis(clip, networks, config)
    told = [analysis for _, _, ready in video.frames() for analysis in ready]
    told += video.close()
    named = [
        Named(
            boxes=np.array([face.box for face in one.faces], np.float32).reshape(-1, 4),
            names=[face.visit for face in one.faces],
        )
        for one in told
    ]
    return named, len(video.visits), 1 - len(networks.found) / max(1, len(named))


def bytetrack(found: Mapping[int, tuple[float, Detections]], frames: int, fps: float) -> tuple[list[Named], int]:
    """The same of supervision's ByteTrack, with a buffer of two seconds; what the detector found is what it sees."""
    supervision = importlib.import_module("supervision")
    tracker = supervision.ByteTrack(
        frame_rate=max(1, round(fps)), track_activation_threshold=Config().detector.score, lost_track_buffer=60
    )
    named: list[Named] = []
    times: defaultdict[str, list[float]] = defaultdict(list)
    for index in range(frames):
        time_s, seen = found.get(index, (index / fps, None))
        boxes = np.zeros((0, 4)) if seen is None else seen.boxes.astype(float)
        scores = np.zeros(0) if seen is None else seen.scores.astype(float)
        given = supervision.Detections(xyxy=boxes, confidence=scores, class_id=np.zeros(len(boxes), int))
        told = tracker.update_with_detections(given)
        names = [str(name) for name in told.tracker_id]
        for name in names:
            times[name].append(time_s)
        named.append(Named(boxes=told.xyxy.astype(np.float32).reshape(-1, 4), names=names))
    return named, sum(seen_s[-1] - seen_s[0] >= LEAST_S for seen_s in times.values())


def judge(truth: Mapping[str, Any], named: Sequence[Named], visits: int, rested: float) -> Score:
    """Hold what was named against the truth; a face that others cover counts neither way."""
    pairs: Counter[tuple[int, str]] = Counter()
    last: dict[int, str] = {}
    there = told = hits = switches = 0
    of: Counter[int] = Counter()
    found: Counter[int] = Counter()
    for boxes, hidden, one in zip(truth["frames"], truth["hidden"], named, strict=False):
        kept, names = _counted(one, _boxes(boxes), _boxes(hidden))
        share: Fits = iou(_boxes(boxes), kept) >= OVERLAP
        there, told = there + len(boxes), told + len(names)
        for row, (person, *box) in enumerate(boxes):
            height = int((box[3] - box[1]) // 10) * 10
            of[height] += 1
            found[height] += bool(share[row].any())
            pairs.update((person, name) for column, name in enumerate(names) if share[row, column])
        for row, column in _matched(boxes, names, share, last):
            person, name = boxes[row][0], names[column]
            switches += last.get(person, name) != name
            last[person] = name
            hits += 1
    return Score(
        idf1=2 * _agreed(pairs) / max(1, there + told),
        switches=switches,
        visits=visits,
        due=len(truth["visits"]),
        recall=hits / max(1, there),
        false=1 - hits / max(1, told),
        rested=rested,
        found=found,
        of=of,
    )


def _boxes(rows: Sequence[Sequence[float]]) -> F32:
    return np.array([row[1:] for row in rows], np.float32).reshape(-1, 4)


def _counted(one: Named, boxes: F32, hidden: F32) -> tuple[F32, list[str]]:
    """Faces with a name, but for those that are where somebody is covered and nobody else is."""
    rows = [row for row, name in enumerate(one.names) if name is not None]
    faces = one.boxes[rows]
    shown, covered = (np.any(iou(faces, others) >= OVERLAP, axis=1) for others in (boxes, hidden))
    kept = [row for place, row in enumerate(rows) if shown[place] or not covered[place]]
    return one.boxes[kept], [str(one.names[row]) for row in kept]


def _matched(
    boxes: Sequence[Sequence[float]], names: Sequence[str], share: Fits, last: Mapping[int, str]
) -> list[tuple[int, int]]:
    """Pairs of a person and a face in one frame; who had a name before keeps it where that is possible."""
    if not share.size:
        return []
    costs = np.where(share, 1.0, NEVER)
    for row, box in enumerate(boxes):
        for column, name in enumerate(names):
            if share[row, column] and last.get(int(box[0])) == name:
                costs[row, column] = 0.0
    rows, columns = linear_sum_assignment(costs)
    return [(r, c) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if costs[r, c] < NEVER]


def _agreed(pairs: Mapping[tuple[int, str], int]) -> int:
    """Faces with the right name, by the best assignment of names to people."""
    people, names = sorted({person for person, _ in pairs}), sorted({name for _, name in pairs})
    counts = np.array([[pairs.get((person, name), 0) for name in names] for person in people])
    return int(counts[linear_sum_assignment(-counts)].sum()) if counts.size else 0


@contextmanager
def spoiled(clip: Path, kind: str | None) -> Iterator[Path]:
    """The clip, or one that was taken by a shaking camera, at night, or while lamps were switched."""
    if kind is None:
        yield clip
        return
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / clip.name
        capture = cv2.VideoCapture(str(clip))
        fps = capture.get(cv2.CAP_PROP_FPS)
        writer: cv2.VideoWriter | None = None
        for index in count():
            done, image = capture.read()
            if not done:
                break
            if writer is None:
                size = (image.shape[1], image.shape[0])
                writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
            writer.write(_spoil(np.asarray(image, np.uint8), kind, rng, index / fps))
        if writer is not None:
            writer.release()
        yield path


def _spoil(image: Image, kind: str, rng: np.random.Generator, time_s: float) -> Image:
    if kind == "shake":
        right, down = rng.integers(-SHAKE_PX, SHAKE_PX + 1, 2).tolist()
        move = np.array([[1, 0, right], [0, 1, down]], np.float32)
        size = (image.shape[1], image.shape[0])
        return np.asarray(cv2.warpAffine(image, move, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)
    light, deviation = SWITCHED.get(kind, ((DARK, DARK, DARK), NOISE))
    if kind in SWITCHED and time_s // SWITCH_S % 2 == 0:
        return image
    noise = rng.standard_normal(image.shape, np.float32) * deviation
    if kind == "infrared":
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
        noise = noise[..., :1]
    taken: Image = np.clip(image * np.array(light, np.float32) + noise, 0, 255).astype(np.uint8)
    return taken


def told(who: str, scores: Sequence[Score]) -> str:
    """Means of some clips in one line."""
    rows = [(s.idf1, s.switches, abs(s.visits - s.due), s.recall, s.false, s.rested) for s in scores]
    idf1, switches, off, recall, false, rested = np.mean(rows, axis=0).tolist()
    return (
        f"{who}: IDF1 {idf1:.3f}, {switches:.2f} switches and visits off by {off:.2f} a clip; found {recall:.3f}, "
        f"nobody's {false:.4f}, rested {rested:.3f}; {len(scores)} clips"
    )


def heights(scores: Sequence[Score]) -> str:
    """Share of the faces that were found, by height of the box in pixels."""
    of: Counter[int] = Counter()
    found: Counter[int] = Counter()
    for score in scores:
        of.update(score.of)
        found.update(score.found)
    return ", ".join(f"{low}-{low + 9} px {found[low] / of[low]:.2f} of {of[low]}" for low in sorted(of))


def made(tool: Path, data: Path, seeds: str, rates: str, folder: Path, *, small: bool) -> Iterator[Path]:
    """Clips that are made one by one, and go with the folder."""
    first, last = (int(seed) for seed in seeds.split("-"))
    for fps in rates.split(","):
        for seed in range(first, last + 1):
            path = make_clip(tool, data, seed=seed, fps=float(fps), folder=folder, small=small).path
            yield path
            path.unlink()


def truth_of(clip: Path) -> dict[str, Any]:
    """Who is where, as its maker wrote it beside a clip."""
    path = clip.with_suffix(".json")
    if not (clip.is_file() and path.is_file()):
        raise UsageError(f"{clip} is no clip with {path.name} beside it", fix="give clips of make_clip.py, or --make")
    truth: dict[str, Any] = json.loads(path.read_text())
    return truth


def main() -> int:
    """Score clips, and print means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--make", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--seeds", default="1-6")
    parser.add_argument("--fps", default="10,5")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--spoil", choices=SPOILS)
    parser.add_argument("--runtime", choices=["auto", "onnx", "litert"], default="auto")
    parser.add_argument("--no-motion", action="store_true")
    asked = parser.parse_args()
    if not asked.clips and (asked.make is None or not asked.make.is_file()):
        print("skipped: no clips, and nothing that makes them (--make)")
        return 0
    peer = importlib.util.find_spec("supervision") is not None
    if not peer:
        print(f"ByteTrack is skipped: supervision {SUPERVISION} is not installed")
    config = Config(runtime=Runtime(name=asked.runtime, threads=1), detector=Detector(motion=not asked.no_motion))
    networks = Recording(open_bundle(BUNDLE), config)
    ours: list[Score] = []
    peers: list[Score] = []
    with TemporaryDirectory() as folder:
        clips: Iterator[Path] = iter(asked.clips)
        if not asked.clips:
            data = data_folder(asked.data)
            clips = made(asked.make, data, asked.seeds, asked.fps, Path(folder), small=asked.small)
        for clip in clips:
            truth = truth_of(clip)
            with spoiled(clip, asked.spoil) as path:
                named, visits, rested = follow(path, networks, config)
            ours.append(judge(truth, named, visits, rested))
            print(told(f"{clip.name}, edgeface", ours[-1:]), flush=True)
            if peer:
                named, visits = bytetrack(networks.found, len(named), truth["fps"])
                peers.append(judge(truth, named, visits, rested))
                print(told(f"{clip.name}, ByteTrack", peers[-1:]), flush=True)
    print(told("edgeface", ours))
    if peers:
        print(told("ByteTrack", peers))
    print("found by height: " + heights(ours))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
