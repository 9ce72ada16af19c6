"""``edgeface provision``: tables as people save them, and folders in which only what must change changes."""

from __future__ import annotations

import csv
import io
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from edgeface_card import network_txt
from edgeface_card.settings import wifi
from fleets import NOW, Fleet
from hypothesis import example, given
from hypothesis import strategies as st

from edgeface.cli.main import main
from edgeface.config import load_config
from edgeface.errors import ConfigError, EdgefaceError, RuntimeMissingError, UsageError
from edgeface.provisioning.access import is_line_of, password_line
from edgeface.provisioning.rendering import render
from edgeface.provisioning.table import COLUMNS, TableError, read_rows
from edgeface.publish.certificates import file_end

ROW = "V\t460101000000Z\t\tAB\tunknown\t/CN=edgeface fleet\n"
OTHERS = """\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJOYQuZpKZ9ZdJvRJE2xRBEN2ZkJyWvwoHvZhJKnk2Zx
-----END PRIVATE KEY-----
"""
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="apt install openssl")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


# Tables


@pytest.mark.parametrize(
    "data",
    [
        b"name,cameras\nhall,door=0\nyard,\n",
        b"\xef\xbb\xbfname;cameras\r\nhall;door=0\r\nyard;\r\n",
        b"name\tcameras\nhall\tdoor=0\nyard\n",
        b"\xef\xbb\xbfsep=;\r\nname;cameras\r\nhall;door=0\r\nyard;\r\n",
        b'\n"Name", Cameras\n\n hall , door=0 \n,\n yard\n',
        b"cameras,name\rdoor=0,hall\r,yard\r",
        b"name,cameras,,\nhall,door=0,,\nyard,,,\n",
    ],
)
def test_tables_as_spreadsheets_save_them(data: bytes) -> None:
    rows = read_rows(data, "nodes.csv")
    assert [(row.name, dict(row.cameras), row.auth) for row in rows] == [
        ("hall", {"door": "0"}, "password"),
        ("yard", {}, "password"),
    ]


HEAD = ",".join(COLUMNS)


