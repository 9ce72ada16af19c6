"""What the start of a training says about the age of every training face, before anything is learnt."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from converters.train.batches import Crops, Scale
from converters.train.cache import key_of
from converters.train.figures import answer_all
from converters.train.processes import Processes
from converters.train.start import Begun
from edgeface.bundle import AttributeHead, ExpectationHead
from edgeface.files import write_atomic

BELIEF = "belief.npz"
"""In the run's folder: (N, K) float16, and a key of what it was said of."""

F16 = npt.NDArray[np.float16]


def believed(
    begun: Begun,
    head: AttributeHead,
    parts: Mapping[str, Crops],
    scale: Scale,
    folder: Path | None,
    processes: Processes,
) -> F16:
    """Probabilities (N, K) of all faces of all parts, asked once by the first process and written down.

    ``folder`` None, of a dry run: nobody is asked, every year is as likely as another.
    """
    count = sum(len(part.rows) for part in parts.values())
    if folder is None:
        assert isinstance(head, ExpectationHead)
        years = len(head.support)
        return np.full((count, years), 1 / years, np.float16)
    key = key_of([], begun.words, begun.sha256, {name: len(part.rows) for name, part in parts.items()})
    path = folder / BELIEF
    found = _read(path, key) if path.is_file() else None
    if found is None and processes.first:
        rows = [answer_all(begun.module, {"age": head}, part, scale, bfloat16=False)["age"] for part in parts.values()]
        buffer = io.BytesIO()
        np.savez(buffer, belief=np.concatenate(rows).astype(np.float16), key=key)
        write_atomic(path, buffer.getvalue())
    processes.wait()
    found = found if found is not None else _read(path, key)
    assert found is not None
    return found


def _read(path: Path, key: str) -> F16 | None:
    """What was written, None where it was said of something else or cannot be read: it is asked anew."""
    try:
        with np.load(path, allow_pickle=False) as held:
            belief: F16 = held["belief"]
            return belief if str(held["key"]) == key else None
    except (OSError, ValueError, EOFError, KeyError, BadZipFile):
        return None
