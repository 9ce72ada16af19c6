"""`edgeface doctor` and `report`: every check says what and how, none stops another, and a daemon keeps its camera."""

from __future__ import annotations

import gc
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from brokers import HOST, Authority, Mosquitto, free_port
from people import state
from publishing import Make

from edgeface.cli.common import use_credentials
from edgeface.cli.main import main
from edgeface.config import Camera, Config, Mqtt, Runtime, Spool, load_config, mqtt_password
from edgeface.config import Node as NodeSettings
from edgeface.diagnosis import (
    broker,
    camera,
    checks,
    hardware,
    libraries,
    node,
    providers,
    report,
    secrets,
    service,
    tuning,
)
from edgeface.diagnosis.checks import Check, examine
from edgeface.diagnosis.conversation import Conversation, converse
from edgeface.diagnosis.finding import Finding, bad, good
from edgeface.diagnosis.node import Node
from edgeface.diagnosis.processes import daemons
from edgeface.errors import ConfigError, SourceError
from edgeface.events import (
    Body,
    BuildHealth,
    BundleHealth,
    CameraHealth,
    ConfigurationHealth,
    InferenceHealth,
    Interrupted,
    LastError,
    MqttHealth,
    NetworkHealth,
    SpoolHealth,
    Status,
    TuningHealth,
    health_body,
    iso,
)
from edgeface.publish.reasons import connect_failure
from edgeface.runtime import onnx
from edgeface.service.vitals import config_hash

SECRET = "s3cret/with@signs"
STATUSES: tuple[Status, ...] = ("running", "away", "starting")


def node_of(
    config: Config | ConfigError | None = None,
    *,
    spoken: Conversation | None = None,
    root: Path = Path("/"),
    **told: Any,
) -> Node:
    """A node of which everything is known that a test gives."""
    made = Node(Config() if config is None else config, path=None, environ=told.pop("environ", {}), root=root)
    made.__dict__.update(
        {
            **{"conversation": spoken or Conversation(), "running": None, "unit": None, "health": None},
            **{"measuring": False, **told},
        }
    )
    return made


def health(**values: Any) -> Any:
    """What a daemon has said just now."""
    body = health_body(
        **{
            "at": datetime.now(timezone.utc),
            "uptime_s": 3600,
            "cameras": {"main": CameraHealth(state="running", fps=14.9, dropped=0, brightness=0.4)},
            "stages_ms": {},
            "mqtt": MqttHealth(state="connected", protocol="5", queued=0, parked=0, dropped={}),
            "memory_mb": 150.0,
            **values,
        }
    )
    return body.message


def states(findings: Iterator[Finding]) -> list[str]:
    return [finding.state for finding in findings]


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_no_check_keeps_another_from_being_made() -> None:
    def mistake(_: Node) -> Iterator[Finding]:
        yield good("so far")
        raise KeyError("ours")

    def theirs(_: Node) -> Iterator[Finding]:
        raise SourceError("the camera\nis gone", fix="plug it in")

    made = [
        Check(name="a", look=mistake),
        Check(name="b", look=theirs),
        Check(name="c", look=lambda _: [bad("no", fix="yes")]),
    ]
    found = list(examine(node_of(), made))
    assert [(one.check, one.state) for one in found] == [("a", "good"), ("a", "bad"), ("b", "bad"), ("c", "bad")]
    assert (found[1].what, found[1].fix) == ("the check failed: KeyError: 'ours'", "please report this")
    assert found[2].line == "the camera\\u000ais gone; plug it in"


def test_without_a_configuration_the_rest_is_looked_at() -> None:
    broken = ConfigError("edgeface.toml: mqtt.prt: unknown key", fix="did you mean mqtt.port?")
    some = [check for check in checks.CHECKS if check.name in {"configuration", "clock", "broker", "daemon"}]
    found = {one.check: one for one in examine(node_of(broken), some)}
    assert found["configuration"].line == "edgeface.toml: mqtt.prt: unknown key; did you mean mqtt.port?"
    assert [found[name].state for name in ("configuration", "broker", "daemon")] == ["bad", "skipped", "skipped"]
    assert found["clock"].state in {"good", "warning", "skipped"}


def test_what_is_wrong_has_a_fix() -> None:
    assert len({check.name for check in checks.CHECKS}) == len(checks.CHECKS)
    for one in examine(node_of(), [check for check in checks.CHECKS if check.look.__module__ != libraries.__name__]):
        assert (one.fix is None) == (one.state in {"good", "skipped"}), one


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        (["/opt/edgeface/bin/python", "/opt/edgeface/bin/edgeface", "run", "--config", "x"], True),
        (["/opt/edgeface/bin/edgeface", "run"], True),
        (["python3", "-m", "edgeface", "run"], True),
        (["python3", "-m", "edgeface", "doctor"], False),
        (["vim", "edgeface", "x", "run"], False),
        ([""], False),
    ],
)
def test_a_daemon_is_known_by_its_command_line(tmp_path: Path, words: list[str], runs: bool) -> None:
    (tmp_path / "proc/77").mkdir(parents=True)
    (tmp_path / "proc/77/cmdline").write_bytes(("\0".join(words) + "\0").encode())
    (tmp_path / "proc" / str(os.getpid())).mkdir()
    (tmp_path / "proc" / str(os.getpid()) / "cmdline").write_bytes(b"edgeface\0run\0")
    (tmp_path / "proc/self").mkdir()
    assert daemons(tmp_path) == ([77] if runs else [])


