"""What a detector sees where a picture is dark: its noise averaged away, and as bright as by day.

Detectors have learned from pictures that people took: of faces in a tenth of a room's light they find one in eight, and
nine of ten once these are made brighter (docs/performance.md). How much is decided anew for each part of each picture
(local tone mapping): a camera's infrared lamp lights who is near and nothing else, a lamp lights half a room, a video
has black bars. What is lit stays as it is. Only what is searched is made so.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgeface.gain import LEAST, gain
from edgeface.types import F32, Image

Size = tuple[int, int]
BRIGHTEST = 0.5
"""No place is made brighter than this: a face under a lamp is not to turn white. Nor does a lamp count for more."""
DUSK, NIGHT = 0.25, 0.15
"""Brightness of the surroundings below which a place begins to be made brighter, and from which on it is wholly: what
is a little dark is found as well as it is, and by day nothing is to be done."""
BESIDE, SOFTLY = 9, 3.0
"""Cells across which the brightest one counts, and the deviation, in cells, over which that fades: what is beside
somebody whom an infrared lamp lights stays dark, and is not taken for faces.
"""
CELLS, SAMPLES = 32, 4
"""Cells along the picture's long side, and pixels of a cell along each axis that are picked and averaged."""
AROUND = 5.0
"""What surrounds a place: a Gaussian's deviation, cells. Smaller ones take the contrast of a face away."""


class Exposure:
    """How many times as bright each part of a picture is to be.

    Attributes
    ----------
    gains : float32 (rows, columns) of a coarse grid over the picture, 1 to `gain.GAIN_MOST`
    """

    def __init__(self, gains: F32) -> None:
        self.gains = gains

    def apply(self, drawn: Image, part: tuple[float, float, float, float] = (0, 0, 1, 1)) -> Image:
        """A part of the picture, drawn in any scale as uint8 (H, W, 3), made brighter.

        ``part`` are its left, top, right and bottom in shares of the picture.
        """
        height, width = drawn.shape[:2]
        rows, columns = self.gains.shape
        left, top, right, bottom = part
        across, down = (right - left) * columns / width, (bottom - top) * rows / height
        # The middles of pixels lie among the middles of cells.
        place = np.array(
            [[across, 0, left * columns + (across - 1) / 2], [0, down, top * rows + (down - 1) / 2]], np.float32
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        gains = cv2.warpAffine(self.gains, place, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        bright: Image = cv2.multiply(drawn, cv2.merge([gains, gains, gains]), dtype=cv2.CV_8U)
        return bright


def exposure_of(image: Image) -> Exposure | None:
    """How bright a picture, uint8 (H, W, 3), BGR, is to be for a detector; None where no part is dark."""
    height, width = image.shape[:2]
    columns, rows = (max(1, round(CELLS * side / max(height, width))) for side in (width, height))
    picked = cv2.resize(image, (columns * SAMPLES, rows * SAMPLES), interpolation=cv2.INTER_NEAREST)
    grey = cv2.cvtColor(picked, cv2.COLOR_BGR2GRAY)
    cells = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    around = cv2.GaussianBlur(np.minimum(cells, BRIGHTEST), (0, 0), AROUND)
    if around.min() >= DUSK:
        return None
    brightest = cv2.GaussianBlur(cv2.dilate(cells, np.ones((BESIDE, BESIDE), np.uint8)), (0, 0), SOFTLY)
    gains = gain(around, dusk=DUSK, night=NIGHT, most=BRIGHTEST / np.maximum(brightest, LEAST))
    return Exposure(gains) if gains.max() > 1 else None


def averaged(image: Image, content_wh: Size) -> Image:
    """The mean of as many pixels as leave no fewer than a detector sees, so many columns and rows: each is less noisy.

    Shrinking for a detector picks pixels where they are many, which is as good by day and costs less.
    """
    times = min(image.shape[1] // content_wh[0], image.shape[0] // content_wh[1])
    if times < 2:
        return image
    small_wh = (image.shape[1] // times, image.shape[0] // times)
    mean: Image = cv2.resize(image, small_wh, interpolation=cv2.INTER_AREA)
    return mean
