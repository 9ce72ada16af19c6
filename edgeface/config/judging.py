"""What the types cannot say of values: whether a host can be one, a shape has an inside, what a purpose forbids."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from math import hypot

from edgeface.config.addresses import cuts_password
from edgeface.config.cameras import Camera
from edgeface.config.places import Line, Point, Zone
from edgeface.config.privacy import expect_span, measures_attention, refused
from edgeface.config.programs import ONE_DEVICE, meant_program, shared_device
from edgeface.config.secrets import hide_credentials
from edgeface.config.types import Config
from edgeface.config.values import Shape
from edgeface.errors import ConfigError

LEAST_LENGTH = 0.01
"""Of a line, in shares of the picture: nobody passes through less."""
LEAST_AREA = 1e-9
"""Of a shape, in shares of the picture: less is what rounding leaves of corners that lie on one line."""
BAND_YEARS = 10
"""Narrower bands than the networks' own error would be years by another name."""


def judge_host(host: str, *, where: str) -> None:
    """Raise ConfigError for what is no name and no address: with a scheme, a port, brackets or a user, or with blanks.

    Other programs want ``mqtt://host:1883``; here it would be a name that no server knows.
    """
    scheme, sign, rest = host.rpartition("://")
    name = rest.rpartition("@")[2]
    bare = name.partition("/")[0].partition(":")[0] or "the name"
    what = f"{where}: mqtt.host: {hide_credentials(host) if sign else name!r} is no host name or address"
    if sign:
        tls = " with mqtt.tls = true" if scheme.lower() in {"mqtts", "ssl", "tls", "wss"} else ""
        raise ConfigError(what, fix=f"write {bare} alone{tls}; the port is mqtt.port")
    if "[" in name or "]" in name:
        raise ConfigError(what, fix=f"write {name.split(']')[0].strip('[')} without brackets; the port is mqtt.port")
    if ":" in name and not _is_ipv6(name):
        raise ConfigError(what, fix=f"write {bare} alone; the port is mqtt.port")
    try:
        # As the connection will: it refuses empty and overlong parts.
        host.encode("idna")
    except UnicodeError:
        raise ConfigError(what, fix="check its dots and its length") from None
    if re.search(r"[\s/@\\?#]", host):
        raise ConfigError(what, fix="write the broker's name or address and nothing else")


def judge_shapes(cameras: Mapping[str, Camera], *, where: str) -> None:
    """Raise ConfigError for a mask or region that is neither a rectangle nor a polygon, or has no inside."""
    for name, camera in cameras.items():
        for key, shapes in (("masks", camera.masks), ("regions", camera.regions)):
            for number, shape in enumerate(shapes):
                wrong = _wrong_shape(shape)
                if wrong:
                    raise ConfigError(f"{where}: cameras.{name}.{key}[{number}] {wrong[0]}", fix=wrong[1])


def judge_sources(cameras: Mapping[str, Camera], *, where: str) -> None:
    """Raise ConfigError for ``picamera2:`` with no number behind, a password cut short, two cameras on one device."""
    for name, camera in cameras.items():
        if program := meant_program(camera.source):
            raise ConfigError(
                f"{where}: cameras.{name}.source: {str(camera.source).partition(':')[2]!r} is no camera's number",
                fix=f"write {program}:0 or {program}:1, as `edgeface cameras` or `rpicam-hello --list-cameras` counts",
            )
        # The address is not shown: what looks like its host is half of the password.
        if cuts_password(str(camera.source)):
            raise ConfigError(
                f"{where}: cameras.{name}.source: the password ends at its first /, ? or #",
                fix="write / as %2F, ? as %3F and # as %23",
            )
    if shared := shared_device(cameras):
        raise ConfigError(f"{where}: {shared}", fix=ONE_DEVICE)


def judge_places(cameras: Mapping[str, Camera], *, where: str) -> None:
    """Raise ConfigError for a line without a length, a zone without an inside, and names that are given twice."""
    for name, camera in cameras.items():
        taken: dict[str, str] = {}
        places: Mapping[str, Sequence[Line | Zone]] = {"lines": camera.lines, "zones": camera.zones}
        for key, listed in places.items():
            for number, place in enumerate(listed):
                path = f"cameras.{name}.{key}[{number}]"
                if place.name in taken:
                    raise ConfigError(
                        f"{where}: {path}.name: {place.name} is also the name of {taken[place.name]}",
                        fix="give each line and zone of a camera a name of its own",
                    )
                taken[place.name] = path
                wrong = _wrong_line(place) if isinstance(place, Line) else _wrong_zone(place)
                if wrong:
                    raise ConfigError(f"{where}: {path} ({place.name}) {wrong[0]}", fix=wrong[1])


