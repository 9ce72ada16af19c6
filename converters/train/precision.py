"""Whether matrix products in bfloat16 are worth it here: by what the processor has, and by the clock."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any, Literal

import torch

from converters.train.loop import Lesson, batch_losses

FLAGS = ("avx512_bf16", "amx_bf16")
"""Of /proc/cpuinfo; without one of them bfloat16 is computed by way of float and slower."""
TRIES = 4
"""Timed steps of either; the fastest of them counts, since others may be busy."""


def choose_bfloat16(wanted: Literal["auto", "float32", "bfloat16"], net: Any, lesson: Lesson) -> tuple[bool, str]:
    """Whether to compute in bfloat16, and why, in words."""
    if wanted != "auto":
        return wanted == "bfloat16", f"{wanted}, as the recipe says"
    device = lesson.processes.device
    can = torch.cuda.is_bf16_supported() if device.type == "cuda" else _has_flag()
    if not can:
        return False, f"float32: the {'GPU' if device.type == 'cuda' else 'processor'} has no bfloat16"
    plain, half = (seconds_a_step(net, lesson, bfloat16=bfloat16) for bfloat16 in (False, True))
    name = "bfloat16" if half < plain else "float32"
    return half < plain, f"{name}: a step takes {1000 * half:.0f} ms in bfloat16 and {1000 * plain:.0f} in float32"


def seconds_a_step(net: Any, lesson: Lesson, *, bfloat16: bool) -> float:
    """Time of a step's network and gradients, on a copy: the run itself is not touched."""
    made = copy.deepcopy(net).train()
    batch = lesson.batches[0]
    times = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        losses, _ = batch_losses(made, lesson, batch, bfloat16=bfloat16)
        torch.stack(list(losses.values())).sum().backward()
        if lesson.processes.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return min(times)


def _has_flag() -> bool:
    try:
        words = set(Path("/proc/cpuinfo").read_text("utf-8").split())
    except OSError:
        return False
    return not words.isdisjoint(FLAGS)
