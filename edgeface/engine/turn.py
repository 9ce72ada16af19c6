"""One turn for all cameras: frames in, detected and followed, answered together, told.

The daemon, `analyze` and `bench` take this way and no other. No network is loaded here, and the clock is handed in.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from statistics import median

from edgeface.config import Config
from edgeface.engine.networks import Networks
from edgeface.engine.pipeline import Pipeline, Request, Sighting, Told
from edgeface.engine.search import Search
from edgeface.engine.states import States
from edgeface.events import Body
from edgeface.types import Answer, Detections, Frame, Reason, Task

RECENT = 500
"""Frames over which a stage's median is taken: 500 floats for each of six stages."""
LOW_SCORE = 0.5
"""Detections down to this share of `detector.score` may continue a track, never begin one (Zhang et al. 2022)."""


class Stages:
    """Milliseconds per frame and stage; the clock is handed in."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._recent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))

    def add(self, stage: str, start_s: float) -> float:
        """Note that a stage of one turn has lasted since ``start_s``; the time now, at which the next one begins."""
        now_s = self._clock()
        self._recent[stage].append((now_s - start_s) * 1000)
        return now_s

    def samples_ms(self) -> Mapping[str, Sequence[float]]:
        """Return the recent samples by stage."""
        return self._recent

    def medians_ms(self) -> dict[str, float]:
        """Median by stage, for `health`."""
        return {stage: median(samples) for stage, samples in self._recent.items() if samples}


def in_batches(requests: Sequence[Request], most: Callable[[str], int]) -> Iterator[list[Request]]:
    """Batches of one network each, at most ``most(network)`` long, in the order of their most overdue requests."""
    waiting: dict[str, deque[Request]] = defaultdict(deque)
    for request in sorted(requests, key=lambda request: -request.overdue_s):
        waiting[request.network].append(request)
    while waiting:
        name = max(waiting, key=lambda name: waiting[name][0].overdue_s)
        queue = waiting[name]
        yield [queue.popleft() for _ in range(min(len(queue), most(name)))]
        if not queue:
            del waiting[name]


class Worker:
    """Turns frames of all cameras into messages.

    Parameters
    ----------
    cameras : ids
    new_id : gives visit ids
    clock : monotonic seconds
    live : cameras for which time goes on without us: their turns have a limit, and they can fall silent
    min_score : least detector score; None: `LOW_SCORE` of `detector.score`
    states : what recurrent networks carry of each person; kept here while the track lasts

    Attributes
    ----------
    muted : questions that are not answered
    """

    def __init__(
        self,
        networks: Networks,
        config: Config,
        cameras: Sequence[str],
        *,
        new_id: Callable[[], str],
        clock: Callable[[], float],
        live: Collection[str] = (),
        min_score: float | None = None,
        states: States | None = None,
    ) -> None:
        self._networks = networks
        self._clock = clock
        self._live = frozenset(live)
        self._turn_s, self._lost_after_s = config.runtime.turn, config.visits.lost_after
        self._interval_s, self._score = config.detector.interval, config.detector.score
        self._min_score = config.detector.score * LOW_SCORE if min_score is None else min_score
        self._pipelines = {
            camera: Pipeline(camera, config, detector=networks.detector.network, networks=networks.heads, new_id=new_id)
            for camera in cameras
        }
        self._states = States() if states is None else states
        self._detect_due_s: dict[str, float] = {}
        self._searches = {
            camera: Search(
                finer=config.detector.fine and config.detector.size == "auto" and networks.detector.takes_mosaics,
                resting=config.detector.motion,
                lost_after_s=config.visits.lost_after,
            )
            for camera in cameras
        }
        self.stages = Stages(clock)
        self.muted: frozenset[Task] = frozenset()
        self.frames: dict[str, int] = dict.fromkeys(cameras, 0)

    def take_over(self, camera: str, old: Worker, *, same: bool) -> None:
        """Go on with the people before a camera where another worker was.

        Parameters
        ----------
        same : whether networks and rules are the same, so that all that is remembered of them holds
        """
        if same:
            self._pipelines[camera] = old._pipelines[camera]
            self._states.take_over(camera, old._states)
            self._detect_due_s |= {name: due_s for name, due_s in old._detect_due_s.items() if name == camera}
            self._searches[camera] = old._searches[camera]
            self.stages = old.stages
        else:
            self._pipelines[camera].succeed(old._pipelines[camera])
        self.frames[camera] = old.frames[camera]

    def mute(self, tasks: Collection[Task]) -> None:
        """Answer these questions no more, and all others; recurrent networks begin anew with everybody."""
        self.muted = frozenset(tasks)
        for camera, pipeline in self._pipelines.items():
            if pipeline.mute(self.muted):
                self._states.retain(camera, ())

    def turn(self, frames: Sequence[Frame]) -> list[Body]:
        """Take at most one frame per camera all the way; give the messages in the order of the frames."""
        return [body for _, told in self.process(frames) for body in told.bodies]

    def process(self, frames: Sequence[Frame]) -> list[tuple[Sighting, Told]]:
        """Take at most one frame per camera all the way: what was seen in each, and what it leads to."""
        start_s = now_s = self._clock()
        seen: list[tuple[Sighting, list[Request]]] = []
        for frame in frames:
            detections = self._detect(frame)
            now_s = self.stages.add("detect", now_s)
            seen.append(self._pipelines[frame.camera].observe(frame, detections))
            self._states.retain(frame.camera, [track.id for track in seen[-1][0].tracks])
            now_s = self.stages.add("track", now_s)
        requests = [request for _, wanted in seen for request in wanted]
        answers: dict[int, list[Answer]] = {}
        if requests:
            answers = self._answer(requests, start_s + self._limit_s([frame.camera for frame in frames]))
        now_s = self.stages.add("attributes", now_s)
        done: list[tuple[Sighting, Told]] = []
        for sighting, wanted in seen:
            pairs = [(wish.track, answer) for wish in wanted for answer in answers.get(id(wish), ())]
            camera = sighting.frame.camera
            done.append((sighting, self._pipelines[camera].absorb(sighting, pairs)))
            self.frames[camera] += 1
        self.stages.add("visits", now_s)
        return done

    def away(self, silent: Collection[str], now_s: float) -> list[Body]:
        """End the visits before live cameras that have given no frame for too long.

        Parameters
        ----------
        silent : cameras of which no frame waits to be taken
        now_s : source time of live cameras, monotonic seconds
        """
        bodies: list[Body] = []
        for camera in silent:
            if camera in self._live:
                told = self._pipelines[camera].away(now_s)
                if told.bodies:
                    self._states.retain(camera, ())
                bodies += told.bodies
        return bodies

    def deferred(self, camera: str) -> int:
        """Inferences of one camera that were due and had to wait."""
        return self._pipelines[camera].deferred

    def resting(self, camera: str) -> bool:
        """Whether one camera's latest frame was not searched, since nothing had changed."""
        return self._searches[camera].resting

    def rested(self, camera: str) -> float | None:
        """Share of one camera's frames that were not searched, since nothing had changed; None before the first."""
        frames = self.frames[camera]
        return self._searches[camera].rested / frames if frames else None

    def ignored(self, camera: str) -> int:
        """Faces before one camera that were not followed because too many others were."""
        return self._pipelines[camera].ignored

    def view(self, camera: str) -> tuple[float | None, float | None]:
        """Brightness of one camera's picture, 0 to 1, and height of the largest face in view, pixels."""
        pipeline = self._pipelines[camera]
        return pipeline.brightness, pipeline.nearest_px

    def close(self, camera: str, reason: Reason) -> Told:
        """End one camera's visits."""
        self._states.retain(camera, ())
        return self._pipelines[camera].close(reason)

    def _limit_s(self, cameras: Sequence[str]) -> float:
        """Seconds that a turn with these cameras may take before inferences are put off."""
        if self._turn_s:
            return self._turn_s
        intervals = [self._pipelines[camera].interval_s or 0.0 for camera in cameras if camera in self._live]
        return max(self._lost_after_s / 8, min([*intervals, self._lost_after_s / 2]))

    def _answer(self, requests: Sequence[Request], until_s: float) -> dict[int, list[Answer]]:
        """Answers by the request's `id`, the most urgent ones first, as many as go through a network together.

        From ``until_s`` on, requests of live cameras are put off, all but one batch; those of files never are, so that
        a file gives the same messages on every machine.
        """
        answers: dict[int, list[Answer]] = {}
        late = False
        for batch in in_batches(requests, self._networks.most):
            off = [request for request in batch if late and request.camera in self._live]
            for request in off:
                self._pipelines[request.camera].defer(request)
            now = batch if not off else [request for request in batch if request.camera not in self._live]
            answers |= {id(r): said for r, said in zip(now, self._networks.answer(now, self._states), strict=True)}
            late = late or (bool(self._live) and self._clock() >= until_s)
        return answers

    def _detect(self, frame: Frame) -> Detections | None:
        """Detect, or None while `detector.interval` has not passed, or where nothing has changed."""
        self._searches[frame.camera].resting = False
        if frame.time_s < self._detect_due_s.get(frame.camera, float("-inf")):
            return None
        if frame.still:
            return self._networks.search(frame, min_score=self._min_score)
        search = self._searches[frame.camera]
        image = frame.image if frame.small is None else frame.small
        known = self._pipelines[frame.camera].expected(frame.time_s)
        plan = search.plan(image, frame.time_s, self._networks.inputs(frame), known)
        if plan is None:
            return None
        if self._interval_s:
            self._detect_due_s[frame.camera] = frame.time_s + self._interval_s
        detections = self._networks.search(frame, plan, min_score=self._min_score)
        search.found(detections, frame.time_s, least=self._score)
        return detections
