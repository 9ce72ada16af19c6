"""Debian 12 becomes Debian 13 under a running service, with a repository that has a suite for each."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

from slow.deb_cycle import CONFIG, STATE, Told, wait_ready
from slow.nspawn import Machine

KEPT = '# changed by hand\n[node]\nid = "hall"\n'
APT = ("apt-get", "-y", "-q")


class Watch:
    """How long the service is away meanwhile."""

    def __init__(self, machine: Machine) -> None:
        self.away_s = 0.0
        self.states: list[str] = []
        self._machine = machine
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        last_s = time.monotonic()
        while not self._over.wait(1.0):
            done = self._machine.run("systemctl", "is-active", "edgeface", check=False)
            now_s, state = time.monotonic(), done.stdout.strip() or "?"
            if state != "active":
                self.away_s += now_s - last_s
            if self.states[-1:] != [state]:
                self.states.append(state)
            last_s = now_s


def make_repository(root: Path, debs: dict[str, Path]) -> None:
    """A folder for each suite, with its index."""
    for suite, deb in debs.items():
        folder = root / "srv/repository" / suite
        folder.mkdir(parents=True)
        (folder / deb.name).write_bytes(deb.read_bytes())
        with (folder / "Packages").open("w") as index:
            subprocess.run(["dpkg-scanpackages", "."], cwd=folder, stdout=index, stderr=subprocess.DEVNULL, check=True)


def sources(suite: str, mirror: str, *, ours: bool) -> str:
    """Text of ``sources.list``."""
    own = f"deb [trusted=yes] file:/srv/repository/{suite} ./\n" if ours else ""
    return f"deb {mirror} {suite} main\n{own}"


def release(machine: Machine, debs: dict[str, Path], mirror: str) -> Told:
    """Upgrade the whole system; what did not hold is in the result."""
    told = Told()
    listed = machine.root / "etc/apt/sources.list"
    config = machine.root / CONFIG.lstrip("/")
    make_repository(machine.root, debs)
    (machine.root / "etc/resolv.conf").write_bytes(Path("/etc/resolv.conf").read_bytes())
    listed.write_text(sources("bookworm", mirror, ours=True))
    machine.run(*APT, "update", network=True)
    with told.step("apt install"):
        machine.run(*APT, "install", "edgeface", network=True)
    wait_ready(machine)
    config.write_text(KEPT)
    machine.run("systemctl", "restart", "edgeface")
    wait_ready(machine)
    machine.run("touch", f"{STATE}/kept")
    # Whoever installed the file alone: apt says what it would do.
    listed.write_text(sources("trixie", mirror, ours=False))
    machine.run(*APT, "update", network=True)
    planned = machine.run("apt-get", "-s", "full-upgrade", network=True).stdout.splitlines()
    about = [line for line in planned if line.startswith("Remv edgeface")]
    told.said["without our repository"] = about[0] if about else "edgeface and its Python are kept back"
    listed.write_text(sources("trixie", mirror, ours=True))
    machine.run(*APT, "update", network=True)
    watch = Watch(machine)
    with told.step("full-upgrade"):
        machine.run(*APT, "-o", "Dpkg::Options::=--force-confold", "full-upgrade", network=True)
    wait_ready(machine)
    watch.close()
    told.seconds["service away"] = round(watch.away_s, 1)
    told.said["states"] = " ".join(watch.states)
    version = machine.run("dpkg-query", "-W", "-f", "${Version} ${db:Status-Status}", "edgeface").stdout
    told.said["version"] = version
    told.expect(version.endswith("~deb13 installed"), "another version", version)
    told.expect("3.13" in machine.run("/usr/bin/python3", "--version").stdout, "another Python")
    told.expect(config.read_text() == KEPT, "the configuration was changed")
    told.expect(machine.run("test", "-e", f"{STATE}/kept", check=False).returncode == 0, "the state is gone")
    told.expect(not (machine.root / "usr/lib/edgeface/cp311").exists(), "the old libraries are left")
    verified = machine.run("edgeface", "models", "verify", check=False)
    told.expect(verified.returncode == 0, "models verify", verified.stdout[-400:] + verified.stderr[-400:])
    return told
