"""Visits through outages of a real Mosquitto and kills of the daemon, then the account: nothing may be missing.

The daemon is the real one over invented visits (`tests/invented.py`), and its clock jumps by a year and back all the
time. It speaks TLS through a proxy; the audit speaks to the broker itself, with a session that the broker keeps. An
outage is one of: the connection cut, the proxy refusing, or slow and uneven; a quarter of the packets lost, where nft
may be used; Mosquitto frozen, restarted, killed, with a certificate that has ended; a second client with the node's
id. A kill is SIGKILL at a random moment. Where a file system may be mounted, the disk is full once, until more waits
than the spool has kept room for, with a kill while it delivers that; and once read-only from a start on: the node says
so and goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

from brokers import Mosquitto, Proxy, eventually

from edgeface.cli.common import Parser
from edgeface.config import Mqtt
from edgeface.publish.account import MOST_REPEATS, Account
from edgeface.publish.session import Arrival
from edgeface.publish.subscriber import Subscriber
from edgeface.publish.timing import Timing
from slow.chaos_place import Certificates, Disk, Loss, Node, rival

LOSSY = "lossy"
OUTAGES = ("cut", "refusing", "slow", LOSSY, "frozen", "restarted", "killed", "expired", "rival")
DISKS = ("full", "read-only")
LASTS = ("autosave_on_changes true", "autosave_interval 1")
"""Mosquitto writes down at each change what it keeps for the audit, so that a kill of it costs nothing there."""
SLOW_S = 0.25
"""The most that a piece takes on a slow line."""
DISK_BACK_S = 90.0
"""A disk that could not be written is tried again each minute."""


EXPIRED = "certificate has expired"
IN_MEMORY = "cannot be written ("
IN_MEMORY_S = 10.0
"""How long visits go on to come where the disk has no room for them."""
MET_S = 70.0
"""The longest pause before a node tries again."""
SAID = {
    "a connection lost": "lost: ",
    "an ended certificate": EXPIRED,
    "a spool in memory": IN_MEMORY,
}
"""What a node says of it, in its words."""


@dataclass(slots=True)
class Heard:
    """What the audit hears: the account, and what the node says of its spool."""

    account: Account = field(default_factory=lambda: Account(whole=True))
    spool: dict[str, Any] = field(default_factory=dict)

    def take(self, arrival: Arrival) -> None:
        """A message, in the thread of the audit."""
        self.account.heard(arrival.topic, arrival.payload, redelivered=arrival.redelivered)
        if arrival.topic.endswith("/health") and arrival.payload:
            self.spool = json.loads(arrival.payload)["spool"]

    def expect_spool(self, state: str, timeout_s: float) -> None:
        """Wait until the node says that of its spool."""
        eventually(lambda: self.spool.get("state") == state, f"a spool in state {state}", timeout_s)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that takes part."""

    node: Node
    broker: Mosquitto
    proxy: Proxy
    loss: Loss
    certificates: Certificates
    disk: Disk
    heard: Heard


def outage(kind: str, scene: Scene, lasts_s: float, chance: random.Random) -> None:
    """Let something be wrong for a while."""
    broker, proxy = scene.broker, scene.proxy
    if kind == "cut":
        proxy.cut()
    elif kind == "refusing":
        proxy.closing = 1_000_000
        proxy.cut()
        time.sleep(lasts_s)
        proxy.closing = 0
    elif kind == "slow":
        proxy.delay_s = lambda: chance.uniform(0, SLOW_S)
        time.sleep(lasts_s)
        proxy.delay_s = lambda: 0.0
    elif kind == LOSSY:
        scene.loss.begin()
        time.sleep(lasts_s)
        scene.loss.end()
    elif kind == "frozen":
        broker.signal(SIGSTOP)
        time.sleep(lasts_s)
        broker.signal(SIGCONT)
    elif kind == "rival":
        rival(broker.port, scene.certificates.ca, lasts_s)
    elif kind == "expired":
        broker.stop()
        scene.certificates.put(ended=True)
        broker.start()
        before = scene.node.log().count(EXPIRED)
        eventually(lambda: scene.node.log().count(EXPIRED) > before, "a refusal of an ended certificate", MET_S)
        broker.stop()
        scene.certificates.put(ended=False)
        broker.start()
    else:
        (broker.stop if kind == "restarted" else broker.kill)()
        time.sleep(lasts_s)
        broker.start()


