"""``edgeface privacy``: what happens to the people before the cameras, in plain words."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from edgeface.cli.common import add_bundle_option, add_config_options, add_random_option, read_bundle, read_config

HEADINGS = {
    "seen": "What is estimated",
    "purpose": "What for",
    "responsible": "Who answers for it",
    "looked_at": "When, and which part of the picture",
    "told": "What is told",
    "sent": "Where it is sent",
    "kept": "What is kept, and how long",
    "not_done": "What is not done",
}
WIDTH = 100


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "privacy",
        help="print the notice for the people before the cameras, from the configuration in force",
        description="Prints what is seen here, what for, what is told, where it is sent, what is kept and what is not "
        "done, as the configuration in force has it. The running program says the same on its topic `notice`. It is "
        "no legal advice.",
    )
    parser.add_argument("--json", action="store_true", help="print the message as it is sent, but for node and numbers")
    add_config_options(parser)
    add_bundle_option(parser)
    add_random_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the notice."""
    from datetime import datetime, timezone

    import msgspec

    from edgeface.events import NoticeMessage
    from edgeface.machine import node_id
    from edgeface.service.notice import notice

    config = read_config(args)
    node = node_id(config)
    message = notice(config, read_bundle(args, config), node=node, at=datetime.now(timezone.utc)).message
    assert isinstance(message, NoticeMessage)
    if args.json:
        print(msgspec.json.encode(msgspec.structs.replace(message, node=node)).decode())
        return 0
    for part in message.parts:
        print(f"{HEADINGS[part.about]}\n{textwrap.fill(part.text, WIDTH)}\n")
    print("Networks\n" + "\n".join(f"{one.task}: {one.name} ({one.licence})" for one in message.networks))
    return 0
