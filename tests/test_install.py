"""``scripts/install`` below a folder of its own: what it makes, that it can be run again, what it leaves."""

from __future__ import annotations

import io
import os
import platform
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from edgeface.config import Config, load_config

ROOT = Path(__file__).resolve().parents[1]
INSTALL = ROOT / "scripts" / "install"

pytestmark = pytest.mark.timeout(900)


def base_python() -> str:
    """The interpreter below this environment, as the system's Python is for the service."""
    return str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")


def install(*arguments: str, script: Path = INSTALL, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHON": base_python(), **variables}
    environ.pop("PYTHONPATH", None)
    return subprocess.run(
        [str(script), *arguments], capture_output=True, text=True, timeout=800, check=False, env=environ
    )


def lock_name() -> str:
    return f"python3.{sys.version_info.minor}-{platform.machine()}.txt"


def copied_scripts(folder: Path) -> Path:
    """The script with nothing around it but what it reads before it downloads; requirements/ is empty."""
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    (folder / "requirements").mkdir()
    return folder / "scripts" / "install"


def edgeface(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = str(installed / "usr/local/bin/edgeface")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False, cwd="/")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install where one was built, and look at it where it was carried to."""
    built = tmp_path_factory.mktemp("built") / "system"
    (built / "etc").mkdir(parents=True)
    (built / "etc/group").write_text("root:x:0:\nvideo:x:44:\n", encoding="utf-8")
    (built / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3\n", encoding="utf-8")
    result = install("--root", str(built))
    assert result.returncode == 0, result.stdout + result.stderr
    return built.rename(tmp_path_factory.mktemp("carried") / "system")


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}


def test_nothing_in_it_names_the_folder_in_which_it_was_built(installed: Path) -> None:
    """Neither the first line of a program, nor the settings of the environment, nor a compiled module."""
    looked = [path for path in installed.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.suffix == ".pyc" for path in looked)
    built = b"/built0/system"
    assert [str(path) for path in looked if built in path.read_bytes()] == []


def test_every_program_of_it_starts(installed: Path) -> None:
    for name in ("edgeface", "pip"):
        done = subprocess.run(
            [installed / "opt/edgeface/bin" / name, "--version"], capture_output=True, text=True, cwd="/", check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_packages_are_the_locked_ones(installed: Path) -> None:
    lock = (ROOT / "requirements" / lock_name()).read_text(encoding="utf-8")
    locked = {line.split(" ")[0].replace("-", "_") for line in lock.splitlines() if "==" in line}
    found = (installed / "opt/edgeface/lib").glob("python3.*/site-packages/*.dist-info")
    here = {"==".join(path.name.removesuffix(".dist-info").rsplit("-", 1)).replace(".", "_", 0) for path in found}
    normal = {text.split("==")[0].lower().replace(".", "_") + "==" + text.split("==")[1] for text in here}
    assert locked <= normal
    assert {text.split("==")[0] for text in normal - locked} <= {"edgeface", "pip", "setuptools"}


def test_the_unit_names_only_groups_that_the_system_has(installed: Path) -> None:
    """Else systemd does not start it: 216/GROUP. render comes with udev, which a container may lack."""
    unit = (installed / "etc/systemd/system/edgeface.service").read_text(encoding="utf-8")
    assert "\nSupplementaryGroups=video\n" in unit


def test_on_a_jetson_the_unit_lets_its_gpu_be_used(installed: Path) -> None:
    beside = installed / "etc/systemd/system/edgeface.service.d/jetson.conf"
    assert beside.read_bytes() == (ROOT / "systemd/edgeface.service.d/jetson.conf").read_bytes()


def test_the_program_runs_through_its_link(installed: Path) -> None:
    assert edgeface(installed, "--version").stdout.startswith("edgeface ")
    assert not (installed / "usr/local/bin/edgeface").readlink().is_absolute(), "a folder that is moved keeps working"


def test_after_an_upgrade_of_the_system_it_says_that_python_is_another(installed: Path) -> None:
    """Debian 13 has 3.13 where 12 had 3.11: the libraries are not found, and systemd would start it again and again."""
    program = (installed / "opt/edgeface/bin/edgeface").read_text(encoding="utf-8")
    other = f"import sys\nsys.version_info = (3, 99, 0)\nexec({program!r})"
    done = subprocess.run([sys.executable, "-I", "-c", other], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, ""), "systemd does not try again after 2"
    assert done.stderr == (
        f"edgeface: it was installed for Python 3.{sys.version_info.minor}, and this system has 3.99 now; "
        "run scripts/install again, where it came from\n"
    )


def test_it_does_not_need_the_tree(installed: Path) -> None:
    bundle = next((installed / "opt/edgeface/lib").glob("python3.*/site-packages/edgeface/bundles/default"))
    assert (bundle / "manifest.json").is_file()
    told = [path.read_text(encoding="utf-8") for path in bundle.parents[2].glob("*.pth")]
    assert not [text for text in told if str(ROOT) in text]


def test_both_runtimes_and_nothing_of_the_workshop(installed: Path) -> None:
    packages = {path.name for path in next((installed / "opt/edgeface/lib").glob("python3.*/site-packages")).iterdir()}
    assert {"onnxruntime", "ai_edge_litert"} <= packages
    assert not {"torch", "tensorflow", "amqtt", "onnx", "pytest"} & packages


def test_the_configuration_holds_and_changes_nothing(installed: Path) -> None:
    path = installed / "etc/edgeface/edgeface.toml"
    assert load_config(path) == Config()
    assert edgeface(installed, "config", "check", "--config", str(path)).returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_credentials_are_for_root_alone(installed: Path) -> None:
    assert stat.S_IMODE((installed / "etc/edgeface/credentials").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["edgeface.service", "edgeface-tune.service"])
def test_the_unit_names_the_true_path_and_is_enabled(installed: Path, name: str) -> None:
    unit = (installed / "etc/systemd/system" / name).read_text(encoding="utf-8")
    line = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    program = line.removeprefix("ExecStart=").split()[0]
    assert (installed / program.lstrip("/")).is_file()
    wanted = installed / "etc/systemd/system/multi-user.target.wants" / name
    assert wanted.readlink() == Path("/etc/systemd/system") / name


OLD = "bf0e387"
"""A commit whose installation strangers have: no lock files, programs that name their folder, both groups."""


def make_old(installed: Path, folder: Path) -> Path:
    """An installation as it was at :data:`OLD`: its program where the history is there, and its layout in any case."""
    shutil.copytree(installed, folder, symlinks=True)
    archive = subprocess.run(["git", "archive", OLD, "edgeface"], capture_output=True, cwd=ROOT, check=False)
    package = next((folder / "opt/edgeface/lib").glob("python3.*/site-packages/edgeface"))
    if archive.returncode == 0:
        bundles = (package / "bundles").rename(package.with_name("bundles-kept"))
        shutil.rmtree(package)
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(package.parent)
        bundles.rename(package / "bundles")
    (package / "gone_since.py").write_text("", encoding="utf-8")
    # pip wrote down what it had put in, and takes away what is written down.
    record = next(package.parent.glob("edgeface-*.dist-info")) / "RECORD"
    about = [line for line in record.read_text(encoding="utf-8").splitlines() if ".dist-info/" in line]
    held = [f"{path.relative_to(package.parent)},," for path in package.rglob("*") if path.is_file()]
    record.write_text("\n".join([*about, *held, ""]), encoding="utf-8")
    program = folder / "opt/edgeface/bin/edgeface"
    lines = program.read_text(encoding="utf-8").splitlines(keepends=True)
    program.write_text("".join([f"#!{folder}/opt/edgeface/bin/python3\n", *lines[3:]]), encoding="utf-8")
    unit = folder / "etc/systemd/system/edgeface.service"
    unit.write_text("[Service]\nExecStart=/old\nSupplementaryGroups=video render\n", encoding="utf-8")
    (folder / "etc/edgeface/edgeface.toml").write_text("[mqtt]\nhost = 'broker.lan'\n", encoding="utf-8")
    (folder / "etc/edgeface/credentials/password").write_text("secret\n", encoding="utf-8")
    (folder / "etc/edgeface/credentials/password").chmod(0o600)
    return folder


def test_an_upgrade_keeps_configuration_and_password(installed: Path, tmp_path: Path) -> None:
    old = make_old(installed, tmp_path / "old")
    done = install("--root", str(old))
    assert done.returncode == 0, done.stderr
    config = old / "etc/edgeface/edgeface.toml"
    password = old / "etc/edgeface/credentials/password"
    assert config.read_text(encoding="utf-8") == "[mqtt]\nhost = 'broker.lan'\n"
    assert password.read_text(encoding="utf-8") == "secret\n"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert edgeface(old, "config", "check", "--config", str(config)).returncode == 0
    package = next((old / "opt/edgeface/lib").glob("python3.*/site-packages/edgeface"))
    assert not (package / "gone_since.py").exists()
    here = {path.relative_to(ROOT) for path in (ROOT / "edgeface").rglob("*.py")}
    assert {path.relative_to(package.parent) for path in package.rglob("*.py")} == here
    unit = (old / "etc/systemd/system/edgeface.service").read_text(encoding="utf-8")
    assert "ExecStart=/opt/edgeface/bin/edgeface run" in unit
    assert "\nSupplementaryGroups=video\n" in unit


def test_again_and_away(installed: Path, tmp_path: Path) -> None:
    """One test, since the order is the point: a second run keeps what is the user's, and so does the end."""
    root = tmp_path / "system"
    shutil.copytree(installed, root, symlinks=True)
    config = root / "etc/edgeface/edgeface.toml"
    config.write_text("[mqtt]\nhost = 'broker.lan'\n", encoding="utf-8")
    password = root / "etc/edgeface/credentials/password"
    password.write_text("secret\n", encoding="utf-8")
    with (root / "etc/group").open("a", encoding="utf-8") as groups:
        groups.write("render:x:104:\n")
    before = files_of(root)
    again = install("--root", str(root))
    assert again.returncode == 0, again.stderr
    assert files_of(root) == before
    unit = (root / "etc/systemd/system/edgeface.service").read_text(encoding="utf-8")
    assert "\nSupplementaryGroups=video render\n" in unit
    assert load_config(config).mqtt.host == "broker.lan"
    assert password.read_text(encoding="utf-8") == "secret\n"

    gone = install("--root", str(root), "--uninstall")
    assert gone.returncode == 0, gone.stderr
    assert files_of(root) - {"etc/nv_tegra_release"} == {
        "etc/group",
        "etc/edgeface/edgeface.toml",
        "etc/edgeface/credentials/password",
    }
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


def test_without_a_network_it_is_one_line(tmp_path: Path) -> None:
    result = install(
        "--root",
        str(tmp_path),
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_EXTRA_INDEX_URL="",
        PIP_FIND_LINKS="",
        PIP_NO_CACHE_DIR="1",
        PIP_RETRIES="0",
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[1:] == [
        "edgeface: pip reaches no package index; connect this machine, or name an index with PIP_INDEX_URL"
    ]
    assert not (tmp_path / "etc").exists()


def test_a_package_with_another_sha256_is_not_put_in(tmp_path: Path) -> None:
    script = copied_scripts(tmp_path)
    lock = "tqdm==4.70.1 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    (tmp_path / "requirements" / lock_name()).write_text(lock, encoding="utf-8")
    result = install("--root", str(tmp_path / "root"), script=script)
    assert result.returncode == 1
    assert result.stderr.splitlines()[1:] == [
        "edgeface: a package that came is not the one that is locked; do not use this index; see requirements/"
    ]


def test_a_system_without_a_lock_file_is_one_line(tmp_path: Path) -> None:
    result = install("--root", str(tmp_path / "root"), script=copied_scripts(tmp_path))
    assert result.returncode == 2
    assert result.stderr == (
        f"edgeface: no packages are locked for this system ({lock_name().removesuffix('.txt')}); "
        "it needs 64-bit Linux with glibc on x86-64 or ARM\n"
    )


def test_an_image_for_another_machine_is_refused(tmp_path: Path) -> None:
    other, number = ("aarch64", 0xB7) if platform.machine() == "x86_64" else ("x86_64", 0x3E)
    shell = tmp_path / "bin/sh"
    shell.parent.mkdir()
    shell.write_bytes(b"\x7fELF\x02\x01".ljust(18, b"\0") + bytes([number, 0]))
    result = install("--root", str(tmp_path))
    assert result.returncode == 2
    assert result.stderr == (
        f"edgeface: {tmp_path} is a system for {other} and this machine is {platform.machine()}; "
        f"install it on one of {other}\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]
