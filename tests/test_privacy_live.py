"""Before a live camera: its hours come and go, and what waits is taken back when only totals may be told."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from brokers import eventually, free_port
from bundles import DEFAULT
from daemons import Child
from pretend_camera import CONFIG, FPS, SIDE, PretendCamera

from edgeface.bundle import open_bundle
from edgeface.config import Camera, Config, Privacy
from edgeface.events import Body, VisitMessage
from edgeface.service.assembly import Assembly

DAY, NIGHT = (datetime(2026, 3, 14, hour, tzinfo=ZoneInfo("Europe/Berlin")) for hour in (12, 23))


def readers() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("read-")}


def test_when_its_hours_are_over_the_camera_is_closed_and_opened_again_when_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = PretendCamera(tmp_path / "camera")
    camera.show("face")
    monkeypatch.setenv("PATH", f"{camera.programs}:{os.environ['PATH']}")
    clock = [DAY]
    door = Camera(source="picamera", width=SIDE, height=SIDE, fps=FPS, read_timeout=60.0)
    assembly = Assembly(
        Config(cameras={"door": door}, privacy=Privacy(hours=("08:00-20:00",))),
        open_bundle(DEFAULT),
        environ={},
        once=False,
        now=lambda: clock[0],
    )
    told: list[Body] = []

    def turned(true: Callable[[], bool]) -> bool:
        told.extend(assembly.turn(0.25))
        return true()

    def visits() -> list[tuple[str, str | None]]:
        return [(m.event, m.reason) for m in (body.message for body in told) if isinstance(m, VisitMessage)]

    assembly.start()
    try:
        eventually(lambda: turned(lambda: ("start", None) in visits()), "somebody", 60)
        clock[0] = NIGHT
        eventually(lambda: turned(lambda: ("end", "paused") in visits()), "the end of the visit", 60)
        look = assembly.looks()["door"]
        assert (look.status, look.paused) == ("paused", "hours")
        eventually(lambda: turned(lambda: "read-door" not in readers()), "the camera to be let go of", 60)
        frames = assembly.looks()["door"].frames
        assert assembly.health(1.0)["door"].state == "paused"
        assert [assembly.turn(0.05) for _ in range(3)] == [[], [], []]
        assert assembly.looks()["door"].frames == frames
        clock[0] = DAY
        eventually(lambda: turned(lambda: assembly.looks()["door"].status == "running"), "the camera", 60)
        eventually(lambda: turned(lambda: visits().count(("start", None)) == 2), "somebody again", 60)
    finally:
        assembly.halt()
        assembly.join(2.0)


def test_a_reload_to_totals_only_deletes_what_waits_in_the_spool(run: Callable[..., Child], tmp_path: Path) -> None:
    camera = PretendCamera(tmp_path / "camera")
    camera.show("face")
    state = tmp_path / "state"
    config = tmp_path / "edgeface.toml"
    text = f'[node]\nid = "hall"\n[cameras.main]\n{CONFIG}'
    config.write_text(text)
    environ = {"PATH": f"{camera.programs}:{os.environ['PATH']}", "STATE_DIRECTORY": str(state)}
    child = run(free_port(), "--config", config, environ=environ)

    def kept() -> bytes:
        # SQLite's journals come and go.
        found = b""
        for file in state.glob("spool-hall.db*"):
            with contextlib.suppress(FileNotFoundError):
                found += file.read_bytes()
        return found

    eventually(lambda: b'"event":"start"' in kept(), "a visit in the spool", 60)
    config.write_text(f"{text}[privacy]\nleast_count = 5\n")
    child.process.send_signal(signal.SIGHUP)
    eventually(lambda: "is deleted: privacy.least_count" in child.log(), "the reload", 60)
    eventually(lambda: "is in force" in child.log(), "the new configuration", 60)
    assert list(state.glob("spool-*")) == []
    child.ask(signal.SIGTERM)
    assert list(state.glob("spool-*")) == []
    assert b'"visit"' not in b"".join(file.read_bytes() for file in state.iterdir())
