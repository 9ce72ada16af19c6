"""How long networks and pictures take, in the tables of the reference systems: one person in a large picture.

Dobiš 2020, tables 8.1 and 8.2: seconds of each network and of one whole picture at 1920x1080 and 1280x720, one person
in it. The picture is `skimage.data.astronaut` (NASA, public domain), enlarged to the picture's height, its borders
repeated to either side.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from tqdm import tqdm

from converters.datasets.labelled import read
from converters.evaluation import drawing
from converters.evaluation.detectors import detector_at
from converters.evaluation.report import COMMAND, Report, count, measured, write
from converters.evaluation.statistics import Figure
from converters.evaluation.subject import SCORE, Face, Finder
from converters.paths import open_any
from edgeface.bundle import Bundle, Network, Precision, choose_file
from edgeface.config import Config, NetworkChoice
from edgeface.config import Runtime as RuntimeSettings
from edgeface.engine.networks import Networks
from edgeface.engine.states import States
from edgeface.errors import UsageError
from edgeface.offline.analyze import analyze_image
from edgeface.runtime import Runner, load_network, run_faces
from edgeface.runtime.threads import opencv_threads
from edgeface.types import F32, Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

SIZES = ((1920, 1080), (1280, 720))
WARM_UP = 3
RUNS = 50
ONE_PICTURE = "one picture"
SET = "astronaut at {}x{}"
GRID = 32
"""Detectors of free size take multiples of this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Milliseconds of one row of the table: the median and 95th percentile of the wall clock, and CPU time."""

    row: str
    precision: Precision
    ms: float
    ms_p95: float
    cpu_ms: float
    used: bool
    """Whether this network has a part in `one picture`."""


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``speed``."""
    parser = protocols.add_parser(
        "speed",
        help="milliseconds of each network and of one picture at 1920x1080 and 1280x720",
        description="Times every network of a bundle as the device calls it (a detector on the whole picture; others"
        " per face: cut, run, read), and one picture from its JPEG file to all answers, at 1920x1080 and 1280x720 with"
        " one person in it, as the published systems do. Needs no data.",
        epilog="Example: python -m converters evaluate speed --runtime litert --threads 1",
    )
    parser.add_argument("--bundle", metavar="DIR", default="default", help="bundle, or one built network (%(default)s)")
    parser.add_argument("--network", action="append", metavar="NAME", help="only this network (repeatable)")
    parser.add_argument("--runtime", choices=("onnx", "litert"), default="onnx", help="runtime (%(default)s)")
    parser.add_argument("--precision", metavar="P", help="only files of this precision; the manifest's first")
    parser.add_argument("--threads", type=count, default=2, metavar="N", help="threads of a network (%(default)s)")
    parser.add_argument("--runs", type=count, default=RUNS, metavar="N", help="runs of each row (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (build/evaluate/BUNDLE)")
    parser.add_argument("--allow-random", action="store_true", help="time networks that were never trained, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Time a bundle."""
    from converters.measurements.speeds import describe_machine

    bundle = open_any(args.bundle, allow_random=args.allow_random)
    networks = chosen(bundle, args)
    with opencv_threads(args.threads):
        tables = {
            size: list(tqdm(rows(bundle, networks, size, args), desc=_name(size), unit="row", disable=None))
            for size in SIZES
        }
    file = f" --precision {args.precision}" if args.precision else ""
    command = f"{COMMAND} speed --bundle {bundle.manifest.name} --runtime {args.runtime}{file} --threads {args.threads}"
    report = Report(
        protocol="speed",
        command=command,
        bundle=f"{bundle.manifest.name} {bundle.manifest.version}",
        network=bundle.manifest.name,
        runtime=args.runtime,
        precision=args.precision,
        sets=tuple(SET.format(*size) for size in tables),
        layouts=(),
        notes=(f"{describe_machine()}, {args.threads} threads, medians of {args.runs} runs; no GPU is used",),
        figures=tuple(
            measured(
                SET.format(*size),
                (metric, timing.row, Figure(value, args.runs, None, None)),
                runtime=args.runtime,
                precision=timing.precision,
                command=command,
                size=_name(size),
            )
            for size, timings in tables.items()
            for timing in timings
            for metric, value in (("ms", timing.ms), ("ms p95", timing.ms_p95), ("CPU ms", timing.cpu_ms))
        ),
        tables={_name(size): outside(timings) for size, timings in tables.items()},
    )
    print("\n\n".join(markdown(_name(size), timings) for size, timings in tables.items()))
    write(report, draw(report, {_name(size): timings for size, timings in tables.items()}), args.out)
    return 0


def chosen(bundle: Bundle, args: argparse.Namespace) -> list[Network]:
    """Networks that the arguments choose and that have such a file; UsageError for none."""
    known = {network.name: network for network in bundle.manifest.networks if network.task != "stage"}
    for name in args.network or ():
        if name not in known:
            raise UsageError(f"there is no network '{name}'", fix=f"choose one of: {', '.join(known)}")
    found = [
        network
        for network in known.values()
        if (not args.network or network.name in args.network)
        and (network.time is None or network.states)
        and any(args.precision in (None, file.precision) for file in network.files.get(args.runtime, ()))
    ]
    if not found:
        raise UsageError("no network of the bundle has such a file", fix="see `edgeface models list`")
    return found


def scene(size_wh: tuple[int, int]) -> Image:
    """One person in a picture of this size, uint8 (H, W, 3), BGR."""
    from skimage.data import astronaut

    width, height = size_wh
    person = cv2.resize(astronaut()[..., ::-1], (height, height), interpolation=cv2.INTER_CUBIC)
    left = (width - height) // 2
    wide: Image = cv2.copyMakeBorder(person, 0, 0, left, width - height - left, cv2.BORDER_REPLICATE)
    return wide


def rows(
    bundle: Bundle, networks: Sequence[Network], size_wh: tuple[int, int], args: argparse.Namespace
) -> Iterator[Timing]:
    """Rows of one table, one picture last where the bundle can take one to its answers."""
    image = scene(size_wh)
    defaults = set(bundle.manifest.defaults.values())
    for network in networks:
        if network.task == "detect":
            yield from _detector_rows(bundle, network, image, args, used=network.name in defaults)
    finder = Finder(bundle) if "detect" in bundle.manifest.defaults else Finder(open_any("default"))
    face = finder.face(image)
    assert face is not None, "the astronaut has a face"
    for network in networks:
        if network.task == "detect":
            continue
        runner = load_network(bundle, network, args.runtime, precision=args.precision, threads=args.threads)
        states = States().recall(network, [("", 0)])
        look = partial(_look, finder, image, face, network, runner, states)
        yield timed(network.name, look, args.runs, precision=runner.file.precision, used=network.name in defaults)
    if not args.network and "detect" in bundle.manifest.defaults:
        yield _whole_picture(bundle, image, args)


def timed(row: str, call: Callable[[], object], runs: int, *, precision: Precision, used: bool) -> Timing:
    """Time a call after some to warm up."""
    for _ in range(WARM_UP):
        call()
    wall, cpu = [], []
    for _ in range(runs):
        start, start_cpu = time.perf_counter(), time.process_time()
        call()
        wall.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (time.process_time() - start_cpu))
    return Timing(
        row=row,
        precision=precision,
        ms=float(np.median(wall)),
        ms_p95=float(np.percentile(wall, 95)),
        cpu_ms=float(np.median(cpu)),
        used=used,
    )


