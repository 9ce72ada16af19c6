"""Real picamera2 on libcamera's virtual camera: is the tests' stand-in honest, and does the product run on it.

::

    scripts/slow picamera2 [--folder DIR]

First the cases that the stand-in is held to, each in a process of its own. Then the product's child: both pictures show
one view, whose faces lie where they lay. Then a booted Debian 13 with the product as its installer installs it, under
its own unit: a visit begins; the front end falls silent, the process dies, and a stop hangs, and each time it is told
and the camera is back; a clean stop leaves nothing behind. Each line of the result is one thing, ``ok`` or ``FAIL``.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from brokers import Auditor, Mosquitto
from bundles import DEFAULT
from picamera2_cases import EXPECTED

from edgeface.bundle import open_bundle
from edgeface.cli.common import Parser
from edgeface.config import Camera, Config, Runtime
from edgeface.engine.networks import Networks
from edgeface.geometry import enlarge
from edgeface.sources import picamera2_pipe
from edgeface.sources.picamera2_pipe import Picamera2Pipe
from edgeface.sources.planes import yuv_to_bgr
from edgeface.types import Image
from slow.picamera2_place import PROGRAMS, Place

PATIENCE_S = 90.0
"""A bound against waiting for ever, no measure."""
FPS = 15
MEASURED_S = 20.0
TIMES = 100
MOST_BOX_PX = 12.0
"""Between the two boxes of one face: the two streams of the virtual camera are some pictures apart, and it sways."""
CONFIG = """\
[mqtt]
port = {port}
[cameras.door]
source = "picamera2"
fps = {fps}
"""
UNIT = "edgeface.service"
CHILD = "picamera2_child.py"


class Checks:
    """Counts and prints."""

    def __init__(self) -> None:
        self.bad = 0

    def __call__(self, what: str, good: object, seen: object = "") -> None:
        """Note one thing, with what was seen where it is not good."""
        self.bad += not good
        print("ok  " if good else "FAIL", what, "" if good else f"[{seen}]", flush=True)


def until(true: Callable[[], object], seconds: float = PATIENCE_S, *, pause_s: float = 0.2) -> bool:
    """Whether something becomes true."""
    end_s = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end_s:
            return False
        time.sleep(pause_s)
    return True


def honest(check: Checks, place: Place) -> None:
    """The cases of the stand-in, with the real one."""
    for case, wanted in EXPECTED.items():
        words = place.inside("/usr/bin/python3", "-I", "/opt/virtual-camera/picamera2_cases.py", case)
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        said = (done.stdout.strip().splitlines() or [""])[-1]
        check(f"case {case}: {wanted}", said == wanted, said or done.stderr[-300:])


def pictures(check: Checks, place: Place, folder: Path) -> None:
    """The product's own reader, with its child in there."""
    inside = place.inside("/usr/bin/python3", "-I", "-B", "/opt/virtual-camera/picamera2_child.py")
    program = folder / "python3"
    program.write_text(f'#!/bin/sh\nshift 3\nexec {shlex.join(inside)} "$@"\n')
    program.chmod(0o755)
    picamera2_pipe.PYTHON = str(program)
    pipe = Picamera2Pipe(picamera2_pipe.picamera2(Camera(source="picamera2", fps=FPS)), patience_s=5.0)
    networks = Networks(open_bundle(DEFAULT), Config(runtime=Runtime(threads=1)))
    cv2.setNumThreads(1)
    pipe.open()
    latest: list[tuple[Image, Image]] = []
    count = 0

    def reads_until(wanted: int) -> bool:
        nonlocal count
        got = pipe.read()
        if isinstance(got, tuple):
            # One alone is kept: memory that is used again costs what it costs in service.
            latest[:], count = [got], count + 1
        return count >= wanted

    try:
        enough_came = until(partial(reads_until, 10), pause_s=0)
        began_s = time.thread_time()
        enough_came = enough_came and until(partial(reads_until, 10 + TIMES), pause_s=0)
        told("reading and converting both", (time.thread_time() - began_s) / TIMES)
    finally:
        pipe.release()
    if not enough_came:
        check("both pictures come", good=False)
        return
    image, small = latest[0]
    check(
        "both pictures come", (image.shape, small.shape) == ((720, 1280, 3), (360, 640, 3)), (image.shape, small.shape)
    )
    for size, picture in (("large", image), ("small", small)):
        told(f"finding faces in the {size} one", least_s(partial(networks.detect, picture, min_score=0.5)))
    raw = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    for full in (False, True):
        told(f"converting the large one, full range {full}", least_s(partial(yuv_to_bgr, raw, full_range=full)))
    large = networks.detect(image, min_score=0.5)
    found = enlarge(networks.detect(small, min_score=0.5), (640, 360), (1280, 720))
    check("one face in each", len(large) == len(found) == 1, (len(large), len(found)))
    if len(large) == len(found) == 1:
        off = np.abs(large.boxes - found.boxes).max()
        check(f"the same face, boxes {off:.1f} px apart", off <= MOST_BOX_PX)


