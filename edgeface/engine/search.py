"""Where faces are looked for in the next frame of one camera, and whether at all: passes of the detector, planned.

Three kinds of pass. The *quick* one sees the whole picture in the detector's own size. A *mosaic* sees regions of
interest in a finer scale, packed into one input of at most that size: around faces that the quick pass is too coarse
to follow, and where something has moved and no face is known. The *fine* pass sees the whole picture at double size.
What a frame costs beyond a quick pass is paid from an account, into which every frame pays what it does not need and a
share beside. Pure: decisions hang on pictures, tracks and source time alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgeface.detect.mosaic import Mosaic, Region, Sheet, Size, merged, region_around
from edgeface.engine.changes import Changes, Scales
from edgeface.geometry import letterbox
from edgeface.people.tracked import Expected
from edgeface.types import Detections, Image

FINER = 2.0
"""How much finer than the quick pass the fine one is, and the least that regions are."""
FINEST = 3.0
"""How much finer regions are at most where something moves; never finer than the picture itself."""
WORTH = 1.25
"""Where a finer scale shows so little more, there is nothing to gain."""
SMALL_PX, MOST_PX = 20.0, 40.0
"""Heights of a face in the detector's input: below the first the quick pass is too coarse to follow it (.85 found from
12 to 17 pixels, .99 from 17 on); the second is enough to see in a mosaic of a face that the quick pass sees larger."""
SEEN_PX = (36.0, 28.0, 22.0)
"""What a smaller one gets there where the picture has it: the most of these with which everybody fits."""
SHEETS = 4
"""Mosaics of one frame at most; a fine pass costs less than more of them, as of a crowd that was long not seen."""
CONTEXT = 0.6
"""A region reaches so many face sizes beyond the face on each side, and farther the less sure its place is."""
SPREADS, SPREAD_MOST = 3.0, 2.0
"""So many deviations of its place farther, at most so many face sizes."""
STRIDE_SPEED = 8.0
"""Face sizes a second that somebody may have moved who was seen once: a walk."""
SHARE, ACCOUNT, DEBT = 0.35, 6.0, -2.0
"""What a frame pays in beside its own pass, and the bounds of the account, in quick passes."""
PASS = 0.2
"""What a pass costs beside its pixels."""
LOOK, RESERVE = 0.5, 1.0
"""What must be on the account for a look at what moves, and what a fine pass leaves there for such looks."""
QUICK_S, FINE_S = 0.25, 2.0
"""Least time between quick passes where mosaics follow everybody, and between fine ones."""
STILL_QUICK_S, STILL_FINE_S, STILL_FINE_MOST_S = 4.0, 4.0, 32.0
"""The same while nothing changes; each fine pass then finds less that the one before has not, and the next one comes
after twice as long, at most after the last of these."""
REST_S = 0.1
"""After a frame that rests, those of so many seconds are not even looked at."""
DOUBTS, DOUBT_S = 3, 1.0
"""So many finds that are too doubtful to begin a track are looked at again in a finer scale, each place once in so many
seconds."""
CONFIRM_S = 1.0
"""Who sits still is seen so often at least, whatever the patience with who is missed: answers want samples."""
TICK_S = 1e-3
"""Time stamps are no finer than this."""
SETTLED_S, QUIET_S = 3.0, 1.0
"""Somebody is sampled at the camera's pace for so long; the scene is still when nothing has changed for so long."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the detector is to see of one frame; never nothing.

    Attributes
    ----------
    quick, fine : the whole picture, in the detector's own size and at `FINER` times it
    mosaics : regions of the picture side by side, each a pass
    """

    quick: bool = False
    fine: bool = False
    mosaics: Sequence[Mosaic] = ()


QUICK = Plan(quick=True)


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What the detector may see of a camera's picture.

    Attributes
    ----------
    image_wh : size of the picture
    quick_wh : the detector's own input for it
    fine_wh : the one of the fine pass; None where the detector has none
    any_size : whether a mosaic may be smaller than ``quick_wh``
    """

    image_wh: Size
    quick_wh: Size
    fine_wh: Size | None
    any_size: bool

    @property
    def scale(self) -> float:
        """Pixels of the quick pass for one of the picture."""
        return letterbox(self.image_wh, self.quick_wh).scale[0]

    @property
    def scales(self) -> Scales:
        """Scales of regions in which something moves."""
        return Scales(min(1.0, FINEST * self.scale), min(1.0, FINER * self.scale))

    def cost(self, size_wh: Size) -> float:
        """What a pass over such an input costs, in quick passes."""
        return PASS + (1 - PASS) * size_wh[0] * size_wh[1] / (self.quick_wh[0] * self.quick_wh[1])

    def canvas_wh(self, sheet: Sheet) -> Size:
        """Size of the pass over a canvas."""
        return sheet.used_wh if self.any_size else self.quick_wh


