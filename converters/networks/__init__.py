"""One torch module per network, and the weights that go into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from converters.networks import age_v1, gender_v1, mini_xception, retinaface, yunet


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How a network is made: ``load`` turns a checkpoint's bytes into a module; ``outputs`` names what it gives."""

    load: Callable[[bytes], nn.Module]
    outputs: tuple[str, ...]


FAMILIES = {
    "yunet": Family(load=yunet.load, outputs=yunet.OUTPUTS),
    "retinaface": Family(load=retinaface.load, outputs=retinaface.OUTPUTS),
    "age_v1": Family(load=age_v1.load, outputs=age_v1.OUTPUTS),
    "gender_v1": Family(load=gender_v1.load, outputs=gender_v1.OUTPUTS),
    "mini_xception": Family(load=mini_xception.load, outputs=mini_xception.OUTPUTS),
}
