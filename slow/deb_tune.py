"""The unit that measures the board, booted beside the service: one user, one state directory, both at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

from slow.deb_cycle import CONFIG, STATE, Told, wait_ready
from slow.nspawn import Machine, wait_for

TUNE = "edgeface-tune.service"
CHOICE = "tuning.json"
ALONE = '[node]\nid = "hall"\n'
MEASURES_S = 630.0
"""A little over the unit's own TimeoutStartSec."""
TAKES_S = 60.0
BRIEF = f"[Service]\nExecStart=\nExecStart=/usr/bin/edgeface tune --refresh --seconds 30 --config {CONFIG}\n"
ANEW = "what runs best on this board was measured anew"


def tune(machine: Machine, deb: Path) -> Told:
    """All of it; what did not hold is in the result."""
    told = Told()
    (machine.root / "etc/mosquitto/conf.d/own.conf").write_text("listener 1883 127.0.0.1\nallow_anonymous true\n")
    machine.run("systemctl", "restart", "mosquitto")
    config = machine.root / CONFIG.lstrip("/")
    config.parent.mkdir(parents=True)
    config.write_text(ALONE)
    # As one with a camera's password is kept.
    machine.run("chgrp", "video", CONFIG)
    config.chmod(0o640)
    with told.step("install to READY"):
        machine.run("dpkg", "-i", machine.copy(deb, f"/srv/{deb.name}"))
    wait_ready(machine)
    started = _tune(machine, "ActiveState")
    told.expect(started in {"activating", "active"}, "the package does not start it", _journal(machine))
    _both(machine, told, "installed")
    _measured(machine, told, "measured beside the service")
    made = _made(machine)
    _taken(machine)
    told.expect(ANEW in machine.journal(), "the daemon says nothing of the choice")
    told.expect(machine.shown("NRestarts")["NRestarts"] == "0", "the service was restarted for it")
    # Once more: it looks, and leaves it.
    with told.step("nothing to measure"):
        machine.run("systemctl", "start", "--wait", TUNE)
    told.expect(_made(machine) == made, "it measured anew what holds")
    _stopped(machine, told, deb)
    _by_hand(machine, told)
    _anew(machine, told)
    return told


def _stopped(machine: Machine, told: Told, deb: Path) -> None:
    """What stops it is no failure, and a new version begins anew."""
    machine.run("rm", f"{STATE}/{CHOICE}")
    machine.run("systemctl", "start", "--no-block", TUNE)
    wait_for(lambda: _pid(machine, TUNE) > 0, "it to measure", TAKES_S)
    machine.run("systemctl", "stop", TUNE)
    told.expect(_tune(machine, "ActiveState") == "inactive", "a stop is a failure", _journal(machine))
    machine.run("systemctl", "start", "--no-block", TUNE)
    wait_for(lambda: _pid(machine, TUNE) > 0, "it to measure", TAKES_S)
    before = _pid(machine, TUNE)
    machine.run("dpkg", "-i", f"/srv/{deb.name}")
    told.expect(_pid(machine, TUNE) not in {0, before}, "after an upgrade the old one measures", _journal(machine))
    _measured(machine, told, "measured after an upgrade")
    # Where nothing may be started, it is not.
    policy = machine.root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    machine.run("rm", f"{STATE}/{CHOICE}")
    machine.run("dpkg", "-i", f"/srv/{deb.name}")
    told.expect(_tune(machine, "ActiveState") == "inactive", "it was started against the policy", _journal(machine))
    policy.unlink()
    machine.run("systemctl", "restart", "edgeface")
    machine.run("systemctl", "start", "--wait", TUNE)
    _taken(machine)


