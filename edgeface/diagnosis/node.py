"""The node as checks see it: its configuration, whether a daemon runs, what the broker has of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from edgeface.board import ROOT
from edgeface.bundle import Bundle, find_bundle, open_bundle
from edgeface.config import Config, child_environ
from edgeface.diagnosis.conversation import Conversation, converse
from edgeface.diagnosis.processes import Purpose, daemons, purpose
from edgeface.errors import EdgefaceError
from edgeface.events import HealthMessage, StateMessage, Status, decode
from edgeface.machine import node_id, node_state

UNIT, TUNE_UNIT = "edgeface", "edgeface-tune"
PROPERTIES = (
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "Result",
    "NRestarts",
    "MainPID",
    "ExecMainStartTimestampMonotonic",
    "ExecMainStatus",
    "StatusText",
)
ASK_S = 10.0
"""Longest wait for a program that is asked."""


class Node:
    """One node; everything is asked once, when it is first needed.

    Parameters
    ----------
    config : its configuration, or why there is none
    path : where the configuration stands; None for the built-in one
    bundle : name or folder that the command line gives
    root : where files of the kernel begin, for tests
    """

    def __init__(
        self,
        config: Config | EdgefaceError,
        *,
        path: Path | None,
        environ: Mapping[str, str],
        bundle: str | None = None,
        root: Path = ROOT,
    ) -> None:
        self._config = config
        self.path = path
        self.environ = environ
        self.root = root
        self._bundle = bundle

    @property
    def config(self) -> Config:
        """The configuration; raises why there is none."""
        if isinstance(self._config, EdgefaceError):
            raise self._config
        return self._config

    @property
    def readable(self) -> bool:
        """Whether there is a configuration."""
        return isinstance(self._config, Config)

    @property
    def id(self) -> str:
        """Name in topics."""
        return node_id(self.config if self.readable else Config())

    @property
    def state(self) -> Path:
        """Where a daemon keeps its state: the service's folder where there is one, else the user's."""
        return node_state(self.environ, self.root)

    @cached_property
    def opened(self) -> Bundle:
        """The bundle in use; raises why it cannot be."""
        return open_bundle(find_bundle(self._bundle, self.config, self.environ), allow_random=True)

    @cached_property
    def unit(self) -> Mapping[str, str] | None:
        """What systemd says of the service, by property; None where there is no systemd or no such unit."""
        said = ask("systemctl", "show", UNIT, f"--property={','.join(PROPERTIES)}")
        state = dict(line.partition("=")[::2] for line in (said or "").splitlines())
        return state if state.get("LoadState") in {"loaded", "masked"} else None

    @cached_property
    def measuring(self) -> bool:
        """Whether systemd has this board measured now; an older unit, a oneshot, is `activating` while it runs."""
        said = (ask("systemctl", "show", TUNE_UNIT, "--property=ActiveState") or "").strip()
        return said in {"ActiveState=active", "ActiveState=activating"}

    @cached_property
    def conversation(self) -> Conversation:
        """What a client of its own has heard and tried at the broker."""
        return converse(self.config, node=self.id, environ=self.environ)

    @cached_property
    def health(self) -> HealthMessage | None:
        """What the node last said of itself; None where the broker has nothing, or nothing that is understood."""
        payload = self.conversation.heard.get("health") if self.readable else None
        try:
            message = decode("health", payload) if payload else None
        except ValueError:
            return None
        return message if isinstance(message, HealthMessage) else None

    def status_of(self, camera: str) -> Status | None:
        """How the daemon's camera fares, by its `state`: `health` is a minute old, and the first tells of no camera."""
        payload = self.conversation.heard.get(f"{camera}/state")
        try:
            message = decode("state", payload) if payload else None
        except ValueError:
            return None
        return message.status if isinstance(message, StateMessage) else None

    @cached_property
    def running(self) -> str | None:
        """How it is known that a daemon runs for this node, in words; None where none is found.

        Processes first: another user's may be hidden, so systemd is asked too, and last the broker.
        """
        runs = {number: self._is_ours(purpose(number, self.root)) for number in daemons(self.root)}
        if any(runs.values()):
            return f"process {', '.join(str(number) for number, ours in runs.items() if ours)}"
        active = self.unit is not None and self.unit.get("ActiveState") in {"active", "reloading", "activating"}
        if self.unit is not None and active and self.unit.get("MainPID") not in [str(run) for run in runs]:
            return "the service"
        if self.readable and self.conversation.heard.get("availability") == b"online":
            return f"{self.id} is online at the broker"
        return None

    def _is_ours(self, known: Purpose | None) -> bool:
        """Whether a process runs for this node: one that we may not look into may."""
        if known is None or not self.readable:
            return True
        own = None if self.path is None else self.path.resolve()
        return known.path == own and known.node in {self.id, None}


def ask(*command: str) -> str | None:
    """What a program says on standard output; None where it is not there, fails or hangs."""
    nothing = subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, stdin=nothing, capture_output=True, timeout=ASK_S, check=False, env=child_environ(os.environ)
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
