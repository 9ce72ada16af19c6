"""The packages for 64-bit ARM, installed in Debian 12 and 13 of that architecture, and what they compute there.

Installs each with dpkg, computes every network in both runtimes, and runs the demo's clips against a real Mosquitto of
this machine: the visits are those of the record (tests/golden), within 0.15 s and 2 years. Under qemu-user on x86-64;
half an hour to two hours. A line for each check; 1 where one is bad, 2 where something is missing here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from brokers import HOST, Auditor, Mosquitto
from clips import fetch
from edgeface_deb.targets import SYSTEMS, Target
from records import CLIPS, differences, golden

import edgeface
from edgeface.cli.common import Parser
from edgeface.errors import SourceError
from slow.emulated import NATIVE, PACKAGES, EmulatedRoot, missing
from slow.image_place import Proof
from slow.nspawn import make_root, scratch

ROOT = Path(__file__).parents[1]
ROOTS = ROOT / ".cache/arm64/roots"
TARGETS = {f"debian-{system.suffix.removeprefix('deb')}": Target(system, "arm64") for system in SYSTEMS[:2]}
PROCESSORS = {"cortex-a53": "Pi 3", "cortex-a72": "Pi 4", "cortex-a76": "Pi 5"}
RUNTIMES = {"onnx": ".onnx", "litert": ".tflite"}
"""And how their files end."""
MOST_S = 3600.0
"""For one command, on a machine that does other things too."""
NODE = "arm64"
LATE = "without an answer"
TRIES = 3
"""Of all networks, while one of them is late."""


def verified(reports: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, list[str]]]:
    """By runtime: how many files of networks compute what they should, and a line for each that does not.

    Each file has a board's time for its answer, of which an emulator on a busy machine takes more: one that was only
    late counts by another of the ``reports``. One that was wrong once is wrong.
    """
    results: dict[str, str] = {}
    for file in (file for report in reports for file in report["files"]):
        line = "" if file["result"] == "ok" else f"{file['file']}: {file['detail']}"
        if results.get(file["file"]) is None or is_late(results[file["file"]]) or (line and not is_late(line)):
            results[file["file"]] = line
    found = {}
    for runtime, ending in RUNTIMES.items():
        lines = [line for name, line in results.items() if name.endswith(ending)]
        found[runtime] = (lines.count(""), [line for line in lines if line])
    return found


def is_late(line: str) -> bool:
    """Whether a file had no time to answer, which says nothing of the answer."""
    return LATE in line


def judged(messages: Sequence[tuple[str, bytes]], clip: str) -> list[str]:
    """What the messages of a run over a clip have otherwise than the record; a line for each.

    Parameters
    ----------
    messages : topic and payload, in the order in which a subscriber had them
    """
    kinds = Counter(topic.rsplit("/", 1)[-1] for topic, _ in messages)
    if not kinds["health"]:
        return ["no health came"]
    bodies = [(topic, json.loads(payload)) for topic, payload in messages if payload.startswith(b"{")]
    health = next(body for topic, body in bodies if topic.endswith("/health"))
    # A file's first picture has the time at which the configuration was read.
    start = datetime.fromisoformat(health["configuration"]["loaded_at"].replace("Z", "+00:00"))
    found = differences([body for topic, body in bodies if topic.endswith("/visits")], golden(clip), start)
    words = [payload.decode() for topic, payload in messages if topic.endswith("/availability")]
    # Said again with each health that tells of something new; a connection that broke would say offline in between.
    good = words[:1] == ["online"] and words[-1:] == ["offline"] and words.count("offline") == 1
    return found if good else [*found, f"availability {words}"]


def build(out: Path, names: Sequence[str]) -> None:
    """Build the packages that are asked for."""
    words = [word for name in names for word in ("--python", TARGETS[name].python)]
    command = [str(ROOT / "packaging/deb/build"), "--arch", "arm64", *words, "--out", str(out)]
    subprocess.run(command, check=True, stdout=sys.stderr)


class Try:
    """One package in one root.

    Parameters
    ----------
    name : of the system, before each line
    """

    def __init__(self, proof: Proof, name: str, root: EmulatedRoot) -> None:
        self._proof = proof
        self._name = name
        self._root = root

    def holds(self, what: str, true: bool, seen: object = "") -> None:
        """Tell whether something is so."""
        self._proof.holds(f"{self._name}: {what}", true, seen)

    def timed(self, what: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, and keep its seconds; one that hangs has ended with 124."""
        began_s = time.monotonic()
        try:
            done = self._root.run(*command, most_s=MOST_S)
        except subprocess.TimeoutExpired:
            done = subprocess.CompletedProcess(command, 124, "", f"not done after {MOST_S:g} s")
        self._proof.figure(f"{self._name}: {what}, s", round(time.monotonic() - began_s))
        return done

    def install(self, deb: Path) -> bool:
        """Install the package as root types it."""
        shutil.copyfile(deb, self._root.root / "srv" / deb.name)
        done = self.timed("install", "dpkg", "-i", f"/srv/{deb.name}")
        said = done.stdout + done.stderr
        good = done.returncode == 0 and "rror" not in said and "warning" not in said
        self.holds("dpkg installs it, without a complaint", good, said[-600:])
        version = self.timed("--version", "edgeface", "--version")
        self.holds("it starts", version.stdout.strip().endswith(edgeface.__version__), version.stdout + version.stderr)
        return version.returncode == 0

    def verify(self) -> None:
        """Compute every network in both runtimes."""
        reports: list[dict[str, Any]] = []
        found: dict[str, tuple[int, list[str]]] = {}
        while len(reports) < TRIES and (not reports or any(is_late(line) for _, bad in found.values() for line in bad)):
            done = self.timed("models verify", "edgeface", "models", "verify", "--json")
            try:
                reports.append(json.loads(done.stdout))
            except ValueError:
                self.holds("networks are computed", False, (done.stderr or done.stdout)[-600:])
                return
            found = verified(reports)
        chains = [report["chain"]["result"] for report in reports]
        self.holds("the chain of networks computes", "ok" in chains, chains)
        for runtime, (right, bad) in found.items():
            self.holds(f"{right} files of networks are right in {runtime}", right > 0 and not bad, bad)

    def replay(self, clip: str, runtime: str, folder: Path) -> None:
        """Run a clip against a broker, and hold what a subscriber hears against the record."""
        folder.mkdir()
        broker = Mosquitto(folder).start()
        auditor = Auditor(broker.port)
        try:
            settings = (f"mqtt.host={HOST}", f"mqtt.port={broker.port}", f"node.id={NODE}", f"runtime.name={runtime}")
            words = [word for setting in settings for word in ("--set", setting)]
            command = ("edgeface", "run", "--config", os.devnull, "--source", f"/mnt/{clip}", "--once", *words)
            done = self.timed(f"{clip} in {runtime}", *command)
            auditor.wait_for(lambda heard: heard.words()[-1:] == ["offline"] or done.returncode != 0, "the last word")
        finally:
            auditor.close()
            broker.stop()
        self.holds(f"{clip} in {runtime} is analysed", done.returncode == 0, done.stderr[-600:])
        found = judged([(heard.topic, heard.payload) for heard in auditor.heard], clip)
        self.holds(f"{clip} in {runtime} gives the visits of the record", not found, found)


