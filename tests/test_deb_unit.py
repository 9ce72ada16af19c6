"""What the slow proofs make of what a system says."""

from __future__ import annotations

import threading
from pathlib import Path

from slow.deb_unit import switches

STATUSES = """\
Name:\tpython3
Umask:\t0027
Pid:\t41
PPid:\t1
voluntary_ctxt_switches:\t300
nonvoluntary_ctxt_switches:\t7
Name:\tpublisher
Pid:\t43
voluntary_ctxt_switches:\t60
nonvoluntary_ctxt_switches:\t0
"""


def test_context_switches_of_every_thread_count() -> None:
    assert switches(STATUSES) == {(41, "python3"): 307, (43, "publisher"): 60}
    assert switches("") == {}


def test_a_thread_that_waits_and_is_woken_is_seen() -> None:
    def read() -> int:
        folders = Path("/proc/self/task").iterdir()
        return sum(switches("".join((folder / "status").read_text() for folder in folders)).values())

    turn, answer = threading.Semaphore(0), threading.Semaphore(0)

    def wait() -> None:
        for _ in range(50):
            turn.acquire()
            answer.release()

    thread = threading.Thread(target=wait)
    thread.start()
    before = read()
    for _ in range(49):
        turn.release()
        answer.acquire()
    assert read() >= before + 49
    turn.release()
    thread.join()
