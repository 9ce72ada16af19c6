"""What values of the configuration look like: patterns with their words, and ranges that several keys share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from edgeface.config.privacy import HOURS

PLAIN = r"\A[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z"
"""Text without control characters: in a topic, a client id or a log line they are a mistake or an attack. Half a
surrogate pair is what Python makes of bytes that are not UTF-8."""
NAME = r"\A[a-zA-Z0-9_-]{1,64}\Z"
PREFIX = r"\A(?!\$)[^+#/\x00-\x1f\x7f-\x9f\ud800-\udfff][^+#\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z"
FOURCC = r"\A[ -~]{4}\Z"
PLACE = r"\A[^\x00-\x1f\x7f]+\Z"
SIZE = r"\A(auto|original|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})\Z"
ENDPOINT = r"\A(\[[0-9a-fA-F:.]{2,45}\]|[a-zA-Z0-9.-]{1,253}):[0-9]{1,5}\Z"
PATTERNS: Mapping[str, str] = {
    PLAIN: "text without control characters",
    NAME: "1 to 64 letters, digits, - and _",
    PREFIX: "text without +, # and control characters that begins with neither / nor $",
    FOURCC: "four characters",
    PLACE: "text without control characters",
    SIZE: "auto, original or WIDTHxHEIGHT",
    ENDPOINT: "ADDRESS:PORT, an IPv6 address in brackets",
    HOURS: "HH:MM-HH:MM, such as 08:00-20:00",
}
"""What a pattern asks for, in words."""

Id = Annotated[str, Meta(pattern=NAME)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Share = Annotated[float, Meta(ge=0, le=1)]
Pixels = Annotated[int, Meta(ge=16, le=16_384)]
FourCc = Annotated[str, Meta(pattern=FOURCC)]
Text = Annotated[str, Meta(pattern=PLAIN, max_length=16_000)]
"""MQTT's texts take 65,535 bytes, and a character up to four."""
Endpoint = Annotated[str, Meta(pattern=ENDPOINT)]
Place = Annotated[str, Meta(pattern=PLACE, max_length=4096)]
"""A path, or an address."""
Shape = Annotated[tuple[Share, ...], Meta(min_length=4, max_length=128)]
"""Part of a picture: left, top, right, bottom of a rectangle, or the corners of a polygon."""
CameraNumber = Annotated[int, Meta(ge=0, le=255)]
Rate = Annotated[float, Meta(gt=0, le=1000)]
Samples = Annotated[int, Meta(ge=1, le=1000)]
Factor = Annotated[float, Meta(ge=1, le=100)]
