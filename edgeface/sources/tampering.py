"""Whether a live camera still shows its scene: gone dark, covered, or turned to look elsewhere (camera tampering).

Once a second a picture is shrunk to a few thousand values and normalised by its neighbourhood, so that light that
comes and goes leaves it as it is. What stays from minute to minute is the scene. A picture without detail is dark or
covered; one that is full of detail, but of other detail, and keeps it, is another scene: the camera was moved, or
something large was put before it. People pass, and never look the same for so long. Where they never stop passing,
what lasts is what stands behind them: the mean of minutes.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edgeface.types import Frame, Image, Scene

Values = npt.NDArray[np.float32]

LOOK_S = 1.0
"""Between two looks."""
GAP_S = 5.0
"""After a longer silence of the camera nothing is known of what lay between."""
WIDTH = 64
"""Columns of the picture as it is looked at; as many rows as its shape asks for."""
NEIGHBOURHOOD = (9, 9)
"""The values by whose mean and deviation one is normalised."""
NOISE = 3.0
"""Added to that deviation, in steps of brightness: noise and the blocks of an encoder are no detail."""
DARK, LIGHT = 0.06, 0.09
"""Mean brightness, 0 to 1, below which a picture is dark, and from which on it no longer is."""
DETAIL, SHARE, RETURN = 1.0, 0.2, 1.5
"""Detail below which a picture is covered: mean deviation from the neighbourhood, in steps, and as a share of the
scene's own; and how many times as much it takes to be seen again. A scene with less than `BARE` has none to lose. Where
a lamp went off there is less of it, by as much as the picture is darker."""
BARE = 3.0
OTHER, SAME, STEADY = 0.25, 0.45, 0.8
"""Correlation with the scene below which a picture shows another one, and from which on it is the same again; and with
the look before, from which on a picture stays what it is."""
HOLD_S = 10.0
"""So long it must last before it is told; what passes before a lens is no tampering."""
SETTLE_S = 20.0
"""So long a scene must have been seen before another one is told: who is before it as it begins is none."""
BUSY_S, LASTING = 300.0, 0.25
"""So long a picture that never stands still must be another one before it is told, and the share of it that lasts."""
TELL_S = 60.0
"""So long a camera that was moved is told as such; then what it shows is its scene."""
LEARN_S = 300.0
"""Time constant with which the scene follows what is seen."""


class Tampering:
    """Watches the pictures of one camera, over all its connections; no clock is read.

    Attributes
    ----------
    view : how it stands
    """

    def __init__(self) -> None:
        self.view: Scene = "clear"
        self._scene: Values | None = None
        self._detail = self._bright = self._seen_s = 0.0
        self._before: Values | None = None
        self._looked_s = float("-inf")
        self._suspected: Scene = "clear"
        self._since_s = self._told_s = self._steady_s = 0.0
        self._other = np.zeros((0, 0), np.float32)
        self._power, self._looks = 0.0, 0

    def look(self, frame: Frame) -> Scene:
        """Take in the next picture; how the camera's view stands by now."""
        elapsed_s = frame.time_s - self._looked_s
        if elapsed_s < LOOK_S:
            return self.view
        self._looked_s = frame.time_s
        grey = shrunk(frame.image)
        pattern, detail = texture(grey)
        bright = float(grey.mean()) / 255 / max(1 - frame.painted, 1e-3)
        suspected = self._judge(bright, pattern, detail)
        if suspected != self._suspected or elapsed_s > GAP_S:
            self._suspected, self._since_s = suspected, frame.time_s
            self._other, self._power, self._looks = np.zeros_like(pattern), 0.0, 0
        if suspected == "clear":
            self.view = "clear"
            self._learn(pattern, detail, bright, min(elapsed_s, GAP_S))
        elif suspected == "moved":
            self._see_other(pattern, frame.time_s)
        elif frame.time_s - self._since_s >= HOLD_S:
            self.view = suspected
        self._before = pattern
        return self.view

    def _judge(self, bright: float, pattern: Values, detail: float) -> Scene:
        """What one picture alone looks like; ``moved`` is one of another scene, or of people before it."""
        if bright < (LIGHT if self.view == "dark" else DARK):
            return "dark"
        scene = self._scene
        if scene is None or scene.shape != pattern.shape or self._detail < BARE:
            return "clear"
        alike = correlation(pattern, scene)
        covered = max(DETAIL, SHARE * self._detail) * (RETURN if self.view == "covered" else 1)
        # Less light is less detail, and leaves the scene as it is.
        if detail < covered and (alike < OTHER or detail < covered * min(1.0, bright / self._bright)):
            return "covered"
        return "clear" if alike >= (SAME if self.view == "moved" else OTHER) else "moved"

    def _see_other(self, pattern: Values, now_s: float) -> None:
        """Take in a picture that is not of the scene, and is neither dark nor covered."""
        before = self._before
        if before is None or before.shape != pattern.shape or correlation(pattern, before) < STEADY:
            self._steady_s = now_s
        self._other += pattern
        self._power += float(np.vdot(pattern, pattern))
        self._looks += 1
        lasts_s = now_s - self._since_s
        if self.view == "moved":
            if now_s - self._told_s >= TELL_S:
                self.view, self._scene = "clear", None
        elif now_s - max(self._steady_s, self._since_s) >= HOLD_S or (lasts_s >= BUSY_S and self._is_other_place()):
            if self._seen_s < SETTLE_S:
                self._scene = None
            else:
                self.view, self._told_s = "moved", now_s
        elif lasts_s >= HOLD_S:
            self.view = "clear"

    def _is_other_place(self) -> bool:
        """Whether what has been seen instead of the scene is one other place, with people before it."""
        scene, other = self._scene, self._other
        lasting = float(np.vdot(other, other)) / max(1e-9, self._looks * self._power)
        return scene is not None and lasting >= LASTING and correlation(other, scene) < OTHER

    def _learn(self, pattern: Values, detail: float, bright: float, elapsed_s: float) -> None:
        if self._scene is None or self._scene.shape != pattern.shape:
            self._scene, self._detail, self._bright, self._seen_s = pattern.copy(), detail, bright, 0.0
            return
        self._seen_s += elapsed_s
        share = elapsed_s / min(LEARN_S, self._seen_s + LOOK_S)
        self._scene += share * (pattern - self._scene)
        self._detail += share * (detail - self._detail)
        self._bright += share * (bright - self._bright)


