"""A board that is too hot, under the real daemon: less is done in the stated order, told, and all of it comes back.

Here the governor is ten times as fast; ``scripts/slow heat`` does the same at its own pace.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from boards import PretendBoard
from brokers import AnyBroker, Auditor, eventually
from daemons import Child
from pretend_camera import CONFIG, PretendCamera

from edgeface.engine.levels import LEVELS

FASTER, PATIENCE_S = 10.0, 60.0
ORDER = [level.name for level in LEVELS]
HEAD = '[node]\nid = "hall"\n[detector]\nsize = "640x384"\n[visits]\nlost_after = 30.0\n'
TEXT = f"{HEAD}[cameras.door]\nrate = 1.0\n{CONFIG}"
"""An input above the smallest, so that every level leaves something out. A busy machine ends no visit, and at a frame a
second it is not too slow either: heat is the only cause."""


def holds(auditor: Auditor) -> list[dict[str, Any]]:
    """What `health` told of the levels, message by message; before the first frame nothing."""
    return [hold for heard in auditor.of("health") if (hold := heard.json["hold"]) is not None]


def problems(auditor: Auditor) -> list[list[str]]:
    """What `health` called wrong of this, message by message."""
    told = [heard.json["problems"] for heard in auditor.of("health")]
    return [[one["text"] for one in wrong if one["about"] == "degraded"] for wrong in told]


def test_heat_is_answered_in_the_stated_order_told_in_health_and_all_comes_back(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], tmp_path: Path
) -> None:
    auditor, board, camera = audit(broker), PretendBoard(tmp_path / "board"), PretendCamera(tmp_path / "camera")
    camera.show("face")
    config = tmp_path / "edgeface.toml"
    config.write_text(TEXT)
    child = run(
        broker.port,
        *("--config", config),
        environ={"PATH": f"{camera.programs}:{os.environ['PATH']}"},
        root=board.root,
        faster=FASTER,
        health_s=0.1,
    )

    def names() -> list[str]:
        return [name for name, _ in groupby(one["name"] for one in holds(auditor))]

    eventually(lambda: bool(auditor.of("visits")) and bool(holds(auditor)), "somebody", PATIENCE_S)
    assert names() == ["full"]
    board.heat(82.0)
    eventually(lambda: holds(auditor)[-1]["name"] == ORDER[-1], "the last level", PATIENCE_S)
    assert names() == ORDER
    assert holds(auditor)[-1]["causes"] == ["heat"]
    eventually(lambda: auditor.of("health")[-1].json["machine"]["temperature"] == 82.0)
    assert problems(auditor)[-1] == ["less is done (the board is too hot): faces are looked for in every fourth frame"]
    board.heat(60.0)
    eventually(lambda: holds(auditor)[-1]["name"] == "full", "everything", PATIENCE_S)
    assert names() == [*ORDER, *ORDER[-2::-1]]
    eventually(lambda: not problems(auditor)[-1], "no problem")
    assert child.ask(15) == 0, child.log()
    assert child.log().count("less is done, since the board is too hot") == len(ORDER) - 1
    ends = [heard.json["reason"] for heard in auditor.of("visits") if heard.json["event"] == "end"]
    assert ends == ["stopped"], "nobody's visit ended for it"
