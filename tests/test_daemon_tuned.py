"""A choice of `edgeface tune` under the real daemon: a stale one is told, a new one taken while people are followed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from astronaut import write_film
from brokers import AnyBroker, Auditor, eventually
from bundles import AGE, DEFAULT, EXPRESSION
from daemons import Child

from edgeface.bundle import open_bundle
from edgeface.config import Config
from edgeface.tuning import Choice, write
from edgeface.tuning.choice import FILE, Picked, fingerprint

PATIENCE_S = 90.0
"""The networks are proved in a child before each of the two runs of them."""


def choice(**changes: Any) -> Choice:
    found = fingerprint(open_bundle(DEFAULT), Config())
    picked = Picked(runtime="onnx", precision="fp16w", optimization="extended", threads=1, batch=4)
    return Choice(
        made="2026-11-30T12:00:00Z",
        seconds=60.0,
        fingerprint=msgspec.structs.replace(found, **changes),
        networks={AGE: picked},
        usual_ms=12.0,
        chosen_ms=10.0,
    )


def inference(auditor: Auditor) -> list[Any]:
    return [heard.json["inference"] for heard in auditor.of("health") if heard.payload]


@pytest.mark.timeout(300)
def test_a_stale_choice_is_told_and_a_new_one_is_taken_without_an_end_of_a_visit(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], tmp_path: Path
) -> None:
    auditor = audit(broker)
    state = tmp_path / "state"
    write(choice(processor="aarch64 Cortex-A53"), state / FILE)
    film = write_film(tmp_path / "she.mp4", seconds=240.0, fps=2.0)
    child = run(
        broker.port,
        *("--source", film, "--pace", "realtime", "--set", "node.id=hall"),
        environ={"STATE_DIRECTORY": str(state)},
    )
    eventually(lambda: bool(inference(auditor)), "health", timeout_s=PATIENCE_S)
    told = inference(auditor)[0]
    assert told["tuning"]["state"] == "stale"
    assert told["tuning"]["text"] == (
        "what was measured on 2026-11-30 was for another processor (aarch64 Cortex-A53): the bundle's order holds; "
        "run `edgeface tune` (with sudo for the service)"
    )
    usual = told["networks"][AGE]
    eventually(lambda: any(heard.json["event"] == "start" for heard in auditor.of("visits")), timeout_s=PATIENCE_S)
    write(choice(), state / FILE)
    eventually(lambda: inference(auditor)[-1]["tuning"]["state"] == "fresh", "the choice", timeout_s=PATIENCE_S)
    told = inference(auditor)[-1]
    assert told["networks"][AGE] == {**usual, "precision": "fp16w"} != usual
    assert told["networks"][EXPRESSION]["precision"] == "int8"
    assert child.ask(15) == 0, child.log()
    ends = [heard.json["reason"] for heard in auditor.of("visits") if heard.json["event"] == "end"]
    assert ends == ["stopped"], "nobody's visit ended for it"
    assert "what runs best on this board was measured anew" in child.log()