def main() -> int:
    """Print what came of it; 1 where something does not hold, 2 where it cannot be tried."""
    parser = Parser(
        prog="packaging/arm64-test", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=TARGETS, action="append", help="a system (repeatable); default: both")
    parser.add_argument("--packages", type=Path, metavar="DIR", help="packages that are there already; else built")
    parser.add_argument("--clip", choices=CLIPS, action="append", help="a clip (repeatable); default: all four")
    parser.add_argument("--runtime", choices=RUNTIMES, action="append", help="for clips (repeatable); default: onnx")
    parser.add_argument("--processor", choices=PROCESSORS, default="cortex-a72", help="the emulated one (cortex-a72)")
    args = parser.parse_args()
    names = list(dict.fromkeys(args.only or TARGETS))
    packages = args.packages or ROOT / "dist"
    debs = {name: packages / TARGETS[name].file(edgeface.__version__, 1) for name in names}
    if (why := missing()) is not None:
        return _cannot(why)
    try:
        clips = fetch()
    except SourceError as error:
        return _cannot(f"the clips cannot be fetched: {error}")
    if args.packages is None:
        build(packages, names)
    for deb in debs.values():
        if not deb.is_file():
            return _cannot(f"{deb} is not there; packaging/deb/build --arch arm64 makes it")
    # Whoever ends it by a signal leaves no broker and no root behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    proof, work, began_s = Proof(), scratch(), time.monotonic()
    print(
        f"edgeface {edgeface.__version__} on {'this machine' if NATIVE else args.processor + ', emulated'}", flush=True
    )
    try:
        for name in names:
            tar_s = time.monotonic()
            codename = TARGETS[name].system.codename
            tar = make_root(codename, ROOTS / f"{codename}.tar", arch="arm64", packages=PACKAGES)
            proof.figure(f"{name}: root, s", round(time.monotonic() - tar_s))
            one = Try(proof, name, EmulatedRoot(tar, work / name, clips=clips, processor=args.processor))
            if one.install(debs[name]):
                one.verify()
                for runtime in dict.fromkeys(args.runtime or ["onnx"]):
                    for clip in dict.fromkeys(args.clip or CLIPS):
                        one.replay(clip, runtime, work / f"{name}-{runtime}-{clip}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    proof.figure("all, s", round(time.monotonic() - began_s))
    print("good" if not proof.bad else f"{len(proof.bad)} bad")
    return 1 if proof.bad else 0


def _cannot(why: str) -> int:
    print(f"edgeface: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
