"""What a training would be: faces, steps, work, and how long, by timing a few steps of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from converters.building.entry import count_macs
from converters.references.torch_module import TorchReference
from converters.train.loop import Watch, step
from converters.train.precision import choose_bfloat16
from converters.train.prepare import Prepared
from converters.train.state import new_state

TIMED = 5
"""Steps; the first one, which also makes caches warm, does not count."""


def describe(prepared: Prepared) -> Iterator[str]:
    """Lines about a training; nothing of it is kept."""
    training, lesson = prepared.training, prepared.lesson
    spec = training.network.input
    assert spec.height is not None
    assert spec.width is not None
    module = prepared.begun.module
    parameters = sum(one.numel() for one in module.parameters())
    yield f"{training.name} trains {training.network_name}, starts from {prepared.begun.words}"
    yield f"parameters: {parameters:,}; multiply-accumulates of a face: {macs(module, prepared) / 1e6:.1f} M"
    for name, part in [*prepared.parts.items(), *((f"{one.name} (held out)", one.faces) for one in prepared.held)]:
        yield f"{name}: {len(part.rows)} faces, {part.missed} not found"
    schedule = lesson.schedule
    yield f"{lesson.steps} steps of {schedule.batch} faces, {lesson.batches.steps} an epoch, {schedule.epochs:g} epochs"
    bfloat16, why = choose_bfloat16(schedule.precision, module, lesson)
    yield why
    seconds = seconds_a_step(prepared, bfloat16=bfloat16)
    whole = seconds * lesson.steps
    line = f"a step takes {1000 * seconds:.0f} ms, {1000 * seconds / schedule.batch:.2f} a face"
    line += f"; all of them {timedelta(seconds=round(whole))}, beside validation"
    if schedule.minutes and whole > 60 * schedule.minutes:
        line += (
            f"; ends after {schedule.minutes:g} minutes, at epoch {schedule.epochs * 60 * schedule.minutes / whole:.1f}"
        )
    yield line


def seconds_a_step(prepared: Prepared, *, bfloat16: bool) -> float:
    """Median time of a whole step: faces, network, gradients, optimizer, average."""
    state = new_state(prepared.begun.module, prepared.lesson.schedule)
    state.bfloat16 = bfloat16
    watch, times = Watch(state), list[float]()
    for _ in range(TIMED):
        begun = time.perf_counter()
        step(state, prepared.lesson, 0.0, watch, early=False)
        times.append(time.perf_counter() - begun)
    return float(np.median(times[1:]))


def macs(module: Any, prepared: Prepared) -> int:
    """Multiply-accumulates of one face; the module is in evaluation mode meanwhile, and as it was afterwards."""
    import torch

    training, spec = module.training, prepared.training.network.input

    def run(tensor: Any) -> None:
        with torch.no_grad():
            module(torch.from_numpy(tensor).to(prepared.lesson.processes.device))

    module.eval()
    reference = cast(TorchReference, SimpleNamespace(module=module, run=run))
    found = count_macs(reference, (spec.channels, spec.height or 0, spec.width or 0))
    module.train(training)
    return found
