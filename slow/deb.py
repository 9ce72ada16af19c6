"""The Debian packages for real: built twice, judged by lintian, and installed in Debians that boot.

Root, on Debian: needs dpkg-dev lintian mmdebstrap systemd-container. Debian 12 and 13 of this machine's architecture
are booted; packages of other systems are built, which shows that every wheel is there, and not run. Prints JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from edgeface_deb.targets import SYSTEMS, Target, targets

import edgeface
from edgeface.cli.common import Parser
from slow.deb_cycle import Told, cycle
from slow.deb_release import release
from slow.deb_tune import tune
from slow.deb_unit import unit
from slow.nspawn import MIRROR, Machine, make_root, scratch, unpack_root

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "packaging/deb/build"
ROOTS = ROOT / ".cache" / "deb" / "roots"
TOOLS = {
    "dpkg-scanpackages": "dpkg-dev",
    "lintian": "lintian",
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
}
LIMITS_MB = {"amd64": 80.0, "arm64": 65.0}
PARTS = ("build", "twice", "lintian", "debian-12", "debian-13", "release", "unit", "unit-13", "tune", "tune-13")
DEB12, DEB13 = SYSTEMS[:2]
AGAIN = Target(DEB12, "arm64")
"""The one that is built twice."""


def build(out: Path) -> dict[str, object]:
    """All of them, and one of them again."""
    told = Told()
    with told.step("all"):
        subprocess.run([BUILD, "--out", str(out)], check=True, stdout=sys.stderr)
    sizes = {}
    for target in targets():
        made = out / target.file(edgeface.__version__, 1)
        sizes[made.name] = round(made.stat().st_size / 1e6, 1)
        told.expect(sizes[made.name] < LIMITS_MB[target.arch], "too large", f"{made.name}: {sizes[made.name]} MB")
    _again(out, told)
    resolved = [target.name for target in targets() if target.arch != _arch() or target.system not in {DEB12, DEB13}]
    return {**told.as_dict(), "megabytes": sizes, "resolved and built, not run": resolved}


def twice() -> dict[str, object]:
    """One of them, and again."""
    told, out = Told(), scratch()
    with told.step("one"):
        subprocess.run([BUILD, *_words(AGAIN), "--out", str(out)], check=True, stdout=sys.stderr)
    _again(out, told)
    shutil.rmtree(out)
    return told.as_dict()


def _again(out: Path, told: Told) -> None:
    """Build one anew, later, from another folder, by whom nothing is as it was; the bytes must be those in ``out``."""
    with tempfile.TemporaryDirectory(prefix="edgeface elsewhere ", dir="/var/tmp") as name:
        elsewhere = Path(name)
        tree, made, work = (elsewhere / part for part in ("tree", "made", "tmp"))
        left = shutil.ignore_patterns(".git", ".venv*", ".cache", "dist", "__pycache__")
        shutil.copytree(ROOT, tree, symlinks=True, ignore=left)
        for kept in (".cache", ".venv-deb"):
            (tree / kept).symlink_to(ROOT / kept)
        work.mkdir()
        when = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
        epoch = subprocess.run(when, capture_output=True, text=True, check=True).stdout.strip()
        changed = {
            **os.environ,
            **{"TZ": "Asia/Kathmandu", "LC_ALL": "C", "TMPDIR": str(work), "HOME": str(work)},
            **{"DPKG_DEB_THREADS_MAX": "1", "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", epoch)},
        }
        command = ["bash", "-c", f'umask 077; exec "{tree}/packaging/deb/build" "$@"', "build"]
        with told.step("one again"):
            subprocess.run([*command, *_words(AGAIN), "--out", str(made)], check=True, stdout=sys.stderr, env=changed)
        file = AGAIN.file(edgeface.__version__, 1)
        told.said["the same bytes"] = _hash(made / file)
        told.expect(_hash(out / file) == _hash(made / file), "two builds differ", file)


def _words(target: Target) -> list[str]:
    return ["--arch", target.arch, "--python", target.python]


def lintian(debs: Sequence[Path]) -> dict[str, object]:
    """No error in any."""
    told = Told()
    for deb in debs:
        with told.step(deb.name):
            done = subprocess.run(
                ["lintian", "--fail-on", "error", "--allow-root", str(deb)], capture_output=True, text=True, check=False
            )
        told.expect(done.returncode == 0, deb.name, done.stdout + done.stderr)
        told.said[deb.name] = f"{len(done.stdout.splitlines())} warnings"
    return told.as_dict()


def packed_bundle(folder: Path) -> Path:
    """The default bundle as an archive of another name."""
    source, made = ROOT / "models/default", folder / "second.tar"
    manifest = json.loads((source / "manifest.json").read_text())
    text = folder / "manifest.json"
    text.write_text(json.dumps({**manifest, "name": "second"}))
    with tarfile.open(made, "w") as archive:
        archive.add(text, "second/manifest.json")
        for path in sorted(source.rglob("*")):
            if path.is_file() and path.name != "manifest.json":
                archive.add(path, f"second/{path.relative_to(source)}")
    return made


def booted(suite: str, work: Path, do: Callable[[Machine], Told]) -> dict[str, object]:
    """In a fresh root that runs."""
    began_s = time.monotonic()
    tar = make_root(suite, ROOTS / f"{suite}-{_arch()}.tar")
    made_s = time.monotonic() - began_s
    root = unpack_root(tar, work / f"{suite}-{len(list(work.iterdir()))}")
    with Machine(root) as machine:
        told = do(machine)
    shutil.rmtree(root)
    told.seconds |= {"root": round(made_s, 1), "boot": round(machine.start_s, 1)}
    return told.as_dict()


def main() -> int:
    """Print what came of it; 1 where something did not hold."""
    parser = Parser(prog="scripts/slow deb", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part (repeatable); default: all")
    parser.add_argument("--packages", type=Path, default=ROOT / "dist", metavar="DIR", help="where they are (dist)")
    parser.add_argument("--keep", action="store_true", help="leave roots as they are, to look around")
    args = parser.parse_args()
    parts = args.only or list(PARTS)
    if os.geteuid() != 0:
        sys.exit("edgeface: only root can boot a Debian; sudo scripts/slow deb")
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            sys.exit(f"edgeface: {tool} is not installed; apt install {package}")
    result: dict[str, object] = {"at": f"{datetime.now(timezone.utc):%Y-%m-%d}", "version": edgeface.__version__}
    if "build" in parts:
        result["build"] = build(args.packages)
    elif "twice" in parts:
        result["twice"] = twice()
    debs = {target.name: args.packages / target.file(edgeface.__version__, 1) for target in targets()}
    if "lintian" in parts:
        result["lintian"] = lintian([deb for deb in debs.values() if deb.is_file()])
    twelve, thirteen = (debs[Target(system, _arch()).name] for system in (DEB12, DEB13))
    other = debs[Target(DEB12, next(arch for arch in LIMITS_MB if arch != _arch())).name]
    # Whoever ends it by a signal leaves no container behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = scratch()
    bundle = packed_bundle(work)
    mirror = os.environ.get("MIRROR", MIRROR)
    runs: dict[str, tuple[str, Callable[[Machine], Told]]] = {
        "debian-12": ("bookworm", lambda on: cycle(on, twelve, others=[thirteen, other], bundle=bundle)),
        "debian-13": ("trixie", lambda on: cycle(on, thirteen, others=[twelve], bundle=bundle)),
        "release": ("bookworm", lambda on: release(on, {"bookworm": twelve, "trixie": thirteen}, mirror)),
        "unit": ("bookworm", lambda on: unit(on, twelve)),
        "unit-13": ("trixie", lambda on: unit(on, thirteen)),
        "tune": ("bookworm", lambda on: tune(on, twelve)),
        "tune-13": ("trixie", lambda on: tune(on, thirteen)),
    }
    try:
        for part, (suite, do) in runs.items():
            if part in parts:
                print(f"edgeface: {part}", file=sys.stderr)
                result[part] = _kept(partial(booted, suite, work, do))
    finally:
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)
    faults = [fault for part in result.values() if isinstance(part, dict) for fault in part["faults"]]
    print(json.dumps({**result, "good": not faults}, indent=1))
    return 1 if faults else 0


def _kept(run: Callable[[], dict[str, object]]) -> dict[str, object]:
    """What came of a part; one that waited in vain does not take with it what is known of the others."""
    try:
        return run()
    except SystemExit as error:
        if not isinstance(error.code, str):
            raise
        return {"faults": [error.code]}


def _arch() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
