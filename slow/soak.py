"""The daemon at full speed for an hour: resident memory, descriptors and threads must not grow.

The real `edgeface run` over a pretended camera that gives more pictures than it can analyse, with somebody who comes
and goes, beside a real Mosquitto. ``--out`` keeps what was measured as CSV: seconds, megabytes, descriptors, threads;
``--plot`` draws it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from brokers import Mosquitto
from pretend_camera import CONFIG, PretendCamera

from edgeface.cli.common import Parser

FPS = 60.0
SCENE_S = 6.0
"""Somebody for so long, then nobody."""
SAMPLES = 240
"""Over the whole time."""
MOST_GROWTH_MB = 8.0
LEFT_PX, WIDE_PX, HIGH_PX, PANEL_PX = 50, 560, 80, 96
"""Of the plot: left margin, width and height of a curve, and from one to the next."""
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process had at some time."""

    seconds: float
    memory_mb: float
    descriptors: int
    threads: int


def sample(pid: int, began_s: float) -> Sample:
    """Ask the kernel."""
    place = Path(f"/proc/{pid}")
    return Sample(
        seconds=round(time.monotonic() - began_s, 1),
        memory_mb=round(int((place / "statm").read_text().split()[1]) * PAGE_MB, 1),
        descriptors=len(list((place / "fd").iterdir())),
        threads=len(list((place / "task").iterdir())),
    )


def verdict(samples: Sequence[Sample]) -> dict[str, float | bool]:
    """Hold the last quarter against the second one: in the first everything is still loaded for the first time."""
    quarter = len(samples) // 4
    before, after = samples[quarter : 2 * quarter], samples[-quarter:]
    grown_mb = median(one.memory_mb for one in after) - median(one.memory_mb for one in before)
    told: dict[str, float | bool] = {
        "seconds": samples[-1].seconds,
        "memory_mb": samples[-1].memory_mb,
        "grown_mb": round(grown_mb, 1),
        "descriptors_grown": max(one.descriptors for one in after) - max(one.descriptors for one in before),
        "threads_grown": max(one.threads for one in after) - max(one.threads for one in before),
    }
    good = grown_mb <= MOST_GROWTH_MB and told["descriptors_grown"] <= 0 and told["threads_grown"] <= 0
    return {**told, "good": good}


def drawn(samples: Sequence[Sample]) -> str:
    """Everything over the minutes as SVG: one curve below the other, each from nothing to its most."""
    last_s = max(samples[-1].seconds, 1.0)
    panels = []
    for place, (name, unit) in enumerate(
        (("memory_mb", "MB resident"), ("descriptors", "descriptors"), ("threads", "threads"))
    ):
        values = [float(getattr(one, name)) for one in samples]
        most, base = max(*values, 1.0), (place + 1) * PANEL_PX
        points = " ".join(
            f"{LEFT_PX + one.seconds / last_s * WIDE_PX:.1f},{base - value / most * HIGH_PX:.1f}"
            for one, value in zip(samples, values, strict=True)
        )
        panels += [
            f'<path d="M{LEFT_PX},{base - HIGH_PX}V{base}H{LEFT_PX + WIDE_PX}" fill="none" stroke="#999"/>',
            f'<polyline points="{points}" fill="none" stroke="#06c" stroke-width="1.5"/>',
            f'<text x="{LEFT_PX - 6}" y="{base - HIGH_PX + 10}" text-anchor="end">{most:g}</text>',
            f'<text x="{LEFT_PX + 6}" y="{base - 6}">{unit}, {values[-1]:g} at the end</text>',
        ]
    wide, high = LEFT_PX + WIDE_PX + 10, 3 * PANEL_PX + 24
    panels.append(f'<text x="{LEFT_PX + WIDE_PX}" y="{high - 6}" text-anchor="end">{last_s / 60:.0f} minutes</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" font-family="sans-serif"'
    head += ' font-size="12">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *panels, "</svg>", ""])


def watch(folder: Path, seconds: float) -> list[Sample]:
    """Run the daemon, and look at it until the time is over."""
    broker = Mosquitto(folder).start()
    camera = PretendCamera(folder / "camera", fps=FPS)
    config = folder / "edgeface.toml"
    config.write_text(f'[node]\nid = "soak"\n[mqtt]\nport = {broker.port}\n[cameras.main]\n{CONFIG}')
    environ = {
        **os.environ,
        "PATH": f"{camera.programs}:{os.environ['PATH']}",
        "STATE_DIRECTORY": str(folder / "state"),
    }
    child = subprocess.Popen([sys.executable, "-m", "edgeface", "run", "--config", str(config)], env=environ)
    samples: list[Sample] = []
    began_s = time.monotonic()
    try:
        while (now_s := time.monotonic() - began_s) < seconds:
            camera.show("face" if now_s / SCENE_S % 2 < 1 else "empty")
            if now_s >= len(samples) * seconds / SAMPLES:
                if child.poll() is not None:
                    raise SystemExit(f"the daemon ended with {child.returncode}")
                samples.append(sample(child.pid, began_s))
            time.sleep(0.1)
    finally:
        child.terminate()
        child.wait(30)
        broker.stop()
    return samples


def main() -> int:
    """Print what came of it; 1 where something grew."""
    parser = Parser(prog="scripts/slow soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--out", type=Path, metavar="CSV", help="where to keep what was measured")
    parser.add_argument("--plot", type=Path, metavar="SVG", help="where to draw it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgeface-soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        samples = watch(folder, args.seconds)
        days = json.loads((folder / "state" / "today-soak.json").read_bytes())["main"]
    if args.out is not None:
        rows = [f"{one.seconds},{one.memory_mb},{one.descriptors},{one.threads}" for one in samples]
        args.out.write_text("\n".join(["seconds,memory_mb,descriptors,threads", *rows]) + "\n")
    if args.plot is not None:
        args.plot.write_text(drawn(samples))
    told = verdict(samples)
    print(json.dumps({**told, "visits": sum(day["visits"] for day in days)}))
    return 0 if told["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
