"""One turn for all cameras: frames in, detected and followed, answered together, told.

The daemon, `analyze` and `bench` take this way and no other. No network is loaded here, and the clock is handed in.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from statistics import median

from edgeface.config import Config
from edgeface.detect import measurable
from edgeface.engine.levels import FULL, Costs, Level
from edgeface.engine.load import Load
from edgeface.engine.networks import Networks
from edgeface.engine.pipeline import Pipeline
from edgeface.engine.search import SHARE, Search
from edgeface.engine.states import States
from edgeface.engine.steps import Inferred, Prepared, Request, Sighting, Told
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
    level : how much is done for live cameras
    load : what they cost
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
        config = measurable(config, networks.detector.network)
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
        self._rates = {camera: settings.rate for camera, settings in config.cameras.items()}
        self._finer = config.detector.fine and config.detector.size == "auto" and networks.detector.takes_mosaics
        self._searches = {
            camera: Search(
                finer=self._finer,
                resting=config.detector.motion,
                lost_after_s=config.visits.lost_after,
            )
            for camera in cameras
        }
        self.stages = Stages(clock)
        self.level, self.load = FULL, Load(clock)
        self.muted: frozenset[Task] = frozenset()
        self.frames: dict[str, int] = dict.fromkeys(cameras, 0)

    def take_over(self, camera: str, old: Worker, *, same: bool) -> list[Body]:
        """Go on with the people before a camera where another worker was; the messages about it.

        Parameters
        ----------
        same : whether networks and rules are the same, so that all that is remembered of them holds
        """
        bodies: list[Body] = []
        if same:
            self._pipelines[camera] = old._pipelines[camera]
            self._states.take_over(camera, old._states)
            self._detect_due_s |= {name: due_s for name, due_s in old._detect_due_s.items() if name == camera}
            self._searches[camera] = old._searches[camera]
            self.stages = old.stages
        else:
            bodies = self._pipelines[camera].succeed(old._pipelines[camera])
        self.frames[camera] = old.frames[camera]
        return bodies

    def mute(self, tasks: Collection[Task]) -> None:
        """Answer these questions no more, and all others; recurrent networks begin anew with everybody."""
        self.muted = frozenset(tasks)
        for camera, pipeline in self._pipelines.items():
            if pipeline.mute(self.muted):
                self._states.retain(camera, ())

    def take_level(self, level: Level) -> None:
        """Do as much for live cameras as a level says, from the next turn on; nothing less for files."""
        self.level = level
        for camera in self._live & self._pipelines.keys():
            self._pipelines[camera].sample_slower(level.sampling)
        # The networks are shared: a file beside cameras keeps its size.
        self._networks.use_smallest(level.smallest and self._live >= self._pipelines.keys())
        for camera in self._live:
            self._searches[camera].finer = self._finer and not level.smallest

    def costs(self) -> Costs:
        """What live cameras have cost since the last call."""
        steps = [self._step_s(camera) for camera in self.load.seen]
        return self.load.take(rate=sum(1 / step_s for step_s in steps if step_s), shrunk=self.shrunk)

    @property
    def has_live(self) -> bool:
        """Whether any camera is live."""
        return bool(self._live)

    @property
    def shrunk(self) -> float:
        """How many times as many pixels the detector sees at the first level as at one with the smallest input.

        1 where a file shares the networks, for which nothing is made smaller.
        """
        sizes = [self._pipelines[camera].image_wh for camera in self._pipelines]
        if not self._live >= self._pipelines.keys():
            return 1.0
        finer = 1 + SHARE if self._finer else 1.0
        return finer * max((self._networks.shrunk(size_wh) for size_wh in sizes if size_wh is not None), default=1.0)

    def turn(self, frames: Sequence[Frame]) -> list[Body]:
        """Take at most one frame per camera all the way; give the messages in the order of the frames."""
        return [body for _, told in self.process(frames) for body in told.bodies]

    def process(self, frames: Sequence[Frame]) -> list[tuple[Sighting, Told]]:
        """Take at most one frame per camera all the way: what was seen in each, and what it leads to."""
        awake = [frame for frame in frames if not self._searches[frame.camera].passes(frame.time_s)]
        looked = {sighting.frame.camera: (sighting, told) for sighting, told in self._look(awake)} if awake else {}
        return [looked.get(frame.camera) or self._pass(frame) for frame in frames]

    def _pass(self, frame: Frame) -> tuple[Sighting, Told]:
        """Leave all as it is at a frame that is passed over."""
        self.frames[frame.camera] += 1
        if frame.camera in self._live:
            self.load.frame(frame.camera, 0.0, searched=False)
        return self._pipelines[frame.camera].rest(frame)

    def _look(self, frames: Sequence[Frame]) -> list[tuple[Sighting, Told]]:
        start_s = now_s = self._clock()
        seen: list[tuple[Sighting, list[Request]]] = []
        load = self.load
        for frame in frames:
            begun_s = now_s
            detections = self._detect(frame)
            now_s = self.stages.add("detect", now_s)
            if frame.camera in self._live:
                load.frame(frame.camera, now_s - begun_s, searched=detections is not None)
            seen.append(self._pipelines[frame.camera].observe(frame, detections))
            self._states.retain(frame.camera, [track.id for track in seen[-1][0].tracks])
            begun_s, now_s = now_s, self.stages.add("track", now_s)
            if frame.camera in self._live:
                load.rest(now_s - begun_s)
        requests = [request for _, wanted in seen for request in wanted]
        answers: dict[int, list[Answer]] = {}
        if requests:
            answers = self._answer(requests, start_s + self._limit_s([frame.camera for frame in frames]))
        begun_s, now_s = now_s, self.stages.add("attributes", now_s)
        live = [request for request in requests if request.camera in self._live]
        if live:
            load.answers(now_s - begun_s, wanted=len(live), made=sum(id(request) in answers for request in live))
        done: list[tuple[Sighting, Told]] = []
        for sighting, wanted in seen:
            pairs = [(wish.track, answer) for wish in wanted for answer in answers.get(id(wish), ())]
            camera = sighting.frame.camera
            done.append((sighting, self._pipelines[camera].absorb(sighting, pairs)))
            self.frames[camera] += 1
        begun_s, now_s = now_s, self.stages.add("visits", now_s)
        if any(frame.camera in self._live for frame in frames):
            load.rest(now_s - begun_s)
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

    def rate(self, camera: str) -> float | None:
        """Frames a second that are to be analysed of a live camera; None for a file, and while that is not known."""
        step_s = self._step_s(camera) if camera in self._live else 0.0
        return round(1 / step_s, 2) if step_s else None

    def view(self, camera: str) -> tuple[float | None, float | None]:
        """Brightness of one camera's picture, 0 to 1, and height of the largest face in view, pixels."""
        pipeline = self._pipelines[camera]
        return pipeline.brightness, pipeline.nearest_px

    def absent(self, camera: str) -> dict[str, datetime]:
        """Visits before one camera of those who may come back, with the wall time of their last sighting."""
        return self._pipelines[camera].absent

    def close(self, camera: str, reason: Reason) -> Told:
        """End one camera's visits."""
        self._states.retain(camera, ())
        return self._pipelines[camera].close(reason)

    def _step_s(self, camera: str) -> float:
        """Seconds between two frames of a camera that are analysed; 0 while unknown."""
        rate = self._rates.get(camera)
        return max(self._pipelines[camera].interval_s or 0.0, 1 / rate if rate else 0.0)

    def _limit_s(self, cameras: Sequence[str]) -> float:
        """Seconds that a turn with these cameras may take before inferences are put off."""
        if self._turn_s:
            return self._turn_s
        intervals = [self._pipelines[camera].interval_s or 0.0 for camera in cameras if camera in self._live]
        return max(self._lost_after_s / 8, min([*intervals, self._lost_after_s / 2]))

    def _answer(self, requests: Sequence[Request], until_s: float) -> dict[int, list[Answer]]:
        """Answers by the request's `id`, the most urgent ones first, as many as go through a network together.

        From ``until_s`` on, all but one batch, or from a network's second batch where `Level.one_call` says so, live
        cameras' are put off; those of files never are, so that a file gives the same messages on every machine.
        """
        prepared: list[Prepared] = []
        called: set[str] = set()
        for batch in in_batches(requests, self._networks.most):
            again = self.level.one_call and batch[0].network in called
            called.add(batch[0].network)
            if now := self._put_off(batch) if again else batch:
                prepared.append(self._networks.prepare(now, self._states))
        inferred: list[Inferred] = []
        late = False
        for ready in prepared:
            now = self._put_off(ready.requests) if late else ready.requests
            if now:
                whole = len(now) == len(ready.requests)
                asked = ready if whole else self._networks.prepare(now, self._states)
                inferred.append(self._networks.infer(asked, self._states))
            late = late or (bool(self._live) and self._clock() >= until_s)
        return self._networks.read(inferred)

    def _put_off(self, requests: Sequence[Request]) -> Sequence[Request]:
        """Let live cameras' requests wait for a later frame; give those of files."""
        for request in requests:
            if request.camera in self._live:
                self._pipelines[request.camera].defer(request)
        return [request for request in requests if request.camera not in self._live]

    def _detect(self, frame: Frame) -> Detections | None:
        """Detect, or None while `detector.interval` has not passed, or where nothing has changed."""
        self._searches[frame.camera].resting = False
        if frame.time_s < self._detect_due_s.get(frame.camera, float("-inf")):
            return None
        interval_s = self._interval_s
        if self.level.every > 1 and frame.camera in self._live:
            # Half a frame less: time stamps of frames are not exact.
            interval_s = max(interval_s, (self.level.every - 0.5) * self._step_s(frame.camera))
        if frame.still:
            return self._networks.search(frame, min_score=self._min_score)
        search = self._searches[frame.camera]
        image = frame.image if frame.small is None else frame.small
        known = self._pipelines[frame.camera].expected(frame.time_s)
        plan = search.plan(image, frame.time_s, self._networks.inputs(frame), known)
        if plan is None:
            return None
        if interval_s:
            self._detect_due_s[frame.camera] = frame.time_s + interval_s
        detections = self._networks.search(frame, plan, min_score=self._min_score)
        search.found(detections, frame.time_s, least=self._score)
        return detections
