"""What goes between the steps of one camera's way: what was seen, what is asked of networks, what it leads to."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import msgspec

from edgeface.events import Body
from edgeface.runtime import Batch
from edgeface.types import F32, Detections, Frame, Image, Quality, Track
from edgeface.visit import PlaceChange, Visit, VisitChange


class Request(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One inference that is due: these pixels through that network, for that track of that camera."""

    network: str
    camera: str
    track: int
    pixels: Image
    quality: float
    time_s: float
    overdue_s: float = float("inf")


class Prepared(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Requests of one network whose faces are ready for it; ``people`` are their cameras and tracks."""

    network: str
    requests: Sequence[Request]
    people: Sequence[tuple[str, int]]
    batches: Sequence[Batch]


class Inferred(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a network gave for the faces of one batch, not yet read: outputs by the manifest's names."""

    network: str
    requests: Sequence[Request]
    outputs: Mapping[str, F32]

    @property
    def shapes(self) -> Hashable:
        """Equal for batches that can be read as one: rows as many as faces, and alike."""
        rows = (len(self.requests),)
        return tuple(
            (name, array.shape[1:] if array.shape[:1] == rows else (rows, array.shape))
            for name, array in self.outputs.items()
        )


class Sighting(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One frame after tracking: what was found, whose it is, and how well it can be seen.

    Attributes
    ----------
    detections : None for a frame that was not searched
    qualities : by track id, for the tracks that have a detection in this frame
    changes : what this frame changed about visits
    places : what was noticed at lines and zones
    """

    frame: Frame
    detections: Detections | None
    tracks: Sequence[Track]
    qualities: Mapping[int, Quality]
    changes: Sequence[VisitChange]
    places: Sequence[PlaceChange]


class Told(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a frame, or the close, leads to: what changed about visits, who is in view, the messages.

    ``look`` gives the visits that last, until the camera's next frame is taken: they are made for who asks.
    """

    changes: Sequence[VisitChange]
    bodies: Sequence[Body]
    look: Callable[[], Sequence[Visit]] = tuple

    @property
    def visits(self) -> Sequence[Visit]:
        """Visits that last, in the order in which they began."""
        return self.look()


NOTHING = Told(changes=(), bodies=())
