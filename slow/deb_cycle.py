"""Install, upgrade, downgrade, remove, purge, reinstall in a booted Debian, as root types it, and what must hold."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slow.nspawn import Machine, wait_for

CONFIG = "/etc/edgeface/edgeface.toml"
STATE = "/var/lib/private/edgeface"
PASSWORD = "kept at home"
BROKER = "listener 1883 127.0.0.1\nallow_anonymous false\npassword_file /etc/mosquitto/passwords\n"
CHANGED = '# changed by hand\n[node]\nid = "hall"\n[mqtt]\nusername = "hall"\n'
READY_S = 120.0
JETSON = "/etc/systemd/system/edgeface.service.d/jetson.conf"
DOCS = "/usr/share/doc/edgeface/docs/installing.md"
LEFT = ("find", "/", "-xdev", "-name", "*edgeface*", "-not", "-path", "/proc/*", "-not", "-path", "/srv/*")


class Told:
    """Steps, their seconds, and what did not hold."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.faults: list[str] = []
        self.said: dict[str, str] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure."""
        began_s = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began_s, 1)

    def expect(self, good: bool, what: str, more: str = "") -> None:
        """Note what does not hold, and go on."""
        if not good:
            self.faults.append(f"{what}: {more.strip()[-400:]}" if more else what)

    def as_dict(self) -> dict[str, object]:
        """For the result."""
        return {"seconds": self.seconds, "said": self.said, "faults": self.faults}


def newer(deb: Path, out: Path) -> Path:
    """The same package as its next revision, whose configuration as it comes has one line more."""
    tree = out / "newer"
    subprocess.run(["dpkg-deb", "--raw-extract", str(deb), str(tree)], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^(Version: \S+-)1~", r"\g<1>2~", control.read_text()))
    with (tree / "usr/share/edgeface/edgeface.toml").open("a") as stock:
        stock.write("\n# of the next revision\n")
    made = out / deb.name.replace("-1~", "-2~")
    pack = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(made)]
    subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["rm", "-rf", str(tree)], check=True)
    return made


def wait_ready(machine: Machine) -> None:
    """Until the service is active."""
    wait_for(lambda: machine.shown("ActiveState")["ActiveState"] == "active", "the service", READY_S, machine.journal)


def make_broker(machine: Machine) -> None:
    """Let the container's broker ask for a password."""
    (machine.root / "etc/mosquitto/conf.d/own.conf").write_text(BROKER)
    machine.run("mosquitto_passwd", "-c", "-b", "/etc/mosquitto/passwords", "hall", PASSWORD)
    machine.run("chown", "mosquitto", "/etc/mosquitto/passwords")
    machine.run("systemctl", "restart", "mosquitto")


