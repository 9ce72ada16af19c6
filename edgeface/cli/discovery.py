"""``edgeface discovery``: what Home Assistant is told of this node, printed or taken back."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from edgeface.cli.common import add_bundle_option, add_config_options, add_random_option, read_bundle, read_config
from edgeface.config import mqtt_password
from edgeface.errors import BrokerError, UsageError

if TYPE_CHECKING:
    from edgeface.config import Config
    from edgeface.publish.discovery import Announcement

CONNECT_S, REMOVE_S = 10.0, 20.0


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("discovery", help="print or take back what Home Assistant is told of this node")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser(
        "print",
        help="print the messages",
        description="Prints topic and message of this node and of each camera that `run` would announce.",
    )
    show.add_argument("--json", action="store_true", help="topic and payload as JSON Lines")
    add_config_options(show)
    add_bundle_option(show)
    add_random_option(show)
    show.set_defaults(run=print_all)
    remove_action = actions.add_parser(
        "remove",
        help="take node and cameras back from Home Assistant",
        description="Empties every message by which a node and its cameras, configured or not, were announced at the "
        "broker: Home Assistant forgets devices and entities. A running node announces itself again.",
    )
    remove_action.add_argument("--node", metavar="ID", help="another node than this one")
    add_config_options(remove_action)
    remove_action.set_defaults(run=remove)


def print_all(args: argparse.Namespace) -> int:
    """Print what is announced."""
    config = read_config(args)
    told = _announcement(args, config)
    if told is None:
        print(f"edgeface: nothing is announced: {_why_nothing(config)}", file=sys.stderr)
        return 0
    for topic, payload in told.messages.items():
        message = json.loads(payload)
        if args.json:
            print(json.dumps({"topic": topic, "payload": message}, ensure_ascii=False))
        else:
            print(f"{topic}\n{json.dumps(message, ensure_ascii=False, indent=2)}")
    return 0


def remove(args: argparse.Namespace) -> int:
    """Take everything back.

    Raises
    ------
    BrokerError : no connection, or a broker that refuses it
    UsageError : no id of a node
    """
    from edgeface.machine import node_id
    from edgeface.publish.discovery import config_topic
    from edgeface.publish.entities import device_id
    from edgeface.publish.removing import Remover

    config = read_config(args)
    if args.node is not None and not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", args.node):
        raise UsageError(f"--node {args.node} is no id of a node", fix="give 1 to 64 letters, digits, - and _")
    node = args.node or node_id(config)
    prefix = config.home_assistant.prefix.rstrip("/")
    ours = [None, *config.cameras] if args.node is None else [None]
    remover = Remover(
        config.mqtt,
        password=mqtt_password(config.mqtt, os.environ),
        prefix=prefix,
        node=node,
        known=[config_topic(prefix, device_id(node, camera)) for camera in ours],
    )
    if not remover.run(connect_s=CONNECT_S, timeout_s=REMOVE_S):
        raise remover.connection.error()
    if remover.refused:
        raise BrokerError(
            f"broker {remover.connection.broker} refused {', '.join(remover.refused)}",
            fix=f"use an account that may write {config_topic(prefix, '+')}",
        )
    for topic in remover.removed:
        if topic in remover.found:
            print(topic)
    if not remover.found:
        print(
            f"edgeface: broker {remover.connection.broker} kept nothing of node {node}, or lets us read none of it; "
            f"emptied all the same: {', '.join(remover.removed)}",
            file=sys.stderr,
        )
    return 0


def _announcement(args: argparse.Namespace, config: Config) -> Announcement | None:
    from edgeface.machine import node_id
    from edgeface.service.assembly import announce

    return announce(config, read_bundle(args, config), node=node_id(config))


def _why_nothing(config: Config) -> str:
    if config.home_assistant.discovery == "off":
        return 'home_assistant.discovery is "off"'
    return 'no camera is live; files are announced with home_assistant.discovery = "on"'
