"""``packaging/apt/publish``: real packages, a real key, and the real apt that installs from it, or does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PUBLISH = ROOT / "packaging" / "apt" / "publish"
PROGRAMS = ("apt-get", "apt-ftparchive", "gpg", "gpg-agent", "dpkg-deb")
missing = [program for program in PROGRAMS if shutil.which(program) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"apt install apt apt-utils gnupg dpkg ({', '.join(missing)})")


class Publisher:
    """A maker with a keyring of their own, packages and a repository."""

    def __init__(self, folder: Path) -> None:
        self.dist, self.repository, self.home = folder / "dist", folder / "repository", folder / "gnupg"
        self.dist.mkdir()
        self.home.mkdir(mode=0o700)
        self.environ = {**os.environ, "GNUPGHOME": str(self.home)}
        self.asked: list[str] = []
        self.told = ""
        publisher = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(publisher.repository))

            def log_message(self, *_: object) -> None:
                publisher.asked.append(self.path)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}).start()

    def key(self, name: str, *, ends: str = "never") -> str:
        words = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", ends]
        subprocess.run(words, check=True, capture_output=True, env=self.environ)
        return self.listed()[-1]

    def listed(self) -> list[str]:
        words = ["gpg", "--batch", "--with-colons", "--list-secret-keys"]
        lines = subprocess.run(words, check=True, capture_output=True, text=True, env=self.environ).stdout.splitlines()
        return [line.split(":")[9] for line in lines if line.startswith("fpr")]

    def public(self, key: str, path: Path) -> Path:
        words = ["gpg", "--batch", "--armor", "--export", key]
        path.write_bytes(subprocess.run(words, check=True, capture_output=True, env=self.environ).stdout)
        return path

    def package(self, version: str, text: str = "hello", architecture: str | None = None) -> Path:
        """The smallest package that installs a file."""
        tree = self.dist.parent / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "usr/share/edgeface").mkdir(parents=True)
        (tree / "usr/share/edgeface/text").write_text(text)
        architecture = architecture or machine()
        (tree / "DEBIAN/control").write_text(
            f"Package: edgeface\nVersion: {version}\nArchitecture: {architecture}\n"
            "Maintainer: edgeface <edgeface@example.org>\nDescription: a test\n"
        )
        path = self.dist / f"edgeface_{version}_{architecture}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, path], check=True, capture_output=True)
        return path

    def publish(self, *words: object) -> subprocess.CompletedProcess[str]:
        command = [str(PUBLISH), str(self.repository), "--from", str(self.dist), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self.environ)
        # What it says to type on a device, whose system is called CODENAME here.
        for found in re.findall(r'^  echo ("deb .*") \|$', done.stdout, re.MULTILINE):
            self.told = found.replace("$(. /etc/os-release; echo $VERSION_CODENAME)", "CODENAME")
        return done


def machine() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


class Device:
    """apt with directories of its own: nothing of this machine's is read or changed."""

    def __init__(self, folder: Path, publisher: Publisher, *, suite: str = "bookworm", key: Path | None = None) -> None:
        self.root = folder
        for name in ("etc/apt", "lists/partial", "cache/archives/partial", "dpkg/info", "dpkg/updates", "target"):
            (folder / name).mkdir(parents=True)
        (folder / "dpkg/status").write_text("")
        trusted = key or publisher.repository / "edgeface.asc"
        line = subprocess.run(["sh", "-c", f"echo {publisher.told}"], capture_output=True, text=True, check=True).stdout
        changed = {"/etc/apt/keyrings/edgeface.asc": trusted, "https://HOST/": publisher.url, "CODENAME": suite}
        for told, here in changed.items():
            assert told in line
            line = line.replace(told, str(here))
        (folder / "etc/apt/sources.list").write_text(line)

    def apt(self, *words: str) -> subprocess.CompletedProcess[str]:
        settings = {
            "Dir::Etc": self.root / "etc/apt",
            "Dir::Etc::Parts": "/dev/null",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::TrustedParts": "/dev/null",
            "Dir::Etc::Trusted": "/dev/null",
            "Dir::State::Lists": self.root / "lists",
            "Dir::State::Status": self.root / "dpkg/status",
            "Dir::Cache": self.root / "cache",
            "APT::Sandbox::User": "root",
            "APT::Architectures": f"{machine()},armhf",
            "APT::Get::Assume-Yes": "true",
            "Acquire::Languages": "none",
            "Acquire::http::Proxy": "DIRECT",
            "DPkg::Options::": f"--admindir={self.root / 'dpkg'}",
        }
        options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        options += [
            word
            for value in (
                f"--instdir={self.root / 'target'}",
                "--force-not-root",
                "--force-script-chrootless",
                "--log=/dev/null",
            )
            for word in ("-o", f"DPkg::Options::={value}")
        ]
        environ = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        return subprocess.run(
            ["apt-get", "-q", *options, *words], capture_output=True, text=True, check=False, env=environ
        )

    def text(self) -> str:
        return (self.root / "target/usr/share/edgeface/text").read_text()


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    yield (made := Publisher(tmp_path))
    made.server.shutdown()
    made.server.server_close()
    subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True, env=made.environ)


