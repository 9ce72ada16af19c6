"""Every network of a process, loaded once: the detector and those that answer questions about a face."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from itertools import islice
from math import isfinite

import numpy as np

from edgeface.attributes import make_heads, read_answers
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
from edgeface.detect.exposure import Exposure, averaged, exposure_of
from edgeface.detect.mosaic import Size, compose, in_picture, joined
from edgeface.engine.search import FINER, QUICK, Inputs, Plan
from edgeface.engine.states import States
from edgeface.engine.steps import Inferred, Prepared, Request
from edgeface.geometry import enlarge, letterbox
from edgeface.machine import cores
from edgeface.runtime import Runner, RunnerWrapper, choose_runner, joined_rows, make_batches, run_batches
from edgeface.runtime.providers import ON_PROCESSOR, Provider
from edgeface.selftest import check
from edgeface.types import F32, Answer, Detections, Frame, Head, Image

logger = logging.getLogger(__name__)

Wrap = Callable[[str, Runner], Runner]
NO_FACES = Detections(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32))


class CheckedRunner(RunnerWrapper):
    """A detector's runner that tells when it gave something that is not a finite number."""

    def __init__(self, runner: Runner, tell: Callable[[], None]) -> None:
        super().__init__(runner)
        self._tell = tell
        self._calls = 0

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        """Run, and look at one output, in turn: who gives nonsense does so again, and to look costs time.

        A sum of squares is finite only where every number is.
        """
        outputs = self._runner.run(batch, states)
        self._calls += 1
        array = next(islice(outputs.values(), self._calls % len(outputs), None))
        if not isfinite(np.vdot(array, array)):
            self._tell()
        return outputs


