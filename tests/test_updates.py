"""Where a bundle comes from and why it is believed: addresses, sha256, signatures, keys, versions."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from brokers import AnyBroker, Auditor, eventually
from bundles import DEFAULT, copy
from daemons import NO_CAMERA, Child
from test_installing import entry, manifest_of, members, with_manifest, write
from web import Answer, Web, head, status, whole

from edgeface.bundle import MANIFEST, open_bundle
from edgeface.errors import BundleError, ConfigError, EdgefaceError, RuntimeMissingError, UsageError
from edgeface.installing import hidden, install
from edgeface.updates import Limits, Trust, is_older, read_keys
from edgeface.updates.fetch import fetch

MOST = 100_000
NAMESPACE = "edgeface-bundle"


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    server = Web(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
    yield server
    server.stop()


def packed(path: Path, **changes: object) -> Path:
    """The small bundle with another manifest, say of another version."""
    content = members()
    return write(path, with_manifest(content, manifest_of(content) | changes))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edgeface(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeface", "models", "install", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


# Addresses


def test_an_address_is_fetched_proved_and_installed(web: Web, tmp_path: Path) -> None:
    archive = write(tmp_path / "small.tar", members())
    last = web.give("/new/small.tar", archive.read_bytes())
    first = web.give("/small.tar", status(302, Location=last))
    place = tmp_path / "models"
    done = edgeface(first, "--sha256", sha256(archive).upper(), "--to", place, "--keys", tmp_path / "none")
    assert done.stderr == (
        f"edgeface: there is no folder {tmp_path / 'none'}; name the folder of public keys with --keys\n"
    )
    (tmp_path / "none").mkdir()
    done = edgeface(first, "--sha256", sha256(archive).upper(), "--to", place, "--keys", tmp_path / "none")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"small 0.2.0 is installed in {place / 'small'}\n")
    assert [path.name for path in place.iterdir()] == ["small"]
    assert web.asked == ["/small.tar", "/new/small.tar"]


def silent(request: BaseHTTPRequestHandler, stopping: threading.Event) -> None:
    head(request, Content_Length=1000)
    stopping.wait(60)


def dripping(request: BaseHTTPRequestHandler, stopping: threading.Event) -> None:
    """A byte now and then, before the headers end: no wait for a single one is ever too long."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not stopping.wait(0.02):
        request.wfile.write(b"x")


def endless(request: BaseHTTPRequestHandler, _: object) -> None:
    head(request)
    while True:
        request.wfile.write(bytes(1 << 16))


def rubbish(request: BaseHTTPRequestHandler, _: object) -> None:
    request.wfile.write(bytes(100) + b"\r\n")


