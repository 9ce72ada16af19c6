"""What networks lose by crops that are a little off, small faces and blur; how small a face may be."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from converters.evaluation.crops import changes, crop_losses
from converters.evaluation.report import progress
from converters.evaluation.whole_bundle import (
    add_bundle_arguments,
    command_of_run,
    found_sets,
    open_run,
    write_report,
)
from converters.formats.markdown import table
from converters.measurements.chosen import allowed, choosing
from converters.measurements.crops import LIMITS_TEXT, CropLoss, change_text, loss_text, record, smallest_face_px


class Crops(msgspec.Struct, frozen=True, kw_only=True):
    """Every loss, and by network the smallest face at which it stays within the limits."""

    command: str
    bundle: str
    smallest_face_px: dict[str, int | None]
    losses: tuple[CropLoss, ...]


def add(protocols: argparse._SubParsersAction[Any]) -> None:
    """Add ``crops``."""
    parser = protocols.add_parser(
        "crops",
        help="what crops a little off, small faces and blur cost; how small a face may be",
        description="Measures what every attribute network of a bundle loses where the five points are scaled by 10 %"
        " and shifted by 10 % of the distance between the eyes, where faces are 16 to 128 pixels high, and where they"
        " are blurred, on the faces found in both, with paired intervals. From it follows the smallest face within the"
        f" limits ({LIMITS_TEXT}), which `manifest` takes.",
        epilog="Example: python -m converters evaluate crops --set fairface --network age-gender-compact --limit 500",
    )
    add_bundle_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write."""
    this = open_run(args.bundle, args, networks=args.network)
    losses: list[CropLoss] = []
    for found in found_sets(this, args):
        wanted = progress(list(changes()), f"{found.faces.title}, changes", unit="change")
        losses += crop_losses(found.stills, found.able, found.faces.title, wanted)
    names = list(dict.fromkeys(loss.network for loss in losses))
    own = {name: [loss for loss in losses if loss.network == name] for name in names}
    report = Crops(
        command=command_of_run("crops", this.bundle, args),
        bundle=f"{this.bundle.manifest.name} {this.bundle.manifest.version}",
        smallest_face_px={name: smallest_face_px(choosing(mine, allowed(name))) for name, mine in own.items()},
        losses=tuple(losses),
    )
    print("\n\n".join(text(report)))
    write_report("crops", this.bundle, args, report, lambda: record(losses))
    return 0


def text(report: Crops) -> Iterator[str]:
    """A table for each network, and what smallest face follows from it."""
    for name, smallest in report.smallest_face_px.items():
        own = [loss for loss in report.losses if loss.network == name]
        yield f"{name}: smallest face within the limits {smallest or 'none'}{' pixels' if smallest else ''}"
        yield table(("set", "", "change", "lost", "faces", "found"), list(_rows(own)))


def _rows(losses: Sequence[CropLoss]) -> Iterator[tuple[str, ...]]:
    for loss in losses:
        yield loss.set, loss.task, change_text(loss), loss_text(loss), str(loss.count), f"{100 * loss.found:.1f} %"
