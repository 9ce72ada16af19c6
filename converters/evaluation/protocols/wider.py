"""WIDER FACE: average precision by the published procedure, with its precision and recall curves."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from converters.datasets.labelled import read
from converters.datasets.labels import LEVELS
from converters.datasets.layouts.wider_mat import find_photographs
from converters.evaluation import drawing, widerface
from converters.evaluation.detectors import THREADS, detector_at, detector_sizes, input_size
from converters.evaluation.report import COMMAND, UNTRAINED, Report, add_arguments, folder_of, measured, write
from converters.evaluation.subject import choose_network
from converters.paths import open_any
from edgeface.bundle import choose_file
from edgeface.types import Detections

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

F64 = npt.NDArray[np.float64]
NOTES = (
    f"single scale, detections from a score of {widerface.MIN_SCORE:g}, IoU {widerface.MIN_IOU:g}, "
    f"{widerface.THRESHOLDS} thresholds, {THREADS} threads",
)
Curves = dict[tuple[str, str], tuple[F64, F64]]
"""By level and size: recall, precision."""


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``widerface``."""
    parser = protocols.add_parser(
        "widerface",
        help="detectors: average precision, easy, medium and hard",
        description="Average precision on WIDER FACE, easy, medium and hard, single scale, by the published procedure,"
        " with precision and recall curves.",
        epilog="Layouts: wider-mat (WIDER_val/images, wider_face_val.mat and the evaluation's wider_easy_val.mat ...),"
        " sheets (boxes.csv). Example: python -m converters evaluate widerface --data WIDER/ --network yunet"
        " --size 640x640",
    )
    add_arguments(parser, modes=False)
    parser.add_argument(
        "--size",
        action="append",
        type=input_size,
        metavar="WxH",
        help="input size, or `original` up to 1024 pixels (repeatable)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure one file at one or several sizes."""
    pictures, title, layout = find_photographs(folder_of(args), layout=args.layout, limit=args.limit)
    bundle = open_any(args.bundle, allow_random=args.allow_random)
    network = choose_network(bundle, "detect", args.network)
    runtime = args.runtime or next(iter(sorted(network.files, reverse=True)))
    file = choose_file(network, runtime, args.precision)
    sizes = args.size or detector_sizes(network, file)[:1]
    detectors = {one: detector_at(bundle, network, file.runtime, file.precision, one) for one in sizes}
    found: dict[str, list[Detections]] = {one: [] for one in sizes}
    for picture in tqdm(pictures, desc=f"{network.name} {file.runtime} {file.precision}", unit="picture", disable=None):
        image = read(picture.path)
        for one, detector in detectors.items():
            found[one].append(detector.detect(image, min_score=widerface.MIN_SCORE))
    words = [COMMAND, "widerface", f"--network {network.name}", f"--runtime {file.runtime}"]
    command = " ".join([*words, f"--precision {file.precision}", *(f"--size {one}" for one in sizes)])
    curves: Curves = {}
    rows = []
    for one in sizes:
        for level, figure in widerface.precision_figures(pictures, found[one]).items():
            line = (f"AP {level}", "all", figure)
            rows.append(
                measured(title, line, runtime=file.runtime, precision=file.precision, command=command, size=one)
            )
        for level, curve in widerface.precision_recall(pictures, found[one]).items():
            curves[level, one] = curve
    report = Report(
        protocol="widerface",
        command=command,
        bundle=f"{bundle.manifest.name} {bundle.manifest.version}",
        network=network.name,
        runtime=file.runtime,
        precision=file.precision,
        sets=(title,),
        layouts=(layout,),
        notes=(*NOTES, UNTRAINED) if network.random_weights else NOTES,
        figures=tuple(rows),
        tables={f"{level}, {one}": _thinned(*curve) for (level, one), curve in curves.items()},
    )
    write(report, draw(report, curves), args.out)
    return 0


def draw(report: Report, curves: Curves) -> Drawing:
    """Precision against recall, a panel for each level, a curve for each size."""
    values = {(row.metric.removeprefix("AP "), row.size): row.value for row in report.figures}
    title = f"{report.sets[0]}: {report.network} {report.runtime} {report.precision}"
    made = drawing.canvas(13, 4.4, title)
    for level, axes in zip(LEVELS, made.subplots(1, len(LEVELS)), strict=True):
        lines = {
            f"{one}, AP {values[level, one]:.3f}": _drawn(*curve)
            for (own, one), curve in curves.items()
            if own == level
        }
        drawing.curves(axes, lines, title=level, x="recall", y="precision", limits=((0, 1), (0, 1.02)))
    return made


def _drawn(recall: F64, precision: F64) -> tuple[F64, F64]:
    """Leave out thresholds that no detection reaches: they have no precision."""
    return recall[precision > 0], precision[precision > 0]


def _thinned(recall: F64, precision: F64, *, every: int = 10) -> dict[str, list[float]]:
    return {"recall": recall[::every].round(4).tolist(), "precision": precision[::every].round(4).tolist()}
