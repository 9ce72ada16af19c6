"""How fast it is here, and where the time goes: the daemon's own rooms, without a broker.

Two runs. The *speed* run has the default threads and gives frames a second and milliseconds per stage. The *share* run
has one decoder thread and one thread per network, where thread clocks are complete, and gives the share of the
process's CPU time that is neither decoding nor inference:

    (process CPU - reader thread's - calling thread's inside ``Runner.run``) / process CPU, first to last frame.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from edgeface.bundle import Bundle
from edgeface.config import Camera, Config
from edgeface.engine.networks import Networks
from edgeface.engine.turn import Worker
from edgeface.errors import EdgefaceError, SourceError
from edgeface.machine import peak_mb, processor
from edgeface.runtime import Runner, RunnerWrapper
from edgeface.runtime.providers import ON_PROCESSOR, Provider
from edgeface.runtime.threads import opencv_threads
from edgeface.service.inbox import Ended, Feed, Inbox
from edgeface.sources import open_source
from edgeface.tuning import with_threads
from edgeface.tuning.scene import EPOCH, moving, single
from edgeface.types import F32, Frame

logger = logging.getLogger(__name__)

SYNTHETIC_FRAMES = 300


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds per frame of one stage."""

    median_ms: float
    p95_ms: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `edgeface bench --json` prints; owners of boards can send it."""

    source: str
    frames: int
    width: int
    height: int
    detector: str
    size: str
    runtime: str
    provider: str
    threads: int
    fps: float
    stages: dict[str, Stage]
    memory_mb: float | None
    outside_share: float
    outside_by: dict[str, float]
    machine: dict[str, str]


class TimedRunner(RunnerWrapper):
    """A runner that adds up the calling thread's CPU time and the wall time of its calls."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        self.cpu_s = 0.0
        self.wall_ms: list[float] = []

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        """Run and measure."""
        wall_s, cpu_s = time.perf_counter(), time.thread_time()
        outputs = super().run(batch, states)
        self.cpu_s += time.thread_time() - cpu_s
        self.wall_ms.append((time.perf_counter() - wall_s) * 1000)
        return outputs


@dataclass
class _Run:
    """What one run measured."""

    frames: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    reader_s: float = 0.0
    runners_s: float = 0.0
    image_wh: tuple[int, int] = (0, 0)
    stages_ms: dict[str, Sequence[float]] = field(default_factory=dict)
    size: str = ""
    threads: int = 0