ANSWERS: Mapping[str, tuple[Answer, str]] = {
    "sent to http": (
        status(302, Location="http://localhost/small.tar"),
        "sends us to http://localhost/small",
    ),
    "sent to a file": (status(302, Location="file:///etc/shadow"), "is no https address|not allowed"),
    "sent in a circle": (status(302, Location="/small.tar"), "answers 302"),
    "not there": (status(404), "answers 404 Not Found; check the address"),
    "broken": (status(500), "answers 500"),
    "a page": (whole(b"<html>log in</html>", kind="text/html; charset=utf-8"), "is a page for people"),
    "too large by its own words": (whole(b"", said=10**12), r"has 1,000,000,000,000 bytes, at most"),
    "without end": (endless, "has more than"),
    "cut short": (whole(b"x" * 1000, said=1001), "ended too early"),
    "another file": (whole(b"x" * 1000), "is another file: its sha256 is"),
    "silent": (silent, r"was silent for 0\.3 s"),
    "byte by byte": (dripping, r"was not here within 0\.7 s"),
    "no http": (rubbish, "cannot be fetched"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_is_no_archive_is_one_line_and_nothing_else(
    kind: str, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeface.installing.MOST_BYTES", MOST)
    answer, words = ANSWERS[kind]
    address = web.give("/small.tar", answer)
    limits = Limits(silence_s=0.3, total_s=0.7 if kind == "byte by byte" else 20)
    with pytest.raises(EdgefaceError, match=words) as caught:
        install(address, tmp_path / "models", trust=Trust(sha256="0" * 64, limits=limits, keys=tmp_path / "none"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_a_full_disk_is_not_the_networks_fault(web: Web) -> None:
    address = web.give("/small.tar", b"x" * MOST)
    with pytest.raises(EdgefaceError, match="/dev cannot be written: No space left on device; free some room"):
        fetch(address, Path("/dev/full"), most_bytes=MOST, limits=Limits())


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://localhost/small.tar", "is no https address"),
        ("ftp://localhost/small.tar", "is no https address"),
        ("file:///etc/shadow", "is no https address; give https://HOST/PATH, or the path of a file"),
        ("https:/localhost/small.tar", "is no https address"),
        ("https://[::1/small.tar", "is no https address"),
        ("https://anna:secret@localhost/small.tar", r"https://\*\*\*@localhost/small.tar holds a password"),
        ("https://localhost/a b.tar", "holds a blank"),
        ("https://localhost:1/small.tar", "cannot be fetched: .*refused"),
        ("https://no.such.host.invalid/small.tar", "cannot be fetched"),
    ],
)
def test_an_address_that_cannot_be_is_one_line(address: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(EdgefaceError, match=words) as caught:
        install(address, tmp_path / "models", trust=Trust(sha256="0" * 64, keys=tmp_path / "none"))
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_a_server_that_nobody_vouches_for_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Web(tmp_path, trusted=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
    try:
        with pytest.raises(EdgefaceError, match="certificate that is not trusted: .*this machine's clock"):
            install(f"{server.address}/small.tar", tmp_path / "models", trust=Trust(sha256="0" * 64))
        assert server.asked == []
    finally:
        server.stop()


def test_an_address_needs_a_proof(web: Web, tmp_path: Path) -> None:
    address = web.give("/small.tar", write(tmp_path / "small.tar", members()).read_bytes())
    with pytest.raises(UsageError, match=r"nothing says that .* is what it should be; give --sha256, or put"):
        install(address, tmp_path / "models", trust=Trust(keys=tmp_path / "none"))
    with pytest.raises(UsageError, match="is no https address"):
        install("http://localhost/small.tar", tmp_path / "models", trust=Trust(keys=tmp_path / "none"))
    assert web.asked == []


@pytest.mark.parametrize("given", ["", "12", "g" * 64, "0" * 63])
def test_a_sha256_that_is_none_is_a_usage_error(given: str, tmp_path: Path) -> None:
    archive = write(tmp_path / "small.tar", members())
    with pytest.raises(UsageError, match="is no sha256; give the 64 digits"):
        install(archive, tmp_path / "models", trust=Trust(sha256=given, keys=tmp_path / "none"))


def test_a_file_is_held_against_its_sha256(tmp_path: Path) -> None:
    archive, keys = write(tmp_path / "small.tar", members()), tmp_path / "none"
    line = subprocess.run(["sha256sum", archive], capture_output=True, text=True, check=True).stdout
    install(archive, tmp_path / "models", trust=Trust(sha256=line, keys=keys))
    with pytest.raises(BundleError, match="is another file"):
        install(archive, tmp_path / "models", trust=Trust(sha256="0" * 64, keys=keys))


def test_killed_while_it_fetches_the_one_before_stands(web: Web, tmp_path: Path) -> None:
    place = tmp_path / "models"
    install(write(tmp_path / "small.tar", members()), place)
    words = [web.give("/small.tar", silent), "--sha256", "0" * 64, "--to", str(place)]
    child = subprocess.Popen([sys.executable, "-m", "edgeface", "models", "install", *words])
    eventually(lambda: any((folder / "archive").exists() for folder in place.glob(".edgeface-*")), "the first bytes")
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    open_bundle(place / "small")
    install(tmp_path / "small.tar", place)
    assert [path.name for path in place.iterdir()] == ["small"]


# Signatures


class Ssh:
    """A key of OpenSSH, and what the documents say to sign with."""

    suffix = ".sig"

    def __init__(self, folder: Path, name: str, *options: str) -> None:
        self.secret = folder / name
        words = ["ssh-keygen", "-q", "-t", "ed25519", *options, "-N", "", "-C", f"{name} key", "-f", str(self.secret)]
        subprocess.run(words, check=True)
        self.public = folder / f"{name}.pub"

    def sign(self, archive: Path, namespace: str = NAMESPACE) -> Path:
        words = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(self.secret), str(archive)]
        archive.with_name(f"{archive.name}.sig").unlink(missing_ok=True)
        subprocess.run(words, check=True, capture_output=True)
        return archive.with_name(f"{archive.name}.sig")


class Minisign:
    """A key of minisign without a password."""

    suffix = ".minisig"

    def __init__(self, folder: Path, name: str) -> None:
        self.secret, self.public = folder / f"{name}.secret", folder / f"{name}.minisign.pub"
        words = ["minisign", "-G", "-W", "-p", str(self.public), "-s", str(self.secret)]
        subprocess.run(words, check=True, capture_output=True)

    def sign(self, archive: Path) -> Path:
        words = ["minisign", "-S", "-m", str(archive), "-s", str(self.secret)]
        subprocess.run(words, check=True, capture_output=True, input=b"\n")
        return archive.with_name(f"{archive.name}.minisig")


def makers() -> list[Any]:
    programs = {"ssh-keygen": (Ssh, "openssh-client"), "minisign": (Minisign, "minisign")}
    return [
        pytest.param(
            maker, id=program, marks=pytest.mark.skipif(shutil.which(program) is None, reason=f"apt install {package}")
        )
        for program, (maker, package) in programs.items()
    ]


signing = pytest.mark.parametrize("maker", makers())
Maker = Callable[[Path, str], Any]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    return folder


@signing
def test_only_what_a_key_has_signed_is_taken(maker: Maker, tmp_path: Path, keys: Path) -> None:
    place, trust = tmp_path / "models", Trust(keys=keys)
    ours, other = maker(tmp_path, "ours"), maker(tmp_path, "other")
    shutil.copy(ours.public, keys / "ours.pub")
    shutil.copy(maker(tmp_path, "older").public, keys / "older.pub")
    archive = packed(tmp_path / "small.tar", version="1.0")

    with pytest.raises(BundleError, match=rf"is not signed \(no .*small\.tar{ours.suffix}\), and .* holds keys"):
        install(archive, place, trust=trust)
    with pytest.raises(BundleError, match="is not signed"):
        install(archive, place, trust=Trust(keys=keys, sha256=sha256(archive)))
    other.sign(archive)
    with pytest.raises(BundleError, match="the signature of .* is by none of the keys"):
        install(archive, place, trust=trust)
    assert not place.exists()

    signature = ours.sign(archive)
    assert install(archive, place, trust=trust).manifest.version == "1.0"
    elsewhere = tmp_path / "moved"
    signature.rename(elsewhere)
    install(archive, place, trust=Trust(keys=keys, signature=str(elsewhere)))
    with pytest.raises(BundleError, match="is another file"):
        install(archive, place, trust=Trust(keys=keys, signature=str(elsewhere), sha256="0" * 64))

    packed(archive, version="2.0")
    with pytest.raises(BundleError, match="the signature of .* or of another file"):
        install(archive, place, trust=Trust(keys=keys, signature=str(elsewhere)))
    assert open_bundle(place / "small").manifest.version == "1.0"


@signing
def test_a_signature_lies_beside_an_address(maker: Maker, web: Web, tmp_path: Path, keys: Path) -> None:
    ours = maker(tmp_path, "ours")
    shutil.copy(ours.public, keys / "ours.pub")
    archive = write(tmp_path / "small.tar", members())
    address = web.give("/small.tar?token=abc", archive.read_bytes())
    place, trust = tmp_path / "models", Trust(keys=keys)
    with pytest.raises(BundleError, match=rf"no https://.*/small\.tar{ours.suffix}\?token=\*\*\*") as caught:
        install(address, place, trust=trust)
    assert "abc" not in str(caught.value)
    web.give(f"/small.tar{ours.suffix}?token=abc", ours.sign(archive).read_bytes())
    install(address, place, trust=trust)
    web.give(f"/small.tar{ours.suffix}?token=abc", b"x" * 1_000_000)
    with pytest.raises(BundleError, match="has 1,000,000 bytes, at most 16,384 are taken"):
        install(address, place, trust=trust)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="apt install openssh-client")
def test_a_signature_for_something_else_says_nothing(tmp_path: Path, keys: Path) -> None:
    ours = Ssh(tmp_path, "ours")
    shutil.copy(ours.public, keys / "ours.pub")
    archive = write(tmp_path / "small.tar", members())
    ours.sign(archive, namespace="git")
    with pytest.raises(BundleError, match="not for edgeface-bundle"):
        install(archive, tmp_path / "models", trust=Trust(keys=keys))


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="apt install openssh-client")
def test_without_the_program_nothing_is_believed(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Ssh(tmp_path, "ours")
    shutil.copy(ours.public, keys / "ours.pub")
    archive = write(tmp_path / "small.tar", members())
    ours.sign(archive)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeMissingError, match="ssh-keygen, .*; sudo apt install openssh-client"):
        install(archive, tmp_path / "models", trust=Trust(keys=keys))


SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5M9hYJgbu3ZRnFDP8nOCDXnUeF5oYg2kU6pwbBn4tR"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no public key"),
        ("# a remark\n", "is no public key"),
        ("hello\n", "is no public key of OpenSSH or minisign; put the file that ends with .pub there, or remove it"),
        (f"{SSH_KEY}\nhello\n", "is no public key"),
        (f'command="x" {SSH_KEY}\n', "is no public key"),
        (f"{SSH_KEY}\n" * 300, "is no public key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "is a secret key; take it away"),
        ("untrusted comment: minisign encrypted secret key\nRWR\n", "is a secret key"),
        ("untrusted comment: minisign public key\nRWQshort\n", "is no public key"),
    ],
)
def test_what_is_no_key_stops_everything(text: str, words: str, keys: Path) -> None:
    (keys / "maker").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_keys(keys)


