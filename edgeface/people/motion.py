"""How a face moves: a Kalman filter of place and velocity, in face sizes and seconds whatever the frame rate.

White acceleration (Bar-Shalom, Li, Kirubarajan 2001, section 6.2.2), the same in x and y, so one covariance serves
both. Plain Python floats: with a handful of faces numpy's call overhead would cost more than the arithmetic.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, hypot, inf, log

NOISE = 0.03
"""Deviation of a detected centre, in face sizes."""
AGILITY = 0.3
"""How fast velocities wander: variance of the velocity, in (face sizes per second) squared, gained in a second."""
SPEED = 1.0
"""Deviation of a velocity that is not known yet, in face sizes per second."""
INNOVATION_MOST = 9.0
"""Squared innovation, in deviations, from which on somebody has turned: the velocity is learned anew."""
SIZE_S = 0.15
"""Time constant of the size."""
COAST_S = 1.0
"""Time constant with which a velocity fades while a person is not seen: people stop, they do not fly away."""
SIZE_RATIO, SIZE_NOISE = 2.0, 0.2
"""A face does not grow or shrink beyond this factor between two sightings; deviation of the factor's logarithm."""
LOG_SIZE_RATIO = log(SIZE_RATIO)
ABOVE_ROUNDING = 1.001
"""So much farther is looked than a gate reaches, that no rounding leaves a face out."""
ODD_SIZES, LOG_ODD_RATIO = 0.3, log(1.15)
"""Innovation in face sizes, and change of size, from which on it may be somebody else, who came in at that moment."""

STRIDE_SIZES, STRIDE_SPEED, STRIDE_MOST, STRIDE_S = 0.55, 15.0, 8.0, 1.0
"""Farthest second sighting in face sizes: a base, plus a runner's face sizes per second, an upper bound; and the
longest time in seconds between both. A walk at 1.4 m/s is 8.75 face widths a second at any distance."""
LOG_STRIDE_RATIO = log(1.5)
"""Logarithm of the largest change of size from a first to such a second sighting."""

Face = tuple[float, float, float, float]
"""Centre x and y, width and height of a box, in pixels."""


@dataclass(slots=True)
class Motion:
    """Where a face is and how it moves.

    Attributes
    ----------
    x, y, width, height, vx, vy : centre, size and velocity, in pixels and pixels per second
    place_var, mixed_var, speed_var : covariance of place and velocity, in face sizes and seconds
    seen_s, last_x, last_y : time and centre of the latest detection
    """

    x: float
    y: float
    width: float
    height: float
    seen_s: float
    last_x: float
    last_y: float
    vx: float = 0.0
    vy: float = 0.0
    place_var: float = NOISE * NOISE
    mixed_var: float = 0.0
    speed_var: float = SPEED * SPEED

    @property
    def size(self) -> float:
        """Mean of width and height, pixels."""
        return (self.width + self.height) / 2

    @property
    def face(self) -> Face:
        """Where it is now, as a face."""
        return self.x, self.y, self.width, self.height


def begin(face: Face, time_s: float) -> Motion:
    """Take a face that was seen for the first time; how it moves is not known yet."""
    x, y, width, height = face
    return Motion(x=x, y=y, width=width, height=height, seen_s=time_s, last_x=x, last_y=y)


def predict(motion: Motion, elapsed_s: float, time_s: float) -> None:
    """Move a face on by ``elapsed_s``, to ``time_s``."""
    if elapsed_s == 0:
        return
    motion.x, motion.y, motion.vx, motion.vy, place_var = ahead(motion, elapsed_s, time_s)
    gained = AGILITY * elapsed_s
    motion.place_var = place_var
    motion.mixed_var += elapsed_s * (motion.speed_var + gained / 2)
    motion.speed_var += gained


def ahead(motion: Motion, elapsed_s: float, time_s: float) -> tuple[float, float, float, float, float]:
    """Where a face will be after ``elapsed_s``, at ``time_s``: centre, velocity, variance of the place."""
    vx, vy = motion.vx, motion.vy
    # Fades from the second frame without the face on: the first prediction after a sighting is at full speed.
    if time_s - elapsed_s > motion.seen_s:
        fade = exp(-elapsed_s / COAST_S)
        vx, vy = vx * fade, vy * fade
    gained = AGILITY * elapsed_s
    place_var = motion.place_var + elapsed_s * (2 * motion.mixed_var + elapsed_s * (motion.speed_var + gained / 3))
    return motion.x + vx * elapsed_s, motion.y + vy * elapsed_s, vx, vy, place_var


