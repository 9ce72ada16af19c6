"""Nothing leaves: the system calls of real runs, as the kernel saw them."""

from __future__ import annotations

import codecs
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from astronaut import write_film, write_picture
from brokers import HOST, AnyBroker, Auditor

ROOT = Path(__file__).resolve().parents[1]
CALLS = (
    "socket,connect,bind,sendto,sendmsg,sendmmsg,open,openat,openat2,creat,truncate,"
    "mkdir,mkdirat,mknod,mknodat,link,linkat,symlink,symlinkat,rename,renameat,renameat2,unlink,unlinkat,"
    "write,pwrite64,writev,pwritev,pwritev2,memfd_create"
)
WRITES = {"write", "pwrite64", "writev", "pwritev", "pwritev2"}
PICTURES = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "WebP": b"WEBPVP8",
    "AVIF": b"ftypavif",
    "HEIC": b"ftypheic",
    "GIF": b"GIF89a",
    "TIFF": b"II*\x00",
    "TIFF, big endian": b"MM\x00*",
    "array of numpy": b"\x93NUMPY",
}
"""What pictures, and arrays of pixels or vectors, begin with."""
FRAME_BYTES = 512 * 512 * 3
"""Of the film: without a name that tells it, a frame is known by its size."""
NEVER = {"landmarks", "points", "embedding", "embeddings", "vector", "image", "picture", "crop", "pixels", "thumbnail"}
"""Keys that no message has."""
LONGEST = 4
"""Numbers in a row in a message: a box."""
# Where libraries believe themselves watched, some keep quiet; here they must not know.
WATCHED = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "GITLAB_CI", "CIRCLECI", "TRAVIS", "JENKINS_URL", "BUILDKITE")
NOWHERE = ("/dev/null", "/dev/tty", "/proc/self/", "/proc/thread-self/")

pytestmark = pytest.mark.timeout(300)


@dataclass
class Traced:
    """What a child did to the world."""

    returncode: int
    stderr: str
    connected: list[str] = field(default_factory=list)
    """``inet 127.0.0.1:1883`` or ``unix /path``."""
    families: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    """Addressed datagrams."""
    written: set[str] = field(default_factory=set)
    """Paths opened for writing, made, renamed or removed."""
    disk: dict[str, bytes] = field(default_factory=dict)
    """By path what was written to files, as far as strace shows it; what a database maps is seen in the file."""
    disk_bytes: int = 0


def read_trace(text: str) -> Traced:
    """Read strace's lines; a call that another thread interrupted has its arguments on the first line."""
    seen = Traced(returncode=0, stderr="")
    for line in text.splitlines():
        if not (call := re.match(r"\d+ +(\w+)\((.*)", line)):
            continue
        name, rest = call.groups()
        # What failed changed nothing; an attempt to connect is one all the same.
        failed = " = -1 " in rest and "EINPROGRESS" not in rest
        if name in WRITES:
            if file := re.match(r"\d+<(/[^>]*)>", rest):
                shown = b"".join(map(unescaped, re.findall(r'"((?:[^"\\]|\\.)*)"', rest)))
                seen.disk[file[1]] = seen.disk.get(file[1], b"") + shown
                if shown.strip(b"\0") or not file[1].endswith("-wal"):  # the spool's log is filled with zeros once
                    seen.disk_bytes += max(0, int((re.findall(r"= (-?\d+)", rest) or ["0"])[-1]))
        elif name == "memfd_create":
            seen.written.add(f"memory {rest}")
        elif name == "socket":
            seen.families.add(rest.split(",", 1)[0])
        elif name == "connect":
            seen.connected.append(address(rest))
        elif name.startswith("send") and "sin" in rest and "_addr" in rest:
            seen.sent.append(address(rest))
        elif name in {"open", "openat", "openat2"}:
            if re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND", rest) and not failed:
                seen.written.add(path(rest))
        elif name not in {"bind", "sendto", "sendmsg", "sendmmsg"} and not failed:
            seen.written.add(path(rest))
    return seen


def unescaped(text: str) -> bytes:
    """Bytes that strace wrote as C does."""
    return codecs.escape_decode(text.encode())[0]


