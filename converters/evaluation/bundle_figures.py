"""``python -m converters evaluate``: the field's protocols, and the figures that manifest and cards are made of."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from converters.datasets.labelled import chips, data_folder, photographs, read
from converters.evaluation import attributes, boxes, widerface
from converters.evaluation.detectors import detector_at, detector_sizes
from converters.evaluation.report import COMMAND, Line, measured
from converters.evaluation.statistics import share_figure
from converters.evaluation.subject import NOBODY, THREADS, Finder, Subject, padded
from converters.measurements.measured import DetectorFit, save, write_detector_fits
from converters.paths import open_any
from edgeface.bundle import Bundle, FileRuntime, Measured, Network, Precision, choose_file
from edgeface.config import Config, NetworkChoice
from edgeface.config import Detector as DetectorSettings
from edgeface.config import Runtime as RuntimeSettings
from edgeface.errors import UsageError
from edgeface.networks import Networks
from edgeface.runtime import load_network
from edgeface.types import Detections

NEAR_FACES = 1000
WIDER = "WIDER FACE 274-image dev share"
EXPRESSIONS = "FER-2013 PublicTest"
AGREEMENT = "arg-max agreement, crops of yunet and retinaface"
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
            command = f"{COMMAND} detectors --network {network.name}"
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
    for title, name, lines in _protocols(bundle, file, folder, detector, limit):
        command = f"{COMMAND} attributes --network {network.name}"
        command += f" --detector {name}" if name == "retinaface" else ""
        for line in lines:
            row = measured(title, line, runtime=runtime, precision=precision, command=command, detector=name)
            if row.group == "all":
                what = f"{network.name} {runtime} {precision} {name or 'chips'}, {row.set}"
                print(f"{what}: {row.metric} {row.value:.4f} (n {row.count})", flush=True)
            yield row


def evaluate_boxes(args: argparse.Namespace) -> int:
    """Fit YuNet's boxes and points to RetinaFace's, then compare answers on crops from either.

    Boxes are fitted on the dev share, where faces have their surroundings; points on faces that fill the picture, as
    those do of which age and gender are asked: a small face's points lie too coarsely to fit anything to them.
    """
    bundle = open_any(args.bundle)
    folder = data_folder(args.data)
    pictures = [read(p.path) for p in photographs(folder, limit=args.limit)]
    tasks = {"gender": "gender-mini-xception", "expression": "expression-mini-xception"}
    loaded = {
        name: Networks(
            bundle,
            Config(
                detector=DetectorSettings(network=name, size="original"),
                runtime=RuntimeSettings(name="onnx", threads=THREADS),
                networks={name: NetworkChoice(precision="fp32")},
                attributes={**NOBODY, **tasks},  # type: ignore[dict-item]
            ),
            still=True,
        )
        for name in ("yunet", "retinaface")
    }
    own, reference = loaded["yunet"], loaded["retinaface"]
    found = boxes.common_faces(tqdm(pictures, desc="both detectors", unit="picture"), own, reference)
    pairs = [(o.boxes[i], r.boxes[j]) for _, o, r, rows in found for i, j in rows]
    shares = boxes.fit_box_to_reference(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
    near_chips = chips(folder, "fairface", "train", limit=args.limit or NEAR_FACES)
    near = [padded(chip.image) for chip in near_chips]
    close = boxes.common_faces(tqdm(near, desc="faces that fill the picture", unit="face"), own, reference)
    points = [(o.landmarks[i], r.landmarks[j]) for _, o, r, rows in close for i, j in rows]  # type: ignore[index]
    offsets = boxes.fit_landmarks_to_reference(np.array([a for a, _ in points]), np.array([b for _, b in points]))
    print(f"yunet to retinaface: box {shares} over {len(pairs)} faces, points {offsets} over {len(points)}")
    if args.limit is None:
        fit = DetectorFit(box=shares, box_faces=len(pairs), landmarks=offsets, landmark_faces=len(points))
        write_detector_fits({"yunet": fit})
    agreement = boxes.agreement(pictures, found, reference, shares)
    for name, same in agreement.items():
        figure = share_figure(same)
        print(f"{name}: same arg-max on {figure.value:.1%} of {figure.count} faces")
        line = (AGREEMENT, "all", figure)
        row = measured(WIDER, line, runtime="onnx", precision="fp32", command=f"{COMMAND} boxes", detector="yunet")
        save(name, [row], dry=args.limit is not None)
    return 0


def _protocols(
    bundle: Bundle, file: File, folder: Path, detector: str | None, limit: int | None
) -> Iterator[tuple[str, str | None, Iterable[Line]]]:
    """Yield the name of a set, the detector that found its faces (None: the chip is the crop), and the figures."""
    network, runtime, precision = file
    runner = load_network(bundle, network, runtime, precision=precision, threads=THREADS)
    found = Subject(bundle, network, runner, Finder(bundle, detector=detector))
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