def told(what: str, seconds: float) -> None:
    """Print what something costs; no verdict."""
    print(f"     {what}: {1000 * seconds:.2f} ms", flush=True)


def least_s(work: Callable[[], object]) -> float:
    """Processor time of this thread for something, the least of many times: others share the machine."""
    best_s = float("inf")
    for _ in range(TIMES):
        began_s = time.thread_time()
        work()
        best_s = min(best_s, time.thread_time() - began_s)
    return best_s


def children(place: Place) -> list[str]:
    """Processes with the camera."""
    return place.run("pgrep", "-f", CHILD).split() if place.run("which", "pgrep").strip() else _by_proc(place)


def _by_proc(place: Place) -> list[str]:
    listed = place.run("sh", "-c", f"grep -lsa {CHILD} /proc/[0-9]*/cmdline; true").split()
    return [path.split("/")[2] for path in listed if "/self/" not in path and _is_python(place, path)]


def _is_python(place: Place, path: str) -> bool:
    return place.run("readlink", path.replace("cmdline", "exe")).strip().startswith("/usr/bin/python3")


def cpu_s(place: Place, pid: str) -> float:
    """Processor time of a process so far."""
    fields = place.run("cat", f"/proc/{pid}/stat").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(place: Place, pid: str) -> float:
    """Memory of a process that no other shares, and its part of what others do."""
    lines = place.run("cat", f"/proc/{pid}/smaps_rollup").splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


class Service:
    """The product's unit in the booted system, and what it says."""

    def __init__(self, place: Place, auditor: Auditor) -> None:
        self.place, self.auditor = place, auditor

    def property(self, name: str) -> str:
        """What systemd says of the unit."""
        return self.place.run("systemctl", "show", "-P", name, UNIT).strip()

    def log(self) -> str:
        """Everything it has said."""
        return self.place.run("journalctl", "-u", UNIT, "-o", "cat", "--no-pager")

    def count(self, event: str) -> int:
        """Visits that have begun, or ended."""
        return sum(heard.json.get("event") == event for heard in self.auditor.of("visits"))

    def rate(self) -> float:
        """Pictures a second, as its last `health` says."""
        told = [heard.json["cameras"]["door"] for heard in self.auditor.of("health")]
        return float(told[-1].get("fps") or 0.0) if told else 0.0


def fault(check: Checks, service: Service, *names: str, words: str = "") -> None:
    """Make a fault: it is told, the visit ends, and when it has gone another child has the camera."""
    what, files = " and ".join(names), [service.place.faults / name for name in names]
    told, started, ended = service.log().count(words), service.count("start"), service.count("end")
    before = children(service.place)
    for file in files:
        file.touch()
    if words:
        check(f"{what}: {words!r} is told", until(lambda: service.log().count(words) > told), service.log()[-800:])
    check(f"{what}: the visit ends", until(lambda: service.count("end") > ended), service.log()[-800:])
    for file in files:
        file.unlink()
    check(f"{what}: another visit begins", until(lambda: service.count("start") > started), service.log()[-800:])
    after = children(service.place)
    check(f"{what}: another child, and one", len(after) == 1 and after != before, (before, after))