class Networks:
    """Every network of a process, loaded once: one detector and the attribute networks in use.

    Parameters
    ----------
    still : whether pictures or video come, for the detector's automatic size, where `detect` is not told
    wrap : measures runners, for benchmarks; gets a network's name and its runner
    provider : what ONNX networks compute on

    Attributes
    ----------
    threads : how many each network has; a program gives OpenCV as many
    invalid : by network, how often it gave what is no answer: not a number, infinite, or of a wrong length; such an
        answer weighs nothing
    """

    def __init__(
        self,
        bundle: Bundle,
        config: Config,
        *,
        still: bool = False,
        wrap: Wrap | None = None,
        provider: Provider = ON_PROCESSOR,
    ) -> None:
        threads = self.threads = config.runtime.threads or min(2, cores())
        runtime = choose_runtime(bundle.manifest, config.runtime.name, provider=config.runtime.provider)

        def load(network: Network) -> Runner:
            runner = choose_runner(bundle, network, config, runtime, threads=threads, provider=provider)
            self._loaded[network.name] = (network, runner)
            return wrap(network.name, runner) if wrap else runner

        found = chosen_detector(bundle, config)
        stages = bundle.stages(found)
        self.runtime = runtime
        self._loaded: dict[str, tuple[Network, Runner]] = {}
        self.invalid: Counter[str] = Counter()
        runners = {network.name: self._checked(network.name, load(network)) for network in (found, *stages)}
        self._still = still
        self._detectors = {
            pictures: make_detector(found, runners, stages=stages, size=config.detector.size, still=pictures)
            for pictures in (False, True)
        }
        self.detector = self._detectors[still]
        self._usual, self._smallest = self._detectors[False], make_detector(found, runners, stages=stages)
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
    def runners(self) -> Mapping[str, Runner]:
        """Every loaded file, by the name of its network."""
        return {name: runner for name, (_, runner) in self._loaded.items()}

    @property
    def heads(self) -> list[tuple[Network, Head]]:
        """Attribute networks and their heads, one for each question, in the order age, gender, expression, affect."""
        pairs = [(network, head) for network, _, heads in self.attributes.values() for head in heads]
        return sorted(pairs, key=lambda pair: self._order.index(pair[1].task))

    def most(self, name: str) -> int:
        """Faces that go through an attribute network in one call."""
        return max(self.attributes[name][1].batches)

    def detect(
        self, image: Image, *, min_score: float, still: bool | None = None, size_wh: Size | None = None
    ) -> Detections:
        """Find the faces of one picture; nobody where the detector's outputs cannot be read.

        Parameters
        ----------
        still : chooses the size for pictures or for video; None: the one for which the networks were loaded
        size_wh : the detector's input, where it is to be another size; one that `Detector.takes` says it takes
        """
        detector = self.detector if still is None else self._detectors[still]
        try:
            with np.errstate(all="ignore"):
                return detector.detect(image, min_score=min_score, size_wh=size_wh)
        except (ValueError, IndexError, KeyError) as error:
            _count(self.invalid, self.detector.network.name, repr(error))
            return NO_FACES

    def inputs(self, frame: Frame) -> Inputs:
        """What the detector may see of a frame of a video."""
        detector = self._detectors[frame.still]
        image_wh = (frame.image.shape[1], frame.image.shape[0])
        quick_wh = detector.size_for(image_wh)
        fine_wh = (round(quick_wh[0] * FINER), round(quick_wh[1] * FINER))
        return Inputs(
            image_wh=image_wh,
            quick_wh=quick_wh,
            fine_wh=fine_wh if detector.takes(fine_wh) else None,
            any_size=detector.any_size,
        )

    def search(self, frame: Frame, plan: Plan = QUICK, *, min_score: float) -> Detections:
        """Find the faces of a frame, in its pixels, in the passes of a plan; each face once."""
        image_wh = (frame.image.shape[1], frame.image.shape[0])
        exposure = None if frame.still else exposure_of(frame.image if frame.small is None else frame.small)
        found: list[Detections] = []
        if plan.quick:
            found.append(self._whole(frame, exposure, min_score=min_score))
        if plan.fine:
            found.append(self._whole(frame, exposure, min_score=min_score, size_wh=self.inputs(frame).fine_wh))
        for mosaic in plan.mosaics:
            canvas = compose(frame.image, mosaic, exposure=exposure)
            seen = self.detect(canvas, min_score=min_score, still=frame.still, size_wh=mosaic.size_wh)
            found.append(in_picture(seen, mosaic.placed, image_wh))
        return joined(found) if plan.mosaics or len(found) > 1 else found[0]

    def _whole(
        self, frame: Frame, exposure: Exposure | None, *, min_score: float, size_wh: Size | None = None
    ) -> Detections:
        """Search the whole view: in the frame's small picture, where that has all that the detector sees."""
        image, small = frame.image, frame.small
        seen = image if small is None or not self._suffices(small, image, size_wh) else small
        if exposure is not None:
            seen_wh = (seen.shape[1], seen.shape[0])
            mean = averaged(seen, letterbox(seen_wh, size_wh or self.detector.size_for(seen_wh)).content_wh)
            seen = exposure.apply(mean if self._suffices(mean, image, size_wh) else seen)
        found = self.detect(seen, min_score=min_score, still=frame.still, size_wh=size_wh)
        if seen.shape == image.shape:
            return found
        return enlarge(found, (seen.shape[1], seen.shape[0]), (image.shape[1], image.shape[0]))

    def _suffices(self, small: Image, image: Image, size_wh: Size | None) -> bool:
        """Whether a detector sees no more of the large picture than the small one has."""
        image_wh, small_wh = (image.shape[1], image.shape[0]), (small.shape[1], small.shape[0])
        seen_wh = letterbox(image_wh, size_wh or self.detector.size_for(image_wh)).content_wh
        same = size_wh is not None or self.detector.size_for(small_wh) == self.detector.size_for(image_wh)
        return same and small_wh[0] >= seen_wh[0] and small_wh[1] >= seen_wh[1]

    def use_smallest(self, smallest: bool) -> None:
        """Search video in the smallest usual input, or in the configured one again; of all cameras."""
        self._detectors[False] = self._smallest if smallest else self._usual

    def shrunk(self, image_wh: tuple[int, int]) -> float:
        """How many times as many pixels the configured input for video has as the smallest usual one."""
        (width, height), (least_width, least_height) = (
            detector.size_for(image_wh) for detector in (self._usual, self._smallest)
        )
        return width * height / (least_width * least_height)

    def answer(self, requests: Sequence[Request], states: States | None = None) -> list[list[Answer]]:
        """Answer every request, in order, one answer for each head; all faces of a network go through it together.

        Recurrent networks go on from ``states`` and write into them; without them each sample is a first one.
        """
        states = States() if states is None else states
        wanted: dict[str, list[Request]] = defaultdict(list)
        for request in requests:
            wanted[request.network].append(request)
        prepared = [self.prepare(batch, states) for batch in wanted.values()]
        said = self.read([self.infer(batch, states) for batch in prepared])
        return [said[id(request)] for request in requests]

    def prepare(self, requests: Sequence[Request], states: States) -> Prepared:
        """Make of the faces for one network, at least one, what it takes.

        Done for all before any is run, and all are read after that: a network leaves the processor's caches cold, and
        little of ours should run between two.
        """
        name = requests[0].network
        network, runner, _ = self.attributes[name]
        people = [(request.camera, request.track) for request in requests]
        pixels = np.stack([request.pixels for request in requests])
        batches = make_batches(runner, network, pixels, states.recall(network, people))
        return Prepared(network=name, requests=requests, people=people, batches=batches)

    def infer(self, prepared: Prepared, states: States) -> Inferred:
        """Run faces through their network; `read` tells what it said."""
        network, runner, _ = self.attributes[prepared.network]
        outputs = run_batches(runner, prepared.batches)
        states.keep(network, prepared.people, outputs)
        return Inferred(network=prepared.network, requests=prepared.requests, outputs=outputs)

    def read(self, inferred: Sequence[Inferred]) -> dict[int, list[Answer]]:
        """Answers by the request's `id`, one for each head; what is no answer is left out and counted.

        Batches of a network are read as one.
        """
        said: dict[int, list[Answer]] = {}
        alike: dict[Hashable, list[Inferred]] = defaultdict(list)
        for one in inferred:
            alike[one.network, one.shapes].append(one)
        for batches in alike.values():
            network, _, heads = self.attributes[batches[0].network]
            requests = [request for one in batches for request in one.requests]
            outputs = joined_rows([one.outputs for one in batches])
            answers: list[list[Answer]] = [[] for _ in requests]
            for head in heads:
                rows = read_answers(head, network.answers[head.task].output, outputs, len(requests))
                for request, own, probabilities in zip(requests, answers, rows, strict=True):
                    if probabilities is None:
                        what = f"for {head.task} no finite numbers, or too few or too many"
                        _count(self.invalid, network.name, what)
                        continue
                    quality, time_s = request.quality, request.time_s
                    own.append(Answer(task=head.task, probabilities=probabilities, quality=quality, time_s=time_s))
            said |= {id(request): own for request, own in zip(requests, answers, strict=True)}
        return said

    def _checked(self, name: str, runner: Runner) -> Runner:
        # Not a method of ours: a circle of references would keep the networks of an old configuration in memory.
        return CheckedRunner(runner, partial(_count, self.invalid, name, "numbers that are not finite"))


def _count(invalid: Counter[str], name: str, what: str) -> None:
    """Count an answer that is none; the first of a network is told."""
    if not invalid[name]:
        logger.warning("network %s gives %s: such answers weigh nothing, health counts them", name, what)
    invalid[name] += 1
