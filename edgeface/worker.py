"""The only owner of networks: frames of all cameras in, batches through, answers back."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median

import cv2
import numpy as np

from edgeface.attributes import make_heads
from edgeface.bundle import (
    Bundle,
    Network,
    attribute_networks,
    choose_runtime,
    chosen_detector,
    chosen_networks,
    expect_landmarks,
)
from edgeface.config import Config
from edgeface.detect import make_detector
from edgeface.events import Body
from edgeface.memory import Memory
from edgeface.pipeline import Pipeline, Request, Sighting
from edgeface.runtime import Runner, choose_runner, run_faces
from edgeface.selftest import check
from edgeface.types import Answer, Detections, Frame, Head, Image, Reason

RECENT = 500
"""Frames over which a stage's median is taken: 500 floats for each of six stages."""
LOW_SCORE = 0.5
"""Detections down to this share of `detector.score` may continue a track, never begin one (Zhang et al. 2022)."""

Wrap = Callable[[str, Runner], Runner]


class Networks:
    """Every network of a process, loaded once: one detector and the attribute networks in use.

    Parameters
    ----------
    still : whether pictures or video come, for the detector's automatic size
    wrap : measures runners, for benchmarks; gets a network's name and its runner
    """

    def __init__(self, bundle: Bundle, config: Config, *, still: bool = False, wrap: Wrap | None = None) -> None:
        threads = self.threads = config.runtime.threads or min(2, os.cpu_count() or 1)
        cv2.setNumThreads(threads)
        runtime = choose_runtime(bundle.manifest, config.runtime.name)

        def load(network: Network) -> Runner:
            runner = choose_runner(bundle, network, config, runtime, threads=threads)
            self._loaded[network.name] = (network, runner)
            return wrap(network.name, runner) if wrap else runner

        found = chosen_detector(bundle, config)
        stages = bundle.stages(found)
        self.runtime = runtime
        self._loaded: dict[str, tuple[Network, Runner]] = {}
        runners = {network.name: load(network) for network in (found, *stages)}
        self.detector = make_detector(found, runners, stages=stages, size=config.detector.size, still=still)
        wanted = attribute_networks(bundle, config)
        if not self.detector.gives_landmarks:
            expect_landmarks(wanted, detector=found.name)
        asked = {task: network.name for task, network in chosen_networks(bundle, config).items()}
        self.attributes: dict[str, tuple[Network, Runner, Sequence[Head]]] = {}
        for network in wanted:
            heads = [head for task, head in make_heads(network).items() if asked.get(task) == network.name]
            self.attributes[network.name] = (network, load(network), heads)
        self._order = list(asked)

    def verify(self, bundle: Bundle) -> dict[str, float]:
        """Run every network's stored input: largest difference by name; BundleError for one that computes wrongly."""
        return {name: check(bundle, network, runner) for name, (network, runner) in self._loaded.items()}

    @property
    def heads(self) -> list[tuple[Network, Head]]:
        """Attribute networks and their heads, one for each question, in the order age, gender, expression, affect."""
        pairs = [(network, head) for network, _, heads in self.attributes.values() for head in heads]
        return sorted(pairs, key=lambda pair: self._order.index(pair[1].task))

    def detect(self, image: Image, *, min_score: float) -> Detections:
        """Find the faces of one picture."""
        return self.detector.detect(image, min_score=min_score)

    def answer(self, requests: Sequence[Request], memory: Memory | None = None) -> list[list[Answer]]:
        """Answer every request, in order, one answer for each head; all faces of a network go through it together.

        Recurrent networks go on from ``memory`` and write into it; without one each look is a first one.
        """
        memory = Memory() if memory is None else memory
        answers: list[list[Answer]] = [[] for _ in requests]
        rows: dict[str, list[int]] = defaultdict(list)
        for row, request in enumerate(requests):
            rows[request.network].append(row)
        for name, wanted in rows.items():
            network, runner, heads = self.attributes[name]
            people = [(requests[row].camera, requests[row].track) for row in wanted]
            pixels = np.stack([requests[row].pixels for row in wanted])
            outputs = run_faces(runner, network, pixels, memory.recall(network, people))
            memory.keep(network, people, outputs)
            for head in heads:
                for row, probabilities in zip(wanted, head.probabilities(outputs), strict=True):
                    quality, time_s = requests[row].quality, requests[row].time_s
                    answers[row].append(
                        Answer(task=head.task, probabilities=probabilities, quality=quality, time_s=time_s)
                    )
        return answers


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
    clock : monotonic seconds, for stage times only
    """

    def __init__(
        self,
        networks: Networks,
        config: Config,
        cameras: Sequence[str],
        *,
        new_id: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._networks = networks
        self._detector = config.detector
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
        bodies: list[Body] = []
        with self.stages.measure("visits"):
            start = 0
            for sighting, wanted in seen:
                own = answers[start : start + len(wanted)]
                start += len(wanted)
                pairs = [(wish.track, answer) for wish, said in zip(wanted, own, strict=True) for answer in said]
                camera = sighting.frame.camera
                bodies += self._pipelines[camera].absorb(sighting.frame, pairs)
                self.frames[camera] += 1
        return bodies

    def ignored(self, camera: str) -> int:
        """Faces before one camera that were not followed because too many others were."""
        return self._pipelines[camera].ignored

    def close(self, camera: str, reason: Reason) -> list[Body]:
        """End one camera's visits."""
        self._memory.retain(camera, ())
        return self._pipelines[camera].close(reason)

    def _detect(self, frame: Frame) -> Detections | None:
        """Detect, or None while `detector.every` has not passed."""
        if frame.time_s < self._detect_due_s.get(frame.camera, float("-inf")):
            return None
        if self._detector.every:
            self._detect_due_s[frame.camera] = frame.time_s + self._detector.every
        return self._networks.detect(frame.image, min_score=self._detector.score * LOW_SCORE)
