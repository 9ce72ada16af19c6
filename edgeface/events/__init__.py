"""What is said of people: typed messages, their builders and their JSON Schemas.

`messages`, `people` and `counts` hold the structs, the one source of truth of the MQTT API; `bodies` turns visits into
them;
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
    notice_body,
    visit_body,
)
from edgeface.events.commands import (
    COMMAND,
    COMMANDS,
    LARGEST,
    AnyCommand,
    ExpressionCommand,
    PauseCommand,
    RestartCommand,
    command_schemas,
    judge,
)
from edgeface.events.counts import Pause, StateMessage, Status, SummaryMessage, Today
from edgeface.events.envelope import SCHEMA_VERSION
from edgeface.events.messages import (
    KINDS,
    CameraHealth,
    CommandsHealth,
    ConfigurationHealth,
    HealthMessage,
    Interrupted,
    Kind,
    LatestCommand,
    Message,
    MqttHealth,
    NoticeMessage,
    NoticeNetwork,
    NoticePart,
    SpoolHealth,
    as_replayed,
    decode,
    kind_of_topic,
    moment,
    schemas,
)
from edgeface.events.operation import (
    HASH_DIGITS,
    About,
    BuildHealth,
    BundleHealth,
    Certificates,
    InferenceHealth,
    LastError,
    MachineHealth,
    NetworkHealth,
    Problem,
    Undelivered,
)
from edgeface.events.people import Face, FacesMessage, View, VisitMessage
from edgeface.events.state import CameraState
from edgeface.events.summary import DECADES, SummaryWindow
from edgeface.events.today import Totals

__all__ = [
    "COMMAND",
    "COMMANDS",
    "DECADES",
    "HASH_DIGITS",
    "KINDS",
    "LARGEST",
    "SCHEMA_VERSION",
    "About",
    "AggregateWindow",
    "AnyCommand",
    "Body",
    "BuildHealth",
    "BundleHealth",
    "CameraHealth",
    "CameraState",
    "Certificates",
    "CommandsHealth",
    "ConfigurationHealth",
    "ExpressionCommand",
    "Face",
    "FacesMessage",
    "FacesPace",
    "HealthMessage",
    "InferenceHealth",
    "Interrupted",
    "Kind",
    "LastError",
    "LatestCommand",
    "MachineHealth",
    "Message",
    "MqttHealth",
    "NetworkHealth",
    "NoticeMessage",
    "NoticeNetwork",
    "NoticePart",
    "Pause",
    "PauseCommand",
    "Problem",
    "RestartCommand",
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
    "command_schemas",
    "decode",
    "faces_body",
    "health_body",
    "iso",
    "judge",
    "kind_of_topic",
    "moment",
    "notice_body",
    "schemas",
    "visit_body",
]
