"""``build``: recipes in, network files, self-tests and manifests out.

A network's files lie in ``build/networks/NAME/`` and are taken from there while nothing that they depend on has
changed; a bundle is put together beside its place and takes it in one step.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import msgspec
from tqdm import tqdm

from converters.building.entry import describe_network, encode, write_manifest
from converters.building.maker import Maker
from converters.building.parity import prove
from converters.bundles.gates import WorstLayer, check_detectors, check_limits, check_size
from converters.bundles.recorded import unlike_recorded
from converters.checkpoints.archive import read_source
from converters.measurements.measured import read_measured
from converters.measurements.trials import Trial, read_trials
from converters.paths import PART, ROOT, alone, bundle_at, bundle_folder
from converters.recipes.schema import BundleRecipe, Recipe
from edgeface.bundle import (
    MANIFEST,
    Bundle,
    Network,
    open_bundle,
)
from edgeface.errors import EdgefaceError
from edgeface.files import make_folder, swap_folder, write_atomic
from edgeface.selftest import self_test

MEMORY_BYTES = 2_000_000_000
"""What one conversion needs at most (1.1 GB measured for RetinaFace ResNet-50), with room."""

logger = logging.getLogger(__name__)


def build(
    recipe: Recipe,
    out: Path | None = None,
    *,
    is_bundle: bool = True,
    again: bool = False,
    jobs: int | None = None,
    trials: Sequence[Trial] | None = None,
    shown: Path | None = None,
) -> Path:
    """Make the networks of a recipe, and the bundle of them; its folder.

    Parameters
    ----------
    out : folder of the bundle, or where a lone network's files are copied to
    again : make everything anew
    jobs : conversions at once; None: as many as cores and memory allow
    trials : what quantized variants lost; None: those on record
    shown : what to call the folder in words, where somebody moves it afterwards

    Raises
    ------
    UsageError : a bundle that cannot hold: a rule by boxes beside a detector that it was not measured with
    EdgefaceError : in one line, what could not be made
    """
    make_all(recipe, again=again, jobs=jobs)
    makers = {name: Maker(name, recipe) for name in recipe.networks}
    entries = [describe_network(maker, recipe, maker.folder) for maker in makers.values()]
    for entry in entries:
        makers[entry.name].keep_entry(encode(entry))
    folders = {name: maker.folder for name, maker in makers.items()}
    judged = read_trials() if trials is None else trials
    check_limits(recipe, judged, entries, WorstLayer(recipe, entries, folders))
    if any(entry.measured for entry in entries):
        logger.info("figures are those of converters/measurements: not measured here")
    if not is_bundle:
        folder = makers[entries[0].name].folder
        return _copied(entries[0], folder, out) if out else folder
    folder = out or bundle_folder(recipe.bundle)
    _place(recipe, entries, folders, folder, shown or folder)
    return folder


def _processes(jobs: int) -> Executor:
    """A process each: the converters keep state of their own, and torch's threads would stand in each other's way."""
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))


def make_all(
    recipe: Recipe, *, again: bool = False, jobs: int | None = None, executor: Callable[[int], Executor] = _processes
) -> None:
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
        pool = executor(jobs)
        try:
            for done in as_completed([pool.submit(_make, name, recipe, again) for name in names]):
                done.result()
                bar.update()
        except BrokenProcessPool:
            raise EdgefaceError(
                "a conversion was ended from outside, for want of memory as a rule",
                fix="give fewer --jobs; what was made before is kept",
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _make(name: str, recipe: Recipe, again: bool) -> None:
    maker = Maker(name, recipe, again=again)
    for runtime, precision in maker.files():
        maker.file(runtime, precision)
    maker.selftest()
    entry = describe_network(maker, recipe, maker.folder)
    maker.keep_entry(encode(entry))
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
    EdgefaceError : the bundle would be too large, or a quantized variant loses more than its limit
    """
    entries = [describe_network(Maker(name, recipe), recipe, folder) for name in recipe.networks]
    check_limits(recipe, read_trials(), entries, WorstLayer(recipe, entries, dict.fromkeys(recipe.networks, folder)))
    entries += [network for network, _ in _from_other_bundles(recipe.bundle)]
    check_detectors(recipe, entries)
    write_manifest(recipe, entries, folder)
    check_size(recipe.bundle, folder)


def _place(recipe: Recipe, entries: Sequence[Network], places: Mapping[str, Path], folder: Path, shown: Path) -> None:
    """Put a bundle together beside its place, then let it take the place."""
    taken = list(_from_other_bundles(recipe.bundle))
    every = [*entries, *(network for network, _ in taken)]
    check_detectors(recipe, every)
    if recipe.bundle.remeasure:
        from converters.datasets.labelled import data_folder

        data_folder(None)  # nothing takes its place that could not be measured
    make_folder(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".edgeface-") as scratch:
        new = Path(scratch) / folder.name
        for network in entries:
            _copy(network, places[network.name], new)
        for network, source in taken:
            _copy(network, source.folder, new)
        write_manifest(recipe, every, new)
        check_size(recipe.bundle, new, shown)
        made = _tried(new, shown)
        for line in unlike_recorded(made.manifest):
            logger.warning("%s", line)
        swap_folder(new, folder)
    if recipe.bundle.remeasure:
        from converters.bundles.remeasure import remeasure

        remeasure(folder)
        fresh = [
            msgspec.structs.replace(network, measured=read_measured(network.name) or network.measured)
            for network in every
        ]
        write_manifest(recipe, fresh, folder)


def _tried(new: Path, folder: Path) -> Bundle:
    """Open a bundle that is to become ``folder`` and run its self-tests; an error names the place it is meant for."""
    try:
        made = open_bundle(new, allow_random=True)
        for network in made.manifest.networks:
            for file in (file for files in network.files.values() for file in files):
                self_test(made, network, file)
    except EdgefaceError as error:
        raise type(error)(error.what.replace(str(new), str(folder)), fix=error.fix) from None
    return made


def _from_other_bundles(recipe: BundleRecipe) -> Iterator[tuple[Network, Bundle]]:
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
        write_atomic(folder / path, (source / path).read_bytes())
