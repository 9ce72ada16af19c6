"""The training record: what stands beside a weight file, so that it can be made again and judged."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from converters.building.stamps import anywhere
from converters.datasets.layouts import find_faces
from converters.paths import ROOT
from converters.recipes.schema import NetworkRecipe
from converters.train.cache import key_of
from converters.train.prepare import Prepared
from converters.train.state import State
from edgeface.bundle import Closed

TOOLS = ("torch", "numpy", "opencv-python-headless", "onnxruntime", "safetensors")


class PartRecord(Closed, frozen=True, kw_only=True):
    """Faces of one part: how many, how many were not found, and a hash of the part's files."""

    faces: int
    missed: int
    files: str


class Record(Closed, frozen=True, kw_only=True):
    """One training.

    ``recipe`` is its text, ``network`` the network's recipe as read; ``start`` and ``teachers`` are hashes of files;
    ``core_hours`` of all processes; ``best`` and ``curve`` as they were told; ``weights`` hash and size of the file.
    """

    name: str
    recipe: str
    recipe_sha256: str
    network: str
    network_recipe: NetworkRecipe
    commit: str
    seed: int
    start: str
    start_sha256: str
    teachers: tuple[str, ...]
    training: dict[str, PartRecord]
    validation: dict[str, PartRecord]
    versions: dict[str, str]
    processor: str
    processes: int
    precision: str
    steps: int
    epochs: float
    hours: float
    core_hours: float
    best: dict[str, Any]
    curve: tuple[dict[str, Any], ...]
    weights: str
    weights_sha256: str
    weights_bytes: int


def make_record(prepared: Prepared, state: State, weights: Path, data: Path | None) -> bytes:
    """JSON of a record, a line for every value."""
    training, processes = prepared.training, prepared.lesson.processes
    content = weights.read_bytes()
    best = next(row for row in reversed(state.curve) if row["score"] == round(state.best or 0.0, 4))
    teachers = prepared.lesson.teachers
    record = Record(
        name=training.name,
        recipe=training.text,
        recipe_sha256=recipe_sha256(training.text),
        network=training.network_name,
        network_recipe=msgspec.structs.replace(anywhere(training.network), source=None),
        commit=commit(),
        seed=training.recipe.seed,
        start=prepared.begun.words,
        start_sha256=prepared.begun.sha256,
        teachers=tuple(teachers.hashes) if teachers is not None else (),
        training=_parts(prepared, data),
        validation=_held(prepared, data),
        versions=versions(),
        processor=processor(),
        processes=processes.world,
        precision="bfloat16" if state.bfloat16 else "float32",
        steps=state.step,
        epochs=round(state.step / prepared.lesson.batches.steps, 3),
        hours=round(state.seconds / 3600, 3),
        core_hours=round(state.core_seconds * processes.world / 3600, 3),
        best=best,
        curve=tuple(state.curve),
        weights=weights.name,
        weights_sha256=hashlib.sha256(content).hexdigest(),
        weights_bytes=len(content),
    )
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def recipe_sha256(text: str) -> str:
    """Hash of a recipe's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def commit() -> str:
    """Commit of this source tree, with ``+`` where files of it have changed since; empty without git."""
    found = _git("rev-parse", "HEAD")
    return found + ("+" if found and _git("status", "--porcelain", "--untracked-files=no") else "")


def versions() -> dict[str, str]:
    """Python and the tools that decide about numbers."""
    found = {"python": platform.python_version()}
    for tool in TOOLS:
        try:
            found[tool] = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else f"{platform.machine()} ({sys.platform})"


def _parts(prepared: Prepared, data: Path | None) -> dict[str, PartRecord]:
    found = {}
    for one in prepared.training.recipe.data:
        folder = prepared.training.path(one.folder) if one.folder else data
        for part in one.parts:
            crops = prepared.parts[f"{one.set} {part}"]
            found[f"{one.set} {part}"] = _record(one.set, part, folder, len(crops.rows), crops.missed)
    return found


def _held(prepared: Prepared, data: Path | None) -> dict[str, PartRecord]:
    found = {}
    for one, judged in zip(prepared.training.recipe.validation.sets, prepared.held, strict=True):
        folder = prepared.training.path(one.folder) if one.folder else data
        rows, missed = len(judged.faces.rows), judged.faces.missed
        found[f"{one.set} {one.part}"] = _record(one.set, one.part, folder, rows, missed)
    return found


def _record(name: str, part: str, folder: Path | None, faces: int, missed: int) -> PartRecord:
    assert folder is not None
    return PartRecord(faces=faces, missed=missed, files=_files_key(name, part, folder))


@cache  # a record is written at every epoch, and files are many
def _files_key(name: str, part: str, folder: Path) -> str:
    (found,) = find_faces(folder, [name], part=part or None)
    return key_of(found.files())


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
