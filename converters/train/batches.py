"""Which faces each step sees, and how: functions of seed and step, so that who resumes sees what was due."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from converters.train.augment import Augment, jittered, plain
from converters.train.balance import epoch_order
from converters.train.recipe import Mixup
from converters.train.view import View
from edgeface.bundle import Input
from edgeface.errors import UsageError
from edgeface.types import F32, Image, Task

ORDER, JITTER, MIX = range(3)
"""Streams of random numbers that know nothing of each other."""


class Crops(Protocol):
    """Stored crops of a part and how a network sees them; see `converters.train.faces.Faces`."""

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """Stored crops (N, S, S, 3) or (N, S, S)."""

    @property
    def rows(self) -> Sequence[Mapping[str, str]]:
        """Labels of each."""

    @property
    def missed(self) -> int:
        """Faces that were not found."""

    @property
    def view(self) -> View:
        """How the network's input lies in a stored crop."""


class Pool:
    """Several parts, numbered through."""

    def __init__(self, parts: Sequence[Crops]) -> None:
        self.parts = parts
        self._starts = np.cumsum([0, *(len(part.rows) for part in parts)]).tolist()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def stored(self, number: int) -> tuple[Image, View]:
        """One stored crop."""
        place = bisect_right(self._starts, number) - 1
        part = self.parts[place]
        return part.pixels[number - self._starts[place]], part.view

    def plain(self, numbers: Sequence[int]) -> Image:
        """Crops as in service, uint8 (n, H, W, C)."""
        return np.stack([plain(*self.stored(number)) for number in numbers])


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Faces of a step: float32 (N, C, H, W), targets by question, the start's belief about age, numbers in the pool.

    ``share`` is that of each face where it is laid over another one, the batch in reverse; 1 for none.
    """

    faces: Tensor
    targets: Mapping[Task, Tensor]
    belief: Tensor | None
    share: float


class Scale:
    """Pixels to a network's input, on its device."""

    def __init__(self, spec: Input, device: torch.device) -> None:
        self._device = device
        self._mean = torch.tensor(spec.means, device=device).view(1, -1, 1, 1)
        self._scale = torch.tensor(spec.scales, device=device).view(1, -1, 1, 1)

    def __call__(self, pixels: Image) -> Tensor:
        """uint8 (N, H, W, C) to float32 (N, C, H, W), channels last in memory."""
        raw = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2)
        scaled = (raw.to(torch.float32) - self._mean) * self._scale
        return scaled.contiguous(memory_format=torch.channels_last)


class Order:
    """Which rows of a pool each step sees, of all processes together: a function of seed and step.

    Raises
    ------
    UsageError : there are fewer rows than a batch has
    """

    def __init__(self, weights: npt.NDArray[np.float64], batch: int, seed: int) -> None:
        if len(weights) < batch:
            raise UsageError(f"{len(weights)} faces are fewer than a batch of {batch}", fix="correct [schedule] batch")
        self._weights, self._batch, self._seed = weights, batch, seed
        self.steps = len(weights) // batch
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.zeros(0, np.int64)

    def numbers(self, step: int) -> list[int]:
        """Numbers of the rows of a step."""
        epoch, place = divmod(step, self.steps)
        if epoch != self._epoch:
            dice = np.random.default_rng((self._seed, ORDER, epoch))
            self._order = epoch_order(self._weights, self.steps * self._batch, dice)
            self._epoch = epoch
        found: list[int] = self._order[place * self._batch : (place + 1) * self._batch].tolist()
        return found


class EveryBatch(Protocol):
    """Every step's batch, as the loop asks for it."""

    @property
    def steps(self) -> int:
        """Of an epoch."""

    def __getitem__(self, step: int) -> Batch:
        """Share of a step's batch that is this process'."""


class Batches:
    """Every step's batch of faces; of several processes each makes its own share of it.

    Parameters
    ----------
    weights : float (N,), how often each face of the pool is drawn beside the others
    targets : by question float32 (N, k); belief : float16 (N, K) or None
    """

    def __init__(
        self,
        pool: Pool,
        weights: npt.NDArray[np.float64],
        targets: Mapping[Task, F32],
        belief: npt.NDArray[np.float16] | None,
        scale: Scale,
        *,
        augment: Augment,
        mixup: Mixup | None,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        device: torch.device,
    ) -> None:
        if batch % world:
            raise UsageError(f"{world} processes cannot share batches of {batch}", fix="correct [schedule] batch")
        self._order = Order(weights, batch, seed)
        self._pool, self._targets, self._belief = pool, targets, belief
        self._scale, self._augment, self._mixup, self._device = scale, augment, mixup, device
        self._batch, self._seed, self._rank, self._world = batch, seed, rank, world
        self.steps = self._order.steps

    def __getitem__(self, step: int) -> Batch:
        """Share of a step's batch that is this process'."""
        all_numbers = self._order.numbers(step)
        places = range(self._rank, self._batch, self._world)
        numbers = [all_numbers[place] for place in places]
        pixels = np.stack([self._jittered(step, place, all_numbers[place]) for place in places])
        return self._mixed(step, self._scale(pixels), numbers)

    def _jittered(self, step: int, place: int, number: int) -> Image:
        dice = np.random.default_rng((self._seed, JITTER, step, place))
        return jittered(*self._pool.stored(number), self._augment, dice)

    def _mixed(self, step: int, faces: Tensor, numbers: list[int]) -> Batch:
        share = 1.0
        if self._mixup is not None:
            dice = np.random.default_rng((self._seed, MIX, step))
            if dice.random() < self._mixup.chance:
                share = float(dice.beta(self._mixup.alpha, self._mixup.alpha))
                faces = share * faces + (1 - share) * faces.flip(0)
        targets = {task: torch.from_numpy(values[numbers]).to(self._device) for task, values in self._targets.items()}
        belief = None if self._belief is None else torch.from_numpy(self._belief[numbers]).to(self._device).float()
        return Batch(faces=faces, targets=targets, belief=belief, share=share)