class Search:
    """Plans the passes for one camera's frames.

    Parameters
    ----------
    finer : whether the detector may look finer than in the quick pass
    resting : whether still scenes are searched more rarely
    lost_after_s : `visits.lost_after`; known faces of a still scene are confirmed twice within it, or each second

    Attributes
    ----------
    finer : whether it does look finer; False while less is to be done
    rested : frames that were not searched since nothing had changed
    resting : whether the latest one was such a frame
    """

    def __init__(self, *, finer: bool, resting: bool, lost_after_s: float) -> None:
        self.finer = finer
        self._gated = resting
        self._confirm_s = min(lost_after_s / 2, CONFIRM_S)
        self._changes = Changes()
        self._account = ACCOUNT
        self._quick_s = self._fine_s = self._searched_s = float("-inf")
        self._still_fine_s = STILL_FINE_S
        self._frame_s: float | None = None
        self._alternate = False
        self._known: Sequence[Expected] = ()
        self._doubts: list[Expected] = []
        self._doubted: list[tuple[float, float, float]] = []
        self._still = False
        self.rested = 0
        self.resting = False

    def passes(self, time_s: float) -> bool:
        """Whether a frame of this source time comes so soon after one that rests that it is passed over."""
        since_s = REST_S if self._frame_s is None else time_s - self._frame_s
        if not self.resting or not 0 <= since_s < REST_S - TICK_S:
            return False
        self.rested += 1
        return True

    def plan(self, image: Image, time_s: float, inputs: Inputs, known: Sequence[Expected]) -> Plan | None:
        """What to search of a frame; None: nothing has changed, and nobody needs to be confirmed.

        Parameters
        ----------
        image : the frame or the same view made small, uint8 (H, W, 3), BGR
        known : who is followed, where they are expected
        """
        if not self.finer and not self._gated:
            return QUICK
        self._changes.see(image, time_s)
        self._still = self._gated and self._is_still(time_s, known)
        self.resting = self._still and self._may_rest(time_s, self._confirm_s if known else STILL_QUICK_S)
        self._frame_s = time_s
        if self.resting:
            self.rested += 1
            self._account = min(ACCOUNT, self._account + 1 + SHARE)
            return None
        self._searched_s, self._known = time_s, known
        if not self.finer or inputs.scales.coarsest < WORTH * inputs.scale:
            return QUICK
        return self._plan(time_s, inputs, known)

    def found(self, detections: Detections, time_s: float, *, least: float) -> None:
        """Take in what the passes found: finds below ``least`` where nobody is followed are looked at again."""
        self._doubted = [place for place in self._doubted if time_s - place[2] < DOUBT_S]
        self._doubts = []
        for box, score in zip(detections.boxes.tolist(), detections.scores.tolist(), strict=True):
            if score >= least or len(self._doubts) >= DOUBTS:
                continue
            one = _doubtful(box, time_s)
            places = [(known.x, known.y) for known in self._known] + [(x, y) for x, y, _ in self._doubted]
            if not any(abs(x - one.x) < one.width and abs(y - one.y) < one.height for x, y in places):
                self._doubts.append(one)
                self._doubted.append((one.x, one.y, time_s))

    def _is_still(self, time_s: float, known: Sequence[Expected]) -> bool:
        """Whether this frame shows nothing new."""
        if self._changes.moving or time_s - self._changes.active_s < QUIET_S:
            return False
        if any(not one.confirmed or time_s - one.started_s < SETTLED_S for one in known):
            return False
        # Who was missed a moment ago is looked for until found or gone.
        return not any(one.seen_s < self._searched_s for one in known)

    def _may_rest(self, time_s: float, within_s: float) -> bool:
        """Whether a still scene is searched again in time if it is not in this frame."""
        # The next frame, as far away as the last one, must not come too late.
        pace_s = 0.0 if self._frame_s is None else max(0.0, time_s - self._frame_s)
        return 0 <= time_s - self._searched_s <= within_s - pace_s + TICK_S

    def _plan(self, time_s: float, inputs: Inputs, known: Sequence[Expected]) -> Plan:
        """Passes for a frame that is searched."""
        budget = min(ACCOUNT, self._account + 1 + SHARE)
        due = self._changes.unexplained(known, inputs.image_wh, time_s)
        moving = bool(due.any())
        sheets, quick = self._base(time_s, inputs, known, moving=moving)
        if self._still and (confirming := self._confirming(inputs, known)) is not None:
            sheets, quick = [confirming], False
        crowded = len(sheets) > SHEETS
        if crowded:
            sheets, quick = [], True
        cost = quick + sum(inputs.cost(inputs.canvas_wh(sheet)) for sheet in sheets)
        quick_s = STILL_QUICK_S if self._still else QUICK_S
        if not quick and time_s - self._quick_s >= quick_s and (not known or budget - cost >= 1):
            quick, cost = True, cost + 1
        # In a still scene a cell that has changed by itself is noise.
        lively = self._changes.stirred or (moving and not self._still)
        fine_cost = inputs.cost(inputs.fine_wh) if inputs.fine_wh else None
        affords = fine_cost is not None and not crowded and budget - cost >= fine_cost + RESERVE
        if affords and lively:
            self._still_fine_s = STILL_FINE_S
        fine = fine_cost is not None and (crowded or (affords and self._is_fine_due(time_s, lively=lively)))
        if moving and not fine and (budget - cost >= LOOK or not (quick or sheets)):
            sheets = sheets or [Sheet(inputs.quick_wh)]
            self._changes.fill(sheets[-1], due, inputs.image_wh, inputs.scales, time_s)
        mosaics = [Mosaic(inputs.canvas_wh(sheet), sheet.placed) for sheet in sheets if sheet.placed]
        quick = quick or not (mosaics or fine)
        if quick:
            self._quick_s = time_s
        if fine:
            self._fine_s = time_s
            self._changes.all_seen(time_s)
            if not lively and not crowded:
                self._still_fine_s = min(STILL_FINE_MOST_S, 2 * self._still_fine_s)
        spent = quick + sum(inputs.cost(mosaic.size_wh) for mosaic in mosaics)
        spent += fine_cost if fine and fine_cost is not None else 0.0
        self._account = max(DEBT, budget - spent)
        return Plan(quick=quick, fine=fine, mosaics=mosaics)

    def _base(
        self, time_s: float, inputs: Inputs, known: Sequence[Expected], *, moving: bool
    ) -> tuple[list[Sheet], bool]:
        """What a frame needs in any case: canvases with those who are followed, and whether there is a quick pass."""
        if any(one.height * inputs.scale < SMALL_PX for one in known):
            return _followed([*known, *self._doubts], inputs, time_s)
        if self._doubts:
            return _followed(self._doubts, inputs, time_s)[0], True
        if moving and not known:
            # What moves is all that is new: every other frame looks there alone.
            self._alternate = not self._alternate
            return [], self._alternate
        return [], True

    def _confirming(self, inputs: Inputs, known: Sequence[Expected]) -> Sheet | None:
        """A canvas with those who sit still, as fine as a quick pass sees them; None where that costs more than one."""
        sheets = _packed([_at_rest(one, inputs) for one in known], inputs)
        return sheets[0] if len(sheets) == 1 and inputs.cost(inputs.canvas_wh(sheets[0])) < 1 else None

    def _is_fine_due(self, time_s: float, *, lively: bool) -> bool:
        """Whether it is time to see the whole picture finer."""
        return time_s - self._fine_s >= (FINE_S if lively else self._still_fine_s)


