"""``edgeface bench``: how fast it is on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeface.cli.common import (
    add_bundle_option,
    add_config_options,
    add_random_option,
    columns,
    read_bundle,
    read_config,
    tuned_config,
)
from edgeface.errors import UsageError
from edgeface.files import look

if TYPE_CHECKING:
    from edgeface.offline.bench import Report


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "bench",
        help="measure frames a second and where the time goes",
        description="Runs the daemon's own pipeline over a file, or over a moving picture made of the bundle's stored "
        "inputs, and prints milliseconds per stage, frames a second, memory, and the share outside decoding and "
        "inference.",
    )
    parser.add_argument("path", nargs="?", metavar="PATH", help="video, picture or folder; default: synthetic")
    parser.add_argument("--size", metavar="WxH", help="input of the detector")
    parser.add_argument("--threads", type=int, metavar="N", help="threads per network")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    add_config_options(parser)
    add_bundle_option(parser)
    add_random_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, frames: int | None = None) -> int:
    """Measure and print; ``frames``, of the moving picture, is for tests."""
    import msgspec

    from edgeface.offline.bench import SYNTHETIC_FRAMES, measure
    from edgeface.proof import accelerate

    extra: dict[str, Any] = {}
    if args.size:
        extra["detector.size"] = args.size
    if args.threads is not None:
        extra["runtime.threads"] = args.threads
    config = read_config(args, extra)
    path = Path(args.path) if args.path else None
    if path is not None and look(path) is None:
        raise UsageError(f"{path} does not exist", fix="check the path")
    bundle = read_bundle(args, config)
    found = accelerate(bundle, config, os.environ)
    for reason in found.reasons:
        print(f"edgeface: {reason}", file=sys.stderr)
    if found.pending is not None:
        print(f"edgeface: {found.pending.name} has no engines here yet: the daemon builds them", file=sys.stderr)
    config = tuned_config(bundle, config, on_processor=not found.provider.execution)
    report = measure(bundle, config, path, frames=frames or SYNTHETIC_FRAMES, provider=found.provider)
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _print(report)
    return 0


def _print(report: Report) -> None:
    print(
        f"{report.source}: {report.frames} frames of {report.width}x{report.height}, {report.detector} at "
        f"{report.size}, {report.runtime} on {report.provider}, {report.machine['processor']}"
    )
    stages = [(name, f"{s.median_ms:.2f}", f"{s.p95_ms:.2f}") for name, s in report.stages.items()]
    print(*columns([("stage", "median ms", "p95 ms"), *stages]), sep="\n")
    memory = "unknown" if report.memory_mb is None else f"{report.memory_mb:.0f} MB"
    print(f"{report.fps:.1f} frames a second, {memory} resident at most")
    print(
        f"{report.outside_share:.0%} of the CPU time is neither decoding ({report.outside_by['decode']:.0%}) nor "
        f"inference ({report.outside_by['inference']:.0%}), measured with one thread each"
    )
