"""One turn for all cameras: frames in, detected and followed, answered together, told.

The daemon, `analyze` and `bench` take this way and no other. No network is loaded here, and the clock is handed in.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median

from edgeface.config import Config
from edgeface.events import Body
from edgeface.memory import Memory
from edgeface.networks import Networks
from edgeface.pipeline import Pipeline, Request, Sighting, Told
from edgeface.types import Detections, Frame, Reason

RECENT = 500
"""Frames over which a stage's median is taken: 500 floats for each of six stages."""
LOW_SCORE = 0.5
"""Detections down to this share of `detector.score` may continue a track, never begin one (Zhang et al. 2022)."""


class Stages:
    """Milliseconds per frame and stage; the clock is handed in."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._recent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time one stage of one turn."""
        start_s = self._clock()
        yield
        self._recent[stage].append((self._clock() - start_s) * 1000)

    def samples_ms(self) -> Mapping[str, Sequence[float]]:
        """Return the recent samples by stage."""
        return self._recent

    def medians_ms(self) -> dict[str, float]:
        """Median by stage, for `health`."""
        return {stage: median(samples) for stage, samples in self._recent.items() if samples}


class Worker:
    """Turns frames of all cameras into messages.

    Parameters
    ----------
    cameras : ids
    new_id : gives visit ids
    clock : monotonic seconds
    min_score : least detector score; None: `LOW_SCORE` of `detector.score`
    """

    def __init__(
        self,
        networks: Networks,
        config: Config,
        cameras: Sequence[str],
        *,
        new_id: Callable[[], str],
        clock: Callable[[], float],
        min_score: float | None = None,
    ) -> None:
        self._networks = networks
        self._every_s = config.detector.every
        self._min_score = config.detector.score * LOW_SCORE if min_score is None else min_score
        self._pipelines = {
            camera: Pipeline(camera, config, detector=networks.detector.network, networks=networks.heads, new_id=new_id)
            for camera in cameras
        }
        self._memory = Memory()
        self._detect_due_s: dict[str, float] = {}
        self.stages = Stages(clock)
        self.frames: dict[str, int] = dict.fromkeys(cameras, 0)

    def turn(self, frames: Sequence[Frame]) -> list[Body]:
        """Take at most one frame per camera all the way; give the messages in the order of the frames."""
        return [body for _, told in self.process(frames) for body in told.bodies]

    def process(self, frames: Sequence[Frame]) -> list[tuple[Sighting, Told]]:
        """Take at most one frame per camera all the way: what was seen in each, and what it leads to."""
        seen: list[tuple[Sighting, list[Request]]] = []
        for frame in frames:
            with self.stages.measure("detect"):
                detections = self._detect(frame)
            with self.stages.measure("track"):
                seen.append(self._pipelines[frame.camera].observe(frame, detections))
                self._memory.retain(frame.camera, [track.id for track in seen[-1][0].tracks])
        requests = [request for _, wanted in seen for request in wanted]
        with self.stages.measure("attributes"):
            answers = self._networks.answer(requests, self._memory)
        done: list[tuple[Sighting, Told]] = []
        with self.stages.measure("visits"):
            start = 0
            for sighting, wanted in seen:
                own = answers[start : start + len(wanted)]
                start += len(wanted)
                pairs = [(wish.track, answer) for wish, said in zip(wanted, own, strict=True) for answer in said]
                camera = sighting.frame.camera
                done.append((sighting, self._pipelines[camera].absorb(sighting, pairs)))
                self.frames[camera] += 1
        return done

    def ignored(self, camera: str) -> int:
        """Faces before one camera that were not followed because too many others were."""
        return self._pipelines[camera].ignored

    def close(self, camera: str, reason: Reason) -> Told:
        """End one camera's visits."""
        self._memory.retain(camera, ())
        return self._pipelines[camera].close(reason)

    def _detect(self, frame: Frame) -> Detections | None:
        """Detect, or None while `detector.every` has not passed."""
        if frame.time_s < self._detect_due_s.get(frame.camera, float("-inf")):
            return None
        if self._every_s:
            self._detect_due_s[frame.camera] = frame.time_s + self._every_s
        return self._networks.detect(frame.image, min_score=self._min_score)
