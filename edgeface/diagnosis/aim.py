"""What a camera sees, in words and numbers without a picture: to aim it, and to choose its place, lens and light.

`sentences` is pure. What is seen comes from the camera itself (`look_here`), or from the messages of the daemon that
has it (`Heard`); both give the same `Seen`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timezone
from math import sqrt

import msgspec

from edgeface.bundle import Bundle, chosen_networks
from edgeface.config import Camera, Config
from edgeface.events import FacesMessage, HealthMessage, NoticeMessage, StateMessage, View, decode, kind_of_topic
from edgeface.people.places import Place, Stay, corners_of, side_of

DARK, BRIGHT = 0.12, 0.9
"""Means of a picture beyond which little can be seen in it."""
DIM, BLURRED = 0.5, 0.6
"""Light of a face below, and blur above which an answer weighs little."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One look of one camera.

    Attributes
    ----------
    trouble : why there is nothing to see; None when there is a picture
    width, height : of the picture in pixels; None: not told, since nobody is in view
    brightness : mean of the picture, 0 to 1; None: not told
    faces : the largest first
    places : of each face, where it is in the picture, and in which zones and on which sides of which lines
    """

    camera: str
    trouble: str | None = None
    width: int | None = None
    height: int | None = None
    brightness: float | None = None
    faces: tuple[View, ...] = ()
    places: tuple[str, ...] = ()


def sentences(seen: Seen, needs: Mapping[str, int]) -> list[str]:
    """Say one look in lines: the picture, then each face and what it is good for.

    Parameters
    ----------
    needs : least height of a face in pixels, by what it is needed for
    """
    if seen.trouble is not None:
        return [f"{seen.camera}: {seen.trouble}"]
    size = f" of {seen.width}x{seen.height}" if seen.width else ""
    light = "" if seen.brightness is None else f", brightness {seen.brightness:.2f}{_light_words(seen.brightness)}"
    count = len(seen.faces)
    places = seen.places or ("",) * count
    lines = [f"{_face(face, needs)}{place and f', {place}'}" for face, place in zip(seen.faces, places, strict=True)]
    who = "nobody in view" if not count else f"{count} face{'' if count == 1 else 's'} in view"
    return [f"{seen.camera}: {who}, picture{size}{light}", *(f"  {line}" for line in lines)]


def needs_of(bundle: Bundle, config: Config) -> dict[str, int]:
    """Least height of a face in pixels on which the networks in use were measured, by question."""
    chosen = chosen_networks(bundle, config).items()
    return {task: need for task, network in chosen if (need := network.input.smallest_face_px) is not None}


def look_here(bundle: Bundle, config: Config, camera: str, *, every_s: float) -> Iterator[Seen]:
    """Open a camera and look ``every_s`` seconds of its time; the detector alone is loaded.

    Raises
    ------
    SourceError : it cannot be opened, or stopped
    BundleError, RuntimeMissingError : the detector cannot be run
    """
    from edgeface.engine.networks import Networks
    from edgeface.people.quality import assess, brightness
    from edgeface.sources import open_source

    alone = msgspec.structs.replace(config, attributes=dict.fromkeys(chosen_networks(bundle, config), False))
    networks = Networks(bundle, alone)
    source = open_source(camera, config.cameras[camera], limits=config.limits, started_at=datetime.now(timezone.utc))
    due_s = float("-inf")
    with closing(source):
        for frame in source.frames():
            if frame.time_s < due_s:
                continue
            due_s = frame.time_s + every_s
            found = networks.search(frame, min_score=config.detector.score)
            qualities = [assess(frame.image, found.boxes[n], None, float(found.scores[n])) for n in range(len(found))]
            views = [View(size_px=q.size_px, light=q.light, blur=q.blur) for q in qualities]
            height, width = frame.image.shape[:2]
            order = sorted(range(len(views)), key=lambda n: -views[n].size_px)
            boxes = [found.boxes[n].tolist() for n in order]
            yield Seen(
                camera=camera,
                width=width,
                height=height,
                brightness=brightness(frame.image, painted=frame.painted),
                faces=tuple(views[n] for n in order),
                places=tuple(_where(box, width, height, config.cameras[camera]) for box in boxes),
            )


class Heard:
    """What the daemon's messages say of its cameras; `take` is called with each that arrives.

    How a camera fares is what `state` says: `health` comes once a minute, and the first one when no camera is open yet.

    Parameters
    ----------
    patience_s : a `faces` message older than this tells nothing of now
    cameras : as they are configured here, for their lines and zones
    """

    def __init__(self, *, patience_s: float = 3.0, cameras: Mapping[str, Camera] = {}) -> None:
        self._cameras = cameras
        self._patience_s = patience_s
        self._faces: dict[str, tuple[float, FacesMessage]] = {}
        self._states: dict[str, StateMessage] = {}
        self._online = True
        self._health: HealthMessage | None = None
        self.needs: dict[str, int] = {}

    def take(self, topic: str, payload: bytes, now_s: float) -> None:
        """Take in one message; what is not understood says nothing."""
        kind = kind_of_topic(topic)
        if topic.endswith("/availability"):
            self._online = payload == b"online"
        if kind is None:
            return
        try:
            message = decode(kind, payload)
        except ValueError:
            return
        if isinstance(message, FacesMessage):
            self._faces[message.camera] = now_s, message
        elif isinstance(message, StateMessage):
            self._states[message.camera] = message
        elif isinstance(message, HealthMessage):
            self._health = message
        elif isinstance(message, NoticeMessage):
            told = {n.task: n.smallest_face_px for n in message.networks if n.task != "detect"}
            self.needs = {task: need for task, need in told.items() if need is not None}

    def seen(self, now_s: float, wanted: str | None = None) -> list[Seen]:
        """What is known of every camera, or of the one that is wanted; empty before the first `health`."""
        cameras = {} if self._health is None else self._health.cameras
        return [self._of(camera, now_s) for camera in cameras if wanted in {None, camera}]

    def _of(self, camera: str, now_s: float) -> Seen:
        assert self._health is not None
        told, state = self._health.cameras[camera], self._states.get(camera)
        if not self._online:
            return Seen(camera=camera, trouble="the daemon has stopped, or lost the broker")
        at_s, message = self._faces.get(camera, (float("-inf"), None))
        late = message is None or now_s - at_s > self._patience_s
        if message is None or late or not message.faces:
            status = told.state if state is None else state.status
            if status != "running":
                return Seen(camera=camera, trouble=f"the daemon says it is {status}")
            if late and state is not None and state.occupied:
                return Seen(
                    camera=camera,
                    trouble="somebody is in view, and `faces` does not say how well; is visits.faces_rate below 1?",
                )
            # Brightness is told once a minute, with `health`.
            return Seen(camera=camera, brightness=told.brightness)
        seen = sorted((-face.view.size_px, n) for n, face in enumerate(message.faces) if face.view is not None)
        faces = [message.faces[n] for _, n in seen]
        own = self._cameras.get(camera, Camera())
        return Seen(
            camera=camera,
            width=message.width,
            height=message.height,
            brightness=told.brightness,
            faces=tuple(face.view for face in faces if face.view is not None),
            places=tuple(_where(face.box, message.width, message.height, own) for face in faces),
        )


def _where(box: Sequence[float], width: int, height: int, camera: Camera) -> str:
    """Where the middle of a face is, in shares of the picture, and what that is to the camera's lines and zones."""
    x1, y1, x2, y2 = box
    size_px = sqrt(max(0.0, (x2 - x1) * (y2 - y1)))
    place = Place(x=(x1 + x2) / 2 / width, y=(y1 + y2) / 2 / height, width=width, height=height, size_px=size_px)
    words = [f"at {place.x:.2f} {place.y:.2f}"]
    words += [f"in {zone.name}" for zone in camera.zones if Stay().see(corners_of(zone), place, 0.0)]
    for line in camera.lines:
        side = {-1: "left of", 0: "on", 1: "right of"}[side_of(line, place)]
        words.append(f"{side} {line.name}")
    return ", ".join(words)


def _face(face: View, needs: Mapping[str, int]) -> str:
    small = [f"{what} (needs {need})" for what, need in needs.items() if face.size_px < need]
    enough = [what for what, need in needs.items() if face.size_px >= need]
    parts = [f"{face.size_px:.0f} px high"]
    if enough:
        parts.append(f"enough for {_listed(enough)}")
    if small:
        parts.append(f"too small for {_listed(small)}: come nearer, or take a longer lens")
    parts.append(f"light {face.light:.2f}{': too dark, or too bright' if face.light < DIM else ''}")
    parts.append(f"blur {face.blur:.2f}{': out of focus, or it moves' if face.blur > BLURRED else ''}")
    return ", ".join(parts)


def _light_words(brightness: float) -> str:
    if brightness < DARK:
        return " (dark: give it light)"
    return " (bright: turn it from the window)" if brightness > BRIGHT else ""


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
