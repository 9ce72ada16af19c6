"""What is said of people: typed messages, their builders and their JSON Schemas.

`messages` holds the structs, the one source of truth of the MQTT API; `bodies` turns visits into them;
`summary` counts a minute. Everything here is a function of its arguments: no clock, no network.
"""

from edgeface.events.bodies import (
    Body,
    FacesPace,
    faces_body,
    health_body,
    iso,
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
    SpoolHealth,
    SummaryMessage,
    Undelivered,
    VisitMessage,
    as_replayed,
    decode,
    kind_of_topic,
    schemas,
)
from edgeface.events.summary import SummaryWindow

__all__ = [
    "KINDS",
    "SCHEMA_VERSION",
    "Body",
    "CameraHealth",
    "ConfigurationHealth",
    "Face",
    "FacesMessage",
    "FacesPace",
    "HealthMessage",
    "Interrupted",
    "Kind",
    "Message",
    "MqttHealth",
    "NoticeMessage",
    "NoticeNetwork",
    "SpoolHealth",
    "SummaryMessage",
    "SummaryWindow",
    "Undelivered",
    "VisitMessage",
    "as_replayed",
    "decode",
    "faces_body",
    "health_body",
    "iso",
    "kind_of_topic",
    "notice_body",
    "schemas",
    "visit_body",
]
