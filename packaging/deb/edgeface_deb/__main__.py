"""``plan`` names what is to be fetched, ``make`` builds; ``packaging/deb/build`` calls both."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

from edgeface_deb.arguments import Parser
from edgeface_deb.building import ROOT, BuildError, Inputs, held, pack
from edgeface_deb.targets import MACHINES, SYSTEMS, Target, targets
from edgeface_deb.wheels import pip_options

CACHE = ROOT / ".cache" / "deb"
PYTHONS = tuple(Target(system, "amd64").python for system in SYSTEMS)


def parser() -> argparse.ArgumentParser:
    """Options of both steps: they get the same words."""
    made = Parser(
        prog="packaging/deb/build", description="Builds Debian packages of edgeface; all of them where none is named."
    )
    made.add_argument("--arch", choices=sorted(MACHINES), action="append", default=[], help="architecture (repeatable)")
    made.add_argument(
        "--python", choices=PYTHONS, action="append", default=[], help="Python of the system (repeatable)"
    )
    made.add_argument(
        "--revision", type=_revision, default=1, metavar="N", help="of the package, for the same edgeface (1)"
    )
    made.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="where to put them (dist)")
    made.add_argument(
        "--level", type=int, choices=range(10), default=6, metavar="0-9", help="of xz (6); 0: none, for trials"
    )
    return made


def _revision(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise argparse.ArgumentTypeError(f"{text} is no number of 1 to 9999")
    return int(text)


def plan(args: argparse.Namespace) -> int:
    """Print a line for each target of which a wheel is missing: folder, lock file, pip's options."""
    for target in targets(args.arch, args.python):
        folder = CACHE / "wheels" / target.name
        if None in held(target, folder).values():
            print(folder, ROOT / "requirements" / target.lock, *pip_options(target), sep="\t")
    return 0


def make(args: argparse.Namespace, *, epoch: int, wheel: Path, stock: Path) -> int:
    """Build; a line for each package."""
    found = re.search(r'^__version__ = "(.+)"$', (ROOT / "edgeface/__init__.py").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    inputs = Inputs(
        version=found[1],
        revision=args.revision,
        epoch=epoch,
        wheel=wheel,
        stock=stock.read_text(encoding="utf-8"),
        level=args.level,
    )
    for target in targets(args.arch, args.python):
        began_s = time.monotonic()
        wheels = held(target, CACHE / "wheels" / target.name)
        missing = [package.name for package, path in wheels.items() if path is None]
        if missing:
            raise BuildError(f"there is no wheel of {missing[0]} for {target.name}; run scripts/lock")
        place = pack(target, inputs, [path for path in wheels.values() if path is not None], args.out)
        print(f"{place}  {place.stat().st_size / 1e6:.1f} MB in {time.monotonic() - began_s:.0f} s", flush=True)
    return 0


def main() -> int:
    """Run a step; 2 and one line for what cannot be."""
    step, *words = sys.argv[1:]
    if step == "plan":
        return plan(parser().parse_args(words))
    epoch, wheel, stock, *rest = words
    try:
        return make(parser().parse_args(rest), epoch=int(epoch), wheel=Path(wheel), stock=Path(stock))
    except (BuildError, ValueError) as error:
        print(f"edgeface: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
