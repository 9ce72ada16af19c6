"""Bundles are proved in a child: what never ends, what wants all memory, what is not what its manifest says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from bundles import (
    AGE,
    DEFAULT,
    EXPRESSION,
    FIXTURES,
    GENDER,
    PICTURE,
    Tree,
    add_made,
    copy,
    network,
    stated,
    write_manifest,
)

from edgeface.bundle import Bundle, open_bundle
from edgeface.config import Config, Runtime
from edgeface.errors import BundleError, EdgefaceError
from edgeface.proof import prove, prove_once, steps_of, untried_networks
from edgeface.proof.proven import STAMPS, fingerprint
from edgeface.proof.steps import Step, chain_step, memory_for, seconds_for
from edgeface.proof.trial import try_faces
from edgeface.runtime import RunnerWrapper, load_network
from edgeface.selftest import stored_input
from edgeface.types import F32


def with_hostile(folder: Path, name: str) -> Path:
    """Put a network of tests/fixtures that no device may wait for into a copy of the default bundle."""
    made = add_made(copy(folder), "answers")
    data = (FIXTURES / f"{name}.onnx").read_bytes()
    (made / f"{name}.onnx").write_bytes(data)
    np.savez(made / "selftest" / f"{name}.npz", input=PICTURE, gender=np.array([[0.4, 0.6]], np.float32))

    def change(tree: Tree) -> None:
        entry = network(tree, "answers")
        del entry["files"]["litert"], entry["also"]
        entry |= {"name": name, "task": "gender", "selftest": stated(made, f"selftest/{name}.npz")}
        entry["head"] = {"kind": "categorical", "labels": ["female", "male"], "output": "gender"}
        entry["files"]["onnx"][0] |= {**stated(made, f"{name}.onnx"), "outputs": {"gender": "gender"}, "batches": [1]}

    write_manifest(made, change)
    return made


def opened(folder: Path) -> Bundle:
    return open_bundle(folder, allow_random=True)


def step_of(bundle: Bundle, name: str, *, seconds: float | None = None) -> Step:
    found = next(step for step in steps_of(bundle) if step.network == name and step.runtime == "onnx")
    return found if seconds is None else msgspec.structs.replace(found, seconds=seconds)


def test_a_network_that_never_ends_is_ended_and_the_next_is_tried(tmp_path: Path) -> None:
    bundle = opened(with_hostile(tmp_path, "endless"))
    steps = [step_of(bundle, "endless", seconds=1.5), step_of(bundle, EXPRESSION)]
    ended, fine = prove(bundle, steps)
    assert (ended.result, ended.gave_up) == ("bad", True)
    assert "network endless (endless.onnx) cannot be run: it was ended after 2 seconds" in ended.detail
    assert (fine.step.network, fine.result) == (EXPRESSION, "ok")


def test_a_network_that_wants_all_memory_does_not_get_it(tmp_path: Path) -> None:
    bundle = opened(with_hostile(tmp_path, "greedy"))
    (outcome,) = prove(bundle, [step_of(bundle, "greedy")])
    assert outcome.result == "bad"
    assert "greedy" in outcome.detail
    assert memory_for(bundle) < 1_000_000_000


def test_a_child_does_not_outlive_whoever_started_it(tmp_path: Path) -> None:
    folder = with_hostile(tmp_path, "endless")
    code = (
        "import sys; from pathlib import Path; from edgeface.bundle import open_bundle;"
        "from edgeface.proof import prove, steps_of; bundle = open_bundle(Path(sys.argv[1]), allow_random=True);"
        "list(prove(bundle, [step for step in steps_of(bundle) if step.network == 'endless']))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(folder)])
    listed = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    # What has begun to compute has asked for its end long before.
    child = wait_for(lambda: next((c for c in listed.read_text().split() if seconds_used(c) > 1.5), None))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_for(lambda: not Path(f"/proc/{child}").exists() or state(child) == "Z")


def wait_for(what: Callable[[], Any], seconds: float = 60) -> Any:
    end_s = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < end_s:
        time.sleep(0.02)
    return found


def seconds_used(pid: str) -> float:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]) / os.sysconf("SC_CLK_TCK")


def state(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_the_default_chain_holds_in_both_runtimes() -> None:
    bundle = opened(DEFAULT)
    steps = [chain_step(bundle, Config(runtime=Runtime(name=name))) for name in ("onnx", "litert")]
    for outcome in prove(bundle, steps):
        assert outcome.result in ("ok", "untried"), outcome.detail
        if outcome.result == "ok":
            # The stored picture has a face, so crops and heads saw one.
            assert outcome.detail == f"{len({'yunet', AGE, GENDER, EXPRESSION})} networks, 1 faces"


def head_of(name: str, **changes: Any) -> Callable[[Tree], None]:
    return lambda tree: network(tree, name)["head"].update(changes)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        pytest.param(
            EXPRESSION,
            lambda tree: network(tree, EXPRESSION)["head"]["labels"].pop(),
            r"gives \(7,\) values for 6 labels",
            id="six labels for seven outputs",
        ),
        pytest.param(AGE, head_of(AGE, support=[1.0, 2.0]), r"for 2 ages", id="ages"),
        pytest.param(
            "retinaface",
            head_of("retinaface", prior_sizes=[[16], [64, 128], [256, 512]]),
            r"output loc has shape \(1, 2520, 4\) at 320x192, its head \(1, 1560, 4\)",
            id="priors",
        ),
        pytest.param(
            "answers",
            head_of("answers", output="affect"),
            r"network answers: .* \(2,\) values instead of years",
            id="a head for another output",
        ),
        pytest.param(
            "answers",
            lambda tree: network(tree, "answers")["also"]["gender"].update(output="affect"),
            "output affect is no probabilities; set the head's activation",
            id="logits",
        ),
        pytest.param(
            "answers",
            lambda tree: network(tree, "answers")["input"].update(height=16, width=16),
            "self-test of network answers",
            id="another size",
        ),
    ],
)
def test_a_network_that_is_not_what_its_manifest_says(
    tmp_path: Path, name: str, change: Callable[[Tree], Any], words: str
) -> None:
    folder = add_made(copy(tmp_path), "answers")

    def alter(tree: Tree) -> None:
        change(tree)
        # Sizes of the TFLite file are held to the input's before anything runs.
        network(tree, "answers")["files"].pop("litert")

    write_manifest(folder, alter)
    bundle = opened(folder)
    (outcome,) = prove(bundle, [step_of(bundle, name)])
    assert outcome.result == "bad"
    assert re.search(words, outcome.detail), outcome.detail


def test_limits_follow_what_is_declared() -> None:
    bundle = opened(DEFAULT)
    age, expression = (bundle.network(name) for name in (AGE, EXPRESSION))
    # The network of expression multiplies more, that of age has the larger picture.
    assert 30 < seconds_for(age, age.files["onnx"][0]) < seconds_for(expression, expression.files["onnx"][0]) < 60
    assert chain_step(bundle, Config()).seconds < 120


def test_what_was_not_tried_is_told() -> None:
    bundle = opened(DEFAULT)
    assert [found.name for found, _ in untried_networks(bundle, [])] == [n.name for n in bundle.manifest.networks]


def test_a_bundle_is_proved_once_for_these_versions(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    bundle, environ = opened(folder), {"STATE_DIRECTORY": str(tmp_path / "state")}
    prove_once(bundle, Config(), environ)
    assert (tmp_path / "state" / STAMPS).read_text() == f"{fingerprint(bundle, Config())}\n"
    # A file that is gone tells whether anything runs.
    (folder / "yunet.fp32.onnx").unlink()
    prove_once(bundle, Config(), environ)
    with pytest.raises(BundleError, match=r"yunet\.fp32\.onnx cannot be read"):
        prove_once(bundle, Config(attributes={"age": False}), environ)
    with pytest.raises(BundleError):
        prove_once(bundle, Config(), {"STATE_DIRECTORY": str(tmp_path / "other")})
    assert (tmp_path / "other" / STAMPS).read_text() == ""


def test_without_a_state_folder_nothing_is_proved(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    (folder / "yunet.fp32.onnx").unlink()
    (tmp_path / "file").write_text("no folder")
    for environ in ({}, {"STATE_DIRECTORY": str(tmp_path / "file" / "state")}, {"XDG_STATE_HOME": "here"}):
        prove_once(opened(folder), Config(), environ)


def test_nothing_is_made_in_a_home_directory_unasked(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    bundle = opened(copy(tmp_path))
    prove_once(bundle, Config(), home)
    assert not (tmp_path / ".local").exists()
    own = tmp_path / ".local" / "state" / "edgeface"
    own.mkdir(parents=True)
    prove_once(bundle, Config(), home)
    assert (own / STAMPS).read_text()


def test_a_start_that_gives_up_may_be_tried_again(tmp_path: Path) -> None:
    environ = {"STATE_DIRECTORY": str(tmp_path / "state")}
    with pytest.raises(EdgefaceError, match="was ended after 0 seconds") as caught:
        prove_once(opened(copy(tmp_path)), Config(), environ, most_s=0.01)
    assert caught.value.exit_code == 1


def test_a_start_stops_at_a_chain_that_does_not_hold(tmp_path: Path) -> None:
    folder = copy(tmp_path, head_of(EXPRESSION, labels=["a", "b", "c"]))
    (tmp_path / "picture.jpg").write_bytes(b"")
    command = [sys.executable, "-m", "edgeface", "run", "--bundle", str(folder), "--source", str(tmp_path)]
    environ = {**os.environ, "STATE_DIRECTORY": str(tmp_path / "state")}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=120, check=False)
    assert done.returncode == 2
    assert "a network for expression gives (7,) values for 3 labels; install the bundle again" in done.stderr
    assert "Traceback" not in done.stderr


class NumberlessRunner(RunnerWrapper):
    """Gives no number for any face but the first of a call."""

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        outputs = {name: array.copy() for name, array in super().run(batch, states).items()}
        for array in outputs.values():
            array[1:] = np.nan
        return outputs


@pytest.mark.parametrize("name", [AGE, EXPRESSION])
def test_a_start_goes_on_where_some_faces_get_no_number_and_an_install_does_not(name: str) -> None:
    """What is no number weighs nothing in service, and must not end the node."""
    bundle = open_bundle(DEFAULT)
    entry = bundle.network(name)
    runner = NumberlessRunner(load_network(bundle, entry, "onnx"))
    pixels = stored_input(bundle, entry)
    try_faces(entry, runner, pixels, finite=False)
    with pytest.raises(BundleError, match="is not a number"):
        try_faces(entry, runner, pixels)
