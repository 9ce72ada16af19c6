"""``build``: recipes in, network files, self-tests and manifests out.

A network's files lie in ``build/networks/NAME/`` and are taken from there while nothing that they depend on has
changed; a bundle is put together beside its place and takes it in one step.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import msgspec
from tqdm import tqdm

from converters.checkpoints.archive import read_source
from converters.limits import Blame, check_detectors, check_limits, check_size
from converters.make import Maker
from converters.manifest import describe_network, encode, write_manifest
from converters.measurements.measured import read_measured
from converters.measurements.trials import read_trials
from converters.paths import PART, ROOT, alone, bundle_at, bundle_folder
from converters.plan import plan, show
from converters.recipe import is_bundle, read_recipe
from converters.recorded import recorded_path, unlike_recorded
from converters.schema import BundleRecipe, Recipe
from converters.verify import prove
from edgeface.bundle import (
    MANIFEST,
    Bundle,
    Network,
    open_bundle,
)
from edgeface.errors import EdgefaceError, UsageError
from edgeface.files import make_folder, swap_folder, write_atomic
from edgeface.installing import try_network

MEMORY_BYTES = 2_000_000_000
"""What one conversion needs at most (1.1 GB measured for RetinaFace ResNet-50), with room."""

logger = logging.getLogger(__name__)


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``build`` and ``manifest``."""
    build = commands.add_parser(
        "build",
        help="make networks or bundles from their recipes",
        description="Makes what recipes say: NAME is a network (its files go to build/networks/NAME), a network's"
        " variant (mobilenet-v1@w050), a bundle (default goes to models/default, others to build/bundles/NAME), or the"
        " path of your own recipe. Nothing is searched and no pictures are needed: weights come from the pinned source,"
        " int8 ranges from the committed file that `calibrate` wrote. What was made before and has not changed is kept,"
        " so a build that was stopped goes on where it was.",
        epilog="example: python -m converters build gender-v1",
    )
    build.add_argument("names", nargs="*", default=["default"], metavar="NAME", help="recipes (default: the bundle)")
    build.add_argument("--out", type=Path, metavar="DIR", help="where a single bundle or network goes instead")
    build.add_argument("--dry-run", action="store_true", help="only say the steps, downloads, memory and disk")
    build.add_argument("--again", action="store_true", help="make everything anew")
    build.add_argument("--jobs", type=_count, metavar="N", help="conversions at once (default: by memory and cores)")
    build.set_defaults(run=_build)
    manifest = commands.add_parser(
        "manifest",
        help="write a bundle's manifest again from recipe, files and results",
        description="Converts nothing: takes the files as they lie, and the figures of converters/measurements.",
    )
    manifest.add_argument("name", nargs="?", default="default", metavar="BUNDLE", help="its recipe (%(default)s)")
    manifest.add_argument("--out", type=Path, metavar="DIR", help="where the bundle lies")
    manifest.add_argument(
        "--record",
        action="store_true",
        help="also keep it beside the bundle's recipe, as the hashes and figures to expect (for bundles whose files are"
        " not committed)",
    )
    manifest.set_defaults(run=_manifest)


def _build(arguments: argparse.Namespace) -> int:
    recipes = [read_recipe(name) for name in arguments.names]
    if arguments.out is not None and len(recipes) > 1:
        raise UsageError("--out takes one recipe, not several", fix="name one, or leave --out away")
    if arguments.dry_run:
        print(show([plan(recipe) for recipe in recipes]))
        return 0
    for name, recipe in zip(arguments.names, recipes, strict=True):
        folder = build(recipe, arguments.out, is_bundle=is_bundle(name), again=arguments.again, jobs=arguments.jobs)
        print(folder)
    return 0


def _manifest(arguments: argparse.Namespace) -> int:
    recipe = read_recipe(arguments.name)
    folder = arguments.out or bundle_folder(recipe.bundle)
    refresh_manifest(recipe, folder)
    if arguments.record:
        write_atomic(recorded_path(recipe.bundle.name), (folder / MANIFEST).read_bytes())
    return 0


def build(
    recipe: Recipe, out: Path | None = None, *, is_bundle: bool = True, again: bool = False, jobs: int | None = None
) -> Path:
    """Make the networks of a recipe, and the bundle of them; its folder.

    Parameters
    ----------
    out : folder of the bundle, or where a lone network's files are copied to
    again : make everything anew
    jobs : conversions at once; None: as many as cores and memory allow

    Raises
    ------
    UsageError : a bundle that cannot hold: a rule by boxes beside a detector that it was not measured with
    EdgefaceError : in one line, what could not be made
    """
    make_all(recipe, again=again, jobs=jobs)
    makers = {name: Maker(name, recipe) for name in recipe.networks}
    entries = [describe_network(maker, recipe, maker.folder) for maker in makers.values()]
    for entry in entries:
        write_atomic(makers[entry.name].folder / PART, encode(entry))
    folders = {name: maker.folder for name, maker in makers.items()}
    check_limits(recipe, read_trials(), entries, Blame(recipe, entries, folders))
    if any(entry.measured for entry in entries):
        logger.info("figures are those of converters/measurements: not measured here")
    if not is_bundle:
        folder = makers[entries[0].name].folder
        return _copied(entries[0], folder, out) if out else folder
    folder = out or bundle_folder(recipe.bundle)
    _place(recipe, entries, folders, folder)
    return folder


