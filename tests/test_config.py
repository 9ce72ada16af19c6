"""Configuration: who overrides whom, what is refused and how it is said, what is never shown."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeface.config import (
    Camera,
    Config,
    Mqtt,
    ScheduleChoice,
    find_config,
    hide_credentials,
    load_config,
    mqtt_password,
    parse_override,
    redacted,
    to_toml,
)
from edgeface.errors import ConfigError
from edgeface.questions import QUESTIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


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


def test_which_file_is_read(tmp_path: Path) -> None:
    places = here, system = tmp_path / "here.toml", tmp_path / "system.toml"
    assert find_config(None, {}, places=places) is None
    system.touch()
    assert find_config(None, {}, places=places) == system
    here.touch()
    assert find_config(None, {}, places=places) == here
    assert find_config(None, {"EDGEFACE_CONFIG": "named.toml"}) == Path("named.toml")
    assert find_config("given.toml", {"EDGEFACE_CONFIG": "named.toml"}) == Path("given.toml")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        pytest.param("mqtt.port=1884", "mqtt.port", 1884, id="number"),
        pytest.param("mqtt.tls = true", "mqtt.tls", True, id="truth, with blanks"),
        pytest.param("mqtt.host=broker.lan", "mqtt.host", "broker.lan", id="bare text"),
        pytest.param('mqtt.username="1"', "mqtt.username", "1", id="quoted number is text"),
        pytest.param("node.id=42", "node.id", "42", id="number where text is wanted"),
        pytest.param("mqtt.username=true", "mqtt.username", "true", id="truth where text is wanted"),
        pytest.param("mqtt.client_id=1979-05-27", "mqtt.client_id", "1979-05-27", id="date where text is wanted"),
        pytest.param("mqtt.username=1_0 # x", "mqtt.username", "1_0 # x", id="the whole text"),
        pytest.param("cameras.main.source=1", "cameras.main.source", 1, id="number or text"),
        pytest.param("attributes.age=false", "attributes.age", False, id="left out"),
        pytest.param('attributes={age="age-v1"}', "attributes.age", "age-v1", id="table"),
        pytest.param(
            "cameras.main.source=rtsp://a/b?c=d", "cameras.main.source", "rtsp://a/b?c=d", id="= in the value"
        ),
    ],
)
def test_overrides(text: str, key: str, value: object) -> None:
    read: Any = msgspec.to_builtins(load_config(overrides=dict([parse_override(text)])))
    for part in key.split("."):
        read = read[part]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text", ["mqtt.password=", "mqtt.password=hunter2", "mqtt.password = 1", 'mqtt={password="hunter2"}']
)
def test_a_password_never_stands_on_a_command_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"read by every user of this machine; use mqtt\.password_file or") as caught:
        parse_override(text)
    assert "hunter2" not in str(caught.value)


def test_a_password_of_digits_from_the_environment() -> None:
    assert load_config(environ={"EDGEFACE__MQTT__PASSWORD": "123456"}).mqtt.password == "123456"
    assert load_config(environ={"EDGEFACE__MQTT__PASSWORD": "0123"}).mqtt.password == "0123"


def test_the_case_of_a_variable_says_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "[cameras.Front]\nsource = 1\n")
    for name in ("EDGEFACE__CAMERAS__Front__FPS", "EDGEFACE__CAMERAS__FRONT__FPS", "EDGEFACE__cameras__front__fps"):
        cameras = load_config(path, environ={name: "5"}).cameras
        assert cameras == {"Front": Camera(source=1, fps=5.0)}
    both = {"EDGEFACE__CAMERAS__Desk__SOURCE": "2", "EDGEFACE__CAMERAS__DESK__FPS": "5"}
    assert load_config(environ=both).cameras == {"desk": Camera(source=2, fps=5.0)}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        pytest.param("MQTT__PORT", "9" * 5000, r"mqtt\.port: expected `int`", id="number of 5,000 digits"),
        pytest.param("NODE__ID", "[" * 20_000, r"node\.id: ", id="deep brackets"),
        pytest.param("NODE__ID", "\udcff", r"node\.id: ", id="bytes that are no text"),
        pytest.param("MQTT__PREFIX", "a\nb = 1", r"mqtt\.prefix: ", id="another line"),
        pytest.param("MQTT__USERNAME", "\udcff", r"mqtt\.username: ", id="user of no text"),
    ],
)
def test_values_that_no_variable_can_have(name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(environ={f"EDGEFACE__{name}": text})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("host", ["broker.lan", "my_broker", "10.0.0.9", "::1", "fe80::1%eth0", "bröker.lan"])
def test_hosts(host: str) -> None:
    assert load_config(overrides=dict([parse_override(f"mqtt.host={host}")])).mqtt.host == host


@pytest.mark.parametrize(
    ("host", "fix"),
    [
        pytest.param("mqtt://broker.lan", "write broker.lan alone; the port is mqtt.port", id="scheme"),
        pytest.param("mqtts://u:hunter2@b.lan:8883/x", "write b.lan alone with mqtt.tls = true;", id="all of it"),
        pytest.param("broker.lan:1883", "write broker.lan alone; the port is mqtt.port", id="port"),
        pytest.param("[::1]", "write ::1 without brackets", id="brackets"),
        pytest.param("[::1]:1883", "write ::1 without brackets", id="brackets and port"),
        pytest.param("u:hunter2@broker.lan", "the broker's name or address and nothing else", id="user"),
        pytest.param("broker.lan/x", "nothing else", id="path"),
        pytest.param("bro ker", "nothing else", id="blank"),
        pytest.param("a..b", "dots", id="empty part"),
        pytest.param("a" * 64, "length", id="part too long"),
        pytest.param("a\0b", "", id="zero byte"),
        pytest.param("a\tb", "", id="tab"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_what_is_no_host(host: str, fix: str) -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.host: ") as caught:
        load_config(overrides={"mqtt.host": host})
    assert fix in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_partial_schedule_changes_what_it_gives_and_nothing_else() -> None:
    choice = load_config(overrides={"schedule.age-v1.initial_samples": 3}).schedule["age-v1"]
    assert choice.over(QUESTIONS["age"].schedule) == msgspec.structs.replace(
        QUESTIONS["age"].schedule, initial_samples=3
    )
    assert ScheduleChoice().over(QUESTIONS["expression"].schedule) == QUESTIONS["expression"].schedule


@pytest.mark.parametrize("text", ["mqtt.port", "=1", "mqtt..port=1", "a b=1", ""])
def test_an_override_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set .* is not KEY=VALUE; write"):
        parse_override(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('[mqtt]\nhots = "x"', r"mqtt\.hots: unknown key; did you mean mqtt\.host\?", id="unknown key"),
        pytest.param("[mqqt]\nport = 1", r"mqqt: unknown key; did you mean mqtt\?", id="unknown table"),
        pytest.param(
            "[cameras.door]\nrotat = 90",
            r"cameras\.<id>\.rotat: unknown key; did you mean cameras\.<id>\.rotate\?",
            id="camera",
        ),
        pytest.param(
            "[runtime]\nprecision = 'int8'", r"did you mean networks\.<name>\.precision\?", id="another table"
        ),
        pytest.param("port = 1", r"port: unknown key; did you mean mqtt\.port\?", id="without its table"),
        pytest.param("[zebra]", r"zebra: unknown key; see `edgeface config show`", id="nothing is near"),
        pytest.param("[mqtt]\nport = 70000", r"mqtt\.port: .*65535", id="port too high"),
        pytest.param("[mqtt]\nport = '1883'", r"mqtt\.port: expected `int`, got `str`", id="text for a number"),
        pytest.param("[mqtt]\nqueue = 1", r"mqtt\.queue: .*50", id="queue too short"),
        pytest.param("[mqtt]\nprefix = 'a/#'", r"mqtt\.prefix: ", id="wildcard in a topic"),
        pytest.param("[mqtt]\nprefix = '/a'", r"mqtt\.prefix: ", id="topic begins with nothing"),
        pytest.param("[node]\nid = 'a/b'", r"node\.id: ", id="slash in the node"),
        pytest.param("[detector]\nscore = 0", r"detector\.score: ", id="every box a face"),
        pytest.param("[detector]\nscore = nan", r"detector\.score: ", id="not a number"),
        pytest.param("[detector]\ninterval = inf", r"detector\.interval: ", id="never detect"),
        pytest.param("[detector]\nsize = '320'", r"detector\.size: ", id="size without height"),
        pytest.param("[cameras.main]\nrotate = 45", r"cameras\.<id>\.rotate: ", id="crooked"),
        pytest.param("[cameras.main]\npace = 'fast'", r"cameras\.<id>\.pace: ", id="pace"),
        pytest.param("[cameras.'a b']\nsource = 0", r"cameras", id="blank in a camera's id"),
        pytest.param("cameras = {}", r"cameras: ", id="no camera"),
        pytest.param("[attributes]\nheight = 'x'", r"attributes", id="question that nobody asks"),
        pytest.param("[attributes]\nage = true", r"attributes", id="true is no network"),
        pytest.param("[schedule.age-v1]\ninitial_samples = 0", r"schedule\.<name>\.initial_samples: ", id="no look"),
        pytest.param("[node]\nid = 42", r"node\.id: .*write text in quotes", id="number for a text"),
        pytest.param('[node]\nid = "hall\\n"', r"node\.id: ", id="line break after the node"),
        pytest.param('[cameras."main\\n"]\nsource = 0', r"cameras\.<id>: ", id="line break after a camera"),
        pytest.param('[cameras.main]\nfourcc = "MJPG\\n"', r"fourcc: expected four characters", id="line break"),
        pytest.param("[mqtt]\nprefix = '$SYS/x'", r"mqtt\.prefix: ", id="the broker's own topics"),
        pytest.param('[mqtt]\nprefix = "a\\tb"', r"mqtt\.prefix: ", id="tab in a topic"),
        pytest.param('[mqtt]\nclient_id = "a\\u0000b"', r"mqtt\.client_id: ", id="zero byte in the client id"),
        pytest.param('[mqtt]\nclient_id = "a\\u0085b"', r"mqtt\.client_id: ", id="C1 control in the client id"),
        pytest.param('[mqtt]\nca_file = "a\\u0000b"', r"mqtt\.ca_file: ", id="zero byte in a path"),
        pytest.param(f"[mqtt]\nusername = '{'x' * 70_000}'", r"mqtt\.username: ", id="user too long for MQTT"),
        pytest.param("[cameras.main]\nsource = -1", r"source: expected `int` >= 0", id="camera below zero"),
        pytest.param(f"[cameras.main]\nsource = {2**63 - 1}", r"source: expected `int` <=", id="camera of 19 digits"),
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
    ("name", "meant"),
    [
        ("EDGEFACE_MQTT_PASWORD", "EDGEFACE_MQTT_PASSWORD"),
        ("EDGEFACE_MQTT_HOST", "EDGEFACE__MQTT__HOST"),
        ("EDGEFACE_MQTT_PASSWORD_FILE", "EDGEFACE__MQTT__PASSWORD_FILE"),
        ("EDGEFACE_CONFG", "EDGEFACE_CONFIG"),
    ],
)
def test_a_misspelt_variable_is_told_without_its_value(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"^environment variable {name}: no such setting; .* {meant}\?$") as caught:
        load_config(environ={name: "secret"})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["EDGEFACE_MQTT_PASSWORD", "EDGEFACE_BUNDLE", "EDGEFACE_DATA", "EDGEFACE_BUILD", "EDGEFACE_CACHE", "PATH"]
)
def test_other_variables_are_left_alone(name: str) -> None:
    assert load_config(environ={name: "x"}) == load_config()


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbf[mqtt]\r\nport = 1884\r\n")
    assert load_config(path).mqtt.port == 1884


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"[mqtt\n", "is not valid TOML", id="broken"),
        pytest.param(b'[mqtt]\nhost = "\xff"\n', "cannot be read", id="not UTF-8"),
        pytest.param("[mqtt]\n".encode("utf-16"), "cannot be read: not UTF-8 at byte 0; save it", id="UTF-16"),
        pytest.param(b"[mqtt]\nport = " + b"9" * 5000, "is not valid TOML: a number of", id="5,000 digits"),
        pytest.param(b"bundle = " + b"[" * 20_000, "is not valid TOML: brackets too deep", id="deep brackets"),
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
        pytest.param("rtsp://u:S3cr#et9@h:1/x", "rtsp://***@h:1/x", id="# in the password"),
        pytest.param("rtsp://u:S3cr?et9@h:1/x", "rtsp://***@h:1/x", id="? in the password"),
        pytest.param("rtsp://u:S3cr et9@h:1/x", "rtsp://***@h:1/x", id="blank in the password"),
        pytest.param("rtsp://u:S3cr#et9", "rtsp://***#***", id="no host at all"),
        pytest.param("http://h/a?password=S3cr@et9", "http://***", id="@ in a query's password"),
        pytest.param(
            "srt://h:9?passphrase=S3cr&latency=20&streamid=r:S3cr",
            "srt://h:9?passphrase=***&latency=20&streamid=***",
            id="srt",
        ),
        pytest.param("http://h/v?access_token=S3cr#S3cr", "http://h/v?access_token=***", id="fragment"),
        pytest.param("http://h/v?S3cr", "http://h/v?***", id="query without a key"),
        pytest.param("http://h/v?api_key=S3cr/et_9==&fps=5", "http://h/v?api_key=***&fps=5", id="base64"),
        pytest.param(
            "http://h/video.cgi?loginuse=admin&loginpas=S3cr",
            "http://h/video.cgi?loginuse=***&loginpas=***",
            id="a cheap camera's own words",
        ),
        pytest.param(
            "rtsp://h/user=admin_password=S3cr_et9_channel=1_stream=0.sdp",
            "rtsp://h/user=***_channel=1_stream=0.sdp",
            id="query in the path, by _",
        ),
        pytest.param(
            "rtsp://h/user=admin&password=S3cr&channel=1", "rtsp://h/user=admin&password=***&channel=1", id="by &"
        ),
        pytest.param("rtsp://h/101;pwd=S3cr", "rtsp://h/101;pwd=***", id="by ;"),
        pytest.param("rtsp://h/x?channel=S3cr-et9-S3cr-et9", "rtsp://h/x?channel=***", id="no channel"),
        pytest.param("http://[::1]:80/x?width=640", "http://[::1]:80/x?width=640", id="IPv6"),
        pytest.param("rtsp://h:554/0/u:S3cr/main", "rtsp://h:554/0/***/main", id="user and password in the path"),
        pytest.param("rtsp://h/u:S3cr?channel=1", "rtsp://h/***?channel=1", id="at the end of the path"),
        pytest.param("u:S3cr@h:554/x?token=S3cr", "***@h:554/x?token=***", id="no scheme"),
        pytest.param("rtsp:/u:S3cr@h/x", "***@h/x", id="one slash"),
        pytest.param("u:S3cr/et9@h/x", "***@h/x", id="no scheme, / in the password"),
        pytest.param("/clips/u:S3cr@h.mp4", "/clips/u:S3cr@h.mp4", id="absolute path"),
        pytest.param("./u:S3cr@h.mp4", "./u:S3cr@h.mp4", id="relative path"),
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
    (credentials / "password").write_text("as root keeps it\n")
    assert mqtt_password(mqtt, environ) == "as root keeps it"
    (credentials / "mqtt_password").write_text("from systemd\n")
    assert mqtt_password(mqtt, environ) == "from systemd"
    assert mqtt_password(Mqtt(password_file=str(named)), environ) == "from file"
    assert mqtt_password(Mqtt(), {}) is None
    with pytest.raises(ConfigError, match=r"password file .*gone cannot be read"):
        mqtt_password(Mqtt(password_file=str(tmp_path / "gone")), environ)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param("pässwörd\n".encode("latin-1"), "is not UTF-8; save it as UTF-8", id="Latin-1"),
        pytest.param("secret\r\n".encode("utf-16"), "is not UTF-8", id="UTF-16"),
        pytest.param("secret\r\n".encode("utf-16-le"), "holds zero bytes, as UTF-16 does", id="UTF-16 without mark"),
        pytest.param(b"x" * 70_000, "longer than MQTT allows", id="another file"),
    ],
)
def test_a_password_file_that_is_none(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=said) as caught:
        mqtt_password(Mqtt(password_file=str(path)), {})
    assert "secret" not in str(caught.value)


def test_a_password_with_a_byte_order_mark_or_from_no_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"\xef\xbb\xbfsecret\r\n")
    assert mqtt_password(Mqtt(password_file=str(path)), {}) == "secret"
    with pytest.raises(ConfigError, match="EDGEFACE_MQTT_PASSWORD is not UTF-8"):
        mqtt_password(Mqtt(), {"EDGEFACE_MQTT_PASSWORD": "\udcff"})
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "gone", "zero\0byte"):
        with pytest.raises(ConfigError, match="the password file"):
            mqtt_password(Mqtt(password_file=str(tmp_path / name)), {})


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True)


@settings(max_examples=40)
@given(
    cameras=st.dictionaries(
        IDS,
        st.builds(Camera, source=st.one_of(TEXTS.filter(bool), st.integers(0, 9)), mirror=st.booleans()),
        min_size=1,
    ),
    username=st.none() | TEXTS,
    interval=st.floats(1e-6, 86_400),
    network=TEXTS.filter(bool),
    age=TEXTS | st.just(False),
)
def test_what_is_shown_can_be_read_again(
    cameras: dict[str, Camera], username: str | None, interval: float, network: str, age: Any
) -> None:
    config = Config(
        cameras=cameras,
        mqtt=Mqtt(username=username),
        schedule={network: ScheduleChoice(interval=interval)},
        attributes={"age": age},
    )
    text = to_toml(msgspec.to_builtins(config))
    assert msgspec.convert(tomllib.loads(text), Config) == config


ITEMS = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40)
@given(st.dictionaries(TEXTS, st.lists(ITEMS)))
def test_lists_and_the_tables_in_them_can_be_read_again(tree: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(tree)) == tree


def test_a_list_that_is_longer_than_a_line_is_broken() -> None:
    tree = {"layers": [f"backbone.stage{i}.conv" for i in range(40)], "labels": ["happy", "sad"]}
    text = to_toml(tree)
    assert tomllib.loads(text) == tree
    assert max(map(len, text.splitlines())) <= 120
    assert 'labels = ["happy", "sad"]' in text.splitlines()


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("rtsp://me:pa/ss@cam/1", False),
        ("rtsp://me:pa?ss@cam/1", False),
        ("rtsp://me:#1@cam:554/1", False),
        ("rtsp://me:p@ss@cam/1", True),
        ("rtsp://me:pa%2Fss@cam/1", True),
        ("rtsp://cam:554/who@where", True),
        ("rtsp://cam/1?user=me@home", True),
        ("rtsp://[fe80::1]:554/who@where", True),
        ("rtsp://cam/1", True),
    ],
)
def test_a_password_that_ends_an_address_too_early_is_told_and_not_shown(
    address: str, good: bool, tmp_path: Path
) -> None:
    path = tmp_path / "edgeface.toml"
    path.write_text(f'[cameras.door]\nsource = "{address}"\n')
    if good:
        assert load_config(path).cameras["door"].source == address
        return
    with pytest.raises(ConfigError, match=r"cameras\.door\.source: the password ends at its first") as raised:
        load_config(path)
    assert "%2F" in str(raised.value)
    assert "pa" not in str(raised.value).replace("password", "").replace(str(tmp_path), "")
