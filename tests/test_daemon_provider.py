"""Providers under the real daemon: it works at once, says what on, and goes over to TensorRT once that is built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accelerators import pretend
from astronaut import write_film
from brokers import AnyBroker, Auditor, eventually
from daemons import Child, Manager


def inference(auditor: Auditor) -> list[Any]:
    return [heard.json["inference"] for heard in auditor.of("health") if heard.payload]


def providers(told: Any) -> set[str]:
    return {network["provider"] for network in told["networks"].values()}


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "she.mp4", seconds=60.0)


def test_it_works_on_cuda_until_the_engines_are_built(
    broker: AnyBroker,
    audit: Callable[..., Auditor],
    run: Callable[..., Child],
    manager: Manager,
    long: Path,
    tmp_path: Path,
) -> None:
    auditor = audit(broker)
    go, state = tmp_path / "go", tmp_path / "state"
    state.mkdir()
    environ = {**manager.environ, "STATE_DIRECTORY": str(state), "FAKE_GO": str(go)}
    child = run(
        broker.port,
        *("--source", long, "--pace", "realtime", "--set", "node.id=hall"),
        environ=environ,
        first_path=pretend(tmp_path / "system"),
    )
    eventually(lambda: bool(inference(auditor) and inference(auditor)[-1]["building"]), "the build in health")
    told = inference(auditor)[-1]
    assert told["building"]["provider"] == "tensorrt"
    assert providers(told) == {"cuda"}
    assert {network["precision"] for network in told["networks"].values()} == {"fp32", "fp16w"}
    assert "edgeface's own" in told["onnxruntime"]
    words = manager.words()
    assert [word for word in words[: words.index("READY=1")] if word.startswith("EXTEND_TIMEOUT_USEC=2")]
    assert any("tensorrt builds its engines" in word for word in words if word.startswith("STATUS="))
    fed = manager.count("WATCHDOG=1")
    eventually(lambda: manager.count("WATCHDOG=1") > fed + 2, "the watchdog's food while it is built")
    auditor.wait_for(lambda a: any(heard.json["event"] == "start" for heard in a.of("visits")))
    go.touch()
    eventually(lambda: providers(inference(auditor)[-1]) == {"tensorrt"}, f"TensorRT: {child.log()}")
    told = inference(auditor)[-1]
    assert (told["building"], told["fallback"]) == (None, None)
    assert child.ask(15) == 0, child.log()
    events = [(heard.json["event"], heard.json.get("reason")) for heard in auditor.of("visits")]
    ends = [event for event in events if event[0] == "end"]
    assert ends == [("end", "stopped")], "the visit went on while the networks were exchanged"
    assert "the engines are built, after" in child.log()
    # The next start finds them: nothing is built.
    go.unlink()
    again = run(
        broker.port,
        *("--source", long, "--pace", "realtime", "--set", "node.id=hall"),
        environ=environ,
        first_path=tmp_path / "system",
    )
    told_before = len(inference(auditor))
    eventually(lambda: len(inference(auditor)) > told_before, f"health: {again.log()}")
    assert providers(inference(auditor)[told_before]) == {"tensorrt"}
    assert again.ask(15) == 0, again.log()
    assert "builds its engines" not in again.log()


@pytest.mark.parametrize(
    ("provider", "mode", "words"),
    [
        ("cuda", "raises", "CUDA failure 35: CUDA driver version is insufficient"),
        ("auto", "dies", "its process died"),
    ],
)
def test_what_does_not_load_is_one_line_and_the_processor_works(
    broker: AnyBroker,
    audit: Callable[..., Auditor],
    run: Callable[..., Child],
    tmp_path: Path,
    provider: str,
    mode: str,
    words: str,
) -> None:
    auditor = audit(broker)
    film = write_film(tmp_path / "she.mp4", seconds=1.5)
    child = run(
        broker.port,
        *("--source", film, "--set", f"runtime.provider={provider}", "--set", "runtime.name=onnx"),
        environ={"FAKE_CUDA": mode, "FAKE_LISTED": "CUDAExecutionProvider"},
        first_path=pretend(tmp_path / "system"),
    )
    assert child.wait() == 0, child.log()
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])
    told = inference(auditor)[-1]
    assert providers(told) == {"cpu"}
    assert words in told["fallback"]
    lines = [line for line in child.log().splitlines() if "the networks run on cpu" in line]
    assert len(lines) == 1
    assert " WARNING " in lines[0]
    assert words in lines[0]
    assert "Traceback" not in child.log()
    assert [heard.json["event"] for heard in auditor.of("visits")][-1] == "end"


def test_a_build_that_fails_is_one_line_and_the_node_works_on(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], long: Path, tmp_path: Path
) -> None:
    auditor = audit(broker)
    (tmp_path / "state").mkdir()
    child = run(
        broker.port,
        *("--source", long, "--pace", "realtime"),
        environ={"FAKE_TENSORRT": "left out", "STATE_DIRECTORY": str(tmp_path / "state")},
        first_path=pretend(tmp_path / "system"),
    )
    eventually(lambda: bool(inference(auditor) and inference(auditor)[-1]["fallback"]), f"the failure: {child.log()}")
    told = inference(auditor)[-1]
    assert providers(told) == {"cuda"}
    assert "leaves TensorrtExecutionProvider out" in told["fallback"]
    assert child.ask(15) == 0
    assert child.log().count("leaves TensorrtExecutionProvider out") == 1
