"""Two slots for the root: an update is believed by its signature, and is tried once."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from edgeface_card import slots as module
from edgeface_card.settings import CardError
from edgeface_card.slots import Slots, await_confirmation, holds, install, judge

from edgeface.publish import supervisor

SLOT = b"hsqs" + bytes(range(256)) * 40
pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


@pytest.fixture
def slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slots:
    """A node that runs slot a, with a key of its maker's."""
    boot, kept, keys = (tmp_path / name for name in ("boot", "kept", "keys"))
    for folder in (boot, kept, keys):
        folder.mkdir()
    (boot / "slot").write_text("a\n")
    (boot / "trial").write_text("no\n")
    (boot / "part").write_text(f"{tmp_path}/disk\n")
    for number in "23":
        (tmp_path / f"disk{number}").write_bytes(bytes(1 << 16))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "maker"], check=True)
    shutil.copy(tmp_path / "maker.pub", keys)
    monkeypatch.setattr(module, "SCRATCH", tmp_path / "scratch")
    return Slots(boot, kept, keys)


def signed(tmp_path: Path, data: bytes = SLOT, *, key: str = "maker", namespace: str = module.NAMESPACE) -> str:
    file = tmp_path / "x.slot"
    file.write_bytes(data)
    Path(f"{file}.sig").unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", tmp_path / key, "-n", namespace, file], check=True)
    return str(file)


@contextlib.contextmanager
def mounted(_: Path) -> Iterator[Path]:
    """The slot as it would look, without a mount."""
    place = _.parent / "mounted"
    (place / "usr/lib/modules" / os.uname().release).mkdir(parents=True, exist_ok=True)
    (place / module.VERSION).parent.mkdir(parents=True, exist_ok=True)
    (place / module.VERSION).write_text("0.2.0\n")
    yield place


def put(slots: Slots, file: str) -> str:
    return install(slots, file, f"{file}.sig", mounted)


def test_an_update_goes_to_the_idle_slot_and_on_trial(slots: Slots, tmp_path: Path) -> None:
    assert put(slots, signed(tmp_path)) == "0.2.0"
    assert (tmp_path / "disk3").read_bytes().startswith(SLOT)
    assert (tmp_path / "disk2").read_bytes() == bytes(1 << 16)
    assert (slots.kept / "trial").read_text() == "b\n"
    assert not (slots.kept / "active").exists()


