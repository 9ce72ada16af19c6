"""A thousand nodes at one Mosquitto: what they cost it, and how late a visit arrives.

``python -m benchmarks.nodes`` runs the real publisher, outbox and messages of each node over invented people: a visit
a minute of ten seconds with its updates, `faces` twice a second meanwhile, `state`, and `summary` and `health` each
minute. Nodes connect one after the other; when all are online it is measured for ``--seconds``. One subscriber hears
everything and keeps the account. The broker's CPU and memory are the kernel's (``/proc``). The latency is from the
making of a message to its arrival there, so a busy machine shows in it, and the nodes share its cores.
"""

from __future__ import annotations

import argparse
import heapq
import json
import multiprocessing
import os
import random
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from multiprocessing.synchronize import Event as Flag
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.events import broker_process
from benchmarks.spool import KNOWN
from edgeface.config import Mqtt
from edgeface.events import (
    Body,
    CameraHealth,
    CameraState,
    MachineHealth,
    SummaryWindow,
    Totals,
    VisitMessage,
    faces_body,
    health_body,
    kind_of_topic,
    moment,
    notice_body,
    visit_body,
)
from edgeface.publish.account import Account
from edgeface.publish.mqtt import Publisher
from edgeface.publish.outbox import Outbox
from edgeface.publish.session import Arrival
from edgeface.publish.subscriber import Subscriber
from edgeface.questions import Known
from edgeface.types import Event
from edgeface.visit import Visit, VisitChange

CAMERA, WIDTH, HEIGHT = "main", 1280, 720
LASTS_S, STEP_S, UPDATE_STEPS = 10.0, 0.5, 4
MINUTE_S = 60.0
BETWEEN_S = 0.004
"""Between two nodes that begin: a thousand are there within seconds, and not at once."""
DESCRIPTORS = 4
"""Of one node: a socket and a pair that wakes its thread, and one to spare."""
ONLINE_S = 120.0
SETTLE_S = 3.0
"""After the last node came online: what each tells at its start has passed."""
MACHINE = MachineHealth(
    board="Raspberry Pi 4 Model B Rev 1.4",
    serial="10000000abcdef01",
    temperature=52.6,
    temperatures={"cpu-thermal": 52.6},
    throttled=[],
    throttled_since_boot=[],
    cpu=0.412,
    load=0.55,
    memory_free_mb=3120.4,
    disk_free_mb=21044.0,
    clock_synchronised=True,
)


class SimulatedNode:
    """One node: its messages as a camera with a person a minute would make them."""

    def __init__(self, port: int, number: int) -> None:
        name = f"node-{number:04}"
        self.outbox = Outbox(node=name, boot=f"{number:08x}", capacity=2000)
        settings = Mqtt(host="127.0.0.1", port=port)
        self.publisher = Publisher(settings, node=name, outbox=self.outbox, password=None)
        self._chance = random.Random(number)
        self._state = CameraState(CAMERA)
        self._totals = Totals()
        self._window = SummaryWindow(CAMERA, start_s=time.monotonic())
        self._zero = datetime.now(timezone.utc) - timedelta(seconds=time.monotonic())

    def people(self) -> Iterator[float]:
        """Let people come and go; seconds to wait after each step."""
        self._tell([notice_body(networks=[], at=datetime.now(timezone.utc))])
        self._tell_state()
        yield self._chance.uniform(0, MINUTE_S - LASTS_S)
        while True:
            began_s = time.monotonic()
            visit = Visit(
                id=f"{self._chance.getrandbits(32):08x}",
                camera=CAMERA,
                track=1,
                started_s=began_s,
                seen_s=began_s,
                ended_s=None,
                box=np.array([500, 200, 590, 310], np.float32),
                score=0.9,
                known=Known(),
            )
            self._tell_visit("start", visit)
            for step in range(1, int(LASTS_S / STEP_S)):
                yield STEP_S
                now_s = time.monotonic()
                visit = msgspec.structs.replace(visit, seen_s=now_s, known=KNOWN)
                self._tell([faces_body(CAMERA, WIDTH, HEIGHT, [visit], at=self._at(now_s))])
                if step % UPDATE_STEPS == 0:
                    self._tell_visit("update", visit)
            self._tell_visit("end", msgspec.structs.replace(visit, ended_s=time.monotonic()))
            self._tell([faces_body(CAMERA, WIDTH, HEIGHT, [], at=self._at(time.monotonic()))])
            yield self._chance.uniform(0.5, 1.5) * (MINUTE_S - LASTS_S)

    def minutes(self) -> Iterator[float]:
        """Tell how the node fares, and what was seen; seconds to wait after each step."""
        yield self._chance.uniform(0, MINUTE_S)
        while True:
            now_s = time.monotonic()
            self._tell(
                [
                    health_body(
                        at=self._at(now_s),
                        uptime_s=MINUTE_S,
                        started=self._zero,
                        cameras={CAMERA: CameraHealth(state="running", fps=15.0, dropped=0, brightness=0.4)},
                        stages_ms={"detect": 8.817, "track": 0.614, "attributes": 0.01, "visits": 0.277},
                        mqtt=self.publisher.health(),
                        memory_mb=151.2,
                        machine=MACHINE,
                        spool=self.outbox.spool_health(),
                    ),
                    self._window.body(now_s, at=self._at(now_s), started_at=self._at),
                ]
            )
            yield MINUTE_S

    def _at(self, time_s: float) -> datetime:
        return self._zero + timedelta(seconds=time_s)

    def _tell(self, bodies: list[Body]) -> None:
        for body in bodies:
            self.outbox.accept(body)

    def _tell_visit(self, event: Event, visit: Visit) -> None:
        now_s = time.monotonic()
        change = VisitChange(event=event, visit=visit, time_s=now_s, reason="lost" if event == "end" else None)
        self._window.observe([change], [] if event == "end" else [visit])
        body = visit_body(change, at=self._at(now_s), started_at=self._at)
        assert isinstance(body.message, VisitMessage)
        self._state.visit(body.message)
        self._totals.add(body.message)
        self._tell([body])
        self._tell_state()

    def _tell_state(self) -> None:
        now_s = time.monotonic()
        self._state.look("running", 1)
        news = self._state.news(at=self._at(now_s), now_s=now_s, today=self._totals.on(self._at(now_s)))
        self._tell([] if news is None else [news])


