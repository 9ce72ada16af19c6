"""``python -m converters evaluate``: the field's protocols, and the figures that manifest and cards are made of."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from converters.datasets.labelled import chips, data_folder, photographs, read
from converters.evaluation import attributes, boxes, widerface
from converters.evaluation.detectors import THREADS, detector_at, detector_sizes, load_detector
from converters.evaluation.report import COMMAND, Line, measured
from converters.evaluation.statistics import share_figure
from converters.evaluation.subject import Finder, Subject, padded
from converters.measurements.measured import DetectorFit, read_detector_fits, save, write_detector_fits
from converters.paths import bundle_argument, open_any
from converters.recipes.reading import read_workshop
from edgeface.bundle import (
    BoxCrop,
    Bundle,
    CategoricalHead,
    FileRuntime,
    Measured,
    Network,
    Precision,
    SquareCrop,
    choose_file,
)
from edgeface.detect.single import FAMILIES
from edgeface.engine.networks import Networks
from edgeface.errors import UsageError
from edgeface.runtime import load_network
from edgeface.types import Detections, Image, Task

NEAR_FACES = 1000
WIDER = "WIDER FACE 274-image dev share"
EXPRESSIONS = "FER-2013 PublicTest"
AGREEMENT = "arg-max agreement, crops of"
"""How this figure's name begins; both detectors follow."""
File = tuple[Network, FileRuntime, Precision]


def evaluate_detectors(args: argparse.Namespace) -> int:
    """WIDER FACE for every detector file and size."""
    bundle = open_any(args.bundle)
    pictures = photographs(data_folder(args.data), limit=args.limit)
    for network, runtime, precision in _files(bundle, args, tasks=("detect",)):
        sizes = args.size or detector_sizes(network, choose_file(network, runtime, precision))
        detectors = {size: detector_at(bundle, network, runtime, precision, size) for size in sizes}
        found: dict[str, list[Detections]] = {size: [] for size in sizes}
        for picture in tqdm(pictures, desc=f"{network.name} {runtime} {precision}", unit="picture"):
            image = read(picture.path)
            for size in sizes:
                found[size].append(detectors[size].detect(image, min_score=widerface.MIN_SCORE))
        for size in sizes:
            figures = widerface.precision_figures(pictures, found[size])
            by_level = widerface.as_rows({level: figure.value for level, figure in figures.items()})
            print(f"{network.name} {runtime} {precision} {size}: {by_level}", flush=True)
            command = f"{COMMAND} detectors --network {network.name} --bundle {bundle_argument(bundle)}"
            rows = [
                measured(
                    WIDER,
                    (f"AP {level}", "all", figure),
                    runtime=runtime,
                    precision=precision,
                    command=command,
                    size=size,
                )
                for level, figure in figures.items()
            ]
            save(network.name, rows, dry=args.limit is not None)
    return 0


def evaluate_attributes(args: argparse.Namespace) -> int:
    """UTKFace and FairFace for age and gender, FER-2013 for expression."""
    bundle = open_any(args.bundle)
    folder = data_folder(args.data)
    for file in _files(bundle, args, tasks=("age", "gender", "expression")):
        rows = list(attribute_rows(bundle, file, folder, detector=args.detector, limit=args.limit))
        save(file[0].name, rows, dry=args.limit is not None)
    return 0


def attribute_rows(
    bundle: Bundle, file: File, folder: Path, *, detector: str | None, limit: int | None
) -> Iterator[Measured]:
    """Figures of one file of an attribute network on every set that asks its questions, told as they come."""
    network, runtime, precision = file
    finder = Finder(bundle, detector=detector)
    command = f"{COMMAND} attributes --network {network.name} --detector {finder.network.name}"
    command += f" --bundle {bundle_argument(bundle)}"
    for title, name, lines in _protocols(bundle, file, folder, finder, limit):
        for line in lines:
            row = measured(title, line, runtime=runtime, precision=precision, command=command, detector=name)
            if row.group == "all":
                what = f"{network.name} {runtime} {precision} {name or 'chips'}, {row.set}"
                print(f"{what}: {row.metric} {row.value:.4f} (n {row.count})", flush=True)
            yield row


def evaluate_boxes(args: argparse.Namespace) -> int:
    """Fit every other detector's boxes and points to the reference's, then compare answers on crops from either.

    Boxes are fitted on the dev share, where faces have their surroundings; points on faces that fill the picture, as
    those do of which age and gender are asked: a small face's points lie too coarsely to fit anything to them.
    """
    bundle = open_any(args.bundle)
    folder = data_folder(args.data)
    reference = read_workshop().reference_detector
    loaded = _detecting(bundle, reference)
    others = fitted_detectors(bundle, reference, args.network)
    pictures = [read(p.path) for p in photographs(folder, limit=args.limit)]
    near = [padded(chip.image) for chip in chips(folder, "fairface", "train", limit=args.limit or NEAR_FACES)]
    for name in others:
        _fit(bundle, name, _detecting(bundle, name), loaded, pictures, near, dry=args.limit is not None)
    return 0


