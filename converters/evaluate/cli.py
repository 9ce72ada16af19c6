"""``python -m converters evaluate``: measure the shipped files and write ``converters/results``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tqdm import tqdm

from converters.evaluate import attributes, boxes, widerface
from converters.evaluate.data import chips, data_folder, photographs, read
from converters.evaluate.statistics import Figure, share_figure
from converters.manifest import FITS, RESULTS, DetectorFit
from edgeface.bundle import Bundle, Measured, Network, Precision, find_bundle, open_bundle
from edgeface.config import Config, NetworkChoice, RuntimeName
from edgeface.config import Detector as DetectorSettings
from edgeface.config import Runtime as RuntimeSettings
from edgeface.errors import UsageError
from edgeface.files import write_atomic
from edgeface.types import Detections
from edgeface.worker import Networks

SIZES = ("original", "640x640", "320x320", "640x384", "320x192")
NEAR_FACES = 1000
WIDER = "WIDER FACE 274-image dev share"
EXPRESSIONS = "FER-2013 PublicTest"
AGREEMENT = "arg-max agreement, crops of yunet and retinaface"
COMMAND = "python -m converters evaluate"


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``evaluate`` with its three protocols."""
    parser = commands.add_parser(
        "evaluate",
        help="measure the shipped files on labelled data",
        description="Runs a protocol through the device's own path and writes the figures to converters/results, from "
        "where `manifest` and `card` take them. Needs the labelled data (EDGEFACE_DATA or --data).",
    )
    protocols = parser.add_subparsers(metavar="PROTOCOL", required=True)
    for name, text, command in (
        ("detectors", "average precision on WIDER FACE, by input size and file", evaluate_detectors),
        ("attributes", "age, gender and expression, by group and file", evaluate_attributes),
        ("boxes", "fit box_to_reference, and how well crops from either detector agree", evaluate_boxes),
    ):
        protocol = protocols.add_parser(name, help=text, description=text)
        protocol.add_argument("--network", action="append", metavar="NAME", help="only this network (repeatable)")
        protocol.add_argument("--runtime", choices=("onnx", "litert"), help="only files of this runtime")
        protocol.add_argument("--precision", metavar="P", help="only files of this precision")
        protocol.add_argument(
            "--size",
            action="append",
            type=_size,
            metavar="WxH",
            help="only this detector size, or `original` (repeatable)",
        )
        protocol.add_argument("--detector", metavar="NAME", help="who finds the faces for `attributes` (the default's)")
        protocol.add_argument("--limit", type=_count, metavar="N", help="first N pictures only; nothing is written")
        protocol.add_argument("--data", metavar="DIR", help="folder of the labelled data")
        protocol.add_argument("--bundle", metavar="DIR", default="models/default", help="bundle (%(default)s)")
        protocol.set_defaults(run=command)


def evaluate_detectors(args: argparse.Namespace) -> int:
    """WIDER FACE for every detector file and size."""
    bundle = _bundle(args)
    pictures = photographs(data_folder(args.data), limit=args.limit)
    for network, runtime, precision in _files(bundle, args, tasks=("detect",)):
        sizes = [size for size in args.size or SIZES if size != "original" or runtime == "onnx"]
        detectors = {
            size: Networks(
                bundle, _config(runtime, network.name, precision, detector=network.name, size=size), still=True
            )
            for size in sizes
        }
        found: dict[str, list[Detections]] = {size: [] for size in sizes}
        for picture in tqdm(pictures, desc=f"{network.name} {runtime} {precision}", unit="picture"):
            image = read(picture.path)
            for size in sizes:
                found[size].append(detectors[size].detect(image, min_score=widerface.MIN_SCORE))
        for size in sizes:
            figures = widerface.precision_figures(pictures, found[size])
            by_level = widerface.as_rows({level: figure.value for level, figure in figures.items()})
            print(f"{network.name} {runtime} {precision} {size}: {by_level}", flush=True)
            rows = [
                _measured(f"AP {level}", "all", figure, WIDER, network, runtime, precision, size=size)
                for level, figure in figures.items()
            ]
            _save(network.name, rows, dry=args.limit is not None)
    return 0


def evaluate_attributes(args: argparse.Namespace) -> int:
    """UTKFace and FairFace for age and gender, FER-2013 for expression."""
    bundle = _bundle(args)
    folder = data_folder(args.data)
    for network, runtime, precision in _files(bundle, args, tasks=("age", "gender", "expression")):
        config = _config(runtime, network.name, precision, detector=args.detector)
        config = msgspec.structs.replace(
            config,
            attributes={**dict.fromkeys(("age", "gender", "expression"), False), network.task: network.name},
        )
        networks = Networks(bundle, config, still=True)
        rows: list[Measured] = []
        for title, detector, figures in _protocols(network, networks, config, folder, args.limit):
            for metric, group, figure in figures:
                row = _measured(metric, group, figure, title, network, runtime, precision, detector=detector)
                rows.append(row)
                if row.group == "all":
                    what = f"{network.name} {runtime} {precision} {detector or 'chips'}, {row.set}"
                    print(f"{what}: {row.metric} {row.value:.4f} (n {row.count})", flush=True)
        _save(network.name, rows, dry=args.limit is not None)
    return 0


