"""What the proof of the ARM packages makes of what it hears: the verdict, without an emulator."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from records import CLIPS, golden

from slow import arm64, emulated
from slow.arm64 import judged, verified

START = "2027-03-04T05:06:00.000Z"
CLIP = "noface_face.mov"


def messages(clip: str, *, without: str = "", **changed: Any) -> list[tuple[str, bytes]]:
    """What a subscriber hears of a run over a clip that gives the record, but for what is changed in its last event."""
    events = json.loads(json.dumps(golden(clip)).replace("2026-01-01T00:00:", "2027-03-04T05:06:"))
    if events:
        events[-1] |= changed
    said: list[tuple[str, object]] = [
        ("availability", "online"),
        ("health", {"configuration": {"loaded_at": START}}),
        *(("main/visits", event) for event in events),
        ("main/faces", {"faces": []}),
        # Read again in the middle: the first one counts.
        ("health", {"configuration": {"loaded_at": "2027-03-04T05:07:00.000Z"}}),
        ("availability", "offline"),
    ]
    return [
        (f"edgeface/arm64/{topic}", (body if isinstance(body, str) else json.dumps(body)).encode())
        for topic, body in said
        if topic != without
    ]


@pytest.mark.parametrize("clip", CLIPS)
def test_a_run_that_gives_the_record_is_good(clip: str) -> None:
    assert judged(messages(clip), clip) == []


def test_what_a_run_has_otherwise_is_bad() -> None:
    assert judged(messages(CLIP, reason="lost"), CLIP) == ["end 1: reason lost instead of source_ended"]
    assert judged(messages("no_face.mp4"), CLIP) == ["nothing instead of ['start', 'end']"]
    assert judged(messages(CLIP), "no_face.mp4") == ["['start', 'end'] instead of nothing"]
    assert judged(messages(CLIP, without="availability"), CLIP) == ["availability []"]
    assert judged(messages(CLIP, without="health"), CLIP) == ["no health came"]
    assert judged([], CLIP) == ["no health came"]
    first, last = messages(CLIP)[0], messages(CLIP)[-1]
    assert judged([first, *messages(CLIP)], CLIP) == [], "online is said again"
    broken = judged([first, last, *messages(CLIP)], CLIP)
    assert broken == ["availability ['online', 'offline', 'online', 'offline']"]
    later = [(topic, body.replace(b"05:06:00.000", b"05:06:00.200")) for topic, body in messages(CLIP)]
    assert {line.split(" ")[2] for line in judged(later, CLIP)} == {"started", "ended"}


def report(**results: str) -> dict[str, Any]:
    """What `edgeface models verify --json` says: nothing of a file that is right, else what is wrong."""
    names = {"onnx": "yunet.fp32.onnx", "small": "yunet.int8.onnx", "lite": "yunet.int8.tflite"}
    files = [
        {"file": names[key], "result": "bad" if wrong else "ok", "detail": wrong or "off by 1.0e-06"}
        for key, wrong in results.items()
    ]
    return {"files": files}


WRONG = "off by 3.65, this processor computes it wrongly"
TARDY = "network yunet cannot be run: it was ended after 33 seconds without an answer"


def test_networks_are_counted_by_the_runtime_that_computes_them() -> None:
    found = verified([report(onnx="", small="", lite=WRONG)])
    assert found == {"onnx": (2, []), "litert": (0, [f"yunet.int8.tflite: {WRONG}"])}
    assert verified([{"files": []}]) == {"onnx": (0, []), "litert": (0, [])}


@pytest.mark.parametrize(
    ("tries", "right"),
    [
        (("", ""), True),
        ((TARDY, ""), True),
        (("", TARDY), True),
        ((TARDY, TARDY), False),
        ((WRONG, ""), False),
        (("", WRONG), False),
        ((TARDY, WRONG, ""), False),
        ((WRONG, TARDY), False),
    ],
)
def test_who_was_only_late_counts_by_another_try(tries: tuple[str, ...], right: bool) -> None:
    count, bad = verified([report(lite=wrong) for wrong in tries])["litert"]
    assert (count, len(bad)) == ((1, 0) if right else (0, 1))


def test_what_is_missing_is_one_line_with_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert emulated.missing() == "only root can enter another system; sudo packaging/arm64-test"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(emulated, "TOOLS", {"no-such-program": "some-package"})
    assert emulated.missing() == "no-such-program is not installed; apt install some-package"
    monkeypatch.setattr(emulated, "TOOLS", {})
    monkeypatch.setattr(emulated, "KEYRING", tmp_path / "none")
    assert emulated.missing() == "Debian's keys are not here; apt install debian-archive-keyring"
    monkeypatch.setattr(emulated, "KEYRING", Path(__file__))
    (tmp_path / "arch-test").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "arch-test").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "apt install qemu-user-static" in str(emulated.missing())
    (tmp_path / "arch-test").write_text("#!/bin/sh\n")
    assert emulated.missing() is None


def test_a_system_that_it_does_not_know_is_a_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["arm64-test", "--only", "debian-11"])
    with pytest.raises(SystemExit) as ended:
        arm64.main()
    assert ended.value.code == 2


def test_what_cannot_be_tried_ends_with_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["arm64-test"])
    monkeypatch.setattr(arm64, "missing", lambda: "mmdebstrap is not installed; apt install mmdebstrap")
    assert arm64.main() == 2
    assert capsys.readouterr().err == "edgeface: mmdebstrap is not installed; apt install mmdebstrap\n"
