"""Bundles put in their place and taken away: tried in a child first, then one step that survives a power cut."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeface.archive import MOST_BYTES, NAME, unpack
from edgeface.bundle import MANIFEST, SEARCH_PATH, Bundle, Manifest, open_bundle, plain
from edgeface.errors import BundleError, EdgefaceError, UsageError
from edgeface.files import restore_swapped, swap_folder
from edgeface.proof import prove, steps_of, untried_networks
from edgeface.updates import Trust, bring, is_older, judge

INSTALLED = SEARCH_PATH[0]
"""Where bundles are installed, and what is searched first."""
SCRATCH = ".edgeface-"

logger = logging.getLogger(__name__)


def install(
    archive: Path | str,
    parent: Path = INSTALLED,
    *,
    trust: Trust | None = None,
    expect: Callable[[Bundle], object] = lambda _: None,
    allow_random: bool = False,
    allow_untried: bool = False,
    downgrade: bool = False,
) -> Bundle:
    """Bring an archive here, believe it or not, run all that it holds in a child, and let it take its place.

    Parameters
    ----------
    archive : file that ``pack`` wrote, or its https address
    parent : folder of bundles; one of the same name is replaced when all is well, and not before
    trust : by what the archive is believed, before anything looks inside
    expect : raises where this machine's configuration cannot go on with the bundle
    allow_random : take networks that were never trained
    allow_untried : take networks of which no file can be run here
    downgrade : take one that is older than what is here by its name

    Raises
    ------
    UsageError : no such file or address
    BundleError : the archive cannot be trusted, is older, or a network computes wrongly here
    EdgefaceError : it cannot be fetched, the folder cannot be written, or no runtime for a network is installed
    """
    order = judge(str(archive), trust or Trust())
    with _scratch(parent) as scratch:
        brought = bring(order, scratch, most_bytes=MOST_BYTES)
        bundle = open_bundle(unpack(brought, scratch, name=order.shown), allow_random=allow_random)
        brought.unlink()
        if not downgrade:
            _expect_no_older(bundle.manifest, parent)
        expect(bundle)
        _try(bundle, scratch, allow_untried=allow_untried)
        place = parent / bundle.folder.name
        swap_folder(bundle.folder, place)
    return Bundle(folder=place, manifest=bundle.manifest)


def _expect_no_older(manifest: Manifest, parent: Path) -> None:
    """BundleError where the bundle that goes by this name now is newer, or nobody can tell."""
    for place in SEARCH_PATH if parent == INSTALLED else (parent,):
        try:
            here = open_bundle(place / manifest.name, allow_random=True).manifest.version
        except BundleError:  # There is none, or what is there is broken: anything is better.
            continue
        older = is_older(manifest.version, here)
        if older or older is None:
            why = "is older than" if older else "cannot be compared with"
            raise BundleError(
                f"version {plain(manifest.version)} of bundle {manifest.name} {why} {plain(here)}, "
                f"which is in {place / manifest.name}",
                fix="give --downgrade to install it all the same",
            )
        return


def hidden(bundle: Bundle, places: Sequence[Path] = SEARCH_PATH) -> BundleError | None:
    """What to say of a bundle that was installed and goes before a newer one by its name, as after an upgrade.

    It stays in use: somebody installed it, and may have had a reason (`--downgrade`).
    """
    folder, name = bundle.folder.resolve(), bundle.manifest.name
    if folder not in [(place / name).resolve() for place in places[:1]]:
        return None
    for place in places[1:]:
        try:
            other = open_bundle(place / name, allow_random=True).manifest.version
        except BundleError:
            continue
        if is_older(bundle.manifest.version, other):
            return BundleError(
                f"bundle {name} {plain(bundle.manifest.version)}, installed in {bundle.folder}, hides the newer "
                f"{plain(other)} of {place / name}",
                fix=f"sudo edgeface models remove {name}, then sudo systemctl reload edgeface",
            )
    return None


def remove(name: str, parent: Path = INSTALLED) -> Path:
    """Take an installed bundle away; the folder that it had.

    Raises
    ------
    UsageError : there is none of this name there
    EdgefaceError : the folder cannot be written
    """
    place = parent / name
    try:
        there = bool(NAME.fullmatch(name)) and (place / MANIFEST).is_file()
        installed = sorted(path.parent.name for path in parent.glob(f"*/{MANIFEST}"))
    except OSError as error:
        raise _unwritable(parent, error) from None
    if not there:
        raise UsageError(
            f"no bundle '{name}' is installed in {parent}", fix=f"installed there: {', '.join(installed) or 'none'}"
        )
    with _scratch(parent) as scratch:
        # Out of the way in one step: who looks meanwhile finds it whole or not at all.
        place.rename(scratch / name)
    return place


def _try(bundle: Bundle, scratch: Path, *, allow_untried: bool) -> None:
    outcomes = []
    for outcome in prove(bundle, steps_of(bundle)):
        if outcome.result == "bad":
            what, _, fix = outcome.detail.replace(f"{scratch.resolve()}/", "").rpartition("; ")
            raise BundleError(what or fix, fix=fix if what else "do not use it")
        outcomes.append(outcome)
    untried = untried_networks(bundle, outcomes)
    if untried and not allow_untried:
        network, why = untried[0]
        raise EdgefaceError(
            f"network {network.name} was not tried, no file of it runs here ({why})",
            fix="install that runtime, or give --allow-untried to install it all the same",
        )


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """Folder beside the bundles, so that the last step is a rename; gone afterwards.

    Whoever holds it is alone: what others left when they were killed is swept. Folders that were made for a bundle
    that did not come go with it.
    """
    made: list[Path] = []
    lock: int | None = None
    try:
        try:
            lock = _own(parent, made)
            restore_swapped(parent)
            for left in parent.glob(f"{SCRATCH}*"):
                shutil.rmtree(left, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(dir=parent, prefix=SCRATCH))
        except OSError as error:
            raise _unwritable(parent, error) from None
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):  # Somebody has put something into it.
                folder.rmdir()
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _own(parent: Path, made: list[Path]) -> int:
    """Make the folder where it is not there, noting in ``made`` what was, and lock it; its descriptor."""
    while True:
        _make_readable(parent, made)
        lock = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(lock, parent)
            if parent.exists() and os.path.samestat(os.fstat(lock), parent.stat()):
                return lock
        except BaseException:
            os.close(lock)
            raise
        # Who had it before us has made it, failed, and taken it away.
        os.close(lock)


def _lock(descriptor: int, parent: Path) -> None:
    """Wait until nobody else installs or removes in this folder; the kernel lets go of it for who is killed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.warning("another edgeface installs or removes a bundle in %s: waiting for it", parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        logger.debug("this file system has no locks: %s", parent)


def _make_readable(parent: Path, made: list[Path]) -> None:
    """Make the folder of bundles, and those above it, such that the service's user can look into it."""
    if not parent.exists():
        _make_readable(parent.parent, made)
        parent.mkdir(exist_ok=True)
        made.append(parent)
        parent.chmod(0o755)
    elif not parent.is_dir():
        raise NotADirectoryError(20, os.strerror(20))


def _unwritable(parent: Path, error: OSError) -> EdgefaceError:
    return EdgefaceError(
        f"{parent} cannot be written: {error.strerror}", fix="run it with sudo, or name another folder with --to"
    )