FILE = '[node]\nid = "hall"\n'


@pytest.mark.parametrize(
    ("words", "variables", "ours"),
    [
        pytest.param("", "", True, id="the file of its folder"),
        pytest.param("--config edgeface.toml -v --source x --set mqtt.port=1", "", True, id="named"),
        pytest.param("--set node.id=yard", "", False, id="another node by the command line"),
        pytest.param("", "EDGEFACE__NODE__ID=yard", False, id="another node by the environment"),
        pytest.param("--config=other.toml", "", False, id="another file"),
        pytest.param("", "EDGEFACE_CONFIG=other.toml", False, id="another file by the environment"),
        pytest.param("--set mqtt.prt=1", "", True, id="what does not hold any more"),
        pytest.param("", None, True, id="one that we may not look into"),
    ],
)
def test_only_a_daemon_of_this_node_and_configuration_counts(
    tmp_path: Path, words: str, variables: str | None, ours: bool
) -> None:
    process, home = tmp_path / "proc/77", tmp_path / "home"
    process.mkdir(parents=True)
    home.mkdir()
    for name in ("edgeface.toml", "other.toml"):
        (home / name).write_text(FILE)
    command = ["/bin/edgeface", "run", *words.split()]
    (process / "cmdline").write_bytes(("\0".join(command) + "\0").encode())
    if variables is not None:
        (process / "environ").write_bytes(f"HOME=/root\0{variables}\0".encode())
        (process / "cwd").symlink_to(home)
    config = Config(node=NodeSettings(id="hall"))
    made = Node(config, path=home / "edgeface.toml", environ={}, root=tmp_path)
    unit = {"ActiveState": "active", "MainPID": "77"}
    made.__dict__.update({"conversation": Conversation(), "unit": unit})
    assert made.running == ("process 77" if ours else None)
    unit["MainPID"] = "78"
    del made.__dict__["running"]
    assert made.running == ("process 77" if ours else "the service"), "another user's may be hidden"


def test_libraries_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "PICTURES", "raise ImportError('numpy.core.multiarray failed to import')")
    assert only(libraries.numpy_and_opencv(node_of())).what == "OpenCV was built for another numpy"
    monkeypatch.setattr(libraries, "PICTURES", "import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    assert "instructions that this processor does not have" in only(libraries.numpy_and_opencv(node_of())).what
    monkeypatch.setattr(libraries, "PICTURES", 'print(\'{"numpy": "2.1", "opencv": "5.0.0"}\')')
    assert only(libraries.numpy_and_opencv(node_of())).what == "OpenCV 5.0.0 is not supported"


def test_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        libraries, "RUNTIMES", {"one": "print('1.2')", "two": "import nonesuch", "three": "raise OSError('no libgomp')"}
    )
    assert states(libraries.runtimes(node_of())) == ["good", "skipped", "warning"]
    monkeypatch.setattr(libraries, "RUNTIMES", {"two": "import nonesuch"})
    assert states(libraries.runtimes(node_of())) == ["skipped", "bad"]


def test_libraries_in_a_folder_of_our_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The Debian package has them in one that no other Python looks into; the current folder is nobody's."""
    own, here = tmp_path / "own", tmp_path / "here"
    for folder in (own, here):
        folder.mkdir()
    (own / "packed.py").write_text("VERSION = '1.2'\n", encoding="utf-8")
    (here / "numpy.py").write_text("raise SystemExit('somebody else wrote this')\n", encoding="utf-8")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(own))
    monkeypatch.setattr(libraries, "RUNTIMES", {"packed": "import packed; print(packed.VERSION)"})
    assert only(libraries.runtimes(node_of())).what == "packed 1.2"
    assert states(libraries.numpy_and_opencv(node_of())) == ["good"]


@pytest.mark.parametrize(
    ("said", "expected", "words"),
    [
        ("throttled=0x0\n", "good", "as they should be"),
        ("throttled=0x50005\n", "bad", "under-voltage, throttled"),
        ("throttled=0x10000\n", "warning", "had: under-voltage"),
        (None, "skipped", "says nothing"),
    ],
)
def test_power(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str | None, expected: str, words: str) -> None:
    monkeypatch.setattr(hardware, "ask", lambda *_: said)
    finding = only(hardware.power_and_heat(node_of(root=tmp_path)))
    assert finding.state == expected
    assert words in finding.what


def test_heat_and_memory(tmp_path: Path) -> None:
    (tmp_path / "sys/class/thermal/thermal_zone0").mkdir(parents=True)
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").write_text("84000\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemAvailable: 50000 kB\n")
    made = node_of(root=tmp_path)
    assert states(hardware.power_and_heat(made)) == ["skipped", "warning"]
    assert only(hardware.memory(made)).what == "51 MB of memory are free"


@pytest.mark.parametrize(("days", "expected"), [(-1, "bad"), (29, "warning"), (31, "good")])
def test_a_certificate_that_ends(days: int, expected: str) -> None:
    end = datetime.now(timezone.utc) + timedelta(days=days, hours=1)
    assert states(broker.certificates(node_of(spoken=Conversation(certificate_end=end)))) == [expected]


