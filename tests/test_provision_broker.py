"""A real Mosquitto with what ``edgeface provision`` wrote for it: every node tries all that is another's, in vain."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from astronaut import write_film
from brokers import HOST, RELOADS, Auditor, Mosquitto, eventually, free_port
from daemons import Child
from fleets import Fleet
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edgeface.publish.discovery import config_topic
from edgeface.publish.entities import device_id

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="apt install openssl")
Broker = Callable[..., Mosquitto]
NODES = {"hall": "password", "yard": "certificate", "hall_camera_b": "certificate"}
"""The last would share an id in Home Assistant with the first's camera if underscores were not doubled."""
ROWS = [f"{name};{auth};b=0" for name, auth in NODES.items()]


class Site:
    """A provisioned fleet and its broker."""

    def __init__(self, fleet: Fleet, mosquitto: Broker, rows: Sequence[str] = ROWS, base: str = "") -> None:
        self.fleet = fleet
        self._base = fleet.table.with_name("base.toml")
        self._base.write_text(base or "[commands]\nenabled = true\n")
        fleet.run(*rows, base=self._base)
        self.ports = {"8883": free_port(), "8884": free_port()}
        text = (fleet.out / "broker/mosquitto.conf").read_text()
        text = re.sub(r"listener (\d+)", lambda found: f"listener {self.ports[found[1]]} {HOST}", text)
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        self.broker = mosquitto(lines=lines, anonymous=False)

    def run(self, *rows: str, **orders: Any) -> None:
        """Provision anew, and let the broker read it."""
        self.fleet.run(*rows, base=self._base, **orders)
        before = self.broker.log().count(RELOADS)
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: self.broker.log().count(RELOADS) > before, "the broker to read its files")

    def account_of(self, name: str) -> tuple[int, ssl.SSLContext, str]:
        """Port, encryption and password of an account; no password where there is a certificate."""
        context = ssl.create_default_context(cafile=str(self.fleet.out / "broker/ca.pem"))
        if NODES.get(name) == "certificate":
            context.load_cert_chain(self.fleet.node(name, "cert.pem"), self.fleet.node(name, "key.pem"))
            return self.ports["8884"], context, ""
        folder = self.fleet.out / "accounts" / name
        password = (folder if folder.exists() else self.fleet.node(name, "password")).read_text().strip()
        return self.ports["8883"], context, password

    def account(self, name: str) -> tuple[int, Callable[[paho.Client], None]]:
        """Port of an account, and how a client is set up for it."""
        port, context, password = self.account_of(name)

        def set_up(client: paho.Client) -> None:
            client.tls_set_context(context)
            if password:
                client.username_pw_set(name, password)

        return port, set_up

    def audit(self) -> Auditor:
        """Home Assistant's account, which hears everything."""
        port, set_up = self.account("homeassistant")
        return Auditor(port, set_up=set_up)


