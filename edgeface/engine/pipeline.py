"""One camera's way from detections to messages: two pure steps around the networks.

``observe`` turns a frame and its detections into requests for inferences; ``absorb`` turns the answers into messages.
The worker stands between them and asks the networks. No clock is read here: replaying a file gives the same messages.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from math import sqrt

from edgeface.bundle import Network
from edgeface.config import Camera, Config
from edgeface.crop import cut, reference_boxes
from edgeface.engine.steps import NOTHING, Request, Sighting, Told
from edgeface.events import (
    DECADES,
    AggregateWindow,
    Body,
    Counted,
    FacesPace,
    SummaryWindow,
    faces_body,
    place_body,
    visit_body,
)
from edgeface.people.appearance import Views
from edgeface.people.conduct import Seen, Watch
from edgeface.people.places import Place
from edgeface.people.quality import assess, brightness
from edgeface.people.schedule import Inference, Scheduler, choose_schedule
from edgeface.people.tracked import Expected
from edgeface.people.tracker import Tracker
from edgeface.people.visits import VisitBook
from edgeface.questions import QUESTIONS
from edgeface.types import (
    Answer,
    Detections,
    Frame,
    Head,
    Quality,
    Reason,
    Task,
    Track,
)
from edgeface.visit import PlaceChange, Visit, VisitChange

IN_VIEW_S = 0.5
"""Who was not detected for longer is no longer told on ``faces``; the visit goes on until `visits.lost_after`."""
VIEW_S = 0.1
"""Blur and light of a face are measured anew after so many seconds."""
BRIGHTNESS_S = 1.0
"""So is the brightness of the picture."""


class Pipeline:
    """Tracks, schedule and visits of one camera.

    Parameters
    ----------
    camera : its id
    config : the whole configuration
    detector : manifest entry of the detector, for its ``box_to_reference``
    networks : attribute networks in use, with their heads; a network of several heads stands there for each
    new_id : gives ids for visits; random per boot, seeded in a replay
    """

    def __init__(
        self,
        camera: str,
        config: Config,
        *,
        detector: Network,
        networks: Sequence[tuple[Network, Head]],
        new_id: Callable[[], str],
    ) -> None:
        self.camera = camera
        self._settings = config.visits
        self._box_to_reference = detector.box_to_reference
        self._offsets = detector.landmarks_to_reference
        self._networks = {network.name: network for network, _ in networks}
        self._tasks = tasks = {
            name: [head.task for network, head in networks if network.name == name] for name in self._networks
        }
        self._scheduler = Scheduler(
            {name: choose_schedule(network, tasks[name], config) for name, network in self._networks.items()},
            steady=[name for name, network in self._networks.items() if network.time is not None],
        )
        heads: dict[Task, Head] = {head.task: head for _, head in networks}
        settings = config.cameras.get(camera, Camera())
        self._counted = Counted.of(config, camera)
        angle = config.attention.angle if self._counted.attention else None
        watch = Watch(settings.lines, settings.zones, angle=angle)
        self._asks_places = watch.asks_places
        self._book = VisitBook(camera, config.visits, heads, new_id, bands=config.privacy.age_bands, watch=watch)
        self._tracker = Tracker(
            lost_after_s=config.visits.lost_after,
            return_within_s=config.visits.return_within,
            confirm_s=config.visits.confirm,
            high_score=config.detector.score,
            difference=self._book.difference,
        )
        self._privacy = config.privacy
        self._pace = FacesPace(0.0 if config.privacy.least_count else config.visits.faces_rate)
        self._in_view_s = IN_VIEW_S + config.detector.interval
        self._summary: SummaryWindow | AggregateWindow | None = None
        self._tracks: Sequence[Track] = ()
        self._known: set[int] = set()
        self._absent: dict[str, float] = {}
        self._muted: frozenset[Task] = frozenset()
        self._views: dict[int, tuple[float, Quality]] = {}
        self._brightness: tuple[float, float] | None = None
        # Source time, wall time, width and height of the latest frame; the frame itself may be 6 MB.
        self._last: tuple[float, datetime, tuple[int, int]] | None = None
        self._searched_s = float("-inf")

    def succeed(self, other: Pipeline) -> list[Body]:
        """Go on with the people of another pipeline of this camera, by our own rules and networks from now on.

        Tracks and visits keep their ids; who is there is sampled anew. Messages: who has left zones that are no more.
        """
        self._tracker.succeed(other._tracker)
        others = self._book.succeed(other._book, 0.0 if other._last is None else other._last[0])
        self._pace.shown = other._pace.shown
        self._summary, self._tracks, self._known = other._summary, other._tracks, other._known
        self._views = other._views
        self._brightness, self._last, self._absent = other._brightness, other._last, other._absent
        self._searched_s = other._searched_s
        if self._summary is not None:
            asked = {task for tasks in self._tasks.values() for task in tasks}
            self._summary.forget([task for task in QUESTIONS if task not in asked])
            self._summary.count(self._counted, forget=others)
        return [self._place(change) for change in self._book.places]

    def mute(self, tasks: Collection[Task]) -> bool:
        """Ask, keep and tell nothing of these questions from now on, and what was known by them no more.

        Whether that is a change.
        """
        muted = frozenset(tasks)
        if muted == self._muted:
            return False
        self._muted = muted
        self._book.forget(muted)
        self._scheduler.rest(name for name, asked in self._tasks.items() if muted.issuperset(asked))
        if self._summary is not None:
            self._summary.forget(muted)
        return True

    def sample_slower(self, times: float) -> None:
        """Let every network but recurrent ones sample each person so many times as rarely."""
        self._scheduler.slower = times

    def observe(self, frame: Frame, detections: Detections | None) -> tuple[Sighting, list[Request]]:
        """Follow everybody into this frame; say which inferences are due.

        ``detections`` is None for a frame that was not searched: tracks move on by prediction.
        """
        self._last = (frame.time_s, frame.captured_at, (frame.image.shape[1], frame.image.shape[0]))
        if self._brightness is None or frame.time_s - self._brightness[0] >= BRIGHTNESS_S:
            self._brightness = frame.time_s, brightness(frame.image, painted=frame.painted)
        views = None if detections is None else Views(frame.image, detections.boxes)
        tracks = self._tracks = self._tracker.update(frame.time_s, detections, frame.index, views=views)
        if detections is not None:
            self._searched_s = frame.time_s
        seen = [] if detections is None else [track for track in tracks if track.detection is not None]
        qualities = {track.id: self._quality(frame, detections, track) for track in seen if detections}
        live = {track.id for track in tracks}
        self._forget(self._known - live)
        for track in tracks:
            if track.absent:
                self._views.pop(track.id, None)
        self._known = live
        where = None if detections is None else _seen(frame, seen, qualities, places=self._asks_places)
        changes = self._book.observe(frame.time_s, tracks, where)
        due = self._scheduler.due(frame.time_s, {track: quality.score for track, quality in qualities.items()})
        sighting = Sighting(
            frame=frame,
            detections=detections,
            tracks=tracks,
            qualities=qualities,
            changes=changes,
            places=self._book.places,
        )
        return sighting, self._requests(sighting, due) if due else []

    def rest(self, frame: Frame) -> tuple[Sighting, Told]:
        """Take a frame that nobody looks at, so soon after one in which nothing was new that all stays as it was."""
        self._last = (frame.time_s, frame.captured_at, (frame.image.shape[1], frame.image.shape[0]))
        sighting = Sighting(frame=frame, detections=None, tracks=self._tracks, qualities={}, changes=(), places=())
        return sighting, Told(changes=(), bodies=(), look=self._book.current)

    def defer(self, request: Request) -> None:
        """Take back a request of the latest frame that there was no time for: it stays due."""
        self._scheduler.defer(request.network, request.track)

    def absorb(self, sighting: Sighting, answers: Sequence[tuple[int, Answer]]) -> Told:
        """Take the answers of a frame's requests (track id, answer); give the messages that it leads to.

        The first frame of a run also gives a summary, so that a short run shows every message.
        """
        for track, answer in answers:
            if answer.task not in self._muted:
                self._book.absorb(track, answer)
        frame, changes = sighting.frame, sighting.changes
        bodies = self._visits(changes, sighting.places)
        before, self._absent = self._absent, self._book.absent()
        if self._pace.due(frame.time_s, self._book.in_view(self._searched_s, self._in_view_s)):
            visits = self._book.current()
            bodies.append(self._faces([v for v in visits if self._searched_s - v.seen_s <= self._in_view_s]))
        first = self._summary is None
        if self._summary is None:
            self._summary = self._window(frame.time_s)
        due = first or self._summary.due(frame.time_s)
        # Whose visit lasts is looked at as one begins or ends, turns absent or comes back, and at the end of a window.
        others = before.keys() != self._absent.keys() or any(change.event != "update" for change in changes)
        if due or others:
            self._summary.observe(changes, self._book.current())
        if due:
            summary = self._summary.body(frame.time_s, at=frame.captured_at, started_at=self._wall)
            bodies += [] if summary is None else [summary]
        return Told(changes=changes, bodies=bodies, look=self._book.current)

    def away(self, now_s: float) -> Told:
        """End every visit when the camera has given nothing for longer than `visits.lost_after`, as of ``now_s``.

        A slow camera has the patience of its own frame interval. Nothing where nobody is in view.
        """
        silent = self._last is not None and now_s - self._last[0] > self._tracker.rhythm.patience_s(
            self._settings.lost_after
        )
        return self.close("source_ended", now_s=now_s) if silent and (self._known or self._pace.shown) else NOTHING

    def close(self, reason: Reason, *, now_s: float | None = None) -> Told:
        """End every visit, say that nobody is in view, and give a summary; nothing where there was no frame.

        Parameters
        ----------
        now_s : source time at which they end; None: that of the latest frame
        """
        if self._last is None or self._summary is None:
            return NOTHING
        time_s = self._last[0] if now_s is None else now_s
        changes = self._book.close(time_s, reason)
        self._summary.observe(changes, [])
        bodies = self._visits(changes, self._book.places)
        if self._pace.emptied():
            bodies.append(self._faces([], time_s))
        summary = self._summary.body(time_s, at=self._wall(time_s), started_at=self._wall)
        bodies += [] if summary is None else [summary]
        self._tracker.reset()
        self._forget(self._known)
        self._tracks, self._known, self._absent = (), set(), {}
        return Told(changes=changes, bodies=bodies)

    def expected(self, time_s: float) -> list[Expected]:
        """Where everybody who is followed will be at ``time_s``, before the frame is searched."""
        return self._tracker.expected(time_s)

    @property
    def interval_s(self) -> float | None:
        """Seconds between two frames of the camera; None while unknown."""
        return self._tracker.rhythm.interval_s

    @property
    def image_wh(self) -> tuple[int, int] | None:
        """Width and height of the latest frame; None before the first one."""
        return None if self._last is None else self._last[2]

    @property
    def ignored(self) -> int:
        """Faces that were not followed because the tracker was full."""
        return self._tracker.ignored

    @property
    def deferred(self) -> int:
        """Inferences that were due and had to wait for a later frame."""
        return self._scheduler.deferred

    @property
    def absent(self) -> dict[str, datetime]:
        """Visits that last though nobody is there any more, with the wall time of the last sighting."""
        return {visit: self._wall(seen_s) for visit, seen_s in self._absent.items()}

    @property
    def brightness(self) -> float | None:
        """Mean of the picture a second ago at most, 0 to 1; None before the first one."""
        return None if self._brightness is None else self._brightness[1]

    @property
    def nearest_px(self) -> float | None:
        """Height of the largest face in view, pixels; None while nobody is."""
        return max((quality.size_px for _, quality in self._views.values()), default=None)

    def _forget(self, tracks: set[int]) -> None:
        """Drop what is kept of tracks that are gone."""
        self._scheduler.forget(tracks)
        for track in tracks:
            self._views.pop(track, None)

    def _requests(self, sighting: Sighting, due: Sequence[Inference]) -> list[Request]:
        frame, detections = sighting.frame, sighting.detections
        assert detections is not None  # due only for faces in view
        boxes = reference_boxes(detections.boxes, self._box_to_reference)
        rows = {track.id: track.detection for track in sighting.tracks}
        requests: list[Request] = []
        for network, track, overdue_s in due:
            row = rows[track]
            assert row is not None
            landmarks = None if detections.landmarks is None else detections.landmarks[row]
            spec, quality = self._networks[network].input, sighting.qualities[track]
            requests.append(
                Request(
                    network=network,
                    camera=self.camera,
                    track=track,
                    pixels=cut(frame.image, boxes[row], landmarks, spec, offsets=self._offsets, light=quality.light),
                    quality=quality.score,
                    time_s=frame.time_s,
                    overdue_s=overdue_s,
                )
            )
        return requests

    def _quality(self, frame: Frame, detections: Detections, track: Track) -> Quality:
        """How well a face is seen; its pixels are judged ten times a second, its place and pose in every frame."""
        assert track.detection is not None
        row = track.detection
        landmarks = None if detections.landmarks is None else detections.landmarks[row]
        judged_s, view = self._views.get(track.id, (0.0, None))
        like = view if frame.time_s - judged_s < VIEW_S else None
        quality = assess(frame.image, detections.boxes[row], landmarks, float(detections.scores[row]), like=like)
        if like is None:
            self._views[track.id] = (frame.time_s, quality)
        return quality

    def _window(self, start_s: float) -> SummaryWindow | AggregateWindow:
        privacy, bands = self._privacy, self._privacy.age_bands or DECADES
        window: SummaryWindow | AggregateWindow
        if privacy.least_count is None:
            window = SummaryWindow(self.camera, start_s=start_s, bands=bands)
        else:
            window = AggregateWindow(
                self.camera, start_s=start_s, length_s=privacy.period, least=privacy.least_count, bands=bands
            )
        window.count(self._counted)
        return window

    def _visits(self, changes: Sequence[VisitChange], places: Sequence[PlaceChange]) -> list[Body]:
        """Messages of one frame: what a visit did at lines and zones after its start, and before its end."""
        bodies: list[Body] = []
        ending = {change.visit.id for change in changes if change.event == "end"}
        at_end: defaultdict[str, list[PlaceChange]] = defaultdict(list)
        for place in places:
            at_end[place.visit if place.visit in ending else ""].append(place)
        for change in changes:
            bodies += [self._place(place) for place in at_end.pop(change.visit.id, ())]
            bodies.append(self._visit(change))
        return bodies + [self._place(place) for place in at_end[""]]

    def _place(self, change: PlaceChange) -> Body:
        return place_body(self.camera, change, at=self._wall(change.time_s))

    def _visit(self, change: VisitChange) -> Body:
        return visit_body(change, at=self._wall(change.time_s), started_at=self._wall, bands=self._privacy.age_bands)

    def _faces(self, visits: Sequence[Visit], time_s: float | None = None) -> Body:
        """Who is in view, as of ``time_s`` or the latest frame."""
        assert self._last is not None
        last_s, _, (width, height) = self._last
        at = self._wall(last_s if time_s is None else time_s)
        views = {track: quality for track, (_, quality) in self._views.items()}
        bands = self._privacy.age_bands
        return faces_body(self.camera, width, height, visits, at=at, views=views, bands=bands)

    def _wall(self, time_s: float) -> datetime:
        """Wall time of a source time, from the latest frame that has both."""
        assert self._last is not None  # nothing is said before the first frame
        last_s, at, _ = self._last
        return at + timedelta(seconds=time_s - last_s)


def _seen(frame: Frame, tracks: Sequence[Track], qualities: Mapping[int, Quality], *, places: bool) -> dict[int, Seen]:
    """Which way the faces of these tracks point, and where they are if that is asked."""
    if not places:
        return {track.id: Seen(place=None, pose=qualities[track.id].pose) for track in tracks}
    height, width = frame.image.shape[:2]
    seen: dict[int, Seen] = {}
    for track in tracks:
        x1, y1, x2, y2 = track.box.tolist()
        size_px = sqrt(max(0.0, (x2 - x1) * (y2 - y1)))
        place = Place(x=(x1 + x2) / 2 / width, y=(y1 + y2) / 2 / height, width=width, height=height, size_px=size_px)
        seen[track.id] = Seen(place=place, pose=qualities[track.id].pose)
    return seen
