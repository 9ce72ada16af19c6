"""Networks of every shape through the program: several answers of one pass, recurrent states, affect, no training."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import bundles
import cv2
import numpy as np
import pytest
from astronaut import astronaut, write_film, write_picture
from brokers import AnyBroker, Auditor
from bundles import EXPECTED, EXPRESSION, add_made, copy
from contract import hold

from edgeface import selftest
from edgeface.bundle import chosen_networks, open_bundle
from edgeface.cli.main import main
from edgeface.config import Config, Runtime
from edgeface.engine.networks import Networks
from edgeface.engine.states import States
from edgeface.engine.steps import Request
from edgeface.engine.turn import Worker
from edgeface.errors import BundleError
from edgeface.runtime import Runner, RunnerWrapper, load_network, run_faces
from edgeface.types import F32, Frame

ROOT = Path(__file__).parents[1]
ALL = {"attributes.age": "answers", "attributes.gender": "answers", "attributes.affect": "answers"}


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("EDGEFACE")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default bundle and both made networks."""
    folder = copy(tmp_path_factory.mktemp("made"))
    return add_made(add_made(folder, "answers"), "step")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "she.mp4", seconds=2.0)


def words(command: str, bundle: Path, *rest: object, **keys: object) -> list[str]:
    sets = [word for key, value in keys.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    return [command, "--bundle", str(bundle), *sets, *(str(word) for word in rest)]


@pytest.fixture
def analyze(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[dict[str, Any]], str]]:
    def run(bundle: Path, *rest: object, **keys: object) -> tuple[int, list[dict[str, Any]], str]:
        code = main(words("analyze", bundle, "--json", *rest, **keys))
        out, errors = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], errors

    return run


def runner_of(bundle: Path, name: str, runtime: Any) -> tuple[Any, Runner]:
    if runtime == "litert":
        pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    opened = open_bundle(bundle)
    network = opened.network(name)
    return network, load_network(opened, network, runtime)


