"""The configuration's types: every key, its range, its default and its sentence.

They are the one source: ``edgeface config show`` and ``docs/configuration.md`` are written from them. An empty file is
a working configuration.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from edgeface.config.cameras import Camera
from edgeface.config.places import Attention
from edgeface.config.privacy import HOURS, Purpose
from edgeface.config.values import (
    PLAIN,
    PREFIX,
    SIZE,
    Endpoint,
    Factor,
    Id,
    Place,
    Samples,
    Seconds,
    Share,
    Text,
)
from edgeface.questions import QUESTIONS, Schedule
from edgeface.types import Task

MEASURED = {
    task: f"unset: as measured for the network, where its bundle says so, else {question.certainty:g}"
    for task, question in QUESTIONS.items()
}
"""Where a threshold of *unknown* comes from."""
RuntimeName = Literal["onnx", "litert"]
Optimization = Literal["none", "basic", "extended", "all"]
ProviderChoice = Literal["auto", "cpu", "cuda", "tensorrt"]


class Node(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who this device is."""

    id: Annotated[
        Id | None, Meta(description="name in topics; empty: host name and four digits from the machine id")
    ] = None


class Mqtt(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The broker and how to reach it."""

    host: Annotated[
        str, Meta(pattern=PLAIN, min_length=1, max_length=255, description="broker's name or address, nothing else")
    ] = "localhost"
    port: Annotated[int, Meta(ge=1, le=65_535, description="broker's port; 8883 is usual with TLS")] = 1883
    prefix: Annotated[str, Meta(pattern=PREFIX, max_length=128, description="first part of every topic")] = "edgeface"
    client_id: Annotated[Text | None, Meta(description="empty: edgeface-<node id>; must be unique at the broker")] = (
        None
    )
    username: Annotated[Text | None, Meta(description="user name at the broker")] = None
    password: Annotated[
        Text | None,
        Meta(description="better: password_file, $CREDENTIALS_DIRECTORY/mqtt_password or EDGEFACE_MQTT_PASSWORD"),
    ] = None
    password_file: Annotated[Place | None, Meta(description="file whose first line is the password")] = None
    tls: Annotated[bool, Meta(description="encrypt; implied by ca_file and cert_file")] = False
    ca_file: Annotated[Place | None, Meta(description="certificate of the authority that signed the broker's")] = None
    cert_file: Annotated[Place | None, Meta(description="this node's certificate, if the broker asks for one")] = None
    key_file: Annotated[Place | None, Meta(description="key of cert_file")] = None
    keep_alive: Annotated[
        int, Meta(ge=5, le=3600, description="seconds; the last will comes after 1.5 times this silence")
    ] = 30
    connect_timeout: Annotated[
        float, Meta(gt=0, le=600, description="seconds to wait for a connection, and then for the broker's answer")
    ] = 10.0
    queue: Annotated[
        int,
        Meta(
            ge=50,
            le=100_000,
            description="messages kept while the broker is away; what is dropped is counted",
        ),
    ] = 2000


class Spool(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Starts and ends of visits on the disk, until the broker has them."""

    enabled: Annotated[
        bool, Meta(description="keep them in the state directory, so that no outage, crash or power cut loses a visit")
    ] = True
    messages: Annotated[
        int,
        Meta(
            ge=100,
            le=100_000,
            description="most that wait, about 1 KB each, where mqtt.queue is smaller; what is dropped is counted",
        ),
    ] = 20_000


class HomeAssistant(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Home Assistant finds this node and its cameras by itself."""

    discovery: Annotated[
        Literal["auto", "on", "off"],
        Meta(description="whether cameras are announced; auto: those that are live, on: files and folders too"),
    ] = "auto"
    prefix: Annotated[str, Meta(pattern=PREFIX, max_length=128, description="Home Assistant's discovery prefix")] = (
        "homeassistant"
    )


class Commands(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may be told to this node over MQTT; a command only takes away what this file allows."""

    enabled: Annotated[
        bool, Meta(description="listen for commands: pause, expression, restart; off, what they had set is forgotten")
    ] = False


class Detector(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How faces are found."""

    network: Annotated[
        Text | None, Meta(description="a detector of the bundle, such as yunet; empty: the bundle's default")
    ] = None
    size: Annotated[
        str,
        Meta(
            pattern=SIZE,
            description="input of the detector: auto, original or WIDTHxHEIGHT; larger finds smaller faces at a cost",
        ),
    ] = "auto"
    score: Annotated[float, Meta(gt=0, le=1, description="detections below this are not faces")] = 0.6
    interval: Annotated[float, Meta(ge=0, le=60, description="seconds between detections; 0: every frame")] = 0.0
    fine: Annotated[
        bool,
        Meta(
            description="look for small faces in a finer scale, where something moves and now and then everywhere; "
            "only with size = auto, and by yunet and retinaface"
        ),
    ] = True
    motion: Annotated[
        bool,
        Meta(description="frames in which nothing moves are searched twice in visits.lost_after only"),
    ] = True


class ScheduleChoice(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[schedule.<network>]` table: how often a network samples one person; not for recurrent networks."""

    interval: Annotated[Seconds | None, Meta(description="seconds between samples once the answer stands")] = None
    initial_interval: Annotated[
        Seconds | None, Meta(description="seconds between the first samples of a new person")
    ] = None
    initial_samples: Annotated[Samples | None, Meta(description="first samples before `interval` applies")] = None
    improvement: Annotated[
        Factor | None, Meta(description="a view this many times better than any before is sampled early")
    ] = None

    def over(self, usual: Schedule) -> Schedule:
        """The usual schedule of the network's task, but for what this table gives."""
        given = {key: value for key, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(usual, **given)


class Visits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a person is here, gone, and known."""

    confirm: Annotated[float, Meta(ge=0, le=60, description="seconds of presence before a visit starts")] = 0.3
    lost_after: Annotated[
        Seconds, Meta(description="seconds without a detection after which nobody counts as there any more")
    ] = 2.0
    return_within: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="seconds after that in which who comes back to about the same place and looks the same goes on "
            "with the visit; its `end` waits so long",
        ),
    ] = 4.0
    update_interval: Annotated[Seconds, Meta(description="least seconds between two updates of one visit")] = 2.0
    min_samples: Annotated[
        int, Meta(ge=1, le=1000, description="samples before age, gender, expression, affect are said")
    ] = 3
    min_quality: Annotated[Share, Meta(description="samples below this quality weigh nothing")] = 0.15
    gender_certainty: Annotated[
        Annotated[float, Meta(ge=0.5, lt=1)] | None,
        Meta(description=f"fused probability below which gender is unknown; {MEASURED['gender']}"),
    ] = None
    expression_certainty: Annotated[
        Share | None,
        Meta(description=f"share below which expression is unknown; {MEASURED['expression']}"),
    ] = None
    faces_rate: Annotated[
        float, Meta(ge=0, le=60, description="most `faces` messages a second and camera; 0: none")
    ] = 2.0

    def certainty(self, task: Task, measured: float | None = None) -> float:
        """Probability below which an answer is unknown.

        The key ``<task>_certainty``, else what was ``measured`` for the network, else the question's own.
        """
        given: float | None = getattr(self, f"{task}_certainty", None)
        return next(least for least in (given, measured, QUESTIONS[task].certainty) if least is not None)


class Runtime(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which engine runs the networks."""

    name: Annotated[
        Literal["auto", "onnx", "litert"], Meta(description="auto: what the bundle prefers on this processor")
    ] = "auto"
    provider: Annotated[
        ProviderChoice,
        Meta(
            description="what ONNX Runtime computes on; auto and tensorrt: TensorRT, else CUDA, else the processor, "
            "the first that really loads; cuda: CUDA, else the processor"
        ),
    ] = "auto"
    threads: Annotated[
        int,
        Meta(
            ge=0, le=64, description="threads per network; 0: two, or one where this process gets the time of one core"
        ),
    ] = 0
    turn: Annotated[
        float,
        Meta(
            ge=0,
            le=60,
            description="seconds of a turn of live cameras after which samples wait for the next frame; "
            "0: an eighth of visits.lost_after, up to half of it where frames are that far apart",
        ),
    ] = 0.0
    hold: Annotated[
        bool,
        Meta(
            description="hold the rate of live cameras: where the board is too hot, short of power or too slow, do "
            "less in a stated order (docs/performance.md); off: frames are dropped"
        ),
    ] = True
    heat: Annotated[
        float,
        Meta(ge=0, le=150, description="degrees Celsius of the hottest sensor from which on less is done; 0: never"),
    ] = 80.0
    tune: Annotated[
        bool, Meta(description="take what `edgeface tune` found on this board, where no key says otherwise")
    ] = True


class NetworkChoice(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[networks.<name>]` table: overrides for one network."""

    runtime: Annotated[RuntimeName | None, Meta(description="run this network in another engine than the rest")] = None
    precision: Annotated[Text | None, Meta(description="fp32, fp16w, int8w or int8, where the bundle has it")] = None
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | None, Meta(description="threads of this network; unset: runtime.threads")
    ] = None
    optimization: Annotated[
        Optimization | None,
        Meta(description="how far ONNX Runtime rewrites the network when it is loaded; unset: all"),
    ] = None
    batch: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        Meta(description="most faces in one call; unset: as many as the file is prepared for"),
    ] = None


class Privacy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What it is for, and how little is told of people; see docs/privacy.md."""

    purpose: Annotated[
        Purpose | None,
        Meta(
            description="where it is used; at a workplace and in education nobody's expression or affect is estimated"
        ),
    ] = None
    statement: Annotated[
        Annotated[str, Meta(pattern=PLAIN, max_length=1000)] | None,
        Meta(description="what it is for, in your own words; told in the notice"),
    ] = None
    contact: Annotated[
        Annotated[str, Meta(pattern=PLAIN, max_length=1000)] | None,
        Meta(description="who answers for it, and how to reach them; told in the notice"),
    ] = None
    age_bands: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=120)], ...],
        Meta(
            max_length=12,
            description="ages at which bands begin, at least 10 years apart, such as [18, 35, 55]: only the band "
            "leaves this device; empty: years",
        ),
    ] = ()
    least_count: Annotated[
        Annotated[int, Meta(ge=2, le=10_000)] | None,
        Meta(
            description="only summaries are told, and only of at least so many visits: no `visits`, no `faces`, nobody "
            "in `state`, nothing in the spool; unset: all is told"
        ),
    ] = None
    period: Annotated[
        float, Meta(ge=60, le=86_400, description="seconds of such a summary, and of what is added while it is too few")
    ] = 3600.0
    hours: Annotated[
        tuple[Annotated[str, Meta(pattern=HOURS)], ...],
        Meta(
            max_length=24,
            description='when people may be looked at, by the clock of this place: ["08:00-12:00", "22:00-06:00"]; '
            "outside cameras are closed; empty: always",
        ),
    ] = ()


class Limits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is refused."""

    megapixels: Annotated[float, Meta(gt=0, le=1000, description="larger pictures are refused from their header")] = (
        220.0
    )
    megabytes: Annotated[
        float, Meta(gt=0, le=100_000, description="a picture or video that takes more memory to read is refused")
    ] = 500.0


class Metrics(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Numbers for Prometheus, with `pip install 'edgeface[metrics]'`."""

    address: Annotated[
        Endpoint | None,
        Meta(description="where they are served, such as 127.0.0.1:9464; empty: nothing listens"),
    ] = None


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration."""

    node: Node = msgspec.field(default_factory=Node)
    mqtt: Mqtt = msgspec.field(default_factory=Mqtt)
    spool: Spool = msgspec.field(default_factory=Spool)
    home_assistant: HomeAssistant = msgspec.field(default_factory=HomeAssistant)
    commands: Commands = msgspec.field(default_factory=Commands)
    detector: Detector = msgspec.field(default_factory=Detector)
    cameras: Annotated[dict[Id, Camera], Meta(min_length=1)] = msgspec.field(default_factory=lambda: {"main": Camera()})
    attributes: Annotated[
        dict[Task, str | Literal[False]],
        Meta(description="network per question, or false to leave the question out; default: the bundle's"),
    ] = {}
    schedule: Annotated[dict[str, ScheduleChoice], Meta(description="by network name")] = {}
    networks: Annotated[dict[str, NetworkChoice], Meta(description="by network name")] = {}
    visits: Visits = msgspec.field(default_factory=Visits)
    attention: Attention = msgspec.field(default_factory=Attention)
    runtime: Runtime = msgspec.field(default_factory=Runtime)
    privacy: Privacy = msgspec.field(default_factory=Privacy)
    limits: Limits = msgspec.field(default_factory=Limits)
    metrics: Metrics = msgspec.field(default_factory=Metrics)
    bundle: Annotated[Place | None, Meta(description="name or folder of the bundle; default: default")] = None
