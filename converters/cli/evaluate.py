"""``evaluate``: run a protocol on labelled data."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from converters.evaluation.bundle_figures import evaluate_attributes, evaluate_boxes, evaluate_detectors
from converters.evaluation.detectors import input_size
from converters.evaluation.report import count
from converters.paths import BUNDLE

PROTOCOLS = (
    "wider",
    "expression",
    "age",
    "gender",
    "affect",
    "verification",
    "speed",
    "shipped",
    "crops",
    "confidence",
    "quality",
    "all_detectors",
)
"""Modules below `converters.evaluation.protocols` that add a protocol each."""


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``evaluate`` with its protocols."""
    parser = commands.add_parser(
        "evaluate",
        help="measure networks on labelled data",
        description="Runs a protocol through the device's own path. `detectors`, `attributes` and `boxes` measure every"
        " file of a bundle and write converters/measurements, from where `manifest` and `card` take their figures; the"
        " others measure one file and write a picture and a JSON file to build/evaluate/NETWORK. Data come from"
        " EDGEFACE_DATA or --data.",
        epilog="Example: python -m converters evaluate expression --data fer2013/ --network expression-compact"
        " --mode chip",
    )
    protocols = parser.add_subparsers(metavar="PROTOCOL", required=True)
    for name in PROTOCOLS:
        import_module(f"converters.evaluation.protocols.{name}").add(protocols)
    for name, text, command in (
        ("detectors", "average precision on WIDER FACE, by input size and file", evaluate_detectors),
        ("attributes", "age, gender and expression, by group and file", evaluate_attributes),
        ("boxes", "fit box_to_reference, and how well crops from either detector agree", evaluate_boxes),
    ):
        protocol = protocols.add_parser(name, help=f"for the cards: {text}", description=text)
        protocol.add_argument("--network", action="append", metavar="NAME", help="only this network (repeatable)")
        protocol.add_argument("--runtime", choices=("onnx", "litert", "opencv"), help="only files of this runtime")
        protocol.add_argument("--precision", metavar="P", help="only files of this precision")
        protocol.add_argument(
            "--size",
            action="append",
            type=input_size,
            metavar="WxH",
            help="only this detector size, or `original` (repeatable)",
        )
        protocol.add_argument("--detector", metavar="NAME", help="who finds the faces for `attributes` (the default's)")
        protocol.add_argument("--limit", type=count, metavar="N", help="first N pictures only; nothing is written")
        protocol.add_argument("--data", metavar="DIR", help="folder of the labelled data")
        protocol.add_argument("--bundle", metavar="DIR", default=str(BUNDLE), help="bundle (%(default)s)")
        protocol.set_defaults(run=command)