def outside(timings: Sequence[Timing]) -> dict[str, float]:
    """Where the time of one picture goes: its networks together, the rest, its share, and pictures a second."""
    whole = next((timing for timing in timings if timing.row == ONE_PICTURE), None)
    if whole is None:
        return {}
    inside = sum(timing.ms for timing in timings if timing.used)
    return {
        "networks ms": round(inside, 3),
        "one picture ms": round(whole.ms, 3),
        "outside ms": round(whole.ms - inside, 3),
        "share outside": round(1 - inside / whole.ms, 4),
        "pictures a second": round(1000 / whole.ms, 2),
    }


def markdown(size: str, timings: Sequence[Timing]) -> str:
    """One table as the reference systems print theirs, in seconds, with CPU time beside it."""
    lines = [f"| Network, {size} | CPU | CPU time |", "|---|---|---|"]
    lines += [f"| {_label(timing)} | {timing.ms / 1000:.4f}s | {timing.cpu_ms / 1000:.4f}s |" for timing in timings]
    told = ", ".join(f"{name} {value:g}" for name, value in outside(timings).items())
    return "\n".join([*lines, "", told] if told else lines)


def draw(report: Report, tables: dict[str, Sequence[Timing]]) -> Drawing:
    """Milliseconds of each row, a panel for each size."""
    title = f"{report.bundle}, {report.runtime}: {report.notes[0]}"
    made = drawing.canvas(5.6 * len(tables), drawing.bars_height(max(map(len, tables.values()))), title)
    for axes, (size, timings) in zip(made.subplots(1, len(tables), squeeze=False)[0], tables.items(), strict=True):
        found = {_label(t): Figure(t.ms, 1, t.ms, t.ms_p95) for t in timings}
        title = f"{size}: median, whisker to the 95th percentile"
        drawing.bars(axes, found, title=title, unit="milliseconds", strong=ONE_PICTURE, counts=False)
    return made


