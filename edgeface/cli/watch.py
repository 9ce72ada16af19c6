"""``edgeface watch``: subscribe to the broker and print what happens, one line per event."""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys

from edgeface.cli.common import add_config_options, add_log_option, read_config, set_up_logging
from edgeface.config import Mqtt, mqtt_password
from edgeface.errors import BrokerError, UsageError, escaped, one_line
from edgeface.publish.sentences import sentence
from edgeface.publish.session import Arrival
from edgeface.publish.subscriber import Subscriber

FIRST_CONNECT_S = 10.0
BACKLOG = 10_000
"""Messages that wait for a slow terminal; the newest are dropped beyond, and told of."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``edgeface``."""
    parser = subparsers.add_parser(
        "watch",
        help="print the events on the broker as they arrive",
        description="Subscribe to the configured broker and print one line per event. Ends with Ctrl-C.",
    )
    add_config_options(parser)
    add_log_option(parser)
    add_broker_options(parser)
    parser.add_argument("--json", action="store_true", help="print topic and payload as JSON Lines")
    parser.add_argument("--all", action="store_true", help="print `faces` and `state` too, several lines a second")
    parser.set_defaults(run=run)


def add_broker_options(parser: argparse.ArgumentParser) -> None:
    """``--host``, ``--port`` and ``--prefix``."""
    parser.add_argument("--host", metavar="HOST", help="broker, instead of the configured one")
    parser.add_argument("--port", type=int, metavar="PORT", help="port of the broker")
    parser.add_argument("--prefix", metavar="TOPIC", help="first part of the topics")


def run(args: argparse.Namespace) -> int:
    """Print until interrupted.

    Raises
    ------
    BrokerError : no connection within ten seconds, or a broker that refuses us
    """
    settings, password = broker_settings(args)
    set_up_logging(args)
    messages: queue.Queue[tuple[str, bytes]] = queue.Queue(BACKLOG)
    missed = _Missed()

    def heard(arrival: Arrival) -> None:
        try:
            messages.put_nowait((arrival.topic, arrival.payload))
        except queue.Full:
            missed.count += 1

    subscriber = Subscriber(settings, password=password, heard=heard)
    subscriber.start()
    try:
        expect_connected(subscriber)
        while True:
            _show(messages, args, missed)
    finally:
        subscriber.stop()


def expect_connected(subscriber: Subscriber) -> None:
    """Wait for the connection; BrokerError when there is none within ten seconds."""
    if not subscriber.connection.wait_connected(FIRST_CONNECT_S):
        why = subscriber.connection.last_error or "no answer within ten seconds"
        raise BrokerError(
            f"broker {subscriber.connection.broker}: {why}",
            fix=subscriber.connection.hint or "check mqtt.host, mqtt.port and credentials, and that the broker runs",
        )


class _Missed:
    """Messages that a slow terminal has cost."""

    count = 0


def _show(messages: queue.Queue[tuple[str, bytes]], args: argparse.Namespace, missed: _Missed) -> None:
    try:
        # A wait without end would not be interrupted by Ctrl-C on every platform.
        topic, payload = messages.get(timeout=1.0)
    except queue.Empty:
        return
    line = escaped(_json_line(topic, payload)) if args.json else _line(topic, payload, everything=args.all)
    if line is not None:
        print(line, flush=True)
    if missed.count and messages.empty():
        print(f"edgeface: {missed.count} messages came faster than they could be printed", file=sys.stderr)
        missed.count = 0


def _line(topic: str, payload: bytes, *, everything: bool) -> str | None:
    if topic.endswith(("/faces", "/state")) and not everything:
        return None
    line = sentence(topic, payload)
    return None if line is None else one_line(line)


def _json_line(topic: str, payload: bytes) -> str:
    text = payload.decode(errors="replace")
    try:
        # What JSON has no word for (NaN, 1e999) is not JSON.
        return json.dumps({"topic": topic, "payload": json.loads(text)}, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return json.dumps({"topic": topic, "payload": text}, ensure_ascii=False)


def broker_settings(args: argparse.Namespace) -> tuple[Mqtt, str | None]:
    """The section ``[mqtt]`` and the password, with what `add_broker_options` gave."""
    if args.port is not None and not 1 <= args.port <= 65_535:
        raise UsageError(f"--port {args.port} is no port", fix="give a number from 1 to 65535")
    keys = {"mqtt.host": args.host, "mqtt.port": args.port, "mqtt.prefix": args.prefix}
    config = read_config(args, {key: value for key, value in keys.items() if value is not None})
    return config.mqtt, mqtt_password(config.mqtt, os.environ)
