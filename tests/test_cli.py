"""The command line: help everywhere, one line for every mistake, exit codes."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from astronaut import write_film
from bundles import AGE, EXPRESSION, GENDER, Tree, copy, network

import edgeface
from edgeface.cli import bench
from edgeface.cli.main import build_parser, main
from edgeface.errors import RuntimeMissingError, first_line, named_line, run_command
from edgeface.machine import cores

ROOT = Path(__file__).parents[1]
COMMANDS = [
    ["run"], ["analyze"], ["watch"], ["cameras"], ["bench"], ["models"], ["models", "list"], ["models", "verify"],
    ["config"], ["config", "check"], ["config", "show"],
]  # fmt: skip


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("EDGEFACE")]:
        monkeypatch.delenv(name)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in this process; exit code, standard output, standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        try:
            code = main(words)
        except SystemExit as end:
            assert isinstance(end.code, int)
            code = end.code
        out, errors = capsys.readouterr()
        return code, out, errors

    return run


@pytest.mark.parametrize("words", [[], *COMMANDS], ids=" ".join)
def test_help(call: Callable[..., Any], words: list[str]) -> None:
    code, out, errors = call(*words, "--help")
    assert (code, errors) == (0, "")
    assert out.startswith(" ".join(["usage: edgeface", *words]))
    assert "-h, --help" in out


def test_version(call: Callable[..., Any]) -> None:
    assert call("--version") == (0, f"edgeface {edgeface.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param([], "COMMAND", id="nothing"),
        pytest.param(["analyse", "x"], "invalid choice: 'analyse'", id="unknown command"),
        pytest.param(["models"], "ACTION", id="no action"),
        pytest.param(["models", "drop"], "invalid choice: 'drop'", id="unknown action"),
        pytest.param(["analyze"], "PATH", id="no path"),
        pytest.param(["run", "--pace", "slow"], "invalid choice: 'slow'", id="pace"),
        pytest.param(["run", "--fast"], "unrecognized arguments: --fast", id="unknown option"),
        pytest.param(["run", "--source", ""], "argument --source: it is empty", id="empty option"),
        pytest.param(["analyze", "x", ""], "argument PATH: it is empty", id="empty path"),
        pytest.param(["config", "check", ""], "argument FILE: it is empty", id="empty file"),
        pytest.param(["bench", "--threads", "many"], "invalid int value: 'many'", id="no number"),
        pytest.param(["config", "check", "--set", "port"], "--set 'port' is not KEY=VALUE", id="set"),
        pytest.param(["config", "check", "--set", "mqtt.port=0"], "mqtt.port", id="out of range"),
        pytest.param(["config", "check", "--config", "none.toml"], "none.toml does not exist", id="no file"),
        pytest.param(["bench", "none.mp4"], "none.mp4 does not exist", id="no video"),
        pytest.param(["bench", "--threads", "-1"], "runtime.threads", id="threads below zero"),
        pytest.param(["models", "verify", "--bundle", "none"], "bundle 'none' is in none of", id="no bundle"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(call: Callable[..., Any], words: list[str], said: str) -> None:
    code, out, errors = call(*words)
    assert (code, out) == (2, "")
    assert errors.startswith("edgeface: ")
    assert errors.count("\n") == 1
    assert said in errors


def test_the_default_bundle_is_verified(call: Callable[..., Any]) -> None:
    code, out, errors = call("models", "verify", "--json")
    report = json.loads(out)
    assert (code, errors, report["bad"]) == (0, "", 0)
    names = {row["file"] for row in report["files"]}
    shipped = {path.name for path in Path(report["bundle"]).iterdir() if path.suffix in {".onnx", ".tflite"}}
    assert names == shipped
    code, out, _ = call("models", "verify")
    assert code == 0
    assert out.splitlines()[-1].startswith(f"{len(names)} of {len(names)} files of ")


def test_a_wrong_file_is_told_and_the_others_are_still_checked(call: Callable[..., Any], tmp_path: Path) -> None:
    def change(tree: Tree) -> None:
        strict.append(network(tree, EXPRESSION)["files"]["onnx"][0])
        strict[0]["tolerance"] = 0

    strict: list[Tree] = []
    folder = copy(tmp_path, change)
    (folder / "yunet.fp32.onnx").write_bytes(b"x")
    code, out, errors = call("models", "verify", "--bundle", str(folder), "--json")
    report = json.loads(out)
    assert (code, errors) == (2, "")
    bad = {row["file"]: row["detail"] for row in report["files"] if row["result"] == "bad"}
    assert set(bad) == {"yunet.fp32.onnx", strict[0]["path"]}
    assert "is not the file of the manifest" in bad["yunet.fp32.onnx"]
    assert report["bad"] == 2


def test_networks_are_listed(call: Callable[..., Any]) -> None:
    code, out, _ = call("models", "list", "--json")
    rows = {row["network"]: row for row in json.loads(out)["networks"]}
    assert code == 0
    assert {name for name, row in rows.items() if row["default"]} == {"yunet", AGE, GENDER, EXPRESSION}
    assert all(row["licence"] for row in rows.values())
    code, out, _ = call("models", "list")
    assert code == 0
    assert all(name in out for name in rows)


@pytest.mark.parametrize(
    ("one", "other", "device"),
    [
        ("", "", "/dev/video0"),
        ("", 'source = "/dev//video0"', "/dev/video0"),
        ('source = "2"', "source = 2", "/dev/video2"),
        ('source = "picamera"', 'source = "picamera2:0"', "picamera:0"),
        ('source = "csi:1"', 'source = "csi:1"', "csi:1"),
        ('source = "/dev/v4l/by-id/usb-a"', 'source = "/dev/v4l/by-id/usb-a"', "/dev/v4l/by-id/usb-a"),
    ],
)
def test_two_cameras_on_one_device_are_one_line(
    one: str, other: str, device: str, call: Callable[..., Any], tmp_path: Path
) -> None:
    """The second would be away for ever, and nobody would know why."""
    (tmp_path / "edgeface.toml").write_text(f"[cameras.a]\n{one}\n[cameras.b]\n{other}\n")
    for words in (("config", "check"), ("config", "check", "--elsewhere"), ("run", "--once")):
        code, out, errors = call(*words)
        assert (code, out) == (2, "")
        assert errors.startswith(
            f"edgeface: edgeface.toml: cameras.b.source is the camera of cameras.a, {device}, and only one can "
        )
        assert errors.count("\n") == 1


def test_as_many_as_like_may_have_a_stream_or_another_camera(call: Callable[..., Any], tmp_path: Path) -> None:
    for one, other in (
        ('"rtsp://cam/1"', '"rtsp://cam/1"'),
        ("0", "1"),
        ('"csi"', '"picamera2"'),
        ('"csi"', '"csi:1"'),
    ):
        (tmp_path / "edgeface.toml").write_text(f"[cameras.a]\nsource = {one}\n[cameras.b]\nsource = {other}\n")
        assert call("config", "check", "--elsewhere")[0] == 0


def test_configuration_is_checked_and_shown(call: Callable[..., Any], tmp_path: Path) -> None:
    assert call("config", "check") == (0, "built-in configuration: good\n", "")
    (tmp_path / "edgeface.toml").write_text('[mqtt]\npassword = "hunter2"\nport = 1884\n')
    assert call("config", "check") == (0, "edgeface.toml: good\n", "")
    code, out, _ = call("config", "show", "--set", "node.id=hall")
    assert code == 0
    assert "hunter2" not in out
    assert "port = 1884" in out
    assert 'id = "hall"' in out
    # What is shown is a configuration.
    (tmp_path / "shown.toml").write_text(out)
    assert call("config", "check", "--config", "shown.toml")[0] == 0
    code, out, errors = call("config", "check", "--set", "mqtt.password_file=none")
    assert (code, out) == (2, "")
    assert (
        errors
        == "edgeface: the password file none cannot be read: No such file or directory; check path and permissions\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('[attributes]\nage = "nope"', "attributes.age: bundle default has no network 'nope'; ", id="task"),
        pytest.param(
            "[schedule.age-v9]\ninitial_samples = 1", "schedule.age-v9: bundle default has no ", id="schedule"
        ),
        pytest.param(
            "[schedule.yunet]\ninitial_samples = 1", "network yunet answers no question about a face", id="detector"
        ),
        pytest.param('[networks.yunett]\nprecision = "fp32"', "networks.yunett: bundle default has no", id="network"),
        pytest.param('[networks.yunet]\nprecision = "fp8"', "network yunet has no fp8 for ", id="precision"),
        pytest.param('[networks.retinaface]\nprecision = "fp8"', "has no fp8 for", id="of a network not in use"),
        pytest.param(
            f'[detector]\nnetwork = "{AGE}"', f"detector.network: network {AGE} finds no faces", id="no detector"
        ),
        pytest.param('[detector]\nnetwork = "none"', "detector.network: bundle default has no network", id="none"),
        pytest.param('[runtime]\nname = "litert"\n[detector]\nsize = "328x192"', "328x192 is not prepared", id="size"),
        pytest.param('bundle = "/nowhere"', "there is no bundle folder /nowhere", id="bundle folder"),
        pytest.param('bundle = "none"', "bundle 'none' is in none of", id="bundle name"),
        pytest.param(f'bundle = "{"x" * 300}"', "cannot be looked at: File name too long", id="no name at all"),
        pytest.param('[mqtt]\nca_file = "/nowhere"', "mqtt.ca_file: /nowhere cannot be read", id="authority"),
        pytest.param('[mqtt]\ncert_file = "/nowhere"', "mqtt.cert_file: /nowhere cannot be read", id="certificate"),
        pytest.param('[mqtt]\npassword_file = "/nowhere"', "password file /nowhere cannot be read", id="password"),
        pytest.param('[cameras.a]\nsource = "none.mp4"', "none.mp4 does not exist", id="film"),
        pytest.param('[cameras.a]\nsource = "."', ". holds no pictures or videos", id="folder"),
        pytest.param(
            '[cameras.a]\nsource = "rtps://u:hunter2@h/x"', "rtps://***@h/x has a scheme that is not", id="scheme"
        ),
        pytest.param('[cameras.a]\nsource = "u:hunter2@h/x"', "***@h/x does not exist; give a", id="no scheme"),
        pytest.param('[cameras.a]\nsource = "u:p?x=@hunter2"', "***@*** does not exist; give a", id="no host"),
        pytest.param(
            f'[attributes]\nage = "{EXPRESSION}"',
            f"{EXPRESSION} answers expression, not age; correct [attributes]",
            id="answer",
        ),
        pytest.param(f'[cameras.a]\nsource = "{"x" * 300}"', "cannot be looked at: File name too long", id="long name"),
    ],
)
def test_what_run_would_refuse_is_refused(call: Callable[..., Any], tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "my.toml").write_text(text)
    code, out, errors = call("config", "check", "my.toml")
    assert (code, out) == (2, ""), out
    assert said in errors
    assert errors.count("\n") == 1
    assert "hunter2" not in errors


@pytest.mark.parametrize("name", ["a\\n\\u001b[2Jb", "x" * 5000], ids=["control characters", "long"])
def test_whatever_is_named_the_answer_is_one_line(call: Callable[..., Any], tmp_path: Path, name: str) -> None:
    (tmp_path / "my.toml").write_text(f'[schedule."{name}"]\ninitial_samples = 1\n')
    code, _, errors = call("config", "check", "my.toml")
    assert code == 2
    assert errors.startswith("edgeface: schedule.")
    assert (errors.count("\n"), errors[:-1].isprintable()) == (1, True)
    assert len(errors) < 2100


def test_a_file_is_named_once(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[mqtt]\nport = 1884\n")
    assert call("config", "check", "my.toml") == (0, "my.toml: good\n", "")
    assert "port = 1884" in call("config", "show", "my.toml")[1]
    code, _, errors = call("config", "check", "my.toml", "--config", "other.toml")
    assert (code, errors) == (2, "edgeface: two configurations, my.toml and other.toml; name one\n")


def test_elsewhere_the_files_of_the_node_are_not_looked_for(call: Callable[..., Any], tmp_path: Path) -> None:
    node = '[mqtt]\nca_file = "/nowhere"\npassword_file = "/nowhere"\n[cameras.a]\nsource = "/nowhere/x.mp4"\n'
    (tmp_path / "my.toml").write_text(node)
    assert call("config", "check", "my.toml")[0] == 2
    left_out = "edgeface: not judged here: certificates, password, sources"
    assert call("config", "check", "my.toml", "--elsewhere") == (0, "my.toml: good\n", f"{left_out}\n")
    (tmp_path / "my.toml").write_text(f'bundle = "of-the-node"\n{node}')
    code, out, errors = call("config", "check", "my.toml", "--elsewhere")
    assert (code, out) == (0, "my.toml: good\n")
    assert errors.startswith(f"{left_out}, bundle (bundle 'of-the-node' is in none of")
    (tmp_path / "my.toml").write_text(f'{node}[attributes]\nage = "nope"\n')
    assert call("config", "check", "my.toml", "--elsewhere")[0] == 2


def test_names_that_nothing_has_are_errors_in_every_command(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(b"")
    for words in (["analyze", "p.jpg"], ["bench"]):
        code, out, errors = call(*words, "--set", "schedule.age-v9.initial_samples=1")
        assert (code, out) == (2, "")
        assert "schedule.age-v9: bundle default has no network 'age-v9'" in errors
    # Where names are to be found, a wrong one is no hindrance.
    assert call("models", "list", "--set", "schedule.age-v9.initial_samples=1")[0] == 0


def test_an_address_is_no_file(call: Callable[..., Any]) -> None:
    code, _, errors = call("analyze", "rtsp://u:hunter2@h/x")
    assert code == 2
    assert errors == ("edgeface: rtsp://***@h/x is an address, not a file; watch it with `edgeface run --source`\n")


def test_a_folder_that_may_not_be_entered_is_one_line(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may enter every folder, so the kernel's answer is given for it.
    def stat(path: Path, **_: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", stat)
    code, _, errors = call("config", "check")
    assert code == 2
    assert errors == (
        "edgeface: edgeface.toml cannot be looked for: Permission denied; name the file with --config, "
        "or change the folder\n"
    )


def test_bench_of_a_moving_picture_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "--json", "--size", "320x192", "--threads", "1"]
    assert bench.run(build_parser().parse_args(words), frames=12) == 0
    out, errors = capsys.readouterr()
    report = json.loads(out)
    assert errors == ""
    assert (report["source"], report["frames"], report["size"], report["threads"]) == ("synthetic", 12, "320x192", 1)
    assert {"decode", "detect", "track", "attributes", "visits"} <= set(report["stages"])
    assert all(0 < stage["median_ms"] <= stage["p95_ms"] for stage in report["stages"].values())
    assert report["fps"] > 0
    assert report["memory_mb"] > 50
    assert -0.05 < report["outside_share"] < 1
    shares = [report["outside_share"], report["outside_by"]["decode"], report["outside_by"]["inference"]]
    assert sum(shares) == pytest.approx(1, abs=0.01)
    assert bench.run(build_parser().parse_args(["bench"]), frames=12) == 0
    assert "frames a second" in capsys.readouterr().out


def test_bench_tells_how_many_threads_the_default_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.run(build_parser().parse_args(["bench", "--json"]), frames=3) == 0
    assert json.loads(capsys.readouterr().out)["threads"] == min(2, cores())


def test_help_loads_no_camera_library_and_no_runtime() -> None:
    code = (
        "import sys\nfrom edgeface.cli.main import build_parser\nbuild_parser()\n"
        "heavy = {'cv2', 'onnxruntime', 'ai_edge_litert', 'amqtt'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "[]"


def program(
    *words: str, unbuffered: bool = False, environ: Mapping[str, str] = os.environ, **options: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgeface", *words],
        **{"stderr": subprocess.PIPE, **options},
        text=True,
        check=False,
        env={**environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1" if unbuffered else ""},
    )


def program_limited(most: int, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run it with files of at most that many bytes; a record of its coverage would be larger."""
    unmeasured = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # noqa: E731
    return program(*words, preexec_fn=limit, environ=unmeasured, **options)


