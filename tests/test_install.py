"""``scripts/install`` below a folder of its own: what it makes, that it can be run again, what it leaves."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edgeface.config import Config, load_config

ROOT = Path(__file__).resolve().parents[1]
INSTALL = ROOT / "scripts" / "install"

pytestmark = pytest.mark.timeout(900)


def base_python() -> str:
    """The interpreter below this environment, as the system's Python is for the service."""
    return str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")


def install(*arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHON": base_python()}
    environ.pop("PYTHONPATH", None)
    return subprocess.run(
        [str(INSTALL), *arguments], capture_output=True, text=True, timeout=800, check=False, env=environ
    )


def edgeface(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(root / "usr/local/bin/edgeface")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False, cwd="/")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("system")
    result = install("--root", str(folder))
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


def test_the_program_runs_through_its_link(root: Path) -> None:
    assert edgeface(root, "--version").stdout.startswith("edgeface ")
    assert not (root / "usr/local/bin/edgeface").readlink().is_absolute(), "a folder that is moved keeps working"


def test_it_does_not_need_the_tree(root: Path) -> None:
    bundle = next((root / "opt/edgeface/lib").glob("python3.*/site-packages/edgeface/bundles/default"))
    assert (bundle / "manifest.json").is_file()
    told = [path.read_text(encoding="utf-8") for path in bundle.parents[2].glob("*.pth")]
    assert not [text for text in told if str(ROOT) in text]


def test_both_runtimes_and_nothing_of_the_workshop(root: Path) -> None:
    packages = {path.name for path in next((root / "opt/edgeface/lib").glob("python3.*/site-packages")).iterdir()}
    assert {"onnxruntime", "ai_edge_litert"} <= packages
    assert not {"torch", "tensorflow", "amqtt", "onnx", "pytest"} & packages


def test_the_configuration_holds_and_changes_nothing(root: Path) -> None:
    path = root / "etc/edgeface/edgeface.toml"
    assert load_config(path) == Config()
    assert edgeface(root, "config", "check", "--config", str(path)).returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_credentials_are_for_root_alone(root: Path) -> None:
    assert stat.S_IMODE((root / "etc/edgeface/credentials").stat().st_mode) == 0o700


def test_the_unit_names_the_true_path_and_is_enabled(root: Path) -> None:
    unit = (root / "etc/systemd/system/edgeface.service").read_text(encoding="utf-8")
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    program = line.removeprefix("ExecStart=").split()[0]
    assert (root / program.lstrip("/")).is_file()
    wanted = root / "etc/systemd/system/multi-user.target.wants/edgeface.service"
    assert wanted.readlink() == Path("/etc/systemd/system/edgeface.service")


def test_again_and_away(root: Path) -> None:
    """One test, since the order is the point: a second run keeps what is the user's, and so does the end."""
    config = root / "etc/edgeface/edgeface.toml"
    config.write_text("[mqtt]\nhost = 'broker.lan'\n", encoding="utf-8")
    password = root / "etc/edgeface/credentials/password"
    password.write_text("secret\n", encoding="utf-8")
    before = files_of(root)
    again = install("--root", str(root))
    assert again.returncode == 0, again.stderr
    assert files_of(root) == before
    assert load_config(config).mqtt.host == "broker.lan"
    assert password.read_text(encoding="utf-8") == "secret\n"

    gone = install("--root", str(root), "--uninstall")
    assert gone.returncode == 0, gone.stderr
    assert files_of(root) == {"etc/edgeface/edgeface.toml", "etc/edgeface/credentials/password"}
    assert install("--root", str(root), "--uninstall").returncode == 0, "nothing there is no error"


def test_another_program_of_that_name_is_not_overwritten(tmp_path: Path) -> None:
    other = tmp_path / "usr/local/bin/edgeface"
    other.parent.mkdir(parents=True)
    other.write_text("#!/bin/sh\n", encoding="utf-8")
    result = install("--root", str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == f"edgeface: {other} is another program; move it away first\n"
    assert install("--root", str(tmp_path), "--uninstall").returncode == 0
    assert other.is_file()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        pytest.param(["--rot"], "edgeface: unknown option --rot; see scripts/install --help\n", id="unknown option"),
        pytest.param(["--root"], "edgeface: --root needs a folder; see scripts/install --help\n", id="no folder"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments: list[str], line: str) -> None:
    result = install(*arguments)
    assert (result.returncode, result.stderr) == (2, line)


def test_a_python_without_ensurepip_is_told_with_the_package(tmp_path: Path) -> None:
    fake = tmp_path / "python3"
    fake.write_text(
        f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\nexec {base_python()} "$@"\n', encoding="utf-8"
    )
    fake.chmod(0o755)
    environ = {"PATH": "/usr/bin:/bin", "PYTHON": str(fake)}
    result = subprocess.run(
        [str(INSTALL), "--root", str(tmp_path / "root")], capture_output=True, text=True, env=environ, check=False
    )
    assert result.returncode == 1
    assert result.stderr == (
        "edgeface: this Python cannot make virtual environments (ensurepip is missing); apt install python3-venv\n"
    )
