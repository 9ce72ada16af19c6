"""Files in, numbers out: the daemon's own rooms without broker and clock.

A still picture gives every network's answer on every face, without tracks. A video takes the daemon's turn, frame by
frame; each face carries its track and what is known of that visit so far, and a closing object tells the visits.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import count
from pathlib import Path

import numpy as np

from edgeface.config import Camera, Config
from edgeface.crop import cut, reference_boxes
from edgeface.engine.networks import Networks
from edgeface.engine.pipeline import Request, Sighting, Told
from edgeface.engine.turn import Worker
from edgeface.errors import SourceError
from edgeface.offline.results import USUAL, Analysis, Face
from edgeface.people.quality import assess
from edgeface.sources import open_source
from edgeface.types import (
    AffectEstimate,
    AgeEstimate,
    Answer,
    Detections,
    Estimate,
    Frame,
    Image,
    LabelEstimate,
    Quality,
    Task,
    Visit,
    VisitChange,
)

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


def analyze_video(
    path: Path, networks: Networks, config: Config, *, min_score: float | None = None
) -> Generator[tuple[Frame, Analysis, Sequence[VisitChange]], None, None]:
    """Take the daemon's turn with a video: each frame, its faces, and what changed; the last one ends all visits.

    A frame that was not searched (`detector.interval`) shows no faces. Source time starts at 0: the times of visits are
    seconds into the video.

    Raises
    ------
    SourceError : the video cannot be opened; or, after the visits have ended, that it ended too early
    KeyboardInterrupt : likewise after the visits have ended, so that what was seen is kept
    """
    numbers = count(1)
    worker = Worker(
        networks, config, ["main"], new_id=lambda: f"{next(numbers)}", clock=lambda: 0.0, min_score=min_score
    )
    source = open_source("main", Camera(source=str(path)), limits=config.limits, started_at=EPOCH)
    tasks = [head.task for _, head in networks.heads]
    last: Frame | None = None
    failure: SourceError | KeyboardInterrupt | None = None
    try:
        for frame in source.frames():
            ((sighting, told),) = worker.process([frame])
            last = frame
            yield frame, _analysis(str(path), sighting, told, tasks), told.changes
    except (SourceError, KeyboardInterrupt) as error:
        failure = error
    finally:
        source.close()
    if last is not None:
        empty = Analysis(path=str(path), frame=last.index, width=0, height=0, faces=[])
        yield last, empty, worker.close("main", "source_ended").changes
    if failure is not None:
        raise failure


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
        pixels = cut(image, box, _points(found, row), network.input, offsets=detector.landmarks_to_reference)
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
            head.task: clear and head.task in estimates and _certain(head.task, estimates[head.task], config)
            for _, head in networks.heads
        },
        track=None,
        crops=crops,
    )


def _video_face(
    found: Detections, row: int, quality: Quality, track: int, visit: Visit | None, tasks: Sequence[Task]
) -> Face:
    estimates: dict[Task, Estimate] = {}
    if visit is not None and visit.age is not None:
        estimates["age"] = AgeEstimate(years=visit.age.years, low=visit.age.low, high=visit.age.high)
    if visit is not None and visit.gender is not None:
        gender = visit.gender
        estimates["gender"] = LabelEstimate(label=gender.label, probability=gender.probability, probabilities={})
    if visit is not None and visit.expression is not None:
        shares = visit.expression.shares
        estimates["expression"] = LabelEstimate(
            label=visit.expression.dominant,
            probability=shares.get(visit.expression.dominant, 0.0),
            probabilities=shares,
        )
    if visit is not None and visit.affect is not None:
        estimates["affect"] = AffectEstimate(valence=visit.affect.valence, arousal=visit.affect.arousal)
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


def _certain(task: Task, estimate: Estimate, config: Config) -> bool:
    """Would the daemon say it, given samples like this one? It asks for `visits.min_samples` of them."""
    if not isinstance(estimate, LabelEstimate):
        return True
    least = config.visits.gender_certainty if task == "gender" else config.visits.expression_certainty
    return estimate.probability >= least


def _points(found: Detections, row: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None:
    return None if found.landmarks is None else found.landmarks[row]


def _point_tuples(found: Detections, row: int) -> tuple[tuple[float, ...], ...] | None:
    return None if found.landmarks is None else tuple(_floats(point) for point in found.landmarks[row])


def _floats(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
