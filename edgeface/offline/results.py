"""What `edgeface analyze` found: the values, as JSON, and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeface.types import AffectEstimate, AgeEstimate, Estimate, Image, Quality, Task, Visit

USUAL: tuple[Task, ...] = ("age", "gender", "expression")
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysis:
    """All faces of one picture or frame, best first; none of one not ``searched`` (`detector.interval`)."""

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
            quality=replace(face.quality, size_px=face.quality.size_px * scale),
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
    ended_s = visit.seen_s if visit.ended_s is None else visit.ended_s
    age, gender, expression = visit.age, visit.gender, visit.expression
    line: dict[str, object] = {
        "track": visit.track,
        "started": round(visit.started_s, 3),
        "ended": round(ended_s, 3),
        "seconds": round(ended_s - visit.started_s, 3),
        "age": age
        and {
            "years": round(age.years, 1),
            "low": round(age.low, 1),
            "high": round(age.high, 1),
            "spread": None if age.spread is None else round(age.spread, 2),
            "samples": age.samples,
        },
        "gender": gender
        and {"label": gender.label, "probability": round(gender.probability, 4), "samples": gender.samples},
        "expression": expression
        and {
            "dominant": expression.dominant,
            "shares": {label: round(share, 4) for label, share in expression.shares.items()},
            "samples": expression.samples,
        },
    }
    if visit.affect is not None:
        affect = visit.affect
        line["affect"] = {**_affect_json(affect.valence, affect.arousal), "samples": affect.samples}
    return line


def describe(face: Face) -> list[str]:
    """A face in words, one line each for age, gender, expression, affect; what is not known has a question mark."""
    lines: list[str] = []
    for task, estimate in face.estimates.items():
        doubt = "" if face.known[task] else " ?"
        if isinstance(estimate, AgeEstimate):
            lines.append(f"{estimate.years:.0f} years ({estimate.low:.0f}-{estimate.high:.0f}){doubt}")
        elif isinstance(estimate, AffectEstimate):
            lines.append(f"valence {estimate.valence:+.2f}, arousal {estimate.arousal:+.2f}{doubt}")
        else:
            lines.append(f"{estimate.label} {estimate.probability:.0%}{doubt}")
    return lines


def as_text(analysis: Analysis) -> str:
    """Tell of a picture in words, one line a face."""
    lines = [f"{analysis.path}: {len(analysis.faces)} face{'' if len(analysis.faces) == 1 else 's'}"]
    for number, face in enumerate(analysis.faces, start=1):
        box = " ".join(f"{value:.0f}" for value in face.box)
        lines.append(f"face {number}: box {box}, score {face.score:.2f}, {', '.join(describe(face))}")
    return "\n".join(lines) + "\n"


def visits_as_text(path: Path, visits: Sequence[dict[str, Any]]) -> str:
    """Tell of a video in words, one line a visit; ``visits`` as `visit_json` gives them."""
    lines = [f"{path}: {len(visits)} visit{'' if len(visits) == 1 else 's'}"]
    for visit in visits:
        said = [
            f"about {visit['age']['years']:.0f} years" if visit["age"] else "age unknown",
            visit["gender"]["label"] if visit["gender"] else "gender unknown",
            f"mostly {visit['expression']['dominant']}" if visit["expression"] else "expression unknown",
        ]
        if affect := visit.get("affect"):
            said.append(f"valence {affect['valence']:+.1f}, arousal {affect['arousal']:+.1f}")
        lines.append(f"person {visit['track']}: {visit['started']:.1f} s to {visit['ended']:.1f} s, {', '.join(said)}")
    return "\n".join(lines) + "\n"


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
    for task, estimate in face.estimates.items():
        line[task] = _estimate_json(task, estimate)
    if face.track is not None:
        line["track"] = face.track
    return line


def _estimate_json(task: Task, estimate: Estimate) -> dict[str, object]:
    if isinstance(estimate, AgeEstimate):
        return {key: round(getattr(estimate, key), 1) for key in ("years", "low", "high")}
    if isinstance(estimate, AffectEstimate):
        return _affect_json(estimate.valence, estimate.arousal)
    if task == "gender":
        return {"label": estimate.label, "probability": round(estimate.probability, 4)}
    probabilities = {label: round(p, 4) for label, p in estimate.probabilities.items()}
    return {"label": estimate.label, "probabilities": probabilities}


def _affect_json(valence: float, arousal: float) -> dict[str, object]:
    return {"valence": round(valence, 3), "arousal": round(arousal, 3)}