def correct(motion: Motion, face: Face, time_s: float) -> None:
    """Take in that the face was found there at ``time_s``, to which it was predicted."""
    x, y, width, height = face
    off_x, off_y = x - motion.x, y - motion.y  # the innovation
    spread = motion.place_var + NOISE * NOISE
    place_gain, speed_gain = motion.place_var / spread, motion.mixed_var / spread
    motion.x += place_gain * off_x
    motion.y += place_gain * off_y
    motion.vx += speed_gain * off_x
    motion.vy += speed_gain * off_y
    motion.speed_var -= speed_gain * motion.mixed_var
    motion.mixed_var *= 1 - place_gain
    motion.place_var *= 1 - place_gain
    if off_x * off_x + off_y * off_y > INNOVATION_MOST * spread * motion.size * motion.size:
        motion.speed_var = max(motion.speed_var, SPEED * SPEED)
    gain = 1 - exp(-max(time_s - motion.seen_s, 1e-3) / SIZE_S)
    motion.width += gain * (width - motion.width)
    motion.height += gain * (height - motion.height)
    motion.seen_s, motion.last_x, motion.last_y = time_s, x, y


def association_cost(motion: Motion, face: Face, *, gate: float) -> float | None:
    """Minus twice the logarithm of how well a face fits a motion, from 0; None when it cannot be the same person.

    Who is within ``gate`` (face sizes) of the prediction, or of the last sighting, may be the same: people turn while
    they are hidden. The tails are heavy for the same reason (Student's t with two degrees of freedom). A face that was
    seen just now is surer of its place than one that was not: of two at one place it keeps the only detection.
    """
    if association_offset(motion, face, gate=gate) is None:
        return None
    x, y, width, height = face
    off = hypot(x - motion.x, y - motion.y) / max(motion.size, (width + height) / 2)
    ratio = abs(log((width + height) / (2 * motion.size)))
    spread = motion.place_var + NOISE * NOISE
    place = 4 * log(1 + off * off / (2 * spread)) + 2 * log(spread / (NOISE * NOISE))
    return place + 2 * log(1 + (ratio / SIZE_NOISE) ** 2)


def association_offset(motion: Motion, face: Face, *, gate: float) -> float | None:
    """Face sizes from the prediction or the last sighting, the nearer one; None beyond the gate, or in another size."""
    x, y, width, height = face
    own, other = motion.width + motion.height, width + height
    size = (own if own > other else other) / 2
    reach = gate * size
    off_x, off_y, last_x, last_y = x - motion.x, y - motion.y, x - motion.last_x, y - motion.last_y
    # In a crowd nearly every pair is far apart: comparisons find that out before anything is called.
    if not (-reach <= off_x <= reach and -reach <= off_y <= reach) and (
        not -reach <= last_x <= reach or not -reach <= last_y <= reach
    ):
        return None
    off = min(hypot(off_x, off_y), hypot(last_x, last_y)) / size
    return off if off <= gate and abs(log(other / own)) <= LOG_SIZE_RATIO else None


def within(motion: Motion, across: Sequence[tuple[float, int, float]], *, gate: float) -> list[int]:
    """Rows of the faces that can have an `association_offset` within ``gate``, ascending: a few more than have one.

    ``across`` are x, row and y of all faces, in order: in a crowd only those of the same part of it are looked at.
    """
    # A face of more than twice the size is another one's, so the larger of both sizes is at most width + height.
    reach = gate * (motion.width + motion.height) * ABOVE_ROUNDING
    left, right = min(motion.x, motion.last_x) - reach, max(motion.x, motion.last_x) + reach
    top, bottom = min(motion.y, motion.last_y) - reach, max(motion.y, motion.last_y) + reach
    among = across[bisect_left(across, (left,)) : bisect_right(across, (right, inf))]
    return sorted(row for _, row, y in among if top <= y <= bottom)


def odd(motion: Motion, face: Face) -> bool:
    """Whether a face lies further from where it was predicted, or is of another size, than from frame to frame."""
    x, y, width, height = face
    size = max(motion.size, (width + height) / 2)
    ratio = abs(log((width + height) / (2 * motion.size)))
    return hypot(x - motion.x, y - motion.y) > ODD_SIZES * size or ratio > LOG_ODD_RATIO


def stride(motion: Motion, face: Face, time_s: float) -> float | None:
    """How far a second sighting lies from the first, as a share of how far anybody gets, 0 to 1; None beyond that."""
    x, y, width, height = face
    elapsed_s = time_s - motion.seen_s
    if elapsed_s > STRIDE_S or abs(log((width + height) / (2 * motion.size))) > LOG_STRIDE_RATIO:
        return None
    gate = min(STRIDE_MOST, STRIDE_SIZES + STRIDE_SPEED * elapsed_s) * max(motion.size, (width + height) / 2)
    share = hypot(x - motion.last_x, y - motion.last_y) / gate
    return share if share <= 1 else None
