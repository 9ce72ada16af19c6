"""What runs best on a board: raced, kept with what it hangs on, used while that holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from bundles import AGE, DEFAULT, EXPRESSION, copy
from hypothesis import given
from hypothesis import strategies as st

from edgeface import board
from edgeface.bundle import Bundle, Network, open_bundle
from edgeface.cli import tune as command
from edgeface.cli.main import build_parser, main
from edgeface.config import Config, NetworkChoice, Runtime
from edgeface.engine.networks import Networks
from edgeface.errors import EdgefaceError
from edgeface.machine import cores, in_chroot, instruction_sets
from edgeface.tuning import Choice, place, tuned, with_threads, write
from edgeface.tuning import measuring as measuring_room
from edgeface.tuning.candidates import chains, thread_counts, ways
from edgeface.tuning.choice import FILE, Fingerprint, Picked, Row, fingerprint, merged
from edgeface.tuning.measuring import Conditions, tune
from edgeface.tuning.race import Place, Time, race, winner

PICKED = Picked(runtime="litert", precision="int8", optimization="all", threads=1, batch=4)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DEFAULT)


@pytest.fixture
def here(bundle: Bundle) -> Fingerprint:
    return fingerprint(bundle, Config())


def choice(found: Fingerprint, **picked: Picked) -> Choice:
    networks = {name.replace("_", "-"): one for name, one in picked.items()}
    return Choice(
        made="2026-11-30T12:00:00Z",
        seconds=60.0,
        fingerprint=found,
        networks=networks or {AGE: PICKED},
        usual_ms=12.0,
        chosen_ms=10.0,
    )


# Races.


class Track:
    """Runners that take their time, in ten times as much in a busy round; on a clock of its own."""

    def __init__(self, busy: Callable[[int], bool] = lambda _: False) -> None:
        self.now_s = 0.0
        self.runs: list[float] = []
        self._busy = busy

    def run(self, ms: float) -> Time | str:
        self.now_s += 1.0
        self.runs.append(ms)
        if ms < 0:
            return "off by 0.9, allowed 0.01"
        slower = 10.0 if self._busy(len(self.runs)) else 1.0
        return Time(ms=ms * slower, cpu_ms=ms * slower)

    def race(self, runners: list[float], *, seconds: float = 1e6, keep: int = 3, rounds: int = 4) -> list[Place[float]]:
        return race(runners, self.run, clock=lambda: self.now_s, until_s=seconds, keep=keep, rounds=rounds)


times = st.lists(st.floats(1, 100), min_size=1, max_size=40, unique=True)


@given(times)
def test_the_fastest_wins_and_the_slow_ones_run_once(runners: list[float]) -> None:
    track = Track()
    places = track.race(runners)
    assert places[0].runner == min(runners)
    assert places[0].rounds >= 4
    assert len(track.runs) <= len(runners) + 4 * (len(runners) // 2 + 4)
    assert [place.runner for place in places] == sorted(runners)


@given(times, st.randoms(use_true_random=False))
def test_a_busy_round_of_two_chooses_nobody_who_is_much_slower(runners: list[float], random: object) -> None:
    """Every other run has the machine beside another program: minima over rounds see through that."""
    track = Track(busy=lambda number: number % 3 == 0)
    best = track.race(runners, keep=len(runners), rounds=8)[0]
    assert best.runner <= 10 * min(runners)


@given(times, st.floats(0, 60))
def test_when_the_time_is_up_no_further_run_begins_but_the_usual_one_was_timed(
    runners: list[float], seconds: float
) -> None:
    track = Track()
    places = track.race(runners, seconds=seconds)
    assert track.now_s <= max(1.0, seconds + 1.0)
    usual = next(place for place in places if place.runner == runners[0])
    assert usual.best is not None


def test_who_answers_otherwise_is_out() -> None:
    places = Track().race([5.0, -1.0, 3.0])
    assert [(place.runner, place.out) for place in places] == [(3.0, ""), (5.0, ""), (-1.0, "off by 0.9, allowed 0.01")]


def at(ms: float, cpu_ms: float) -> Place[str]:
    return Place(runner=f"{ms}", best=Time(ms=ms, cpu_ms=cpu_ms), rounds=4)


def test_of_those_that_are_as_fast_the_one_that_takes_least_of_the_processor_wins() -> None:
    usual, quick, frugal = at(20, 20), at(10, 30), at(10.4, 11)
    assert winner([quick, frugal, usual], usual=usual) is frugal
    assert winner([quick, at(11, 1), usual], usual=usual) is quick


def test_a_gain_within_the_noise_changes_nothing() -> None:
    usual, other = at(10.0, 10), at(9.8, 9)
    assert winner([other, usual], usual=usual) is usual


# What is tried.


def test_every_way_is_tried_and_the_usual_one_first(bundle: Bundle) -> None:
    network = bundle.network(AGE)
    paths = {file.path for files in network.files.values() for file in files}
    usual = network.files["onnx"][0]
    found = ways(network, paths, Config(), usual=usual, threads=2, cores=4)
    assert (found[0].runtime, found[0].precision, found[0].threads) == ("onnx", usual.precision, 2)
    # Two precisions at four levels in ONNX Runtime, two in LiteRT, each with one, two and four threads.
    assert len(found) == len(set(found)) == (2 * 4 + 2) * 3
    assert ways(network, set(), Config(), usual=usual, threads=2, cores=4) == []


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config(runtime=Runtime(name="litert")), 2 * 3),
        (Config(runtime=Runtime(threads=1)), 2 * 4 + 2),
        (Config(networks={AGE: NetworkChoice(precision="int8")}), (4 + 1) * 3),
        (Config(networks={AGE: NetworkChoice(runtime="onnx", precision="int8", threads=1, optimization="basic")}), 1),
    ],
)
def test_what_keys_say_is_not_tried_otherwise(bundle: Bundle, config: Config, expected: int) -> None:
    network = bundle.network(AGE)
    paths = {file.path for files in network.files.values() for file in files}
    usual = network.files["onnx"][0]
    assert len(ways(network, paths, config, usual=usual, threads=2, cores=4)) == expected


def test_thread_counts() -> None:
    assert [thread_counts(count) for count in (1, 2, 3, 4, 6, 64)] == [
        [1], [1, 2], [1, 2, 3], [1, 2, 4], [1, 2, 4, 6], [1, 2, 4, 8],
    ]  # fmt: skip


def test_no_chain_is_timed_twice(bundle: Bundle) -> None:
    network = bundle.network(AGE)
    paths = {file.path for files in network.files.values() for file in files}
    found = ways(network, paths, Config(), usual=network.files["onnx"][0], threads=1, cores=2)
    ranked = {AGE: [(way, 8) for way in found]}
    usual = {AGE: found[0].picked(8)}
    made = list(chains(ranked, usual))
    assert made[0] == ("the bundle's order", usual)
    assert len({json.dumps(msgspec.to_builtins(chain), sort_keys=True) for _, chain in made}) == len(made)
    assert {chain[AGE].threads for _, chain in made} == {1, 2}
    assert {chain[AGE].runtime for _, chain in made} == {"onnx", "litert"}


# Kept and used.


def test_a_choice_is_used_while_its_board_is_this_one(bundle: Bundle, here: Fingerprint, tmp_path: Path) -> None:
    write(choice(here), tmp_path / FILE)
    found = tuned(bundle, Config(), tmp_path / FILE)
    assert (found.standing, found.made) == ("fresh", "2026-11-30T12:00:00Z")
    networks = Networks(bundle, found.config)
    runner = networks.runners[AGE]
    assert (runner.file.runtime, runner.file.precision, max(runner.batches)) == ("litert", "int8", 4)
    assert networks.runners[EXPRESSION].file.runtime == "onnx", "of which nothing was chosen"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"processor": "aarch64 Cortex-A53"}, "another processor (aarch64 Cortex-A53)"),
        ({"instructions": ("neon",)}, "another processor"),
        ({"cores": 64}, f"64 cores, here are {cores()}"),
        ({"memory_mb": 100}, "another memory"),
        ({"versions": {"onnxruntime": "1.0"}}, "none, here is"),
        ({"bundle": "0" * 64}, "another bundle"),
        ({"networks": ("yunet",)}, "other networks"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_of_another_board_bundle_or_library_it_is_stale(
    bundle: Bundle, here: Fingerprint, tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    write(choice(msgspec.structs.replace(here, **changes)), tmp_path / FILE)
    found = tuned(bundle, Config(), tmp_path / FILE)
    assert (found.standing, found.config) == ("stale", Config())
    assert why in found.text
    assert found.text.endswith("the bundle's order holds; run `edgeface tune` (with sudo for the service)")
    assert "\n" not in found.text


@pytest.mark.parametrize(
    ("data", "standing"),
    [(None, "none"), (b"", "stale"), (b"{", "stale"), (b"\xff" * 10, "stale"), (b" " * 2_000_000, "stale")],
)
def test_a_file_that_is_missing_or_broken_is_no_choice(
    bundle: Bundle, tmp_path: Path, data: bytes | None, standing: str
) -> None:
    if data is not None:
        (tmp_path / FILE).write_bytes(data)
    found = tuned(bundle, Config(), tmp_path / FILE)
    assert (found.standing, found.config) == (standing, Config())


@pytest.mark.parametrize(
    "wrong",
    [{"threads": 100_000}, {"threads": -3}, {"threads": 0}, {"batch": 0}, {"batch": 99_999}, {"precision": "zz"}],
)
def test_a_choice_that_nobody_can_have_made_is_none(
    bundle: Bundle, here: Fingerprint, tmp_path: Path, wrong: dict[str, object]
) -> None:
    """A hundred thousand threads would end the process; it is a file, and files are edited and damaged."""
    kept = choice(here)
    name = next(iter(kept.networks))
    networks = {**kept.networks, name: msgspec.structs.replace(kept.networks[name], **wrong)}
    write(msgspec.structs.replace(kept, networks=networks), tmp_path / FILE)
    found = tuned(bundle, Config(), tmp_path / FILE)
    assert (found.standing, found.config) == ("stale", Config())
    assert str(tmp_path / FILE) in found.text


def test_a_choice_of_another_edgeface_is_stale(bundle: Bundle, here: Fingerprint, tmp_path: Path) -> None:
    write(msgspec.structs.replace(choice(here), schema=99), tmp_path / FILE)
    assert tuned(bundle, Config(), tmp_path / FILE).standing == "stale"


def test_it_can_be_left_unused(bundle: Bundle, here: Fingerprint, tmp_path: Path) -> None:
    write(choice(here), tmp_path / FILE)
    off = Config(runtime=Runtime(tune=False))
    assert tuned(bundle, off, tmp_path / FILE).standing == "off"
    assert tuned(bundle, Config(), tmp_path / FILE, on_processor=False).standing == "unused"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config(), NetworkChoice(runtime="litert", precision="int8", threads=1, optimization="all", batch=4)),
        (Config(runtime=Runtime(name="onnx")), None),
        (Config(networks={AGE: NetworkChoice(precision="fp16w")}), NetworkChoice(precision="fp16w")),
        (
            Config(networks={AGE: NetworkChoice(batch=1)}, runtime=Runtime(threads=3)),
            NetworkChoice(runtime="litert", precision="int8", threads=3, optimization="all", batch=1),
        ),
    ],
)
def test_keys_of_the_configuration_win(config: Config, expected: NetworkChoice | None) -> None:
    assert merged(config, {AGE: PICKED}).networks.get(AGE) == expected


def test_one_thread_for_all_is_one_thread_for_all() -> None:
    config = with_threads(merged(Config(), {AGE: PICKED}), 1)
    assert (config.runtime.threads, config.networks[AGE].threads) == (1, None)


def test_a_service_s_choice_lies_with_its_state(tmp_path: Path) -> None:
    service = tmp_path / "var/lib/edgeface"
    home = {"XDG_STATE_HOME": str(tmp_path / "home")}
    assert place(home, tmp_path) == tmp_path / "home/edgeface" / FILE
    service.mkdir(parents=True)
    assert place(home, tmp_path) == service / FILE
    assert place({**home, "STATE_DIRECTORY": "/run/other"}, tmp_path) == Path("/run/other") / FILE


# Measured.


def test_what_disturbs_a_measurement_is_told(tmp_path: Path) -> None:
    def lay(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    quiet = Conditions(tmp_path, load=lambda: 0.0)
    assert quiet.notes(slower=1.0) == []
    assert "1.5 times as long" in quiet.notes(slower=1.5)[0]
    lay("sys/class/thermal/thermal_zone0/temp", "84000")
    lay(board.THROTTLED, "4")
    quiet.look()
    lay(board.THROTTLED, "0")
    quiet.look()
    (note,) = quiet.notes(slower=1.5)
    assert note.startswith("the board was slowed down meanwhile: throttled (84 degrees Celsius)")
    assert "other programs" in Conditions(tmp_path, load=lambda: 50.0).notes(slower=None)[0]


@pytest.mark.timeout(900)
def test_the_real_networks_are_measured_within_the_time(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files in children, then a few races on a clock that makes the time up soon."""
    monkeypatch.setattr(measuring_room, "CALL_S", 0.0)
    ticks = iter(range(10_000))
    found = tune(bundle, Config(), seconds=24, clock=lambda: float(next(ticks)), root=tmp_path)
    assert set(found.networks) == {"yunet", AGE, EXPRESSION}
    assert 0 < found.chosen_ms <= found.usual_ms
    timed = [row for row in found.rows if row.ms is not None]
    assert {row.network for row in timed} == {"", "yunet", AGE, EXPRESSION}
    assert sum(row.note == "chosen" for row in found.rows) == 1
    write(found, tmp_path / FILE)
    taken = tuned(bundle, Config(), tmp_path / FILE)
    assert taken.standing == "fresh"
    Networks(bundle, taken.config).verify(bundle)