def one(**cells: str) -> str:
    """A table of one node, with these cells and no others."""
    cells = {"name": "hall", **cells}
    return f"{HEAD}\n" + ",".join(f'"{cells.get(name, "")}"' for name in COLUMNS) + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; begin it with the columns' names: name, auth"),
        ("name\n", "has no row below"),
        ("hall\nyard\n", r"row 1: unknown column 'hall'; known are name, auth"),
        ("name,camera\nhall,0\n", r"row 1: unknown column 'camera'; did you mean cameras\?"),
        ("auth\npassword\n", "row 1: there is no column name"),
        ("name,auth,auth\nhall,,\n", "row 1: column auth is there twice"),
        ("name,\nhall,x\n", "row 2: 'x' stands below no column's name"),
        (
            "name\nhall\nhall way\n",
            "row 3: name 'hall way' is no level of a topic; use 1 to 64 letters, digits, - and _",
        ),
        ("name\nhall/door\n", "row 2: name 'hall/door' is no level of a topic"),
        ("name\n+\n", r"row 2: name '\+' is no level"),
        ("name\n#\n", "row 2: name '#' is no level"),
        ("name\nhäll\n", "row 2: name 'häll' is no level"),
        (f"name\n{'x' * 65}\n", "row 2: name 'x+' is no level"),
        ("name,auth\n,password\n", "row 2: name '' is no level"),
        ("name\nhall\n\n\nhall\n", "row 5: name hall is in row 2 too; give each node a name of its own"),
        ("name\nhall\nHall\n", r"row 3: name Hall is in row 2 too, but for large and small letters \(hall\)"),
        ("name\nHomeAssistant\n", "row 2: name HomeAssistant is another's account"),
        ("name,auth\nhall,token\n", "row 2: auth 'token' is neither password nor certificate"),
        (
            "name,auth\nhall,,\nyard,,,x\n",
            'row 3: it has 4 cells for 2 columns; quote a cell that holds the separator: "a;b"',
        ),
        ('name\n"hall\n', "is no table after row 1: unexpected end of data; correct its quotes"),
        (
            one(cameras="door=/dev/video0,yard=1"),
            "row 2: cameras: '/dev/video0,yard=1' is no source; put a blank between",
        ),
        (one(cameras="door=/dev/video0; yard=1"), "row 2: cameras: '/dev/video0;' is no source"),
        (one(cameras="door=picamera2:x"), r"row 2: .*cameras\.door\.source: 'x' is no camera's number"),
        (one(timezone="Europe/Berln"), "row 2: timezone 'Europe/Berln' is not known; did you mean Europe/Berlin"),
        (one(wifi_ssid="x", wifi_country="uk"), "row 2: wifi_country 'UK' is no country; write GB"),
        (
            one(wifi_ssid="x", wifi_country="DE", wifi_password="1,23457E+15"),
            "row 2: wifi_password is a number that a spreadsheet has rounded",
        ),
        (one(address="192.168.1.255/24"), "row 2: address 192.168.1.255/24 is that of its whole net"),
        (one(address="192.168.1.0/24"), "row 2: address 192.168.1.0/24 is that of its whole net"),
        (one(address="192.168.1.1/24", gateway="192.168.1.1"), "row 2: gateway 192.168.1.1 is the node's own address"),
        ("sep=;\nname;auth;camera\n", r"row 2: unknown column 'camera'; did you mean cameras\?"),
        (one(cameras="0"), "row 2: cameras: '0' is no ID=SOURCE; write for example door=/dev/video0"),
        (one(cameras="a=0 a=1"), "row 2: cameras: a is there twice"),
        (one(cameras="a b=0"), "row 2: cameras: 'a' is no ID=SOURCE"),
        (one(hostname="my host"), "row 2: hostname 'my host' is no name of a host"),
        (one(timezone="Berlin!"), "row 2: timezone 'Berlin!' is no time zone"),
        (one(wifi_ssid="x"), "row 2: wifi_ssid stands without wifi_country"),
        (one(wifi_ssid="x", wifi_country="Germany"), "row 2: wifi_country 'GERMANY' is no country"),
        (one(wifi_password="secret-of-mine"), "row 2: wifi_password stands without wifi_ssid"),
        (one(wifi_ssid="x", wifi_country="DE", wifi_password="short"), "row 2: wifi_password has not 8 to 63"),
        (
            one(wifi_ssid="x", wifi_country="DE", wifi_password="secret-of-mine "),
            "row 2: wifi_password begins or ends with a blank; take it away; if it is meant, give the 64 digits",
        ),
        (
            one(wifi_ssid="\u00a0Shop", wifi_country="DE"),
            "row 2: wifi_ssid begins or ends with a blank; .* nodes/NAME/network.txt, in quotes",
        ),
        (
            'name, wifi_ssid, wifi_country\nhall, "Shop", DE\n',
            "row 2: wifi_ssid begins or ends with a blank; take it away",
        ),
        (one(wifi_ssid="x", wifi_country="DE", wifi_password="two\nlines of it"), "row 2: wifi_password has not 8"),
        (one(wifi_ssid="x", wifi_country="DE", wifi_password="schlüssel"), "row 2: wifi_password has not 8 to 63"),
        (one(wifi_ssid="two\nlines", wifi_country="DE"), "row 2: wifi_ssid has over 32 bytes or a control character"),
        # What Python takes for the end of a line, and no spreadsheet.
        (one(wifi_ssid="a\u2028yard", wifi_country="DE"), "row 2: wifi_ssid has over 32 bytes or a control"),
        (
            one(wifi_ssid="x", wifi_country="DE", wifi_hidden="maybe"),
            "row 2: wifi_hidden 'maybe' is neither yes nor no",
        ),
        (one(wifi_ssid="x" * 33, wifi_country="DE"), "row 2: wifi_ssid has over 32 bytes"),
        (one(address="192.168.1.20"), "row 2: address 192.168.1.20 says not how large its net is"),
        (one(address="192.168.1/24"), "row 2: address '192.168.1/24' is no address"),
        (one(address="192.168.1.20/24", gateway="192.168.2.1"), "row 2: gateway 192.168.2.1 is not in the net"),
        (one(gateway="192.168.1.1"), "row 2: gateway stands without address"),
        (one(dns="ns.lan"), "row 2: dns 'ns.lan' is no address"),
        ("name,address\na,10.0.0.1/8\nb,10.0.0.1/24\n", "row 3: address 10.0.0.1 is in row 2 too"),
        ("name,hostname\na,x\nb,X\n", "row 3: hostname x is in row 2 too"),
        ("name,cameras\nhall,door=999\n", r"row 2: .*cameras\.<id>\.source: expected `int` <= 255"),
        ("name\nhall\n".encode("utf-16"), 'row 1: it is not UTF-8; save it as "CSV UTF-8"'),
        ("name\nhall\nhäll\n".encode("latin-1"), "row 3: it is not UTF-8"),
        (b"name\nhall\x00\n", "row 2: name|no table after row"),
    ],
)
def test_what_cannot_hold_is_one_line_with_its_row_and_nothing_is_written(
    text: str | bytes, words: str, fleet: Fleet
) -> None:
    fleet.table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=words) as caught:
        fleet.run()
    said = str(caught.value)
    assert said.startswith(f"{fleet.table} "), said
    assert not {"\n", "secret-of-mine"} & {said, *said.split()}
    assert "short" not in said
    assert not fleet.out.exists()