def disk_trouble(kind: str, scene: Scene) -> None:
    """Let the disk be full or read-only until the node has said so, and then wait until it is written again."""
    node, disk = scene.node, scene.disk
    if kind == "full":
        # What the spool keeps for itself lasts while the broker takes everything, so the line is down as well.
        before = node.log().count(IN_MEMORY)
        disk.fill()
        scene.proxy.closing = 1_000_000
        scene.proxy.cut()
        eventually(lambda: node.log().count(IN_MEMORY) > before, "a spool that has no room", 120)
        time.sleep(IN_MEMORY_S)
        heard = visits(scene.heard.account)
        scene.proxy.closing = 0
        # Delivered out of a full file, and killed: what the broker has must not come again.
        eventually(lambda: visits(scene.heard.account) > heard, "what waited", MET_S)
        node.kill()
        disk.empty()
        scene.heard.spool = {}
    else:
        # Whoever has a file open for writing keeps a file system writable: so it is after a start.
        node.end()
        disk.writable(False)
        node.start()
        scene.heard.expect_spool("memory", 30)
        disk.writable(True)
    scene.heard.expect_spool("disk", DISK_BACK_S)


def main() -> int:
    """Run it; 1 when something is missing, or comes again more often than it may."""
    parser = Parser(prog="scripts/slow chaos", description=__doc__)
    parser.add_argument("--visits", type=int, default=10_000)
    parser.add_argument("--outages", type=int, default=50)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rate", type=float, default=20.0, help="visits a second")
    parser.add_argument("--most-s", type=float, default=1100.0, help="give up after so many seconds")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="edgeface-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        certificates = Certificates(folder)
        broker = Mosquitto(folder, lines=[*LASTS, *certificates.lines]).start()
        proxy = Proxy(broker.port)
        loss = Loss(proxy.port)
        disk = Disk(folder / "state")
        outages = [kind for kind in OUTAGES if kind != LOSSY or loss.possible]
        if not loss.possible:
            print("nft may not be used here: no packet is lost", file=sys.stderr)
        events = ["kill"] * args.kills + [outages[number % len(outages)] for number in range(args.outages)]
        if disk.mounted:
            events += DISKS
        else:
            print("no file system may be mounted here: the disk is neither full nor read-only", file=sys.stderr)
        chance.shuffle(events)
        heard = Heard()
        settings = Mqtt(host="127.0.0.1", port=broker.port, keep_alive=5, ca_file=str(certificates.ca))
        audit = Subscriber(
            settings,
            password=None,
            heard=heard.take,
            keep_s=3600,
            connected=heard.account.connected,
            timing=Timing(refused_s=1.0),
        )
        audit.start()
        assert audit.connection.wait_connected(10)
        time.sleep(0.5)
        began_s = time.monotonic()
        node = Node(folder, proxy.port, args.rate, certificates.ca)
        try:
            happen(events, Scene(node, broker, proxy, loss, certificates, disk, heard), args, chance)
            node_took_s = settle(node, heard.account, args, began_s)
        finally:
            loss.end()
            broker.stop()
            proxy.close()
            audit.stop()
            disk.close()
        took_s = time.monotonic() - began_s
        return verdict(heard.account, audit, node, events, took_s, node_took_s)


def happen(events: list[str], scene: Scene, args: argparse.Namespace, chance: random.Random) -> None:
    """Let everything happen, spread over the visits."""
    began_s = time.monotonic()
    for number, event in enumerate(events):
        due = (number + 1) * args.visits / (len(events) + 1)
        while visits(scene.heard.account) < due and time.monotonic() - began_s < args.most_s:
            scene.node.expect_alive()
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 0.5))
        if event == "kill":
            scene.node.kill()
        elif event in DISKS:
            disk_trouble(event, scene)
        else:
            outage(event, scene, chance.uniform(0.2, 3.0), chance)


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
        "outages": dict(Counter(event for event in events if event in OUTAGES)),
        "disk": [event for event in events if event in DISKS],
        "kills": node.kills,
        "runs": len(runs),
        "missing": sum(run.missing_count for run in runs),
        "lasting": sum(run.lasting for run in runs),
        "ended by power": sum(run.power for run in runs),
        "sent to the audit again by the broker": sum(run.redelivered for run in runs),
        "repeated": sum(run.repeated for run in runs),
        "repeated at most at once": max(run.most_at_once for run in runs),
        "replayed": sum(run.replayed for run in runs),
        "meaning two messages": sum(run.differing for run in runs),
        "the broker forgot the audit": audit.forgotten,
        "said": {what: node.log().count(words) for what, words in SAID.items()},
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
