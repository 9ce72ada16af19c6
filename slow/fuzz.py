"""Everything that a node reads from elsewhere, under libFuzzer: nothing but our own errors may come out.

::

    scripts/slow fuzz [TARGET ...] [--seconds 60]

Each target (`slow.fuzz_targets`) runs in a process of its own, guided by what its inputs reach, from true ones on. What
breaks it is kept as ``.cache/fuzz/TARGET/crash-*`` and becomes a test.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from edgeface.cli.common import Parser

KEPT = Path(__file__).resolve().parents[1] / ".cache" / "fuzz"
TARGETS = ("configuration", "manifest", "archive", "spool", "message", "command")


def main() -> int:
    """Run the targets one after another; 1 if one of them broke."""
    parser = Parser(prog="scripts/slow fuzz", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="of each (60)")
    args = parser.parse_args()
    if wrong := [one for one in args.targets if one not in TARGETS]:
        parser.error(f"no such target: {wrong[0]}; choose of {', '.join(TARGETS)}")
    return 1 if sum([broke(target, args.seconds) for target in args.targets or TARGETS]) else 0


def broke(target: str, seconds: int) -> bool:
    """Run one target and say how it went; whether something broke it."""
    folder = KEPT / target
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "slow.fuzz_targets", target, str(seconds), str(folder)]
        ended = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    done = re.search(r"^Done (\d+) runs", log.read_text(errors="replace"), re.MULTILINE)
    said = f"{done[1]} inputs" if done else f"broken; see {log}"
    print(f"{'FAIL' if ended else 'ok  '} {target}: {said}", flush=True)
    return ended != 0


if __name__ == "__main__":
    sys.exit(main())