def test_rights_are_known_by_what_the_daemon_delivers() -> None:
    refused = Conversation(writes="refused")
    # Of one topic it is known, and not of all.
    finding = only(broker.rights(node_of(Config(node=NodeSettings(id="hall")), spoken=refused)))
    assert (finding.state, finding.what) == ("bad", "the broker refuses edgeface/hall/doctor to this client")
    assert states(broker.rights(node_of(spoken=refused, running="the service", health=health()))) == ["good"]
    parked = MqttHealth(state="connected", protocol="5", queued=0, parked=3, dropped={})
    assert states(broker.rights(node_of(spoken=refused, running="yes", health=health(mqtt=parked)))) == ["bad"]
    assert states(broker.rights(node_of(spoken=Conversation(writes="unknown", protocol="3.1.1")))) == ["skipped"]
    assert states(broker.rights(node_of(spoken=Conversation(failure="refused")))) == ["skipped"]


def test_what_the_networks_of_a_daemon_run_on() -> None:
    on = {"yunet": NetworkHealth(runtime="onnx", precision="fp32", provider="cuda")}
    told = InferenceHealth(onnxruntime="1.23.0, the system's, in /usr", networks=on, building=None, fallback=None)
    said = health(inference=told)
    assert only(providers.providers(node_of(running="it", health=said))).what == (
        "yunet on cuda (onnx fp32); ONNX Runtime 1.23.0, the system's, in /usr"
    )
    failed = msgspec.structs.replace(told, fallback="tensorrt does not load: libnvinfer.so.10")
    said = health(inference=failed)
    assert states(providers.providers(node_of(running="it", health=said))) == ["good", "good"]
    asked = Config(runtime=Runtime(provider="tensorrt"))
    *_, last = providers.providers(node_of(asked, running="it", health=said))
    assert last.line == "tensorrt does not load: libnvinfer.so.10; see docs/install/jetson.md"
    built = msgspec.structs.replace(told, building=BuildHealth(provider="tensorrt", since="2026-01-01T00:00:00.000Z"))
    assert (
        "builds its engines" in list(providers.providers(node_of(running="it", health=health(inference=built))))[1].what
    )
    assert states(providers.providers(node_of(running="it", health=health()))) == ["skipped"]


def test_without_a_daemon_each_provider_is_tried() -> None:
    assert only(providers.providers(node_of())).what == "every network runs on the processor"
    asked = Config(runtime=Runtime(provider="cuda"))
    first, second = providers.providers(node_of(asked))
    assert (first.state, second.state) == ("good", "warning")
    assert "cuda is not part of this ONNX Runtime" in second.what


def test_whose_onnx_runtime_it_is_is_said() -> None:
    found = [one.what for one in libraries.runtimes(node_of()) if one.what.startswith("ONNX Runtime")]
    assert found == [f"ONNX Runtime {onnx.version()} edgeface's own"]


def test_a_password_in_plain_text_is_said() -> None:
    config = Config(mqtt=Mqtt(host="broker.lan", username="door"))
    assert states(broker.connection(node_of(config))) == ["good", "warning"]
    assert states(broker.connection(node_of(Config(mqtt=Mqtt(username="door"))))) == ["good"], "on this machine"


def test_beside_a_daemon_no_camera_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "_place", lambda camera: f"camera {camera.source}")
    monkeypatch.setattr(camera, "_first_frame", lambda *_: pytest.fail("the camera was opened"))
    known = node_of(running="the service", health=health())
    assert only(camera.cameras(known)).what == "main: camera 0; the daemon has it, running at 14.9 frames a second"
    assert only(camera.cameras(node_of(running="process 7"))).state == "skipped"
    away = health(cameras={"main": CameraHealth(state="away", fps=None, dropped=0)})
    assert only(camera.cameras(node_of(running="process 7", health=away))).state == "bad"
    begun = health(cameras={"main": CameraHealth(state="starting", fps=None, dropped=0)})
    assert only(camera.cameras(node_of(running="process 7", health=begun))).state == "warning"
    for status, expected in zip(STATUSES, ("good", "bad", "warning"), strict=True):
        spoken = Conversation(heard={"main/state": msgspec.json.encode(state(status).message)})
        assert only(camera.cameras(node_of(running="process 7", health=begun, spoken=spoken))).state == expected
    rubbish = Conversation(heard={"main/state": b"{"})
    assert only(camera.cameras(node_of(running="process 7", health=health(), spoken=rubbish))).state == "good"
    paused = health(cameras={"main": CameraHealth(state="paused", fps=0.0, dropped=0)})
    assert only(camera.cameras(node_of(running="process 7", health=paused))).state == "warning"
    black = health(cameras={"main": CameraHealth(state="running", fps=5.0, dropped=0, brightness=0.01)})
    assert only(camera.cameras(node_of(running="process 7", health=black))).state == "warning"


def test_without_a_daemon_a_picture_is_asked_for(tmp_path: Path) -> None:
    for name, level in (("grey", 120), ("black", 0)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((48, 64, 3), level, np.uint8))
    config = Config(cameras={name: Camera(source=str(tmp_path / f"{name}.png")) for name in ("grey", "black", "none")})
    grey, black, none = camera.cameras(node_of(config))
    assert (grey.state, "64x48, brightness 0.47" in grey.what) == ("good", True)
    assert (black.state, none.state) == ("warning", "bad")
    here = free_port()
    config = Config(
        cameras={
            "door": Camera(source=f"rtsp://user:{SECRET}@{HOST}:{here}/x", open_timeout=2.0),
            "usb": Camera(source=250),
        }
    )
    door, usb = camera.cameras(node_of(config))
    assert f"{HOST} port {here}: connection refused" in door.what
    assert SECRET not in door.line
    assert "usb: there is no camera /dev/video250" in usb.what