def _followed(known: Sequence[Expected], inputs: Inputs, time_s: float) -> tuple[list[Sheet], bool]:
    """Canvases with everybody who is followed; whether the large faces are left to the quick pass for want of room."""
    for seen_px in SEEN_PX:
        sheets = _packed([_around(one, inputs, time_s, seen_px) for one in known], inputs)
        if len(sheets) == 1:
            return sheets, False
    few = [one for one in known if one.height * inputs.scale < SMALL_PX]
    return _packed([_around(one, inputs, time_s, SEEN_PX[-1]) for one in few], inputs), len(few) < len(known)


def _packed(regions: Sequence[Region], inputs: Inputs) -> list[Sheet]:
    """As many canvases as these regions need, the tall ones first."""
    regions = merged(regions, inputs.quick_wh)
    sheets = [Sheet(inputs.quick_wh)]
    for region in sorted(regions, key=lambda region: -region.drawn_wh[1]):
        if not any(sheet.put(region) for sheet in sheets):
            sheets.append(Sheet(inputs.quick_wh))
            sheets[-1].put(region)
    return sheets


def _around(one: Expected, inputs: Inputs, time_s: float, seen_px: float) -> Region:
    """The region in which a known face is found again."""
    size = (one.width + one.height) / 2
    off = STRIDE_SPEED * (time_s - one.seen_s) if one.hits == 1 else SPREADS * one.spread
    half = size * (0.5 + CONTEXT + min(SPREAD_MOST, off))
    seen = min(max(one.height * inputs.scale, seen_px), max(MOST_PX, seen_px)) / one.height
    scale = min(1.0, seen, *(side / (2 * half + 2) for side in inputs.quick_wh))
    return region_around((one.x, one.y), (half, half), scale, inputs.image_wh)


def _at_rest(one: Expected, inputs: Inputs) -> Region:
    """The region in which somebody who sits still is seen again, as fine as in a quick pass, or as small ones are."""
    half = (one.width + one.height) / 2 * (0.5 + CONTEXT)
    scale = min(
        1.0, max(one.height * inputs.scale, SEEN_PX[-1]) / one.height, *(s / (2 * half + 2) for s in inputs.quick_wh)
    )
    return region_around((one.x, one.y), (half, half), scale, inputs.image_wh)


def _doubtful(box: Sequence[float], time_s: float) -> Expected:
    """A find that begins no track, as somebody who was seen once."""
    return Expected(
        x=(box[0] + box[2]) / 2,
        y=(box[1] + box[3]) / 2,
        width=max(box[2] - box[0], 1.0),
        height=max(box[3] - box[1], 1.0),
        spread=0.0,
        hits=1,
        confirmed=False,
        started_s=time_s,
        seen_s=time_s,
    )
