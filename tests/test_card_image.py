"""The image's builder: what hangs together in it, held without building one."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import jsonschema
import pytest
from edgeface_card import imager, network_txt
from edgeface_card.settings import Settings
from edgeface_card.slots import read_keys
from edgeface_image import __main__ as builder
from edgeface_image import boot, contents, disk, roots
from edgeface_image.apt import BuildError

FILES = Path(__file__).parents[1] / "packaging/image/files"
ROOT = FILES / "root"
PROJECT = Path(__file__).parents[1]
OS_LIST = {
    "type": "object",
    "required": ["os_list"],
    "additionalProperties": False,
    "properties": {
        "os_list": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "name", "description", "icon", "url", "extract_size", "extract_sha256", "image_download_size",
                    "release_date",
                ],
                "properties": {
                    "url": {"type": "string", "pattern": r"^https?://.+\.(zip|gz|xz)$"},
                    "extract_size": {"type": "integer"},
                    "extract_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                    "image_download_size": {"type": "integer"},
                    "release_date": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
                    "init_format": {"enum": ["systemd", "cloudinit", "cloudinit-rpi", "none", ""]},
                    "devices": {"type": "array", "items": {"pattern": r"^pi\d-(32|64)bit$"}},
                },
            },
        }
    },
}  # fmt: skip
"""What doc/json-schema/os-list-schema.json of Raspberry Pi Imager requires, with what its reader expects of a value."""


def test_an_os_list_is_what_imager_reads() -> None:
    figures = {
        "extract_size": 1, "extract_sha256": "0" * 64, "image_download_size": 1, "image_download_sha256": "0" * 64,
    }  # fmt: skip
    told = json.loads(disk.os_list(figures, "0.1.0", "https://example.org/x", 1_700_000_000))
    jsonschema.validate(told, OS_LIST)
    assert told["os_list"][0]["init_format"] == "cloudinit"  # without it Imager customises nothing
    assert told["os_list"][0]["release_date"] == "2023-11-14"


def test_partitions_lie_side_by_side_and_the_last_one_grows() -> None:
    offsets = contents.offsets()
    assert list(contents.PARTITIONS)[-1] == "data"
    end = contents.START
    for name, size in contents.PARTITIONS.items():
        assert offsets[name] == end
        end += size
    assert end == contents.size()
    assert all(offset % contents.MIB == 0 for offset in offsets.values())
    assert contents.size() < 2 * 10**9  # a card of 2 GB is the smallest that is sold


@pytest.mark.skipif(shutil.which("sfdisk", path="/usr/sbin:/sbin:/usr/bin") is None, reason="sfdisk is not installed")
def test_the_table_is_what_sfdisk_writes(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(contents.size())
    program = shutil.which("sfdisk", path="/usr/sbin:/sbin:/usr/bin")
    subprocess.run([str(program), "--quiet", image], input=contents.partition_table(), text=True, check=True)
    sector = image.read_bytes()[:512]
    assert struct.unpack("<I", sector[440:444])[0] == contents.DISK_ID
    starts = [struct.unpack("<I", sector[446 + 16 * n + 8 : 446 + 16 * n + 12])[0] * 512 for n in range(4)]
    assert starts == list(contents.offsets().values())


def test_the_first_program_knows_the_disk() -> None:
    assert "@SIGNATURE@" in (FILES / "init").read_text()


def test_units_that_are_enabled_are_there_or_debian_s() -> None:
    for unit in contents.ENABLED:
        if unit.startswith("edgeface-") and not (PROJECT / "systemd" / unit).is_file():
            text = (ROOT / contents.UNITS / unit).read_text()
            for program in re.findall(r"ExecStart=(/usr/lib/edgeface-image/\S+)", text):
                assert (ROOT / program.lstrip("/")).stat().st_mode & 0o111
    assert not set(contents.ENABLED) & set(contents.MASKED)


def test_a_node_is_called_by_its_name_over_mdns() -> None:
    """systemd-resolved only recommends it: without, it cannot make a label of any name, and says ``linux``."""
    assert "libidn2-0" in contents.PACKAGES


def test_nothing_of_a_node_is_carried_into_an_image(tmp_path: Path) -> None:
    """Keys and ids that are made while packages are installed would be those of every card."""
    twin, root = tmp_path / "twin", tmp_path / "root"
    (twin / "var/lib/dpkg/info").mkdir(parents=True)
    (twin / "var/lib/dpkg/info/ssh.list").write_text("/etc\n/etc/ssh\n/etc/ssh/moduli\n")
    (twin / "etc/ssh").mkdir(parents=True)
    for name in ("ssh_host_ed25519_key", "ssh_host_rsa_key.pub", "moduli", "sshd_config"):
        (twin / "etc/ssh" / name).write_text(name)
    (twin / "etc/machine-id").write_text("0" * 32)
    (twin / "etc/passwd").write_text("root:x:0:0::/root:/bin/bash\n")
    (twin / "etc/shadow").write_text("root:*:1::::::\n")
    (twin / "etc/shadow").chmod(0o640)
    library = twin / f"usr/lib/{roots.NATIVE}"
    library.mkdir(parents=True)
    (twin / "etc/alternatives").mkdir()
    (twin / "etc/alternatives/blas").symlink_to(f"/usr/lib/{roots.NATIVE}/blas.so")
    (root / "etc/ssh").mkdir(parents=True)
    assert roots.carry_over(twin, root) > 0
    assert sorted(path.name for path in (root / "etc/ssh").iterdir()) == ["sshd_config"]
    assert not (root / "etc/machine-id").exists()
    assert (root / "etc/shadow").stat().st_mode & 0o777 == 0o640
    assert (root / "etc/alternatives/blas").readlink() == Path(f"/usr/lib/{contents.TRIPLET}/blas.so")


def test_a_folder_that_a_script_makes_a_link_is_one_in_the_image_too(tmp_path: Path) -> None:
    """base-files brings /var/run as a folder: left so, whoever looks there for the system's sockets finds none."""
    twin, root = tmp_path / "twin", tmp_path / "root"
    (twin / "var/lib/dpkg/info").mkdir(parents=True)
    (twin / "var/lib/dpkg/info/base-files.list").write_text("/var\n/var/run\n/var/mail\n")
    (twin / "var/run").symlink_to("/run")
    (twin / "var/mail").mkdir()
    (root / "var/run").mkdir(parents=True)
    (root / "var/mail").mkdir()
    roots.carry_over(twin, root)
    assert (root / "var/run").readlink() == Path("/run")
    assert not (root / "var/mail").is_symlink()
    (root / "var/run").unlink()
    (root / "var/run").mkdir()
    (root / "var/run/file").touch()
    with pytest.raises(BuildError, match="say which of both holds"):
        roots.carry_over(twin, root)


