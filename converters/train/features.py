"""Features of windows, computed once by a backbone that is kept as it is, in a memory-mapped cache.

A cache beside those of the crops, made and resumed alike (`converters.train.cache`): for each frame the feature and,
behind it, the frame's quality, in float16. It holds numbers of people's faces: it stays outside the repository.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from converters.train.batches import Scale
from converters.train.cache import Seen, fill_cache, key_of, read_cache
from converters.train.courses import Moving
from converters.train.sequences import Clips, Frames
from edgeface.types import F32

F16 = npt.NDArray[np.float16]
VERSION = 1
"""Of how features are made: higher, and every cache is made anew."""
WINDOWS = 4
"""Stream of random numbers that makes windows; see `converters.train.batches`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Of N windows of T frames.

    Attributes
    ----------
    values : float16 (N, T, L), what the backbone's heads read; quality : float32 (N, T)
    rows, people : of each window
    """

    values: F16
    quality: F32
    rows: Sequence[Mapping[str, str]]
    people: Sequence[str]

    def __len__(self) -> int:
        return len(self.rows)


def load_features(
    clips: Clips,
    backbone: Any,
    scale: Scale,
    *,
    moving: Moving,
    frames: int,
    seed: int,
    takes: int,
    cache: Path,
) -> Features:
    """Features of all windows of a part, ``takes`` of each one after another, from the cache or computed now.

    Raises
    ------
    EdgefaceError : the cache cannot be written, or the disk is full; what was computed is kept
    """
    length = len(features_of(window(clips, 0, seed), backbone, scale)[0])
    shape = [frames, 2 * (length + 1)]
    takes = 1 if clips.real else takes
    name = f"features-{clips.name.replace(' ', '-')}"
    key = key_of([], VERSION, moving, clips.faces.view, clips.rows, frames, seed, takes, weights_hash(backbone))
    folder = cache / f"{name}-{key}"
    found = read_cache(folder, shape)
    if found is None:
        count = takes * len(clips)
        shown = tqdm(range(count), desc=f"features of {clips.name}", unit="window", disable=None, leave=False)

        def compute(number: int) -> Seen:
            made = window(clips, number, seed)
            joined = np.concatenate([features_of(made, backbone, scale), made.quality[:, None]], axis=1)
            return clips.rows[number % len(clips)], joined.astype(np.float16).view(np.uint8)

        fill_cache(folder, shape, shown, compute)
        found = read_cache(folder, shape)
    assert found is not None
    both = found[0].view(np.float16)
    return Features(
        values=both[..., :-1],
        quality=both[..., -1].astype(np.float32),
        rows=found[1],
        people=[*clips.people] * takes,
    )


def compute_features(clips: Clips, numbers: Sequence[int], backbone: Any, scale: Scale, seed: int) -> F16:
    """Features (N, T, L) of some windows by a backbone that is being trained: nothing is kept."""
    made = [features_of(window(clips, number, seed), backbone, scale).astype(np.float16) for number in numbers]
    return np.stack(made)


def window(clips: Clips, number: int, seed: int) -> Frames:
    """One window: ``number`` counts on through the takes."""
    return clips.frames(number % len(clips), np.random.default_rng((seed, WINDOWS, number)))


def features_of(made: Frames, backbone: Any, scale: Scale) -> F32:
    """Features (T, L) of one window's frames."""
    with torch.no_grad():
        found: F32 = backbone.feature(scale(made.pixels)).float().cpu().numpy()
    return found


def weights_hash(module: Any) -> str:
    """Hash of all weights of a module."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