@pytest.mark.timeout(900)
def test_a_board_that_has_no_time_tries_the_usual_files_alone(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the time is over before the second file is tried: it ends, and keeps the bundle's order."""
    monkeypatch.setattr(measuring_room, "CALL_S", 0.0)
    ticks = iter(range(0, 1_000_000, 100))
    found = tune(bundle, Config(), seconds=240, clock=lambda: float(next(ticks)), root=tmp_path)
    assert found.chosen_ms == found.usual_ms > 0
    left = [row for row in found.rows if row.note == measuring_room.NO_TIME]
    files = sum(len(files) for name in found.networks for files in _network(bundle, name).files.values())
    assert len(left) == files - 3
    usual = {name: picked.precision for name, picked in found.networks.items()}
    assert not any(row.runtime == "onnx" and f".{usual[row.network]}." in row.what for row in left)


@pytest.mark.parametrize(
    ("other_ms", "said"),
    [(40.0, "The bundle's order is the best here: 30.0 ms a frame."), (None, "no time for another chain, so it stays")],
)
def test_what_was_not_timed_is_not_called_slower(here: Fingerprint, other_ms: float | None, said: str) -> None:
    rows = (
        Row(network="", what="the bundle's order", ms=30.0, cpu_ms=30.0, rounds=1, note="chosen"),
        Row(network="", what="each network's best", ms=other_ms, note="" if other_ms else "not timed"),
    )
    kept = Choice(
        made="2026-03-01T12:00:00Z",
        seconds=12.0,
        fingerprint=here,
        networks={},
        usual_ms=30.0,
        chosen_ms=30.0,
        rows=rows,
    )
    told = "\n".join(command._table(kept, everything=False))
    assert said in told
    assert ("is the best" in told) == (other_ms is not None)


def _network(bundle: Bundle, name: str) -> Network:
    (found,) = (network for network in bundle.manifest.networks if network.name == name)
    return found


def test_what_root_measured_the_services_user_reads(tmp_path: Path) -> None:
    """Systems that are closed tightly give root a umask of 077."""
    before = os.umask(0o077)
    try:
        write(choice(fingerprint(open_bundle(DEFAULT), Config())), tmp_path / FILE)
    finally:
        os.umask(before)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o644


@pytest.mark.timeout(900)
def test_a_file_that_computes_wrongly_here_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stored answers say otherwise: nobody else can tell that a processor adds up wrongly."""
    monkeypatch.setattr(measuring_room, "CALL_S", 0.0)

    def strict(tree: dict[str, object]) -> None:
        for network in tree["networks"]:  # type: ignore[attr-defined]
            for file in network["files"]["litert"]:
                file["tolerance"] = 0.0

    wrong = open_bundle(copy(tmp_path, strict))
    ticks = iter(range(10_000))
    found = tune(wrong, Config(), seconds=80, clock=lambda: float(next(ticks)), root=tmp_path)
    assert {picked.runtime for picked in found.networks.values()} == {"onnx"}
    out = [row for row in found.rows if row.runtime == "litert"]
    assert out
    assert all("off by" in row.note for row in out)


# The command.


def _made(path: Path) -> str:
    return str(json.loads(path.read_text())["made"])


@pytest.mark.timeout(900)
def test_the_command_explains_keeps_and_refreshes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measuring_room, "CALL_S", 0.0)
    assert main(["tune", "--seconds", "10"]) == 0
    out, errors = capsys.readouterr()
    assert "whole pipeline, four people before a camera of 1280x720" in out
    assert "taken: " in out
    assert f"kept in {tmp_path / FILE}" in out
    assert "yunet: " in errors
    made = _made(tmp_path / FILE)
    assert main(["tune", "--refresh"]) == 0
    assert "measured on" in capsys.readouterr()[1]
    assert _made(tmp_path / FILE) == made


def test_where_nothing_can_be_kept_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring_room, "tune", lambda *_, **__: pytest.fail("minutes were spent"))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    assert main(["tune"]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    (tmp_path / FILE).mkdir()
    assert main(["tune"]) == 1
    assert f"{tmp_path / FILE} is a folder; remove it, then run `edgeface tune`" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", FILE]


@pytest.mark.parametrize("words", [["--seconds", "5"], ["--seconds", "many"]])
def test_seconds_out_of_range_are_a_mistake(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["tune", *words])
    assert end.value.code == 2


# Images.


def test_a_process_that_hides_the_first_one_is_in_no_image(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    assert not in_chroot(tmp_path)


def test_the_root_of_another_first_process_is_an_image(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/1").mkdir()
    (tmp_path / "proc/1/root").symlink_to(tmp_path)
    assert not in_chroot(tmp_path)
    (tmp_path / "proc/1/root").unlink()
    (tmp_path / "proc/1/root").symlink_to(tmp_path.parent)
    assert in_chroot(tmp_path)


def test_without_proc_it_is_one(tmp_path: Path) -> None:
    assert in_chroot(tmp_path)


def test_this_machine_is_none() -> None:
    assert not in_chroot()


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot(2) needs root")
def test_a_real_chroot_is_one(tmp_path: Path) -> None:
    """Python as it runs here, below a root that is a folder of this system, with /proc and without."""
    root = tmp_path / "root"
    program = (
        "import os, sys; from edgeface.machine import in_chroot; own = in_chroot(); os.chroot(sys.argv[1]); "
        "os.chdir('/'); print(own, in_chroot())"
    )
    (root / "proc").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split() == ["False", "True"], done.stderr
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "proc", "proc", str(root / "proc")], check=False).returncode:
        pytest.skip("/proc cannot be mounted here")
    try:
        for user in ("", "os.setuid(65534); "):
            run = program.replace("print(own", f"{user}print(own")
            done = subprocess.run(
                [sys.executable, "-c", run, str(root)], capture_output=True, text=True, check=False, timeout=60
            )
            assert done.stdout.split() == ["False", "True"], (user, done.stderr)
    finally:
        subprocess.run(["umount", str(root / "proc")], check=True)


def test_the_command_refuses_the_root_of_an_image(tmp_path: Path) -> None:
    with pytest.raises(EdgefaceError, match="root of an image"):
        command.run(build_parser().parse_args(["tune"]), root=tmp_path)


def test_instruction_sets(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nFeatures\t: fp asimd evtstrm aes crc32 cpuid asimddp\n")
    assert instruction_sets(cpuinfo=info) == ("aes", "asimd", "asimddp", "crc32", "fp")
    info.write_text("flags\t\t: fpu sse4_2 avx2 avx512_vnni amx_tile ibrs pti smep smap fma md_clear\n")
    assert instruction_sets(cpuinfo=info) == ("amx_tile", "avx2", "avx512_vnni", "fma", "sse4_2")
