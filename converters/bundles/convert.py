"""``convert``: one file in, a bundle out: inspected, probed, built in every precision, measured, packed.

Everything is made beside its place and takes it in one step; network files lie in ``build/networks/NAME`` meanwhile, so
that a second try goes on where the first one stopped.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from converters.building.maker import Maker
from converters.bundles.build import build
from converters.bundles.card import own_documents
from converters.bundles.pack import pack
from converters.bundles.variants import Variant, judge_variants, make_variants
from converters.evaluation.timing import measure_network
from converters.paths import BUNDLE
from converters.recipes.reading import NAME, list_recipes, read_network, read_workshop
from converters.recipes.schema import BundleRecipe, NetworkRecipe, Recipe, Taken
from edgeface.bundle import PreferredRuntime, open_bundle
from edgeface.config import RuntimeName
from edgeface.errors import EdgefaceError, UsageError
from edgeface.files import make_folder, swap_folder, write_atomic

if TYPE_CHECKING:
    from converters.measurements.trials import Trial
    from converters.probing.readings import Probed

VERSION = "1"
ROUNDS = 5
"""Rounds in which each file is timed."""
PROCESSORS = ("x86_64", "aarch64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What came of a file: its folder, the archive in it, every variant, and what is missing, in words."""

    folder: Path
    archive: Path
    network: NetworkRecipe
    variants: Sequence[Variant]
    missing: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asks for: see `converters.cli.convert`."""

    file: Path
    task: Probed | None = None
    name: str
    labels: Sequence[str] = ()
    family: str | None = None
    data: Path | None = None
    limit: int | None = None
    out: Path
    force: bool = False


def convert(asked: Request) -> Converted:
    """Make a bundle of one file.

    Raises
    ------
    UsageError : the place is taken, the file is none for this, or its labels are not known
    EdgefaceError : in one line, which step failed and the way on
    """
    expect_free(asked)
    with _beside(asked.out) as new:
        network, missing = _find_out(asked, new / f"{asked.name}.toml")
        variants = make_variants(_recipe(asked, network, new), asked.name, data=asked.data)
        trials: Sequence[Trial] = ()
        if asked.data is not None:
            fitted = _recipe(asked, with_files(network, variants), new)
            variants, trials, words = judge_variants(fitted, asked.name, variants, asked.data, asked.limit)
            missing += words
        network = with_files(network, variants)
        if not network.files:
            reasons = "; ".join(dict.fromkeys(one.why for one in variants if one.why))
            raise EdgefaceError(f"nothing can be made of {asked.file}: {reasons}", fix="export it to .onnx by yourself")
        variants = _bundle(asked, network, new, variants, trials)
        swap_folder(new, asked.out.absolute())
    archive = asked.out / f"{asked.name}-{VERSION}.tar"
    return Converted(folder=asked.out, archive=archive, network=network, variants=variants, missing=missing)


def expect_free(asked: Request) -> None:
    """Raise UsageError for a name that is taken or none, and for a place where something lies."""
    if not NAME.fullmatch(asked.name):
        raise UsageError(
            f"'{asked.name}' is no name for a network", fix="give --name in small letters, digits, dots and dashes"
        )
    if asked.name in (*list_recipes("networks"), *list_recipes("bundles")):
        raise UsageError(f"{asked.name} is the name of one that is known here", fix=f"give --name my-{asked.name}")
    if asked.out.exists() and not asked.out.is_dir():
        raise UsageError(f"{asked.out} is a file", fix="give another folder with --out")
    held = {path.name for path in asked.out.iterdir()} if asked.out.is_dir() else set()
    if held and not asked.force:
        raise UsageError(
            f"{asked.out} is there already", fix="give another folder with --out, or --force to replace it"
        )
    others = sorted(held - written(asked.name))
    if others:
        raise UsageError(f"{asked.out} holds {others[0]}, which `convert` did not write", fix="give another with --out")


def written(name: str) -> set[str]:
    """Names of all that a folder holds afterwards."""
    stems = {f"{name}{end}" for end in (".toml", ".ranges.json", ".md", ".png", f"-{VERSION}.tar")}
    return {*stems, "bundle.toml", "bundle"}


def _find_out(asked: Request, path: Path) -> tuple[NetworkRecipe, list[str]]:
    """The network's recipe, probed or assumed and written, and what is missing in it, in words."""
    from converters.probing.probe import FACES, probe
    from converters.probing.writing import recipe_text

    if asked.data is not None:
        with redirect_stdout(sys.stderr):  # the table of settings is not the one that was asked for
            probe(
                asked.file,
                task=asked.task,
                data=asked.data,
                limit=asked.limit or FACES,
                out=path,
                labels=asked.labels,
                family=asked.family,
            )
        return read_network(str(path))[1], []
    from converters.probing.assumed import assume

    found = assume(asked.file, _detectors(), task=asked.task, labels=asked.labels, family=asked.family)
    head = f"Written by `convert` without labelled faces. Assumed, not tried: {'; '.join(found.words) or 'nothing'}."
    write_atomic(path, recipe_text(found.recipe, path, head).encode())
    missing = ["labelled faces (--data DIR): no loss is measured, int8w and int8 are not made"]
    missing += [f"assumed and not tried: {'; '.join(found.words)}"] if found.words else []
    return read_network(str(path))[1], ["; ".join(missing)]