def test_what_a_daemon_says_of_itself() -> None:
    config = Config()
    well = health(
        configuration=ConfigurationHealth(loaded_at="2026-01-01T00:00:00.000Z", error=None, hash=config_hash(config))
    )
    assert states(service.daemon(node_of(config, running="it", health=well))) == ["good"]
    ill = health(
        at=datetime.now(timezone.utc) - timedelta(minutes=9),
        configuration=ConfigurationHealth(loaded_at="2026-01-01T00:00:00.000Z", error="unknown key", hash="0"),
        mqtt=MqttHealth(state="connected", protocol="5", queued=0, parked=2, dropped={"visits": 4}),
        invalid={"yunet": 3},
        last_error=LastError(at="2026-01-01T00:00:00.000Z", text="camera lost"),
    )
    found = list(service.daemon(node_of(config, running="it", health=ill)))
    assert [one.state for one in found] == ["bad", "bad", "warning", "warning", "bad", "good"]
    assert "9 minutes ago" in found[0].what
    refused = {"StatusText": "1 of 1 cameras running, broker refused"}
    unheard = only(service.daemon(node_of(config, running="it", spoken=Conversation(failure="no"), unit=refused)))
    assert (unheard.state, unheard.what) == (
        "warning",
        "a daemon runs (it) and is not heard, nor do we reach the broker; it says: 1 of 1 cameras running, "
        "broker refused",
    )
    assert "the broker has nothing of it" in only(service.daemon(node_of(config, running="it"))).what
    away = Conversation(heard={"availability": b"offline"})
    found = list(service.daemon(node_of(config, running="it", health=well, spoken=away)))
    assert [one.state for one in found] == ["warning"]
    assert "the broker has it as offline" in found[0].what
    assert states(service.daemon(node_of(config))) == ["skipped"]
    other = health(configuration=ConfigurationHealth(loaded_at="2026-01-01T00:00:00.000Z", error=None, hash="0"))
    assert states(service.daemon(node_of(config, running="it", health=other))) == ["good", "warning"]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"state": "disk", "error": None}, ["good"]),
        ({"state": "memory", "error": "the disk is full"}, ["warning"]),
        (
            {"state": "disk", "error": None, "interrupted": [Interrupted(boot="b", number=7, seconds=2.0, ended=1)]},
            ["good", "warning"],
        ),
    ],
)
def test_the_spool_that_a_daemon_tells_of(told: dict[str, Any], expected: list[str]) -> None:
    said = health(spool=SpoolHealth(number=8, waiting=0, bytes=4096, **told))
    assert states(service.spool(node_of(running="it", health=said))) == expected
    off = Config(spool=Spool(enabled=False))
    assert states(service.spool(node_of(off, running="it", health=health()))) == ["skipped"]
    assert states(service.spool(node_of(running="it", health=health()))) == ["skipped"]


def test_another_bundle_than_the_daemons_is_said() -> None:
    told = health(bundle=BundleHealth(name="default", version="0.0.1", hash="0"))
    found = only(service.bundle(node_of(running="it", health=told)))
    assert (found.state, "but the daemon runs default 0.0.1 (0)" in found.what) == ("warning", True)
    assert states(service.bundle(node_of(running="it", health=health()))) == ["good"]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"ActiveState": "active", "UnitFileState": "enabled", "NRestarts": "0"}, ["good"]),
        (
            {"ActiveState": "failed", "Result": "exit-code", "UnitFileState": "enabled", "NRestarts": "20"},
            ["bad", "warning"],
        ),
        ({"ActiveState": "inactive", "UnitFileState": "disabled"}, ["warning", "warning"]),
        ({"LoadState": "masked", "ActiveState": "inactive", "UnitFileState": "masked"}, ["warning"]),
        (None, ["skipped"]),
    ],
)
def test_the_unit(state: dict[str, str] | None, expected: list[str]) -> None:
    assert states(service.unit(node_of(unit=state))) == expected


@pytest.mark.parametrize(
    ("code", "what", "fix"),
    [
        ("216", "a group of its unit", "SupplementaryGroups=video"),
        ("226", "this system gives it no namespaces", "nesting"),
        ("238", "its state directory", "/var/lib/private/edgeface"),
        ("243", "its secrets", "sudo install -d -m 0700 /etc/edgeface/credentials"),
    ],
)
def test_why_systemd_cannot_start_it(code: str, what: str, fix: str) -> None:
    """Each before the program's first line, so that its journal has nothing but systemd's own word."""
    for now in ("failed", "activating"):
        found, *_ = service.unit(node_of(unit={"ActiveState": now, "Result": "exit-code", "ExecMainStatus": code}))
        assert found.state == "bad"
        assert found.what.startswith(f"systemd cannot start the service: {what}")
        assert fix in (found.fix or "")
    assert states(service.unit(node_of(unit={"ActiveState": "active", "ExecMainStatus": code}))) == ["good"]