def good(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def test_apt_installs_upgrades_and_goes_back(publisher: Publisher, tmp_path: Path) -> None:
    key = publisher.key("packages")
    publisher.package("0.1.0~deb12", "first, for twelve")
    publisher.package("0.1.0~deb13", "first, for thirteen")
    publisher.package("0.1.0~deb12", architecture="riscv64")
    done = publisher.publish()
    good(done)
    assert f"3 packages for bookworm trixie, signed by {key}" in done.stdout
    twelve, thirteen = (Device(tmp_path / name, publisher, suite=name) for name in ("bookworm", "trixie"))
    for device, text in ((twelve, "first, for twelve"), (thirteen, "first, for thirteen")):
        done = device.apt("update", "-o", "quiet=0")
        good(done)
        # Not of the architecture that somebody has added for another program, which we have nothing for.
        assert "N:" not in done.stdout + done.stderr, done.stderr
        good(device.apt("install", "edgeface"))
        assert device.text() == text

    shutil.rmtree(publisher.dist)
    publisher.dist.mkdir()
    publisher.package("0.2.0~deb12", "second")
    old = (publisher.repository / "dists/trixie/InRelease").read_bytes()
    good(publisher.publish())
    assert (publisher.repository / "dists/trixie/InRelease").read_bytes() != old
    for device in (twelve, thirteen):
        done = device.apt("update")
        good(done)
        assert "W:" not in done.stdout + done.stderr
        good(device.apt("upgrade"))
    assert (twelve.text(), thirteen.text()) == ("second", "first, for thirteen")
    assert any("/by-hash/SHA256/" in path for path in publisher.asked)
    assert not any(path.endswith(("Packages", "Packages.xz", "Packages.gz")) for path in publisher.asked)
    good(twelve.apt("install", "--allow-downgrades", "edgeface=0.1.0~deb12"))
    assert twelve.text() == "first, for twelve"
    assert sorted(path.name for path in publisher.repository.iterdir()) == [".lock", "dists", "edgeface.asc", "pool"]


def test_another_key_or_a_changed_list_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    key, other = publisher.key("packages"), publisher.key("somebody else")
    publisher.package("0.1.0~deb12")
    done = publisher.publish()
    assert (done.returncode, done.stdout) == (2, "")
    assert "several secret keys may sign; name one with --key" in done.stderr
    good(publisher.publish("--key", key))
    wrong = Device(tmp_path / "wrong", publisher, key=publisher.public(other, tmp_path / "other.asc"))
    done = wrong.apt("update")
    assert done.returncode == 100
    assert "NO_PUBKEY" in done.stderr or "not signed" in done.stderr
    assert wrong.apt("install", "edgeface").returncode == 100

    device = Device(tmp_path / "right", publisher)
    lists = publisher.repository / "dists/bookworm/main" / f"binary-{machine()}"
    for path in (*lists.glob("Packages*"), *lists.glob("by-hash/SHA256/*")):
        path.write_bytes(path.read_bytes() + b"\n")
    assert device.apt("update").returncode == 100
    good(publisher.publish("--key", key))
    (package,) = (publisher.repository / "pool").rglob("*.deb")
    good(device.apt("update"))
    package.write_bytes(package.read_bytes()[:-1] + b"x")
    done = device.apt("install", "edgeface")
    assert done.returncode == 100
    assert "Hash Sum mismatch" in done.stderr


def test_lists_end_only_where_they_are_told_to(publisher: Publisher, tmp_path: Path) -> None:
    publisher.key("packages")
    publisher.package("0.1.0~deb12")
    good(publisher.publish())
    release = publisher.repository / "dists/bookworm/Release"
    assert "Valid-Until" not in release.read_text()
    good(publisher.publish("--valid-days", 30))
    device = Device(tmp_path / "device", publisher)
    good(device.apt("update"))
    fields = dict(line.split(": ", 1) for line in release.read_text().splitlines() if ": " in line)
    end, start = (parsedate_to_datetime(fields[name]) for name in ("Valid-Until", "Date"))
    assert end - start == timedelta(days=30)


def test_mistakes_are_one_line_and_change_nothing(publisher: Publisher) -> None:
    def complaint(*words: object) -> str:
        done = publisher.publish(*words)
        assert (done.returncode > 0, done.stdout, len(done.stderr.splitlines())) == (True, "", 1), done.stderr
        return done.stderr

    assert "there is no package in" in complaint()
    publisher.package("0.1.0~deb12")
    assert "no secret key that signs and has not ended" in complaint()
    key = publisher.key("packages")
    assert "--valid-days soon is no number of days" in complaint("--valid-days", "soon")
    assert "no secret key 0123456789ABCDEF that signs" in complaint("--key", "0123456789ABCDEF")
    publisher.package("0.1.0").rename(publisher.dist / "other.deb")
    assert "version 0.1.0 of" in complaint()
    (publisher.dist / "other.deb").write_bytes(
        (publisher.dist / f"edgeface_0.1.0~deb12_{machine()}.deb").read_bytes()[:300]
    )
    assert "other.deb is no package, or cut short" in complaint()
    assert not publisher.repository.exists() or not (publisher.repository / "dists").exists()
    (publisher.dist / "other.deb").unlink()
    good(publisher.publish("--key", key))
    before = {path: path.read_bytes() for path in publisher.repository.rglob("*") if path.is_file()}
    publisher.package("0.1.0~deb12", "something else")
    assert "is published already; give the new one a higher version" in complaint()
    assert {path: path.read_bytes() for path in publisher.repository.rglob("*") if path.is_file()} == before
