"""Visits through outages of a real Mosquitto and kills of the daemon, then the account: nothing may be missing.

The daemon is the real one over invented visits (`tests/invented.py`). It speaks through a proxy; the audit speaks to
the broker itself, with a session that the broker keeps. An outage is one of: the connection cut, the proxy refusing,
Mosquitto frozen, restarted, killed. A kill is SIGKILL at a random moment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

from brokers import Mosquitto, Proxy, eventually

from edgeface.config import Mqtt
from edgeface.publish.account import MOST_REPEATS, Account
from edgeface.publish.subscriber import Subscriber

ROOT = Path(__file__).parents[1]
OUTAGES = ("cut", "refusing", "frozen", "restarted", "killed")
LASTS = ("autosave_interval 1",)
"""Mosquitto writes down each second what it keeps for the audit, so that a kill of it costs no subscription."""


class Node:
    """The daemon as a child, started again after each kill."""

    def __init__(self, folder: Path, port: int, rate: float) -> None:
        self.kills = 0
        self._log = folder / "node.log"
        self._command = [sys.executable, str(ROOT / "tests" / "invented.py"), "--port", str(port), "--rate", str(rate)]
        self._environ = {
            **os.environ,
            "STATE_DIRECTORY": str(folder / "state"),
            "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}",
        }
        self.start()

    def kill(self) -> None:
        """SIGKILL, and start anew."""
        self._process.send_signal(SIGKILL)
        self._process.wait()
        self.kills += 1
        self.start()

    def expect_alive(self) -> None:
        """A daemon does not end by itself."""
        assert self._process.poll() is None, f"the daemon ended: {self.log()[-2000:]}"

    def stop(self) -> float:
        """Ask it to stop; seconds that it took."""
        began_s = time.monotonic()
        self._process.send_signal(SIGTERM)
        code = self._process.wait(30)
        # One that was still importing had nothing to deliver yet.
        assert code in (0, -SIGTERM), f"the daemon ended with {code}: {self.log()}"
        return time.monotonic() - began_s

    def log(self) -> str:
        """What all its runs said."""
        return self._log.read_text(errors="replace")

    def start(self, *words: str) -> None:
        """Start it, once more."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*self._command, *words], env=self._environ, stderr=log, stdin=subprocess.DEVNULL
            )


def outage(kind: str, broker: Mosquitto, proxy: Proxy, lasts_s: float) -> None:
    """Let the broker be away for a while."""
    if kind == "cut":
        proxy.cut()
    elif kind == "refusing":
        proxy.closing = 1_000_000
        proxy.cut()
        time.sleep(lasts_s)
        proxy.closing = 0
    elif kind == "frozen":
        broker.signal(SIGSTOP)
        time.sleep(lasts_s)
        broker.signal(SIGCONT)
    else:
        (broker.stop if kind == "restarted" else broker.kill)()
        time.sleep(lasts_s)
        broker.start()


def main() -> int:
    """Run it; 1 when something is missing, or comes again more often than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=10_000)
    parser.add_argument("--outages", type=int, default=50)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rate", type=float, default=20.0, help="visits a second")
    parser.add_argument("--most-s", type=float, default=1100.0, help="give up after so many seconds")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    chance = random.Random(args.seed)
    events = ["kill"] * args.kills + [OUTAGES[number % len(OUTAGES)] for number in range(args.outages)]
    chance.shuffle(events)
    with tempfile.TemporaryDirectory(prefix="edgeface-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        broker = Mosquitto(folder, lines=LASTS).start()
        proxy = Proxy(broker.port)
        account = Account(whole=True)
        audit = Subscriber(
            Mqtt(host="127.0.0.1", port=broker.port, keep_alive=5), password=None, heard=account.heard, keep_s=3600
        )
        audit.start()
        assert audit.connection.wait_connected(10)
        time.sleep(0.5)
        began_s = time.monotonic()
        node = Node(folder, proxy.port, args.rate)
        try:
            happen(events, node, broker, proxy, account, args, chance)
            node_took_s = settle(node, account, args, began_s)
        finally:
            broker.stop()
            proxy.close()
            audit.stop()
        took_s = time.monotonic() - began_s
        return verdict(account, audit, node, events, took_s, node_took_s)


def happen(
    events: list[str],
    node: Node,
    broker: Mosquitto,
    proxy: Proxy,
    account: Account,
    args: argparse.Namespace,
    chance: random.Random,
) -> None:
    """Let everything happen, spread over the visits."""
    began_s = time.monotonic()
    for number, event in enumerate(events):
        due = (number + 1) * args.visits / (len(events) + 1)
        while visits(account) < due and time.monotonic() - began_s < args.most_s:
            node.expect_alive()
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 0.5))
        if event == "kill":
            node.kill()
        else:
            outage(event, broker, proxy, chance.uniform(0.2, 3.0))


def settle(node: Node, account: Account, args: argparse.Namespace, began_s: float) -> float:
    """Wait for the rest of the visits, and for what still waits; seconds that the stop took."""
    left_s = max(10.0, args.most_s - (time.monotonic() - began_s))
    eventually(lambda: visits(account) >= args.visits, f"{args.visits} visits; {visits(account)} came", left_s)
    took_s = node.stop()
    with contextlib.suppress(AssertionError):
        eventually(lambda: complete(account), "the last messages", 3)
        return took_s
    # What five seconds did not suffice for, the next start delivers; nobody comes any more.
    node.start("--most", "0")
    with contextlib.suppress(AssertionError):
        eventually(lambda: complete(account), "the rest", max(60.0, args.most_s - (time.monotonic() - began_s)))
    node.stop()
    return took_s


def complete(account: Account) -> bool:
    """Whether everything has come."""
    runs = account.runs()
    return all(run.good and not run.lasting and not run.outstanding for run in runs)


def visits(account: Account) -> int:
    """How many have begun, as far as the audit has heard."""
    return sum(run.heard for run in account.runs()) // 2


def verdict(account: Account, audit: Subscriber, node: Node, events: list[str], took_s: float, stop_s: float) -> int:
    """Print what came of it."""
    runs = account.runs()
    told = {
        "visits": visits(account),
        "outages": len(events) - node.kills,
        "kills": node.kills,
        "runs": len(runs),
        "missing": sum(run.missing_count for run in runs),
        "lasting": sum(run.lasting for run in runs),
        "ended by power": sum(run.power for run in runs),
        "repeated": sum(run.repeated for run in runs),
        "repeated at most at once": max(run.most_at_once for run in runs),
        "replayed": sum(run.replayed for run in runs),
        "meaning two messages": sum(run.differing for run in runs),
        "the broker forgot the audit": audit.forgotten,
        "seconds": round(took_s, 1),
        "stop took": round(stop_s, 2),
    }
    print(json.dumps(told))
    # How long the stop took is told and not judged: a busy machine may be slow at it.
    good = complete(account)
    if not good:
        print(f"BAD: nothing may be missing or lasting, no more than {MOST_REPEATS} repeated at once", file=sys.stderr)
        print(node.log()[-3000:], file=sys.stderr)
        for run in runs:
            print(run, file=sys.stderr)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