@given(st.text(alphabet='ab,;"\t\r\n =/.0é\0'), st.sampled_from(["name,cameras\n", "name;address\n", ""]))
def test_a_table_of_anything_is_read_or_refused(text: str, head: str) -> None:
    for data in ((head + text).encode(), head.encode() + text.encode("latin-1")):
        try:
            rows = read_rows(data, "nodes.csv")
        except TableError as error:
            assert "\n" not in str(error)
        else:
            assert rows


# Folders


@needs_openssl
def test_the_sample_is_one(fleet: Fleet) -> None:
    sample = Path(__file__).parents[1] / "packaging" / "provisioning"
    shutil.copy(sample / "nodes.csv", fleet.table)
    assert fleet.run(base=sample / "base.toml").added == ["entrance", "aisle-1", "yard"]
    assert "edgeface/yard/ramp/visits" in (fleet.out / "broker/acl").read_text()


@needs_openssl
def test_a_node_gets_what_it_needs(fleet: Fleet, tmp_path: Path) -> None:
    base = tmp_path / "base.toml"
    base.write_text('[commands]\nenabled = true\n[mqtt]\nprefix = "shop"\n[cameras.main]\nrotate = 180\nsource = 3\n')
    head = "name,auth,cameras,wifi_ssid,wifi_password,wifi_country,wifi_hidden,address,gateway,dns,timezone"
    fleet.write(
        'Hall_1,,,Home,"pass, word",de,yes,192.168.1.20/24,192.168.1.1,9.9.9.9 1.1.1.1,Europe/Berlin',
        "yard,certificate,front=rtsp://10.0.0.9/1 main=/dev/video0,,,,,,,,",
        head=head,
    )
    report = fleet.run(base=base)
    assert report.added == ["Hall_1", "yard"]
    hall, yard = (load_config(fleet.node(name, "edgeface.toml")) for name in ("Hall_1", "yard"))
    assert (hall.node.id, hall.mqtt.host, hall.mqtt.port, hall.mqtt.username) == ("Hall_1", "127.0.0.1", 8883, "Hall_1")
    assert (hall.mqtt.prefix, hall.commands.enabled, hall.cameras["main"].rotate) == ("shop", True, 180)
    assert (yard.mqtt.port, yard.mqtt.cert_file) == (8884, "/etc/edgeface/cert.pem")
    assert {name: (camera.source, camera.rotate) for name, camera in yard.cameras.items()} == {
        "front": ("rtsp://10.0.0.9/1", 0),
        "main": ("/dev/video0", 180),
    }
    assert fleet.node("Hall_1", "network.txt").read_text().splitlines()[1:] == [
        "hostname = hall-1",
        "timezone = Europe/Berlin",
        "wifi_ssid = Home",
        "wifi_password = pass, word",
        "wifi_country = DE",
        "wifi_hidden = yes",
        "address = 192.168.1.20/24",
        "gateway = 192.168.1.1",
        "dns = 9.9.9.9 1.1.1.1",
    ]
    assert sorted(path.name for path in fleet.node("yard", ".").iterdir()) == [
        "ca.pem",
        "cert.pem",
        "edgeface.toml",
        "key.pem",
        "network.txt",
    ]
    access = (fleet.out / "broker" / "acl").read_text()
    assert "topic read shop/Hall_1/command/pause\n" in access
    assert "homeassistant/device/edgeface_Hall__1_camera_main/config" in access
    assert not [
        line for line in access.partition("user homeassistant")[0].splitlines() if "+" in line or line.endswith("#")
    ]
    for path in (fleet.out, *fleet.out.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


@given(
    st.text(min_size=1, max_size=32).filter(lambda name: name.isprintable() and len(name.encode()) <= 32),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8, max_size=63),
)
@example('"Home"', "'quoted' #1'")
@example("#Café; 日本=", "# a;b,c=d #")
@example("\u201cHome\u201d", '"long enough"')
@example("Home", " blanks round it ")
@example("Home ", "12345678")
@example("Home", " " * 8)
def test_the_card_reads_what_the_table_says(ssid: str, password: str) -> None:
    """What opens the network is written for people and read by a program: nothing of it may get lost between."""
    out = io.StringIO()
    csv.writer(out).writerows([["name", "wifi_ssid", "wifi_password", "wifi_country"], ["hall", ssid, password, "DE"]])
    if (ssid, password) != (ssid.strip(), password.strip()):
        with pytest.raises(
            TableError, match="row 2: wifi_(ssid|password) (begins or ends with a blank|stands without)"
        ):
            read_rows(out.getvalue().encode(), "nodes.csv")
        return
    (row,) = read_rows(out.getvalue().encode(), "nodes.csv")
    node = render(row, {}, broker="broker.lan", place="nodes.csv")
    read = network_txt.read(node.files["network.txt"])
    assert read.complaints == ()
    assert read.settings.wifi == wifi(ssid.encode(), password, hidden=False)


