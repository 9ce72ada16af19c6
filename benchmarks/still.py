"""What a scene costs in which nothing moves: the share of one core, decoding included.

    python -m benchmarks.still [--seconds N] [--program]

A clip is made: the detector's stored picture, in which somebody sits, on a wall, 640x360 at 15 frames a second, with
noise of deviation 3 in each pixel (MPEG-4). Printed are milliseconds a frame of decoding and of all that comes after,
CPU time of one thread as fast as it goes, from the seventh second on, and the share of a core at the clip's pace.

``--program``: the whole of ``edgeface run`` instead, at that pace and with a Mosquitto of its own; user and system time
of the process, from the thirteenth second on. A core that sleeps between frames wakes with cold caches: the same work
costs more.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from benchmarks.events import broker
from edgeface.bundle import find_bundle, open_bundle
from edgeface.config import Config, Runtime
from edgeface.engine.networks import Networks
from edgeface.engine.turn import Worker
from edgeface.runtime.threads import opencv_threads
from edgeface.tuning.scene import EPOCH, SMALL_WH, single
from edgeface.types import Frame

FPS = 15
NOISE = 3.0
HEAD_HEIGHT = 180
SETTLED_S = 6.0
START_S = 6.0
"""The program starts for so long, at most."""


def make_clip(path: Path, seconds: float) -> None:
    """Write the clip."""
    config = Config()
    picture = single(open_bundle(find_bundle(None, config, {})), config)
    rng = np.random.default_rng(1)
    wall = cv2.resize(rng.integers(60, 190, (12, 20, 3), np.uint8), SMALL_WH, interpolation=cv2.INTER_CUBIC)
    head = cv2.resize(
        picture, (picture.shape[1] * HEAD_HEIGHT // picture.shape[0], HEAD_HEIGHT), interpolation=cv2.INTER_AREA
    )
    left, top = (SMALL_WH[0] - head.shape[1]) // 2, (SMALL_WH[1] - HEAD_HEIGHT) // 2
    wall[top : top + HEAD_HEIGHT, left : left + head.shape[1]] = head
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SMALL_WH)
    for _ in range(round(seconds * FPS)):
        noise = rng.normal(0, NOISE, wall.shape).astype(np.float32)
        writer.write(np.clip(wall + noise, 0, 255).astype(np.uint8))
    writer.release()


def in_process(path: Path) -> tuple[float, float, float]:
    """Milliseconds a frame of decoding, and of all after it; share of the frames that were not searched."""
    config = Config(runtime=Runtime(threads=1))
    networks, numbers = Networks(open_bundle(find_bundle(None, config, {})), config), count()
    worker = Worker(networks, config, ["main"], new_id=lambda: str(next(numbers)), clock=time.perf_counter)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    decoding_s = working_s = 0.0
    for index in count():
        begun_s = time.thread_time()
        done, image = capture.read()
        if not done:
            break
        decoded_s = time.thread_time()
        pixels = image.astype(np.uint8, copy=False)
        worker.process([Frame(image=pixels, camera="main", index=index, time_s=index / FPS, captured_at=EPOCH)])
        if index >= SETTLED_S * FPS:
            decoding_s += decoded_s - begun_s
            working_s += time.thread_time() - decoded_s
    counted = index - SETTLED_S * FPS
    return decoding_s * 1000 / counted, working_s * 1000 / counted, worker.rested("main") or 0.0


def program(path: Path, seconds: float) -> float:
    """Share of a core that the whole program takes."""
    with broker() as port, tempfile.TemporaryDirectory() as state:
        config = Path(state, "still.toml")
        config.write_text(f'mqtt.port = {port}\n[cameras.main]\nsource = "{path}"\npace = "realtime"\n', "utf-8")
        command = [sys.executable, "-m", "edgeface", "run", "--config", str(config)]
        environ = {**os.environ, "XDG_STATE_HOME": state}
        with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as child:
            time.sleep(START_S + SETTLED_S)
            before_s, begun_s = _spent_s(child.pid), time.monotonic()
            time.sleep(seconds)
            share = (_spent_s(child.pid) - before_s) / (time.monotonic() - begun_s)
            child.terminate()
    return share


def _spent_s(pid: int) -> float:
    """CPU time of all threads of a process; the kernel counts it in nanoseconds."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def main(words: Sequence[str] | None = None) -> int:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40.0, help="that count")
    parser.add_argument("--program", action="store_true", help="the whole of edgeface run")
    args = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder, opencv_threads(1):
        path = Path(folder, "still.mp4")
        make_clip(path, args.seconds + SETTLED_S + (2 * START_S if args.program else 0.0))
        if args.program:
            print(f"{program(path, args.seconds):.1%} of a core")
            return 0
        decoding_ms, working_ms, rested = in_process(path)
    print(
        f"decoding {decoding_ms:.2f} ms a frame, the rest {working_ms:.2f}: "
        f"{(decoding_ms + working_ms) * FPS / 1000:.1%} of a core; {rested:.0%} of the frames rested"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