def judge_privacy(config: Config, *, where: str) -> None:
    """Raise ConfigError for what `[privacy]` forbids or cannot hold."""
    privacy = config.privacy
    for task in sorted(refused(privacy.purpose)):
        if config.attributes.get(task):
            raise ConfigError(
                f'{where}: attributes.{task}: privacy.purpose = "{privacy.purpose}" forbids it: nobody infers emotions '
                "at work or in education (EU AI Act, article 5(1)(f))",
                fix=f"remove attributes.{task}, or set it to false",
            )
    if config.attention.enabled and not measures_attention(True, privacy.purpose):
        raise ConfigError(
            f'{where}: attention.enabled: privacy.purpose = "{privacy.purpose}" refuses it: nobody\'s attention is '
            "measured at work or in education",
            fix="remove attention.enabled, or set it to false",
        )
    edges = (0, *privacy.age_bands)
    if any(high - low < BAND_YEARS for low, high in pairwise(edges)):
        raise ConfigError(
            f"{where}: privacy.age_bands: {list(privacy.age_bands)} has a band of less than {BAND_YEARS} years",
            fix=f"write ages in rising order, at least {BAND_YEARS} years apart, such as [18, 35, 55]",
        )
    for text in privacy.hours:
        if wrong := expect_span(text):
            raise ConfigError(f"{where}: privacy.hours: {text} {wrong}", fix="leave hours out for all day")


def judge_runtime(config: Config, *, where: str) -> None:
    """Raise ConfigError for a provider of ONNX Runtime beside another runtime, which has none."""
    runtime = config.runtime
    if runtime.name == "litert" and runtime.provider in ("cuda", "tensorrt"):
        raise ConfigError(
            f'{where}: runtime.provider: "{runtime.provider}" computes what ONNX Runtime runs, and runtime.name is '
            '"litert"',
            fix='leave runtime.name out, or set runtime.provider = "cpu"',
        )


def _wrong_shape(shape: Shape) -> tuple[str, str] | None:
    """What is wrong with a shape, and the fix; None: nothing."""
    if len(shape) == 4:
        left, top, right, bottom = shape
        if left < right and top < bottom:
            area = (right - left) * (bottom - top)
            return None if area >= LEAST_AREA else ("has no inside", "write a rectangle that somebody can be in")
        return "is no rectangle", "write left, top, right, bottom: left below right, top below bottom"
    if len(shape) % 2:
        return f"has {len(shape)} numbers", "write x and y of each corner of a polygon, or the four of a rectangle"
    area = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in _edges(shape)) / 2
    return None if abs(area) >= LEAST_AREA else ("has no inside", "write the corners in their order around the shape")


def _edges(shape: Shape) -> list[tuple[Point, Point]]:
    """Edges of a polygon; a corner that is named again right after itself, also the first one at the end, is one."""
    corners = list(zip(shape[::2], shape[1::2], strict=True))
    return [(one, other) for one, other in pairwise([*corners, corners[0]]) if one != other]


def _wrong_line(line: Line) -> tuple[str, str] | None:
    """What is wrong with a line, and the fix; None: nothing."""
    if hypot(line.to[0] - line.from_[0], line.to[1] - line.from_[1]) < LEAST_LENGTH:
        return "has no length", "write two points of the picture that lie apart: from = [0.2, 0.5], to = [0.8, 0.5]"
    if line.to_right == line.to_left:
        return f"calls both directions {line.to_right}", "give to_right and to_left different names"
    return None


def _wrong_zone(zone: Zone) -> tuple[str, str] | None:
    """What is wrong with a zone, and the fix; None: nothing."""
    wrong = _wrong_shape(zone.shape)
    if wrong or len(zone.shape) == 4:
        return wrong
    edges = _edges(zone.shape)
    for (first, one), (second, other) in combinations(enumerate(edges), 2):
        beside = second - first == 1 or (first == 0 and second == len(edges) - 1)
        if not beside and _cross(one, other):
            fix = "write the corners in their order around the shape"
            return f"crosses itself: edge {first + 1} and edge {second + 1}", fix
    return None


def _cross(one: tuple[Point, Point], other: tuple[Point, Point]) -> bool:
    """Whether two edges have a point in common."""
    (a, b), (c, d) = one, other
    sides = _side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b)
    if sides[0] * sides[1] < 0 and sides[2] * sides[3] < 0:
        return True
    ends = ((sides[0], a, b, c), (sides[1], a, b, d), (sides[2], c, d, a), (sides[3], c, d, b))
    return any(side == 0 and _within(begin, end, point) for side, begin, end, point in ends)


def _side(a: Point, b: Point, point: Point) -> float:
    return (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])


def _within(a: Point, b: Point, point: Point) -> bool:
    return all(min(p, q) <= value <= max(p, q) for p, q, value in zip(a, b, point, strict=True))


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
