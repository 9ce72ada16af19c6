"""``edgeface tune``: measures which networks run best on this board, and keeps that."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeface.cli.common import (
    add_bundle_option,
    add_config_options,
    add_random_option,
    columns,
    read_bundle,
    read_config,
)
from edgeface.errors import EdgefaceError

if TYPE_CHECKING:
    from edgeface.tuning import Choice, Row

SHOWN = 6
"""Ways of a network in the table; --all shows the rest."""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "tune",
        help="measure which networks run best on this board, and use them from then on",
        description="Times every runtime, precision, rewriting, number of threads and batch size of the bundle's "
        "networks on this board, then whole pipelines, and holds each answer against the stored one. The choice is "
        "kept with what it hangs on (processor, memory, libraries, bundle) and is used by run, analyze and bench as "
        "long as that holds; keys of the configuration win over it. It takes under five minutes, and is surest on an "
        "idle, cool board.",
    )
    parser.add_argument(
        "--seconds", type=_seconds, metavar="S", help="most seconds to measure (10 to 3600; usual: 240)"
    )
    parser.add_argument("--refresh", action="store_true", help="only where there is no choice, or it no longer holds")
    parser.add_argument("--dry-run", action="store_true", help="measure and print, keep nothing")
    parser.add_argument("--all", action="store_true", help="every way in the table")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    add_config_options(parser)
    add_bundle_option(parser)
    add_random_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, *, root: Path = Path("/")) -> int:
    """Measure, print, keep; ``root``, where the machine's files begin, is for tests."""
    import msgspec

    from edgeface.machine import in_chroot
    from edgeface.proof import accelerate
    from edgeface.tuning import expect_place, place, tuned, write
    from edgeface.tuning.measuring import SECONDS, tune

    if in_chroot(root):
        raise EdgefaceError(
            "this is the root of an image, not the board that will run it", fix="run it there; its first start does so"
        )
    config = read_config(args)
    bundle = read_bundle(args, config)
    path = place(os.environ, root)
    found = accelerate(bundle, config, os.environ)
    standing = tuned(bundle, config, path, on_processor=not found.provider.execution)
    if standing.standing == "unused":
        print(f"edgeface: the networks run on {found.provider.name}: there is nothing to choose", file=sys.stderr)
        return 0
    if args.refresh and standing.standing in ("fresh", "off"):
        print(f"edgeface: {standing.text}", file=sys.stderr)
        return 0
    if not args.dry_run:
        expect_place(path)
    choice = tune(bundle, config, seconds=args.seconds or SECONDS, say=_say, root=root)
    if not args.dry_run:
        write(choice, path)
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(choice), indent=2).decode())
    else:
        print(*_table(choice, everything=args.all), sep="\n")
        print(f"kept in {path}; a daemon takes it within seconds" if not args.dry_run else "not kept: --dry-run")
    return 0


def _say(line: str) -> None:
    print(f"edgeface: {line}", file=sys.stderr, flush=True)


def _table(choice: Choice, *, everything: bool) -> Iterator[str]:
    """What was timed and what was chosen, for a maker."""
    for name, picked in choice.networks.items():
        rows = [row for row in choice.rows if row.network == name]
        timed = [row for row in rows if row.ms is not None]
        alone, several = ([row for row in timed if (row.batch > 1) == more] for more in (False, True))
        shown = alone if everything else alone[:SHOWN]
        cells = [(row.what, _ms(row), "" if row.note else str(row.rounds), row.note) for row in shown]
        yield f"{name}: milliseconds a call, the best of its rounds"
        yield from _indented([("how", "ms", "rounds", ""), *cells])
        if len(alone) > len(shown):
            yield f"  and {len(alone) - len(shown)} slower ways (--all)"
        if several:
            yield "  milliseconds a face, several in one call"
            yield from _indented([(f"{row.batch} faces, {row.what}", _ms(row), str(row.rounds), "") for row in several])
        yield from (f"  left out: {row.what}: {row.note}" for row in rows if row.ms is None and row.note != "not timed")
        rewriting = f", rewritten: {picked.optimization}" if picked.runtime == "onnx" else ""
        yield (
            f"  taken: {picked.runtime} {picked.precision}{rewriting}, {picked.threads} thread"
            f"{'s' if picked.threads > 1 else ''}, up to {picked.batch} in one call"
        )
        yield ""
    yield "whole pipeline, four people before a camera of 1280x720: milliseconds a frame"
    chains = [row for row in choice.rows if not row.network]
    yield from _indented([("chain", "ms", "processor ms", ""), *((r.what, _ms(r), _cpu(r), r.note) for r in chains)])
    if choice.chosen_ms < choice.usual_ms:
        gain = choice.usual_ms / choice.chosen_ms
        yield f"A frame takes {choice.chosen_ms:.1f} ms in place of {choice.usual_ms:.1f}: {gain:.2f} times as fast."
    elif sum(row.ms is not None for row in chains) > 1:
        yield f"The bundle's order is the best here: {choice.usual_ms:.1f} ms a frame."
    else:
        yield (
            f"The bundle's order takes {choice.usual_ms:.1f} ms a frame; there was no time for another chain, so it "
            "stays: give it more (--seconds)."
        )
    yield from (f"Note: {note}." for note in choice.notes)
    yield f"Measured in {choice.seconds:.0f} s on {choice.made}."


def _indented(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    return (f"  {line}" for line in columns(rows))


def _ms(row: Row) -> str:
    return "" if row.ms is None else f"{row.ms:.2f}"


def _cpu(row: Row) -> str:
    return "" if row.cpu_ms is None else f"{row.cpu_ms:.2f}"


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 10 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 10 and 3600")
    return value