class Intruder:
    """A node's account in other hands, with MQTT 3.1.1."""

    def __init__(
        self, site: Site, name: str, *, client_id: str = "", will: str | None = None, clean: bool = True
    ) -> None:
        port, set_up = site.account(name)
        self.name, self.heard = name, list[tuple[str, bytes]]()
        self._connected, self._settled = threading.Event(), threading.Event()
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or f"intruder-{name}-{id(self)}",
            protocol=MQTTProtocolVersion.MQTTv311,
            clean_session=clean,
        )
        self.why: Any = None
        if will is not None:
            self.client.will_set(will, self.word, qos=1, retain=True)
        self.client.on_connect = self._on_connect
        self.client.on_message = self._on_message
        set_up(self.client)
        self.client.connect(HOST, port)
        self.client.loop_start()

    @property
    def word(self) -> bytes:
        return f"by {self.name}".encode()

    def _on_connect(
        self, _client: paho.Client, _data: object, _flags: object, reason: Any, _properties: object
    ) -> None:
        self.why = reason
        self._connected.set()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic == f"edgeface/{self.name}/doctor" and message.payload == b"settled":
            self._settled.set()
        else:
            self.heard.append((message.topic, bytes(message.payload)))

    def settle(self) -> None:
        """Wait until the broker has done all that was asked before: it answers in order."""
        self._settled.clear()
        self.client.subscribe(f"edgeface/{self.name}/doctor", qos=1)
        self.client.publish(f"edgeface/{self.name}/doctor", b"settled", qos=1)
        assert self._settled.wait(20), f"{self.name} was not answered: {self.why}"

    def connected(self) -> bool:
        assert self._connected.wait(20)
        return not self.why.is_failure

    def leave(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def site(tmp_path: Path, mosquitto: Broker) -> Site:
    return Site(Fleet(tmp_path), mosquitto)


@pytest.fixture
def intruder(site: Site) -> Iterator[Callable[..., Intruder]]:
    here: list[Intruder] = []

    def make(name: str, **options: Any) -> Intruder:
        here.append(Intruder(site, name, **options))
        return here[-1]

    yield make
    for one in here:
        one.leave()


def topics_of(name: str) -> list[str]:
    base = f"edgeface/{name}"
    return [
        *(f"{base}/{kind}" for kind in ("availability", "health", "notice")),
        *(f"{base}/b/{kind}" for kind in ("visits", "faces", "state", "summary")),
        config_topic("homeassistant", device_id(name)),
        config_topic("homeassistant", device_id(name, "b")),
    ]


def commands_of(name: str) -> list[str]:
    return [f"edgeface/{name}/command/{command}" for command in ("pause", "expression", "restart")]


ELSEWHERE = ("homeassistant/status", "homeassistant/sensor/x/config", "$SYS/broker/x", "edgeface/x", "x")
WIDE = ("#", "+/#", "$SYS/#", "$share/g/#", "homeassistant/#", "edgeface/+/command/#", "edgeface/+/+/visits")


def listen_to_all(one: Intruder) -> None:
    one.client.subscribe([(topic, 1) for topic in WIDE])
    for other in NODES:
        one.client.subscribe([(topic, 1) for topic in (*topics_of(other), *commands_of(other))])
    one.settle()


def say(site: Site, name: str, topic: str, *, qos: int, retain: bool) -> None:
    """One message on a connection of its own, since Mosquitto closes it when it refuses; done when it is closed."""
    port, context, password = site.account_of(name)
    account = b"".join(map(text, filter(None, (name if password else "", password))))
    head = text("MQTT") + bytes([4, 0xC2 if password else 0x02, 0, 60]) + text(f"says-{name}")
    body = text(topic) + (b"\0\1" if qos else b"") + f"by {name}".encode()
    with socket.create_connection((HOST, port), 20) as plain, context.wrap_socket(plain, server_hostname=HOST) as sock:
        sock.sendall(packet(0x10, head + account))
        assert sock.recv(4) == b"\x20\x02\0\0"
        sock.sendall(packet(0x30 | qos << 1 | retain, body) + b"\xe0\0")
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while sock.recv(100):
                pass


def packet(kind: int, body: bytes) -> bytes:
    assert len(body) < 128**2
    size = bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 | 128, len(body) // 128])
    return bytes([kind]) + size + body


def text(word: str) -> bytes:
    return len(word).to_bytes(2, "big") + word.encode()


def write_to_all(site: Site, name: str) -> int:
    """Write to every topic of every node, and elsewhere; how often to another's."""
    tried = 0
    for other in NODES:
        for topic in (*topics_of(other), *commands_of(other), f"edgeface/{other}/x", f"edgeface/{other}"):
            for qos, retain in ((0, False), (1, True)):
                say(site, name, topic, qos=qos, retain=retain)
                tried += other != name
    for topic in ELSEWHERE:
        say(site, name, topic, qos=1, retain=True)
    return tried


def test_nobody_writes_or_hears_what_is_anothers(site: Site, intruder: Callable[..., Intruder]) -> None:
    auditor = site.audit()
    everybody = [intruder(name) for name in NODES]
    assert all(one.connected() for one in everybody)
    for one in everybody:
        listen_to_all(one)
    assert sum(write_to_all(site, name) for name in NODES) == 2 * 14 * len(NODES) * (len(NODES) - 1)
    for one in everybody:
        one.settle()
    auditor.wait_for(lambda a: len([h for h in a.heard if h.payload.startswith(b"by ")]) >= 2 * 9 * len(NODES))

    owner = {topic: name for name in NODES for topic in topics_of(name)}
    told = [(heard.topic, heard.payload.decode()) for heard in auditor.heard if heard.payload.startswith(b"by ")]
    assert [(topic, word) for topic, word in told if word != f"by {owner.get(topic)}"] == []
    assert len(told) == 2 * 9 * len(NODES), "what is its own every node may write"
    for one in everybody:
        assert {topic for topic, _ in one.heard} <= set(topics_of(one.name))
        assert {payload for _, payload in one.heard} == {one.word}
    # Nothing was kept either: who comes later hears only what is rightly there.
    late = site.audit()
    late.wait_for(lambda a: len(a.heard) >= 9 * len(NODES))
    assert all(heard.payload.decode() == f"by {owner[heard.topic]}" for heard in late.heard)
    for one_auditor in (auditor, late):
        one_auditor.heard.clear()
        one_auditor.close()


def test_home_assistant_commands_whom_it_will(site: Site, intruder: Callable[..., Intruder]) -> None:
    hall, yard = intruder("hall"), intruder("yard")
    for one in (hall, yard):
        one.client.subscribe(f"edgeface/{one.name}/command/+", qos=1)
        one.client.subscribe("homeassistant/status", qos=1)
        one.settle()
    ours = Intruder(site, "homeassistant")
    assert ours.connected()
    ours.client.publish("edgeface/hall/command/pause", b"on", qos=1)
    ours.client.publish("homeassistant/status", b"online", qos=1)
    eventually(lambda: len(hall.heard) == 2 and len(yard.heard) == 1, "what is meant for them")
    assert hall.heard == [("edgeface/hall/command/pause", b"on"), ("homeassistant/status", b"online")]
    assert yard.heard == [("homeassistant/status", b"online")]
    ours.leave()


def test_a_last_will_and_a_stolen_session_tell_nothing(site: Site, intruder: Callable[..., Intruder]) -> None:
    auditor = site.audit()
    for name, other in (("hall", "yard"), ("yard", "hall")):
        one = intruder(name, will=f"edgeface/{other}/availability")
        if one.connected():
            one.settle()
            sock = one.client.socket()
            assert sock is not None
            one.client.loop_stop()
            sock.close()  # without a farewell
    # hall keeps a session with its commands; yard takes its client id, and with it that session.
    hall = intruder("hall", client_id="edgeface-hall", clean=False)
    hall.client.subscribe("edgeface/hall/command/+", qos=1)
    hall.settle()
    hall.leave()
    ours = Intruder(site, "homeassistant")
    assert ours.connected()
    ours.client.publish("edgeface/hall/command/pause", b"secret", qos=1)
    ours.client.subscribe("edgeface/hall/command/pause", qos=1)
    yard = intruder("yard", client_id="edgeface-hall", clean=False)
    assert yard.connected()
    yard.settle()
    ours.client.publish("edgeface/hall/command/pause", b"secret", qos=1)
    yard.settle()
    ours.leave()
    yard.settle()
    assert yard.heard == []
    assert [heard for heard in auditor.of("availability") if heard.payload.startswith(b"by ")] == []
    auditor.heard.clear()
    auditor.close()


def test_nobody_comes_in_without_a_name(site: Site) -> None:
    authority = str(site.fleet.out / "broker/ca.pem")

    def outcome(port: str, set_up: Callable[[paho.Client], None]) -> str:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="stranger", protocol=MQTTProtocolVersion.MQTTv5)
        said: list[str] = []
        client.on_connect = lambda _c, _u, _f, reason, _p: said.append(str(reason))
        set_up(client)
        try:
            client.connect(HOST, site.ports[port])
            client.loop_start()
            eventually(lambda: bool(said) or client._sock is None, timeout_s=20)
        except (OSError, AssertionError) as error:
            return type(error).__name__
        finally:
            client.loop_stop()
        return said[0] if said else "closed"

    def with_password(name: str | None, password: str = "") -> Callable[[paho.Client], None]:
        def set_up(client: paho.Client) -> None:
            client.tls_set_context(ssl.create_default_context(cafile=authority))
            if name is not None:
                client.username_pw_set(name, password)

        return set_up

    assert outcome("8883", with_password(None)) == "Not authorized"
    assert outcome("8883", with_password("hall", "guess")) == "Not authorized"
    assert outcome("8883", with_password("yard", "")) == "Not authorized", "who has a certificate has no password"
    assert outcome("8884", with_password("hall", site.fleet.node("hall", "password").read_text().strip())) != "Success"
    assert outcome("8883", lambda client: client.username_pw_set("hall", "x")) != "Success", "nothing goes unencrypted"