def evaluate_boxes(args: argparse.Namespace) -> int:
    """Fit YuNet's boxes and points to RetinaFace's, then compare answers on crops from either.

    Boxes are fitted on the dev share, where faces have their surroundings; points on faces that fill the picture, as
    those do of which age and gender are asked: a small face's points lie too coarsely to fit anything to them.
    """
    bundle = _bundle(args)
    folder = data_folder(args.data)
    pictures = [read(p.path) for p in photographs(folder, limit=args.limit)]
    tasks = {"gender": "gender-mini-xception", "expression": "expression-mini-xception"}
    loaded = {
        name: Networks(
            bundle,
            msgspec.structs.replace(
                _config("onnx", name, "fp32", detector=name, size="original"),
                attributes={**tasks, "age": False},
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
    near = [attributes.padded(chip.image) for chip in near_chips]
    close = boxes.common_faces(tqdm(near, desc="faces that fill the picture", unit="face"), own, reference)
    points = [(o.landmarks[i], r.landmarks[j]) for _, o, r, rows in close for i, j in rows]  # type: ignore[index]
    offsets = boxes.fit_landmarks_to_reference(np.array([a for a, _ in points]), np.array([b for _, b in points]))
    print(f"yunet to retinaface: box {shares} over {len(pairs)} faces, points {offsets} over {len(points)}")
    if args.limit is None:
        fit = DetectorFit(box=shares, box_faces=len(pairs), landmarks=offsets, landmark_faces=len(points))
        write_atomic(RESULTS / FITS, msgspec.json.format(msgspec.json.encode({"yunet": fit}), indent=1) + b"\n")
    agreement = boxes.agreement(pictures, found, reference, shares)
    for name, same in agreement.items():
        figure = share_figure(same)
        print(f"{name}: same arg-max on {figure.value:.1%} of {figure.count} faces")
        row = _measured(
            AGREEMENT, "all", figure, WIDER, bundle.network(name), "onnx", "fp32", detector="yunet", protocol="boxes"
        )
        _save(name, [row], dry=args.limit is not None)
    return 0


def _protocols(
    network: Network, networks: Networks, config: Config, folder: Path, limit: int | None
) -> Iterator[tuple[str, str | None, Iterable[tuple[str, str, Figure]]]]:
    """Yield the name of a set, the detector that found its faces (None: the chip is the crop), and the figures."""
    detector = networks.detector.network.name
    if network.task == "expression":
        listed = list(chips(folder, "fer2013", "publictest", limit=limit))
        truth, said, labels = attributes.expression_on_chips(listed, networks, network.name)
        yield EXPRESSIONS, None, attributes.expression_figures(truth, said, labels)
        faces = tqdm(listed, desc=f"{network.name} {detector}", unit="face")
        truth, said, found = attributes.expression_end_to_end(faces, networks, config, network.name)
        yield EXPRESSIONS, detector, [("found", "all", found), *attributes.expression_figures(truth, said, labels)]
        return
    for title, name in (("UTKFace val", "utkface"), ("FairFace val", "fairface")):
        faces = tqdm(chips(folder, name, "val", limit=limit), desc=f"{network.name} {title}", unit="face")
        looks = list(attributes.end_to_end(faces, networks, config))
        figures = attributes.age_figures if network.task == "age" else attributes.gender_figures
        yield title, detector, figures(looks, exact=name == "utkface")


def _measured(
    metric: str,
    group: str,
    figure: Figure,
    name: str,
    network: Network,
    runtime: RuntimeName,
    precision: Precision,
    *,
    size: str | None = None,
    detector: str | None = None,
    protocol: str | None = None,
) -> Measured:
    command = f"{COMMAND} {protocol or ('detectors' if network.task == 'detect' else 'attributes')}"
    if protocol is None:
        command += f" --network {network.name}"
    if detector == "retinaface":
        command += " --detector retinaface"
    return Measured(
        metric=metric,
        value=round(figure.value, 4),
        set=name,
        group=group,
        count=figure.count,
        low=None if figure.low is None else round(figure.low, 4),
        high=None if figure.high is None else round(figure.high, 4),
        runtime=runtime,
        precision=precision,
        size=size,
        detector=detector,
        command=command,
    )


def _files(
    bundle: Bundle, args: argparse.Namespace, *, tasks: Sequence[str]
) -> Sequence[tuple[Network, RuntimeName, Precision]]:
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


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("expected a number from 1 up")
    return int(text)


def _size(text: str) -> str:
    if text != "original" and not re.fullmatch(r"[1-9]\d{1,3}x[1-9]\d{1,3}", text):
        raise argparse.ArgumentTypeError("expected WIDTHxHEIGHT or original")
    return text


def _config(
    runtime: RuntimeName, network: str, precision: str, *, detector: str | None = None, size: str = "auto"
) -> Config:
    return Config(
        detector=DetectorSettings(network=detector, size=size),
        runtime=RuntimeSettings(name="onnx", threads=2),
        networks={network: NetworkChoice(runtime=runtime, precision=precision)},
    )


def _bundle(args: argparse.Namespace) -> Bundle:
    return open_bundle(find_bundle(args.bundle, Config(), {}))


def _key(row: Measured) -> tuple[str, ...]:
    values = (row.set, row.runtime, row.precision, row.size or "", row.detector or "", row.metric, row.group)
    return tuple(str(value) for value in values)


def _save(network: str, rows: Sequence[Measured], *, dry: bool) -> None:
    """Put rows into a network's results; a row that was measured again replaces the old one."""
    if dry:
        return
    path = RESULTS / f"{network}.json"
    old = msgspec.json.decode(path.read_bytes(), type=list[Measured]) if path.exists() else []
    merged = {_key(row): row for row in (*old, *rows)}
    ordered = [merged[key] for key in sorted(merged)]
    write_atomic(path, msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n")
