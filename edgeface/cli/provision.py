"""``edgeface provision``: what many nodes and their broker need, from one table."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgeface.errors import UsageError, complain


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "provision",
        help="write what many nodes and their broker need, from one table",
        description="Reads a table of nodes and writes a folder: for each node its configuration, secrets and network, "
        "as its card takes them; for Mosquitto the access list, passwords and certificates. A further run changes only "
        "what the table changes, and remembers --broker, --broker-folder and --base. Columns: docs/provisioning.md.",
    )
    parser.add_argument("table", metavar="CSV", help="a row for each node; the first row has the columns' names")
    parser.add_argument("--out", metavar="DIR", default="fleet", help="folder to write (%(default)s)")
    parser.add_argument("--broker", metavar="HOST", help="the broker as nodes reach it; needed the first time")
    parser.add_argument("--base", metavar="TOML", help="configuration that all nodes share")
    parser.add_argument(
        "--broker-folder",
        metavar="DIR",
        help="where the broker will find its files (at first: /etc/mosquitto/edgeface)",
    )
    parser.add_argument(
        "--rotate",
        metavar="NAME",
        action="append",
        default=[],
        help="new secrets for a node; the ones before hold no longer (may be repeated)",
    )
    parser.add_argument(
        "--revoke", metavar="NAME", action="append", default=[], help="let a node do nothing any more (may be repeated)"
    )
    parser.add_argument(
        "--renew", metavar="DAYS", type=_days, help="make certificates anew that end within so many days"
    )
    parser.set_defaults(run=provision)


def provision(args: argparse.Namespace) -> int:
    """Write the folder, and say what changed."""
    from edgeface.provisioning import Orders
    from edgeface.provisioning import provision as write

    if args.broker is not None and not re.fullmatch(r"[A-Za-z0-9.-]{1,253}|[0-9a-fA-F:.]{2,45}", args.broker):
        raise UsageError(f"--broker {args.broker} is no name or address", fix="give it without port and brackets")
    out = Path(args.out)
    report = write(
        Path(args.table),
        out,
        Orders(
            broker=args.broker,
            base=Path(args.base) if args.base else None,
            broker_folder=args.broker_folder.rstrip("/") if args.broker_folder else None,
            rotate=tuple(args.rotate),
            revoke=tuple(args.revoke),
            renew_days=args.renew,
        ),
        now=datetime.now(timezone.utc),
    )
    done = False
    for word in ("added", "changed", "rotated", "renewed", "revoked"):
        names = getattr(report, word)
        done = done or bool(names)
        if names:
            print(f"{word}: {_some(names)}")
    if report.restored:
        print(f"written again: {_some(report.restored)}")
    done = done or bool(report.restored)
    print(f"{out}: {'nodes/ for the nodes, broker/ for the broker' if done else 'nothing has changed'}")
    for path in report.edited:
        complain(f"warning: {path} was changed by hand and stays; delete it to have it written from its row")
    if report.absent:
        complain(f"warning: in no row, and as they were: {_some(report.absent)}; --revoke takes a node's rights")
    if report.bare:
        complain(f"warning: secrets are not in {out} any more: {_some(report.bare)}; --rotate makes new ones")
    return 0


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 9999:
        raise argparse.ArgumentTypeError(f"{text} is no number of days")
    return int(text)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 10 else f"{', '.join(names[:10])} ... ({len(names)} in all)"
