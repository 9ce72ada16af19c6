"""Where the chaos happens: the daemon as a child, a broker whose certificate can end, a lossy line, a full disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from signal import SIGKILL, SIGTERM

import paho.mqtt.client as paho
import trustme
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

ROOT = Path(__file__).parents[1]
NODE = "chaos"
DAY = timedelta(days=1)
DISK_BYTES = 64 * 2**20
JUMP_S = 5.0
LOST_PERCENT = 25


class Node:
    """The daemon as a child, started again after each kill; its clock jumps by a year all the time."""

    def __init__(self, folder: Path, port: int, rate: float, ca: Path) -> None:
        self.kills = 0
        self._log = folder / "node.log"
        words = {"--port": port, "--rate": rate, "--ca": ca, "--jump-every": JUMP_S, "--node": NODE}
        self._command = [sys.executable, str(ROOT / "tests" / "invented.py")]
        self._command += [str(word) for pair in words.items() for word in pair]
        self._environ = {
            **os.environ,
            "STATE_DIRECTORY": str(folder / "state"),
            "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}",
        }
        self.start()

    def kill(self) -> None:
        """SIGKILL, and start anew."""
        self.end()
        self.start()

    def end(self) -> None:
        """SIGKILL."""
        self._process.send_signal(SIGKILL)
        self._process.wait()
        self.kills += 1

    def expect_alive(self) -> None:
        """A daemon does not end by itself."""
        assert self._process.poll() is None, f"the daemon ended: {self.log()[-2000:]}"

    def stop(self) -> float:
        """Ask it to stop; seconds that it took."""
        began_s = time.monotonic()
        self._process.send_signal(SIGTERM)
        code = self._process.wait(30)
        # One that was still importing had nothing to deliver yet.
        assert code in (0, -SIGTERM), f"the daemon ended with {code}: {self.log()}"
        return time.monotonic() - began_s

    def log(self) -> str:
        """What all its runs said."""
        return self._log.read_text(errors="replace")

    def start(self, *words: str) -> None:
        """Start it, once more."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*self._command, *words], env=self._environ, stderr=log, stdin=subprocess.DEVNULL
            )


class Certificates:
    """A broker's certificate that holds, or one that ended a month ago, by one authority."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        authority = trustme.CA()
        now = datetime.now(timezone.utc)
        # Not a minute too young for clocks that differ.
        self._holds = authority.issue_cert("127.0.0.1", not_before=now - DAY, not_after=now + 30 * DAY)
        self._ended = authority.issue_cert("127.0.0.1", not_before=now - 60 * DAY, not_after=now - 30 * DAY)
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.lines = (f"certfile {folder / 'broker.pem'}", f"keyfile {folder / 'broker.key'}")
        self.put(ended=False)

    def put(self, *, ended: bool) -> None:
        """What the broker shows from its next start on."""
        leaf = self._ended if ended else self._holds
        leaf.private_key_pem.write_to_path(str(self._folder / "broker.key"))
        (self._folder / "broker.pem").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))


class Disk:
    """A small file system for the daemon's state, where one may be mounted; it can be full or read-only."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._filler = place / "filler"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
        self.mounted = subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0

    def fill(self) -> None:
        """Leave no byte free."""
        with self._filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                return

    def empty(self) -> None:
        """Give the room back."""
        self._filler.unlink()

    def writable(self, yes: bool) -> None:
        """Mount it so that it can be written, or not; while nobody has a file of it open for writing."""
        subprocess.run(["mount", "-o", f"remount,{'rw' if yes else 'ro'}", self._place], check=True)

    def close(self) -> None:
        """Take it down."""
        if self.mounted:
            subprocess.run(["umount", "--lazy", self._place], check=True)


class Loss:
    """Packets of one port that the kernel throws away by chance, both ways, where it may be asked to (root, nft)."""

    def __init__(self, port: int) -> None:
        self._table = f"edgeface_chaos_{port}"
        rules = " ".join(f"tcp {end} {port} numgen random mod 100 < {LOST_PERCENT} drop;" for end in ("dport", "sport"))
        self._rules = f"table inet {self._table} {{ chain lossy {{ type filter hook input priority 0; {rules} }}; }}"
        self.possible = shutil.which("nft") is not None and self._ask("--check", "--file", "-") == 0

    def begin(self) -> None:
        """Lose packets from now on."""
        assert self._ask("--file", "-") == 0, "nft took these rules before"

    def end(self) -> None:
        """Lose none any more; right, too, when none were lost."""
        if self.possible:
            self._ask("delete", "table", "inet", self._table)

    def _ask(self, *words: str) -> int:
        command = ["nft", *words]
        return subprocess.run(command, input=self._rules, text=True, stderr=subprocess.DEVNULL, check=False).returncode


def rival(port: int, ca: Path, lasts_s: float) -> None:
    """Be a second client with the node's id for a while, which throws the node out."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"edgeface-{NODE}", protocol=MQTTProtocolVersion.MQTTv5)
    client.tls_set(str(ca))
    client.connect("127.0.0.1", port)
    client.loop_start()
    time.sleep(lasts_s)
    client.disconnect()
    client.loop_stop()
