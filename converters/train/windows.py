"""Every step's batch of windows: features that were kept, or faces where the backbone is trained, too."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from converters.train.batches import Batch, Order, Scale
from converters.train.features import Features
from converters.train.sequences import Clips
from edgeface.types import F32, Task

FILMED = 5
"""Stream of random numbers that makes windows anew at every step; see `converters.train.batches`."""
Seen = Callable[[int, int, int], Tensor]
"""From step, place in the batch and number of the window to what the network sees of it, (T, ...)."""


class Windows:
    """Batches of windows, whose answers are judged at every frame or at the last one alone.

    Parameters
    ----------
    seen : gives what the network sees
    weights : float (N,), how often each window is drawn beside the others
    targets : by question float32 (N, k); belief : float16 (N, K) or None
    frames : T of a window
    every : whether all frames have the window's labels; else only the last one has
    """

    def __init__(
        self,
        seen: Seen,
        weights: npt.NDArray[np.float64],
        targets: Mapping[Task, F32],
        belief: npt.NDArray[np.float16] | None,
        *,
        frames: int,
        every: bool,
        batch: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self._order = Order(weights, batch, seed)
        self._seen, self._targets, self._belief = seen, targets, belief
        self._frames, self._every, self._device = frames, every, device
        self.steps = self._order.steps

    def __getitem__(self, step: int) -> Batch:
        """A step's windows (N, T, ...), and targets of all their frames (N * T, ...)."""
        numbers = self._order.numbers(step)
        seen = torch.stack([self._seen(step, place, number) for place, number in enumerate(numbers)])
        targets = {task: self._of_frames(rows[numbers]) for task, rows in self._targets.items()}
        belief = None
        if self._belief is not None:
            rows = torch.from_numpy(self._belief[numbers]).to(self._device).float()
            belief = rows.repeat_interleave(self._frames, dim=0)
        return Batch(faces=seen.to(self._device), targets=targets, belief=belief, share=1.0)

    def _of_frames(self, rows: F32) -> Tensor:
        """Targets of windows (N, k) as those of frames; a frame that is not judged has none."""
        spread = torch.from_numpy(rows)[:, None].repeat(1, self._frames, 1)
        if not self._every:
            spread[:, :-1] = torch.nan
        return spread.flatten(0, 1).to(self._device)


def seen_features(parts: Sequence[Features]) -> Seen:
    """Windows as features that were kept, parts numbered through."""
    starts = _starts([len(part) for part in parts])

    def seen(step: int, place: int, number: int) -> Tensor:  # noqa: ARG001 - they are the same at every step
        part = bisect_right(starts, number) - 1
        return torch.from_numpy(parts[part].values[number - starts[part]].astype(np.float32))

    return seen


def seen_faces(parts: Sequence[Clips], scale: Scale, seed: int) -> Seen:
    """Windows as faces, made anew at every step, parts numbered through."""
    starts = _starts([len(part) for part in parts])

    def seen(step: int, place: int, number: int) -> Tensor:
        part = bisect_right(starts, number) - 1
        dice = np.random.default_rng((seed, FILMED, step, place))
        return scale(parts[part].frames(number - starts[part], dice).pixels)

    return seen


def _starts(lengths: Sequence[int]) -> list[int]:
    found: list[int] = np.cumsum([0, *lengths[:-1]]).tolist()
    return found