def test_no_clock_starts_before_the_image_was_made(tmp_path: Path) -> None:
    """A new card in a board without a clock, and nobody to ask: else it starts where systemd was built, years ago."""
    (tmp_path / "usr/lib").mkdir(parents=True)
    builder.keep_epoch(tmp_path, 1_796_106_482)
    assert (tmp_path / "usr/lib/clock-epoch").stat().st_mtime == 1_796_106_482


def test_a_program_of_this_machine_is_found(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/firmware").mkdir(parents=True)
    (tmp_path / "usr/bin").mkdir()
    foreign = b"\x7fELF" + bytes(14) + b"\x3e\x00"
    (tmp_path / "usr/bin/wrong").write_bytes(foreign)
    (tmp_path / "usr/lib/firmware/of-a-chip").write_bytes(foreign)
    (tmp_path / "usr/bin/right").write_bytes(b"\x7fELF" + bytes(14) + b"\xb7\x00")
    assert roots.foreign(tmp_path) == [tmp_path / "usr/bin/wrong"]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_key_that_is_none_is_told_before_anything_is_built(tmp_path: Path) -> None:
    """The secret half in its place would lie on every card, and a node passes over what is no key."""
    secret, public, other = tmp_path / "maker", tmp_path / "maker.pub", tmp_path / "other.pub"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", secret], check=True)
    assert builder.wrong_keys(public, secret) is None
    assert builder.wrong_keys(None, None) is None
    assert read_keys(tmp_path) == public.read_text().splitlines()
    assert "lie on every card" in str(builder.wrong_keys(secret, None))
    assert "there is no file" in str(builder.wrong_keys(None, tmp_path / "gone"))
    for text in ("", "untrusted comment: x\nRWabc\n", f"\ufeff{public.read_text()}", f"# mine\n{public.read_text()}"):
        other.write_text(text)
        assert "no public key of OpenSSH" in str(builder.wrong_keys(other, None))


def test_the_stock_texts_of_a_card_say_nothing_yet() -> None:
    read = network_txt.read((FILES / "network.txt").read_text())
    assert (read.settings, read.complaints) == (Settings(), ())
    assert imager.cmdline(boot.CMDLINE).settings == Settings()
    assert imager.without_run(boot.CMDLINE).strip() == boot.CMDLINE


@pytest.mark.parametrize("script", ["grow", "console", "last-words"])
def test_scripts_are_shells(script: str) -> None:
    subprocess.run(["sh", "-n", ROOT / "usr/lib/edgeface-image" / script], check=True)


CONSOLE = (ROOT / "usr/lib/edgeface-image/console").read_text()


@pytest.mark.parametrize(
    ("up_s", "named", "carrier", "address", "said"),
    [
        (20, True, None, "", "no address yet"),
        (61, False, None, "", "no address yet: plug in a cable, or name a wireless network in network.txt"),
        (61, True, None, "", "no address yet: this board shows no radio for the wireless network; plug in a cable, "),
        (61, True, "0", "", "no address yet: the wireless network is not joined; see its name, password and country "),
        (61, True, "1", "", "no address yet: nobody gives one; write a fixed one into network.txt"),
        (61, True, "1", "wlan0 UP 192.168.1.20/24 metric 600", "192.168.1.20 (wlan0)"),
    ],
)
def test_the_console_says_why_there_is_no_address(
    tmp_path: Path, up_s: int, named: bool, carrier: str | None, address: str, said: str
) -> None:
    for folder in ("proc/sys/kernel", "run/edgeface-boot", "run/edgeface-card", "etc/wpa_supplicant", "sys/class/net"):
        (tmp_path / folder).mkdir(parents=True)
    for name, text in (
        ("proc/uptime", f"{up_s}.71 3.20"), ("proc/sys/kernel/hostname", "hall"), ("run/edgeface-boot/slot", "a"),
        ("run/edgeface-boot/trial", "no"), ("run/edgeface-card/said", "a line of the card"),
    ):  # fmt: skip
        (tmp_path / name).write_text(f"{text}\n")
    if named:
        (tmp_path / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf").touch()
    if carrier is not None:
        (tmp_path / "sys/class/net/wlan0").mkdir()
        (tmp_path / "sys/class/net/wlan0/carrier").write_text(f"{carrier}\n")
    text = re.sub(r"/(proc|run|etc|sys)/", rf"{tmp_path}/\1/", CONSOLE).replace("/dev/console", f"{tmp_path}/shown")
    assert text.count("    sleep 5") == 1
    stand_ins = (
        f"ip() {{ printf '%s' '{address}' | grep . ; }}\nsystemctl() {{ case $* in *Active*) echo active ;; esac; }}\n"
    )
    once = text.replace("    sleep 5", "    exit 0")
    done = subprocess.run(["sh", "-c", stand_ins + once], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    shown = (tmp_path / "shown").read_text().splitlines()
    assert shown[1].startswith(f"hall.local   {said}")
    assert shown[2:] == ["edgeface: active   (slot a)", "a line of the card"]


def test_every_wait_of_the_first_program_ends() -> None:
    """It restarts the board where it cannot go on: nobody stands before it."""
    text = (FILES / "init").read_text()
    subprocess.run(["sh", "-n", FILES / "init"], check=True)
    assert "sh </dev/console" not in text  # no shell for who pulls out the card
    assert text.count("reboot -f") == 1