def shrunk(image: Image) -> Values:
    """Grey picture of `WIDTH` columns, float32 (h, w), 0 to 255; each value the mean of what it stands for."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (WIDTH, max(1, round(WIDTH * height / width))), interpolation=cv2.INTER_AREA)
    grey: Values = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return grey


def texture(grey: Values) -> tuple[Values, float]:
    """What of a picture does not depend on its light: each value beside its neighbourhood; and how much detail it has.

    What was painted over is 0, with all that borders on it: a mask's edge would stay wherever the camera looks.
    """
    mean = cv2.blur(grey, NEIGHBOURHOOD)
    off = grey - mean
    seen = cv2.erode((grey > 0).astype(np.uint8), np.ones(NEIGHBOURHOOD, np.uint8), borderValue=1)
    off *= seen
    deviation = np.sqrt(cv2.blur(off * off, NEIGHBOURHOOD))
    pattern: Values = off / (deviation + NOISE)
    return pattern, float(np.abs(off).sum() / max(1, int(seen.sum())))


def correlation(one: Values, other: Values) -> float:
    """How alike two patterns are, -1 to 1; 0 where one is blank."""
    both = float(np.vdot(one, one)) * float(np.vdot(other, other))
    return float(np.vdot(one, other)) / both**0.5 if both > 0 else 0.0
