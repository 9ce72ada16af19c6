"""The notice: what happens to the people before the cameras, in plain words, written from the configuration in force.

It says what this program does and is no legal advice: who answers for it, and on what grounds, only its operator knows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Literal

from edgeface.bundle import Bundle, Network, chosen_detector, chosen_networks
from edgeface.config import Camera, Config, hide_credentials, measures_attention, refused
from edgeface.detect import measurable
from edgeface.events import Body, NoticeNetwork, NoticePart, notice_body
from edgeface.questions import QUESTIONS, band_names
from edgeface.sources.masks import cover
from edgeface.types import Task

PLACES: Mapping[str, str] = {
    "home": "at home",
    "retail": "in a shop",
    "museum": "in a museum or an exhibition",
    "public": "in a public place",
    "research": "for research",
    "workplace": "at a workplace",
    "education": "in education",
    "other": "for a purpose of its own",
}
RASTER = 200
"""Rows and columns on which the share of a picture that is painted over is counted."""


def notice(config: Config, bundle: Bundle, *, node: str, at: datetime, muted: Collection[Task] = ()) -> Body:
    """Build the message: which networks run, but for the ``muted`` questions, and what is done with what they say."""
    detector = chosen_detector(bundle, config)
    asked: list[tuple[Task | Literal["detect"], Network]] = [("detect", detector)]
    asked += [(task, network) for task, network in chosen_networks(bundle, config).items() if task not in muted]
    networks = [
        NoticeNetwork(
            task=task, name=n.name, licence=n.licence, limits=n.limits, smallest_face_px=n.input.smallest_face_px
        )
        for task, n in asked
    ]
    parts = [
        NoticePart(about="purpose", text=_purpose(config)),
        NoticePart(about="responsible", text=_responsible(config)),
        NoticePart(about="looked_at", text=" ".join(_looked_at(config))),
        NoticePart(about="told", text=" ".join(_told(measurable(config, detector)))),
        NoticePart(about="sent", text=" ".join(_sent(config, node))),
        NoticePart(about="kept", text=" ".join(_kept(config))),
        NoticePart(about="not_done", text=" ".join(_not_done(config))),
    ]
    return notice_body(networks=networks, parts=parts, at=at)


def _purpose(config: Config) -> str:
    privacy = config.privacy
    where = f"It is used {PLACES[privacy.purpose]}." if privacy.purpose else ""
    if privacy.statement:
        return f"{where} What for, in its operator's words: {privacy.statement}".strip()
    return where or "Its operator has not said what it is used for."


def _responsible(config: Config) -> str:
    contact = config.privacy.contact
    return f"Who answers for it: {contact}" if contact else "Its operator has not said who answers for it."


def _looked_at(config: Config) -> Iterator[str]:
    hours = config.privacy.hours
    if hours:
        spans = " and ".join(text.replace("-", " to ") for text in hours)
        yield f"People are looked at from {spans}, by the clock of this place; at other times its cameras are closed."
    else:
        yield "People are looked at all day."
    for name, camera in config.cameras.items():
        if camera.masks or camera.regions:
            yield f"Of camera {name} {_painted(camera):.0%} of the picture is painted over before anything looks at it."


def _painted(camera: Camera) -> float:
    return float(cover(camera.masks, camera.regions, height=RASTER, width=RASTER).mean())


def _told(config: Config) -> Iterator[str]:
    privacy = config.privacy
    if privacy.least_count is not None:
        yield f"Told are only totals, of at least {privacy.least_count} visits at once, and nothing of a single one."
    else:
        yield "Told is when somebody comes and goes, under a random number of this one visit, with the estimates."
        if config.visits.faces_rate:
            yield "So is where in the picture a face is, while it is there."
    if measures_attention(config.attention.enabled, privacy.purpose):
        yield "Told, too, is how long and how often a head points towards the camera; where its eyes look is not known."
    cameras = config.cameras.values()
    places = [line.name for camera in cameras for line in camera.lines]
    places += [zone.name for camera in cameras for zone in camera.zones]
    if places:
        yield f"Counted is who crosses or stays at these places in the picture: {', '.join(dict.fromkeys(places))}."
    if privacy.age_bands:
        yield f"Of an age only its band is told: {', '.join(band_names(privacy.age_bands))} years."


def _sent(config: Config, node: str) -> Iterator[str]:
    mqtt = config.mqtt
    encrypted = mqtt.tls or mqtt.ca_file or mqtt.cert_file
    how = "encrypted" if encrypted else "not encrypted"
    yield (
        f"It is sent to one address, the MQTT broker {hide_credentials(mqtt.host)} port {mqtt.port}, {how}, under "
        f"{mqtt.prefix.rstrip('/')}/{node}; who reads there is up to the broker."
    )
    if config.home_assistant.discovery != "off":
        yield "Home Assistant is told there what it may show."
    if config.metrics.address:
        yield f"Numbers of this program, none of people, can be fetched at {config.metrics.address}."


def _kept(config: Config) -> Iterator[str]:
    yield "A picture is in memory for the moment of looking at it, and never on a disk."
    yield (
        "So that people who cross are not taken for each other, the colours of head and clothes and the texture of "
        "clothes are kept in memory as counts, not as a picture, until the visit ends; they are never written or sent."
    )
    if config.privacy.least_count is not None:
        yield "Nothing of a single visit is written on the disk."
    elif config.spool.enabled:
        yield "Begin and end of a visit lie on the disk of this device until the broker has them."
    else:
        yield "No visit is written on the disk."
    yield "Totals of a day are kept for three days. The broker keeps the latest totals and states until others come."


def _not_done(config: Config) -> Iterator[str]:
    yield (
        "It recognises nobody and finds nobody again: no name, no portrait, no mark of a face is made, and no picture "
        "leaves the device."
    )
    names = [QUESTIONS[task].notice for task in QUESTIONS if task in refused(config.privacy.purpose)]
    if names:
        yield f"Because of where it is used it does not estimate {' or '.join(names)}."
