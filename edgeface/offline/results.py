"""What `edgeface analyze` found: the values, as JSON, and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from edgeface.questions import QUESTIONS, message_parts
from edgeface.types import Estimate, Image, Quality, Task
from edgeface.visit import Conduct, Visit

USUAL = tuple(task for task, question in QUESTIONS.items() if question.usual)
"""What every face and visit tells of, be it unknown; `affect` stands there only where a network answers it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """One face of one picture or frame.

    Attributes
    ----------
    box : x1, y1, x2, y2 in pixels of the picture
    landmarks : five x, y, or None
    estimates : by task: what the networks say of this sample (stills) or of the visit so far (video)
    known : by task: whether the daemon would say it
    track : number of the person within the video, None for stills
    visit : the visit that the face belongs to, None for stills and for who was there too briefly
    crops : by network: the pixels that it saw, in its colour order; empty unless asked for
    """

    box: tuple[float, ...]
    score: float
    landmarks: tuple[tuple[float, ...], ...] | None
    quality: Quality
    estimates: Mapping[Task, Estimate]
    known: Mapping[Task, bool]
    track: int | None
    crops: Mapping[str, Image]
    visit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysis:
    """All faces of one picture or frame, best first.

    One that was not ``searched`` has none (`detector.interval`), or those of before (`detector.motion`).
    """

    path: str
    frame: int
    width: int
    height: int
    faces: Sequence[Face]
    searched: bool = True


def enlarged(analysis: Analysis, scale: int, original_wh: tuple[int, int]) -> Analysis:
    """Return the same faces in the pixels of a picture that was decoded at ``1 / scale`` of its size."""
    if scale == 1:
        return analysis
    faces = [
        replace(
            face,
            box=tuple(min(value * scale, original_wh[i % 2]) for i, value in enumerate(face.box)),
            landmarks=face.landmarks and tuple((x * scale, y * scale) for x, y in face.landmarks),
            quality=msgspec.structs.replace(face.quality, size_px=face.quality.size_px * scale),
        )
        for face in analysis.faces
    ]
    return replace(analysis, width=original_wh[0], height=original_wh[1], faces=faces)


def as_json(analysis: Analysis) -> dict[str, object]:
    """One line of `analyze --json`; ``searched`` is there, and false, where nobody looked for faces."""
    line: dict[str, object] = {
        "path": analysis.path,
        "frame": analysis.frame,
        "width": analysis.width,
        "height": analysis.height,
        "faces": [_face_json(face) for face in analysis.faces],
    }
    return line if analysis.searched else line | {"searched": False}


def visit_json(visit: Visit) -> dict[str, object]:
    """One visit of a video's closing object; times in seconds into the video. ``affect`` is there when known."""
    started_s, ended_s = _from_to(visit)
    conduct, known = visit.conduct, visit.conduct.attention
    parts = {task: part for task, part in message_parts(visit.known).items() if part is not None or task in USUAL}
    return {
        "track": visit.track,
        "visit": visit.id,
        "started": round(started_s, 3),
        "ended": round(ended_s, 3),
        "seconds": round(ended_s - started_s, 3),
        **msgspec.to_builtins(parts),
        "attention": known and {"looking": round(known.looking_s, 3), "glances": known.glances},
        **({"lines": msgspec.to_builtins(conduct.lines)} if conduct.lines else {}),
        **({"zones": {zone: round(time.seconds, 3) for zone, time in conduct.zones.items()}} if conduct.zones else {}),
    }


def describe(face: Face) -> list[str]:
    """A face in words, one line for each question; what is not known has a question mark."""
    return [f"{estimate}{'' if face.known[task] else ' ?'}" for task, estimate in face.estimates.items()]


def as_text(analysis: Analysis) -> str:
    """Tell of a picture in words, one line a face."""
    lines = [f"{analysis.path}: {len(analysis.faces)} face{'' if len(analysis.faces) == 1 else 's'}"]
    for number, face in enumerate(analysis.faces, start=1):
        box = " ".join(f"{value:.0f}" for value in face.box)
        lines.append(f"face {number}: box {box}, score {face.score:.2f}, {', '.join(describe(face))}")
    return "\n".join(lines) + "\n"


def visits_as_text(path: Path, visits: Sequence[Visit]) -> str:
    """Tell of a video in words, one line a visit."""
    lines = [f"{path}: {len(visits)} visit{'' if len(visits) == 1 else 's'}"]
    for visit in visits:
        said = [
            f"{task} unknown" if part is None else QUESTIONS[task].brief(part)
            for task, part in message_parts(visit.known).items()
            if part is not None or task in USUAL
        ]
        said += _did(visit.conduct)
        started_s, ended_s = _from_to(visit)
        lines.append(
            f"person {visit.track}: {round(started_s, 3):.1f} s to {round(ended_s, 3):.1f} s, {', '.join(said)}"
        )
    return "\n".join(lines) + "\n"


def _did(conduct: Conduct) -> list[str]:
    """Looks, crossings and times in zones, in words."""
    said: list[str] = []
    known = conduct.attention
    if known is not None and known.glances:
        said.append(f"faced the camera {known.looking_s:.1f} s ({known.glances}x)")
    said += [f"{line} {way} {n}x" for line, ways in conduct.lines.items() for way, n in ways.items() if n]
    return said + [f"in {zone} {time.seconds:.1f} s" for zone, time in conduct.zones.items() if time.entries]


def _from_to(visit: Visit) -> tuple[float, float]:
    return visit.started_s, visit.seen_s if visit.ended_s is None else visit.ended_s


def _face_json(face: Face) -> dict[str, object]:
    quality = face.quality
    line: dict[str, object] = {
        "box": [round(value, 1) for value in face.box],
        "score": round(face.score, 4),
        "landmarks": face.landmarks and [[round(x, 1), round(y, 1)] for x, y in face.landmarks],
        **dict.fromkeys((*USUAL, *face.known)),
        "known": dict(face.known),
        "quality": {
            "size_px": round(quality.size_px, 1),
            "blur": round(quality.blur, 3),
            "yaw": round(quality.yaw, 3),
            "light": round(quality.light, 3),
            "cut_off": round(quality.cut_off, 3),
            "score": round(quality.score, 3),
        },
    }
    pose = quality.pose
    line["pose"] = pose and {"yaw": round(pose.yaw, 1), "pitch": round(pose.pitch, 1), "roll": round(pose.roll, 1)}
    for task, estimate in face.estimates.items():
        line[task] = QUESTIONS[task].sample_fields(estimate)
    if face.track is not None:
        line |= {"track": face.track, "visit": face.visit}
    return line
