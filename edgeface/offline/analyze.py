"""Files in, numbers out: the daemon's own rooms without broker and clock.

A still picture gives every network's answer on every face, without tracks. A video takes the daemon's turn, frame by
frame; each face carries its track and what is known of that visit so far, and a closing object tells the visits.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from itertools import count
from pathlib import Path

import msgspec
import numpy as np

from edgeface.config import Camera, Config
from edgeface.crop import cut, reference_boxes
from edgeface.engine.networks import Networks
from edgeface.engine.steps import Request, Sighting, Told
from edgeface.engine.turn import Worker
from edgeface.offline.naming import Naming
from edgeface.offline.results import USUAL, Analysis, Face
from edgeface.people.quality import assess
from edgeface.questions import QUESTIONS, by_task
from edgeface.sources import open_source
from edgeface.types import (
    Answer,
    Detections,
    Estimate,
    Frame,
    Head,
    Image,
    LabelEstimate,
    Quality,
    Task,
)
from edgeface.visit import Visit

EPOCH = datetime.fromtimestamp(0, timezone.utc)


def analyze_image(
    image: Image, networks: Networks, config: Config, *, path: str, min_score: float, crops: bool = False
) -> Analysis:
    """Run every network on every face of one still picture.

    Parameters
    ----------
    image : uint8 (H, W, 3), BGR, as a person sees it
    min_score : least detector score of a face
    crops : keep the pixels that each network saw
    """
    found = networks.detect(image, min_score=min_score)
    qualities = [
        assess(image, found.boxes[row], _points(found, row), float(found.scores[row])) for row in range(len(found))
    ]
    requests = [
        request for row, quality in enumerate(qualities) for request in _requests(image, found, row, quality, networks)
    ]
    answers: list[dict[Task, Answer]] = [{} for _ in qualities]
    seen: list[dict[str, Image]] = [{} for _ in qualities]
    for request, said in zip(requests, networks.answer(requests), strict=True):
        answers[request.track] |= {answer.task: answer for answer in said}
        if crops:
            seen[request.track][request.network] = request.pixels
    faces = [
        _still_face(found, row, qualities[row], answers[row], seen[row], networks, config) for row in range(len(found))
    ]
    return Analysis(path=path, frame=0, width=image.shape[1], height=image.shape[0], faces=faces)


class VideoAnalysis:
    """The daemon's turn with a video. Source time starts at 0: the times of visits are seconds into the video.

    Parameters
    ----------
    camera : whose lines and zones are counted, and as which the pictures are turned, mirrored and painted over; None:
        the pictures as they are, and neither

    Attributes
    ----------
    visits : those that have ended
    """

    def __init__(
        self,
        path: Path,
        networks: Networks,
        config: Config,
        *,
        min_score: float | None = None,
        camera: Camera | None = None,
    ) -> None:
        numbers = count(1)
        self._camera = msgspec.structs.replace(camera or Camera(), source=str(path), pace="max")
        config = msgspec.structs.replace(config, cameras={"main": self._camera})
        self._worker = Worker(
            networks, config, ["main"], new_id=lambda: f"{next(numbers)}", clock=lambda: 0.0, min_score=min_score
        )
        self._path = path
        self._limits = config.limits
        self._tasks = [head.task for _, head in networks.heads]
        self._naming = Naming()
        self.visits: list[Visit] = []

    def frames(self) -> Generator[tuple[Frame, Analysis, list[Analysis]], None, None]:
        """Each frame and its faces; none of a frame that was not searched (`detector.interval`).

        Of one that was not searched since nothing has changed (`detector.motion`), those of the frame before.
        The third are earlier frames of which it is known by now to which visit each face belongs, in their order.

        Raises
        ------
        SourceError : the video cannot be opened, or ends too early
        """
        latest: Analysis | None = None
        source = open_source("main", self._camera, limits=self._limits, started_at=EPOCH)
        with closing(source):
            for frame in source.frames():
                ((sighting, told),) = self._worker.process([frame])
                self._keep(told)
                if latest is not None and self._worker.resting("main"):
                    # Nothing has changed: who was found there is there still.
                    latest = replace(latest, frame=frame.index, searched=False)
                else:
                    latest = _analysis(str(self._path), sighting, told, self._tasks)
                yield frame, latest, self._naming.add(latest, frame.time_s, sighting.tracks, told.visits)

    def close(self) -> list[Analysis]:
        """End all visits, wherever the video was left: what was seen is kept. The frames that `frames` still held."""
        self._keep(self._worker.close("main", "source_ended"))
        return self._naming.rest()

    def _keep(self, told: Told) -> None:
        self.visits += [change.visit for change in told.changes if change.event == "end"]


def _analysis(path: str, sighting: Sighting, told: Told, tasks: Sequence[Task]) -> Analysis:
    """Faces of one frame of a video, with what is known of their visits."""
    frame, found = sighting.frame, sighting.detections
    height, width = frame.image.shape[:2]
    visits = {visit.track: visit for visit in told.visits}
    faces = [
        _video_face(found, track.detection, sighting.qualities[track.id], track.id, visits.get(track.id), tasks)
        for track in sighting.tracks
        if found is not None and track.detection is not None
    ]
    return Analysis(path=path, frame=frame.index, width=width, height=height, faces=faces, searched=found is not None)


def _requests(image: Image, found: Detections, row: int, quality: Quality, networks: Networks) -> Iterator[Request]:
    detector = networks.detector.network
    box = reference_boxes(found.boxes[row : row + 1], detector.box_to_reference)[0]
    for name, (network, _, _) in networks.attributes.items():
        pixels = cut(
            image,
            box,
            _points(found, row),
            network.input,
            offsets=detector.landmarks_to_reference,
            light=quality.light,
        )
        yield Request(network=name, camera="", track=row, pixels=pixels, quality=quality.score, time_s=0.0)


def _still_face(
    found: Detections,
    row: int,
    quality: Quality,
    answers: Mapping[Task, Answer],
    crops: Mapping[str, Image],
    networks: Networks,
    config: Config,
) -> Face:
    estimates = {
        head.task: head.estimate(answers[head.task].probabilities) for _, head in networks.heads if head.task in answers
    }
    clear = quality.score >= config.visits.min_quality
    return Face(
        box=_floats(found.boxes[row]),
        score=float(found.scores[row]),
        landmarks=_point_tuples(found, row),
        quality=quality,
        estimates=estimates,
        known={
            head.task: clear and head.task in estimates and _certain(head, estimates[head.task], config)
            for _, head in networks.heads
        },
        track=None,
        crops=crops,
    )


def _video_face(
    found: Detections, row: int, quality: Quality, track: int, visit: Visit | None, tasks: Sequence[Task]
) -> Face:
    known = {} if visit is None else by_task(visit.known)
    estimates = {task: QUESTIONS[task].estimate(value) for task, value in known.items() if value is not None}
    return Face(
        box=_floats(found.boxes[row]),
        score=float(found.scores[row]),
        landmarks=_point_tuples(found, row),
        quality=quality,
        estimates=estimates,
        known={task: task in estimates for task in dict.fromkeys((*USUAL, *tasks))},
        track=track,
        crops={},
    )


def _certain(head: Head, estimate: Estimate, config: Config) -> bool:
    """Would the daemon say it, given samples like this one? It asks for `visits.min_samples` of them."""
    least = config.visits.certainty(head.task, head.certainty)
    return not isinstance(estimate, LabelEstimate) or estimate.probability >= least


def _points(found: Detections, row: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None:
    return None if found.landmarks is None else found.landmarks[row]


def _point_tuples(found: Detections, row: int) -> tuple[tuple[float, ...], ...] | None:
    return None if found.landmarks is None else tuple(_floats(point) for point in found.landmarks[row])


def _floats(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
