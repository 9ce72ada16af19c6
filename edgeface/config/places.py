"""`[attention]`, and the lines and zones of a camera: where people are counted, and how long they stay."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from edgeface.config.values import Id, Shape, Share

MOST_PLACES = 16
"""Lines of one camera, and zones: each is a device of Home Assistant, and is looked at for each face of a frame."""
Point = tuple[Share, Share]


class Attention(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long and how often a head points towards the camera; no gaze, and no interest."""

    enabled: Annotated[
        bool | None,
        Meta(
            description="whether it is measured; unset: yes, but not with `purpose` workplace or education, nor where "
            "the detector gives no points of a face"
        ),
    ] = None
    angle: Annotated[
        float,
        Meta(ge=5, le=60, description="degrees off the camera up to which a head points at it; 10 more end a look"),
    ] = 25.0


class Line(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[cameras.<id>.lines]]` table: an arrow in the picture; who crosses it is counted by direction."""

    name: Annotated[Id, Meta(description="its name in messages, of this camera's lines and zones no other's")]
    from_: Annotated[
        Point, Meta(description="where the arrow begins: x and y in shares of the picture after rotate and mirror")
    ] = field(name="from")
    to: Annotated[Point, Meta(description="where it ends; right is what is right of one who walks along it")]
    to_right: Annotated[Id, Meta(description="name of the direction from its left to its right")] = "in"
    to_left: Annotated[Id, Meta(description="name of the direction from its right to its left")] = "out"


class Zone(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[cameras.<id>.zones]]` table: a part of the picture; who is in it, and for how long."""

    name: Annotated[Id, Meta(description="its name in messages, of this camera's lines and zones no other's")]
    shape: Annotated[
        Shape, Meta(description="as masks: [left, top, right, bottom], or a polygon's corners [x, y, x, y, x, y, ...]")
    ]
