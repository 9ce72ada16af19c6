"""The first program's choice of a slot and its identity: its own lines, run over a folder in place of /data."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

INIT = (Path(__file__).parents[1] / "packaging/image/files/init").read_text()
SHELLS = [shell for shell in ("busybox", "sh") if shutil.which(shell)]
STAND_INS = """
say() { echo "$*" >&2; }
stop() { echo "stop: $*" >&2; exit 9; }
sync() { :; }
mount_slot() { case " $GOOD " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
"""


def lines(begin: str, end: str) -> str:
    """Lines of the program, from the one that begins so to the one before another."""
    return INIT[INIT.index(begin) : INIT.index(end)]


KEEP = lines("keep() {", "mount_slot() {")
CHOICE = lines("active=$(cat", "mount -t tmpfs -o mode=0755,size=40%")
DATA = lines("mount_data() {", "mkdir -p /data/slots")
IDENTITY = lines("id=$(cat", "[ -e /data/identity/random-seed ]")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    return ["busybox", "sh"] if request.param == "busybox" else ["sh"]


def run(shell: list[str], data: Path, program: str, good: str = "a b") -> subprocess.CompletedProcess[str]:
    text = re.sub(r"/data/", f"{data}/", STAND_INS + KEEP + program).replace("/root/etc/", f"{data}/root-etc-")
    return subprocess.run(
        [*shell, "-c", text],
        env={"GOOD": good, "PATH": "/bin:/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def boot(shell: list[str], data: Path, good: str = "a b") -> tuple[str, str, str]:
    """Boot once: slot, whether on trial, what was said."""
    done = run(shell, data, CHOICE + 'echo "$slot $on_trial"\n', good)
    assert done.returncode == 0, done.stderr
    slot, on_trial = done.stdout.split()
    return slot, on_trial, done.stderr


def mount(shell: list[str], disk: Path, *, mounts: str = "yes") -> list[str]:
    """What is done to the data partition of a disk: ``repair``, ``mount``; and how it ends."""
    stand_ins = f"""part={disk}
    say() {{ :; }}
    hexdump() {{ od -An -tu1; }}
    mount() {{ case "$*" in *squashfs*|*bind*|*tmpfs*) return 0 ;; esac; echo mount; [ "{mounts}" = yes ]; }}
    umount() {{ :; }}
    chroot() {{ echo repair; shift; "/usr$@" >{disk}.log 2>&1; }}
    """
    program = DATA.replace(">/dev/kmsg 2>&1", "")
    done = subprocess.run(
        [*shell, "-c", stand_ins + program + 'echo "$data"\n'], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("mkfs.ext4", path="/usr/sbin:/sbin") is None, reason="e2fsprogs is not installed")
def test_errors_that_the_kernel_marked_are_repaired_before_the_mount(shell: list[str], tmp_path: Path) -> None:
    """A mount alone takes such a file system as it is, boot after boot."""
    disk, data = tmp_path / "disk", tmp_path / "disk4"
    data.write_bytes(bytes(8 << 20))
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", data], check=True)
    assert mount(shell, disk) == ["mount", "mounted"]
    subprocess.run(["/usr/sbin/debugfs", "-w", "-R", "set_super_value state 3", data], check=True, capture_output=True)
    assert mount(shell, disk) == ["repair", "mount", "mounted"]
    assert mount(shell, disk) == ["mount", "mounted"], "once is enough"
    assert mount(shell, disk, mounts="no") == ["mount", "repair", "mount", "lost"]
    data.unlink()
    assert mount(shell, disk, mounts="no")[-1] == "lost", "nor does it stop where nothing can be read"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "slots").mkdir()
    (tmp_path / "identity").mkdir()
    return tmp_path


def state(data: Path) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in (data / "slots").iterdir()}


def test_a_new_card_boots_its_first_slot(shell: list[str], data: Path) -> None:
    assert boot(shell, data)[:2] == ("a", "no")
    assert state(data) == {}


def test_a_slot_on_trial_is_booted_once(shell: list[str], data: Path) -> None:
    (data / "slots/trial").write_text("b\n")
    assert boot(shell, data)[:2] == ("b", "yes")
    slot, on_trial, said = boot(shell, data)
    assert (slot, on_trial) == ("a", "no")
    assert "did not hold: back to slot a" in said
    assert state(data) == {"failed": "b"}
    assert boot(shell, data)[:2] == ("a", "no")


def test_a_confirmed_slot_stays(shell: list[str], data: Path) -> None:
    (data / "slots/trial").write_text("b\n")
    boot(shell, data)
    (data / "slots/active").write_text("b\n")
    for name in ("trial", "tried"):
        (data / "slots" / name).unlink()
    assert boot(shell, data)[:2] == ("b", "no")


def test_a_cut_while_it_is_confirmed_goes_back_or_on_but_boots(shell: list[str], data: Path) -> None:
    """``active`` is written first, ``trial`` and ``tried`` go after it."""
    for name in ("active", "trial", "tried"):
        (data / "slots" / name).write_text("b\n")
    assert boot(shell, data)[:2] == ("b", "no")
    assert state(data) == {"active": "b"}


def test_a_slot_is_not_tried_where_the_trial_cannot_be_noted(shell: list[str], data: Path) -> None:
    """It would be booted again and again, and never given up."""
    (data / "slots/trial").write_text("b\n")
    (data / "slots/tried.new").mkdir()  # stands for a full data partition
    assert boot(shell, data)[:2] == ("a", "no")


def test_a_slot_on_trial_that_cannot_be_mounted_is_given_up_at_once(shell: list[str], data: Path) -> None:
    (data / "slots/trial").write_text("b\n")
    assert boot(shell, data, good="a")[:2] == ("a", "no")
    assert state(data) == {"failed": "b"}


def test_a_spoilt_slot_is_passed_over(shell: list[str], data: Path) -> None:
    assert boot(shell, data, good="b")[:2] == ("b", "no")
    (data / "slots/active").write_text("b\n")
    assert boot(shell, data, good="a")[:2] == ("a", "no")
    done = run(shell, data, CHOICE, good="")
    assert done.returncode == 9
    assert "no slot can be booted" in done.stderr


@pytest.mark.parametrize("torn", ["", "x\n", "\0\0\0"])
def test_a_torn_state_boots_something(shell: list[str], data: Path, torn: str) -> None:
    (data / "slots/active").write_text(torn)
    assert boot(shell, data)[:2] == ("a", "no")


def test_an_identity_is_made_once_and_a_torn_one_anew(shell: list[str], data: Path) -> None:
    def identity() -> str:
        assert run(shell, data, IDENTITY).returncode == 0
        return (data / "root-etc-machine-id").read_text()

    first = identity()
    assert re.fullmatch(r"[0-9a-f]{32}\n", first)
    assert identity() == first
    (data / "identity/machine-id").write_text(first[:7])
    assert identity() not in (first, first[:7])
