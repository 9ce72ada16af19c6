"""The Debian package's pure parts: names, versions, wheels, what lies where, its texts; and one packed for real."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from edgeface_deb import building, control, tree
from edgeface_deb.building import BuildError, Inputs, pack
from edgeface_deb.targets import SYSTEMS, Target, debian_version, targets
from edgeface_deb.wheels import Locked, choose, fits, pip_options, platforms, read_lock

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "packaging/deb/build"
DEB12, DEB13, JAMMY, NOBLE = SYSTEMS
ARM12, PC12, ARM13, ARM22 = (
    Target(DEB12, "arm64"),
    Target(DEB12, "amd64"),
    Target(DEB13, "arm64"),
    Target(JAMMY, "arm64"),
)
ELF = {
    "amd64": b"\x7fELF\x02\x01".ljust(18, b"\0") + b"\x3e\0",
    "arm64": b"\x7fELF\x02\x01".ljust(18, b"\0") + b"\xb7\0",
}

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg is not installed (apt install dpkg)")


def test_all_of_them_may_lie_in_one_repository() -> None:
    names = [target.file("0.2.0", 1) for target in targets()]
    assert len({*names}) == len(names) == 8
    assert ARM12.file("0.2.0", 1) == "edgeface_0.2.0-1~deb12_arm64.deb"
    assert {name.split("~")[1].rsplit("_", 1)[0] for name in names} == {"deb12", "deb13", "ubuntu22.04", "ubuntu24.04"}


def test_what_is_asked_for_is_built() -> None:
    assert targets(["arm64"], ["3.11"]) == [ARM12]
    assert targets(pythons=["3.10"]) == [Target(JAMMY, "amd64"), ARM22]
    assert all((ROOT / "requirements" / target.lock).is_file() for target in targets())


ORDERED = ("0.1.0", "0.2.0.dev1", "0.2.0a1", "0.2.0rc1", "0.2.0", "0.2.1")


def test_versions_of_pythons_kind() -> None:
    assert debian_version("0.2.0rc1") == "0.2.0~rc1"
    assert debian_version("0.2.0.dev3") == "0.2.0~~dev3"
    for wrong in ("0.2", "1.0.0+local", "v1.0.0", "1.0.0-1", ""):
        with pytest.raises(ValueError, match="no version of edgeface"):
            debian_version(wrong)


def newer(one: str, other: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", one, "gt", other], check=False).returncode == 0


@needs_dpkg
def test_dpkg_sorts_them_alike() -> None:
    for older, later in itertools.pairwise(ORDERED):
        for system in SYSTEMS:
            # A release is upgraded within a version, too, and a later version wins whatever the release.
            assert newer(Target(DEB12, "arm64").version(later, 1), Target(system, "arm64").version(older, 9))
    assert newer(ARM13.version("0.1.0", 1), ARM12.version("0.1.0", 1))
    assert newer(Target(NOBLE, "arm64").version("0.1.0", 1), ARM22.version("0.1.0", 1))
    assert newer(ARM12.version("0.1.0", 2), ARM12.version("0.1.0", 1))


@pytest.mark.parametrize(
    ("wheel", "target", "right"),
    [
        ("numpy-2.4.6-cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl", ARM12, True),
        ("numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", ARM12, False),
        ("numpy-2.4.6-cp313-cp313-manylinux_2_27_aarch64.whl", ARM12, False),
        ("numpy-2.4.6-cp313-cp313t-manylinux_2_27_aarch64.whl", ARM13, False),
        ("opencv_python_headless-4.14.0.94-cp37-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.whl", ARM13, True),
        ("thing-1-cp312-abi3-manylinux2014_aarch64.whl", ARM12, False),
        ("thing-1-cp311-cp311-manylinux_2_39_aarch64.whl", ARM12, False),
        ("thing-1-cp310-cp310-manylinux_2_35_aarch64.whl", ARM22, True),
        ("thing-1-cp310-cp310-manylinux_2_36_aarch64.whl", ARM22, False),
        ("thing-1-cp311-cp311-musllinux_1_2_aarch64.whl", ARM12, False),
        ("flatbuffers-25.12.19-py2.py3-none-any.whl", ARM12, True),
        ("thing-1-py2-none-any.whl", ARM12, False),
        ("thing-1-cp311-none-any.whl", ARM12, True),
    ],
)
def test_a_wheel_fits_or_not(wheel: str, target: Target, right: bool) -> None:
    assert fits(wheel, target) is right


def test_the_wheel_for_the_newest_c_library_is_chosen() -> None:
    old, new = "a_b-1.0-cp311-cp311-manylinux2014_aarch64.whl", "a_b-1.0-cp311-cp311-manylinux_2_28_aarch64.whl"
    held = [old, new, "a_b-0.9-cp311-cp311-manylinux_2_28_aarch64.whl", "a-1.0-py3-none-any.whl"]
    package = Locked("a-b", "1.0", frozenset())
    assert choose(held, package, ARM12) == new
    assert choose(held, package, PC12) is None
    assert choose([], package, ARM12) is None


def test_pip_is_told_of_the_target_alone() -> None:
    options = list(pip_options(ARM22))
    assert options[:4] == ["--python-version", "3.10", "--implementation", "cp"]
    levels = [word for word in options if word.startswith("manylinux")]
    assert levels == platforms(ARM22)
    assert levels[0] == "manylinux_2_35_aarch64"
    assert levels[-1] == "manylinux2014_aarch64"
    assert "manylinux_2_28_aarch64" in levels


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_every_locked_package_has_hashes(target: Target) -> None:
    locked = building.locked(target)
    assert {"numpy", "onnxruntime", "ai-edge-litert", "opencv-python-headless"} <= {one.name for one in locked}
    assert all(one.hashes for one in locked)


def test_a_lock_file_that_is_none() -> None:
    with pytest.raises(ValueError, match="not a locked package: numpy==2"):
        read_lock("# title\nnumpy==2.0\n")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("numpy/__init__.py", "usr/lib/edgeface/cp311/numpy/__init__.py"),
        ("numpy/typing/__init__.py", "usr/lib/edgeface/cp311/numpy/typing/__init__.py"),
        ("numpy/testing/__init__.py", "usr/lib/edgeface/cp311/numpy/testing/__init__.py"),
        ("numpy/_core/tests/test_array.py", None),
        ("numpy/_core/include/numpy/arrayobject.h", None),
        ("numpy/__init__.pyi", None),
        ("numpy.libs/libopenblas.so", "usr/lib/edgeface/cp311/numpy.libs/libopenblas.so"),
        ("onnxruntime/capi/libonnxruntime.so.1.28.0", None),
        ("onnxruntime/capi/libonnxruntime_providers_shared.so",
         "usr/lib/edgeface/cp311/onnxruntime/capi/libonnxruntime_providers_shared.so"),
        ("ai_edge_litert/libLiteRtWebGpuAccelerator.so", None),
        ("cv2/data/haarcascade_eye.xml", None),
        ("cv2/data/__init__.py", "usr/lib/edgeface/cp311/cv2/data/__init__.py"),
        ("x-1.dist-info/METADATA", "usr/lib/edgeface/cp311/x-1.dist-info/METADATA"),
        ("x-1.dist-info/licenses/LICENSE", "usr/lib/edgeface/cp311/x-1.dist-info/licenses/LICENSE"),
        ("x-1.dist-info/RECORD", None),
        ("tqdm/completion.sh", None),
        ("sympy/core/basic.py", None),
        ("sympy-1.14.0.dist-info/METADATA", None),
        ("x-1.data/purelib/x.py", "usr/lib/edgeface/cp311/x.py"),
        ("x-1.data/scripts/x", None),
        ("edgeface/bundles/default/manifest.json", "usr/share/edgeface/models/default/manifest.json"),
        ("edgeface/cli/main.py", "usr/lib/edgeface/cp311/edgeface/cli/main.py"),
    ],
)  # fmt: skip
def test_where_a_file_of_a_wheel_lies(path: str, place: str | None) -> None:
    found = tree.place(path, ARM12)
    assert (None if found is None else str(found)) == place


@pytest.mark.parametrize("path", ["../x.py", "/etc/passwd", "a/../../x", "a\\b.py", "x-1.data/purelib/../../x"])
def test_a_wheel_that_would_leave_its_folder(path: str) -> None:
    with pytest.raises(ValueError, match="outside"):
        tree.place(path, ARM12)


def test_control() -> None:
    text = control.control(ARM13, "0.2.0-1~deb13", installed_kb=12, glibc=(2, 34))
    assert "Architecture: arm64\n" in text
    assert "python3 (>= 3.13), python3 (<< 3.14~), libc6 (>= 2.34)" in text
    assert "Recommends: ca-certificates, openssh-client, openssl\n" in text
    assert "Made for Debian 13, Raspberry Pi OS Trixie." in text
    assert [line for line in text.splitlines() if not re.match(r"[A-Z][A-Za-z-]+: \S| \S", line)] == []


def test_scripts_are_filled_in() -> None:
    for name in (*building.SCRIPTS, "launcher"):
        text = control.fill((building.FILES / name).read_text(encoding="utf-8"), ARM13)
        assert "@" not in text, name
    with pytest.raises(ValueError, match="@WHAT@ means nothing"):
        control.fill("@WHAT@", ARM13)


def test_the_unit_starts_the_packages_program() -> None:
    for name, command in (("edgeface", "run"), ("edgeface-tune", "tune --refresh")):
        text = control.unit((ROOT / f"systemd/{name}.service").read_text(encoding="utf-8"))
        assert f"\nExecStart=/usr/bin/edgeface {command} --config /etc/edgeface/edgeface.toml\n" in text
        assert "/opt/" not in text
        assert "scripts/install" not in text
    with pytest.raises(ValueError, match="ExecStart"):
        control.unit("[Service]\n")


def test_what_a_library_asks_for() -> None:
    assert control.newest_glibc(b"GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.4\0GLIBCXX_3.4.99") == (2, 34)
    assert control.newest_glibc(b"") == (0, 0)
    assert building.needed_glibc({"a.so": ELF["arm64"] + b"GLIBC_2.17\0", "b.py": b"GLIBC_2.99"}, ARM12) == (2, 17)
    with pytest.raises(BuildError, match=r"asks for glibc 2\.38, Debian 12.* has 2\.36"):
        building.needed_glibc({"a.so": ELF["arm64"] + b"GLIBC_2.38\0"}, ARM12)
    with pytest.raises(BuildError, match="is not for arm64"):
        building.needed_glibc({"a.so": ELF["amd64"]}, ARM12)


def write_wheel(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def inputs(folder: Path, **changed: object) -> Inputs:
    own = write_wheel(folder / "edgeface-9.9.9-py3-none-any.whl", {
        "edgeface/__init__.py": b"__version__ = '9.9.9'\n",
        "edgeface/__main__.py": b"import sys\n\ndef main():\n    print('hello', *sys.argv[1:])\n    return 0\n",
        "edgeface/bundles/default/manifest.json": b"{}",
    })  # fmt: skip
    usual = {"version": "9.9.9", "revision": 1, "epoch": 1_700_000_000, "wheel": own, "stock": "# stock\n", "level": 0}
    return Inputs(**{**usual, **changed})  # type: ignore[arg-type]


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    return [
        write_wheel(tmp_path / "b-1-cp311-cp311-manylinux_2_28_aarch64.whl", {
            "b/native.so": ELF["arm64"] + b"GLIBC_2.28\0", "shared.py": b"# one\n", "numpy/tests/test_b.py": b"",
        }),
        write_wheel(tmp_path / "a-1-py3-none-any.whl", {"a.py": b"A = 1\n", "shared.py": b"# one\n"}),
    ]  # fmt: skip


@needs_dpkg
def test_a_package_is_packed(wheels: list[Path], tmp_path: Path) -> None:
    made = pack(ARM12, inputs(tmp_path), wheels, tmp_path / "out")
    assert made.name == "edgeface_9.9.9-1~deb12_arm64.deb"
    assert [path.name for path in made.parent.iterdir()] == [made.name], "nothing else is left"
    listed = subprocess.run(["dpkg-deb", "-c", str(made)], capture_output=True, text=True, check=True).stdout
    entries = {line.split()[-1]: tuple(line.split()[:2]) for line in listed.splitlines()}
    assert entries["./usr/bin/edgeface"] == ("-rwxr-xr-x", "root/root")
    assert entries["./usr/lib/edgeface/cp311/b/native.so"] == ("-rw-r--r--", "root/root")
    assert entries["./etc/edgeface/credentials/"] == ("drwx------", "root/root")
    assert "./etc/edgeface/keys/" in entries
    assert {"./usr/share/doc/edgeface/docs/installing.md", "./usr/share/doc/edgeface/docs/install/pc.md"} <= set(
        entries
    )
    assert {f"./{tree.UNIT}", f"./{tree.TUNE}", "./usr/share/edgeface/jetson.conf"} <= set(entries)
    assert "./usr/share/edgeface/models/default/manifest.json" in entries
    assert "./etc/edgeface/edgeface.toml" not in entries, "no conffile: nobody is asked at an upgrade"
    assert not [name for name in entries if "tests" in name]
    fields = subprocess.run(["dpkg-deb", "-f", str(made)], capture_output=True, text=True, check=True).stdout
    assert "libc6 (>= 2.28)" in fields


@needs_dpkg
def test_two_builds_are_the_same_bytes(wheels: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pack(ARM12, inputs(tmp_path), wheels, tmp_path / "one").read_bytes()
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    before = os.umask(0o077)
    try:
        second = pack(ARM12, inputs(tmp_path), wheels[::-1], tmp_path / "two").read_bytes()
    finally:
        os.umask(before)
    assert hashlib.sha256(first).hexdigest() == hashlib.sha256(second).hexdigest()
    assert pack(ARM12, inputs(tmp_path, epoch=1_700_000_001), wheels, tmp_path / "three").read_bytes() != first


def test_two_wheels_for_one_place(wheels: list[Path], tmp_path: Path) -> None:
    write_wheel(wheels[1], {"shared.py": b"# another\n"})
    with pytest.raises(BuildError, match=r"differ in shared\.py"):
        building.unpack(wheels, ARM12)


def test_a_wheel_that_is_not_the_locked_one_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = write_wheel(tmp_path / "a-1-py3-none-any.whl", {"a.py": b""})
    right = frozenset({hashlib.sha256(wheel.read_bytes()).hexdigest()})
    package = Locked("a", "1", right)
    monkeypatch.setattr(building, "locked", lambda _: [package])
    assert building.held(ARM12, tmp_path) == {package: wheel}
    wheel.write_bytes(wheel.read_bytes() + b"!")
    assert building.held(ARM12, tmp_path) == {package: None}


def launch(tmp_path: Path, target: Target) -> subprocess.CompletedProcess[str]:
    """Run the launcher with this interpreter in the place of the system's, and a folder of its own for libraries."""
    libraries = tmp_path / tree.LIBRARIES / target.abi / "edgeface"
    libraries.mkdir(parents=True)
    (libraries / "__init__.py").touch()
    (libraries / "__main__.py").write_text(
        "import sys\n\ndef main():\n    print(*sys.argv[1:])\n    return 3\n", "utf-8"
    )
    text = control.fill((building.FILES / "launcher").read_text(encoding="utf-8"), target)
    program = tmp_path / "edgeface"
    program.write_text(text.replace(f"/{tree.LIBRARIES}", str(tmp_path / tree.LIBRARIES)), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-I", str(program), "run", "x"], capture_output=True, text=True, check=False, cwd=tmp_path
    )


