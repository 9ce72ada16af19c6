"""What ``scripts/image.py`` sees in the root of a system, and what it leaves in an installation below one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
X86_64 = 0x3E
AARCH64 = 0xB7


def load_script() -> ModuleType:
    """Import a script that is in no package."""
    spec = importlib.util.spec_from_file_location("image_script", ROOT / "scripts" / "image.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


image = load_script()


def write_elf(path: Path, machine: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF\x02\x01".ljust(18, b"\0") + machine.to_bytes(2, "little"))


def debian(root: Path, *, machine: int = X86_64, python: str = "3.11") -> Path:
    """Lay out the links of a merged /usr and Debian's python3."""
    write_elf(root / f"usr/bin/python{python}", machine)
    write_elf(root / "usr/bin/dash", machine)
    (root / "bin").symlink_to("usr/bin")
    (root / "usr/bin/sh").symlink_to("dash")
    (root / "usr/bin/python3").symlink_to(f"python{python}")
    return root


def test_a_system_like_this_machine_has_no_fault(tmp_path: Path) -> None:
    assert image.fault(debian(tmp_path), "x86_64", "3.11") is None


def test_a_folder_without_a_system_has_no_fault(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    assert image.fault(tmp_path, "x86_64", "3.11") is None


@pytest.mark.parametrize(
    ("machine", "python", "said"),
    [
        (AARCH64, "3.11", "is a system for aarch64 and this machine is x86_64"),
        (X86_64, "3.13", "has Python 3.13 and PYTHON is 3.11"),
        (0x1234, "3.11", "is a system for machine 4660"),
    ],
)
def test_what_would_not_start_is_said(tmp_path: Path, machine: int, python: str, said: str) -> None:
    what, _ = image.fault(debian(tmp_path, machine=machine, python=python), "x86_64", "3.11")
    assert said in what


def test_a_system_without_python_is_said(tmp_path: Path) -> None:
    write_elf(tmp_path / "bin/busybox", X86_64)
    what, fix = image.fault(tmp_path, "x86_64", "3.11")
    assert what.endswith("has no /usr/bin/python3")
    assert "install python3" in fix


def test_links_of_the_image_stay_in_it(tmp_path: Path) -> None:
    """``/etc/alternatives`` of the image is not this machine's."""
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    write_elf(root / "opt/python/bin/python3.11", AARCH64)
    (root / "etc/alternatives").mkdir(parents=True)
    (root / "etc/alternatives/python3").symlink_to("/opt/python/bin/../bin/python3.11")
    (root / "usr/bin/python3").symlink_to("../../../../etc/alternatives/python3")
    assert image.inside(root, "usr/bin/python3") == root / "opt/python/bin/python3.11"


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to("sh")
    assert image.machine_of(tmp_path / "none") is None
    assert image.inside(tmp_path, "sh") == tmp_path / "sh"


def installation(root: Path) -> Path:
    """A few files of a virtual environment, as pip and venv write them."""
    prefix = root / "opt/edgeface"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib").mkdir()
    (prefix / "lib/module.py").write_text("WHERE = __file__\n", encoding="utf-8")
    (prefix / "bin/python").symlink_to(sys.executable)
    (prefix / "bin/short").write_text(f"#!{prefix}/bin/python3.11\nprint('short')\n", encoding="utf-8")
    long = f"#!/bin/sh\n'''exec' \"{prefix}/bin/python\" \"$0\" \"$@\"\n' '''\nprint('long')\n"
    (prefix / "bin/long").write_text(long, encoding="utf-8")
    (prefix / "bin/activate").write_text(f'VIRTUAL_ENV="{prefix}"\n', encoding="utf-8")
    (prefix / "pyvenv.cfg").write_text(
        f"home = /made/here/bin\nexecutable = /made/here/bin/python3.11\ncommand = python -m venv {prefix}\n",
        encoding="utf-8",
    )
    (prefix / ".python").write_text("/made/here/bin/python3.11 3.11\n", encoding="utf-8")
    return prefix


def test_a_settled_installation_names_the_images_own_root(tmp_path: Path) -> None:
    prefix = installation(tmp_path)
    assert image.settle(tmp_path, prefix) == 0
    for name in ("short", "long"):
        text = (prefix / "bin" / name).read_bytes()
        assert text == image.LAUNCHER + f"print('{name}')\n".encode()
    assert (prefix / "bin/activate").read_text(encoding="utf-8") == 'VIRTUAL_ENV="/opt/edgeface"\n'
    assert "command = python -m venv /opt/edgeface\n" in (prefix / "pyvenv.cfg").read_text(encoding="utf-8")
    (compiled,) = (prefix / "lib").rglob("*.pyc")
    assert str(tmp_path).encode() not in compiled.read_bytes()
    assert b"/opt/edgeface/lib/module.py" in compiled.read_bytes()
    # Without a system in the folder the interpreter is the one that was named.
    assert (prefix / "bin/python").readlink() == Path(sys.executable)


def test_an_image_with_a_python_uses_its_own(tmp_path: Path) -> None:
    prefix = installation(debian(tmp_path))
    assert image.settle(tmp_path, prefix) == 0
    assert (prefix / "bin/python3").readlink() == Path("/usr/bin/python3.11")
    assert (prefix / "bin/python").readlink() == Path("python3")
    settings = (prefix / "pyvenv.cfg").read_text(encoding="utf-8")
    assert settings.startswith("home = /usr/bin\nexecutable = /usr/bin/python3.11\n")
    assert not (prefix / ".python").exists(), "the next installation makes it anew"
