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
from edgeface.events import NoticeMessage, decode

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


def notice(capsys: pytest.CaptureFixture[str], *settings: str) -> str:
    assert main(["privacy", *[word for text in settings for word in ("--set", text)]]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_the_notice_is_what_the_configuration_makes_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    usual = notice(capsys)
    for words in (
        "apparent age, gender as its training data labels it and facial expression",
        "Its operator has not said what it is used for",
        "looked at all day",
        "where in the picture a face is",
        "broker localhost port 1883, not encrypted",
        "lie on the disk of this device until the broker has them",
        "the colours of head and clothes and the texture of clothes are kept in memory as counts",
        "recognises nobody",
    ):
        assert words in usual
    told = notice(
        capsys,
        "privacy.purpose=workplace",
        "privacy.statement=How many use the hall",
        "privacy.contact=hall@works.example",
        "privacy.age_bands=[20, 60]",
        "privacy.least_count=7",
        'privacy.hours=["08:00-12:00", "13:00-17:00"]',
        "cameras.main.masks=[[0, 0, 0.25, 1]]",
        "mqtt.host=broker.lan",
        "mqtt.username=me",
        "mqtt.tls=true",
        "home_assistant.discovery=off",
    )
    for words in (
        "used at a workplace",
        "How many use the hall",
        "hall@works.example",
        "0-19, 20-59, 60+ years",
        "totals, of at least 7 visits at once",
        "from 08:00 to 12:00 and 13:00 to 17:00",
        "25% of the picture is painted over",
        "broker broker.lan port 1883, encrypted",
        "Nothing of a single visit is written on the disk",
        "does not estimate facial expression or how pleasant and how excited a face looks",
    ):
        assert words in told, words
    assert "Home Assistant" not in told and "where in the picture" not in told
    assert "facial expression" not in told.partition("does not estimate")[0]


def test_the_notice_is_also_a_message_and_tells_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFACE_MQTT_PASSWORD", "hunter2")
    camera = "cameras.main.source=rtsp://me:hunter2@door.lan/1"
    assert main(["privacy", "--json", "--set", "node.id=hall", "--set", camera]) == 0
    text = capsys.readouterr().out
    message = decode("notice", text.encode())
    assert isinstance(message, NoticeMessage)
    assert message.node == "hall"
    assert message.text == " ".join(part.text for part in message.parts)
    assert [network.task for network in message.networks] == ["detect", "age", "gender", "expression"]
    assert "hunter2" not in text