@needs_openssl
def test_one_node_more_changes_nobody_else(fleet: Fleet) -> None:
    rows = [f"node{number};{'certificate' if number % 2 else ''};door=0" for number in range(6)]
    fleet.run(*rows)
    before = fleet.tree()
    assert fleet.run() == fleet.run()
    assert fleet.tree() == before
    report = fleet.run("first;certificate;", *rows, "zlast;;")
    assert (report.added, report.changed, report.rotated) == (["first", "zlast"], [], [])
    new = {f"nodes/{node}/{file}" for node in ("first", "zlast") for file in ("ca.pem", "edgeface.toml", "network.txt")}
    new |= {"nodes/first/cert.pem", "nodes/first/key.pem", "nodes/zlast/password"}
    assert fleet.changed(before) == {*new, "broker/acl", "broker/passwords", "fleet.json"}
    for name, between in (("broker/acl", b"\nuser "), ("broker/passwords", b"\n")):
        old, now = before[name][0].split(between), fleet.tree()[name][0].split(between)
        assert [part for part in now if part in old] == old


@needs_openssl
def test_what_was_said_once_holds(fleet: Fleet, tmp_path: Path) -> None:
    base = tmp_path / "base.toml"
    base.write_text("[commands]\nenabled = true\n")
    fleet.run("hall;;", base=base, broker_folder="/srv/broker")
    before = fleet.tree()
    assert fleet.run(broker=None, base=None, broker_folder=None).changed == []
    assert fleet.changed(before) == set()
    base.unlink()
    with pytest.raises(ConfigError, match=r"base\.toml, which all nodes share, does not exist"):
        fleet.run(base=None)


@needs_openssl
def test_a_row_that_changes_changes_its_node_alone(fleet: Fleet) -> None:
    fleet.run("hall;;door=0", "yard;;door=0")
    before = fleet.tree()
    assert fleet.run("hall;;door=0 back=1", "yard;;door=0").changed == ["hall"]
    assert fleet.changed(before) == {"nodes/hall/edgeface.toml", "broker/acl", "fleet.json"}