class Counting(RunnerWrapper):
    """A runner that remembers how many faces each call had."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner)
        self.calls: list[int] = []

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
        self.calls.append(len(batch))
        return super().run(batch, states)


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
@pytest.mark.parametrize("name", list(EXPECTED))
def test_both_runtimes_compute_what_the_makers_did(made: Path, name: str, runtime: str) -> None:
    network, runner = runner_of(made, name, runtime)
    assert selftest.check(open_bundle(made), network, runner) < 1e-5


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
def test_states_travel_with_their_faces_also_through_padding(made: Path, runtime: str) -> None:
    network, runner = runner_of(made, "step", runtime)
    for count in (1, 3, 4, 5):
        before = np.arange(count, dtype=np.float32)[:, None]
        outputs = run_faces(runner, network, np.zeros((count, 8, 8, 1), np.uint8), {"count": before})
        np.testing.assert_allclose(outputs["counted"], before + 1)
        assert np.count_nonzero(outputs["ranks"] > 0.5, axis=1).tolist() == list(range(1, count + 1))


def test_a_self_test_may_start_from_a_memory(made: Path, tmp_path: Path) -> None:
    folder = add_made(copy(tmp_path), "step")
    later = {name: array + (name == "counted") * 4 for name, array in EXPECTED["step"].items()}
    later["ranks"] = (1 / (1 + np.exp(-10 * (4.5 - np.arange(12))))).astype(np.float32)[None]
    path = folder / "selftest" / "step.npz"
    np.savez(path, input=np.zeros((1, 8, 8, 1), np.uint8), count=np.array([[4.0]], np.float32), **later)
    tree = json.loads((folder / "manifest.json").read_text())
    data = path.read_bytes()
    tree["networks"][-1]["selftest"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(tree))
    network, runner = runner_of(folder, "step", "onnx")
    assert selftest.check(open_bundle(folder), network, runner) < 1e-5


def test_one_pass_answers_what_it_was_chosen_for(made: Path) -> None:
    counting: dict[str, Counting] = {}

    def wrap(name: str, runner: Runner) -> Runner:
        counting[name] = Counting(runner)
        return counting[name]

    config = Config(attributes={"age": "answers", "affect": "answers"}, runtime=Runtime(name="onnx", threads=1))
    networks = Networks(open_bundle(made), config, wrap=wrap)
    assert [(network.name, head.task) for network, head in networks.heads] == [
        ("answers", "age"),
        (bundles.GENDER, "gender"),
        (EXPRESSION, "expression"),
        ("answers", "affect"),
    ]
    pixels = np.stack([np.full((8, 8, 1), 51 * bright, np.uint8) for bright in range(4)])
    requests = [
        Request(network="answers", camera="main", track=row, pixels=pixels[row], quality=0.5, time_s=1.0)
        for row in range(4)
    ]
    said = networks.answer(requests)
    assert counting["answers"].calls == [4]
    assert [[answer.task for answer in own] for own in said] == [["age", "affect"]] * 4
    heads = {head.task: head for _, head in networks.heads}
    years = [heads["age"].estimate(own[0].probabilities).years for own in said]  # type: ignore[union-attr]
    assert years == pytest.approx([0, 20, 40, 60], abs=0.05)
    assert [own[1].probabilities[0] for own in said] == pytest.approx([-1, -0.6, -0.2, 0.2], abs=1e-5)


def test_a_picture(made: Path, analyze: Callable[..., Any], tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "she.png")
    code, (line,), errors = analyze(made, picture, **ALL)
    assert (code, errors) == (0, "")
    (face,) = line["faces"]
    keys = ["box", "score", "landmarks", "age", "gender", "expression", "affect", "known", "quality", "pose"]
    assert list(face) == keys
    bright = face["gender"]["probability"] if face["gender"]["label"] == "female" else 1 - face["gender"]["probability"]
    assert face["age"]["years"] == pytest.approx(100 * bright, abs=0.2)
    assert face["affect"] == {"valence": pytest.approx(2 * bright - 1, abs=0.002), "arousal": 0.25}
    assert face["known"]["affect"] is True
    assert main(words("analyze", made, picture, **ALL)) == 0
    text = (tmp_path / "edgeface-out" / "she.png.txt").read_text()
    assert f"valence {2 * bright - 1:+.2f}, arousal +0.25" in text


def test_a_recurrent_network_on_a_picture_takes_one_step_and_says_so(
    made: Path, analyze: Callable[..., Any], tmp_path: Path
) -> None:
    picture = tmp_path / "two.png"
    assert cv2.imwrite(str(picture), np.tile(cv2.resize(astronaut(), (256, 256)), (1, 2, 1)))
    code, (line,), errors = analyze(made, picture, **{"attributes.age": "step"})
    assert (code, errors) == (0, "edgeface: step looks at people over time; of a picture it sees one step\n")
    assert [face["age"]["years"] for face in line["faces"]] == [21, 21]


def test_a_recurrent_network_on_a_video_counts_its_looks(made: Path, analyze: Callable[..., Any], film: Path) -> None:
    code, (*frames, closing), errors = analyze(made, film, **{"attributes.age": "step"})
    assert (code, errors) == (0, "")
    (visit,) = closing["visits"]
    # Two seconds in its own beat of 0.2 s: its tenth look says 30, and the looks spread as 21 to 30 do.
    assert visit["age"]["samples"] == pytest.approx(10, abs=1)
    assert visit["age"]["spread"] == pytest.approx(np.std(np.arange(21, 31)), abs=0.4)
    assert "affect" not in frames[-1]["faces"][0]


def test_the_daemon_tells_affect_and_names_the_network_for_each_answer(
    made: Path, broker: AnyBroker, audit: Callable[..., Auditor], film: Path
) -> None:
    auditor = audit(broker)
    keys = {**ALL, "attributes.expression": False, "mqtt.host": "127.0.0.1", "mqtt.port": broker.port}
    child = subprocess.run(
        [sys.executable, "-m", "edgeface", *words("run", made, "--source", film, **keys, **{"node.id": "hall"})],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert child.returncode == 0, child.stderr
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])
    end = auditor.of("visits")[-1].json
    assert (end["event"], end["expression"]) == ("end", None)
    assert end["affect"]["arousal"] == 0.25
    assert end["affect"]["samples"] == end["age"]["samples"] >= 3
    assert end["affect"]["valence"] == pytest.approx(2 * end["age"]["years"] / 100 - 1, abs=0.01)
    notice = auditor.of("notice")[0].json
    asked = [(network["task"], network["name"]) for network in notice["networks"]]
    assert asked == [("detect", "yunet"), ("age", "answers"), ("gender", "answers"), ("affect", "answers")]
    assert "how pleasant and how excited a face looks" in notice["text"]
    dropped = sum(int(count) for count in auditor.of("health")[-1].json["mqtt"]["dropped"].values())
    hold(auditor, node="hall", gaps=dropped)


@pytest.mark.parametrize("command", ["analyze", "bench", "run", "verify"])
def test_random_weights_run_only_when_asked(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], broker: AnyBroker
) -> None:
    folder = add_made(copy(tmp_path), "answers", random_weights=True)
    picture = write_picture(tmp_path / "she.png")
    line = {
        "analyze": words("analyze", folder, "--json", picture),
        "bench": words("bench", folder, "--json", picture),
        "run": words("run", folder, "--source", picture, **{"mqtt.port": broker.port}),
        "verify": ["models", "verify", "--bundle", str(folder), "--json"],
    }[command]
    assert main(line) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"edgeface: {folder}/manifest.json: network answers has random weights")
    assert said.endswith("or give --allow-random to try the chain\n")
    assert said.count("\n") == 1
    if command in {"analyze", "verify"}:
        assert main([*line, "--allow-random"]) == 0


def test_the_list_marks_random_weights_and_tells_all_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = add_made(copy(tmp_path), "answers", random_weights=True)
    assert main(["models", "list", "--bundle", str(folder)]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("answers"))
    assert row.startswith("answers (random weights)  age gender affect  ")
    assert main(["models", "list", "--json", "--bundle", str(folder)]) == 0
    rows = json.loads(capsys.readouterr().out)["networks"]
    assert [row["network"] for row in rows if row["random_weights"]] == ["answers"]
    assert rows[-1]["answers"] == ["age", "gender", "affect"]


WINDOW = {"spacing_s": 0.2, "window": 20}


@pytest.mark.parametrize(
    ("name", "changes", "task", "said"),
    [
        pytest.param(
            "answers", {"time": WINDOW}, "age", "answers takes whole windows of frames, a device looks at", id="window"
        ),
        pytest.param(
            "answers", {}, "expression", "answers answers age and gender and affect, not expression; ", id="question"
        ),
        pytest.param(
            "step",
            {"task": "embedding", "head": {"kind": "embedding", "output": "ranks", "length": 12, "threshold": 0.5}},
            "age",
            r"step answers embedding, not age; correct \[attributes\]",
            id="embedding",
        ),
    ],
)
def test_networks_that_cannot_be_chosen(
    tmp_path: Path, name: str, changes: dict[str, Any], task: Any, said: str
) -> None:
    folder = add_made(copy(tmp_path), name, **changes)
    with pytest.raises(BundleError, match=said) as caught:
        chosen_networks(open_bundle(folder), Config(attributes={task: name}))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_window_is_verified_by_its_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = add_made(copy(tmp_path), "answers", time=WINDOW)
    assert main(["models", "verify", "--json", "--bundle", str(folder)]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert {row["detail"] for row in files if row["network"] == "answers"} == {
        "hash only, it takes whole windows of frames"
    }


GENDER = {"kind": "categorical", "labels": ["female", "male"], "output": "gender"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"also": {"age": GENDER}}, "answers cannot answer also that", id="its own question again"),
        pytest.param({"task": "stage", "head": {"kind": "stage"}}, "answers cannot answer also that", id="a stage"),
        pytest.param(
            {"also": {"gender": {**GENDER, "output": "sex"}}}, "answers.onnx gives no sex", id="an output not given"
        ),
    ],
)
def test_answers_that_a_manifest_cannot_promise(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BundleError, match=said):
        open_bundle(add_made(copy(tmp_path), "answers", **changes))


def test_a_head_that_cannot_answer_its_question(tmp_path: Path) -> None:
    folder = add_made(copy(tmp_path), "answers", also={"expression": {"kind": "affect", "output": "affect"}})
    config = Config(attributes={"expression": "answers"})
    with pytest.raises(BundleError, match="network answers cannot answer expression so"):
        Networks(open_bundle(folder), config)


def test_a_memory_is_of_one_person_and_ends_with_the_track(made: Path) -> None:
    network = open_bundle(made).network("step")
    states = States(most=3)
    people = [("door", 1), ("desk", 1), ("desk", 2)]
    assert states.recall(network, people)["count"].tolist() == [[0], [0], [0]]
    states.keep(network, people, {"counted": np.array([[1], [2], [3]], np.float32)})
    assert states.recall(network, people[::-1])["count"].tolist() == [[3], [2], [1]]
    states.retain("desk", [2])
    assert states.recall(network, people)["count"].tolist() == [[1], [0], [3]]
    states.keep(network, [("desk", 3), ("door", 1), ("desk", 4)], {"counted": np.full((3, 1), 7, np.float32)})
    assert len(states) == 3
    assert states.recall(network, people)["count"].tolist() == [[7], [0], [0]]
    states.retain("desk", ())
    states.retain("door", ())
    assert len(states) == 0


def test_the_worker_forgets_who_has_gone(made: Path) -> None:
    config = Config(attributes={"age": "step"}, runtime=Runtime(name="onnx", threads=1))
    networks = Networks(open_bundle(made), config)
    states = States()
    worker = Worker(networks, config, ["door", "desk"], new_id=lambda: "v", clock=lambda: 0.0, states=states)

    def turn(time_s: float, **images: np.ndarray) -> int:
        at = datetime.fromtimestamp(time_s, timezone.utc)
        frames = [
            Frame(image=image, camera=camera, index=0, time_s=time_s, captured_at=at)
            for camera, image in images.items()
        ]
        worker.turn(frames)
        return len(states)

    she, nobody = astronaut(), np.zeros((512, 512, 3), np.uint8)
    assert turn(0.0, door=she, desk=she) == 2
    assert turn(1.0, door=nobody, desk=she) == 2
    assert turn(4.0, door=nobody, desk=she) == 1
    worker.close("desk", "stopped")
    assert len(states) == 0


def test_networks_without_a_memory_leave_nothing(made: Path) -> None:
    network = open_bundle(made).network("answers")
    states = States()
    assert states.recall(network, [("door", 1)]) == {}
    states.keep(network, [("door", 1)], EXPECTED["answers"])
    assert len(states) == 0


def test_batches_of_one_network_are_read_as_one_but_for_what_is_no_answer(made: Path) -> None:
    """One batch of three gives too few rows: its faces have no answers, and those of the others keep theirs."""

    class Short(Counting):
        def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:
            outputs = super().run(batch, states)
            return {name: array[:-1] for name, array in outputs.items()} if len(self.calls) == 2 else outputs

    config = Config(attributes={"age": "answers", "affect": "answers"}, runtime=Runtime(name="onnx", threads=1))
    networks = Networks(open_bundle(made), config, wrap=lambda _, runner: Short(runner))
    requests = [
        Request(network="answers", camera="main", track=row, pixels=np.full((8, 8, 1), 20 * row, np.uint8), quality=0.5,
                time_s=1.0)
        for row in range(12)
    ]  # fmt: skip
    states = States()
    batches = [networks.prepare(requests[first : first + 4], states) for first in (0, 4, 8)]
    said = networks.read([networks.infer(batch, states) for batch in batches])
    assert [len(said[id(request)]) for request in requests] == [2] * 4 + [0] * 4 + [2] * 4
    (age,) = (head for _, head in networks.heads if head.task == "age")
    years = [age.estimate(said[id(requests[row])][0].probabilities).years for row in (0, 3, 8, 11)]  # type: ignore[union-attr]
    assert years == sorted(years)
    assert years[0] < years[1] < years[2] < years[3]
    assert networks.invalid["answers"] == 8
