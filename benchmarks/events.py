"""The daemon with a real broker: how soon the first event comes, how much memory it takes, how fast it is."""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

TIMEOUT_S = 120.0


def first_event(clip: Path) -> dict[str, float]:
    """Seconds from the start of the process to its first visit, its resident memory, and frames a second over all."""
    messages: queue.Queue[tuple[float, str, bytes]] = queue.Queue()
    with broker() as port, _subscriber(port, messages):
        start_s = time.perf_counter()
        command = [sys.executable, "-m", "edgeface", "run", "--source", str(clip), "--set", f"mqtt.port={port}"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
            first_s, memory_mb, fps = _listen(messages, start_s)
            child.wait(TIMEOUT_S)
    return {"first_event_s": first_s, "memory_mb": memory_mb, "fps": fps}


def _listen(messages: queue.Queue[tuple[float, str, bytes]], start_s: float) -> tuple[float, float, float]:
    first_s: float | None = None
    while True:
        at_s, topic, payload = messages.get(timeout=TIMEOUT_S)
        if topic.endswith("/visits") and first_s is None:
            first_s = at_s - start_s
        if topic.endswith("/health"):
            health: Any = json.loads(payload)
            camera = health["cameras"]["main"]
            if camera["state"] == "ended" and first_s is not None:
                return first_s, health["memory_mb"], camera["fps"]


@contextmanager
def broker() -> Iterator[int]:
    """Run a Mosquitto; its port."""
    with broker_process() as (port, _):
        yield port


@contextmanager
def broker_process() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run a Mosquitto; its port and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
        config.flush()
        Path(config.name).chmod(0o644)
        process = subprocess.Popen(["mosquitto", "-c", config.name], stderr=subprocess.DEVNULL)
        try:
            _await_listening(port)
            yield port, process
        finally:
            process.terminate()
            process.wait()


def _await_listening(port: int) -> None:
    deadline_s = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)


@contextmanager
def _subscriber(port: int, messages: queue.Queue[tuple[float, str, bytes]]) -> Iterator[None]:
    ready: queue.Queue[None] = queue.Queue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe("edgeface/#", 1)
    client.on_subscribe = lambda *_: ready.put(None)
    client.on_message = lambda _c, _u, m: messages.put((time.perf_counter(), m.topic, bytes(m.payload)))
    client.connect("127.0.0.1", port)
    client.loop_start()
    ready.get(timeout=10)
    try:
        yield
    finally:
        client.disconnect()
        client.loop_stop()