@needs_openssl
def test_another_broker_is_one_more_name_in_its_certificate(fleet: Fleet) -> None:
    def names() -> list[str]:
        words = ["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", str(fleet.out / "broker/broker.pem")]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        return said.strip().splitlines()[1].split()

    fleet.run("hall;;")
    report = fleet.run(broker="broker.lan")
    assert (report.changed, report.renewed) == (["hall"], ["broker"])
    assert names() == ["IP", "Address:127.0.0.1,", "DNS:broker.lan"]
    before = fleet.tree()
    # A run that says nothing of it, and one that goes back: nothing is signed again.
    assert fleet.run(broker=None).renewed == []
    assert fleet.changed(before) == set()
    assert fleet.run(broker="127.0.0.1").renewed == []
    assert fleet.changed(before) == {"nodes/hall/edgeface.toml", "fleet.json"}
    for number in range(9):
        fleet.run(broker=f"broker{number}.lan")
    assert names()[-1] == "DNS:broker8.lan"
    assert len(names()) == 8


@needs_openssl
def test_who_is_in_no_row_stays_and_is_told(fleet: Fleet) -> None:
    fleet.run("hall;;", "yard;certificate;")
    before = fleet.tree()
    assert fleet.run("hall;;").absent == ["yard"]
    assert fleet.changed(before) == set()


@needs_openssl
def test_what_somebody_edited_stays(fleet: Fleet) -> None:
    fleet.run("hall;;", "yard;;")
    path = fleet.node("hall", "edgeface.toml")
    path.write_text(path.read_text() + "[visits]\nlost_after = 5\n")
    mine = path.read_text()
    assert fleet.run().edited == []
    assert path.read_text() == mine
    report = fleet.run("hall;;door=1", "yard;;")
    assert (report.edited, path.read_text()) == ([str(path)], mine)
    path.unlink()
    assert fleet.run().edited == []
    assert "door" in path.read_text()


@needs_openssl
def test_secrets_that_were_taken_away_still_hold_until_they_are_rotated(fleet: Fleet) -> None:
    fleet.run("hall;;", "yard;certificate;")
    lines = (fleet.out / "broker/passwords").read_text()
    shutil.rmtree(fleet.out / "nodes")
    report = fleet.run()
    assert report.bare == ["hall", "yard"]
    assert (fleet.out / "broker/passwords").read_text() == lines
    assert not fleet.node("hall", "password").exists()
    report = fleet.run(rotate=("hall", "yard"))
    assert (report.rotated, report.bare) == (["hall", "yard"], [])
    assert fleet.node("hall", "password").exists()
    assert fleet.node("yard", "key.pem").exists()


@needs_openssl
def test_rotating_is_for_the_node_alone_and_ends_what_it_had(fleet: Fleet) -> None:
    fleet.run("hall;;", "yard;certificate;", "shed;certificate;")
    before, password = fleet.tree(), fleet.node("hall", "password").read_text().strip()
    line = next(line for line in (fleet.out / "broker/passwords").read_text().splitlines() if line.startswith("hall:"))
    assert is_line_of(line, "hall", password)
    assert fleet.run(rotate=("hall", "yard")).rotated == ["hall", "yard"]
    assert fleet.changed(before) == {
        "nodes/hall/password",
        "nodes/yard/cert.pem",
        "nodes/yard/key.pem",
        "broker/passwords",
        "broker/crl.pem",
    }
    assert fleet.node("hall", "password").read_text().strip() != password
    assert not is_line_of(line, "hall", fleet.node("hall", "password").read_text().strip())
    assert verified(fleet, "yard") and verified(fleet, "shed")
    old = fleet.out / "old.pem"
    old.write_bytes(before["nodes/yard/cert.pem"][0])
    assert not verified_file(fleet, old)


@needs_openssl
def test_revoking_takes_all_rights_and_a_row_does_not_give_them_back(fleet: Fleet) -> None:
    fleet.run("hall;;", "yard;certificate;", "shed;;")
    certificate = fleet.node("yard", "cert.pem").read_bytes()
    assert fleet.run(revoke=("hall", "yard")).revoked == ["hall", "yard"]
    access = (fleet.out / "broker/acl").read_text()
    assert "user shed" in access
    assert "hall" not in access + (fleet.out / "broker/passwords").read_text()
    assert "yard" not in access
    old = fleet.out / "old.pem"
    old.write_bytes(certificate)
    assert not verified_file(fleet, old)
    assert not fleet.node("hall", "password").exists()
    assert not fleet.node("yard", "key.pem").exists()
    with pytest.raises(
        TableError, match=r"row 2: hall was revoked; take the row out, or let it in again with --rotate"
    ):
        fleet.run()
    assert fleet.run("shed;;").absent == []
    assert fleet.run("shed;;", "hall;;", rotate=("hall",)).added == ["hall"]
    assert "user hall" in (fleet.out / "broker/acl").read_text()


