"""A Debian that boots in a container: its own service manager, its own network, nothing of this machine's.

``systemd-nspawn`` without machined or D-Bus on this side: commands get in by ``nsenter``. Needs root,
systemd-container, and for new roots mmdebstrap.
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

START_S = 120.0
STOP_S = 90.0
PACKAGES = "systemd,systemd-sysv,dbus,udev,python3,mosquitto,mosquitto-clients,ca-certificates"
MIRROR = "http://deb.debian.org/debian"
CGROUPS = (Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
JOIN = """
for place in {places}; do mkdir -p "$place" && echo $$ >"$place/cgroup.procs"; done
root="$1"
shift
exec systemd-nspawn -D "$root" --register=no --keep-unit --boot "$@"
"""


def make_root(suite: str, tar: Path, *, packages: str = PACKAGES, arch: str | None = None) -> Path:
    """Write a tar of a Debian with a broker and Python, and nothing of ours, unless it is there.

    ``arch``: another architecture than this machine's, whose programs run here.
    """
    if not tar.is_file():
        tar.parent.mkdir(parents=True, exist_ok=True)
        part = tar.with_name(f".{tar.name}")
        mirror = f"deb {os.environ.get('MIRROR', MIRROR)} {suite} main"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", "--format=tar"]
        command += [] if arch is None else [f"--arch={arch}"]
        subprocess.run([*command, suite, str(part), mirror], check=True)
        part.replace(tar)
    return tar


def unpack_root(tar: Path, folder: Path) -> Path:
    """A fresh root of its own."""
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-xf", str(tar), "-C", str(folder), "--numeric-owner"], check=True)
    (folder / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (folder / "etc/hostname").write_text("hall\n")
    (folder / "var/log/journal").mkdir(exist_ok=True)
    return folder


class Machine:
    """A root that runs; used with ``with``.

    Parameters
    ----------
    words : of systemd-nspawn, about its network
    """

    def __init__(self, root: Path, words: Sequence[str] = ("--private-network",)) -> None:
        self.root = root
        self._words = words
        self.start_s = 0.0
        self._leader = 0
        self._group = f"edgeface-{os.getpid()}-{root.name}"

    def __enter__(self) -> Machine:
        try:
            self.boot()
        except BaseException:
            self.off()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.off()

    def boot(self) -> None:
        """Start it, and wait until its service manager has nothing left to do."""
        began_s = time.monotonic()
        # In control groups of its own: another container beside it would share the names below.
        base = [place for place in CGROUPS if (place / "cgroup.procs").is_file()]
        self._places = [place / self._group for place in base]
        words = " ".join(f'"{place}"' for place in self._places)
        # It says why it cannot start only to a terminal.
        ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            ["sh", "-ec", JOIN.format(places=words), "sh", str(self.root), *self._words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.console = bytearray()
        self._drain = threading.Thread(target=self._listen, args=(ours,), daemon=True)
        self._drain.start()
        wait_for(self._is_up, "the container to start", START_S, lambda: self.console.decode(errors="replace")[-2000:])
        self.start_s = time.monotonic() - began_s

    def off(self) -> None:
        """Shut it down; what does not go is ended."""
        if self._process.poll() is None:
            if self._leader:
                self.run("systemctl", "poweroff", "--no-block", check=False)
            try:
                self._process.wait(STOP_S if self._leader else 1.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._drain.join(5)
        for place in self._places:
            for folder in sorted(place.rglob("*/"), reverse=True):
                with suppress(OSError):
                    folder.rmdir()
            with suppress(OSError):
                place.rmdir()

    def run(self, *command: str, check: bool = True, network: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root types it; ``network``: with this machine's, for apt."""
        done = subprocess.run(
            self.inside(*command, network=network),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if check and done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def inside(self, *command: str, network: bool = False) -> list[str]:
        """The command of this side that runs one inside."""
        spaces = ["-m", "-u", "-i", "-p", "-C", *(() if network else ("-n",))]
        environ = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")
        more = ("DEBIAN_FRONTEND=noninteractive", "TERM=dumb")
        return ["nsenter", "-t", str(self._leader), *spaces, "--", "env", "-i", *environ, *more, *command]

    def shown(self, *names: str) -> dict[str, str]:
        """Properties of the service."""
        said = self.run("systemctl", "show", "edgeface.service", *(f"--property={name}" for name in names)).stdout
        return dict(line.partition("=")[::2] for line in said.splitlines())

    def journal(self) -> str:
        """What the service and its manager have logged."""
        return self.run("journalctl", "--no-pager", "--output=cat", "-u", "edgeface.service").stdout

    def copy(self, file: Path, place: str) -> str:
        """Lay a file into it; its path there."""
        target = self.root / place.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        return place

    def _is_up(self) -> bool:
        if self._process.poll() is not None:
            raise SystemExit(f"the container ended: {self.console.decode(errors='replace')[-2000:]}")
        found = subprocess.run(
            ["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        if not found:
            return False
        self._leader = int(found[0])
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in {"running", "degraded"}

    def _listen(self, descriptor: int) -> None:
        with suppress(OSError):
            while data := os.read(descriptor, 65536):
                self.console += data
        os.close(descriptor)


def wait_for(condition: Callable[[], bool], what: str, most_s: float, told: Callable[[], str] = lambda: "") -> float:
    """Poll until something holds; the seconds that it took, or the end with what is known."""
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > most_s:
            raise SystemExit(f"waited {most_s:g} s for {what}\n{told()}")
        time.sleep(0.2)
    return time.monotonic() - began_s


def scratch() -> Path:
    """A folder for roots."""
    return Path(tempfile.mkdtemp(prefix="edgeface-deb-", dir="/var/tmp"))