def _anew(machine: Machine, told: Told) -> None:
    """Measuring while the service stops and starts, and first of all at a boot that begins with nothing."""
    brief = machine.root / f"etc/systemd/system/{TUNE}.d/brief.conf"
    brief.parent.mkdir(parents=True)
    brief.write_text(BRIEF)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "stop", "edgeface")
    machine.run("rm", f"{STATE}/{CHOICE}")
    # Alone: the user and the folder are its own first.
    machine.run("systemctl", "start", "--no-block", TUNE)
    wait_for(lambda: _pid(machine, TUNE) > 0, "it to measure", TAKES_S)
    with told.step("start of the service while it measures"):
        machine.run("systemctl", "start", "edgeface")
    _both(machine, told, "started beside it")
    # The service goes, and what measures keeps user and folder.
    machine.run("systemctl", "restart", "edgeface")
    machine.run("systemctl", "stop", "edgeface")
    _measured(machine, told, "measured while the service came and went")
    machine.run("rm", "-r", STATE, "/var/lib/edgeface")
    machine.off()
    machine.boot()
    wait_ready(machine)
    up = _stamp(machine, "edgeface.service", "ActiveEnterTimestampMonotonic")
    told.seconds["boot to READY"] = round((up - _stamp(machine, "", "UserspaceTimestampMonotonic")) / 1e6, 1)
    began = _stamp(machine, TUNE, "ExecMainStartTimestampMonotonic")
    told.expect(began >= up, "at a boot it did not wait for the service", f"{began} {up}")
    told.expect(_tune(machine, "ActiveState") == "active", "the boot is done only when it is", _journal(machine))
    _measured(machine, told, "measured at a boot")
    _taken(machine)
    told.expect(machine.shown("NRestarts")["NRestarts"] == "0", "the service did not come up at once")


def _by_hand(machine: Machine, told: Told) -> None:
    """As root types it, whose files are for root alone."""
    made = _made(machine)
    with told.step("by hand"):
        machine.run("sh", "-c", f"umask 077; edgeface tune --seconds 30 --config {CONFIG} >/srv/told 2>&1")
    told.expect(_made(machine) != made, "by hand it kept nothing")
    _taken(machine)


def _both(machine: Machine, told: Told, when: str) -> None:
    """Two processes of one user, who owns the state."""
    service, measures = _pid(machine, "edgeface.service"), _pid(machine, TUNE)
    told.expect(min(service, measures) > 0, f"{when}: they do not run at once", f"{service} {measures}")
    if min(service, measures) > 0:
        users = {machine.run("stat", "-c", "%u", f"/proc/{pid}").stdout.strip() for pid in (service, measures)}
        told.said[f"{when}: users"] = " ".join(sorted(users))
        told.expect(len(users) == 1 and users != {"0"}, f"{when}: two users", " ".join(sorted(users)))


def _measured(machine: Machine, told: Told, what: str) -> None:
    """Wait until it is over; the choice lies where the daemon looks, and is its own."""
    with told.step(what):
        wait_for(
            lambda: _tune(machine, "ActiveState") in {"inactive", "failed"},
            "what measures",
            MEASURES_S,
            lambda: _journal(machine),
        )
    done = _tune(machine, "Result"), _tune(machine, "ExecMainStatus")
    told.expect(done == ("success", "0"), f"{what}: it failed", _journal(machine))
    there = machine.run("stat", "-L", "-c", "%u", STATE, f"{STATE}/{CHOICE}", check=False).stdout.split()
    told.expect(len(there) == 2 and len(set(there)) == 1, f"{what}: the choice is another's", " ".join(there))
    kept = re.findall(r"(?m)^kept in (\S+);", _journal(machine))
    told.said[what] = kept[-1] if kept else "it kept nothing"
    told.expect(kept[-1:] == [f"/var/lib/edgeface/{CHOICE}"], f"{what}: it is kept elsewhere", str(kept))


def _tune(machine: Machine, name: str) -> str:
    return machine.run("systemctl", "show", TUNE, f"--property={name}", "--value").stdout.strip()


def _pid(machine: Machine, unit: str) -> int:
    return int(machine.run("systemctl", "show", unit, "--property=MainPID", "--value").stdout)


def _stamp(machine: Machine, unit: str, name: str) -> int:
    """Microseconds of the kernel's clock; of the manager itself where there is no unit."""
    return int(machine.run("systemctl", "show", *filter(None, [unit]), f"--property={name}", "--value").stdout)


def _made(machine: Machine) -> str:
    return str(json.loads(machine.run("cat", f"{STATE}/{CHOICE}").stdout)["made"])


def _taken(machine: Machine) -> None:
    """Wait until the running daemon itself says that it uses the choice that lies there."""
    hear = ("mosquitto_sub", "-h", "127.0.0.1", "-t", "edgeface/hall/health", "-C", "1", "-W", "5")

    def told() -> str:
        heard = machine.run(*hear, check=False).stdout
        return str(json.loads(heard)["inference"]["tuning"]) if heard else "nothing"

    made = _made(machine)
    wait_for(
        lambda: all(word in told() for word in ("fresh", made)),
        "the daemon to take the choice",
        TAKES_S,
        lambda: f"{told()}\n{machine.journal()}",
    )


def _journal(machine: Machine) -> str:
    return machine.run("journalctl", "--no-pager", "--output=cat", "-u", TUNE).stdout