@needs_openssl
def test_renewing_keeps_keys_and_lets_the_one_before_hold(fleet: Fleet) -> None:
    fleet.run("hall;;", "yard;certificate;")
    before = fleet.tree()
    assert fleet.run(renew_days=100).renewed == []
    assert fleet.changed(before) == set()
    later = NOW + timedelta(days=3600)
    assert fleet.run(renew_days=100, now=later).renewed == ["broker", "yard"]
    assert fleet.changed(before) == {"nodes/yard/cert.pem", "broker/broker.pem"}
    assert file_end(fleet.node("yard", "cert.pem")) == later + timedelta(days=3650)
    old = fleet.out / "old.pem"
    old.write_bytes(before["nodes/yard/cert.pem"][0])
    assert verified_file(fleet, old)


@needs_openssl
def test_another_way_to_prove_itself_ends_the_one_before(fleet: Fleet) -> None:
    fleet.run("hall;;", "yard;certificate;")
    certificate = fleet.node("yard", "cert.pem").read_bytes()
    report = fleet.run("hall;certificate;", "yard;;")
    assert report.rotated == ["hall", "yard"]
    assert sorted(path.name for path in fleet.node("hall", ".").iterdir()) == [
        "ca.pem",
        "cert.pem",
        "edgeface.toml",
        "key.pem",
        "network.txt",
    ]
    assert not fleet.node("yard", "key.pem").exists()
    passwords = (fleet.out / "broker/passwords").read_text()
    assert "yard:" in passwords
    assert "hall:" not in passwords
    old = fleet.out / "old.pem"
    old.write_bytes(certificate)
    assert not verified_file(fleet, old)


@needs_openssl
def test_a_run_that_was_killed_is_taken_up(fleet: Fleet) -> None:
    """Before it is remembered nothing was used: the broker's lists are written last."""
    fleet.run("hall;;", "yard;certificate;")
    (fleet.out / "fleet.json").unlink()
    (fleet.out / "broker/passwords").unlink()
    fleet.node("yard", "cert.pem").unlink()
    password = fleet.node("hall", "password").read_text()
    fleet.run()
    assert fleet.node("hall", "password").read_text() == password
    assert verified(fleet, "yard")


@needs_openssl
@pytest.mark.parametrize(
    ("orders", "words"),
    [
        ({"rotate": ("attic",)}, "--rotate attic: no node is called that; known are hall, porch, yard"),
        ({"revoke": ("attic",)}, "--revoke attic: no node is called that"),
        ({"revoke": ("porch",)}, "--revoke porch: no node is called that; known are hall, yard"),
        ({"revoke": ("hall",), "rotate": ("hall",)}, "--rotate and --revoke hall"),
        ({"rotate": ("yard",)}, "--rotate yard: it is in no row of"),
        ({"base": Path("no.toml")}, "no.toml, which all nodes share, does not exist"),
    ],
)
def test_orders_that_cannot_be_followed_change_nothing(orders: Mapping[str, Any], words: str, fleet: Fleet) -> None:
    fleet.run("hall;;", "yard;;")
    fleet.write("hall;;", "porch;;")
    before = fleet.tree()
    with pytest.raises(EdgefaceError, match=words):
        fleet.run(**orders)
    assert fleet.tree() == before


