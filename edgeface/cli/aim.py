"""``edgeface aim``: what a camera sees, in words and numbers without a picture."""

from __future__ import annotations

import argparse
import json
import queue
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from edgeface.cli.common import add_bundle_option, add_config_options
from edgeface.cli.doctor import make_node
from edgeface.config import mqtt_password
from edgeface.errors import BrokerError, SourceError, UsageError

if TYPE_CHECKING:
    from edgeface.diagnosis.aim import Heard, Seen
    from edgeface.diagnosis.node import Node
    from edgeface.publish.supervisor import Supervisor

EVERY_S = 1.0
FIRST_WORD_S = 10.0
"""A running daemon's `health` is retained: it comes with the subscription."""
CLEAR = "\x1b[H\x1b[J"
"""The upper left corner, and nothing below it."""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "aim",
        help="say what the camera sees, in words and numbers, to aim it",
        description="Says once a second how many faces are seen, how high they are in pixels against what the networks "
        "need, and how light and blur are. Opens the camera itself; where a daemon has it, that one's messages are "
        "heard at the broker. No picture is shown or kept. Ends with Ctrl-C.",
    )
    parser.add_argument(
        "--camera", metavar="ID", help="one camera of the configuration; else the first, or all it hears of"
    )
    parser.add_argument("--once", action="store_true", help="say it once and end")
    parser.add_argument("--json", action="store_true", help="print JSON Lines")
    add_config_options(parser)
    add_bundle_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Say what is seen until interrupted.

    Raises
    ------
    EdgefaceError : neither camera nor daemon tells anything
    """
    node = make_node(args)
    cameras = node.config.cameras
    if args.camera is not None and args.camera not in cameras and node.running is None:
        raise UsageError(f"there is no camera {args.camera}", fix=f"choose one of: {', '.join(cameras)}")
    looks = _from_daemon(node, args.camera) if node.running else _from_camera(node, args.camera or next(iter(cameras)))
    for seen, needs in looks:
        _show(seen, needs, args)
        if args.once:
            break
    return 0


def _from_camera(node: Node, camera: str) -> Iterator[tuple[list[Seen], Mapping[str, int]]]:
    from edgeface.diagnosis.aim import look_here, needs_of

    needs = needs_of(node.opened, node.config)
    for seen in look_here(node.opened, node.config, camera, every_s=EVERY_S):
        yield [seen], needs


def _from_daemon(node: Node, camera: str | None) -> Iterator[tuple[list[Seen], Mapping[str, int]]]:
    from edgeface.diagnosis.aim import Heard, Seen
    from edgeface.publish.subscriber import Subscriber

    settings = node.config.mqtt
    own = msgspec.structs.replace(settings, prefix=f"{settings.prefix.rstrip('/')}/{node.id}")
    messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
    subscriber = Subscriber(
        own,
        password=mqtt_password(settings, node.environ),
        heard=lambda arrival: messages.put((arrival.topic, arrival.payload)),
    )
    heard, began_s = Heard(cameras=node.config.cameras), time.monotonic()
    subscriber.start()
    try:
        while True:
            _take(messages, heard, EVERY_S)
            seen = heard.seen(time.monotonic(), camera)
            if seen and subscriber.connection.state != "connected":
                why = f"the broker is lost: {subscriber.connection.last_error}"
                seen = [Seen(camera=one.camera, trouble=why) for one in seen]
            if seen:
                yield seen, heard.needs
            elif time.monotonic() - began_s > FIRST_WORD_S:
                _complain(node, subscriber.connection, camera)
    finally:
        subscriber.stop()


def _take(messages: queue.Queue[tuple[str, bytes]], heard: Heard, for_s: float) -> None:
    """Take in what arrives within a time."""
    until_s = time.monotonic() + for_s
    while (left_s := until_s - time.monotonic()) > 0:
        try:
            topic, payload = messages.get(timeout=left_s)
        except queue.Empty:
            return
        heard.take(topic, payload, time.monotonic())


def _complain(node: Node, connection: Supervisor, camera: str | None) -> None:
    if connection.state != "connected":
        why = connection.last_error
        raise BrokerError(
            f"a daemon has the camera ({node.running}), and the broker that it talks to is not reached: {why}",
            fix=f"{connection.hint or 'check [mqtt]'}, or stop the daemon",
        )
    raise SourceError(
        f"{node.id} says nothing of {'its cameras' if camera is None else f'camera {camera}'} at the broker",
        fix="check --camera, and that the broker lets you read below its topic",
    )


def _show(seen: list[Seen], needs: Mapping[str, int], args: argparse.Namespace) -> None:
    from edgeface.diagnosis.aim import sentences

    if args.json:
        for one in seen:
            print(json.dumps({**msgspec.to_builtins(one), "needs": dict(needs)}), flush=True)
        return
    lines = [line for one in seen for line in sentences(one, needs)]
    clear = CLEAR if sys.stdout.isatty() and not args.once else ""
    print(f"{clear}{chr(10).join(lines)}", flush=True)