@pytest.mark.parametrize(
    "words",
    [
        ["config", "show"], ["config", "show", "--commented"], ["config", "check"], ["models", "list"],
        ["models", "list", "--json"], ["cameras"], ["--help"], ["--version"], ["analyze", "--json", "p.png"],
        ["analyze", "--json", "v.mp4"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_output_on_a_full_disk_is_one_line(words: list[str], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((48, 64, 3), np.uint8))
    if "v.mp4" in words:
        write_film(tmp_path / "v.mp4", seconds=0.5)
    line = "edgeface: standard output cannot be written: No space left on device; check the free space\n"
    with Path("/dev/full").open("w") as full:
        done = program(*words, unbuffered=words[0] in {"cameras", "--help"}, stdout=full)
        assert (done.returncode, done.stderr) == (1, line)
        assert program(*words, stdout=full, stderr=full).returncode == 1


def test_results_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((48, 64, 3), np.uint8))
    done = program_limited(10, "analyze", "p.png")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("edgeface: edgeface-out/p.png.json cannot be written: File too large")
    assert "Traceback" not in done.stderr


def test_a_drawn_video_that_does_not_fit_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    write_film(tmp_path / "v.mp4", seconds=2.0)
    for most in (1024, 10_000, 100_000):
        done = program_limited(most, "analyze", "v.mp4", cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.splitlines()[0].startswith("edgeface: edgeface-out/v.mp4.")
        assert "cannot be written" in done.stderr.splitlines()[0]
        assert "Traceback" not in done.stderr
        assert [path.name for path in (tmp_path / "edgeface-out").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("closed", "code", "said"),
    [
        pytest.param(
            "config show >&-", 1, "edgeface: standard output is closed; give it a file or /dev/null\n", id="out"
        ),
        pytest.param("config show <&- 2>&- >/dev/null", 0, "", id="in and errors"),
        pytest.param("config show --set x 2>&-", 2, "", id="errors, and one to tell"),
    ],
)
def test_closed_streams(closed: str, code: int, said: str) -> None:
    done = subprocess.run(
        f"{sys.executable} -m edgeface {closed}",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) == (code, said)


def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m edgeface config show | head -n 1; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("said", "line"),
    [
        pytest.param("refused", "refused", id="one line"),
        pytest.param("\n refused: \n  because", "refused: ", id="many"),
        pytest.param("", "ValueError", id="nothing"),
        pytest.param(" \n", "ValueError", id="blanks"),
    ],
)
def test_of_what_a_library_says_the_first_line_is_told(said: str, line: str) -> None:
    assert first_line(ValueError(said)) == line
    assert first_line(ValueError(said), otherwise="no more is known") == line.replace("ValueError", "no more is known")
    assert named_line(ValueError(said)) == ("ValueError" if line == "ValueError" else f"ValueError: {line}")


INTERRUPTED = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
module = sys.argv.pop(1)
class Finder:
    def find_spec(self, name, *_):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
runpy.run_module("edgeface", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("words", [["run"], ["doctor"]], ids=" ".join)
@pytest.mark.parametrize(
    "module", ["edgeface.cli", "edgeface.errors", "edgeface.service.signals", "edgeface.cli.doctor"]
)
def test_an_interrupt_while_the_program_is_loaded_shows_no_traceback(module: str, words: list[str]) -> None:
    command = [sys.executable, "-c", INTERRUPTED, module, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode in {-signal.SIGINT, 130}
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(0)], ids=["Ctrl-C", "a stop of the daemon"])
@pytest.mark.parametrize("chained", [True, False], ids=["from", "during"])
def test_an_interrupt_that_a_library_turns_into_its_own_error_stays_one(
    capsys: pytest.CaptureFixture[str], interrupt: BaseException, *, chained: bool
) -> None:
    def load() -> int:
        try:
            try:
                raise interrupt
            except BaseException as error:
                if chained:
                    raise ImportError("initialization failed") from error
                raise RuntimeError("Error calling __set_name__")  # noqa: B904
        except (ImportError, RuntimeError) as error:
            raise RuntimeMissingError("onnxruntime is not installed", fix="install it") from error

    if isinstance(interrupt, SystemExit):
        with pytest.raises(SystemExit) as ended:
            run_command(load)
        assert ended.value.code == 0
    else:
        assert run_command(load) == 130
    assert capsys.readouterr().err == ""


def test_a_runtime_whose_import_was_interrupted_is_not_called_missing() -> None:
    source = """
import builtins, sys
from edgeface.errors import RuntimeMissingError, run_command
real = builtins.__import__
def hurried(name, *rest, **more):
    if name == "onnxruntime":
        raise ImportError("initialization failed") from KeyboardInterrupt()
    return real(name, *rest, **more)
builtins.__import__ = hurried
from edgeface.runtime import onnx
builtins.__import__ = real
sys.exit(run_command(lambda: onnx.OnnxRunner(b"", None, threads=1)))
"""
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, "")
