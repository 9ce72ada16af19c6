"""Other providers than the processor, with real packages: OpenVINO computes, and a build with CUDA finds no GPU here.

::

    scripts/slow providers

1. ``onnxruntime-openvino`` runs every network (tests/test_openvino.py): the session code with another real provider.
2. ``onnxruntime-gpu``, of a version that reports usage by default, plays the system's own package. The program stands
   back behind it; on a machine without NVIDIA's libraries it computes on the processor, names the library that is
   missing, opens no socket and leaves no file in the home directory. The same package alone leaves one, as is shown.

The packages, 600 MB, are kept in ``.cache/providers``, each in a folder of its own that nothing else imports from.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from edgeface.cli.common import Parser

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / ".cache" / "providers"
OPENVINO, GPU = "onnxruntime-openvino==1.24.1", "onnxruntime-gpu==1.31.1"
TELEMETRY_S = 5.0
"""How long the package alone gets to write its file."""
BEHIND = """
import sys
from pathlib import Path
from edgeface.runtime import library
library.SYSTEM = (Path(sys.argv[1]),)
library.settle(library.choose(None, library.SYSTEM))
from edgeface.cli.main import main
sys.exit(main(sys.argv[2:]))
"""
ALONE = """
import sys, time
import onnxruntime
onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
time.sleep(float(sys.argv[2]))
"""
# Where libraries believe themselves watched, some keep quiet; here they must not know.
WATCHED = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "GITLAB_CI", "CIRCLECI", "TRAVIS", "JENKINS_URL", "BUILDKITE")


def main() -> int:
    """Run both; 1 if either is bad."""
    Parser(prog="scripts/slow providers", description=(__doc__ or "").splitlines()[0]).parse_args()
    if shutil.which("strace") is None:
        print("edgeface: strace is not installed; apt install strace", file=sys.stderr)
        return 1
    openvino, gpu = fetch(OPENVINO), fetch(GPU)
    bad = [*with_openvino(openvino), *behind_the_systems(gpu)]
    for line in bad:
        print(f"FAIL {line}")
    return 1 if bad else 0


def fetch(package: str) -> Path:
    """Folder with one package and nothing else."""
    folder = KEPT / package.replace("==", "-")
    if not (folder / "onnxruntime").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), package]
        subprocess.run(command, check=True)
    return folder


def with_openvino(folder: Path) -> list[str]:
    """Run the tests with this package in place of ours; what is bad."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (folder, ROOT / "tests", ROOT)))}
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:randomly", "tests/test_openvino.py"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    passed = done.stdout.partition(" ")[0]
    if done.returncode or not passed or set(passed) != {"."}:
        return [f"OpenVINO: {(done.stdout or done.stderr).strip()[-500:]}"]
    print(f"ok   {OPENVINO}: every network computes there as it should ({len(passed)} tests)")
    return []


def behind_the_systems(folder: Path) -> list[str]:
    """Let the program find this package as the system's, and look at what it does; what is bad."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "home"
        home.mkdir()
        environ = unwatched(home)
        model = next((ROOT / "models/default").glob("yunet.fp32.onnx"))
        run([sys.executable, "-c", ALONE, str(model), str(TELEMETRY_S)], {**environ, "PYTHONPATH": str(folder)})
        left = sorted(path.name for path in home.rglob("*") if path.is_file())
        bad = [] if left else ["the package alone left no file: this run would not show what it writes"]
        print(f"     {GPU} alone leaves {', '.join(left) or 'nothing'} in the home directory")
        home = Path(place) / "clean"
        home.mkdir()
        log = Path(place) / "calls"
        trace = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(log)]
        words = ["bench", "--json", "--set", "runtime.provider=tensorrt"]
        start_s = time.monotonic()
        said = run([*trace, sys.executable, "-c", BEHIND, str(folder), *words], unwatched(home))
        elapsed_s = time.monotonic() - start_s
        report = json.loads(said.stdout)
        lines = [line for line in said.stderr.splitlines() if "does not load" in line]
        left = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
        calls = [line for line in log.read_text().splitlines() if "AF_INET" in line]
    expected = {
        "it computes on the processor": report["provider"] == "cpu",
        "it names what is missing, once for each provider": len(lines) == 2 and all(".so" in line for line in lines),
        "it leaves nothing in the home directory": not left,
        "it opens no connection": not calls,
    }
    bad += [
        f"behind the system's package: not so: {what} ({lines} {left} {calls})"
        for what, so in expected.items()
        if not so
    ]
    if not bad:
        print(f"ok   {GPU} as the system's, {elapsed_s:.1f} s: {'; '.join(expected)}")
        print(*(f"       {line}" for line in lines), sep="\n")
    return bad


def run(command: list[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program that must end well."""
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, cwd=environ["HOME"])
    if done.returncode:
        sys.exit(f"edgeface: {command[-1]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done


def unwatched(home: Path) -> dict[str, str]:
    """An environment with an empty home, in which no library believes itself watched."""
    usual = {name: value for name, value in os.environ.items() if name not in WATCHED}
    clean = {name: value for name, value in usual.items() if not name.startswith(("XDG_", "EDGEFACE", "ORT_", "COV"))}
    return {**clean, "HOME": str(home), "PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    sys.exit(main())