def test_folders_and_bases_that_are_not_meant(fleet: Fleet, tmp_path: Path) -> None:
    fleet.write("hall;;")
    base = tmp_path / "base.toml"
    for text, words in (
        ('[mqtt]\npassword = "secret"\n', r"mqtt\.password is each node's own; take it out"),
        ('[node]\nid = "x"\n', r"node\.id is each node's own"),
        ("[mqtt]\nprefx = 1\n", r"base\.toml: .*prefx"),
    ):
        base.write_text(text)
        with pytest.raises(ConfigError, match=words) as caught:
            fleet.run(base=base)
        assert "secret" not in str(caught.value)
    with pytest.raises(UsageError, match="give --broker HOST"):
        fleet.run(broker=None)
    fleet.out.mkdir()
    (fleet.out / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(ConfigError, match="is no fleet's folder; give an empty or a new one"):
        fleet.run()
    (fleet.out / "fleet.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not what provision wrote"):
        fleet.run()


def test_without_openssl_it_says_so(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fleet.write("hall;;")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeMissingError, match="sudo apt install openssl"):
        fleet.run()


@needs_openssl
@pytest.mark.parametrize("lost", ["ca.key", "ca.pem", ""])
def test_a_lost_authority_is_not_replaced_by_another(fleet: Fleet, lost: str) -> None:
    fleet.write("hall;certificate", head="name;auth")
    words = ["provision", str(fleet.table), "--out", str(fleet.out), "--broker", "broker.lan"]
    assert main(words) == 0
    before = fleet.node("hall", "ca.pem").read_bytes()
    place = fleet.out / "ca" / lost
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    fleet.write("hall;certificate", "yard;certificate", head="name;auth")
    assert main(words) == 1
    assert fleet.node("hall", "ca.pem").read_bytes() == before
    assert not (fleet.out / "nodes" / "yard").exists()


@needs_openssl
@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("index.txt", None, "has no index.txt"),
        ("index.txt", "", "row 1 of .*index.txt is none that OpenSSL wrote"),
        ("index.txt", "V\t36", "row 1 of .*index.txt is none that OpenSSL wrote"),
        ("index.txt", f"{ROW}V\t36Z\t\tA", "row 2 of .*index.txt is none that"),
        ("index.txt", ROW.replace("Z", "0Z"), "row 1 of .*index.txt is none that"),
        ("index.txt", f"{ROW}{ROW}", "row 2 of .*index.txt is none that"),
        ("index.txt", "\0" * 200, "row 1 of .*index.txt is none that OpenSSL wrote"),
        ("index.txt", b"\xff\xfe", "row 1 of .*index.txt is none that OpenSSL wrote"),
        ("crlnumber", None, "has no crlnumber"),
        ("crlnumber", "", "crlnumber is no number that OpenSSL wrote"),
        ("crlnumber", "zz\n", "crlnumber is no number that OpenSSL wrote"),
        ("ca.key", "junk", "ca.key is none that OpenSSL wrote"),
        ("ca.key", OTHERS, "ca.key is not the key of ca.pem"),
        ("ca.pem", "junk", "ca.pem is none that OpenSSL wrote"),
    ],
)
def test_broken_books_are_said_in_our_words_and_nothing_is_written(
    name: str, text: str | bytes | None, words: str, fleet: Fleet
) -> None:
    """Without its index a fleet's revoked certificates would hold again, and nobody would notice."""
    fleet.run("hall;certificate;", "yard;certificate;")
    path = fleet.out / "ca" / name
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = fleet.tree()
    with pytest.raises(EdgefaceError, match=f"{words}.*; take the folder from a backup") as caught:
        fleet.run(revoke=("hall",))
    assert "openssl" not in str(caught.value)
    assert fleet.tree() == before


@needs_openssl
def test_the_list_of_what_was_revoked_is_made_again_from_the_books(fleet: Fleet) -> None:
    fleet.run("hall;certificate;", "yard;certificate;")
    fleet.run(revoke=("hall",))
    (fleet.out / "ca/crl.pem").unlink()
    (fleet.out / "broker/crl.pem").unlink()
    assert fleet.run("yard;certificate;").restored == ["broker/crl.pem"]
    words = ["openssl", "crl", "-noout", "-text", "-in", str(fleet.out / "broker/crl.pem")]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert text.count("Serial Number:") == 1


@needs_openssl
def test_an_empty_password_file_lets_nobody_in(fleet: Fleet) -> None:
    """An editor or a full disk leaves one; the line at the broker stays, and the row is told to be without a secret."""
    fleet.run("hall;;")
    lines = (fleet.out / "broker/passwords").read_text()
    fleet.node("hall", "password").write_text("\n")
    report = fleet.run("hall;;")
    assert (report.bare, report.restored) == (["hall"], [])
    assert (fleet.out / "broker/passwords").read_text() == lines
    account = fleet.out / "accounts/operator"
    account.write_text("")
    assert fleet.run("hall;;").restored == ["accounts/operator", "broker/passwords"]
    assert len(account.read_text().strip()) == 32