def cycle(machine: Machine, deb: Path, *, others: list[Path], bundle: Path) -> Told:
    """All of it; what did not hold is in the result."""
    told = Told()
    one = machine.copy(deb, f"/srv/{deb.name}")
    two = machine.copy(newer(deb, machine.root.parent), f"/srv/{deb.name.replace('-1~', '-2~')}")
    _refused(machine, told, one, others)
    with told.step("install"):
        done = machine.run("dpkg", "-i", one)
    told.expect("rror" not in done.stderr, "dpkg complains", done.stderr)
    told.expect(machine.shown("ActiveState")["ActiveState"] == "active", "not active after dpkg -i", machine.journal())
    told.expect(machine.run("systemctl", "is-enabled", "edgeface").stdout == "enabled\n", "not enabled")
    compiled = machine.run("find", "/usr/lib/edgeface", "-name", "*.pyc").stdout.splitlines()
    told.expect(len(compiled) > 300, "not compiled", str(len(compiled)))
    told.expect("edgeface" not in machine.run("getent", "passwd", check=False).stdout.split("\n")[0], "a user was made")
    told.expect("edgeface" not in (machine.root / "etc/passwd").read_text(), "a user was made in /etc/passwd")
    _as_typed(machine, told, bundle)
    _revisions(machine, told, one, two)
    _not_started(machine, told)
    with told.step("remove"):
        machine.run("dpkg", "--remove", "edgeface")
    told.expect(machine.run("test", "-e", f"{STATE}/kept").returncode == 0, "remove took the state")
    told.expect((machine.root / CONFIG.lstrip("/")).read_text() == CHANGED, "remove took the configuration")
    told.expect(not (machine.root / "usr/lib/edgeface").exists(), "remove left libraries")
    with told.step("reinstall"):
        machine.run("dpkg", "-i", one)
    wait_ready(machine)
    told.expect((machine.root / CONFIG.lstrip("/")).read_text() == CHANGED, "reinstalling changed the configuration")
    machine.run("mkdir", "-p", "/etc/systemd/system/edgeface.service.d", "/etc/edgeface/keys")
    (machine.root / "etc/systemd/system/edgeface.service.d/override.conf").write_text("[Service]\nNice=6\n")
    machine.run("cp", "-r", "/etc/systemd/system/edgeface.service.d", "/etc/systemd/system/edgeface-tune.service.d")
    with told.step("purge"):
        done = machine.run("dpkg", "--purge", "edgeface")
    left = machine.run(*LEFT).stdout.split()
    # dpkg's own log and the journal are the system's.
    told.expect(not left, "purge left", " ".join(left))
    told.expect("not empty" not in done.stderr, "purge left folders", done.stderr)
    told.expect("edgeface" not in machine.run("systemctl", "list-units", "--all", "--plain").stdout, "a unit is left")
    # As on a Jetson: the drop-in for its GPU is a link that follows the package.
    machine.run("touch", "/etc/nv_tegra_release")
    with told.step("install after purge"):
        machine.run("dpkg", "-i", one)
    wait_ready(machine)
    told.expect(JETSON in machine.shown("DropInPaths")["DropInPaths"], "no drop-in for a Jetson")
    told.expect((machine.root / DOCS.lstrip("/")).is_file(), "the pages are not there")
    told.expect((machine.root / "etc/edgeface/keys").is_dir(), "no folder for keys")
    machine.run("dpkg", "--remove", "edgeface")
    told.expect(machine.run("test", "-L", JETSON, check=False).returncode != 0, "remove left the Jetson's drop-in")
    machine.run("dpkg", "-i", one)
    machine.run("dpkg", "--purge", "edgeface")
    left = machine.run(*LEFT).stdout.split()
    told.expect(not left, "purge left on a Jetson", " ".join(left))
    return told


def _refused(machine: Machine, told: Told, deb: str, others: list[Path]) -> None:
    """What would hide it, and what does not fit, is one line, and nothing is unpacked."""
    unit = machine.root / "etc/systemd/system/edgeface.service"
    program = machine.root / "usr/local/bin/edgeface"
    unit.write_text("[Service]\nExecStart=/opt/edgeface/bin/edgeface run --config /etc/edgeface/edgeface.toml\n")
    for place in (unit, program):
        if place == program:
            program.symlink_to("../../../opt/edgeface/bin/edgeface")
        done = machine.run("dpkg", "-i", deb, check=False)
        ours = [line for line in done.stderr.splitlines() if line.startswith("edgeface: ")]
        told.expect(done.returncode != 0 and len(ours) == 1, f"{place.name} does not stop it", done.stderr)
        told.said[f"hidden by {place}".replace(str(machine.root), "")] = ours[0] if ours else done.stderr
        told.expect(not (machine.root / "usr/lib/edgeface").exists(), "something was unpacked all the same")
        place.unlink()
    for other in others:
        there = machine.copy(other, f"/srv/{other.name}")
        done = machine.run("dpkg", "-i", there, check=False)
        lines = [line for line in done.stderr.splitlines() if line.startswith(("edgeface: ", " package arch"))]
        told.expect(done.returncode != 0 and len(lines) == 1, f"{other.name} is not refused", done.stderr)
        told.said[other.name] = lines[0].strip() if lines else done.stderr
        told.expect(not (machine.root / "usr/lib/edgeface").exists(), "something was unpacked all the same")
    half = machine.root / "srv/half.deb"
    whole = (machine.root / deb.lstrip("/")).read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    done = machine.run("dpkg", "-i", "/srv/half.deb", check=False)
    said = [line.strip() for line in done.stderr.splitlines() if "unexpected end of file" in line]
    told.expect(done.returncode != 0 and bool(said), "half a package is not refused", done.stderr)
    told.said["half a package"] = said[0] if said else done.stderr
    told.expect(not (machine.root / "usr/lib/edgeface").exists(), "something of half a package is left")
    told.expect(
        not machine.run("systemctl", "is-active", "edgeface", check=False).stdout.startswith("active"), "it runs"
    )
    machine.run("dpkg", "--purge", "edgeface", check=False)


