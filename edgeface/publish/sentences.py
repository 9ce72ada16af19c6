"""Messages as sentences that a person understands: one line per event.

::

    12:04:07 main: somebody arrived (visit 3f2a)
    12:04:13 main: visit 3f2a left after 6 s: about 31 years (24-39), woman as the data labels it (97 %)
"""

from __future__ import annotations

from datetime import tzinfo

import msgspec

from edgeface.events import (
    FacesMessage,
    HealthMessage,
    Message,
    NoticeMessage,
    PlaceMessage,
    StateMessage,
    SummaryMessage,
    VisitMessage,
    decode,
    kind_of_topic,
    moment,
)
from edgeface.questions import QUESTIONS

AVAILABILITY = "availability"


def sentence(topic: str, payload: bytes, *, zone: tzinfo | None = None) -> str | None:
    """Say one message in one line.

    Parameters
    ----------
    topic, payload : as they were received
    zone : of the times that are told; None for this machine's

    Returns
    -------
    The line, or None for a topic that carries no message of ours. A payload that does not hold is called so.
    """
    if topic.rsplit("/", 1)[-1] == AVAILABILITY:
        node = topic.rsplit("/", 2)[-2] if topic.count("/") else topic
        return f"{node} is {payload.decode(errors='replace')}"
    kind = kind_of_topic(topic)
    if kind is None:
        return None
    try:
        message = decode(kind, payload)
        return f"{_clock(message.at, zone)} {_sentence(message)}"
    except (msgspec.DecodeError, ValueError) as error:
        return f"{topic}: a message that this version does not understand ({error})"


def describe(message: VisitMessage) -> str:
    """Say what is known of somebody: ``about 31 years (24-39), ...``; empty when nothing is."""
    parts = {task: getattr(message, task) for task in QUESTIONS}
    band = [f"{message.age_band} years"] if isinstance(message.age_band, str) else []
    known = [QUESTIONS[task].text(part) for task, part in parts.items() if part is not None]
    return ", ".join([*band, *known, *_looks(message)])


def _looks(message: VisitMessage) -> list[str]:
    known = message.attention
    if known is None or not known.glances:
        return []
    return [f"faced the camera {_length(known.looking)} in {_count(known.glances, 'look', 'looks')}"]


def _sentence(message: Message) -> str:
    if isinstance(message, HealthMessage):
        return f"{message.node}: {_health(message)}"
    if isinstance(message, NoticeMessage):
        return f"{message.node}: {_notice(message)}"
    return f"{message.camera}: {_of_camera(message)}"


def _of_camera(message: VisitMessage | PlaceMessage | FacesMessage | StateMessage | SummaryMessage) -> str:
    if isinstance(message, VisitMessage):
        return _visit(message)
    if isinstance(message, PlaceMessage):
        return _place(message)
    if isinstance(message, FacesMessage):
        return _faces(message)
    return _state(message) if isinstance(message, StateMessage) else _summary(message)


def _visit(message: VisitMessage) -> str:
    known = describe(message)
    if message.event == "start":
        return f"somebody arrived (visit {message.visit}){': ' if known else ''}{known}"
    if message.event == "update":
        return f"visit {message.visit} after {_length(message.seconds)}: {known or 'nothing known yet'}"
    why = {"lost": "left", "source_ended": "ended with the source", "stopped": "ended with the program"}
    why["paused"] = "was not looked at any more (paused)"
    why["power"] = "was cut short: the program ended without a stop"
    gone = why[message.reason or "lost"]
    return f"visit {message.visit} {gone} after {_length(message.seconds)}: {known or 'nothing became known'}"


def _place(message: PlaceMessage) -> str:
    if message.event == "crossed":
        return f"visit {message.visit} crossed {message.place}: {message.direction}"
    stayed = "" if message.seconds is None else f" after {_length(message.seconds)}"
    return f"visit {message.visit} {message.event} {message.place}{stayed}"


def _faces(message: FacesMessage) -> str:
    if not message.faces:
        return "nobody in view"
    return f"in view now: {_count(len(message.faces), 'person', 'people')}"


def _state(message: StateMessage) -> str:
    today = message.today
    total = f"{_count(today.visits, 'visit', 'visits')} today, {_length(today.seconds)}"
    if message.count is None and message.status == "running":
        return f"who is there is not told; {total}"
    if message.count is None:
        why = "outside its hours" if message.paused == "hours" else ""
        if why:
            return f"nobody is looking ({why}); {total}"
        return f"nobody is looking (camera {message.status}); {total}"
    there = _count(message.count, "person", "people") if message.count else "nobody"
    known = [f"about {message.age:.0f} years on average"] if message.age is not None else []
    known += [f"mostly {message.age_band} years"] if isinstance(message.age_band, str) else []
    known += [f"mostly {message.expression}"] if message.expression is not None else []
    known += [f"{message.looking} facing the camera"] if message.looking else []
    known += [f"{count} in {zone}" for zone, count in (message.zones or {}).items() if count]
    return f"now: {', '.join([f'{there} there', *known])}; {total}"


def _summary(message: SummaryMessage) -> str:
    counts = ((message.in_, "came"), (message.out, "left"), (message.in_view, "in view"))
    moved = ", ".join(f"{count} {what}" for count, what in counts if count is not None)
    ages = [f"{count} of {band}" for band, count in message.ages.items() if count and band != "unknown"]
    mood = max(message.expressions, key=message.expressions.__getitem__) if message.expressions else None
    parts = [moved, *([f"ages: {', '.join(ages)}"] if ages else []), *([f"mostly {mood}"] if mood else [])]
    for line, ways in (message.lines or {}).items():
        crossed = [f"{count} {way}" for way, count in ways.items() if count]
        parts += [f"{line}: {', '.join(crossed)}"] if crossed else []
    return f"summary: {'; '.join(parts)}"


def _health(message: HealthMessage) -> str:
    cameras = ", ".join(
        f"{name} {camera.state}" + (f" at {camera.fps:.0f} frames a second" if camera.fps is not None else "")
        for name, camera in message.cameras.items()
    )
    mqtt = message.mqtt
    lost = sum(mqtt.dropped.values())
    trouble = f", {_count(lost, 'message', 'messages')} dropped" if lost else ""
    refused = f", {mqtt.parked} refused by the broker" if mqtt.parked else ""
    up = f"up {_length(message.uptime)}; {cameras or 'no camera'}"
    configured = message.configuration
    kept = f"; configuration not taken: {configured.error}" if configured and configured.error else ""
    return f"health: {up}; MQTT {mqtt.protocol}{trouble}{refused}{kept}"


def _notice(message: NoticeMessage) -> str:
    first, more, _ = message.text.partition(". ")
    return f"notice: {first}. ... (`edgeface privacy` prints all of it)" if more else f"notice: {first}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _length(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _clock(at: str, zone: tzinfo | None) -> str:
    return moment(at).astimezone(zone).strftime("%H:%M:%S")
