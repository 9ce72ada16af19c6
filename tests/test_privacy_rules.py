"""What `[privacy]` forbids, and what it means: purposes, bands of age, hours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bundles import DEFAULT

from edgeface.bundle import chosen_networks, open_bundle
from edgeface.cli.main import main
from edgeface.config import Config, Privacy, is_open, load_config
from edgeface.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("purpose", ["workplace", "education"])
def test_at_work_and_in_education_nobody_infers_emotions(purpose: Any) -> None:
    bundle = open_bundle(DEFAULT)
    assert "expression" in chosen_networks(bundle, Config(privacy=Privacy(purpose="retail")))
    assert list(chosen_networks(bundle, Config(privacy=Privacy(purpose=purpose)))) == ["age", "gender"]


@pytest.mark.parametrize("purpose", ["workplace", "education"])
@pytest.mark.parametrize("task", ["expression", "affect"])
def test_who_asks_for_it_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], purpose: str, task: str
) -> None:
    path = tmp_path / "edgeface.toml"
    path.write_text(f'[privacy]\npurpose = "{purpose}"\n[attributes]\n{task} = "expression-compact"\n')
    for command in (["config", "check"], ["analyze", str(tmp_path)], ["privacy"]):
        assert main([*command, "--config", str(path)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"attributes.{task}" in said and purpose in said and "5(1)(f)" in said and "set it to false" in said


def test_who_says_that_it_is_off_is_not_refused(tmp_path: Path) -> None:
    path = tmp_path / "edgeface.toml"
    path.write_text('[privacy]\npurpose = "workplace"\n[attributes]\nexpression = false\n')
    assert load_config(path).privacy.purpose == "workplace"


@pytest.mark.parametrize("from_", ["environment", "line"])
def test_neither_environment_nor_command_line_goes_round_it(from_: str) -> None:
    words: Mapping[str, Any] = {"attributes.expression": "expression-compact"}
    environ = {"EDGEFACE__PRIVACY__PURPOSE": "education"}
    if from_ == "environment":
        environ["EDGEFACE__ATTRIBUTES__EXPRESSION"] = "expression-compact"
        words = {}
    with pytest.raises(ConfigError, match="forbids it"):
        load_config(environ=environ, overrides=words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('purpose = "office"', "privacy.purpose"),
        ("age_bands = [18, 25, 40]", "less than 10 years"),
        ("age_bands = [40, 20]", "rising order"),
        ("age_bands = [5]", "less than 10 years"),
        ('hours = ["8-20"]', "HH:MM-HH:MM"),
        ('hours = ["08:00-08:00"]', "same time"),
        ('hours = ["08:00-25:00"]', "HH:MM-HH:MM"),
        ("least_count = 1", "privacy.least_count"),
        ("period = 1", "privacy.period"),
        ("aggregate = true", "unknown key"),
    ],
)
def test_what_cannot_hold_is_one_line_with_its_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "edgeface.toml"
    path.write_text(f"[privacy]\n{text}\n")
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(path)
    assert "privacy." in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("hours", "opened", "closed"),
    [
        ((), ["00:00", "12:00", "23:59"], []),
        (("08:00-20:00",), ["08:00", "19:59"], ["07:59", "20:00", "00:00"]),
        (("22:00-06:00",), ["22:00", "23:59", "00:00", "05:59"], ["06:00", "21:59"]),
        (("08:00-12:00", "13:00-17:00"), ["08:00", "16:59"], ["12:00", "12:59", "17:00"]),
        (("18:00-24:00",), ["18:00", "23:59"], ["00:00", "17:59"]),
        (("18:00-00:00",), ["18:00", "23:59"], ["00:00", "17:59"]),
        (("00:00-24:00",), ["00:00", "23:59"], []),
    ],
)
def test_hours_are_those_of_the_clock(hours: tuple[str, ...], opened: list[str], closed: list[str]) -> None:
    for texts, expected in ((opened, True), (closed, False)):
        for text in texts:
            assert is_open(hours, datetime.fromisoformat(f"2026-06-01T{text}")) is expected, text


def test_the_hour_that_comes_twice_in_autumn_is_open_twice_and_the_one_of_spring_is_missed() -> None:
    hours = ("02:00-03:00",)
    utc = ZoneInfo("UTC")
    autumn = [datetime(2026, 10, 25, hour, 30, tzinfo=utc).astimezone(BERLIN) for hour in (0, 1, 2)]
    assert [is_open(hours, at) for at in autumn] == [True, True, False]
    spring = [datetime(2026, 3, 29, hour, 30, tzinfo=utc).astimezone(BERLIN) for hour in (0, 1, 2)]
    assert [is_open(hours, at) for at in spring] == [False, False, False]
    over_night = ("22:00-06:00",)
    assert is_open(over_night, datetime(2026, 10, 25, 4, 59, tzinfo=utc).astimezone(BERLIN))
    assert not is_open(over_night, datetime(2026, 10, 25, 5, 0, tzinfo=utc).astimezone(BERLIN))
