"""A board that gets too hot and cools, at its own pace: what the real daemon leaves out, and when all of it is back.

::

    scripts/slow heat

The board is a thermal zone made of files; daemon, Mosquitto, camera (a pretended one) and networks are as always. It is
good when every level comes in the stated order, `health` says so each time, and everything is done again within a
minute after the board has cooled. ``tests/test_daemon_heat.py`` does the same ten times as fast.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from boards import PretendBoard  # noqa: E402  the tests' own
from brokers import Auditor, Mosquitto  # noqa: E402
from daemons import Child  # noqa: E402
from pretend_camera import PretendCamera  # noqa: E402
from test_daemon_heat import ORDER, TEXT, holds  # noqa: E402

from edgeface.cli.common import Parser  # noqa: E402

HOT_C, COOL_C = 82.0, 60.0
BACK_S = 60.0
"""Within so many seconds everything is to be done again."""
PATIENCE_S = 300.0


def names(auditor: Auditor) -> list[str]:
    """The levels that `health` told of, in order."""
    return [name for name, _ in groupby(one["name"] for one in holds(auditor))]


def until(auditor: Auditor, true: Callable[[Sequence[str]], bool]) -> float:
    """Seconds until the levels are as they should be."""
    begun_s = time.monotonic()
    while not true(names(auditor)):
        passed_s = time.monotonic() - begun_s
        assert passed_s < PATIENCE_S, f"waited {passed_s:.0f} s; the levels were {names(auditor)}"
        time.sleep(0.5)
    return time.monotonic() - begun_s


def main() -> int:
    """Heat, cool, compare; 1 where it is not as it should be."""
    Parser(prog="scripts/slow heat", description=(__doc__ or "").splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory(prefix="edgeface-heat-") as made:
        folder = Path(made)
        board, camera = PretendBoard(folder / "board"), PretendCamera(folder / "camera")
        camera.show("face")
        (folder / "edgeface.toml").write_text(TEXT)
        (folder / "run").mkdir()
        broker = Mosquitto(folder)
        broker.start()
        auditor = Auditor(broker.port)
        words = ("--config", folder / "edgeface.toml")
        environ = {"PATH": f"{camera.programs}:{os.environ['PATH']}"}
        child = Child(folder / "run", broker.port, words, environ, root=board.root)
        try:
            until(auditor, lambda told: list(told) == ["full"])
            board.heat(HOT_C)
            down_s = until(auditor, lambda told: told[-1] == ORDER[-1])
            board.heat(COOL_C)
            back_s = until(auditor, lambda told: told[-1] == "full")
        finally:
            child.ask(15)
            auditor.close()
            broker.stop()
        told = names(auditor)
    for name in told:
        print(f"     {name}")
    good = told == [*ORDER, *ORDER[-2::-1]] and back_s <= BACK_S
    print(
        f"{datetime.now(timezone.utc):%Y-%m-%d}: {'good' if good else 'BAD'}: at the last of {len(ORDER) - 1} levels "
        f"{down_s:.0f} s after {HOT_C:g} degrees, everything back {back_s:.0f} s after {COOL_C:g} ({BACK_S:g} allowed)"
    )
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
