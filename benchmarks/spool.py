"""What the spool costs: events a second beside bare paho, CPU a visit, bytes written, and how fast a backlog goes.

``python -m benchmarks.spool`` measures beside a real Mosquitto on this machine; ``--visits`` and ``--backlog`` make it
shorter. The bytes are those of an hour with a visit a minute, each start and end with a flush of its own, the totals of
the day among them, told by the kernel (``/proc/self/io``): ``written`` what was handed to it, ``disk`` whole pages that
it will bring to the disk.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.events import broker
from edgeface.config import Mqtt
from edgeface.events import Body, Today, visit_body
from edgeface.publish.journal import Journal, Row
from edgeface.publish.mqtt import Publisher
from edgeface.publish.outbox import Outbox
from edgeface.publish.spool import Spool
from edgeface.publish.store import Store
from edgeface.questions import Known, VisitAge, VisitExpression, VisitLabel
from edgeface.types import Event
from edgeface.visit import Visit, VisitChange

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
KNOWN = Known(
    age=VisitAge(years=31.04, low=24.0, high=39.26, spread=2.345, samples=9),
    gender=VisitLabel(label="female", probability=0.97344, samples=9),
    expression=VisitExpression(
        dominant="happy", shares=dict.fromkeys(LABELS, 1 / len(LABELS)), samples=12, seconds=4.0
    ),
)
NOON = datetime(2026, 3, 14, 12, 0, tzinfo=timezone.utc)
TIMEOUT_S = 600.0


def change(event: Event, number: int) -> Body:
    """The start or the end of an invented visit; of the end everything is known."""
    visit = Visit(
        id=f"{number:08x}",
        camera="main",
        track=number,
        started_s=0.0,
        seen_s=5.0,
        ended_s=5.0 if event == "end" else None,
        box=np.array([10, 20, 110, 140], np.float32),
        score=0.9,
        known=KNOWN if event == "end" else Known(),
    )
    told = VisitChange(event=event, visit=visit, time_s=5.0, reason="lost" if event == "end" else None)
    return visit_body(told, at=NOON, started_at=lambda time_s: NOON + timedelta(seconds=time_s))


def deliver(port: int, outbox: Outbox, bodies: list[Body]) -> dict[str, float]:
    """Hand in, and wait until the broker has all of it: events a second, and milliseconds of CPU a visit."""
    publisher = Publisher(Mqtt(host="127.0.0.1", port=port), node="bench", outbox=outbox, password=None)
    outbox.open()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    publisher.start()
    for body in bodies:
        outbox.accept(body)
    _wait(lambda: outbox.idle)
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    events = outbox.counters().delivered
    publisher.stop()
    outbox.close()
    return {
        "events": events,
        "events_per_s": round(events / took_s),
        "cpu_ms_per_visit": round(2e3 * cpu_s / events, 3),
    }


def outbox(folder: Path | None, boot: str, events: int) -> Outbox:
    """An outbox with a spool in ``folder``, or without one."""
    spool = None if folder is None else Spool(folder, node="bench", boot=boot, machine="this")
    return Outbox(node="bench", boot=boot, capacity=max(1, events), spool=spool)


def bare(port: int, payloads: list[bytes]) -> dict[str, float]:
    """The same payloads with paho alone, its own queue and its usual twenty in flight."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    left, done = [len(payloads)], threading.Event()

    def published(*_: object) -> None:
        left[0] -= 1
        if not left[0]:
            done.set()

    client.on_publish = published
    client.connect("127.0.0.1", port)
    client.loop_start()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    for payload in payloads:
        client.publish("edgeface/bench/main/visits", payload, qos=1)
    if not done.wait(TIMEOUT_S):
        raise TimeoutError("paho did not deliver in time")
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    client.disconnect()
    client.loop_stop()
    return _rates(len(payloads), took_s, cpu_s)


def replay(port: int, folder: Path, visits: int) -> dict[str, float]:
    """Leave visits in a spool, and let another run deliver them."""
    first = outbox(folder, "first", 2 * visits)
    first.open()
    began_s = time.perf_counter()
    for body in pairs(visits):
        first.accept(body)
    first.close()
    kept_s = time.perf_counter() - began_s
    began_s = time.perf_counter()
    figures = deliver(port, outbox(folder, "second", 2 * visits), [])
    return {**figures, "written_s": round(kept_s, 2), "replayed_s": round(time.perf_counter() - began_s, 2)}


def hour(folder: Path, visits: int) -> dict[str, int]:
    """Bytes that the spool writes in an hour with so many visits, evenly apart, everything delivered at once."""
    store, journal = Store(folder / "hour.db"), Journal()
    store.read()
    before = _written()
    for number, body in enumerate(pairs(visits)):
        now_s = number * 1800 / max(1, visits)
        journal.put(
            Row(
                key=number,
                boot="hour",
                number=number,
                seq=number,
                suffix=body.suffix,
                event="start" if body.event == "start" else "end",
                visit=body.visit or "",
                payload=_payload(body, number),
            )
        )
        days = [Today(date="2026-03-14", visits=number // 2 + 1, seconds=5.0 * (number // 2))]
        journal.keep({"main": msgspec.json.encode(days)})
        batch = journal.batch(now_s)
        store.write(batch, runs=[], over=[])
        if batch.flush:
            store.flush()
        journal.wrote(batch, now_s)
        journal.settle(number)
    after = _written()
    store.close()
    return {"visits": visits, **{name: after[name] - before[name] for name in before}}


def pairs(visits: int) -> list[Body]:
    """Starts and ends, one visit after the other."""
    return [body for number in range(visits) for body in (change("start", number), change("end", number))]


def _rates(events: int, took_s: float, cpu_s: float) -> dict[str, float]:
    return {
        "events": events,
        "events_per_s": round(events / took_s),
        "cpu_ms_per_visit": round(2e3 * cpu_s / events, 3),
    }


def _payload(body: Body, number: int) -> bytes:
    return msgspec.json.encode(body.stamped(node="bench", boot="bench", seq=number, number=number))


def _written() -> dict[str, int]:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {"written": int(fields["wchar"]), "disk": int(fields["write_bytes"])}


def _wait(true: Callable[[], bool]) -> None:
    until_s = time.monotonic() + TIMEOUT_S
    while not true():
        if time.monotonic() > until_s:
            raise TimeoutError("the outbox was not emptied in time")
        time.sleep(0.002)


def _tell(what: str, figures: Mapping[str, float]) -> None:
    print(json.dumps({"what": what, **figures}), flush=True)


def main() -> None:
    """Print the figures as one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=5000, help="for events a second")
    parser.add_argument("--backlog", type=int, default=10_000, help="visits that are replayed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where the spool lies; a disk, not memory; default: a temporary folder")
    args = parser.parse_args()
    bodies = pairs(args.visits)
    payloads = [_payload(body, number) for number, body in enumerate(bodies)]
    with broker() as port, tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        for number in range(args.rounds):
            place = folder / f"round-{number}"
            _tell("bare paho", bare(port, payloads))
            _tell("spool off", deliver(port, outbox(None, "off", len(bodies)), bodies))
            _tell("spool on", deliver(port, outbox(place, "on", len(bodies)), bodies))
        _tell("replay", replay(port, folder / "replay", args.backlog))
        for visits in (0, 60):
            _tell("an hour", hour(folder / f"hour-{visits}", visits))


if __name__ == "__main__":
    main()
