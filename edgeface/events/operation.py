"""What `health` tells an operator beside frames and messages: what runs here, on what, and how that fares."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edgeface.questions import Count

HASH_DIGITS = 12
"""Of a SHA-256 in hexadecimal: enough to tell two apart, short enough to be read out on the telephone."""

About = Literal["camera", "configuration", "refused", "dropped", "spool", "network", "board", "degraded"]
NotNegative = Annotated[float, Meta(ge=0)]


class BundleHealth(Struct, frozen=True, kw_only=True):
    """The networks that run."""

    name: str
    version: str
    hash: Annotated[str, Meta(description="first digits of the SHA-256 of manifest.json, which has that of each file")]


class NetworkHealth(Struct, frozen=True, kw_only=True):
    """What one network runs on."""

    runtime: Literal["onnx", "litert", "opencv"]
    precision: Annotated[str, Meta(description="of its file: fp32, fp16w, int8w, int8")]
    provider: Annotated[str, Meta(description="what computes: cpu, cuda or tensorrt")]


class BuildHealth(Struct, frozen=True, kw_only=True):
    """Engines that are being built while the networks run on something slower."""

    provider: str
    since: Annotated[str, Meta(description="ISO 8601, UTC, milliseconds")]


class TuningHealth(Struct, frozen=True, kw_only=True):
    """Whether the networks are loaded as `edgeface tune` found it best on this board."""

    state: Annotated[
        Literal["fresh", "stale", "none", "off", "unused"],
        Meta(
            description="fresh: they are; stale: what was found is of another board, bundle or library, and the "
            "bundle's order holds; none: nothing was measured here; off: it is not wanted; unused: they run on a GPU"
        ),
    ]
    made: Annotated[str | None, Meta(description="when it was measured, ISO 8601, UTC; null: never, or not known")]
    text: Annotated[str, Meta(description="the same in one line, with what to do")]


class HoldHealth(Struct, frozen=True, kw_only=True):
    """How much is done of what is configured, so that live cameras keep their rate and the board its temperature."""

    level: Annotated[Count, Meta(description="0: everything; each further one a little less")]
    levels: Annotated[Count, Meta(description="the last there is")]
    name: Annotated[str, Meta(description="of the level: full, sampling/2, detection/2, smallest input and so on")]
    text: Annotated[str, Meta(description="what is left out beside the level before")]
    causes: Annotated[
        list[Literal["heat", "power", "load"]],
        Meta(description="why it does less now; empty: nothing is wrong, or not any more"),
    ]


class InferenceHealth(Struct, frozen=True, kw_only=True):
    """What the networks run on."""

    onnxruntime: Annotated[str | None, Meta(description="version, and whose it is; null: there is none")]
    networks: Annotated[dict[str, NetworkHealth], Meta(description="by name")]
    building: Annotated[BuildHealth | None, Meta(description="null: nothing is built")]
    fallback: Annotated[
        str | None,
        Meta(description="why a provider that is asked for or listed does not compute, in one line; null: none such"),
    ]
    tuning: Annotated[TuningHealth | None, Meta(description="null: not said")] = None


class MachineHealth(Struct, frozen=True, kw_only=True):
    """The board and how it fares; null: it does not say."""

    board: Annotated[str | None, Meta(description="name of the board")]
    serial: Annotated[str | None, Meta(description="serial number of the board")]
    temperature: Annotated[float | None, Meta(description="degrees Celsius of the hottest sensor")]
    temperatures: Annotated[dict[str, float], Meta(description="degrees Celsius by sensor")]
    throttled: Annotated[
        list[str] | None,
        Meta(
            description="Raspberry Pi, what it suffers from now: under-voltage, frequency capped, throttled, "
            "temperature limit"
        ),
    ]
    throttled_since_boot: Annotated[list[str] | None, Meta(description="the same at some time since the boot")]
    cpu: Annotated[
        NotNegative | None,
        Meta(description="processor time of this program since the last message over the time; 1 is one core"),
    ]
    load: Annotated[NotNegative | None, Meta(description="processes that ran or waited, mean of a minute")]
    memory_free_mb: Annotated[NotNegative | None, Meta(description="memory that programs may still take, megabytes")]
    disk_free_mb: Annotated[NotNegative | None, Meta(description="room where state is kept, megabytes")]
    clock_synchronised: Annotated[bool | None, Meta(description="whether the network sets the clock")]


class LastError(Struct, frozen=True, kw_only=True):
    """The latest warning or error of the log."""

    at: Annotated[str, Meta(description="ISO 8601, UTC, milliseconds")]
    text: Annotated[str, Meta(description="its line")]


class Undelivered(Struct, frozen=True, kw_only=True):
    """What an earlier run could not deliver before it was stopped or killed."""

    boot: Annotated[str, Meta(description="id of that run")]
    messages: Annotated[
        Count, Meta(description="messages that the broker did not get; those that newer ones replaced do not count")
    ]
    visits: Annotated[Count, Meta(description="of these, messages on visits")]
    exact: Annotated[bool, Meta(description="false: that run was killed, and there may be more")]


class Problem(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a node now."""

    about: Annotated[
        About,
        Meta(
            description="a camera is away; the latest reload was not taken; the broker refused messages; messages on "
            "visits were dropped; the spool has no disk; a network gave what is no answer; low voltage or heat; less "
            "is done than is configured"
        ),
    ]
    text: Annotated[str, Meta(description="in one line")]


class Certificates(Struct, frozen=True, kw_only=True):
    """When certificates end; null: there is none, or it is not yet known."""

    broker: Annotated[str | None, Meta(description="end of the broker's, ISO 8601, UTC")]
    own: Annotated[str | None, Meta(description="end of this node's, ISO 8601, UTC")]
