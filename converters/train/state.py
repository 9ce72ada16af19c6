"""What a training is at one moment: weights, their moving average, the optimizer, and how far it is."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from math import cos, pi
from typing import Any

import torch

from converters.train.schedule import Schedule

EARLY = 10
"""Steps over which the average follows fast at first: it would hold the random start for long."""

SHORT = 10
"""The rate rises over no more than this part of a training."""


@dataclass(slots=True, kw_only=True)
class State:
    """See the module.

    Attributes
    ----------
    net, ema : the module that learns, and its moving average, which is judged and kept
    step : steps done; warm_from : the one that the rate last began to rise at
    seconds, core_seconds : of all sittings together, by the clock and by the processor
    bfloat16 : whether matrix products are
    recent : losses of the last steps by question
    curve : one row of figures for each judgement; best : score of the best of them
    """

    net: Any
    ema: Any
    optimizer: torch.optim.Optimizer
    step: int = 0
    warm_from: int = 0
    seconds: float = 0.0
    core_seconds: float = 0.0
    bfloat16: bool = False
    recent: list[dict[str, float]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None


def new_state(net: Any, schedule: Schedule) -> State:
    """Begin with a module's weights."""
    return State(net=net, ema=copy.deepcopy(net).eval(), optimizer=make_optimizer(net, schedule))


def make_optimizer(net: Any, schedule: Schedule) -> torch.optim.Optimizer:
    """AdamW (Loshchilov, Hutter 2019); what has one axis (biases, norms) does not decay."""
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in trained if one.ndim > 1], "weight_decay": schedule.decay},
        {"params": [one for one in trained if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=schedule.rate)


def rate_at(schedule: Schedule, step: int, warm_from: int, progress: float, steps: int) -> float:
    """Learning rate: a rise over the first of ``steps``, then half a cosine over the progress (0 to 1).

    A short training rises for no more than a tenth of its steps: it would never reach its rate.
    """
    rise = min(1.0, (step - warm_from + 1) / max(1, min(schedule.warm_up, steps // SHORT)))
    fall = schedule.last_rate + (1 - schedule.last_rate) * (0.5 + 0.5 * cos(pi * min(1.0, progress)))
    return schedule.rate * rise * fall


def follow(ema: Any, net: Any, share: float, step: int) -> None:
    """Let the average keep ``share`` of itself, less in the first steps; counters are copied."""
    keep = min(share, (1 + step) / (EARLY + step))
    mine, theirs = ema.state_dict(), net.state_dict()  # without gradients
    real = [key for key in mine if mine[key].is_floating_point()]
    torch._foreach_lerp_([mine[key] for key in real], [theirs[key] for key in real], 1 - keep)
    for key in mine.keys() - real:
        mine[key].copy_(theirs[key])
