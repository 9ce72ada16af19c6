"""The values that travel between rooms: frozen, keyword-only, checked for shape when made.

They are structs of msgspec, which C makes: a frame makes some twenty, and a frozen dataclass sets each field by a call.

Times called ``time_s`` are *source time*: a file's time stamps, or the monotonic capture time of a live source, in
seconds. They are for arithmetic and never run backwards within a source. Wall time (`Frame.captured_at`) is for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
"""uint8, (H, W, 3), BGR."""

Task = Literal["age", "gender", "expression", "affect"]
Event = Literal["start", "update", "end"]
Reason = Literal["lost", "source_ended", "stopped", "power", "paused"]
Scene = Literal["clear", "dark", "covered", "moved"]
"""Whether a camera's picture shows what it usually does."""


def expect_shape(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise ValueError unless ``array`` has exactly ``shape``."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")


class Frame(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One picture from one camera.

    Attributes
    ----------
    image : uint8 array, shape (H, W, 3), BGR
    camera : id of the camera as configured
    index : running number within the source, from 0; frames that a live source dropped leave gaps
    time_s : source time in seconds
    captured_at : wall time, aware, UTC; for files the handed-in start time plus the time stamp
    still : a picture of its own, none of a video: faces are looked for in the larger size
    painted : share of the picture that masks and regions have painted black, 0 to 1
    small : the same view, shape (h, w, 3), where the camera's hardware makes it in a second, smaller size: faces are
        looked for in it, and told in pixels of ``image``
    """

    image: Image
    camera: str
    index: int
    time_s: float
    captured_at: datetime
    still: bool = False
    painted: float = 0.0
    small: Image | None = None

    def __post_init__(self) -> None:
        for image in (self.image,) if self.small is None else (self.image, self.small):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ValueError(f"image is {image.dtype} {image.shape}, expected uint8 (H, W, 3)")


class Detections(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Faces found in one frame, best first.

    Attributes
    ----------
    boxes : float32 array, shape (N, 4)
        x1, y1, x2, y2 in frame pixels, inside the frame; x2 and y2 lie outside the face.
    scores : float32 array, shape (N,)
        Detector confidence, 0 to 1; not a calibrated probability.
    landmarks : float32 array, shape (N, 5, 2), or None
        Left eye, right eye, nose, left and right mouth corner, as seen in the image, in frame pixels.
    """

    boxes: F32
    scores: F32
    landmarks: F32 | None = None

    def __post_init__(self) -> None:
        n = len(self.boxes)
        expect_shape("boxes", self.boxes, (n, 4))
        expect_shape("scores", self.scores, (n,))
        if self.landmarks is not None:
            expect_shape("landmarks", self.landmarks, (n, 5, 2))

    def __len__(self) -> int:
        return len(self.boxes)


class Pose(msgspec.Struct, frozen=True, kw_only=True):
    """Which way a head points, degrees: 0, 0, 0 is upright and towards the camera.

    Attributes
    ----------
    yaw : turned to the picture's right above 0, to its left below; -90 to 90
    pitch : nose up above 0, down below; -90 to 90
    roll : tilted counter-clockwise in the picture above 0, clockwise below; -180 to 180
    """

    yaw: float
    pitch: float
    roll: float


class Quality(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """How well a face can be seen; all but ``size_px``, ``yaw`` and ``pose`` are 0 to 1.

    Attributes
    ----------
    size_px : height of the box in frame pixels
    blur : 0 sharp, 1 no detail left
    yaw : -1 (nose over the image-left eye, or beyond) to 1 (the right one), 0 frontal; 0 where no landmarks are known
    light : 0 too dark or burnt out, 1 well exposed
    cut_off : share of the box that lies beyond the frame's edge as far as can be told, 0 for a whole face
    score : all of the above and the detector's score in one weight
    pose : which way the head points, in degrees; None where no landmarks are known
    """

    size_px: float
    blur: float
    yaw: float
    light: float
    cut_off: float
    score: float
    pose: Pose | None = None


class Track(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One person as the tracker sees them at one instant.

    Attributes
    ----------
    id : number of the track, unique within the camera and the run
    box : float32 array, shape (4,), frame pixels: measured where ``detection`` is set, predicted otherwise
    score : detector score of the last real detection
    detection : row of `Detections` that this track took in this frame, or None (not seen, or detection skipped)
    started_s, seen_s : source time of the first and of the latest real detection
    confirmed : whether it has been seen long and often enough to be a person's visit
    absent : whether it was not detected for so long that nobody counts as there; who returns goes on with it
    joined : number of the track that was found in this frame to be this one's person, come back
    exchanged : number of the tentative track with which it was found in this frame to have exchanged faces
    """

    id: int
    box: F32
    score: float
    detection: int | None
    started_s: float
    seen_s: float
    confirmed: bool
    absent: bool = False
    joined: int | None = None
    exchanged: int | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A sample: what one inference said of one face.

    Attributes
    ----------
    task : which question it answers
    probabilities : float32 array, shape (K,), sums to 1: over the labels, or over the ages of the head's support;
        of affect the two values themselves, valence and arousal
    quality : 0 to 1, the weight that this sample deserves (`Quality.score`)
    time_s : source time of the frame that was sampled
    """

    task: Task
    probabilities: F32
    quality: float
    time_s: float


class AgeEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """Apparent age in years, with the 10th and 90th percentile of the network's own distribution."""

    years: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.years:.0f} years ({self.low:.0f}-{self.high:.0f})"


class LabelEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """The likeliest label, its probability, and all probabilities by label in the network's order."""

    label: str
    probability: float
    probabilities: Mapping[str, float]

    def __str__(self) -> str:
        return f"{self.label} {self.probability:.0%}"


class AffectEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a face shows, on two axes, each -1 to 1: unpleasant to pleasant, calm to excited."""

    valence: float
    arousal: float

    def __str__(self) -> str:
        return f"valence {self.valence:+.2f}, arousal {self.arousal:+.2f}"


Estimate = AgeEstimate | LabelEstimate | AffectEstimate


class Head(Protocol):
    """How a network's output is read: from raw arrays to probabilities, from probabilities to an estimate."""

    @property
    def task(self) -> Task:
        """The question that this head answers."""

    @property
    def certainty(self) -> float | None:
        """Probability below which its answer is unknown, as the bundle says; None where it does not."""

    def probabilities(self, outputs: Mapping[str, F32]) -> F32:
        """Shape (N, K), as `Answer.probabilities`, from the named outputs of a batch of N."""

    def estimate(self, probabilities: F32) -> Estimate:
        """Read one row, shape (K,)."""


class AgeHead(Head, Protocol):
    """A head whose `estimate` is an `AgeEstimate`: both parts of it alone, for who wants no more."""

    def years(self, probabilities: F32) -> float:
        """`AgeEstimate.years` of one row."""

    def bounds(self, probabilities: F32) -> tuple[float, float]:
        """`AgeEstimate.low` and `AgeEstimate.high` of one row."""