def address(rest: str) -> str:
    if "AF_UNIX" in rest:
        found = re.search(r'sun_path=@?"([^"]*)"', rest)
        return f"unix {found.group(1) if found else '?'}"
    port = re.search(r"sin6?_port=htons\((\d+)\)", rest)
    host = re.search(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"', rest)
    if port is None or host is None:
        return rest
    return f"inet {host.group(1) or host.group(2)}:{port.group(1)}"


def path(rest: str) -> str:
    found = re.search(r'"([^"]*)"', rest)
    return found.group(1) if found else rest


Trace = Callable[..., Traced]


@pytest.fixture
def trace(strace: str, tmp_path: Path) -> Trace:
    """Run ``edgeface`` in an empty home, unwatched, and read its system calls."""
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()

    def run(*words: str) -> Traced:
        environ = {name: value for name, value in os.environ.items() if name not in WATCHED}
        environ |= {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(ROOT)}
        environ = {
            name: value for name, value in environ.items() if not name.startswith(("XDG_", "EDGEFACE", "ORT_", "COV"))
        }
        log = tmp_path / "calls"
        command = [strace, "-f", "-qq", "-y", "-s", "400", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", str(log)]
        command += [sys.executable, "-m", "edgeface", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environ, cwd=tmp_path / "work", timeout=200, check=False
        )
        seen = read_trace(log.read_text(errors="replace"))
        seen.returncode, seen.stderr = done.returncode, done.stderr
        return seen

    return run


def elsewhere(written: set[str], *allowed: str) -> list[str]:
    """Paths outside what a run may touch; a program's own compiled modules are not told to anybody."""
    return sorted(p for p in written if "__pycache__" not in p and not p.startswith((*NOWHERE, *allowed)))


def runtimes() -> list[str]:
    return ["onnx"] + ["litert"] * (importlib.util.find_spec("ai_edge_litert") is not None)


@pytest.mark.parametrize("runtime", runtimes())
def test_a_run_opens_no_socket_but_the_brokers(
    trace: Trace, broker: AnyBroker, audit: Callable[..., Auditor], tmp_path: Path, runtime: str
) -> None:
    auditor = audit(broker)
    film = write_film(tmp_path / "film.mp4")
    settings = [f"mqtt.host={HOST}", f"mqtt.port={broker.port}", f"runtime.name={runtime}"]
    seen = trace("run", "--source", str(film), *[word for text in settings for word in ("--set", text)])
    assert seen.returncode == 0, seen.stderr
    # The run was a real one: somebody was seen, and the broker heard of it.
    auditor.wait_for(lambda a: any(heard.json["event"] == "end" for heard in a.of("visits")), "a visit")
    assert set(seen.connected) == {f"inet {HOST}:{broker.port}"}
    assert seen.sent == []
    assert seen.families <= {"AF_INET", "AF_UNIX"}
    # The spool alone, and what it held of visits is gone with their delivery.
    home = tmp_path / "home"
    assert elsewhere(seen.written, str(home / ".local")) == []
    (spool,) = (file for file in home.rglob("*") if file.is_file())
    assert spool.match(".local/state/edgeface/spool-*.db")
    told = {heard.json["visit"].encode() for heard in auditor.of("visits")}
    assert not [visit for visit in told if visit in spool.read_bytes()]
    expect_no_pictures(seen, home)
    expect_no_marks_of_faces(auditor)
    assert list((tmp_path / "work").iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def expect_no_pictures(seen: Traced, *folders: Path) -> None:
    """No file that was written begins with, or holds, what a picture or an array begins with, nor is large enough."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    for name, data in [*seen.disk.items(), *((str(file), file.read_bytes()) for file in files)]:
        if not name.startswith(NOWHERE):
            assert [kind for kind, magic in PICTURES.items() if magic in data] == [], name
    assert seen.disk_bytes + sum(file.stat().st_size for file in files) < FRAME_BYTES
    assert not [path for path in seen.written if path.startswith("memory")]


def expect_no_marks_of_faces(auditor: Auditor) -> None:
    """No message has a field for it, a row of numbers that could be it, or bytes of a picture in any writing."""
    kinds = {heard.topic.rpartition("/")[2] for heard in auditor.heard}
    assert {"visits", "faces", "state", "summary", "health", "notice"} <= kinds
    for heard in auditor.heard:
        assert [kind for kind, magic in PICTURES.items() if magic in heard.payload] == [], heard.topic
        if not heard.payload.startswith(b"{"):
            assert heard.payload in {b"online", b"offline", b""}
            continue
        for key, value in walk(heard.json):
            assert key not in NEVER, heard.topic
            if isinstance(value, list) and value and isinstance(value[0], int | float):
                assert key == "box" and len(value) <= LONGEST, heard.topic
            if isinstance(value, str):
                # Words, no writing of bytes: what base64 or hex makes of a crop has thousands of signs without a blank.
                assert max(map(len, re.split(r"[\s{}|]", value))) < 100, heard.topic


def walk(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    yield key, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from walk(inner, name)
    if isinstance(value, list):
        for inner in value:
            yield from walk(inner, key)


def test_of_fewer_than_k_no_message_and_no_file_tells(
    trace: Trace, broker: AnyBroker, audit: Callable[..., Auditor], tmp_path: Path
) -> None:
    auditor = audit(broker)
    left = tmp_path / "home" / ".local" / "state" / "edgeface"
    left.mkdir(parents=True)
    (left / "spool-hall.db").write_bytes(b"of an earlier run")
    film = write_film(tmp_path / "film.mp4")
    settings = [f"mqtt.host={HOST}", f"mqtt.port={broker.port}", "node.id=hall", "privacy.least_count=2"]
    settings.append("home_assistant.discovery=on")
    seen = trace("run", "--source", str(film), *[word for text in settings for word in ("--set", text)])
    assert seen.returncode == 0, seen.stderr
    assert "spool-hall.db is deleted" in seen.stderr
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])
    assert [heard.topic for heard in auditor.heard if heard.topic.endswith(("/visits", "/faces"))] == []
    assert [heard.payload for heard in auditor.of("summary") if heard.payload] == []
    states = [heard.json for heard in auditor.of("state")]
    assert [state["status"] for state in states][-1] == "ended"
    for state in states:
        assert [state[key] for key in ("occupied", "count", "expression", "age", "expires")] == [None] * 5
        assert state["today"]["visits"] == state["today"]["seconds"] == 0
    for health in auditor.of("health"):
        assert health.json["cameras"]["main"]["nearest_px"] is None
        assert health.json["spool"]["state"] == "off"
    announced = [heard.json for heard in auditor.heard if heard.topic.endswith("_camera_main/config")][-1]
    there = {key for key, one in announced["components"].items() if len(one) > 1}
    assert there == {"visits", "connection", "tamper", "fps", "glances", "brightness"}
    # Which bundle was proved to run here is no word of a visit.
    assert {file.name for file in (tmp_path / "home").rglob("*") if file.is_file()} <= {"proven"}
    assert elsewhere(seen.written, str(left)) == []


def test_outside_of_its_hours_nobody_is_looked_at(
    trace: Trace, broker: AnyBroker, audit: Callable[..., Auditor], tmp_path: Path
) -> None:
    auditor = audit(broker)
    film = write_film(tmp_path / "film.mp4")
    now = datetime.now(timezone.utc).astimezone()
    span = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M}"
    settings = [f"mqtt.host={HOST}", f"mqtt.port={broker.port}", f'privacy.hours=["{span}"]']
    seen = trace("run", "--source", str(film), *[word for text in settings for word in ("--set", text)])
    assert seen.returncode == 0, seen.stderr
    auditor.wait_for(lambda a: a.words() == ["online", "offline"])
    states = [heard.json for heard in auditor.of("state")]
    first = states[0]
    assert (first["status"], first["paused"], first["occupied"]) == ("paused", "hours", None)
    assert [heard.topic for heard in auditor.heard if heard.topic.endswith(("/visits", "/faces"))] == []
    assert span.replace("-", " to ") in auditor.of("notice")[-1].json["text"]


@pytest.mark.parametrize("runtime", runtimes())
def test_an_analysis_opens_no_socket_at_all(trace: Trace, tmp_path: Path, runtime: str) -> None:
    picture = write_picture(tmp_path / "astronaut.png")
    seen = trace("analyze", str(picture), "--set", f"runtime.name={runtime}")
    assert seen.returncode == 0, seen.stderr
    assert seen.connected == []
    assert seen.sent == []
    out = tmp_path / "work" / "edgeface-out"
    # The progress bar's lock is a semaphore: memory with a name, which is taken away at once.
    assert elsewhere(seen.written, str(out), "edgeface-out", "/dev/shm/sem.") == []
    assert out.is_dir()
    assert list((tmp_path / "home").iterdir()) == []


def test_the_traces_reader_sees_what_a_leak_would_look_like() -> None:
    seen = read_trace(
        "\n".join(
            [
                "12 socket(AF_INET, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP) = 5",
                '12 connect(5, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.2")}, 16) = 0',
                "12 connect(6, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), "
                'inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28) = -1 EINPROGRESS (Operation)',
                '13 mkdir("/home/user/.cache/Microsoft", 0755) = 0',
                '13 openat(AT_FDCWD, "/home/user/.cache/Microsoft/deviceid", O_WRONLY|O_CREAT, 0666 <unfinished ...>',
                '12 openat(AT_FDCWD, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 7',
                '12 openat(AT_FDCWD, "/etc/shadow", O_RDWR) = -1 EACCES (Permission denied)',
                r'12 write(3</home/user/x>, "\377\330\377\340\0JFIF\"", 11) = 11',
                r'12 pwrite64(4</home/user/spool.db-wal>, "\0\0\0\0"..., 4096, 0) = 4096',
                '12 write(1<pipe:[12]>, "hello", 5) = 5',
                '12 sendto(5, "x", 1, {sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("1.2.3.4")}, 16) = 1',
            ]
        )
    )
    assert seen.connected == ["inet 10.0.0.2:53", "inet 2001:db8::1:443"]
    assert seen.sent == ["inet 1.2.3.4:9"]
    assert seen.families == {"AF_INET"}
    assert seen.disk == {"/home/user/x": b'\xff\xd8\xff\xe0\x00JFIF"', "/home/user/spool.db-wal": bytes(4)}
    assert seen.disk_bytes == 11
    with pytest.raises(AssertionError, match="JPEG"):
        expect_no_pictures(seen)
    assert seen.written == {"/home/user/.cache/Microsoft", "/home/user/.cache/Microsoft/deviceid"}


def test_the_telemetry_switch_is_set_before_the_runtime_can_be_imported() -> None:
    environ = {name: value for name, value in os.environ.items() if name not in {*WATCHED, "ORT_DISABLE_TELEMETRY"}}
    program = "import os, sys, edgeface; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=ROOT, check=False)
    assert done.stdout.split() == ["1", "False"], done.stderr
