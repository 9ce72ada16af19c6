"""Nothing leaves: the system calls of real runs, as the kernel saw them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from astronaut import write_film, write_picture
from brokers import HOST, AnyBroker, Auditor

ROOT = Path(__file__).resolve().parents[1]
CALLS = (
    "socket,connect,bind,sendto,sendmsg,sendmmsg,open,openat,openat2,creat,truncate,"
    "mkdir,mkdirat,mknod,mknodat,link,linkat,symlink,symlinkat,rename,renameat,renameat2,unlink,unlinkat"
)
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


def read_trace(text: str) -> Traced:
    """Read strace's lines; a call that another thread interrupted has its arguments on the first line."""
    seen = Traced(returncode=0, stderr="")
    for line in text.splitlines():
        if not (call := re.match(r"\d+ +(\w+)\((.*)", line)):
            continue
        name, rest = call.groups()
        # What failed changed nothing; an attempt to connect is one all the same.
        failed = " = -1 " in rest and "EINPROGRESS" not in rest
        if name == "socket":
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
        command = [strace, "-f", "-qq", "-s", "400", "--seccomp-bpf", "-e", f"trace={CALLS}", "-o", str(log)]
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
    assert list((tmp_path / "work").iterdir()) == []
    assert list((tmp_path / "tmp").iterdir()) == []


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
                '12 sendto(5, "x", 1, {sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("1.2.3.4")}, 16) = 1',
            ]
        )
    )
    assert seen.connected == ["inet 10.0.0.2:53", "inet 2001:db8::1:443"]
    assert seen.sent == ["inet 1.2.3.4:9"]
    assert seen.families == {"AF_INET"}
    assert seen.written == {"/home/user/.cache/Microsoft", "/home/user/.cache/Microsoft/deviceid"}


def test_the_telemetry_switch_is_set_before_the_runtime_can_be_imported() -> None:
    environ = {name: value for name, value in os.environ.items() if name not in {*WATCHED, "ORT_DISABLE_TELEMETRY"}}
    program = "import os, sys, edgeface; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, cwd=ROOT, check=False)
    assert done.stdout.split() == ["1", "False"], done.stderr
