"""Real brokers for tests: Mosquitto as a child, the embedded amqtt, an auditing subscriber, a TCP proxy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import paho.mqtt.client as paho
import trustme
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgeface.events import kind_of_topic, schemas

HOST = "127.0.0.1"
DEADLINE_S = 20.0
RELOADS = "Reloading config"
RUNS = " running\n"
CONNECT = b"\x10"
"""First byte of MQTT's first packet."""


def find_mosquitto() -> str | None:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def eventually(true: Callable[[], bool], what: str = "it", timeout_s: float = DEADLINE_S) -> None:
    """Poll until true; fail with words when it does not come."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.005)


class Mosquitto:
    """The real thing on a loopback port, with everything that it may lose turned off."""

    speaks = ("5", "3.1.1")

    def __init__(
        self, folder: Path, *, lines: Sequence[str] = (), anonymous: bool = True, acl: str | None = None
    ) -> None:
        program = find_mosquitto()
        assert program is not None
        self.port = free_port()
        self.host = HOST
        self._program = program
        self._folder = folder
        self._log = folder / "mosquitto.log"
        self._config = folder / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        text = [
            "per_listener_settings false",
            "user root",
            f"listener {self.port} {HOST}",
            f"allow_anonymous {str(anonymous).lower()}",
            "max_queued_messages 0",
            "persistence true",
            f"persistence_location {folder}/",
            f"log_dest file {self._log}",
            "log_type all",
            *lines,
        ]
        if acl is not None:
            text.append(f"acl_file {folder / 'acl'}")
            self.allow(acl)
        self._config.write_text("\n".join(text) + "\n")

    def allow(self, acl: str) -> None:
        """Write the access list; a running broker reads it again."""
        path = self._folder / "acl"
        path.write_text(acl)
        path.chmod(0o600)
        if self._process is not None:
            before = self.log().count(RELOADS)
            self._process.send_signal(signal.SIGHUP)
            # What it takes in after these words it judges by the new list.
            eventually(lambda: self.log().count(RELOADS) > before, "the broker to read its list")

    def start(self) -> Mosquitto:
        before = self.log().count(RUNS)
        self._process = subprocess.Popen([self._program, "-c", str(self._config)])
        process = self._process
        # It listens before it minds signals, and says so after that: one that comes in between would end it.
        eventually(lambda: self.log().count(RUNS) > before or process.poll() is not None, "Mosquitto")
        assert process.poll() is None, self.log()
        return self

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def connections_of(self, client_id: str) -> int:
        return sum(f" as {client_id} " in line for line in self.log().splitlines())


class Amqtt:
    """The embedded broker in a thread: MQTT 3.1.1 only."""

    speaks = ("3.1.1",)

    def __init__(self) -> None:
        self.port = free_port()
        self.host = HOST
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="amqtt", daemon=True)

    def start(self) -> Amqtt:
        self._thread.start()
        assert self._ready.wait(DEADLINE_S), "amqtt did not start"
        return self

    def stop(self) -> None:
        if self._thread.is_alive() and self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        from amqtt.broker import Broker  # noqa: PLC0415  heavy, and missing where Mosquitto serves

        self._end = asyncio.Event()
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{self.port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await broker.start()
        self._ready.set()
        await self._end.wait()
        await broker.shutdown()


AnyBroker = Mosquitto | Amqtt


@dataclass(frozen=True)
class Heard:
    """One message as a subscriber received it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool

    @property
    def json(self) -> dict[str, Any]:
        value = json.loads(self.payload)
        assert isinstance(value, dict)
        return value


