"""``edgeface doctor``: what is wrong with this node, and what to do."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

import msgspec

from edgeface import __version__
from edgeface.cli.common import add_bundle_option, add_config_options, config_path, read_config
from edgeface.errors import EdgefaceError

if TYPE_CHECKING:
    from edgeface.diagnosis.node import Node

MARKS = {"good": "ok  ", "skipped": "-   ", "warning": "look", "bad": "BAD "}


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="look for what is wrong with this node, each with its fix",
        description="Looks at configuration, libraries, bundle, cameras, power, clock, memory, disk, broker, rights, "
        "certificates, the service and the running daemon, and says for each what to do. Exit code 1 where something "
        "is bad. Beside a running daemon no camera is opened, and the broker is asked by a client id of its own.",
    )
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    add_config_options(parser)
    add_bundle_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was found; exit code 1 where something is bad."""
    from edgeface.diagnosis.checks import examine

    node = make_node(args)
    found = []
    for finding in examine(node):
        found.append(finding)
        if not args.json:
            print(f"{MARKS[finding.state]} {finding.check}: {finding.line}", flush=True)
    count = {state: sum(finding.state == state for finding in found) for state in MARKS}
    if args.json:
        head = {"version": __version__, "node": node.id, "running": node.running, **count}
        print(json.dumps({**head, "findings": msgspec.to_builtins(found)}, indent=2))
    else:
        words = {"bad": "bad", "warning": "to be looked at", "good": "good", "skipped": "not asked"}
        print(", ".join(f"{count[state]} {word}" for state, word in words.items()))
    return 1 if count["bad"] else 0


def make_node(args: argparse.Namespace) -> Node:
    """The node of a command line; a configuration that does not hold is a finding, no end."""
    from edgeface.diagnosis.node import Node

    try:
        config = read_config(args)
        path = config_path(args)
    except EdgefaceError as error:
        return Node(error, path=None, environ=os.environ, bundle=args.bundle)
    return Node(config, path=path, environ=os.environ, bundle=args.bundle)