def fitted_detectors(bundle: Bundle, reference: str, asked: Sequence[str] | None) -> list[str]:
    """Detectors of a bundle that give five points and are not the reference, or those that were asked for.

    Raises
    ------
    UsageError : the reference is not there, or nothing is to be fitted to it
    """
    pointing = [
        network.name
        for network in bundle.manifest.networks
        if network.task == "detect" and (kind := FAMILIES.get(type(network.head))) is not None and kind.landmarks
    ]
    if reference not in pointing:
        raise UsageError(f"the bundle has no {reference}, which crop rules are said in", fix="give one with --bundle")
    others = [name for name in pointing if name != reference and name in (asked or pointing)]
    if not others:
        raise UsageError(f"no detector of the bundle is to be fitted to {reference}", fix="give one with --bundle")
    return others


def box_cut(bundle: Bundle) -> dict[Task, str]:
    """By question the first network of a bundle that is cut by boxes and answers with labels."""
    found: dict[Task, str] = {}
    for network in bundle.manifest.networks:
        if isinstance(network.input.crop, BoxCrop | SquareCrop):
            for task, head in network.answers.items():
                if isinstance(head, CategoricalHead):
                    found.setdefault(task, network.name)
    return found


def _detecting(bundle: Bundle, name: str) -> Networks:
    return load_detector(bundle, name, size="original", precisions={name: "fp32"}, attributes=box_cut(bundle))


def _fit(
    bundle: Bundle,
    name: str,
    own: Networks,
    reference: Networks,
    pictures: Sequence[Image],
    near: Sequence[Image],
    *,
    dry: bool,
) -> None:
    """Fit one detector's boxes on ``pictures`` and its points on ``near``, and write both down."""
    theirs = reference.detector.network.name
    found = boxes.common_faces(tqdm(pictures, desc="both detectors", unit="picture"), own, reference)
    pairs = [(f.own.boxes[i], f.theirs.boxes[j]) for f in found for i, j in f.pairs]
    shares = boxes.fit_box_to_reference(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
    close = boxes.common_faces(tqdm(near, desc="faces that fill the picture", unit="face"), own, reference)
    points = [(f.own.landmarks[i], f.theirs.landmarks[j]) for f in close for i, j in f.pairs]  # type: ignore[index]
    offsets = boxes.fit_landmarks_to_reference(np.array([a for a, _ in points]), np.array([b for _, b in points]))
    print(f"{name} to {theirs}: box {shares} over {len(pairs)} faces, points {offsets} over {len(points)}")
    if not dry:
        fit = DetectorFit(box=shares, box_faces=len(pairs), landmarks=offsets, landmark_faces=len(points))
        write_detector_fits({**read_detector_fits(), name: fit})
    for network, same in boxes.agreement(pictures, found, reference, shares).items():
        figure = share_figure(same)
        print(f"{network}: same arg-max on {figure.value:.1%} of {figure.count} faces")
        line = (f"{AGREEMENT} {name} and {theirs}", "all", figure)
        command = f"{COMMAND} boxes --network {name} --bundle {bundle_argument(bundle)}"
        save(
            network, [measured(WIDER, line, runtime="onnx", precision="fp32", command=command, detector=name)], dry=dry
        )


def _protocols(
    bundle: Bundle, file: File, folder: Path, finder: Finder, limit: int | None
) -> Iterator[tuple[str, str | None, Iterable[Line]]]:
    """Yield the name of a set, the detector that found its faces (None: the chip is the crop), and the figures."""
    network, runtime, precision = file
    runner = load_network(bundle, network, runtime, precision=precision, threads=THREADS)
    found = Subject(bundle, network, runner, finder)
    if "expression" in network.answers:
        listed = list(chips(folder, "fer2013", "publictest", limit=limit))
        for subject in (Subject(bundle, network, runner, None), found):
            answers = subject.answer(tqdm(listed, desc=f"{network.name} {subject.mode}", unit="face"))
            lines = list(attributes.expression_figures(*attributes.expressions(answers, subject)))
            hits = [("found", "all", share_figure(answers.found.tolist()))] if subject.finder else []
            yield EXPRESSIONS, subject.detector, [*hits, *lines]
    tasks = [task for task in ("age", "gender") if task in network.answers]
    for title, name in (("UTKFace val", "utkface"), ("FairFace val", "fairface")) if tasks else ():
        faces = tqdm(chips(folder, name, "val", limit=limit), desc=f"{network.name} {title}", unit="face")
        samples = attributes.samples(found.answer(faces), found)
        for task in tasks:
            figures = attributes.age_figures if task == "age" else attributes.gender_figures
            yield title, found.detector, figures(samples, exact=name == "utkface")


def _files(bundle: Bundle, args: argparse.Namespace, *, tasks: Sequence[str]) -> Sequence[File]:
    """Files that the arguments choose, by network; UsageError for none, which would measure nothing in silence."""
    networks = {network.name: network for network in bundle.manifest.networks if network.task in tasks}
    for name in args.network or ():
        if name not in networks:
            raise UsageError(f"there is no network '{name}' for this", fix=f"choose one of: {', '.join(networks)}")
    chosen = [
        (network, runtime, file.precision)
        for network in networks.values()
        if not args.network or network.name in args.network
        for runtime in sorted(network.files, reverse=True)
        for file in network.files[runtime]
        if args.runtime in (None, runtime) and args.precision in (None, file.precision)
    ]
    if not chosen:
        raise UsageError("no file of the bundle is of this runtime and precision", fix="see `edgeface models list`")
    return chosen