class Authority:
    """A certificate authority with a broker, a node, and a stranger."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        server = self.authority.issue_cert("localhost")
        server.private_key_pem.write_to_path(folder / "server.key")
        with (folder / "server.pem").open("wb") as file:
            file.write(b"".join(part.bytes() for part in server.cert_chain_pems))
        for name, authority in (("node", self.authority), ("stranger", trustme.CA())):
            cert = authority.issue_cert("hall")
            cert.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
        self.folder = folder
        self.lines = [
            f"cafile {folder / 'ca.pem'}",
            f"certfile {folder / 'server.pem'}",
            f"keyfile {folder / 'server.key'}",
            "require_certificate true",
        ]

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def set_up(self, client: Any) -> None:
        context = ssl.create_default_context(cafile=self.path("ca"))
        context.check_hostname = False
        context.load_cert_chain(self.path("node"))
        client.tls_set_context(context)


class Auditor:
    """Writes down every message; its session survives a broken connection, so that nothing slips by."""

    def __init__(
        self,
        port: int,
        *,
        topic: str = "#",
        version: str = "5",
        set_up: Callable[[paho.Client], None] = lambda _client: None,
    ) -> None:
        self.heard: list[Heard] = []
        self.tells_qos = version == "5"
        """The embedded broker delivers everything with the QoS of the subscription."""
        self._subscribed = threading.Event()
        five = version == "5"
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"auditor-{id(self)}",
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            clean_session=None if five else False,
        )
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _c, _u, m: self.heard.append(Heard(m.topic, bytes(m.payload), m.qos, m.retain))
        self._client.reconnect_delay_set(1, 1)
        set_up(self._client)
        if five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 3600
            self._client.connect(HOST, port, clean_start=False, properties=properties)
        else:
            self._client.connect(HOST, port)
        self._client.loop_start()
        assert self._subscribed.wait(DEADLINE_S), "the auditor could not subscribe"

    def close(self) -> None:
        """Leave, and hold every message that was heard against its schema, whatever the test was about."""
        self._client.disconnect()
        self._client.loop_stop()
        for heard in self.heard:
            kind = kind_of_topic(heard.topic)
            if kind is not None and heard.payload.startswith(b"{"):
                jsonschema.Draft202012Validator(schemas()[kind]).validate(heard.json)

    def of(self, kind: str) -> list[Heard]:
        """Messages whose topic ends with ``kind``, in the order of arrival."""
        return [heard for heard in list(self.heard) if heard.topic.rsplit("/", 1)[-1] == kind]

    def words(self) -> list[str]:
        """What `availability` said."""
        return [heard.payload.decode() for heard in self.of("availability")]

    def seqs(self) -> list[int]:
        """Sequence numbers as they arrived, without those of retained messages from before."""
        fresh = (heard.json for heard in list(self.heard) if heard.payload.startswith(b"{") and not heard.retain)
        return [message["seq"] for message in fresh if "seq" in message]

    def wait_for(self, true: Callable[[Auditor], bool], what: str = "messages") -> None:
        eventually(lambda: true(self), f"{what}; heard {[h.topic for h in self.heard]}")


class Scripted:
    """A broker after a script: accepts as told, answers pings, acknowledges or not, closes or not.

    Parameters
    ----------
    answer : to each PUBLISH (topic, payload, qos, how many before it): a reason code; None: no answer; CLOSE: the
        connection is closed instead
    connack : reason codes of the first CONNACKs (MQTT 5), then 0
    properties : of CONNACK, encoded
    late_s : seconds before CONNACK
    bars_ears : whether a connection that subscribes is closed; else it is left without an answer
    """

    CLOSE = -1

    def __init__(
        self,
        answer: Callable[[str, bytes, int, int], int | None] = lambda *_: 0,
        *,
        connack: Sequence[int] = (),
        properties: bytes = b"",
        late_s: float = 0.0,
        bars_ears: bool = False,
    ) -> None:
        self.bars_ears = bars_ears
        self.asked = 0
        self.seen: list[tuple[str, bytes, int, int | None]] = []
        self.connects: list[bytes] = []
        self._answer = answer
        self._connack = list(connack)
        self._properties = properties
        self._late_s = late_s
        self._live: list[socket.socket] = []
        self._server = socket.create_server((HOST, 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def taken(self, kind: str) -> list[bytes]:
        """Payloads that were accepted on topics that end with ``kind``."""
        return [payload for topic, payload, _, reason in list(self.seen) if topic.endswith(kind) and reason == 0]

    def close(self) -> None:
        self._server.close()
        for sock in self._live:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._live.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client, client.makefile("rb") as stream:
            five = True
            while True:
                kind, body = _packet(stream)
                if kind >> 4 == 1:
                    five = body[6] == 5
                    self.connects.append(body)
                    time.sleep(self._late_s)
                    reason = self._connack.pop(0) if self._connack else 0
                    tail = bytes([len(self._properties)]) + self._properties if five else b""
                    client.sendall(bytes([0x20, 2 + len(tail), 0, reason]) + tail)
                    if reason:
                        return
                elif kind >> 4 == 12:
                    client.sendall(b"\xd0\0")
                elif kind >> 4 == 8:
                    self.asked += 1
                    if self.bars_ears:
                        return
                elif kind >> 4 == 3 and not self._publish(client, kind, body, five):
                    return

    def _publish(self, client: socket.socket, kind: int, body: bytes, five: bool) -> bool:
        qos, at = kind >> 1 & 3, 2 + int.from_bytes(body[:2], "big")
        topic, number = body[2:at].decode(), body[at : at + 2] if qos else b""
        at += len(number)
        payload = body[at + 1 + body[at] :] if five else body[at:]
        reason = self._answer(topic, payload, qos, len(self.seen))
        self.seen.append((topic, payload, qos, reason))
        if reason == self.CLOSE:
            return False
        if qos and reason is not None:
            tail = bytes([reason]) if five and reason else b""
            client.sendall(bytes([0x40, 2 + len(tail)]) + number + tail)
        return True


def _packet(stream: Any) -> tuple[int, bytes]:
    """First byte and body of the next MQTT packet; EOFError at the end."""
    head = stream.read(1)
    size = shift = 0
    while True:
        part = stream.read(1)
        if not head or not part:
            raise EOFError
        size |= (part[0] & 127) << shift
        shift += 7
        if part[0] < 128:
            return head[0], stream.read(size)


class Proxy:
    """Stands between a client and a broker; can refuse, swallow, or cut."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self.accepted = 0
        self.closing = 0
        """How many of the next connections are closed as soon as the client has spoken; what speaks no MQTT is too."""
        self.cut_at: Callable[[bytes], bool] = lambda _data: False
        """Asked with what the client sends; True cuts the connection before it is passed on."""
        self.delay_s: Callable[[], float] = lambda: 0.0
        """Asked for each piece that passes, either way: what a slow or lossy network takes to bring it."""
        self._target = target_port
        self._pairs: list[socket.socket] = []
        self._server = socket.create_server((HOST, self.port))
        self._open = True
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def close(self) -> None:
        self._open = False
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Break all connections at once."""
        for sock in self._pairs:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._pairs.clear()

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self.closing > 0:
                if client.recv(4096)[:1] == CONNECT:
                    self.accepted, self.closing = self.accepted + 1, self.closing - 1
                client.close()
                continue
            self.accepted += 1
            try:
                broker = socket.create_connection((HOST, self._target), 5)
            except OSError:
                client.close()
                continue
            broker.settimeout(None)
            self._pairs += [client, broker]
            threading.Thread(target=self._pump, args=(client, broker, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(broker, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if from_client and self.cut_at(data):
                    break
                time.sleep(self.delay_s())
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