def test_a_password_that_the_service_has_not_read(tmp_path: Path) -> None:
    started_us = int(time.monotonic() * 1e6)
    unit = {"ActiveState": "active", "UnitFileState": "enabled", "ExecMainStartTimestampMonotonic": str(started_us)}
    made = node_of(unit=unit)
    made.path = tmp_path / "edgeface.toml"
    assert states(service.unit(made)) == ["good"], "there is no such folder"
    secret = tmp_path / "credentials/password"
    secret.parent.mkdir()
    secret.write_text(SECRET, encoding="utf-8")
    os.utime(secret, (time.time() - 60, time.time() - 60))
    assert states(service.unit(made)) == ["good"]
    os.utime(secret, (time.time() + 60, time.time() + 60))
    _, found = service.unit(made)
    assert found.line == (
        f"the service has not read password in {secret.parent}, written since its start; "
        "sudo systemctl restart edgeface (a reload does not read it)"
    )
    unit["ActiveState"] = "inactive"
    assert len(states(service.unit(made))) == 1, "the next start reads it"


def test_the_broker_is_asked_by_a_client_of_its_own(mosquitto: Callable[..., Mosquitto], publish: Make) -> None:
    running = mosquitto()
    publisher, outbox = publish(running.port)
    outbox.accept(state("away"))
    outbox.accept(Body(kind="health", camera=None, message=health()))
    assert publisher.connection.wait_connected(10)
    config = Config(node=NodeSettings(id="hall"), mqtt=Mqtt(host=HOST, port=running.port))
    made = Node(config, path=None, environ={}, root=Path("/nowhere"))
    assert made.health is not None
    assert made.health.uptime == 3600
    assert (made.status_of("main"), made.status_of("back")) == ("away", None)
    assert made.running == "hall is online at the broker"
    assert made.conversation.writes == "taken"
    assert "edgeface-doctor-" in running.log()
    assert running.connections_of("edgeface-hall") == 1, "the daemon was not thrown out"
    assert publisher.connection.connections == 1


def test_a_broker_that_refuses(mosquitto: Callable[..., Mosquitto]) -> None:
    running = mosquitto(acl="topic read edgeface/#\n")
    config = Config(mqtt=Mqtt(host=HOST, port=running.port))
    spoken = converse(config, node="hall", environ={}, retained_s=0.05)
    assert (spoken.failure, spoken.writes) == (None, "refused")
    strict = mosquitto(anonymous=False)
    spoken = converse(Config(mqtt=Mqtt(host=HOST, port=strict.port)), node="hall", environ={})
    assert spoken.failure is not None
    assert "not authorized" in spoken.failure
    assert spoken.hint == "check user, password and certificates"


@pytest.mark.parametrize(
    ("mqtt", "files", "fix"),
    [
        (Mqtt(), (), "no mqtt.username is given: write"),
        (Mqtt(username="hall"), (), "there is no password: see mqtt.password_file"),
        (
            Mqtt(username="hall"),
            ("password.txt",),
            r"there is no password: write it into .*/credentials/password, then",
        ),
        (Mqtt(username="hall", password=""), ("password",), "there is no password: write it into"),
        (Mqtt(username="hall", password="wrong"), ("password",), "check user, password and certificates"),
        (Mqtt(cert_file="/nowhere/cert.pem", key_file="/nowhere/key.pem"), (), "check user, password and certificates"),
    ],
)
def test_what_is_missing_for_a_broker_that_refuses_is_named(
    mqtt: Mqtt, files: tuple[str, ...], fix: str, tmp_path: Path
) -> None:
    """A password in `password.txt`, or a name that was never uncommented: nothing is wrong, something is not there."""
    for file in files:
        (tmp_path / "credentials").mkdir()
        (tmp_path / "credentials" / file).write_text("")
    refused = Conversation(failure="it refuses us: not authorized", hint="check user, password and certificates")
    asked = node_of(Config(mqtt=mqtt), spoken=refused)
    asked.path = tmp_path / "edgeface.toml"
    found = only(broker.connection(asked))
    assert found.state == "bad"
    assert re.match(fix, found.fix or ""), found.fix


@pytest.mark.parametrize("number", [socket.EAI_AGAIN, socket.EAI_NONAME])
@pytest.mark.parametrize("host", ["homeassistant.local", "broker.lan"])
def test_a_name_that_only_the_network_itself_knows(host: str, number: int) -> None:
    why = {socket.EAI_AGAIN: "Temporary failure in name resolution", socket.EAI_NONAME: "Name or service not known"}
    failure = connect_failure(socket.gaierror(number, why[number]))
    spoken = Conversation(failure=str(failure), hint=failure.hint)
    found = only(broker.connection(node_of(Config(mqtt=Mqtt(host=host)), spoken=spoken)))
    assert ("libnss-mdns" in (found.fix or "")) == host.endswith(".local"), found


def test_who_may_not_read_the_password_is_not_told_to_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").mkdir(mode=0o000)
    monkeypatch.setattr(os, "access", lambda *_: False)
    refused = Conversation(failure="it refuses us: not authorized", hint="check user, password and certificates")
    asked = node_of(Config(mqtt=Mqtt(username="hall")), spoken=refused)
    asked.path = tmp_path / "edgeface.toml"
    assert only(broker.connection(asked)).fix == "this user may not read the service's password: run this as root"