def test_revoked_and_rotated_while_the_broker_runs(site: Site, intruder: Callable[..., Intruder]) -> None:
    """With a list of revoked certificates Mosquitto 1.6 let nobody in after a reload; this one does, and throws out."""
    before = {name: intruder(name, will=f"edgeface/{name}/availability") for name in ("hall", "yard")}
    stays = intruder("hall_camera_b")
    for name, one in before.items():
        one.client.publish(f"edgeface/{name}/availability", b"online", qos=1, retain=True)
    before["hall"].client.publish("homeassistant/device/edgeface_hall/config", b"{}", qos=1, retain=True)
    for one in (*before.values(), stays):
        one.settle()
    stolen = site.fleet.table.with_name("stolen")
    stolen.mkdir()
    for file in ("cert.pem", "key.pem"):
        shutil.copy(site.fleet.node("yard", file), stolen / file)
    site.run(revoke=("hall", "yard"))
    auditor = site.audit()
    for name, one in before.items():
        one.client.publish(f"edgeface/{name}/health", one.word, qos=1)
        one.client.subscribe(f"edgeface/{name}/#", qos=1)
    stays.client.publish("edgeface/hall_camera_b/health", stays.word, qos=1)
    stays.settle()
    auditor.wait_for(lambda a: a.of("health") != [])
    # Their last will is refused with all the rest: the broker says that they are online, until somebody clears up.
    assert {heard.payload for heard in auditor.of("availability")} == {b"online"}
    assert [heard.topic for heard in auditor.of("health")] == ["edgeface/hall_camera_b/health"]

    context = ssl.create_default_context(cafile=str(site.fleet.out / "broker/ca.pem"))
    context.load_cert_chain(stolen / "cert.pem", stolen / "key.pem")
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="thief", protocol=MQTTProtocolVersion.MQTTv5)
    joined = threading.Event()
    client.on_connect = lambda _c, _u, _f, reason, _p: None if reason.is_failure else joined.set()
    client.tls_set_context(context)
    with pytest.raises((OSError, AssertionError)):  # TLS 1.3 tells of the refusal when the first bytes are read.
        client.connect(HOST, site.ports["8884"])
        client.loop_start()
        eventually(joined.is_set, timeout_s=1)
    client.loop_stop()

    # The operator may do so.
    port, _, password = site.account_of("operator")
    words = ["discovery", "remove", "--node", "hall", "--set", f"mqtt.host={HOST}", "--set", f"mqtt.port={port}"]
    words += ["--set", "mqtt.username=operator", "--set", f"mqtt.ca_file={site.fleet.out}/broker/ca.pem"]
    done = subprocess.run(
        [sys.executable, "-m", "edgeface", *words],
        env={**os.environ, "EDGEFACE_MQTT_PASSWORD": password},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "homeassistant/device/edgeface_hall/config\n"), done.stderr

    # A new certificate after it, and a node that was there before: both are let in.
    site.run("yard;certificate;b=0", rotate=("yard",))
    yard, again = intruder("yard"), intruder("hall_camera_b")
    assert yard.connected()
    assert again.connected()
    yard.settle()
    auditor.heard.clear()
    auditor.close()


