"""What is said of people: typed messages, their builders and their JSON Schemas.

`messages` holds the structs, the one source of truth of the MQTT API; `bodies` turns visits into them;
`summary` counts a minute, `aggregate` a period of many people, `today` a day, and `state` says what is so now.
Everything here is a function of its arguments: no clock, no network.
"""

from edgeface.events.aggregate import AggregateWindow
from edgeface.events.asyncapi import asyncapi
from edgeface.events.bodies import (
    Body,
    FacesPace,
    faces_body,
    health_body,
    iso,
    moment,
    notice_body,
    visit_body,
)
from edgeface.events.messages import (
    KINDS,
    SCHEMA_VERSION,
    CameraHealth,
    ConfigurationHealth,
    Face,
    FacesMessage,
    HealthMessage,
    Interrupted,
    Kind,
    Message,
    MqttHealth,
    NoticeMessage,
    NoticeNetwork,
    NoticePart,
    Pause,
    SpoolHealth,
    StateMessage,
    Status,
    SummaryMessage,
    Today,
    Undelivered,
    View,
    VisitMessage,
    as_replayed,
    decode,
    kind_of_topic,
    schemas,
)
from edgeface.events.operation import HASH_DIGITS, BundleHealth, Certificates, LastError, MachineHealth
from edgeface.events.state import CameraState
from edgeface.events.summary import DECADES, SummaryWindow
from edgeface.events.today import Totals

__all__ = [
    "DECADES",
    "HASH_DIGITS",
    "KINDS",
    "SCHEMA_VERSION",
    "AggregateWindow",
    "Body",
    "BundleHealth",
    "CameraHealth",
    "CameraState",
    "Certificates",
    "ConfigurationHealth",
    "Face",
    "FacesMessage",
    "FacesPace",
    "HealthMessage",
    "Interrupted",
    "Kind",
    "LastError",
    "MachineHealth",
    "Message",
    "MqttHealth",
    "NoticeMessage",
    "NoticeNetwork",
    "NoticePart",
    "Pause",
    "SpoolHealth",
    "StateMessage",
    "Status",
    "SummaryMessage",
    "SummaryWindow",
    "Today",
    "Totals",
    "Undelivered",
    "View",
    "VisitMessage",
    "as_replayed",
    "asyncapi",
    "decode",
    "faces_body",
    "health_body",
    "iso",
    "kind_of_topic",
    "moment",
    "notice_body",
    "schemas",
    "visit_body",
]
