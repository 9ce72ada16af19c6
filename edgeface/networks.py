"""Every network of a process, loaded once: the detector and those that answer questions about a face."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from edgeface.attributes import make_heads
from edgeface.bundle import Bundle, Network, attribute_networks, choose_runtime, chosen_networks, expect_landmarks
from edgeface.config import Config
from edgeface.detect import make_detector
from edgeface.memory import Memory
from edgeface.pipeline import Request
from edgeface.runtime import Runner, choose_runner, run_faces
from edgeface.selftest import check
from edgeface.types import Answer, Detections, Head, Image

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

        found = bundle.network(config.detector.network or bundle.manifest.defaults["detect"])
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