def _detector_rows(
    bundle: Bundle, network: Network, image: Image, args: argparse.Namespace, *, used: bool
) -> Iterator[Timing]:
    """As the device sizes a still picture, and (where the file can) on every pixel as the published systems did."""
    height, width = image.shape[:2]
    sizes = ["auto"]
    file = choose_file(network, args.runtime, args.precision)
    if not file.signatures and network.input.width is None:
        sizes.append(f"{-(-width // GRID) * GRID}x{-(-height // GRID) * GRID}")
    for size in sizes:
        networks = detector_at(bundle, network, args.runtime, args.precision, size, threads=args.threads)
        seen = networks.detector.size_for((width, height))
        row = f"{network.name} at {seen[0]}x{seen[1]}"
        call = partial(networks.detect, image, min_score=SCORE)
        yield timed(row, call, args.runs, precision=file.precision, used=used and size == "auto")


def _look(
    finder: Finder, image: Image, face: Face, network: Network, runner: Runner, states: Mapping[str, F32]
) -> None:
    run_faces(runner, network, finder.cut(image, face, network.input)[None], states)


def _whole_picture(bundle: Bundle, image: Image, args: argparse.Namespace) -> Timing:
    """From a JPEG file to every answer of the bundle's default networks."""
    config = Config(
        runtime=RuntimeSettings(name=args.runtime, threads=args.threads),
        networks={name: NetworkChoice(precision=args.precision) for name in bundle.manifest.defaults.values()},
    )
    networks = Networks(bundle, config, still=True)
    with tempfile.TemporaryDirectory(prefix="edgeface-") as folder:
        path = Path(folder) / "picture.jpg"
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 95])

        def look() -> None:
            analyze_image(read(path), networks, config, path="", min_score=SCORE)

        first = choose_file(networks.detector.network, args.runtime, args.precision)
        return timed(ONE_PICTURE, look, args.runs, precision=first.precision, used=False)


def _label(timing: Timing) -> str:
    """Name of a row, with the precision where it is not the plain one."""
    return (
        timing.row if timing.row == ONE_PICTURE or timing.precision == "fp32" else f"{timing.row} ({timing.precision})"
    )


def _name(size_wh: tuple[int, int]) -> str:
    return f"{size_wh[0]}x{size_wh[1]}"
