"""What a training recipe may say about memory: which layers, trained how, on which sequences."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from converters.train.courses import Moving
from converters.train.schedule import Schedule
from edgeface.bundle import Closed

Arm = Literal["layers", "layers+head", "all"]
"""What is trained: the recurrent layers; and the head that reads them; the backbone, too."""
Kind = Literal["lstm-1", "lstm-2", "lstm-3", "gru-1", "gru-2", "gru-3", "mean-1"]
"""Kind and number of layers; ``mean-1`` is a mean of features with learnt weights."""
FRAME = "frame"
"""Instead of layers: the head alone, trained on single frames of the same sequences, as a fair bar."""


class Memory(Closed, frozen=True, kw_only=True):
    """A study of memory: each kind of layers in each arm, several times, on features of a backbone that is kept."""

    question: Annotated[Literal["age"], Meta(description="answer that is read from memory")] = "age"
    frames: Annotated[int, Meta(ge=2, le=200, description="of a sequence")] = 20
    kinds: Annotated[tuple[Kind, ...], Meta(min_length=1, description="layers to try")] = (
        "lstm-1",
        "lstm-2",
        "lstm-3",
        "gru-1",
        "mean-1",
    )
    arms: Annotated[tuple[Literal["layers", "layers+head"], ...], Meta(min_length=1, description="what is trained")] = (
        "layers",
        "layers+head",
    )
    repeats: Annotated[int, Meta(ge=1, le=100, description="trainings of each, with seeds of their own")] = 3
    shortcut: Annotated[
        bool, Meta(description="the head reads the frame's feature plus what the layers say; false as published")
    ] = False
    takes: Annotated[int, Meta(ge=1, le=100, description="sequences that are made of each face")] = 1
    every: Annotated[bool, Meta(description="learn from the answer at every frame; false: at the last alone")] = True
    all: Annotated[
        Schedule | None, Meta(description="schedule of the arm that trains everything, once; none: it is left out")
    ] = None
    moving: Moving = Moving()


def layers_of(kind: str) -> tuple[str, int]:
    """Cell and number of layers; of `FRAME` none."""
    cell, _, count = kind.partition("-")
    return ("lstm", 0) if kind == FRAME else (cell, int(count))