def measure(service: Service) -> None:
    """Processor time and memory of both processes; figures, no verdict."""
    pids = {"daemon": service.property("MainPID"), "child": children(service.place)[0]}
    before = {name: cpu_s(service.place, pid) for name, pid in pids.items()}
    began_s = time.monotonic()
    time.sleep(MEASURED_S)
    passed_s = time.monotonic() - began_s
    for name, pid in pids.items():
        used = (cpu_s(service.place, pid) - before[name]) / passed_s
        print(f"     {name}: {100 * used:.1f} % of a processor, {memory_mb(service.place, pid):.0f} MB", flush=True)


def lives(check: Checks, place: Place, folder: Path) -> None:
    """The product under its own unit, from its start to its stop."""
    broker = Mosquitto(folder).start()
    auditor = Auditor(broker.port)
    (place.root / "etc/edgeface/edgeface.toml").write_text(CONFIG.format(port=broker.port, fps=FPS))
    place.boot()
    try:
        service = Service(place, auditor)
        check("the unit is active", until(lambda: service.property("ActiveState") == "active"), service.log()[-800:])
        check("a visit begins", until(lambda: service.count("start") >= 1), service.log()[-800:])
        check("it says who gives what", "Virtual gives 1280x720 NV12 and 640x360 NV12, limited range" in service.log())
        listed = place.run("env", "LD_PRELOAD=/opt/virtual-camera/dmabuf.so", "edgeface", "cameras")
        check("edgeface cameras lists it", "picamera2: Virtual (Virtual0)" in listed, listed)
        said = place.run("edgeface", "doctor")
        check(
            "edgeface doctor says who has it",
            "door: picamera2 by /usr/bin/python3; the daemon has it, running" in said,
            said,
        )
        measure(service)
        fault(check, service, "silent", words="the camera gave no picture for 4 s; check the ribbon cable")
        fault(check, service, "silent", "stuck", words="the camera gave no picture for 4 s; check the ribbon cable")
        # A third loss in a minute is told no more.
        fault(check, service, "die")
        check("full rate", until(lambda: abs(service.rate() - FPS) < 1.5), service.rate())
        pid = service.property("MainPID")
        began_s = time.monotonic()
        place.run("systemctl", "stop", UNIT)
        print(f"     stopped in {time.monotonic() - began_s:.1f} s", flush=True)
        check("a clean stop", service.property("Result") == "success", service.property("Result"))
        check("nothing is left of it", not children(place) and pid != "0", children(place))
        check("the last visit ended with it", service.auditor.of("visits")[-1].json.get("reason") == "stopped")
        check(
            "it was never started again by itself", service.property("NRestarts") == "0", service.property("NRestarts")
        )
        traceback = "Traceback" in service.log()
        check("no traceback", not traceback, service.log()[-800:] if traceback else "")
    finally:
        place.halt()
        auditor.close()
        broker.stop()


def main() -> int:
    """Make the place, and ask everything."""
    parser = Parser(prog="scripts/slow picamera2", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/edgeface-picamera2"), help="kept between runs")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("scripts/slow picamera2 makes a system in a folder and needs root; sudo scripts/slow picamera2")
        return 2
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing:
        print(f"scripts/slow picamera2 makes and boots a system; sudo apt install {' '.join(missing)}")
        return 2
    check, place = Checks(), Place(args.folder)
    began_s = time.monotonic()
    place.build()
    print(f"     made in {time.monotonic() - began_s:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        honest(check, place)
        pictures(check, place, Path(folder))
        lives(check, place, Path(folder))
    print(json.dumps({"bad": check.bad, "seconds": round(time.monotonic() - began_s)}))
    return int(check.bad > 0)


if __name__ == "__main__":
    sys.exit(main())
