"""Runners put around another runner, to see what passes through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgeface.runtime import Runner, RunnerWrapper
from edgeface.types import F32

Count = Callable[[tuple[int, ...]], int]
"""Multiply-accumulates of one call, by the shape of one input without batch."""


class CountingRunner(RunnerWrapper):
    """Adds up multiply-accumulates; ``count`` says them by an input's shape, None: there are none."""

    def __init__(self, runner: Runner, count: Count | None) -> None:
        super().__init__(runner)
        self._count = count
        self.macs = 0

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        """Run and count."""
        if self._count is not None:
            self.macs += len(batch) * self._count(batch.shape[1:])
        return super().run(batch, states)


class RecordingRunner(RunnerWrapper):
    """Keeps a copy of all outputs it gave."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        self.recorded: list[Mapping[str, F32]] = []

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        """Run and keep."""
        outputs = super().run(batch, states)
        self.recorded.append({name: array.copy() for name, array in outputs.items()})
        return outputs