def test_keys_as_people_leave_them(keys: Path) -> None:
    assert not read_keys(keys.parent / "none")
    assert not read_keys(keys)
    (keys / ".gitkeep").write_text("")
    (keys / "two.pub").write_bytes(f"\ufeff# of the workshop\r\n{SSH_KEY} anna@desk\r\n\r\n{SSH_KEY}\r\n".encode())
    found = read_keys(keys)
    assert (len(found.ssh), found.kinds) == (2, ("ssh",))
    (keys / "two.pub").chmod(0o664)
    with pytest.raises(ConfigError, match=r"may be written by others, .*; sudo chown -R root: .* go-w"):
        read_keys(keys)
    (keys / "two.pub").chmod(0o644)
    keys.chmod(0o777)
    with pytest.raises(ConfigError, match="may be written by others"):
        read_keys(keys)


def test_a_signature_without_a_key_is_a_usage_error(tmp_path: Path) -> None:
    archive = write(tmp_path / "small.tar", members())
    with pytest.raises(UsageError, match="holds no key to verify a signature with"):
        install(archive, tmp_path / "models", trust=Trust(keys=tmp_path / "none", signature="x.sig"))


# Versions


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        ("1.9", "1.10", True),
        ("1.10", "1.9", False),
        ("1.0", "1.0.0", False),
        ("1.0.0", "1.0", False),
        ("v1.0", "1.1", True),
        ("1.0-rc1", "1.0", True),
        ("1.0", "1.0-rc1", False),
        ("1.0-rc2", "1.0-rc10", True),
        ("1.0a", "1.0b", True),
        ("1.0+of-monday", "1.0", False),
        ("2026-11-30", "2026-12-01", True),
        ("summer", "summer", False),
        ("summer", "1.0", None),
        ("", "1.0", None),
    ],
)
def test_which_is_older(one: str, other: str, older: bool | None) -> None:
    assert is_older(one, other) is older


