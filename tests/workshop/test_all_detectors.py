"""The table of all detectors: which is best per millisecond, and that the page says what was measured."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.__main__ import main
from converters.evaluation.all_detectors import spread
from converters.evaluation.all_detectors_page import PAGE, best_per_ms, page, precision, table, unmatched
from converters.evaluation.runners import CountingRunner
from converters.measurements.detectors import DETECTORS, FIGURES, DetectorTable, Row, load


def row(name: str, ap: tuple[float, float, float] | None, cpu_ms: float) -> Row:
    levels = None if ap is None else dict(zip(("easy", "medium", "hard"), ap, strict=True))
    return Row(
        detector=name, title=name, size="64x64", parameters=9, macs=None, ap=levels, cpu_ms=cpu_ms, landmarks=False
    )


FEW = (
    row("quick and blind", (0.2, 0.1, 0.0), 0.1),
    row("fair", (0.8, 0.7, 0.3), 2.0),
    row("slower and no better", (0.8, 0.7, 0.3), 3.0),
    row("thorough", (0.9, 0.9, 0.8), 50.0),
    row("untrained", None, 400.0),
)


def test_the_best_per_millisecond_must_find_faces() -> None:
    """Hardly any precision in hardly any time is no good detector."""
    assert best_per_ms(FEW).detector == "fair"
    assert best_per_ms(FEW[:1]).detector == "quick and blind"
    assert [one.detector for one in unmatched(FEW)] == ["quick and blind", "fair", "thorough"]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 100)), min_size=1, max_size=12))
def test_nothing_cheaper_matches_the_front(values: list[tuple[float, float]]) -> None:
    rows = [row(str(number), (ap, ap, ap), ms) for number, (ap, ms) in enumerate(values)]
    front = unmatched(rows)
    assert front
    for one in rows:
        beaten = any(other.cpu_ms <= one.cpu_ms and precision(other) >= precision(one) for other in front)
        assert beaten, "every row is matched by one of the front"
    costs = [one.cpu_ms for one in front]
    assert costs == sorted(costs)


def test_the_table_marks_what_was_never_trained() -> None:
    field = DetectorTable(pictures=3, timed=2, machine="made up", command="none", rows=FEW)
    lines = table(field).splitlines()
    assert len(lines) == 2 + len(FEW)
    assert "| random weights |" in lines[-1]
    assert "**fair** (best per ms)" in table(field)
    assert "slower and no better" in table(field)
    assert "**slower and no better**" not in table(field)


@pytest.mark.parametrize(("count", "most", "expected"), [(274, 40, 40), (3, 40, 3), (274, 4, 4), (0, 4, 0)])
def test_timed_photographs_are_spread_over_the_set(count: int, most: int, expected: int) -> None:
    pictures: Any = list(range(count))
    chosen: Any = spread(pictures, most)
    assert len(chosen) == len(set(chosen)) == expected
    assert list(chosen) == sorted(chosen)


def test_multiply_accumulates_are_those_of_every_call() -> None:
    class Silent:
        file, batches, sizes, provider = None, (1,), (), "cpu"

        def run(self, *_: Any) -> dict[str, Any]:
            return {}

    counted = CountingRunner(Silent(), prod)  # type: ignore[arg-type]
    for batch in (1, 2):
        counted.run(np.zeros((batch, 3, 8, 12), np.float32))
    assert counted.macs == 3 * 3 * 8 * 12


@pytest.mark.skipif(not FIGURES.is_file(), reason="python -m converters evaluate all-detectors was not run yet")
def test_the_page_says_what_was_measured() -> None:
    field = load()
    assert PAGE.read_text("utf-8") == page(field)
    assert {one.detector for one in field.rows} == set(DETECTORS)
    assert field.pictures == 274


def test_the_old_name_of_the_command_works_and_says_the_new_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("converters.evaluation.all_detectors_page.PAGE", tmp_path / "page.md")
    written, warnings = {}, {}
    for name in ("field", "all-detectors"):
        assert main(["evaluate", name, "--page"]) == 0
        written[name] = (tmp_path / "page.md").read_text("utf-8")
        warnings[name] = [record.getMessage() for record in caplog.records]
        caplog.clear()
    assert written["field"] == written["all-detectors"]
    assert warnings == {
        "field": ["`evaluate field` is called `evaluate all-detectors` now; the old name still works"],
        "all-detectors": [],
    }
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    listed = capsys.readouterr().out
    assert re.search(r"^ +all-detectors\b", listed, flags=re.MULTILINE)
    assert not re.search(r"^ +field\b", listed, flags=re.MULTILINE)
