"""What a frame costs with 0 to 64 faces in it, and how much of that the networks take.

    python -m benchmarks.crowd [--rounds N] [--frames N] [--size WxH] [--memory]

One face of the detector's stored picture stands up to 64 times in a picture of 1920x1080 that moves to and fro; the
detector's input is as large for one face as for 64. Every round takes every count once. *usual* is the default schedule
(a network looks again only when its answer may have changed), *every* asks every network of every face in every frame.
The ratio is (time of the frame - time with one face) / (time in the networks for faces - the same with one face): what
a further face costs, over what its networks take of it in the batches that they run in. CPU time of one thread, which
other programs disturb least; decoding left out.

``--memory`` prints instead what Python and numpy hold for a person who is followed: tracemalloc's sum with everybody
followed and answered for, less that of one face, by the others.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median

import msgspec

from edgeface.bundle import find_bundle, open_bundle
from edgeface.cli.common import columns
from edgeface.config import Config, Detector, Runtime, ScheduleChoice
from edgeface.engine.networks import Networks
from edgeface.engine.turn import Worker
from edgeface.offline.bench import TimedRunner
from edgeface.runtime import Runner
from edgeface.runtime.threads import opencv_threads
from edgeface.tuning.scene import crowd, moving, single
from edgeface.types import Image

COUNTS = (0, 1, 2, 4, 8, 16, 32, 64)
SIZE_WH = (1920, 1080)
AT_ONCE = 1e-3
SETTLED = 40
"""Frames before any counts: everybody has been sampled as often as somebody new is."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one frame: milliseconds in all, those in networks for faces, faces followed."""

    frame_ms: float
    faces_ms: float
    tracks: int


class Chain:
    """The pipeline with one schedule."""

    def __init__(self, size: str, *, every: bool) -> None:
        config = Config(runtime=Runtime(threads=1), detector=Detector(size=size))
        self.bundle = open_bundle(find_bundle(None, config, {}))
        self._runners: dict[str, TimedRunner] = {}
        self.networks = Networks(self.bundle, config, wrap=self._wrap)
        choice = ScheduleChoice(interval=AT_ONCE, initial_interval=AT_ONCE)
        given = dict.fromkeys(self.networks.attributes, choice) if every else {}
        self.config = msgspec.structs.replace(config, schedule=given)

    def _wrap(self, name: str, runner: Runner) -> Runner:
        self._runners[name] = TimedRunner(runner)
        return self._runners[name]

    def worker(self) -> Worker:
        """One before whom nobody has been."""
        numbers = count()
        return Worker(self.networks, self.config, ["main"], new_id=lambda: str(next(numbers)), clock=time.perf_counter)

    def measure(self, scene: Image, frames: int) -> Cost:
        """Run the scene from the beginning; the first `SETTLED` frames do not count."""
        worker = self.worker()
        faces = [runner for name, runner in self._runners.items() if name in self.networks.attributes]
        spent_s, tracks = 0.0, 0
        for frame in moving(scene, SETTLED + frames):
            if frame.index == SETTLED:
                for runner in faces:
                    runner.cpu_s = 0.0
            start_s = time.thread_time()
            ((sighting, _),) = worker.process([frame])
            if frame.index >= SETTLED:
                spent_s += time.thread_time() - start_s
                tracks = len(sighting.qualities)
        # Samples come in bursts: what all frames took, not the middle one.
        return Cost(spent_s * 1000 / frames, sum(runner.cpu_s for runner in faces) * 1000 / frames, tracks)


def main(words: Sequence[str] | None = None) -> int:
    """Print a table for each schedule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", default="640x384", help="input of the detector")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="faces")
    parser.add_argument("--memory", action="store_true", help="bytes held for a track")
    args = parser.parse_args(words)
    with opencv_threads(1):
        if args.memory:
            print(f"{_bytes_a_track(Chain(args.size, every=False), max(COUNTS)) / 1024:.1f} KB a track")
            return 0
        for name, every in (("usual", False), ("every", True)):
            _table(name, Chain(args.size, every=every), args.counts, rounds=args.rounds, frames=args.frames)
    return 0


def _bytes_a_track(chain: Chain, most: int) -> float:
    picture = single(chain.bundle, chain.config)
    found = chain.networks.detect(picture, min_score=0.6)
    held: list[tuple[int, int]] = []
    for n in (1, 1, most):  # the first time fills what is kept for all
        scene = crowd(picture, found.boxes[0], n, size_wh=SIZE_WH, most=most)
        tracemalloc.start()
        worker = chain.worker()
        tracks = 0
        for frame in moving(scene, SETTLED):
            ((sighting, _),) = worker.process([frame])
            tracks = len(sighting.tracks)
        del frame, sighting, _
        gc.collect()
        held.append((tracks, tracemalloc.get_traced_memory()[0]))
        tracemalloc.stop()
    (one, least), (many, much) = held[1:]
    return (much - least) / (many - one)


def _table(name: str, chain: Chain, counts: Sequence[int], *, rounds: int, frames: int) -> None:
    picture = single(chain.bundle, chain.config)
    found = chain.networks.detect(picture, min_score=0.6)
    scenes = {n: crowd(picture, found.boxes[0], n, size_wh=SIZE_WH, most=max(COUNTS)) for n in counts}
    costs: dict[int, list[Cost]] = {n: [] for n in counts}
    for _ in range(rounds):
        for n in counts:
            costs[n].append(chain.measure(scenes[n], frames))
    rows = [(f"{name}: faces", "followed", "ms a frame", "in networks", "a further face, ms", "its networks", "ratio")]
    for n in counts:
        frame_ms, faces_ms = (median(getattr(c, key) for c in costs[n]) for key in ("frame_ms", "faces_ms"))
        row = [str(n), str(costs[n][-1].tracks), f"{frame_ms:.2f}", f"{faces_ms:.2f}"]
        if n > 1:
            more = median((b.frame_ms - a.frame_ms) / (n - 1) for a, b in zip(costs[1], costs[n], strict=True))
            least = median((b.faces_ms - a.faces_ms) / (n - 1) for a, b in zip(costs[1], costs[n], strict=True))
            row += [f"{more:.3f}", f"{least:.3f}", f"{more / least:.2f}"]
        rows.append((*row, *("" for _ in range(7 - len(row)))))  # type: ignore[arg-type]
    print(*columns(rows), "", sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
