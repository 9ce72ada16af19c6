"""`edgeface run` as a child process, and the service manager's end of the notify protocol."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NO_CAMERA = "/dev/edgeface-test-none"
PRELUDE = """
import os, sys
from pathlib import Path
from edgeface.service.signals import Signals
signals = Signals(os.environ).catch()
from edgeface.backoff import Backoff
from edgeface.cli import run
from edgeface.cli.main import build_parser
from edgeface.engine import governor
from edgeface.service import holding
from edgeface.sources import tampering
from edgeface.service.waits import Waits
from edgeface.errors import run_command
args = build_parser().parse_args(sys.argv[1:])
args.signals = signals
waits = Waits(health_s={health_s}, flush_s={flush_s}, up_within_s=1.0, restart_s={restart_s})
for room, name in ((holding, "LOOK_S"), (tampering, "LOOK_S"), (tampering, "HOLD_S"), (tampering, "SETTLE_S")):
    setattr(room, name, getattr(room, name) / {faster})
governor.UP_S /= {faster}
governor.DOWN_S = {{cause: seconds / {faster} for cause, seconds in governor.DOWN_S.items()}}
sys.exit(run_command(lambda: run.run(args, waits, Backoff(first_s=0.05, most_s=0.1), root=Path({root!r}))))
"""


class Manager:
    """The service manager's end of the notify protocol."""

    def __init__(self, path: Path) -> None:
        self.environ = {"NOTIFY_SOCKET": str(path)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._words: list[str] = []

    def words(self) -> list[str]:
        """Everything that was said so far, one word a line."""
        try:
            while True:
                self._words += self._socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self._words

    def count(self, word: str) -> int:
        return self.words().count(word)

    def close(self) -> None:
        self._socket.close()


class Child:
    """``edgeface run`` in a process of its own; its standard error goes to a file that can be read meanwhile.

    ``root`` is where it finds the kernel's files; its governor and its look at the scene are so many times ``faster``.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        words: tuple[object, ...],
        environ: Mapping[str, str],
        *,
        flush_s: float = 1.0,
        restart_s: float = 60.0,
        health_s: float = 0.2,
        root: Path = Path("/"),
        faster: float = 1.0,
        first_path: Path | None = None,
        **options: Any,
    ) -> None:
        self.folder = folder
        self._log = folder / "log"
        # A file, unlike -c, leaves the current folder off the path, as the installed program does.
        program = folder.parent / f"{folder.name}.py"
        program.write_text(
            PRELUDE.format(flush_s=flush_s, restart_s=restart_s, health_s=health_s, root=str(root), faster=faster)
        )
        keys = {"mqtt.host": "127.0.0.1", "mqtt.port": port}
        command = [sys.executable, str(program), "run", *(str(word) for word in words)]
        for key, value in keys.items():
            command += ["--set", f"{key}={value}"]
        clean = {
            key: value for key, value in os.environ.items() if not key.startswith(("EDGEFACE", "NOTIFY", "SYSTEMD"))
        }
        # What a killed run of another test left in its spool would be delivered by this one.
        clean["XDG_STATE_HOME"] = str(folder.parent / "state-of-runs")
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                **{"stdin": subprocess.DEVNULL, "stderr": log, **options},
                cwd=folder,
                env={**clean, **environ, "PYTHONPATH": os.pathsep.join(map(str, filter(None, [first_path, ROOT])))},
            )

    def log(self) -> str:
        return self._log.read_text()

    def wait(self) -> int:
        return self.process.wait(60)

    def ask(self, number: int) -> int:
        self.process.send_signal(number)
        return self.wait()

    def catches(self, number: int) -> bool:
        """Whether the program has a handler for a signal by now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        mask = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(mask.split()[1], 16) >> (number - 1) & 1)
