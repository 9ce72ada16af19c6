"""What a quantized variant loses is judged over all and by group."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from tiny import write_tiny

from converters.building.maker import Maker
from converters.bundles.gates import check_limits
from converters.bundles.recorded import recorded
from converters.datasets.labels import years_off
from converters.evaluation.groups import Loss, paired_loss
from converters.measurements.trials import Trial, find_trial, read_trials, record
from converters.quantization.compare_variants import Comparison, half_of
from converters.quantization.judge import SEARCHED, decided, format_trial, judge, judge_network
from converters.recipes.reading import read_recipe
from converters.recipes.schema import Limit, Quantize, Recipe
from edgeface.errors import EdgefaceError


def loss(group: str, value: float, count: int = 1000, reach: float = 0.001) -> Loss:
    return Loss(group=group, value=value, count=count, low=value - reach, high=value + reach)


def judged(losses: list[Loss], limit: Limit, agreement: float | None = None, **change: object) -> Trial:
    found = Comparison(losses=losses, agreement=agreement, detail={"accuracy": 0.91234})
    facts: dict[str, object] = {
        "network": "small", "runtime": "onnx", "precision": "int8", "how": Quantize(keep=("^stem$",)),
        "sha256": "5" * 64, "sizes": (40, 100), "seen": ("made faces", 1000),
    }  # fmt: skip
    return judge(found, limit, **(facts | change))  # type: ignore[arg-type]


POINTS, EXPRESSION, YEARS = Limit(points=0.3), Limit(points=0.5, agreement=0.98), Limit(years=0.1)


@pytest.mark.parametrize(
    ("losses", "limit", "agreement", "because"),
    [
        pytest.param([loss("all", 0.002)], POINTS, 0.99, (), id="within"),
        pytest.param([loss("all", 0.003)], POINTS, 0.99, ("all",), id="under means under"),
        pytest.param([loss("all", 0.02)], EXPRESSION, 0.981, (), id="agreement suffices"),
        pytest.param([loss("all", 0.02)], EXPRESSION, 0.979, ("all",), id="neither"),
        pytest.param([loss("all", 0.09)], YEARS, None, (), id="years"),
        pytest.param(
            [loss("all", 0.001), loss("race Black", 0.009)], POINTS, 0.99, ("race Black",), id="a group is hurt"
        ),
        pytest.param([loss("all", 0.001), loss("race Black", 0.009, 99)], POINTS, 0.99, (), id="a small group"),
        pytest.param(
            [loss("all", 0.001), loss("age 60-69", 0.009, reach=0.01)], POINTS, 0.99, (), id="a group by chance"
        ),
        pytest.param(
            [loss("AP easy 320x320", 0.004), loss("AP hard 320x320", 0.012)], Limit(points=1.0), None,
            ("AP hard 320x320",), id="each level",
        ),
    ],
)  # fmt: skip
def test_limits_hold_over_all_and_in_large_groups(
    losses: list[Loss], limit: Limit, agreement: float | None, because: tuple[str, ...]
) -> None:
    found = judged(losses, limit, agreement)
    assert found.because == because
    assert found.within == (not because)
    words = format_trial(found)
    assert ("past the limit: " + ", ".join(because) if because else "within the limit") in words
    assert "40 % of the bytes" in words


def test_figures_are_in_the_unit_of_the_limit() -> None:
    points, years = judged([loss("all", 0.002)], POINTS, 0.99), judged([loss("all", 0.0456)], YEARS)
    assert (points.points, points.years, points.low, points.high) == (0.2, None, 0.1, 0.3)
    assert (years.points, years.years, years.low) == (None, 0.046, 0.045)
    assert points.keep == ("^stem$",)


@pytest.mark.parametrize(
    ("fresh", "because"),
    [
        pytest.param([loss("AP easy 320x320", 0.009), loss("AP hard 320x320", 0.004)], (), id="holds"),
        pytest.param(
            [loss("AP easy 320x320", 0.002), loss("AP hard 320x320", 0.012)],
            ("AP hard 320x320, other half",),
            id="chosen for the pictures it was searched on",
        ),
    ],
)
def test_what_was_searched_for_must_hold_on_other_pictures(fresh: list[Loss], because: tuple[str, ...]) -> None:
    limit = Limit(points=1.0)
    whole = judged([loss("AP easy 320x320", 0.003), loss("AP hard 320x320", 0.006)], limit)
    seen = Comparison(losses=fresh, agreement=None, detail={})
    found = decided(msgspec.structs.replace(whole, note=SEARCHED), seen, limit)
    assert (found.because, found.within) == (because, not because)
    assert found.points == 0.6
    assert f"on the half that was not searched {max(one.value for one in fresh) * 100:.3f}" in format_trial(found)


def test_a_paired_difference_is_narrower_than_either_form() -> None:
    dice = np.random.default_rng(1)
    before = (dice.random(3000) < 0.3).astype(float)
    after = np.where(dice.random(3000) < 0.01, 1 - before, before)
    whole = paired_loss(before, after, {})[0]
    assert whole.low is not None
    assert whole.high is not None
    assert whole.high - whole.low < 0.01
    assert whole.low <= float(after.mean() - before.mean()) <= whole.high


def test_a_form_is_known_by_how_it_is_made(tmp_path: Path) -> None:
    path = tmp_path / "trials.json"
    first = judged([loss("all", 0.002)], POINTS, 0.99)
    plain = judged([loss("all", 0.02)], POINTS, 0.9, how=Quantize())
    record([first, plain], path)
    record([judged([loss("all", 0.001)], POINTS, 0.995)], path)
    assert [(trial.points, trial.keep) for trial in read_trials(path)] == [(2.0, ()), (0.1, ("^stem$",))]
    assert first.is_of("small", "onnx", "int8", Quantize(keep=("^stem$",)))
    assert not first.is_of("small", "onnx", "int8", Quantize())
    assert not first.is_of("small", "onnx", "int8", Quantize(keep=("^stem$",), equalise=True))


def test_the_halves_of_the_dev_pictures_share_nothing() -> None:
    listed = list(range(11))
    search, decide = half_of(listed, "search"), half_of(listed, "decide")
    assert not set(search) & set(decide)
    assert sorted([*search, *decide]) == half_of(listed, "all") == listed


def test_a_form_is_judged_by_every_question_and_each_must_hold(tmp_path: Path) -> None:
    path, entry = tmp_path / "trials.json", read_recipe("face-api-age").networks["face-api-age"]
    age = judged([loss("all", 0.05)], YEARS, network="face-api-age", precision="int8w", how=None)
    gender = judged([loss("all", 0.02)], POINTS, network="face-api-age", precision="int8w", how=None)
    record([age, msgspec.structs.replace(gender, task="gender")], path)
    trials = read_trials(path)
    assert [(trial.task, trial.within) for trial in trials] == [(None, True), ("gender", False)]
    assert [find_trial(trials, "face-api-age", entry, "onnx", "int8w", task=trial.task) for trial in trials] == trials
    assert [format_trial(trial).split(": ")[1][:28] for trial in trials] == [
        "loses 0.050 years (0.049 to ", "loses 2.000 points of gender",
    ]  # fmt: skip
    recipe = read_recipe("face-api-age")
    (network,) = (n for manifest in recorded() for n in manifest.networks if n.name == "face-api-age")
    with pytest.raises(EdgefaceError, match="face-api-age onnx int8w loses more than its limit"):
        check_limits(recipe, trials, [network])
    check_limits(recipe, trials[:1], [network])


def test_a_bin_is_missed_by_the_years_beyond_it() -> None:
    assert [years_off(years, "20-29") for years in (18.5, 20.0, 29.9, 31.0)] == [1.5, 0, 0, 1.0]
    assert [years_off(years, "33") for years in (30.0, 33.5)] == [3.0, 0.5]


class StandIn:
    """A bench that finds nothing lost, and keeps which half it was asked for."""

    halves: ClassVar[list[str]] = []
    set, count = "made faces", 1000

    def __init__(
        self, maker: Maker, _recipe: Recipe, _crops: object, half: str = "all", *, task: str | None = None
    ) -> None:
        self._half, self.task = half, task or maker.network.task

    def run(self, *_: object, **__: object) -> None:
        self.halves.append(self._half)

    def compare(self, *_: object) -> Comparison:
        return Comparison(losses=[loss("all", 0.001)], agreement=0.99, detail={})


def test_a_form_that_cannot_be_made_stops_only_what_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EDGEFACE_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr("converters.quantization.compare_variants.Comparator", StandIn)
    recipe = write_tiny(tmp_path)
    text = recipe.read_text("utf-8")
    recipe.write_text(text.replace("measured_with", 'try = ["int8"]\nmeasured_with'), "utf-8")
    found = list(judge_network("tiny", read_recipe(str(recipe)), None))  # type: ignore[arg-type]
    assert [(trial.precision, trial.decided) for trial in found] == [("int8w", None)]
    file = tmp_path / "build" / "networks" / "tiny" / "tiny.int8w.onnx"
    assert found[0].sha256 == sha256(file.read_bytes()).hexdigest()
    assert set(StandIn.halves) == {"all"}
    assert "tiny onnx int8 is not tried: tiny has no calibrated ranges" in caplog.text
    recipe.write_text(text.replace('"int8w"', '"int8w", "int8"'), "utf-8")
    with pytest.raises(EdgefaceError, match="tiny has no calibrated ranges"):
        list(judge_network("tiny", read_recipe(str(recipe)), None))  # type: ignore[arg-type]
