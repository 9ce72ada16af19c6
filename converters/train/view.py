"""How a network's input lies in a stored crop: the same rule with more room around the face, for the jitter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from edgeface.bundle import BoxCrop, CropRule, Input, LandmarkCrop
from edgeface.errors import UsageError

ROOM = 0.25
"""Padding beyond the network's own, in shares of the unpadded crop: two and a half deviations of the usual shift."""
LEAST_PX, STEP_PX = 128, 64
"""Longer side of a stored crop in pixels: at least so long, else a multiple of the step that is no coarser than the
input. Networks of 32 to 86 pixels with one rule share a cache."""
ALIGNED_DENSITY, RECTANGLE_DENSITY = 2.0, 1.0
"""Stored pixels per input pixel from which on `edgeface.crop.cut` averages: rules by points sample between pixels up to
two, rectangles never do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Where the input of a network lies in its stored crop: in the middle of both, at a size of its own.

    Attributes
    ----------
    stored_wh, stored_padding : size in pixels of the stored crop, and what its rule adds on each side of the unpadded
    wanted_wh, padding : the same of the network's input
    color : channels that the network wants; crops are stored in RGB
    density : stored pixels per input pixel; where there are more, they are averaged before the crop is sampled
    """

    stored_wh: tuple[int, int]
    stored_padding: float
    wanted_wh: tuple[int, int]
    padding: float
    color: Literal["rgb", "bgr", "grey"]
    density: float = ALIGNED_DENSITY

    @property
    def step(self) -> tuple[float, float]:
        """Stored pixels per input pixel, in x and y."""
        share = (1 + 2 * self.padding) / (1 + 2 * self.stored_padding)
        return (share * self.stored_wh[0] / self.wanted_wh[0], share * self.stored_wh[1] / self.wanted_wh[1])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's input."""
        return (self.wanted_wh[1], self.wanted_wh[0], 1 if self.color == "grey" else 3)


def stored_input(spec: Input) -> tuple[Input, View]:
    """What to cut and keep for a network, in RGB, and where its own input lies in that.

    Raises
    ------
    UsageError : the network does not see faces
    """
    wanted = _size(spec)
    assert spec.crop is not None
    padding = spec.crop.padding if isinstance(spec.crop, LandmarkCrop) else 0.0
    stored_padding = padding + ROOM
    needed = max(wanted) * (1 + 2 * stored_padding) / (1 + 2 * padding)
    longer = max(LEAST_PX, -(-int(needed) // STEP_PX) * STEP_PX)
    stored = (round(longer * wanted[0] / max(wanted)), round(longer * wanted[1] / max(wanted)))
    view = View(
        stored_wh=stored,
        stored_padding=stored_padding,
        wanted_wh=wanted,
        padding=padding,
        color=spec.color,
        density=ALIGNED_DENSITY if isinstance(spec.crop, LandmarkCrop) else RECTANGLE_DENSITY,
    )
    cut = Input(color="rgb", mean=0.0, scale=1.0, width=stored[0], height=stored[1], crop=_widened(spec.crop))
    return cut, view


def _size(spec: Input) -> tuple[int, int]:
    if spec.crop is None or spec.width is None or spec.height is None:
        raise UsageError("a network without a crop rule sees no faces", fix="train one that has input.crop")
    return spec.width, spec.height


def _widened(rule: CropRule) -> CropRule:
    """Return the rule with the room around what it cuts."""
    if isinstance(rule, LandmarkCrop):
        return msgspec.structs.replace(rule, padding=rule.padding + ROOM)
    if isinstance(rule, BoxCrop):
        width, height = 1 + rule.left + rule.right, 1 + rule.top + rule.bottom
        return msgspec.structs.replace(
            rule,
            left=rule.left + ROOM * width,
            right=rule.right + ROOM * width,
            top=rule.top + ROOM * height,
            bottom=rule.bottom + ROOM * height,
        )
    return msgspec.structs.replace(rule, scale=rule.scale * (1 + 2 * ROOM))