def _as_typed(machine: Machine, told: Told, bundle: Path) -> None:
    """What root types beside the service: the doctor, and a bundle."""
    make_broker(machine)
    (machine.root / CONFIG.lstrip("/")).write_text(CHANGED)
    secret = machine.root / "etc/edgeface/credentials/password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    machine.run("systemctl", "restart", "edgeface")
    wait_ready(machine)
    wait_for(lambda: "connected to broker" in machine.journal().rpartition("Stopped")[2], "the broker", READY_S)
    found = json.loads(machine.run("edgeface", "doctor", "--json", check=False).stdout)
    bad = [one["what"] for one in found["findings"] if one["state"] == "bad" and one["check"] != "camera"]
    told.expect(not bad, "the doctor finds", "; ".join(bad))
    told.expect(str(found["running"]).startswith("process "), "the doctor sees no daemon", str(found["running"]))
    disk = [one["what"] for one in found["findings"] if one["check"] == "disk"]
    told.expect(bool(disk) and disk[0].endswith("/var/lib/edgeface"), "the doctor looks at another state", str(disk))
    verified = machine.run("edgeface", "models", "verify", "--json", check=False)
    told.expect(verified.returncode == 0, "models verify", verified.stdout[-600:])
    archive = machine.copy(bundle, "/srv/second.tar")
    done = machine.run("edgeface", "models", "install", archive, check=False)
    told.expect(done.returncode == 0, "models install", done.stderr)
    told.expect(
        machine.run("test", "-f", f"{STATE}/models/second/manifest.json", check=False).returncode == 0, "no bundle"
    )
    (machine.root / CONFIG.lstrip("/")).write_text(f'bundle = "second"\n{CHANGED}')
    machine.run("systemctl", "restart", "edgeface")
    wait_ready(machine)
    found = json.loads(machine.run("edgeface", "doctor", "--json", check=False).stdout)
    used = [one["what"] for one in found["findings"] if one["check"] == "bundle"]
    told.expect("second " in str(used) and "the daemon runs" not in str(used), "the service uses", str(used))
    (machine.root / CONFIG.lstrip("/")).write_text(CHANGED)


def _not_started(machine: Machine, told: Told) -> None:
    """What systemd does not even start, and what the doctor then says; the fix is the doctor's own."""
    drop_in = "/run/systemd/system/edgeface.service.d/group.conf"
    broken = {
        "secrets cannot be handed over": ("mv /etc/edgeface/credentials /srv/", "mv /srv/credentials /etc/edgeface/"),
        "state directory cannot be set up": (
            "rm /var/lib/edgeface; mkdir /var/lib/edgeface",
            "rmdir /var/lib/edgeface",
        ),
        "a group of its unit": (
            f"mkdir -p {drop_in.rpartition('/')[0]}; printf '[Service]\\nSupplementaryGroups=nobodys\\n' >{drop_in}",
            f"rm -r {drop_in.rpartition('/')[0]}",
        ),
    }
    for what, (break_it, mend_it) in broken.items():
        machine.run("sh", "-ec", f"systemctl stop edgeface; {break_it}; systemctl daemon-reload")
        machine.run("systemctl", "restart", "edgeface", check=False)
        found = json.loads(machine.run("edgeface", "doctor", "--json", check=False).stdout)
        said = [one["what"] for one in found["findings"] if one["check"] == "unit" and one["state"] == "bad"]
        told.expect(any(what in line for line in said), f"the doctor does not say: {what}", str(said))
        machine.run("sh", "-ec", f"systemctl stop edgeface; {mend_it}; systemctl daemon-reload")
        machine.run("systemctl", "reset-failed", "edgeface", check=False)
        machine.run("systemctl", "start", "edgeface")
    wait_ready(machine)