def measure(
    bundle: Bundle,
    config: Config,
    source: Path | None,
    *,
    frames: int = SYNTHETIC_FRAMES,
    provider: Provider = ON_PROCESSOR,
) -> Report:
    """Run twice and report.

    Parameters
    ----------
    source : a file, or None for a synthetic moving picture made of the bundle's stored inputs
    frames : how many that one has
    provider : what the networks compute on

    Raises
    ------
    SourceError : the file cannot be read
    EdgefaceError : it gives fewer than two frames
    """

    def read(decoder_threads: int | None) -> Iterator[Frame]:
        if source is None:
            return moving(single(bundle, config), frames)
        return _file(source, config, decoder_threads)

    runners: dict[str, TimedRunner] = {}
    speed = _run(bundle, config, read(None), runners, provider)
    stages = dict(speed.stages_ms) | {f"network {name}": runner.wall_ms for name, runner in runners.items()}
    memory_mb = peak_mb()
    share_runners: dict[str, TimedRunner] = {}
    share = _run(bundle, with_threads(config, 1), read(1), share_runners, provider)
    detector = bundle.network(config.detector.network or bundle.manifest.defaults["detect"])
    outside_s = share.cpu_s - share.reader_s - share.runners_s
    return Report(
        source=str(source) if source else "synthetic",
        frames=speed.frames,
        width=speed.image_wh[0],
        height=speed.image_wh[1],
        detector=detector.name,
        size=speed.size,
        runtime=next(iter(runners.values())).file.runtime,
        provider=next(iter(runners.values())).provider,
        threads=speed.threads,
        fps=round((speed.frames - 1) / speed.wall_s, 1),
        stages={name: _stage(samples) for name, samples in stages.items() if len(samples)},
        memory_mb=memory_mb,
        outside_share=round(outside_s / share.cpu_s, 4),
        outside_by={
            "decode": round(share.reader_s / share.cpu_s, 4),
            "inference": round(share.runners_s / share.cpu_s, 4),
        },
        machine={
            "processor": processor(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
    )


def _run(
    bundle: Bundle, config: Config, frames: Iterator[Frame], runners: dict[str, TimedRunner], provider: Provider
) -> _Run:
    def wrap(name: str, runner: Runner) -> Runner:
        runners[name] = TimedRunner(runner)
        return runners[name]

    networks = Networks(bundle, config, wrap=wrap, provider=provider)
    networks.verify(bundle)
    with opencv_threads(networks.threads):
        return _timed(networks, config, frames, runners)


def _timed(networks: Networks, config: Config, frames: Iterator[Frame], runners: Mapping[str, TimedRunner]) -> _Run:
    numbers = iter(range(1 << 62))
    worker = Worker(networks, config, ["main"], new_id=lambda: str(next(numbers)), clock=time.perf_counter)
    inbox = Inbox()
    reader = TimedReader(frames, inbox.feed("main"))
    result = _Run(threads=networks.threads)
    reader.start()
    start_s = start_cpu_s = start_reader_s = last_s = 0.0
    while True:
        for item in inbox.take(timeout_s=1.0):
            if isinstance(item, Ended):
                result.wall_s = last_s - start_s
                result.cpu_s = time.process_time() - start_cpu_s
                result.reader_s = reader.cpu_s - start_reader_s
                result.runners_s = sum(runner.cpu_s for runner in runners.values())
                result.stages_ms = {**worker.stages.samples_ms(), "decode": reader.wall_ms}
                if item.error is not None:
                    raise item.error
                if result.frames < 2:
                    raise EdgefaceError("fewer than two frames to measure", fix="give a video")
                return result
            worker.turn([item])
            last_s = time.perf_counter()
            if result.frames == 0:
                # The first frame pays for warming up; everything is counted from its end.
                start_s, start_cpu_s, start_reader_s = last_s, time.process_time(), reader.cpu_s
                result.image_wh = (item.image.shape[1], item.image.shape[0])
                result.size = "x".join(str(side) for side in networks.detector.size_for(result.image_wh))
                for runner in runners.values():
                    runner.cpu_s = 0.0
                    runner.wall_ms.clear()
            result.frames += 1


class TimedReader(threading.Thread):
    """Reads frames as fast as they come; its own CPU time is decoding."""

    def __init__(self, frames: Iterator[Frame], feed: Feed) -> None:
        super().__init__(name="bench-reader", daemon=True)
        self._frames = frames
        self._feed = feed
        self.cpu_s = 0.0
        self.wall_ms: list[float] = []

    def run(self) -> None:
        """Read to the end; a failure travels through the feed."""
        try:
            while True:
                start_s = time.perf_counter()
                frame = next(self._frames, None)
                self.wall_ms.append((time.perf_counter() - start_s) * 1000)
                if frame is None:
                    break
                self.cpu_s = time.thread_time()
                self._feed.put(frame)
        except EdgefaceError as error:
            self._feed.end(error)
            return
        except Exception as error:  # a thread that dies is heard, whatever it dies of
            logger.exception("the reader died")
            self._feed.end(SourceError(f"the reader died: {error!r}", fix="please report this"))
            return
        self.cpu_s = time.thread_time()
        self._feed.end(None)


def _file(source: Path, config: Config, decoder_threads: int | None) -> Iterator[Frame]:
    opened = open_source(
        "main",
        Camera(source=str(source)),
        limits=config.limits,
        started_at=EPOCH,
        decoder_threads=decoder_threads,
    )
    try:
        yield from opened.frames()
    finally:
        opened.close()


def _stage(samples: Sequence[float]) -> Stage:
    values = np.array(samples)
    return Stage(median_ms=round(float(np.median(values)), 3), p95_ms=round(float(np.percentile(values, 95)), 3))