@pytest.mark.parametrize("wrong", ["changed", "other key", "other purpose", "not signed"])
def test_what_is_not_signed_for_us_is_not_tried(slots: Slots, tmp_path: Path, wrong: str) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "stranger"], check=True)
    file = signed(
        tmp_path,
        key="stranger" if wrong == "other key" else "maker",
        namespace="file" if wrong == "other purpose" else module.NAMESPACE,
    )
    if wrong == "changed":
        Path(file).write_bytes(SLOT[:-1] + b"x")
    if wrong == "not signed":
        Path(f"{file}.sig").unlink()
    (slots.kept / "trial").write_text("b\n")  # of an update that is now written over
    with pytest.raises(CardError, match=r"not signed by a key|cannot be read"):
        put(slots, file)
    assert wrong == "not signed" or not (slots.kept / "trial").exists()


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "is empty"), (b"PK" + SLOT, "no slot"), (b"hsqs" + bytes(1 << 17), "does not fit")]
)
def test_what_is_no_slot_is_told(slots: Slots, tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(CardError, match=said):
        put(slots, signed(tmp_path, data))


def test_without_a_key_nothing_is_believed(slots: Slots, tmp_path: Path) -> None:
    for key in slots.keys.iterdir():
        key.unlink()
    with pytest.raises(CardError, match="holds no key"):
        put(slots, signed(tmp_path))
    assert (tmp_path / "disk3").read_bytes() == bytes(1 << 16)


def test_the_way_back_is_to_the_slot_that_runs(slots: Slots, tmp_path: Path) -> None:
    """Not to the one that should have run and could not be mounted, which the update has written over."""
    (slots.boot / "slot").write_text("b\n")
    (slots.kept / "active").write_text("a\n")
    put(slots, signed(tmp_path))
    assert (slots.kept / "trial").read_text() == "a\n"
    assert (slots.kept / "active").read_text() == "b\n"


@pytest.mark.parametrize("what", ["https://exa mple/x", "https://[x", "/nowhere"])
def test_what_cannot_be_fetched_is_one_line(slots: Slots, what: str) -> None:
    with pytest.raises(CardError, match="cannot be read"):
        install(slots, what, what, mounted)


def test_a_card_that_cannot_be_written_is_not_said_of_the_update(slots: Slots, tmp_path: Path) -> None:
    (tmp_path / "disk3").unlink()
    with pytest.raises(FileNotFoundError, match="disk3"):
        put(slots, signed(tmp_path))


def test_no_update_during_a_trial(slots: Slots, tmp_path: Path) -> None:
    """It would write over the slot that the node goes back to."""
    (slots.boot / "trial").write_text("yes\n")
    with pytest.raises(CardError, match="wait until it is confirmed"):
        put(slots, signed(tmp_path))


def test_an_update_for_another_kernel_is_not_tried(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/modules/7.0").mkdir(parents=True)
    with pytest.raises(CardError, match=r"no modules for the kernel 6\.1"):
        judge(tmp_path, "6.1")
    with pytest.raises(CardError, match="does not say its version"):
        judge(tmp_path, "7.0")


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_a_trial_holds_once_the_broker_is_reached(slots: Slots) -> None:
    (slots.boot / "slot").write_text("b\n")
    for name in ("trial", "tried"):
        (slots.kept / name).write_text("b\n")
    clock = Clock()
    states = iter([("activating", ""), ("active", "1 of 1 cameras running, broker offline")])
    ended = ("active", "1 of 1 cameras running, broker connected")
    assert await_confirmation(slots, lambda: next(states, ended), clock=clock, sleep=clock.sleep) is None
    assert (slots.kept / "active").read_text() == "b\n"
    assert sorted(path.name for path in slots.kept.iterdir()) == ["active"]


def test_a_trial_without_a_broker_does_not_hold(slots: Slots) -> None:
    for name in ("trial", "tried"):
        (slots.kept / name).write_text("b\n")
    clock = Clock()
    ask = lambda: ("active", "1 of 1 cameras running, broker offline")  # noqa: E731
    why = await_confirmation(slots, ask, clock=clock, sleep=clock.sleep)
    assert why == "active, 1 of 1 cameras running, broker offline"
    assert clock.now_s == pytest.approx(module.CONFIRMED_S, abs=2)
    assert sorted(path.name for path in slots.kept.iterdir()) == ["trial", "tried"]


def test_the_slot_before_it_says_why_a_trial_was_given_up(
    slots: Slots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The journal of that boot is gone with its memory: whoever asks would only hear that it did not hold."""
    words = tmp_path / "last-words"
    words.write_text(f"#!/bin/sh\necho $1 >{tmp_path}/kept-words\n")
    words.chmod(0o755)
    monkeypatch.setattr(module, "LAST_WORDS", str(words))
    monkeypatch.setattr(module, "Slots", lambda: slots)
    (slots.kept / "failed").write_text("b\n")
    slots.give_up("activating")
    assert (tmp_path / "kept-words").read_text() == "trial\n"
    assert module.main(["status"]) == 0
    assert capsys.readouterr().out == "slot a\nslot b was tried and did not hold: activating\n"
    slots.put_on_trial("b")
    assert sorted(path.name for path in slots.kept.iterdir()) == ["trial"]


def test_a_trial_ends_though_nothing_can_be_kept_of_it(slots: Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_WORDS", "/nonexistent")
    shutil.rmtree(slots.kept)
    slots.give_up("activating")


def test_the_words_of_the_program_s_status_are_known() -> None:
    assert "connected" in supervisor.State.__args__  # type: ignore[attr-defined]
    assert holds("active", "0 of 1 cameras running, broker connected; configuration not taken: x")
    assert not holds("active", "broker refused")
    assert not holds("reloading", "broker connected")