def test_the_launcher_takes_the_libraries_of_its_own(tmp_path: Path) -> None:
    here = next((one for one in SYSTEMS if one.python == sys.version_info[:2]), None)
    if here is None:
        pytest.skip("no system has this Python")
    done = launch(tmp_path, Target(here, "amd64"))
    assert (done.returncode, done.stdout, done.stderr) == (3, "run x\n", "")


def test_the_launcher_with_another_python_is_one_line(tmp_path: Path) -> None:
    other = next(one for one in SYSTEMS if one.python != sys.version_info[:2])
    done = launch(tmp_path, Target(other, "amd64"))
    assert done.returncode == 2
    assert re.fullmatch(
        r"edgeface: this package is for Python 3\.\d+, and /usr/bin/python3 is .*; install .*\n", done.stderr
    )


def run_script(name: str, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a maintainer script with a folder in the place of the root, and no program but the simplest."""
    text = control.fill((building.FILES / name).read_text(encoding="utf-8"), ARM12)
    script = re.sub(r"(?<![\w.])/(?=(etc|usr|run|var)/)", f"{root}/", text.replace("#!/bin/sh", ""))
    programs = root / "programs"
    programs.mkdir(exist_ok=True)
    for program in (
        "chmod",
        "chown",
        "cmp",
        "cp",
        "find",
        "grep",
        "ln",
        "mkdir",
        "mv",
        "readlink",
        "rm",
        "rmdir",
        "sh",
    ):
        if not (programs / program).exists():
            (programs / program).symlink_to(shutil.which(program) or "/nowhere")
    command = [str(programs / "sh"), "-c", script, name, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": str(programs)})


def preinst(root: Path, action: str) -> subprocess.CompletedProcess[str]:
    return run_script("preinst", root, action)


@pytest.fixture
def system(tmp_path: Path) -> Path:
    for folder in ("etc/systemd/system", "etc/edgeface", "usr/bin", "usr/local/bin", "usr/share/edgeface"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/bin/python3").symlink_to("python3.11")
    return tmp_path


@pytest.mark.parametrize("name", ["edgeface.service", "edgeface-tune.service"])
def test_what_hides_the_package_stops_it(system: Path, name: str) -> None:
    assert preinst(system, "install").returncode == 0
    unit = system / "etc/systemd/system" / name
    unit.write_text("[Service]\nExecStart=/opt/edgeface/bin/edgeface run\n", encoding="utf-8")
    done = preinst(system, "install")
    assert done.returncode == 1
    assert re.fullmatch(
        rf"edgeface: .*{re.escape(name)} would hide .*; run 'scripts/install --uninstall' .*\n", done.stderr
    )
    unit.unlink()
    unit.symlink_to("/dev/null")
    assert preinst(system, "install").returncode == 0, "a mask is its owner's"
    unit.unlink()
    unit.write_text(f"[Service]\nExecStart={system}/usr/bin/edgeface run\n", encoding="utf-8")
    assert preinst(system, "upgrade").returncode == 0, "systemctl edit --full made it"
    (system / "usr/local/bin/edgeface").symlink_to("../../../opt/edgeface/bin/edgeface")
    done = preinst(system, "upgrade")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_another_python_stops_a_first_installation_only(system: Path) -> None:
    python = system / "usr/bin/python3"
    python.unlink()
    assert preinst(system, "install").returncode == 0, "Python comes in the same run"
    python.symlink_to("python3.13")
    done = preinst(system, "install")
    assert done.returncode == 1
    assert "is for Python 3.11 (Debian 12, Raspberry Pi OS Bookworm) and this system has 3.13; " in done.stderr
    assert preinst(system, "upgrade").returncode == 0, "while a release is upgraded Python comes later"


def test_only_what_nobody_has_changed_follows_the_package(system: Path) -> None:
    stock, config = system / "usr/share/edgeface/edgeface.toml", system / "etc/edgeface/edgeface.toml"
    mark = system / "usr/share/edgeface/unchanged"
    stock.write_text("# stock\n", encoding="utf-8")
    config.write_text("# mine\n", encoding="utf-8")
    assert preinst(system, "upgrade").returncode == 0
    assert not mark.exists()
    config.write_text("# stock\n", encoding="utf-8")
    assert preinst(system, "upgrade").returncode == 0
    assert mark.exists()


def test_who_was_stopped_stays_so_over_an_upgrade(system: Path) -> None:
    """A camera that was switched off would look again because of an upgrade that nobody watches."""
    (system / "run/systemd/system").mkdir(parents=True)
    (system / "usr/share/edgeface/edgeface.toml").touch()
    programs = system / "programs"
    programs.mkdir()
    asked = system / "asked"
    for name, text in (
        ("systemctl", f'[ "$1" != show ] || cat "{system}/state"'),
        ("deb-systemd-helper", "true"),
        ("deb-systemd-invoke", f'echo "$@" >>"{asked}"'),
        ("cat", f'exec {shutil.which("cat")} "$@"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    for state, started in (("inactive", False), ("active", True), ("failed", True), ("activating", True)):
        (system / "state").write_text(f"{state}\n")
        asked.unlink(missing_ok=True)
        assert preinst(system, "upgrade").returncode == 0
        done = run_script("postinst", system, "configure", "0.1.0-1")
        assert done.returncode == 0
        assert asked.exists() == started, state
        assert ("stays so; sudo systemctl start edgeface" in done.stdout) == (not started)
        assert not (system / "usr/share/edgeface/stopped").exists()
    (system / "state").write_text("inactive\n")
    assert run_script("postinst", system, "configure").returncode == 0
    assert asked.read_text().endswith("start edgeface.service\n"), "a first installation starts it"


def test_the_configuration_is_written_where_there_is_none(system: Path) -> None:
    stock, config = system / "usr/share/edgeface/edgeface.toml", system / "etc/edgeface/edgeface.toml"
    mark = system / "usr/share/edgeface/unchanged"
    stock.write_text("# stock\n", encoding="utf-8")
    assert run_script("postinst", system, "configure").returncode == 0
    assert config.read_text(encoding="utf-8") == "# stock\n"
    config.write_text("# mine\n", encoding="utf-8")
    assert run_script("postinst", system, "configure").returncode == 0
    assert config.read_text(encoding="utf-8") == "# mine\n"
    mark.touch()
    assert run_script("postinst", system, "abort-upgrade").returncode == 0
    assert (config.read_text(encoding="utf-8"), mark.exists()) == ("# mine\n", False)
    mark.touch()
    config.chmod(0o640)
    assert run_script("postinst", system, "configure").returncode == 0
    assert (config.read_text(encoding="utf-8"), mark.exists()) == ("# stock\n", False)
    assert config.stat().st_mode & 0o777 == 0o640, "whoever closed it, closed it"
    config.unlink()
    config.symlink_to("/data/edgeface.toml")
    assert run_script("postinst", system, "configure").returncode == 0
    assert config.readlink() == Path("/data/edgeface.toml")


def test_a_jetson_has_the_drop_in_for_its_gpu(system: Path) -> None:
    drop_in = system / "etc/systemd/system/edgeface.service.d/jetson.conf"
    (system / "usr/share/edgeface/edgeface.toml").touch()
    shipped = system / "usr/share/edgeface/jetson.conf"
    shipped.touch()
    assert run_script("postinst", system, "configure").returncode == 0
    assert not drop_in.parent.exists()
    (system / "etc/nv_tegra_release").touch()
    for _ in range(2):
        assert run_script("postinst", system, "configure").returncode == 0
        assert drop_in.readlink() == shipped
    assert run_script("postrm", system, "remove").returncode == 0
    assert not drop_in.parent.exists()
    drop_in.parent.mkdir()
    drop_in.write_text("# mine\n", encoding="utf-8")
    assert run_script("postinst", system, "configure").returncode == 0
    assert run_script("postrm", system, "remove").returncode == 0
    assert drop_in.read_text(encoding="utf-8") == "# mine\n"


def test_purge_leaves_nothing_and_follows_no_link(system: Path) -> None:
    elsewhere = system / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    for place in (
        "var/lib/private/edgeface/models",
        "var/cache/private/edgeface",
        "etc/systemd/system/edgeface.service.d",
        "etc/systemd/system/edgeface-tune.service.d",
        "etc/systemd/system.control/edgeface-tune.service.d",
    ):
        (system / place).mkdir(parents=True)
    (system / "var/lib/edgeface").symlink_to("private/edgeface")
    (system / "etc/edgeface").rmdir()
    (system / "etc/edgeface").symlink_to(elsewhere)
    assert run_script("postrm", system, "remove").returncode == 0
    assert (system / "var/lib/private/edgeface/models").is_dir()
    assert run_script("postrm", system, "purge").returncode == 0
    assert [path for path in system.rglob("*edgeface*") if path != elsewhere] == []
    assert (elsewhere / "kept").is_file()


@pytest.mark.parametrize(
    "words", [("--arch", "riscv64"), ("--revision", "0"), ("--revision", "-1"), ("--level", "ten")]
)
def test_a_wrong_option_is_one_line(words: tuple[str, ...]) -> None:
    done = subprocess.run([str(BUILD), *words], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert words[1] in line
    assert "--help" in line
