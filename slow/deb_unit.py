"""The unit under systemd itself: READY, WATCHDOG, a hang, reloads, a clean stop; its rest, and how exposed it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from pretend_camera import CONFIG as CAMERA
from pretend_camera import PretendCamera

from slow.deb_cycle import CONFIG, READY_S, Told
from slow.nspawn import Machine, wait_for

GOOD = f'[node]\nid = "hall"\n[visits]\nupdate_interval = 1.0\n[cameras.main]\n{CAMERA}'
WATCHDOG_S = 10
EXPOSURE_MOST = 1.5
SETTLE_S, REST_S = 20.0, 60.0
"""After a start without a camera; and for how long what wakes it is counted."""
SWITCHES_MOST = 20.0
"""A second, of all threads: without a camera nothing is to be done."""
ALONE = '[node]\nid = "hall"\n'
IN_FORCE = "the configuration was read again and is in force"


class Heard:
    """Every message of the node, by a client inside."""

    def __init__(self, machine: Machine) -> None:
        self.messages: list[tuple[str, str]] = []
        # A session that the broker keeps: nothing slips by while either is away.
        words = ("-h", "127.0.0.1", "-i", "heard", "-c", "-q", "1", "-t", "edgeface/#", "-F", "%t %p")
        command = machine.inside("mosquitto_sub", *words)
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def events(self) -> list[str]:
        """Kinds of messages on visits, in their order."""
        return [str(json.loads(text)["event"]) for topic, text in list(self.messages) if topic.endswith("/visits")]

    def last(self, topic: str) -> str:
        """The newest of a topic."""
        return next((text for name, text in reversed(self.messages) if name == f"edgeface/hall/{topic}"), "")

    def close(self) -> None:
        """Stop listening."""
        self._process.terminate()
        self._process.wait()
        self._thread.join(5)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            topic, _, text = line.rstrip("\n").partition(" ")
            self.messages.append((topic, text))


def put_camera(machine: Machine) -> PretendCamera:
    """A stand-in for the Pi's camera program, on the container's PATH."""
    camera = PretendCamera(machine.root / "srv/camera")
    program = (camera.programs / "rpicam-vid").read_text()
    program = program.replace(str(machine.root), "").replace(sys.executable, "/usr/bin/python3")
    place = machine.root / "usr/local/bin/rpicam-vid"
    place.write_text(program)
    place.chmod(0o755)
    return camera


def unit(machine: Machine, deb: Path) -> Told:
    """All of it; what did not hold is in the result."""
    told = Told()
    camera = put_camera(machine)
    (machine.root / "etc/mosquitto/conf.d/own.conf").write_text("listener 1883 127.0.0.1\nallow_anonymous true\n")
    machine.run("systemctl", "restart", "mosquitto")
    machine.run("dpkg", "-i", machine.copy(deb, f"/srv/{deb.name}"))
    config = machine.root / CONFIG.lstrip("/")
    config.write_text(GOOD)
    drop_in = machine.root / "etc/systemd/system/edgeface.service.d/watchdog.conf"
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text(f"[Service]\nWatchdogSec={WATCHDOG_S}\n")
    machine.run("systemctl", "daemon-reload")
    heard = Heard(machine)
    try:
        with told.step("start to READY"):
            # Type=notify: this returns with READY=1.
            machine.run("systemctl", "restart", "edgeface")
        state = machine.shown("ActiveState", "SubState", "StatusText", "WatchdogUSec", "NRestarts")
        told.expect((state["ActiveState"], state["SubState"]) == ("active", "running"), "no READY", str(state))
        camera.show("face")
        wait_for(lambda: "start" in heard.events(), "a visit", READY_S, machine.journal)
        wait_for(
            lambda: "1 of 1 cameras running, broker connected" in machine.shown("StatusText")["StatusText"],
            "the status",
            READY_S,
            machine.journal,
        )
        told.said["status"] = machine.shown("StatusText")["StatusText"]
        _watched(machine, told)
        _hang(machine, told, heard)
        _upgraded(machine, told, heard, deb)
        _reload(machine, told, config)
        _stop(machine, told, heard)
        _rest(machine, told, config)
    finally:
        heard.close()
    _judged(machine, told)
    return told


def _watched(machine: Machine, told: Told) -> None:
    """It feeds the watchdog for longer than the watchdog waits."""
    first = machine.shown("WatchdogTimestampMonotonic")["WatchdogTimestampMonotonic"]
    with told.step("fed watchdog"):
        end_s = time.monotonic() + 1.5 * WATCHDOG_S
        wait_for(lambda: time.monotonic() > end_s, "the watchdog", 3 * WATCHDOG_S)
    state = machine.shown("WatchdogTimestampMonotonic", "NRestarts")
    told.expect(int(state["WatchdogTimestampMonotonic"]) > int(first), "WATCHDOG=1 does not come", str(state))
    told.expect(state["NRestarts"] == "0", "it was restarted although it was well", str(state))


def _hang(machine: Machine, told: Told, heard: Heard) -> None:
    """SIGSTOP, as a call that never returns; the watchdog ends it, and it comes back by itself."""
    pid = machine.shown("MainPID")["MainPID"]
    machine.run("sh", "-c", f"kill -STOP {pid}")
    with told.step("hang to READY"):
        wait_for(
            lambda: (
                machine.shown("NRestarts")["NRestarts"] == "1"
                and machine.shown("ActiveState")["ActiveState"] == "active"
            ),
            "the restart",
            READY_S,
            machine.journal,
        )
    told.expect("Watchdog timeout" in machine.journal(), "no word of the watchdog")
    told.expect(machine.shown("MainPID")["MainPID"] != pid, "it is the same process")
    starts = heard.events().count("start")
    wait_for(
        lambda: heard.events().count("start") > starts or heard.events()[-1] == "start",
        "a visit after the hang",
        READY_S,
    )


def _upgraded(machine: Machine, told: Told, heard: Heard, deb: Path) -> None:
    """What waits for the broker outlives another version of the package."""
    last = json.loads(next(text for topic, text in reversed(heard.messages) if topic.endswith("/visits")))
    machine.run("systemctl", "stop", "mosquitto")
    with told.step("upgrade without a broker"):
        machine.run("dpkg", "-i", f"/srv/{deb.name}")
    state = machine.shown("ActiveState")
    told.expect(state["ActiveState"] == "active", "no READY without a broker", str(state))
    machine.run("systemctl", "start", "mosquitto")

    def visits() -> list[dict[str, object]]:
        return [json.loads(text) for topic, text in list(heard.messages) if topic.endswith("/visits")]

    with told.step("what waited"):
        wait_for(
            lambda: any(one["visit"] == last["visit"] and one["event"] == "end" for one in visits()),
            "the end that waited in the spool",
            READY_S,
            machine.journal,
        )
    (end,) = (one for one in visits() if one["visit"] == last["visit"] and one["event"] == "end")
    told.expect(end["reason"] == "stopped", "its end has another reason", str(end))
    wait_for(lambda: heard.events()[-1:] != ["end"], "somebody in view after it", READY_S, machine.journal)


def _reload(machine: Machine, told: Told, config: Path) -> None:
    """A good file is taken, a bad one is said and changes nothing; the process stays."""
    pid = machine.shown("MainPID")["MainPID"]
    config.write_text(GOOD.replace("update_interval = 1.0", "update_interval = 1.5"))
    # As one with a camera's password is kept: the service is in the group.
    machine.run("chgrp", "video", CONFIG)
    config.chmod(0o640)
    with told.step("reload"):
        machine.run("systemctl", "reload", "edgeface")
    wait_for(lambda: machine.journal().count(IN_FORCE) == 1, "the reload", READY_S, machine.journal)
    config.write_text(GOOD.replace("update_interval", "update_intervall"))
    machine.run("systemctl", "reload", "edgeface", check=False)
    wait_for(lambda: "update_intervall" in machine.journal(), "a word of the wrong file", READY_S, machine.journal)
    told.said["bad reload"] = next(line for line in machine.journal().splitlines() if "update_intervall" in line)
    state = machine.shown("ActiveState", "MainPID", "StatusText")
    told.expect(state["ActiveState"] == "active" and state["MainPID"] == pid, "the bad file ended it", str(state))
    told.said["status after a bad file"] = state["StatusText"]
    config.write_text(GOOD)
    machine.run("systemctl", "reload", "edgeface")
    wait_for(lambda: machine.journal().count(IN_FORCE) == 2, "the good file", READY_S, machine.journal)
    told.expect(machine.shown("MainPID")["MainPID"] == pid, "a reload made another process")


def _stop(machine: Machine, told: Told, heard: Heard) -> None:
    """The visit that lasts is ended at the broker, and so is the node."""
    wait_for(lambda: heard.events()[-1:] != ["end"], "somebody in view", READY_S)
    ends = heard.events().count("end")
    with told.step("stop"):
        machine.run("systemctl", "stop", "edgeface")
    wait_for(lambda: heard.last("availability") == "offline", "offline", READY_S)
    told.expect(heard.events().count("end") == ends + 1, "the visit has no end", str(heard.events()[-5:]))
    last = json.loads(next(text for topic, text in reversed(heard.messages) if topic.endswith("/visits")))
    told.expect(last["reason"] == "stopped", "its end has another reason", str(last))
    state = machine.shown("Result", "ExecMainStatus", "ActiveState")
    told.expect(
        state == {"Result": "success", "ExecMainStatus": "0", "ActiveState": "inactive"}, "no clean stop", str(state)
    )
    told.expect("summary" in str([topic for topic, _ in heard.messages[-12:]]), "no last summary")


def switches(statuses: str) -> dict[tuple[int, str], int]:
    """Context switches of each thread, voluntary and not, by its number and name.

    Parameters
    ----------
    statuses : every ``/proc/PID/task/*/status``, one after the other
    """
    counted: dict[tuple[int, str], int] = {}
    name, thread = "", (0, "")
    for line in statuses.splitlines():
        key, _, value = line.partition(":")
        if key == "Name":
            name = value.strip()
        elif key == "Pid":
            thread = int(value), name
        elif key in {"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"}:
            counted[thread] = counted.get(thread, 0) + int(value)
    return counted


def _rest(machine: Machine, told: Told, config: Path) -> None:
    """Nobody asks anything of it: how often it wakes, and what it holds."""
    (machine.root / "usr/local/bin/rpicam-vid").unlink()
    config.write_text(ALONE)
    machine.run("systemctl", "start", "edgeface")
    pid = machine.shown("MainPID")["MainPID"]

    def count() -> dict[tuple[int, str], int]:
        return switches(machine.run("sh", "-c", f"cat /proc/{pid}/task/*/status").stdout)

    settled_s = time.monotonic() + SETTLE_S
    wait_for(lambda: time.monotonic() > settled_s, "its rest", 2 * SETTLE_S)
    before, began_s = count(), time.monotonic()
    wait_for(lambda: time.monotonic() > began_s + REST_S, "its rest", 2 * REST_S)
    after, seconds = count(), time.monotonic() - began_s
    rates = {thread: (total - before.get(thread, 0)) / seconds for thread, total in after.items()}
    told.said["switches a second at rest"] = f"{sum(rates.values()):.1f} of {len(rates)} threads"
    busiest = sorted(rates.items(), key=lambda item: -item[1])[:3]
    told.said["of these"] = ", ".join(f"{name} {rate:.1f}" for (_, name), rate in busiest)
    told.expect(sum(rates.values()) <= SWITCHES_MOST, "it wakes too often", told.said["of these"])
    status = machine.run("cat", f"/proc/{pid}/status").stdout
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    told.said["resident at rest"] = f"{int(resident[1]) * 1024 / 1e6:.0f} MB" if resident else status
    state = machine.shown("MainPID", "NRestarts")
    told.expect(state["MainPID"] == pid, "it did not stay", str(state))
    machine.run("systemctl", "stop", "edgeface")


def _judged(machine: Machine, told: Told) -> None:
    """Judge it by systemd's own words."""
    machine.run("rm", "-r", "/etc/systemd/system/edgeface.service.d")
    machine.run("systemctl", "daemon-reload")
    for name in ("edgeface.service", "edgeface-tune.service"):
        done = machine.run("systemd-analyze", "verify", name, check=False)
        told.expect(
            (done.returncode, done.stdout + done.stderr) == (0, ""), f"verify {name}", done.stdout + done.stderr
        )
    said = machine.run("systemd-analyze", "security", "--no-pager", "edgeface.service").stdout
    found = re.search(r"exposure level for edgeface.service: ([0-9.]+)", said)
    told.said["exposure"] = found[1] if found else said
    told.expect(found is not None and float(found[1]) <= EXPOSURE_MOST, "exposure", said[-200:])