def test_a_board_is_replaced_and_what_the_lost_card_knows_holds_no_longer(
    site: Site, intruder: Callable[..., Intruder]
) -> None:
    lost = intruder("hall")
    lost.settle()
    access = (site.fleet.out / "broker/acl").read_bytes()
    configuration = site.fleet.node("hall", "edgeface.toml").read_bytes()
    site.run(rotate=("hall",))
    # Thrown out at once, and refused when it comes again.
    eventually(lambda: lost.why.is_failure, "the lost card to be refused")
    new = intruder("hall")
    assert new.connected()
    new.settle()
    assert (site.fleet.out / "broker/acl").read_bytes() == access
    assert site.fleet.node("hall", "edgeface.toml").read_bytes() == configuration


def test_a_renamed_broker_is_known_to_cards_that_have_the_name_before(site: Site) -> None:
    """Cards are written one after the other: until then the broker must prove itself under both names."""

    def proves_itself(name: str) -> bool:
        context = ssl.create_default_context(cafile=str(site.fleet.out / "nodes/hall/ca.pem"))
        with socket.create_connection((HOST, int(site.ports["8883"])), 20) as plain:
            try:
                context.wrap_socket(plain, server_hostname=name).close()
            except ssl.SSLCertVerificationError as error:
                # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
                assert error.verify_code in (62, 64), error
                return False
        return True

    assert [proves_itself(name) for name in (HOST, "broker.lan", "::1")] == [True, False, False]
    site.run(broker="broker.lan")
    assert [proves_itself(name) for name in (HOST, "broker.lan", "::1")] == [True, True, False]
    site.run(broker="::1")
    assert [proves_itself(name) for name in (HOST, "broker.lan", "::1")] == [True, True, True]