@needs_openssl
def test_a_certificate_that_is_not_there_any_more_cannot_be_revoked(fleet: Fleet) -> None:
    fleet.run("hall;certificate;")
    shutil.rmtree(fleet.out / "ca/certs")
    with pytest.raises(EdgefaceError, match=r"ca/certs/[0-9A-F]+\.pem.*is gone; take the folder from a backup"):
        fleet.run(revoke=("hall",))


@needs_openssl
def test_on_the_command_line_no_secret_is_shown(fleet: Fleet, tmp_path: Path) -> None:
    fleet.write("hall;;Home;pass-word", "yard;certificate;;", head="name;auth;wifi_ssid;wifi_password")
    words = [sys.executable, "-m", "edgeface", "provision", str(fleet.table), "--out", str(fleet.out)]

    def edgeface(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, *more], capture_output=True, text=True, check=False, cwd=tmp_path)

    done = edgeface("--broker", "broker.lan:1883")
    assert (
        done.stderr == "edgeface: --broker broker.lan:1883 is no name or address; give it without port and brackets\n"
    )
    done = edgeface("--broker", "broker.lan")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(
        "row 2: wifi_ssid stands without wifi_country; write two letters: radio is off without\n"
    )
    fleet.write("hall;;Home;pass-word;DE", "yard;certificate;;", head="name;auth;wifi_ssid;wifi_password;wifi_country")
    done = edgeface("--broker", "broker.lan")
    assert (done.returncode, done.stdout) == (
        0,
        f"added: hall, yard\n{fleet.out}: nodes/ for the nodes, broker/ for the broker\n",
    )
    done = edgeface("--rotate", "hall")
    secrets = [fleet.node("hall", "password").read_text().strip(), "pass-word", "PRIVATE"]
    assert done.stdout.startswith("rotated: hall\n")
    assert not [secret for secret in secrets if secret in done.stdout + done.stderr]
    assert edgeface().stdout == f"{fleet.out}: nothing has changed\n"
    (fleet.out / "broker/acl").unlink()
    (fleet.out / "accounts/operator").unlink()
    done = edgeface()
    assert done.stdout.splitlines() == [
        "written again: accounts/operator, broker/acl, broker/passwords",
        f"{fleet.out}: nodes/ for the nodes, broker/ for the broker",
    ]
    fleet.node("yard", "ca.pem").unlink()
    assert edgeface().stdout.startswith("changed: yard\n")


@needs_openssl
def test_two_hundred_nodes_in_seconds(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    rows = [f"node{number:03};certificate;door=0 back=1" for number in range(200)]
    start = time.monotonic()
    assert len(fleet.run(*rows).added) == 200
    # A bound against what grows with the square; the figure is in the documents.
    assert time.monotonic() - start < 60
    before = fleet.tree()
    assert fleet.run(*rows, "node200;;").added == ["node200"]
    assert not [name for name in fleet.changed(before) if name.startswith("nodes/") and "node200" not in name]
    assert "PRIVATE" not in caplog.text


def test_lines_of_a_password_file(tmp_path: Path) -> None:
    line = password_line("hall", "secret", b"123456789012")
    assert line.startswith("hall:$7$101$MTIzNDU2Nzg5MDEy$")
    assert is_line_of(line, "hall", "secret")
    assert not is_line_of(line, "hall", "Secret")
    assert not is_line_of(line, "yard", "secret")
    assert not is_line_of("hall:plain", "hall", "plain")


def verified(fleet: Fleet, name: str) -> bool:
    return verified_file(fleet, fleet.node(name, "cert.pem"))


def verified_file(fleet: Fleet, certificate: Path) -> bool:
    """Whether OpenSSL takes it, with what was revoked."""
    broker = fleet.out / "broker"
    words = f"verify -crl_check -CRLfile {broker}/crl.pem -CAfile {broker}/ca.pem -purpose sslclient {certificate}"
    return subprocess.run(["openssl", *words.split()], capture_output=True, check=False).returncode == 0
