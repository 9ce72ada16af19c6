"""Two commits, the other one and this tree, interleaved in one run: frames a second, CPU time beside the networks' own.

    python -m benchmarks.commits COMMIT [--rounds N]

Each round runs `edgeface bench` of both trees in turn, in a process of its own; printed are medians over the rounds, of
the figures and of each round's ratio. The other commit is laid out in a temporary folder, and runs with this
environment's packages.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.clips import clips

ROOT = Path(__file__).resolve().parents[1]
PROBE = """
import importlib, json, sys
from pathlib import Path
from edgeface.bundle import open_bundle
from edgeface.config import Config
try:
    bench = importlib.import_module("edgeface.offline.bench")
except ModuleNotFoundError:  # before there was a package for what works on files
    bench = importlib.import_module("edgeface.bench")
runs, run = [], bench._run
bench._run = lambda *words, **named: runs.append(run(*words, **named)) or runs[-1]
report = bench.measure(open_bundle(Path("models/default")), Config(), Path(sys.argv[1]))
share = runs[-1]
beside = (share.cpu_s - share.reader_s - share.runners_s) / share.frames * 1000
print(json.dumps({"frames a second": report.fps, "ms beside decoding and inference": beside}))
"""


def measure(commit: str, rounds: int) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Medians of (that commit, this tree, ratio) by clip and figure."""
    small, large, _ = clips()
    found: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", other, commit], cwd=ROOT, check=True)
        try:
            for _ in range(rounds):
                for clip in (small, large):
                    for place, tree in enumerate((other, ROOT)):
                        for name, value in _probe(tree, clip).items():
                            found.setdefault(clip.name, {}).setdefault(name, ([], []))[place].append(value)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", other], cwd=ROOT, check=True)
    return {clip: {name: _medians(*both) for name, both in figures.items()} for clip, figures in found.items()}


def _medians(before: list[float], now: list[float]) -> tuple[float, float, float]:
    return median(before), median(now), median(new / old for old, new in zip(before, now, strict=True))


def _probe(tree: Path, clip: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(clip)], cwd=tree, stdout=subprocess.PIPE, text=True, check=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for clip, figures in measure(arguments.commit, arguments.rounds).items():
        for name, (before, now, ratio) in figures.items():
            print(f"{clip}: {name}: {before:.3f} at {arguments.commit}, {now:.3f} here, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