def make_all(recipe: Recipe, *, again: bool = False, jobs: int | None = None) -> None:
    """Make every file of every network, several networks at once where memory allows."""
    # A process takes seconds to load torch: none is begun for what is there.
    names = [name for name in recipe.networks if again or not Maker(name, recipe).stands()]
    jobs = min(jobs or allowed_jobs(), len(names))
    for name in names:
        # Before there are several processes: two would fetch one archive at once.
        source = recipe.networks[name].source
        if source is not None and not recipe.networks[name].random:
            read_source(source)
    with tqdm(total=len(names), desc="networks", unit="network", disable=None) as bar:
        if jobs <= 1:
            for name in names:
                _make(name, recipe, again)
                bar.update()
            return
        # A process each: the converters keep state of their own, and torch's threads would stand in each other's way.
        pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
        try:
            for done in as_completed([pool.submit(_make, name, recipe, again) for name in names]):
                done.result()
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)


def _make(name: str, recipe: Recipe, again: bool) -> None:
    maker = Maker(name, recipe, again=again)
    for runtime, precision in maker.files():
        maker.file(runtime, precision)
    maker.selftest()
    entry = describe_network(maker, recipe, maker.folder)
    write_atomic(maker.folder / PART, encode(entry))
    try:
        prove(recipe, alone(entry, maker.folder))
    except EdgefaceError:
        maker.forget()  # what was not proved is not kept
        raise


def allowed_jobs() -> int:
    """Conversions that fit into the cores and the free memory."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(os.cpu_count() or 1, free // MEMORY_BYTES))


def refresh_manifest(recipe: Recipe, folder: Path) -> None:
    """Write the manifest for the files as they lie in ``folder``.

    Raises
    ------
    EdgefaceError : the bundle would be too large, or a smaller form loses more than its limit
    """
    entries = [describe_network(Maker(name, recipe), recipe, folder) for name in recipe.networks]
    check_limits(recipe, read_trials(), entries, Blame(recipe, entries, dict.fromkeys(recipe.networks, folder)))
    entries += [network for network, _ in _taken(recipe.bundle)]
    check_detectors(recipe, entries)
    write_manifest(recipe, entries, folder)
    check_size(recipe.bundle, folder)


def _place(recipe: Recipe, entries: Sequence[Network], places: Mapping[str, Path], folder: Path) -> None:
    """Put a bundle together beside its place, then let it take the place."""
    taken = list(_taken(recipe.bundle))
    every = [*entries, *(network for network, _ in taken)]
    check_detectors(recipe, every)
    if recipe.bundle.remeasure:
        from converters.evaluate.data import data_folder

        data_folder(None)  # nothing takes its place that could not be measured
    make_folder(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".edgeface-") as scratch:
        new = Path(scratch) / folder.name
        try:
            for network in entries:
                _copy(network, places[network.name], new)
            for network, source in taken:
                _copy(network, source.folder, new)
        except OSError as error:
            raise EdgefaceError(f"{folder} cannot be written: {error.strerror}", fix="free some room") from None
        write_manifest(recipe, every, new)
        check_size(recipe.bundle, new)
        made = open_bundle(new, allow_random=True)
        for network in made.manifest.networks:
            try_network(made, network)
        for line in unlike_recorded(made.manifest):
            logger.warning("%s", line)
        swap_folder(new, folder)
    if recipe.bundle.remeasure:
        from converters.evaluate.remeasure import remeasure

        remeasure(folder)
        fresh = [
            msgspec.structs.replace(network, measured=read_measured(network.name) or network.measured)
            for network in every
        ]
        write_manifest(recipe, fresh, folder)


def _taken(recipe: BundleRecipe) -> Iterator[tuple[Network, Bundle]]:
    for taken in recipe.taken:
        here = ROOT / taken.bundle  # an absolute path stays as it is
        source = open_bundle(here if (here / MANIFEST).is_file() else bundle_at(taken.bundle), allow_random=True)
        yield source.network(taken.network), source


def _copied(network: Network, source: Path, folder: Path) -> Path:
    _copy(network, source, folder)
    write_atomic(folder / PART, encode(network))
    return folder


def _copy(network: Network, source: Path, folder: Path) -> None:
    paths = [file.path for files in network.files.values() for file in files]
    for path in (*paths, network.selftest.path):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, folder / path)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("expected a number from 1 up")
    return int(text)
