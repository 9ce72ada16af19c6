"""What a training recipe may say about its schedule."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from edgeface.bundle import Closed

Share = Annotated[float, Meta(ge=0, le=1)]


class Schedule(Closed, frozen=True, kw_only=True):
    """How long, how fast, how exactly."""

    epochs: Annotated[float, Meta(gt=0, le=10_000, description="passes over as many faces as there are")]
    minutes: Annotated[float, Meta(ge=0, le=100_000, description="end earlier, annealed, after so many; 0: never")] = 0
    batch: Annotated[int, Meta(ge=1, le=65_536, description="faces of a step, of all processes together")] = 64
    rate: Annotated[float, Meta(gt=0, le=1, description="highest learning rate")]
    last_rate: Annotated[Share, Meta(description="learning rate at the end, as a share of the highest")] = 0.0
    warm_up: Annotated[
        int, Meta(ge=0, le=100_000, description="steps in which the rate rises, a tenth of all at most")
    ] = 200
    decay: Annotated[Share, Meta(description="weight decay, of matrices and convolutions only")] = 0.02
    clip: Annotated[float, Meta(gt=0, le=1e6, description="longest gradient; a longer one is shortened to it")] = 5.0
    ema: Annotated[
        float,
        Meta(ge=0, lt=1, description="share that the averaged weights keep at a step: .99 short runs, .9995 long"),
    ] = 0.999
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], Meta(description="auto: bfloat16 where it is measured to be faster")
    ] = "auto"
