"""Looks: the spells in which a head points towards the camera, their time and their number.

A look begins where a head points at the camera within an angle, and ends beyond a wider one, so that who turns at the
limit is not counted again and again. It counts from 0.3 s on, and outlasts half a second of looking elsewhere or of a
face that is not found: a blink of the detector is no look away. All of it is in seconds of the source.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeface.people.head import off_camera
from edgeface.types import Pose
from edgeface.visit import VisitAttention

HYSTERESIS = 10.0
"""Degrees beyond the angle at which a look ends."""
LEAST_S = 0.3
"""A shorter one is no look: a head that turns by passes the camera, too."""
BREAK_S = 0.5
"""A shorter break is none."""
TICK_S = 1e-3


@dataclass(slots=True)
class Looks:
    """The looks of one person; ``began_s`` and ``seen_s`` are the begin and the latest sight of the one that lasts."""

    looking_s: float = 0.0
    glances: int = 0
    began_s: float | None = None
    seen_s: float = 0.0
    counted: bool = False
    known: bool = False

    def see(self, time_s: float, pose: Pose | None, angle: float) -> None:
        """Take in one frame that was searched; ``pose`` is None where the face, or its points, were not found.

        ``angle`` is in degrees off the camera.
        """
        self.known = self.known or pose is not None
        limit = angle + (HYSTERESIS if self.began_s is not None else 0.0)
        if pose is not None and off_camera(pose) <= limit:
            if self.began_s is None:
                self.began_s = time_s
            self.seen_s = time_s
            if not self.counted and time_s - self.began_s >= LEAST_S - TICK_S:
                self.counted = True
                self.glances += 1
        elif self.began_s is not None and time_s - self.seen_s >= BREAK_S - TICK_S:
            self.end()

    def end(self) -> None:
        """End the look that lasts, if one does."""
        self.looking_s += self._lasting_s()
        self.began_s, self.counted = None, False

    def so_far(self) -> VisitAttention | None:
        """What is known of them; None before a pose was seen."""
        if not self.known:
            return None
        return VisitAttention(looking_s=self.looking_s + self._lasting_s(), glances=self.glances, now=self.counted)

    def _lasting_s(self) -> float:
        return self.seen_s - self.began_s if self.counted and self.began_s is not None else 0.0
