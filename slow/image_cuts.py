"""The card's image while the power goes, and what it writes while nobody comes and while somebody does.

Its camera is a stream of the tests' own, served from the host: a person who comes and goes.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from signal import SIGINT, default_int_handler, signal
from typing import Any

import cv2
import numpy as np
from astronaut import astronaut
from brokers import Auditor
from rtsp_server import RtspServer

from slow.guest import Guest
from slow.image_place import BOOT_S, Place, Proof

FPS = 4
SIDE = 320
WITHIN_S = 20.0
"""A cut comes so long after the first visit of a boot, at most."""
CUTS_S = 1200
MEASURED_S, SETTLED_S = 600, 60
"""Each is measured so long: `sync` before and after leaves nothing for a later commit, and counts as the one that is
due in this time."""
HOUR_S = 3600
VISITS_AN_HOUR, LEAST_VISITS = 60, 4
TUNED_S = 1800
BLOCK_BYTES = 512


def scene(present_s: float, away_s: float) -> list[np.ndarray]:
    """Pictures of somebody who drifts to the right, then of a wall; a sensor's noise lies over both."""
    person = cv2.resize(astronaut(), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    wall = np.full_like(person, 120)
    chance = np.random.default_rng(1)
    shown = [np.roll(person, number, axis=1) for number in range(round(present_s * FPS))]
    shown += [wall] * round(away_s * FPS)
    return [cv2.add(picture, chance.integers(0, 6, picture.shape, np.uint8)) for picture in shown]


def address(camera: RtspServer) -> str:
    """The camera as the guest reaches it."""
    return camera.address.replace("127.0.0.1", "10.0.2.2")


def begun(auditor: Auditor, since: int) -> int:
    """Visits that began since, and were not kept from an earlier run."""
    told = [h.json for h in auditor.heard[since:] if h.topic.endswith("/visits")]
    return sum(one["event"] == "start" and not one.get("replayed") for one in told)


class Audit:
    """``edgeface audit``, as a person runs it."""

    def __init__(self, port: int) -> None:
        words = ["audit", "--host", "127.0.0.1", "--port", str(port), "--whole", "--json"]
        # A shell's background job ignores Ctrl-C, and so would its children.
        signal(SIGINT, default_int_handler)
        self._process = subprocess.Popen([sys.executable, "-m", "edgeface", *words], stdout=subprocess.PIPE, text=True)

    def end(self) -> tuple[int, dict[str, Any]]:
        """Its exit code, and its account."""
        self._process.send_signal(SIGINT)
        text, _ = self._process.communicate(timeout=60)
        return self._process.returncode, json.loads(text)


def cuts(proof: Proof, place: Place) -> None:
    """Cut the power while visits are written; every boot comes back, and nothing is missing outside the window."""
    chance = random.Random(1)
    audit = Audit(place.broker.port)
    boots: list[int] = []
    with RtspServer(scene(6, 5), then="anew", fps=FPS) as camera:
        guest = place.guest("node", source=address(camera))
        began_s = time.monotonic()
        for number in range(place.cuts + 1):
            since = len(place.auditor.heard)
            guest.start(words="")
            seconds = guest.wait_for(lambda since=since: begun(place.auditor, since) > 0, "a visit", 2 * BOOT_S)  # type: ignore[misc]
            boots.append(round(seconds))
            print(f"  boot {number}: its first visit after {seconds:.0f} s", flush=True)
            if number < place.cuts:
                time.sleep(chance.uniform(0, WITHIN_S))
                guest.off()
        took_s = time.monotonic() - began_s
        guest.wait_for(guest.answers, "a login by key", BOOT_S)
        # What is told of a run that goes on is no account: it ends as it should, and delivers what it has.
        guest.run("sudo systemctl stop edgeface", limit_s=300)
        state = guest.run("cat /run/edgeface-boot/data").strip()
    code, account = audit.end()
    runs = account["runs"]
    proof.figure("seconds to the first visit, boot by boot", boots)
    proof.figure(f"{place.cuts} cuts took s", round(took_s))
    proof.figure("visits", sum(run["heard"] for run in runs) // 2)
    proof.figure("ended by power", sum(run["power"] for run in runs))
    proof.figure("in the seconds before a cut, perhaps never given out", sum(run["unsure"] for run in runs))
    proof.figure("sent again", sum(run["repeated"] for run in runs))
    proof.holds("every boot came back", len(boots) == place.cuts + 1 and state == "mounted", (boots, state))
    proof.holds("it is one node all the time", len({run["node"] for run in runs}) == 1, runs)
    proof.holds("each boot is a run", len(runs) == place.cuts + 1, len(runs))
    proof.holds("the audit misses nothing outside its window", code == 0, [run for run in runs if run["missing_count"]])
    lasting = sum(run["lasting"] for run in runs)
    proof.holds("every visit that began has ended", lasting == 0, lasting)
    if place.cuts == 10:
        proof.holds("ten cuts take less than 20 minutes", took_s < CUTS_S, took_s)


def written(guest: Guest) -> int:
    """Bytes that went to the data partition since the power came."""
    return int(guest.run("sync; cat /sys/block/vda/vda4/stat").split()[6]) * BLOCK_BYTES


def writes(proof: Proof, place: Place) -> None:
    """Count what goes to the data partition: nobody there, then a visit a minute."""
    with RtspServer(scene(0, 5), then="anew", fps=FPS) as camera:
        guest = place.guest("node", source=address(camera))
        guest.start(words="")
        guest.wait_for(guest.answers, "a login by key", 2 * BOOT_S)
        guest.wait_for(
            lambda: any(
                h.topic.endswith("/health") and h.json["cameras"]["main"]["state"] == "running"
                for h in place.auditor.heard
            ),
            "the camera",
            BOOT_S,
        )
        # At a first boot what runs best on the board is measured, once, and written.
        guest.wait_for(
            lambda: guest.run("systemctl is-active edgeface-tune || true").strip() in ("inactive", "failed"),
            "the end of edgeface-tune",
            TUNED_S,
        )
        resident = int(guest.run("systemctl show -p MemoryCurrent --value edgeface").strip())
        proof.figure("memory of the service at rest, MB", round(resident / 1e6))
        said = guest.run("free -b | awk '/^Mem/ {print $3}'; systemd-analyze blame | head -12")
        proof.figure("memory in use, MB", round(int(said.split()[0]) / 1e6))
        print(said, flush=True)
        for name, show in (("nobody there", scene(0, 5)), ("a visit a minute", scene(10, 50))):
            camera.show(show)
            # The boot's own, or the first visit's, are over.
            time.sleep(SETTLED_S)
            before, since, began_s = written(guest), len(place.auditor.heard), time.monotonic()
            time.sleep(MEASURED_S)
            wrote, took_s = written(guest) - before, time.monotonic() - began_s
            visits = begun(place.auditor, since)
            nobody = name == "nobody there"
            # A few visits more or less fall into so short a time.
            hourly = round(wrote * HOUR_S / took_s if nobody else wrote * VISITS_AN_HOUR / max(visits, 1))
            proof.figure(f"bytes to /data an hour, {name}", hourly)
            proof.figure(f"visits in {took_s:.0f} s, {name}", visits)
            proof.holds(f"{name}: it is within its bound", hourly <= (0 if nobody else 10**6), hourly)
            proof.holds(f"{name}: as many came", visits == 0 if nobody else visits >= LEAST_VISITS, visits)
