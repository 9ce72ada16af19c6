"""What the service writes in an hour to a file system like the card's data partition: nobody there, a visit a minute.

The daemon of this tree on this machine; its state lies on a loop device with an ext4 made and mounted as the card's.
Bytes are those that reach the device (``/sys/block/loopN/stat``), so the file system's own journal is among them.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM

from edgeface_image.disk import make_data
from rtsp_server import RtspServer

from slow.image_cuts import BLOCK_BYTES, FPS, HOUR_S, begun, scene
from slow.image_place import ROOT, Place, Proof

MEASURED_S = 480
SETTLED_S = 40.0
"""The start's own, and the first visit's."""
BOUNDS = {"nobody there": 0, "a visit a minute": 10**6}


def mount_options() -> str:
    """As the first program mounts it."""
    found = re.search(r"mount -t ext4 -o (\S+) ", (ROOT / "packaging/image/files/init").read_text())
    assert found is not None
    return found[1]


@contextlib.contextmanager
def data_partition(folder: Path) -> Iterator[tuple[Path, Path]]:
    """A mounted file system and the counters of its device."""
    image, place = folder / "data.ext4", folder / "data"
    place.mkdir(parents=True)
    make_data(image, 1024 * 2**20, dict(os.environ))
    device = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=True)
    name = device.stdout.strip()
    try:
        subprocess.run(["mount", "-o", mount_options(), name, place], check=True)
        try:
            yield place, Path("/sys/block") / Path(name).name / "stat"
        finally:
            subprocess.run(["umount", place], check=True)
    finally:
        subprocess.run(["losetup", "--detach", name], check=True)


def written(stat: Path) -> int:
    """Bytes that went to the device."""
    os.sync()
    return int(stat.read_text().split()[6]) * BLOCK_BYTES


@contextlib.contextmanager
def node(name: str, state: Path, camera: RtspServer, port: int, log: Path) -> Iterator[None]:
    """The daemon, with its state there."""
    state.mkdir()
    words = ["run", "--set", f"mqtt.port={port}", "--set", f"node.id={name}", "--source", camera.address]
    environ = {**os.environ, "STATE_DIRECTORY": str(state), "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("wb") as said:
        process = subprocess.Popen([sys.executable, "-m", "edgeface", *words], env=environ, stderr=said, cwd=state)
    try:
        yield
    finally:
        process.send_signal(SIGTERM)
        process.wait(60)


def count(proof: Proof, place: Place) -> None:
    """Two nodes side by side, each with a device of its own."""
    with contextlib.ExitStack() as stack:
        stats = {}
        for name, shown in (("nobody there", scene(0, 5)), ("a visit a minute", scene(10, 50))):
            folder = place.folder / name.replace(" ", "-")
            data, stats[name] = stack.enter_context(data_partition(folder))
            camera = stack.enter_context(RtspServer(shown, then="anew", fps=FPS))
            stack.enter_context(node(folder.name, data / "state", camera, place.broker.port, folder / "node.log"))
        time.sleep(SETTLED_S)
        began_s, since = time.monotonic(), len(place.auditor.heard)
        before = {name: written(stat) for name, stat in stats.items()}
        time.sleep(MEASURED_S)
        took_s = time.monotonic() - began_s
        hourly = {name: round((written(stat) - before[name]) * HOUR_S / took_s) for name, stat in stats.items()}
        visits = begun(place.auditor, since)
    for name, bound in BOUNDS.items():
        proof.figure(f"bytes an hour, {name}", hourly[name])
        proof.holds(f"{name}: at most {bound}", hourly[name] <= bound, hourly[name])
    proof.figure(f"visits in {took_s:.0f} s", visits)
    proof.figure("bytes a visit", round(hourly["a visit a minute"] * took_s / HOUR_S / max(1, visits)))
    proof.holds("a visit a minute there was", abs(visits - took_s / 60) <= 2, visits)