def test_a_broker_that_expects_tls(mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    running = mosquitto(lines=Authority(tmp_path).lines)
    spoken = converse(Config(mqtt=Mqtt(host=HOST, port=running.port)), node="hall", environ={})
    assert (spoken.failure, spoken.hint) == ("it expects TLS on this port", "set mqtt.tls or mqtt.ca_file")


def test_a_broker_that_is_not_there() -> None:
    spoken = converse(Config(mqtt=Mqtt(host=HOST, port=free_port())), node="hall", environ={})
    assert spoken.failure == "connection refused"
    lost = Config(mqtt=Mqtt(password_file="/nowhere/password"))
    assert "/nowhere/password cannot be read" in str(converse(lost, node="hall", environ={}).failure)


@pytest.mark.parametrize("encoding", ["utf-16", "ascii", "latin-1"])
def test_whatever_the_terminal_is_written_in(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    monkeypatch.setattr(libraries, "RUNTIMES", {"one": "print('1.2 \\u00b0')"})
    assert states(libraries.numpy_and_opencv(node_of())) == ["good"]
    assert only(libraries.runtimes(node_of())).what == "one 1.2 \u00b0"
    command = [
        sys.executable,
        "-m",
        "edgeface",
        "config",
        "check",
        "--set",
        "node.id=d\u00f6r",
        "--set",
        "x\U0001f600=1",
    ]
    done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONUTF8": "1"})
    assert done.returncode == 2
    told = done.stderr.decode(encoding)
    assert told.startswith("edgeface: ")
    assert "Traceback" not in told


def test_a_spool_that_root_has_copied_there_is_given_back(tmp_path: Path) -> None:
    told = health(
        spool=SpoolHealth(state="memory", error="Permission denied", number=None, waiting=0, bytes=0, interrupted=[])
    )
    asked = node_of(running="it", health=told, environ={"STATE_DIRECTORY": str(tmp_path)})
    found = only(service.spool(asked))
    assert found.fix == f"sudo chown -R --reference={tmp_path}/ {tmp_path}/, then sudo systemctl restart edgeface"


def test_files_that_root_reads_and_the_service_may_not_are_told(tmp_path: Path) -> None:
    """`sudo cp` of what was provisioned keeps it for its owner alone."""
    (tmp_path / "credentials").mkdir()
    for name, mode in (("ca.pem", 0o600), ("cert.pem", 0o644), ("key.pem", 0o600), ("credentials/password", 0o600)):
        (tmp_path / name).write_text("x", encoding="utf-8")
        (tmp_path / name).chmod(mode)
    files: dict[str, Any] = {
        key: str(tmp_path / f"{key.removesuffix('_file')}.pem") for key in ("ca_file", "cert_file", "key_file")
    }
    config = Config(mqtt=Mqtt(**files, password_file=str(tmp_path / "credentials/password")))
    asked = node_of(config, unit={"ActiveState": "failed", "Result": "exit-code"})
    asked.path = tmp_path / "edgeface.toml"
    _, authority, key = service.unit(asked)
    assert authority.what == f"the service has a user of its own, who may not read mqtt.ca_file {files['ca_file']}"
    assert authority.fix == f"sudo chmod 0644 {files['ca_file']}"
    assert (key.fix or "").endswith('mqtt.key_file = "/run/credentials/edgeface.service/mqtt_key.pem"')
    asked.__dict__["unit"] = {"ActiveState": "active"}
    assert states(service.unit(asked)) == ["good"], "it is there, so it may"


def test_two_names_that_lead_to_one_camera_now_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers change with what is plugged in, so that is no reason not to start."""
    links = {"/dev/v4l/by-id/usb-a": "/dev/video0"}
    monkeypatch.setattr("os.path.realpath", lambda path, **_: links.get(str(path), str(path)))
    both = {"door": Camera(source=0), "yard": Camera(source="/dev/v4l/by-id/usb-a")}
    first, *_ = camera.cameras(node_of(Config(cameras=both)))
    assert first.state == "warning"
    assert first.what.endswith(
        "cameras.yard.source is the camera of cameras.door, /dev/video0, and only one can have it"
    )
    links.clear()
    first, *_ = camera.cameras(node_of(Config(cameras=both)))
    assert "only one can have it" not in first.what


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder into which everybody may look; that of a test is its user's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[cameras.door]\nsource = "rtsp://me:pass-word@cam/1"\n', "the password of cameras.door.source"),
        ('[cameras.door]\nsource = "http://cam/video?user=me&pwd=pass-word"\n', "the password of cameras.door.source"),
        ('[mqtt]\npassword = "pass-word"\n', "mqtt.password"),
        ('[cameras.door]\nsource = "rtsp://me@cam/1"\n', None),
        ('[cameras.door]\nsource = "rtsp://cam/stream1?channel=1"\n', None),
        ("", None),
    ],
)
def test_a_configuration_with_a_password_is_not_for_everybody(
    text: str, told: str | None, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = reachable / "edgeface.toml"
    path.write_text(text)
    path.chmod(0o644)
    asked = node_of(load_config(path))
    asked.path = path
    found = only(secrets.secrets(asked))
    if told is None:
        assert found.state == "good"
        return
    assert found.what == f"every user of this machine reads {path}, which holds {told}"
    assert (found.state, found.fix) == ("warning", f"chmod 0600 {path}")
    assert "pass-word" not in found.line
    # The service's: its own user comes and goes, so it reads by its group.
    monkeypatch.setattr(secrets, "CONFIG_PATHS", (path,))
    asked.__dict__["unit"] = {"ActiveState": "active"}
    found = only(secrets.secrets(asked))
    assert found.fix == f"sudo chgrp video {path} && sudo chmod 0640 {path}"
    path.chmod(0o640)
    assert states(secrets.secrets(asked)) == ["good"]
    path.chmod(0o644)
    reachable.chmod(0o700)
    assert states(secrets.secrets(asked)) == ["good"], "nobody gets there"


def test_other_files_with_secrets_are_not_for_everybody(reachable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = reachable / "credentials"
    folder.mkdir(mode=0o755)
    path, key = reachable / "edgeface.toml", reachable / "key.pem"
    for one, text in (
        (path, f'[mqtt]\ncert_file = "/c"\nkey_file = "{key}"\n'),
        (key, "x"),
        (folder / "password", "x"),
        (reachable / "environment", "# EDGEFACE_MQTT_PASSWORD=\nEDGEFACE_MQTT_PASSWORD=pass-word\n"),
    ):
        one.write_text(text)
        one.chmod(0o644)
    monkeypatch.setattr(secrets, "CONFIG_PATHS", (path,))
    asked = node_of(load_config(path), unit={"ActiveState": "active"})
    asked.path = path
    environment, private, credentials = secrets.secrets(asked)
    assert environment.fix == f"sudo chmod 0600 {reachable}/environment"
    assert private.fix == f'put it into {folder}, and mqtt.key_file = "/run/credentials/edgeface.service/mqtt_key.pem"'
    assert credentials.fix == f"sudo chmod 0700 {folder}"
    folder.chmod(0o700)
    (reachable / "environment").write_text("# EDGEFACE_MQTT_PASSWORD=\nEDGEFACE__NODE__ID=hall\n")
    key.chmod(0o600)
    assert states(secrets.secrets(asked)) == ["good"]


def test_a_configuration_for_root_alone_is_told(tmp_path: Path) -> None:
    path = tmp_path / "edgeface.toml"
    path.write_text("")
    asked = node_of(unit={"ActiveState": "failed", "Result": "exit-code"})
    asked.path = path
    path.chmod(0o600)
    _, found = service.unit(asked)
    assert found.what == f"the service has a user of its own, who may not read {path}"
    assert found.fix == f"sudo chgrp video {path} && sudo chmod 0640 {path}"
    path.chmod(0o644)
    assert states(service.unit(asked)) == ["bad"]


def test_what_root_types_has_the_services_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    config = tmp_path / "edgeface.toml"
    use_credentials(config, service=config)
    assert "CREDENTIALS_DIRECTORY" not in os.environ, "there is no such folder"
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/password").write_text(SECRET, encoding="utf-8")
    use_credentials(tmp_path / "my.toml", service=config)
    assert "CREDENTIALS_DIRECTORY" not in os.environ, "it is another configuration's"
    use_credentials(config, service=config)
    assert mqtt_password(Mqtt(), os.environ) == SECRET
    monkeypatch.setitem(os.environ, "CREDENTIALS_DIRECTORY", "/run/credentials/other")
    use_credentials(config, service=config)
    assert os.environ["CREDENTIALS_DIRECTORY"] == "/run/credentials/other"


def test_what_root_types_has_the_services_key_also_while_no_service_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Systemd's copy of the key is there only as long as the service is, which is when nobody needs the doctor."""
    own = Path(Authority(tmp_path).path("node"))
    (tmp_path / "key.pem").write_bytes(own.read_bytes())
    served = "/run/credentials/edgeface.service/mqtt_key.pem"
    config = tmp_path / "edgeface.toml"
    config.write_text(f'[mqtt]\ncert_file = "{own}"\nkey_file = "{served}"\n', encoding="utf-8")
    assert main(["config", "check", "--config", str(config)]) == 2
    assert f"mqtt.key_file: {served} cannot be read" in capsys.readouterr().err
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert main(["config", "check", "--config", str(config)]) == 0
    (tmp_path / "key.pem").rename(tmp_path / "mqtt_key.pem")
    assert main(["config", "check", "--config", str(config)]) == 2, "for the service nothing changes"


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.examine, "__defaults__", ((Check(name="x", look=lambda _: [bad("no", fix="yes")]),),))
    assert main(["doctor", "--json", "--set", "node.id=hall", "--set", "mqtt.port=1"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["node"], told["bad"], told["good"]) == ("hall", 1, 0)
    assert told["findings"] == [{"check": "x", "state": "bad", "what": "no", "fix": "yes"}]
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.splitlines() == ["BAD  x: no; yes", "1 bad, 0 to be looked at, 0 good, 0 not asked"]
    assert main(["doctor", "--set", "nonsense=1"]) == 0, "the only check needs a configuration"
    assert capsys.readouterr().out.splitlines()[0] == "-    x: not looked at without a configuration"


def test_a_report_has_everything_but_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    log = (
        f"edgeface: rtsp://other:pw1@host/x\nffmpeg: Did you mean file:rtsp://eye:{SECRET}@cam/1\nmqtt said {SECRET}\n"
    )
    monkeypatch.setattr(report, "ask", lambda *_: log)
    config = Config(
        mqtt=Mqtt(host="broker.lan", username="door", password="abc"),
        cameras={"main": Camera(source=f"rtsp://eye:{SECRET}@cam/1?token=t0ken99")},
    )
    said = health(last_error=LastError(at="2026-01-01T00:00:00.000Z", text=f"rtsp://eye:{SECRET}@cam lost"))
    spoken = Conversation(heard={"health": json.dumps({"text": str(said.last_error.text)}).encode()})
    made = node_of(config, spoken=spoken, environ={"EDGEFACE_MQTT_PASSWORD": "fromenv", "EDGEFACE__X": "fromenv"})
    text = report.compose(made, [Finding(check="a", state="bad", what="user abc uses abcdef fromenv", fix="b")])
    for secret in (SECRET, "fromenv", "t0ken99", "pw1", "rtsp://eye"):
        assert secret not in text
    assert "user *** uses abcdef ***; b" in text, "a short secret is masked where it stands alone"
    for words in ("broker.lan", "EDGEFACE_MQTT_PASSWORD", "== health ==", "numpy", "rtsp://***@cam", "mqtt said ***"):
        assert words in text
    assert "connect_timeout" not in text, "what is as usual is left out"


def test_the_report_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks.examine, "__defaults__", ((),))
    monkeypatch.setattr(node, "converse", lambda *_, **__: Conversation())
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--set", "node.id=hall"]) == 0
    (path,) = tmp_path.glob("edgeface-report-hall-*.txt")
    assert capsys.readouterr().out.startswith(f"{path.name} is written.")
    assert path.read_text().startswith("edgeface ")


def test_a_conversation_leaves_no_descriptor(recwarn: pytest.WarningsRecorder) -> None:
    converse(Config(mqtt=Mqtt(host=HOST, port=free_port())), node="hall", environ={})
    gc.collect()
    assert [str(one.message) for one in recwarn if issubclass(one.category, ResourceWarning)] == []


@pytest.mark.parametrize(("place", "words"), [("no/such/report.txt", "there is no folder"), ("", "is a folder")])
def test_a_place_for_the_report_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str, words: str
) -> None:
    path = tmp_path / place
    assert main(["report", "--out", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--out {path}" in line
    assert words in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("state", "expected"), [("fresh", "good"), ("stale", "warning"), ("none", "skipped"), ("off", "skipped")]
)
def test_whether_the_networks_were_measured_here_is_told_with_its_age(state: Any, expected: str) -> None:
    made = iso(datetime.now(timezone.utc) - timedelta(days=3, hours=1))
    text = "measured on 2026-11-30: 10.0 ms a frame; run `edgeface tune`" if state == "stale" else "so it is"
    told = InferenceHealth(
        onnxruntime=None,
        networks={},
        building=None,
        fallback=None,
        tuning=TuningHealth(state=state, made=made, text=text),
    )
    found = only(tuning.tuning(node_of(running="process 7", health=health(inference=told))))
    assert found.state == expected
    assert found.fix == ("sudo edgeface tune" if state == "stale" else None)
    assert found.what.endswith(", 3 days ago") == (state == "fresh")


@pytest.mark.parametrize("unit", ["active", "activating"])
@pytest.mark.parametrize("state", ["stale", "none", "fresh"])
def test_while_it_is_measured_nobody_is_asked_to_measure(
    state: Any, unit: str, tmp_path: Path, monkeypatch: Any
) -> None:
    """What the package starts at its installation takes minutes, and a second measurement beside it spoils both."""
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\n[ "$2" = edgeface-tune ] && echo ActiveState={unit}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    told = InferenceHealth(
        onnxruntime=None,
        networks={},
        building=None,
        fallback=None,
        tuning=TuningHealth(state=state, made=iso(datetime.now(timezone.utc)), text="so it is; run `edgeface tune`"),
    )
    asked = node_of(running="process 7", health=health(inference=told))
    del asked.__dict__["measuring"]
    found = only(tuning.tuning(asked))
    assert (found.state, found.fix) == ("good" if state == "fresh" else "skipped", None)
    if state != "fresh":
        assert found.what == "so it is; edgeface-tune is measuring now, it takes minutes"


def test_without_a_daemon_the_choice_that_lies_here_is_told(tmp_path: Path) -> None:
    found = only(tuning.tuning(node_of(environ={"STATE_DIRECTORY": str(tmp_path)}, root=tmp_path)))
    assert (found.state, found.what) == ("skipped", "not measured here: the bundle's order holds; sudo edgeface tune")


@pytest.mark.parametrize(
    "make", [lambda path: path.write_text("{broken"), lambda path: path.mkdir()], ids=["broken", "a folder"]
)
def test_a_broken_choice_is_said_with_its_place_and_the_fix(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "tuning.json")
    found = only(tuning.tuning(node_of(environ={"STATE_DIRECTORY": str(tmp_path)}, root=tmp_path)))
    wrong, fix = found.what.partition(": ")[0], found.fix
    expected = {f"{tmp_path}/tuning.json is broken": "sudo edgeface tune"}
    expected[f"{tmp_path}/tuning.json is a folder"] = "remove it, then sudo edgeface tune"
    assert (found.state, fix) == ("warning", expected[wrong])


def test_the_service_s_choice_is_looked_at_and_not_what_this_user_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not write the service's folder measures into his own, and asked there the doctor saw no broken file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    service = tmp_path / "var/lib/edgeface"
    service.mkdir(parents=True)
    (service / "tuning.json").write_text("{broken")
    environ = {"HOME": str(tmp_path)}
    allowed = {os.W_OK | os.X_OK: False}
    monkeypatch.setattr(os, "access", lambda _, mode: allowed.get(mode, True))
    assert f"{service}/tuning.json is broken" in only(tuning.tuning(node_of(environ=environ, root=tmp_path))).what
    allowed[os.X_OK] = False
    closed = only(tuning.tuning(node_of(environ=environ, root=tmp_path)))
    assert (closed.state, closed.what) == (
        "skipped",
        f"what the service takes lies in {service}, closed to this user; sudo edgeface doctor",
    )
