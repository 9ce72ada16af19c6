"""``edgeface audit``: proves from what arrives at the broker which visits are missing or came twice."""

from __future__ import annotations

import argparse
import json
import time

import msgspec

from edgeface.cli.common import add_config_options, add_log_option, columns, set_up_logging
from edgeface.cli.watch import add_broker_options, broker_settings, expect_connected
from edgeface.errors import UsageError, complain, escaped
from edgeface.publish.account import Account, RunAccount
from edgeface.publish.session import Arrival
from edgeface.publish.subscriber import Subscriber

KEEP_S = 3600
"""A broker keeps for so long what comes while the connection to it is lost."""
RANGES_SHOWN = 5


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of ``edgeface``."""
    parser = subparsers.add_parser(
        "audit",
        help="prove which visits are missing at the broker, or came twice",
        description="Subscribe to the configured broker, and account for every start and end of a visit by node, boot "
        "and number. Ends with Ctrl-C or after --for; exit code 1 when something is missing.",
    )
    add_config_options(parser)
    add_log_option(parser)
    add_broker_options(parser)
    parser.add_argument("--for", type=float, metavar="SECONDS", dest="for_s", help="end after so many seconds")
    parser.add_argument(
        "--whole", action="store_true", help="count each run from 0: the audit was there before the nodes were"
    )
    parser.add_argument("--json", action="store_true", help="print the account as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Listen, and print the account at the end.

    Raises
    ------
    BrokerError : no connection within ten seconds, or a broker that refuses us
    """
    if args.for_s is not None and not args.for_s > 0:
        raise UsageError(f"--for {args.for_s:g} is no time", fix="give seconds, more than 0")
    settings, password = broker_settings(args)
    set_up_logging(args)
    account = Account(whole=args.whole)

    def hear(arrival: Arrival) -> None:
        account.heard(arrival.topic, arrival.payload, redelivered=arrival.redelivered)

    subscriber = Subscriber(settings, password=password, heard=hear, keep_s=KEEP_S, connected=account.connected)
    subscriber.start()
    try:
        expect_connected(subscriber)
        until_s = time.monotonic() + args.for_s if args.for_s is not None else float("inf")
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(1.0, left_s))
    except KeyboardInterrupt:
        # It is how an audit without an end ends.
        pass
    finally:
        subscriber.stop()
    return _report(account, subscriber.forgotten, as_json=args.json)


def _report(account: Account, forgotten: int, *, as_json: bool) -> int:
    runs = account.runs()
    good = all(run.good for run in runs)
    if as_json:
        told = {
            "good": good,
            "runs": [{**msgspec.to_builtins(run), "good": run.good} for run in runs],
            "unnumbered": account.unnumbered,
            "unreadable": account.unreadable,
            "forgotten": forgotten,
        }
        print(json.dumps(told))
    else:
        for line in _lines(runs):
            print(escaped(line))
    if not runs:
        complain("no node was heard; check mqtt.prefix, and that one runs")
    if account.unnumbered:
        complain(f"{account.unnumbered} starts and ends have no number: update their nodes")
    if account.unreadable:
        complain(f"{account.unreadable} payloads are no messages of edgeface")
    if forgotten:
        complain(f"the broker forgot this audit {forgotten} times: what came meanwhile is not in the account")
    return 0 if good else 1


def _lines(runs: list[RunAccount]) -> list[str]:
    if not runs:
        return []
    head = ("node", "boot", "numbers", "missing", "repeated", "replayed", "lasting", "power", "")
    rows = [
        (
            run.node,
            run.boot,
            "-" if run.first is None else f"{run.first}-{run.last}",
            _missing(run),
            f"{run.repeated}" + (f" (at most {run.most_at_once} at once)" if run.repeated else ""),
            str(run.replayed),
            str(run.lasting),
            str(run.power),
            _remarks(run),
        )
        for run in runs
    ]
    lost = sum(run.missing_count for run in runs)
    heard = sum(run.heard for run in runs)
    return [*columns([head, *rows]), f"{heard} starts and ends in {len(runs)} runs, {lost} missing"]


def _missing(run: RunAccount) -> str:
    ranges = [str(low) if low == high else f"{low}-{high}" for low, high in run.missing]
    more = f" and {len(ranges) - RANGES_SHOWN} more ranges" if len(ranges) > RANGES_SHOWN else ""
    return f"{run.missing_count}" + (f": {', '.join(ranges[:RANGES_SHOWN])}{more}" if ranges else "")


def _remarks(run: RunAccount) -> str:
    remarks = []
    if run.redelivered:
        remarks.append(f"{run.redelivered} that the broker sent us again")
    if run.outstanding:
        remarks.append(f"{run.outstanding} yet to come")
    if run.unsure:
        remarks.append(f"{run.unsure} numbers lie in the seconds that a power cut costs")
    if run.differing:
        remarks.append(f"{run.differing} numbers mean two messages")
    return ", ".join(remarks)