@pytest.mark.parametrize("name", ["hall", "yard"])
def test_the_daemon_needs_no_more_than_it_was_given(
    name: str, tmp_path: Path, mosquitto: Broker, run: Callable[..., Child]
) -> None:
    """Every message comes through, discovery and commands too, and the broker refuses none."""
    base = '[home_assistant]\ndiscovery = "on"\n[commands]\nenabled = true\n'
    film = write_film(tmp_path / "she.mp4", seconds=2.0)
    site = Site(Fleet(tmp_path), mosquitto, [f"{name};{NODES[name]};b={film}"], base)
    auditor = site.audit()
    words: list[object] = ["--config", site.fleet.node(name, "edgeface.toml"), "--once"]
    moved = {"ca_file": "ca.pem", "cert_file": "cert.pem", "key_file": "key.pem"}
    if NODES[name] == "password":
        moved = {"ca_file": "ca.pem", "password_file": "password"}
    for key, file in moved.items():
        words += ["--set", f"mqtt.{key}={site.fleet.node(name, file)}"]
    child = run(site.account(name)[0], *words)
    assert child.wait() == 0, child.log()
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])
    assert {heard.topic for heard in auditor.heard} == set(topics_of(name))
    health = json.loads(auditor.of("health")[-1].payload)["mqtt"]
    assert (health["parked"], health["dropped"]["visits"]) == (0, 0)
    assert not re.search(r"Denied (PUBLISH|SUBSCRIBE)", site.broker.log())
    assert "refuses" not in child.log()
    auditor.close()