def simulate(port: int, numbers: range, stop: Flag) -> None:
    """Let nodes live in this process until told to stop; then let each deliver the rest."""
    nodes = []
    due: list[tuple[float, int, Iterator[float]]] = []
    for number in numbers:
        node = SimulatedNode(port, number)
        node.publisher.start()
        nodes.append(node)
        for life in (node.minutes(), node.people()):
            due.append((time.monotonic(), len(due), life))
        time.sleep(BETWEEN_S)
    heapq.heapify(due)
    while not stop.is_set():
        at_s, key, life = due[0]
        wait_s = at_s - time.monotonic()
        if wait_s > 0:
            stop.wait(min(wait_s, 0.25))
            continue
        heapq.heapreplace(due, (at_s + next(life), key, life))
    for node in nodes:
        node.publisher.stop()


@dataclass(slots=True)
class Heard:
    """What the one subscriber heard."""

    account: Account = field(default_factory=lambda: Account(whole=True))
    online: set[str] = field(default_factory=set)
    measuring: bool = False
    messages: Counter[str] = field(default_factory=Counter)
    size: int = 0
    late_ms: list[float] = field(default_factory=list)

    def take(self, arrival: Arrival) -> None:
        """One message, in the thread of the connection."""
        now_s, topic, payload = time.time(), arrival.topic, arrival.payload
        self.account.heard(topic, payload, redelivered=arrival.redelivered)
        if topic.endswith("/availability"):
            (self.online.add if payload == b"online" else self.online.discard)(topic)
        kind = kind_of_topic(topic)
        if not self.measuring or kind is None:
            return
        self.messages[kind] += 1
        self.size += len(payload)
        if kind == "visits":
            self.late_ms.append(1e3 * (now_s - moment(json.loads(payload)["at"]).timestamp()))


def measure(nodes: int, seconds: float, processes: int) -> dict[str, object]:
    """Run nodes and broker, and measure once all are there."""
    _allow(DESCRIPTORS * nodes + 100)
    heard = Heard()
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    with broker_process() as (port, process):
        ears = Subscriber(Mqtt(host="127.0.0.1", port=port), password=None, heard=heard.take, keep_s=3600)
        ears.start()
        if not ears.connection.wait_connected(10):
            raise TimeoutError("the subscriber did not reach the broker")
        shares = [range(place, nodes, processes) for place in range(processes)]
        children = [spawn.Process(target=simulate, args=(port, share, stop)) for share in shares]
        for child in children:
            child.start()
        until_s = time.monotonic() + ONLINE_S
        while len(heard.online) < nodes:
            if time.monotonic() > until_s:
                raise TimeoutError(f"{len(heard.online)} of {nodes} nodes were online in time")
            time.sleep(0.1)
        time.sleep(SETTLE_S)
        heard.measuring = True
        began_s, cpu_s = time.monotonic(), _cpu_s(process.pid)
        time.sleep(seconds)
        took_s, spent_s = time.monotonic() - began_s, _cpu_s(process.pid) - cpu_s
        heard.measuring = False
        memory_mb = _resident_mb(process.pid)
        stop.set()
        for child in children:
            child.join(60)
        time.sleep(1)
        ears.stop()
    runs = heard.account.runs()
    late = statistics.quantiles(heard.late_ms, n=100) if len(heard.late_ms) > 1 else None
    return {
        "nodes": nodes,
        "seconds": round(took_s, 1),
        "messages_per_s": round(sum(heard.messages.values()) / took_s, 1),
        "kbyte_per_s": round(heard.size / took_s / 1e3, 1),
        "messages": dict(heard.messages),
        "broker_cpu": round(spent_s / took_s, 4),
        "broker_memory_mb": round(memory_mb, 1),
        "visits_latency_ms": late and {f"p{share}": round(late[share - 1], 1) for share in (50, 95, 99)},
        "starts_and_ends": sum(run.heard for run in runs),
        "missing": sum(run.missing_count for run in runs),
        "repeated": sum(run.repeated for run in runs),
    }


def _allow(descriptors: int) -> None:
    """Let this process and the broker have so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < descriptors:
        raise SystemExit(
            f"{descriptors} open files are needed and {hard} allowed: raise `ulimit -Hn`, or take fewer nodes"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, descriptors), hard))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    """Print the figures as one JSON object; 1 when a start or an end is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=45.0, help="of measuring")
    parser.add_argument("--processes", type=int, default=4, help="that the nodes share")
    args = parser.parse_args()
    figures = measure(args.nodes, args.seconds, max(1, min(args.processes, args.nodes)))
    print(json.dumps(figures))
    return 1 if figures["missing"] else 0


if __name__ == "__main__":
    sys.exit(main())
