"""The configuration's cameras: where pictures come from, how they are turned, what is looked at in them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edgeface.config.places import MOST_PLACES, Line, Zone
from edgeface.config.values import CameraNumber, FourCc, Pixels, Place, Rate, Shape


class Camera(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[cameras.<id>]` table."""

    source: Annotated[
        CameraNumber | Place,
        Meta(
            description="camera number, /dev/..., file, folder, rtsp://..., picamera, picamera2, or csi (Jetson); "
            "of two on ribbon cables picamera2:0 and picamera2:1, and so with the other two names"
        ),
    ] = 0
    width: Annotated[Pixels | None, Meta(description="pixels asked of the camera")] = None
    height: Annotated[Pixels | None, Meta(description="pixels asked of the camera")] = None
    fps: Annotated[Rate | None, Meta(description="frames a second asked of the camera")] = None
    rate: Annotated[
        Annotated[float, Meta(ge=1, le=1000)] | None,
        Meta(description="frames a second that are analysed and held, of a live camera; unset: all that it gives"),
    ] = None
    fourcc: Annotated[
        FourCc | None, Meta(description="pixel format asked of a USB camera; empty: MJPG above 640x480")
    ] = None
    rotate: Annotated[Literal[0, 90, 180, 270], Meta(description="degrees clockwise, before anything else")] = 0
    mirror: Annotated[bool, Meta(description="swap left and right, after rotating")] = False
    masks: Annotated[
        tuple[Shape, ...],
        Meta(
            description="parts of the picture that are painted over before anything looks at it, in shares of its "
            "width and height as it stands after rotate and mirror: [left, top, right, bottom], or a polygon's corners "
            "[x, y, x, y, x, y, ...]"
        ),
    ] = ()
    regions: Annotated[
        tuple[Shape, ...], Meta(description="where given, all that lies in none of these is painted over; as masks")
    ] = ()
    lines: Annotated[tuple[Line, ...], Meta(max_length=MOST_PLACES)] = ()
    zones: Annotated[tuple[Zone, ...], Meta(max_length=MOST_PLACES)] = ()
    pace: Annotated[
        Literal["realtime", "max"], Meta(description="for files: as a camera would, or as fast as it goes")
    ] = "max"
    open_timeout: Annotated[float, Meta(gt=0, le=600, description="seconds to wait for a stream to open")] = 10.0
    read_timeout: Annotated[float, Meta(gt=0, le=600, description="seconds of silence after which it is reopened")] = (
        5.0
    )
    frozen_after: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="seconds of exactly the same picture after which a live camera has frozen and is reopened; "
            "0: never, for a test pattern",
        ),
    ] = 60.0
