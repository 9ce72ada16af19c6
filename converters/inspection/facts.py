"""What can be said of a network file, whichever runtime it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from edgeface.bundle.heads import Closed

Shape = tuple[int | str, ...]
"""Sides of a tensor; a name (or ``?``) where any number goes."""
_PATH = re.compile(r"(?:/(?:home|root|Users|tmp|usr|opt|mnt|work\w*|content|data)/|[A-Z]:\\)[^\s\"',;:)]*")


class Value(Closed, frozen=True, kw_only=True):
    """One input or output; ``scale`` and ``zero`` are set where whole numbers stand for real ones."""

    name: str
    shape: Shape
    type: str
    scale: float | None = None
    zero: int | None = None


class FileFacts(Closed, frozen=True, kw_only=True):
    """One network file.

    ``operators`` says how often each is used, ``parameters`` how many values its weights have, ``weights`` how many of
    them are stored in which type. ``macs`` are the multiply-accumulates of convolutions, dense and recurrent layers in
    one call with the input shapes ``macs_at`` (free sides filled in). ``opset`` and ``ir`` are an ONNX file's versions;
    of a TFLite file ``opset`` is its schema's. ``paths`` are places on somebody's machine that its metadata tell.
    ``runtimes`` says of each pinned runtime ``runs``, or in one line why not.
    """

    kind: str
    bytes: int
    sha256: str
    producer: str = ""
    opset: int
    ir: int | None = None
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    signatures: dict[str, dict[str, tuple[Value, ...]]] = msgspec.field(default_factory=dict)
    operators: dict[str, int]
    parameters: int
    weights: dict[str, int]
    macs: int | None = None
    macs_at: tuple[tuple[int, ...], ...] = ()
    quantization: str
    metadata: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    runtimes: dict[str, str] = msgspec.field(default_factory=dict)


def paths_in(text: str) -> set[str]:
    """Absolute paths of some workstation that stand in a text."""
    return set(_PATH.findall(text))


def error_text(error: BaseException) -> str:
    """What an exception says, in one line, without the place in somebody's C++ where it was noticed."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.rpartition("` failed: ")[2].strip()


def format_precision(weights: Mapping[str, int], *, whole_layers: bool, widened: bool, per_channel: bool) -> str:
    """Say what a file's quantization amounts to.

    Parameters
    ----------
    weights : values by stored type
    whole_layers : whether layers compute in whole numbers
    widened : whether small weights are widened before they are used
    per_channel : whether a weight has a scale for each of its channels
    """
    stored = max(weights, key=lambda kind: weights[kind], default="float32")
    scales = "per channel" if per_channel else "per tensor"
    if whole_layers:
        return f"full integer, {scales}"
    if stored in {"int8", "uint8", "int4"}:
        how = "widened to float before use" if widened else "dynamic range"
        return f"{stored} weights, {scales}, {how}"
    if stored == "float16":
        return "float16 weights, float arithmetic" if widened else "float16 weights and arithmetic"
    return "none"