def test_no_older_one_without_being_asked(tmp_path: Path) -> None:
    place = tmp_path / "models"
    install(packed(tmp_path / "new.tar", version="1.10"), place)
    old = packed(tmp_path / "old.tar", version="1.9")
    done = edgeface(old, "--to", place)
    assert done.returncode == 2
    assert done.stderr == (
        f"edgeface: version 1.9 of bundle small is older than 1.10, which is in {place / 'small'}; "
        "give --downgrade to install it all the same\n"
    )
    with pytest.raises(BundleError, match="version summer of bundle small cannot be compared with 1.10"):
        install(packed(tmp_path / "odd.tar", version="summer"), place)
    install(tmp_path / "new.tar", place)
    assert edgeface(old, "--to", place, "--downgrade").returncode == 0
    (place / "small" / MANIFEST).write_text("{")
    install(packed(tmp_path / "oldest.tar", version="0.1"), place)


def test_an_installed_one_that_hides_a_newer_one_of_the_package_is_told(tmp_path: Path) -> None:
    """It stays in use, for somebody installed it; but an upgrade that changes nothing is a riddle without a word."""
    ours, package = tmp_path / "installed", tmp_path / "package"
    install(packed(tmp_path / "new.tar", version="0.10"), package)
    bundle = install(packed(tmp_path / "old.tar", version="0.9"), ours)
    places = (ours, package)
    said = str(hidden(bundle, places))
    assert said == (
        f"bundle small 0.9, installed in {ours / 'small'}, hides the newer 0.10 of {package / 'small'}; "
        "sudo edgeface models remove small, then sudo systemctl reload edgeface"
    )
    assert hidden(open_bundle(package / "small"), places) is None
    assert hidden(bundle, (ours, tmp_path / "nothing")) is None
    assert hidden(install(packed(tmp_path / "same.tar", version="0.10"), ours), places) is None


