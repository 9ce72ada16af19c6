"""Keys that have a new name: the old one works wherever a key can stand, and is one line; both at once is a mistake."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from brokers import AnyBroker, Auditor, eventually
from daemons import NO_CAMERA, Child, Manager

from edgeface.cli.main import main
from edgeface.config import Config, load_config, parse_override
from edgeface.config.keys import type_of
from edgeface.config.renames import RENAMED
from edgeface.errors import ConfigError

ROOT = Path(__file__).parents[1]
VALUES = {"looks": 7, "better": 2.5}
KEYS = [
    pytest.param(
        *(key.replace("<name>", "age-v1") for key in pair), VALUES.get(pair[0].rpartition(".")[2], 1.5), id=old
    )
    for old, pair in ((old, (old, new)) for old, new in RENAMED.items())
]


def written(folder: Path, *lines: str) -> Path:
    path = folder / "edgeface.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def variable(key: str) -> str:
    return f"EDGEFACE__{key.replace('.', '__').upper()}"


def read(*words: str) -> dict[str, Any]:
    return dict(parse_override(word) for word in words)


def value_of(config: Config, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


def test_new_keys_are_keys_and_old_ones_are_none() -> None:
    for old, new in RENAMED.items():
        assert type_of(new.split(".")) is not Any
        assert type_of(old.split(".")) is Any
        assert old.rpartition(".")[0] == new.rpartition(".")[0]


def test_the_policy_lists_them_all() -> None:
    text = (ROOT / "docs" / "deprecation.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([a-z_.<>]+)` \| `([a-z_.<>]+)` \|", text, flags=re.MULTILINE))
    assert listed == dict(RENAMED)


@pytest.mark.parametrize(("old", "new", "value"), KEYS)
def test_an_old_key_does_what_it_did(tmp_path: Path, old: str, new: str, value: float) -> None:
    told: list[str] = []
    said = f"{old} is called {new} now; the old name still works"
    path = written(tmp_path, f"{old} = {value}")
    table, _, name = old.rpartition(".")
    given: list[tuple[dict[str, Any], object]] = [
        ({"path": path}, path),
        ({"environ": {variable(old): str(value)}}, "the environment"),
        ({"environ": {variable(table): f"{{{name} = {value}}}"}}, "the environment"),
        ({"overrides": read(f"{old}={value}")}, "the command line"),
        ({"overrides": read(f"{table}={{{name} = {value}}}")}, "the command line"),
    ]
    for options, where in given:
        assert value_of(load_config(**options, warn=told.append), new) == value
        assert told == [f"{where}: {said}"]
        told.clear()
    load_config(written(tmp_path, f"{new} = {value}"), warn=told.append)
    assert told == []


@pytest.mark.parametrize(("old", "new", "value"), KEYS)
def test_both_in_one_place_are_refused(tmp_path: Path, old: str, new: str, value: float) -> None:
    both = f"{old} and {new} are one key, and both are given; keep {new}"
    table, _, name = new.rpartition(".")
    places: list[dict[str, Any]] = [
        {"path": written(tmp_path, f"{old} = {value}", f"{new} = {value}")},
        {"environ": {variable(old): str(value), variable(new).lower().replace("edgeface", "EDGEFACE"): str(value)}},
        {"overrides": read(f"{new}={value}", f"{old}={value}")},
        {"overrides": read(f"{old}={value}", f"{table}={{{name} = {value}}}")},
    ]
    for given in places:
        with pytest.raises(ConfigError) as caught:
            load_config(**given)
        assert str(caught.value).endswith(both)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize(("old", "new", "value"), KEYS)
def test_between_places_the_usual_order_decides(tmp_path: Path, old: str, new: str, value: float) -> None:
    for first, second in ((old, new), (new, old)):
        path = written(tmp_path, f"{first} = {value + 2}")
        assert value_of(load_config(path, environ={variable(second): str(value)}), new) == value
        environ = {variable(first): str(value + 1)}
        assert value_of(load_config(path, environ=environ, overrides=read(f"{second}={value}")), new) == value


def test_each_network_by_itself(tmp_path: Path) -> None:
    told: list[str] = []
    path = written(
        tmp_path,
        '[schedule."a.b"]\nevery = 1.0\nfirst = 0.5',
        "[schedule.age-v1]\ninterval = 2.0\nlooks = 3",
        "[schedule.every]\nlooks = 4\n[cameras.update]\n[networks.first]",
    )
    schedule = load_config(path, warn=told.append).schedule
    assert (schedule["a.b"].interval, schedule["a.b"].initial_interval) == (1.0, 0.5)
    assert (schedule["age-v1"].interval, schedule["age-v1"].initial_samples) == (2.0, 3)
    assert schedule["every"].initial_samples == 4, "a network may be called as an old key"
    assert [line.split()[1] for line in told] == [
        "schedule.a.b.every",
        "schedule.a.b.first",
        "schedule.age-v1.looks",
        "schedule.every.looks",
    ]


def test_a_name_that_is_no_text_to_print_stays_one_line(tmp_path: Path) -> None:
    told: list[str] = []
    load_config(written(tmp_path, '[schedule."a\\nb"]\nevery = 1.0'), warn=told.append)
    assert len(told) == 1
    assert "\n" not in told[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("detector.every = 61", r"detector\.interval \(old name: detector\.every\): expected", id="value"),
        pytest.param(
            "schedule.age-v1.looks = 0",
            r"schedule\.<name>\.initial_samples \(old name: schedule\.<name>\.looks\): expected",
            id="nested",
        ),
        pytest.param(
            "visits.update = 'x'", r"update_interval \(old name: visits\.update\): expected `float`", id="type"
        ),
        pytest.param("detector.interval = 61", r"detector\.interval: expected", id="new name"),
        pytest.param("detector.evry = 1", r"detector\.evry: unknown key; did you mean detector\.interval\?", id="near"),
        pytest.param("every = 1", r"every: unknown key; did you mean detector\.interval\?", id="without its table"),
        pytest.param(
            "schedule.age-v1.look = 1", r"did you mean schedule\.<name>\.initial_samples\?", id="near, in a schedule"
        ),
        pytest.param("detector.every.x = 1", r"detector\.interval \(old name: detector\.every\): exp", id="a table"),
        pytest.param("detector = 1", r"detector: expected `object`, got `int`", id="no table"),
        pytest.param("a" + ".a" * 3000 + " = 1", r"a: unknown key", id="deep"),
    ],
)
def test_mistakes_are_answered_with_the_new_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(written(tmp_path, text))


def test_the_log_takes_the_line_where_nobody_else_does(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_config(written(tmp_path, "detector.every = 1"))
    assert [(record.levelno, "detector.interval" in record.message) for record in caplog.records] == [
        (logging.WARNING, True)
    ]


def test_the_command_line_shows_and_checks_with_new_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(written(tmp_path, "[detector]\nevery = 0.5"))
    line = f"edgeface: warning: {path}: detector.every is called detector.interval now; the old name still works\n"
    monkeypatch.setenv("EDGEFACE__VISITS__UPDATE", "3")
    other = "edgeface: warning: the environment: visits.update is called visits.update_interval now"
    assert main(["config", "show", path]) == 0
    out, errors = capsys.readouterr()
    assert "\ninterval = 0.5\n" in out
    assert "\nupdate_interval = 3" in out
    assert "every" not in out
    assert errors == f"{line}{other}; the old name still works\n"
    assert (
        main(["config", "check", path, "--elsewhere", "--set", "detector.every=1", "--set", "detector.interval=1"]) == 2
    )
    assert capsys.readouterr().err == (
        "edgeface: option detector.interval: detector.every and detector.interval are one key, and both are given; "
        "keep detector.interval\n"
    )


def test_a_reload_does_not_say_it_again(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], manager: Manager, tmp_path: Path
) -> None:
    auditor = audit(broker)
    camera = f'[cameras.main]\nsource = "{NO_CAMERA}"'
    config = written(tmp_path, "[detector]\nevery = 0.5", camera)
    child = run(broker.port, "--config", config, environ=manager.environ)
    auditor.wait_for(lambda a: bool(a.of("health")))
    written(tmp_path, "[detector]\nevery = 0.5\n[visits]\nupdate = 1.0", camera)
    child.process.send_signal(signal.SIGHUP)
    eventually(lambda: manager.count("READY=1") == 2, "the end of the reload")
    lines = [line for line in child.log().splitlines() if "is called" in line]
    assert [re.search(r"WARNING .*: (\S+) is called (\S+) now", line)[1] for line in lines] == [  # type: ignore[index]
        "detector.every",
        "visits.update",
    ]
