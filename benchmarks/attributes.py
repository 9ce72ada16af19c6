"""CPU time of all attribute networks on one face, one thread, beside an earlier commit's, interleaved in one run.

    python -m benchmarks.attributes [FOLDER ...] [--beside COMMIT] [--runtime onnx|litert] [--rounds N]

FOLDER is a bundle (default: the default one), of which those networks count that a device runs on a face unless told
otherwise; or a network that was built alone, such as ``build/networks/age-gender-compact``, random weights or not. Each
round runs every file of both runtimes, or of one, on its network's stored input. A row has the median CPU milliseconds
of a call, the median of each round's ratio to all networks of the commit together, multiply-accumulates and bytes;
*together* are the fastest files.
Values below 1e-15 are cleared in a copy of the commit's files: they would only cost time
(`converters.export.denormals`).
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from statistics import median

import msgspec
import onnx

from converters.evaluation.shipped import used
from converters.evaluation.timing import ROUNDS, RUNTIMES, Timed, fastest, ratio, time_together, together
from converters.export.denormals import clear_onnx, clear_tflite
from converters.measurements.speeds import describe_machine
from converters.paths import BUNDLE, ROOT, open_any
from edgeface.bundle import Bundle, NetworkFile, open_bundle
from edgeface.errors import EdgefaceError, UsageError
from edgeface.files import write_atomic

BESIDE = "bf0e387"


def bundle_of(commit: str, folder: Path) -> Bundle:
    """Lay the default bundle of a commit out in ``folder``; UsageError where there is no such commit."""
    place = BUNDLE.relative_to(ROOT).as_posix()
    done = subprocess.run(["git", "archive", commit, place], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise UsageError(f"there is no {place} at {commit}", fix="name another commit, or fetch the whole history")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return open_bundle(folder / place)


def cleared(bundle: Bundle) -> Bundle:
    """Rewrite the files of a bundle in its folder without values below 1e-15; the bundle that has them."""
    networks = tuple(
        msgspec.structs.replace(
            network,
            files={
                runtime: tuple(_cleared(bundle.folder, file) for file in files)
                for runtime, files in network.files.items()
            },
        )
        for network in bundle.manifest.networks
    )
    return Bundle(folder=bundle.folder, manifest=msgspec.structs.replace(bundle.manifest, networks=networks))


def _cleared(folder: Path, file: NetworkFile) -> NetworkFile:
    path = folder / file.path
    if file.runtime == "onnx":
        data = clear_onnx(onnx.load(path)).SerializeToString()
    else:
        data = clear_tflite(path.read_bytes())
    write_atomic(path, data)
    return msgspec.structs.replace(file, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def lines(name: str, timed: Sequence[Timed], beside: Sequence[Timed]) -> Iterator[str]:
    """Rows of a bundle's table: every file, and the fastest together where a device runs several networks."""
    chosen = fastest(timed)
    for one in timed:
        yield _row(f"{one.network.name} {one.file.runtime} {one.file.precision}", [one], beside)
    if len(chosen) > 1:
        kinds = ", ".join(f"{one.file.runtime} {one.file.precision}" for one in chosen)
        yield _row(f"**{name}, together** ({kinds})", chosen, beside)


def _row(title: str, files: Sequence[Timed], beside: Sequence[Timed]) -> str:
    macs = [one.network.macs for one in files]
    shown = "-" if None in macs else f"{sum(one or 0 for one in macs) / 1e6:.1f}"
    size = sum(one.file.bytes for one in files)
    of_beside = ratio(files, fastest(beside))
    return f"| {title} | {median(together(files)):.3f} | {of_beside:.2f} | {shown} | {size:,} |"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", default=[str(BUNDLE)])
    parser.add_argument("--beside", metavar="COMMIT", default=BESIDE, help="whose default bundle (%(default)s)")
    parser.add_argument("--runtime", choices=RUNTIMES, help="of one only (both)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    args = parser.parse_args()
    runtimes = (args.runtime,) if args.runtime else RUNTIMES
    try:
        with tempfile.TemporaryDirectory() as folder:
            old = cleared(bundle_of(args.beside, Path(folder)))
            bundles = [open_any(one, allow_random=True) for one in args.folders]
            groups = [(bundle, list(used(bundle))) for bundle in (old, *bundles)]
            before, *found = time_together(groups, runtimes, rounds=args.rounds)
    except EdgefaceError as error:
        parser.error(str(error))
    print(f"{describe_machine()}, {' and '.join(runtimes)}, one thread, batch 1, medians of {args.rounds} rounds\n")
    print(f"| network, file | CPU ms | of {args.beside} | M MAC | bytes |\n|---|---|---|---|---|")
    names = [args.beside, *(bundle.manifest.name for bundle in bundles)]
    for name, timed in zip(names, [before, *found], strict=True):
        print("\n".join(lines(name, timed, before)))


if __name__ == "__main__":
    main()
