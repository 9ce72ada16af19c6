"""Configuration: who overrides whom, what is refused and how it is said, what is never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface import config as room
from edgeface.config import (
    Camera,
    Config,
    Mqtt,
    Schedule,
    find_config,
    hide_credentials,
    load_config,
    mqtt_password,
    parse_override,
    redacted,
    to_toml,
)
from edgeface.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    path = folder / "edgeface.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_works(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, ""))
    assert config == Config()
    assert list(config.cameras) == ["main"]
    assert (config.cameras["main"].source, config.mqtt.host, config.mqtt.port) == (0, "localhost", 1883)


def test_command_line_over_environment_over_file_over_default(tmp_path: Path) -> None:
    path = written(tmp_path, '[mqtt]\nhost = "file"\nport = 1001\nprefix = "file"\n')
    environ = {"EDGEFACE__MQTT__PORT": "1002", "EDGEFACE__MQTT__PREFIX": "environment", "HOME": "/nowhere"}
    config = load_config(path, environ=environ, overrides={"mqtt.prefix": "line"})
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.prefix) == ("file", 1002, "line")
    assert config.mqtt.keep_alive == Mqtt().keep_alive


def test_which_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, system = tmp_path / "here.toml", tmp_path / "system.toml"
    monkeypatch.setattr(room, "CONFIG_PATHS", (here, system))
    assert find_config(None, {}) is None
    system.touch()
    assert find_config(None, {}) == system
    here.touch()
    assert find_config(None, {}) == here
    assert find_config(None, {"EDGEFACE_CONFIG": "named.toml"}) == Path("named.toml")
    assert find_config("given.toml", {"EDGEFACE_CONFIG": "named.toml"}) == Path("given.toml")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        pytest.param("mqtt.port=1884", "mqtt.port", 1884, id="number"),
        pytest.param("mqtt.tls = true", "mqtt.tls", True, id="truth, with blanks"),
        pytest.param("mqtt.host=broker.lan", "mqtt.host", "broker.lan", id="bare text"),
        pytest.param('mqtt.username="1"', "mqtt.username", "1", id="quoted number is text"),
        pytest.param(
            "cameras.door.source=rtsp://a/b?c=d", "cameras.door.source", "rtsp://a/b?c=d", id="= in the value"
        ),
        pytest.param("node.id=", "node.id", "", id="nothing"),
    ],
)
def test_overrides(text: str, key: str, value: object) -> None:
    assert parse_override(text) == (key, value)


@pytest.mark.parametrize("text", ["mqtt.port", "=1", "mqtt..port=1", "a b=1", ""])
def test_an_override_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set .* is not KEY=VALUE; write"):
        parse_override(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('[mqtt]\nhots = "x"', r"mqtt\.hots: unknown key; did you mean host\?", id="unknown key"),
        pytest.param("[mqqt]\nport = 1", r"mqqt: unknown key; did you mean mqtt\?", id="unknown table"),
        pytest.param(
            "[cameras.door]\nrotat = 90", r"cameras\.<id>\.rotat: unknown key; did you mean rotate\?", id="camera"
        ),
        pytest.param("[zebra]", r"zebra: unknown key; see `edgeface config show`", id="nothing is near"),
        pytest.param("[mqtt]\nport = 70000", r"mqtt\.port: .*65535", id="port too high"),
        pytest.param("[mqtt]\nport = '1883'", r"mqtt\.port: expected `int`, got `str`", id="text for a number"),
        pytest.param("[mqtt]\nqueue = 1", r"mqtt\.queue: .*50", id="queue too short"),
        pytest.param("[mqtt]\nprefix = 'a/#'", r"mqtt\.prefix: ", id="wildcard in a topic"),
        pytest.param("[mqtt]\nprefix = '/a'", r"mqtt\.prefix: ", id="topic begins with nothing"),
        pytest.param("[node]\nid = 'a/b'", r"node\.id: ", id="slash in the node"),
        pytest.param("[detector]\nscore = 0", r"detector\.score: ", id="every box a face"),
        pytest.param("[detector]\nscore = nan", r"detector\.score: ", id="not a number"),
        pytest.param("[detector]\nevery = inf", r"detector\.every: ", id="never detect"),
        pytest.param("[detector]\nsize = '320'", r"detector\.size: ", id="size without height"),
        pytest.param("[cameras.main]\nrotate = 45", r"cameras\.<id>\.rotate: ", id="crooked"),
        pytest.param("[cameras.main]\npace = 'fast'", r"cameras\.<id>\.pace: ", id="pace"),
        pytest.param("[cameras.'a b']\nsource = 0", r"cameras", id="blank in a camera's id"),
        pytest.param("cameras = {}", r"cameras: ", id="no camera"),
        pytest.param("[attributes]\nheight = 'x'", r"attributes", id="question that nobody asks"),
        pytest.param("[attributes]\nage = true", r"attributes", id="true is no network"),
        pytest.param("[schedule.age-v1]\nfirst = 1", r"schedule\.<id>: .*every", id="required key"),
        pytest.param("[runtime]\nname = 'torch'", r"runtime\.name: ", id="runtime"),
        pytest.param("[visits]\ngender_certainty = 0.4", r"visits\.gender_certainty: ", id="worse than a coin"),
        pytest.param("[limits]\nmegapixels = 0", r"limits\.megapixels: ", id="no picture at all"),
    ],
)
def test_refused_by_name_of_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    assert caught.value.exit_code == 2


def test_a_table_where_a_value_stands(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"EDGEFACE__MQTT__PORT__X: port is a value"):
        load_config(written(tmp_path, "[mqtt]\nport = 1"), environ={"EDGEFACE__MQTT__PORT__X": "1"})
    with pytest.raises(ConfigError, match="mqtt"):
        load_config(environ={"EDGEFACE__MQTT": "1"})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"[mqtt\n", "is not valid TOML", id="broken"),
        pytest.param(b'[mqtt]\nhost = "\xff"\n', "cannot be read", id="not UTF-8"),
        pytest.param(None, "does not exist", id="missing"),
    ],
)
def test_unreadable_files(tmp_path: Path, data: bytes | None, said: str) -> None:
    path = tmp_path / "edgeface.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigError, match=said):
        load_config(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        pytest.param("rtsp://u:p@host/x", "rtsp://***@host/x", id="user and password"),
        pytest.param("rtsp://u@host:554/x", "rtsp://***@host:554/x", id="user alone"),
        pytest.param("rtsp://u:p@ss/w@host/x", "rtsp://***@host/x", id="@ and / in the password"),
        pytest.param("http://h/a?user=u&password=p&x=1", "http://h/a?user=u&password=***&x=1", id="in the query"),
        pytest.param("http://h/a?PWD=p", "http://h/a?PWD=***", id="in capitals"),
        pytest.param("rtsp://host/x", "rtsp://host/x", id="nothing to hide"),
        pytest.param("/dev/video0", "/dev/video0", id="device"),
        pytest.param("people@home.mp4", "people@home.mp4", id="file"),
    ],
)
def test_credentials_in_addresses_are_hidden(address: str, shown: str) -> None:
    assert hide_credentials(address) == shown


def test_secrets_are_not_shown() -> None:
    config = Config(
        mqtt=Mqtt(password="hunter2", username="node"),
        cameras={"door": Camera(source="rtsp://admin:hunter2@10.0.0.9/1"), "desk": Camera(source=0)},
    )
    shown = to_toml(redacted(config))
    assert "hunter2" not in shown
    assert "admin" not in shown
    assert 'password = "***"' in shown
    assert config.mqtt.password == "hunter2"
    assert "password" not in redacted(Config())["mqtt"] or redacted(Config())["mqtt"]["password"] is None


def test_where_the_password_comes_from(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    named = tmp_path / "named"
    named.write_bytes(b"from file\r\nsecond line\n")
    environ = {"CREDENTIALS_DIRECTORY": str(credentials), "EDGEFACE_MQTT_PASSWORD": "from environment"}
    mqtt = Mqtt(password="from table")
    assert mqtt_password(mqtt, {}) == "from table"
    assert mqtt_password(mqtt, environ) == "from environment"
    (credentials / "mqtt_password").write_text("from systemd\n")
    assert mqtt_password(mqtt, environ) == "from systemd"
    assert mqtt_password(Mqtt(password_file=str(named)), environ) == "from file"
    assert mqtt_password(Mqtt(), {}) is None
    with pytest.raises(ConfigError, match=r"password file .*gone cannot be read"):
        mqtt_password(Mqtt(password_file=str(tmp_path / "gone")), environ)


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True)


@settings(max_examples=40)
@given(
    cameras=st.dictionaries(
        IDS, st.builds(Camera, source=st.one_of(TEXTS, st.integers(0, 9)), mirror=st.booleans()), min_size=1
    ),
    username=st.none() | TEXTS,
    every=st.floats(1e-6, 86_400),
    network=TEXTS.filter(bool),
    age=TEXTS | st.just(False),
)
def test_what_is_shown_can_be_read_again(
    cameras: dict[str, Camera], username: str | None, every: float, network: str, age: Any
) -> None:
    config = Config(
        cameras=cameras,
        mqtt=Mqtt(username=username),
        schedule={network: Schedule(every=every)},
        attributes={"age": age},
    )
    text = to_toml(msgspec.to_builtins(config))
    assert msgspec.convert(room.tomllib.loads(text), Config) == config