# What the device says of it


def test_one_that_fails_here_leaves_the_one_before(tmp_path: Path) -> None:
    place = tmp_path / "models"
    install(packed(tmp_path / "one.tar", version="1"), place)
    content = members()
    manifest = manifest_of(content) | {"version": "2"}
    manifest["networks"][0]["head"]["labels"] = ["a", "b", "c"]
    with pytest.raises(BundleError, match="values for 3 labels"):
        install(write(tmp_path / "two.tar", with_manifest(content, manifest)), place)
    assert open_bundle(place / "small").manifest.version == "1"
    assert [path.name for path in place.iterdir()] == ["small"]


def test_one_that_the_configuration_cannot_go_on_with_is_refused(tmp_path: Path) -> None:
    """It would run until the next start, and then never again."""
    archive, place = write(tmp_path / "small.tar", members()), tmp_path / "models"
    config = tmp_path / "edgeface.toml"
    config.write_text('bundle = "small"\n[attributes]\nage = "age-of-mine"\n')
    done = edgeface(archive, "--to", place, "--config", config)
    assert done.returncode == 2
    assert "attributes.age: bundle small has no network 'age-of-mine'" in done.stderr
    config.write_text('bundle = "small"\n')
    done = edgeface(archive, "--to", place, "--config", config)
    assert (done.returncode, done.stderr) == (
        2,
        "edgeface: bundle small has no detector; choose a bundle that has one\n",
    )
    assert not place.exists()
    config.write_text("bundle = 1\n")
    done = edgeface(archive, "--to", place, "--config", config)
    assert done.returncode == 0
    assert done.stderr.startswith("edgeface: warning: not judged against the configuration: ")


def test_a_service_that_runs_takes_it_with_a_reload_and_keeps_what_holds(
    broker: AnyBroker, audit: Callable[..., Auditor], run: Callable[..., Child], tmp_path: Path
) -> None:
    place = tmp_path / "models"
    place.mkdir()
    copy(tmp_path).rename(place / "default")
    auditor = audit(broker)
    child = run(broker.port, "--bundle", place / "default", "--source", NO_CAMERA)
    auditor.wait_for(lambda a: versions(a)[-1:] == ["0.2.0"])

    manifest = json.loads((DEFAULT / MANIFEST).read_text()) | {"version": "0.3.0"}
    data = json.dumps(manifest).encode()
    content = [(entry(f"default/{MANIFEST}", data), data)]
    for network in manifest["networks"]:
        paths = [network["selftest"]["path"], *(file["path"] for files in network["files"].values() for file in files)]
        for name in paths:
            data = (DEFAULT / name).read_bytes()
            content.append((entry(f"default/{name}", data), data))
    install(write(tmp_path / "default.tar", content), place)
    assert versions(auditor)[-1] == "0.2.0"
    child.process.send_signal(signal.SIGHUP)
    auditor.wait_for(lambda a: versions(a)[-1:] == ["0.3.0"])

    (place / "default" / MANIFEST).write_text("{}")
    child.process.send_signal(signal.SIGHUP)
    auditor.wait_for(lambda a: a.of("health")[-1].json["configuration"]["error"] is not None)
    assert versions(auditor)[-1] == "0.3.0"
    assert child.ask(signal.SIGTERM) == 0, child.log()


def versions(auditor: Auditor) -> list[str]:
    return [heard.json["bundle"]["version"] for heard in auditor.of("health")]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="apt install openssh-client")
def test_a_file_that_changes_meanwhile_is_not_the_one_that_is_unpacked(
    tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was proved is a copy that nobody else can write."""
    ours, archive = Ssh(tmp_path, "ours"), packed(tmp_path / "small.tar", version="1")
    shutil.copy(ours.public, keys / "ours.pub")
    ours.sign(archive)
    evil, programs = packed(tmp_path / "evil.tar", version="666"), tmp_path / "bin"
    programs.mkdir()
    script = f'#!/bin/sh\n{shutil.which("ssh-keygen")} "$@" || exit\ncp {evil} {archive}\n'
    (programs / "ssh-keygen").write_text(script)
    (programs / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    assert install(archive, tmp_path / "models", trust=Trust(keys=keys)).manifest.version == "1"
    assert archive.read_bytes() == evil.read_bytes()
