"""SIGHUP: a new configuration beside the one that runs, taken whole or not at all; and what a closed terminal asks."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from astronaut import write_film
from brokers import AnyBroker, Auditor, Mosquitto, eventually, free_port
from daemons import NO_CAMERA, ROOT, Child, Manager

from edgeface.config import Config, Runtime
from edgeface.errors import ConfigError, EdgefaceError
from edgeface.service.assembly import Assembly
from edgeface.service.reload import Reload
from edgeface.service.untouched import same_networks

CAMERA = f'[cameras.main]\nsource = "{NO_CAMERA}"\n'
HALL = '[node]\nid = "hall"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "edgeface.toml"
    path.write_text(text)
    return path


def configurations(auditor: Auditor) -> list[dict[str, Any]]:
    return [heard.json["configuration"] for heard in auditor.of("health")]


def test_the_configuration_as_it_is_now(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], manager: Manager, tmp_path: Path
) -> None:
    auditor = audit(broker)
    config = write(tmp_path, f'[node]\nid = "before"\n{CAMERA}')
    child = run(broker.port, "--config", config, environ=manager.environ)
    auditor.wait_for(lambda a: a.words() == ["online"])
    write(tmp_path, f'[node]\nid = "after"\n{CAMERA}')
    child.process.send_signal(signal.SIGHUP)
    auditor.wait_for(lambda a: a.words() == ["online", "offline", "online"])
    said = [(heard.topic, heard.payload) for heard in auditor.of("availability")]
    assert said == [
        ("edgeface/before/availability", b"online"),
        ("edgeface/before/availability", b"offline"),
        ("edgeface/after/availability", b"online"),
    ]
    eventually(lambda: manager.count("READY=1") == 2, "ready again")
    words = manager.words()
    assert words.index("RELOADING=1") < len(words) - 1 - words[::-1].index("READY=1")
    assert words[words.index("RELOADING=1") + 1].startswith("MONOTONIC_USEC=")
    assert manager.count("STOPPING=1") == 0
    assert child.ask(signal.SIGTERM) == 0, child.log()
    assert manager.count("STOPPING=1") == 1
    # Each outbox counts from 0, so each has a boot of its own.
    assert len({heard.json["boot"] for heard in auditor.of("notice")}) == 2


def test_what_started_it_with_another_file_is_told_until_a_reload(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], tmp_path: Path
) -> None:
    """A card whose file cannot hold: the image runs the last good one, and `run` hears why."""
    auditor = audit(broker)
    config = write(tmp_path, HALL + CAMERA)
    child = run(broker.port, "--config", config, environ={"EDGEFACE_CONFIGURATION_NOTE": "the card's\nis wrong"})
    auditor.wait_for(lambda a: bool(a.of("health")))
    assert configurations(auditor)[0]["error"] == "the card's\\u000ais wrong"
    child.process.send_signal(signal.SIGHUP)
    auditor.wait_for(lambda a: configurations(a)[-1]["error"] is None)
    assert child.ask(signal.SIGTERM) == 0, child.log()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param("[mqqt]\nport = 1\n", "mqqt: unknown key", id="unknown table"),
        pytest.param("[mqtt\n", "is not valid TOML", id="no TOML"),
        pytest.param(
            "[schedule.age-v9]\ninitial_samples = 1\n", "schedule.age-v9: bundle default has no network", id="network"
        ),
        pytest.param('[mqtt]\nca_file = "/nowhere/ca.pem"\n', "mqtt.ca_file: /nowhere/ca.pem", id="certificate"),
        pytest.param('[cameras.desk]\nsource = "/nowhere/x.mp4"\n', "/nowhere/x.mp4 does not exist", id="source"),
        pytest.param(None, "does not exist", id="no file"),
    ],
)
def test_a_bad_one_is_one_line_and_the_old_one_runs_on(
    broker: AnyBroker,
    audit: Callable[..., Auditor],
    run: Callable[..., Child],
    manager: Manager,
    tmp_path: Path,
    wrong: str | None,
    said: str,
) -> None:
    auditor = audit(broker)
    config = write(tmp_path, HALL + CAMERA)
    child = run(broker.port, "--config", config, environ=manager.environ)
    auditor.wait_for(lambda a: bool(a.of("health")))
    if wrong is None:
        config.unlink()
    else:
        write(tmp_path, HALL + CAMERA + wrong)
    child.process.send_signal(signal.SIGHUP)
    eventually(lambda: manager.count("READY=1") == 2, "the end of the reload")
    auditor.wait_for(lambda a: configurations(a)[-1]["error"] is not None)
    told = configurations(auditor)[-1]
    assert said in told["error"]
    assert told["loaded_at"] == configurations(auditor)[0]["loaded_at"]
    assert any(word.startswith("STATUS=") and said in word for word in manager.words())
    lines = [line for line in child.log().splitlines() if "the configuration is not taken, the old one runs on" in line]
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in child.log()
    # Nothing was touched: the connection is the first, and so is the boot.
    assert auditor.words() == ["online"]
    write(tmp_path, HALL + CAMERA)
    child.process.send_signal(signal.SIGHUP)
    auditor.wait_for(lambda a: configurations(a)[-1]["error"] is None)
    assert configurations(auditor)[-1]["loaded_at"] > told["loaded_at"]
    assert len({heard.json["boot"] for heard in auditor.of("health")}) == 1
    assert child.ask(signal.SIGTERM) == 0, child.log()


def test_many_in_a_row_are_no_demand_to_leave(run: Callable[..., Child], manager: Manager) -> None:
    child = run(free_port(), "--source", NO_CAMERA, environ=manager.environ)
    eventually(lambda: manager.count("READY=1") == 1, "ready")
    child.process.send_signal(signal.SIGHUP)
    eventually(lambda: manager.count("RELOADING=1") == 1, "the reload")
    for _ in range(5):
        child.process.send_signal(signal.SIGHUP)
    # What came meanwhile is one more reading, and no more.
    eventually(lambda: manager.count("READY=1") == 3, "two reloads")
    watched = manager.count("WATCHDOG=1")
    eventually(lambda: manager.count("WATCHDOG=1") > watched + 3, "the watchdog's food")
    assert manager.count("RELOADING=1") == 2
    assert child.ask(signal.SIGTERM) == 0, child.log()


def test_one_in_the_first_moment_of_a_start(run: Callable[..., Child], manager: Manager) -> None:
    child = run(free_port(), "--source", NO_CAMERA, environ=manager.environ)
    eventually(lambda: child.catches(signal.SIGHUP), "the handlers")
    assert manager.words() == []
    child.process.send_signal(signal.SIGHUP)
    child.process.send_signal(signal.SIGHUP)
    eventually(lambda: manager.count("READY=1") == 2, "the start and one reload")
    assert child.ask(signal.SIGTERM) == 0, child.log()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_stop_in_the_first_moment_of_a_start(
    run: Callable[..., Child], manager: Manager, number: int, code: int
) -> None:
    child = run(free_port(), "--source", NO_CAMERA, environ=manager.environ)
    # The last to be caught; what measures coverage has a handler of its own for SIGTERM.
    eventually(lambda: child.catches(signal.SIGHUP), "the handlers")
    assert child.ask(number) == code
    assert child.log() == ""
    assert manager.words() == []


def test_a_stop_where_python_swallows_what_is_raised_ends_the_start_all_the_same() -> None:
    """In the callback of a weak reference, as each import has one."""
    code = (
        "import os, signal, weakref\nfrom edgeface.service.signals import Signals\n"
        "signals = Signals({}).catch()\nthing = type('Thing', (), {})()\n"
        "ref = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))\ndel thing\nprint('it goes on')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_what_waits_for_the_broker_outlives_it(
    mosquitto: Callable[..., Mosquitto],
    audit: Callable[..., Auditor],
    run: Callable[..., Child],
    manager: Manager,
    tmp_path: Path,
) -> None:
    broker = mosquitto()
    auditor = audit(broker)
    film = write_film(tmp_path / "long.mp4", seconds=60)
    table = f'[cameras.main]\nsource = "{film}"\npace = "realtime"\n'
    config = write(tmp_path, HALL + table)
    child = run(broker.port, "--config", config, environ=manager.environ)
    auditor.wait_for(lambda a: bool(a.of("visits")), "somebody")
    broker.stop()
    eventually(lambda: " lost: " in child.log(), "the loss")
    # Another client id is another connection: over the same messages.
    write(tmp_path, f'{HALL}{table}[mqtt]\nclient_id = "other"\n')
    child.process.send_signal(signal.SIGHUP)
    eventually(lambda: manager.count("READY=1") == 2, "the reload")
    broker.start()
    eventually(lambda: " as other " in broker.log(), "the new connection")
    assert child.ask(signal.SIGTERM) == 0, child.log()
    auditor.wait_for(lambda a: a.words()[-1] == "offline")
    visits = [heard.json for heard in auditor.of("visits")]
    assert len({visit["boot"] for visit in visits}) == 1
    # Another connection is no reason for a visit to end.
    assert len({visit["visit"] for visit in visits}) == 1
    assert (visits[0]["event"], visits[-1]["event"]) == ("start", "end")
    dropped = sum(auditor.of("health")[-1].json["mqtt"]["dropped"].values())
    # A `faces` and a `health`, of QoS 0, may have gone down with the broker after they were handed to the network.
    assert max(auditor.seqs()) + 1 - len(set(auditor.seqs())) <= dropped + 2


def test_code_of_the_current_folder_is_not_run(run: Callable[..., Child], manager: Manager) -> None:
    child = run(free_port(), "--source", NO_CAMERA, environ=manager.environ)
    eventually(lambda: manager.count("READY=1") == 1, "ready")
    for name in ("queue", "onnxruntime", "edgeface"):
        (child.folder / f"{name}.py").write_text('open("hijacked", "w")\n')
    child.process.send_signal(signal.SIGHUP)
    eventually(lambda: manager.count("READY=1") == 2, "the reload")
    assert not (child.folder / "hijacked").exists()


@pytest.mark.parametrize("managed", [False, True], ids=["by hand", "by a manager"])
def test_a_closed_terminal_stops(run: Callable[..., Child], manager: Manager, managed: bool) -> None:
    ours, theirs = pty.openpty()
    child = run(
        free_port(),
        "--source",
        NO_CAMERA,
        environ=manager.environ if managed else {},
        stdin=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    eventually(lambda: "camera main lost" in child.log(), "the daemon")
    os.close(ours)
    assert child.wait() == 0
    assert "read again" not in child.log()


def test_many_reloads_need_the_memory_of_two(run: Callable[..., Child], manager: Manager) -> None:
    child = run(free_port(), "--source", NO_CAMERA, environ=manager.environ)
    resident_mb: list[float] = []
    for count in range(1, 8):
        eventually(lambda count=count: manager.count("READY=1") == count, "the reload")  # type: ignore[misc]
        pages = Path(f"/proc/{child.process.pid}/statm").read_text().split()[1]
        resident_mb.append(int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6)
        child.process.send_signal(signal.SIGHUP)
    # Without giving it back to the kernel each one added 12 MB.
    assert resident_mb[-1] < resident_mb[1] + 20, resident_mb


def hangup(environ: Mapping[str, str], before: str = "") -> list[str]:
    """What `Signals` makes of SIGHUP in a process without a terminal: stop, and whether a reload is asked for."""
    code = (
        f"import os, signal\n{before}\nfrom edgeface.service.signals import Signals\n"
        "signals = Signals(os.environ).catch()\n"
        "signals.started()\nos.kill(os.getpid(), signal.SIGHUP)\nos.kill(os.getpid(), signal.SIGHUP)\n"
        "print(signals.stop, signals.take_reload(), signals.take_reload())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
        env={**environ, "PYTHONPATH": str(ROOT)},
    )
    return done.stdout.split()


def test_what_a_hangup_means() -> None:
    assert hangup({"NOTIFY_SOCKET": "/run/notify"}) == ["None", "True", "False"]
    assert hangup({}) == ["None", "True", "False"]
    # nohup
    ignored = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    assert hangup({"NOTIFY_SOCKET": "/run/notify"}, ignored) == ["None", "False", "False"]


def test_an_error_of_the_program_itself_is_a_refusal() -> None:
    def load(error: Exception) -> Any:
        raise error

    before = cast("Assembly", None)
    broken = Reload(lambda _: load(RuntimeError("a bug")), before)
    broken.join(10)
    outcome = broken.outcome()
    assert isinstance(outcome, EdgefaceError)
    assert "a bug" in str(outcome)
    wrong = Reload(lambda _: load(ConfigError("x", fix="y")), before)
    wrong.join(10)
    assert str(wrong.outcome()) == "x; y"


def test_another_provider_is_other_networks() -> None:
    old = Config(runtime=Runtime(provider="cpu"))
    assert same_networks(old, Config(runtime=Runtime(provider="cpu", turn=1.0)))
    assert not same_networks(old, Config(runtime=Runtime(provider="cuda")))