def _revisions(machine: Machine, told: Told, one: str, two: str) -> None:
    """Upgrade and downgrade, with a changed configuration and with one that nobody has changed."""
    config = machine.root / CONFIG.lstrip("/")
    machine.run("touch", f"{STATE}/kept")
    before = machine.shown("MainPID")["MainPID"]
    with told.step("upgrade"):
        done = machine.run("dpkg", "-i", two)
    wait_ready(machine)
    told.expect("warning" not in done.stderr, "the upgrade warns", done.stderr)
    told.expect(machine.shown("MainPID")["MainPID"] != before, "the upgrade did not restart the service")
    told.expect(config.read_text() == CHANGED, "the upgrade changed the configuration")
    told.expect(machine.run("test", "-e", f"{STATE}/kept", check=False).returncode == 0, "the upgrade took the state")
    with told.step("downgrade"):
        done = machine.run("dpkg", "-i", one)
    wait_ready(machine)
    told.expect(config.read_text() == CHANGED, "the downgrade changed the configuration")
    told.expect("not empty" not in done.stderr, "the downgrade left folders", done.stderr)
    config.write_text((machine.root / "usr/share/edgeface/edgeface.toml").read_text())
    machine.run("dpkg", "-i", two)
    told.expect("# of the next revision" in config.read_text(), "what nobody has changed stays behind")
    machine.run("systemctl", "stop", "edgeface")
    done = machine.run("dpkg", "-i", one)
    told.expect(
        machine.shown("ActiveState")["ActiveState"] == "inactive", "an upgrade starts what somebody has stopped"
    )
    told.expect("stays so; sudo systemctl start edgeface" in done.stdout, "and does not say so", done.stdout)
    machine.run("systemctl", "start", "edgeface")
    machine.run("dpkg", "-i", two)
    told.expect(machine.shown("ActiveState")["ActiveState"] == "active", "after it, one does not start what runs")
    machine.run("systemctl", "disable", "--now", "edgeface")
    machine.run("dpkg", "-i", one)
    told.expect(machine.shown("ActiveState")["ActiveState"] != "active", "an upgrade starts what somebody has disabled")
    machine.run("systemctl", "enable", "--now", "edgeface")
    # A version that failed until it had no start left; the next one gets its own.
    (machine.root / "usr/bin/edgeface").write_text("#!/bin/false\n")
    hurry = machine.root / "run/systemd/system/edgeface.service.d/hurry.conf"
    machine.run("sh", "-c", f"mkdir -p /{hurry.parent.relative_to(machine.root)}")
    machine.run("sh", "-c", f"printf '[Service]\\nRestartSec=0.1\\n' >/{hurry.relative_to(machine.root)}")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "edgeface", check=False)
    wait_for(lambda: machine.shown("ActiveState")["ActiveState"] == "failed", "its last start", READY_S)
    machine.run("rm", "-r", f"/{hurry.parent.relative_to(machine.root)}")
    machine.run("dpkg", "-i", two)
    wait_ready(machine)
    machine.run("dpkg", "-i", one)
    config.write_text(CHANGED)
    machine.run("systemctl", "restart", "edgeface")
    wait_ready(machine)