def with_files(network: NetworkRecipe, variants: Sequence[Variant]) -> NetworkRecipe:
    """A recipe that names the variants which ship."""
    files = {
        runtime: tuple(one.precision for one in variants if one.runtime == runtime and one.ships)
        for runtime in dict.fromkeys(one.runtime for one in variants)
    }
    return msgspec.structs.replace(network, files={runtime: kinds for runtime, kinds in files.items() if kinds})


def _recipe(asked: Request, network: NetworkRecipe, folder: Path) -> Recipe:
    held = _detectors()
    detector = next((one for one in held if one in network.measured_with), held[0])
    runtime: RuntimeName = "onnx" if "onnx" in network.files else "litert"
    bundle = BundleRecipe(
        name=asked.name,
        version=VERSION,
        networks=(f"{asked.name}.toml",),
        taken=(Taken(bundle="default", network=detector),),
        defaults={"detect": detector, network.task: asked.name},  # type: ignore[dict-item]
        runtimes={processor: PreferredRuntime(runtime=runtime, measured=False) for processor in PROCESSORS},
    )
    return Recipe(
        bundle=bundle,
        workshop=read_workshop(),
        networks={asked.name: network},
        homes={asked.name: folder},
        asked={asked.name: str(asked.out / f"{asked.name}.toml")},
    )


def _detectors() -> list[str]:
    """Detectors of the default bundle, the one that it uses unasked first."""
    default = open_bundle(BUNDLE).manifest
    held = [one.name for one in default.networks if one.task == "detect"]
    return sorted(held, key=lambda name: name != default.defaults["detect"])


def _bundle(
    asked: Request, network: NetworkRecipe, new: Path, variants: Sequence[Variant], trials: Sequence[Trial]
) -> list[Variant]:
    """Write recipes, bundle, archive and card into ``new``; the variants with their times."""
    from converters.probing.writing import recipe_text, toml_text

    recipe = _recipe(asked, network, new)
    path = new / f"{asked.name}.toml"
    remarks = [line.removeprefix("# ") for line in path.read_text("utf-8").splitlines() if line.startswith("# ")]
    write_atomic(path, recipe_text(network, path, "\n".join(remarks)).encode())
    write_atomic(new / "bundle.toml", toml_text(recipe.bundle).encode())
    Maker(asked.name, recipe).selftest()
    build(recipe, new / "bundle", trials=trials, jobs=1, shown=asked.out / "bundle")
    bundle = open_bundle(new / "bundle")
    write_atomic(new / f"{asked.name}-{VERSION}.tar", pack(bundle))
    made = bundle.network(asked.name)
    for name, data in own_documents(bundle, trials).items():
        write_atomic(new / name, data)
    times = {(one.runtime, one.precision): one.cpu_ms for one in measure_network(bundle, made, rounds=ROUNDS)}
    return [replace(one, ms=times.get((one.runtime, one.precision))) for one in variants]


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A folder beside a place, from where other files look the same; gone afterwards, unless it took the place."""
    place = out.absolute()
    make_folder(place.parent)
    new = place.with_name(f".edgeface-{os.getpid()}-{place.name}")
    make_folder(new)
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)
