"""A child that proves, and its supervisor: a deadline for each step, a bound on memory, no orphans."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO

import msgspec

from edgeface.bundle import Bundle, plain
from edgeface.config import child_environ
from edgeface.files import NOT_JSON
from edgeface.proof.steps import Outcome, Step, memory_for
from edgeface.runtime import library
from edgeface.runtime.child import barred, import_path

START_S = 90.0
"""Until a child has loaded its libraries: from the card of the slowest board it takes ten."""
BOOT = """
import sys
sys.path[:] = sys.argv[1].split(":")
sys.modules.update(dict.fromkeys(sys.argv[2:]))
from edgeface.proof.trial import main
main()
"""
# One core for each of them: a child's memory must not hang on how many there are.
SINGLE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a child is told, as JSON on its standard input.

    ``memory`` is in bytes, 0 for no limit but the service's own; ``origin`` says which ONNX Runtime it uses.
    """

    folder: str
    memory: int
    origin: library.Origin
    steps: Sequence[Step]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a child: ``step`` begins (no result), or has ended."""

    step: int
    result: str = ""
    detail: str = ""


def prove(bundle: Bundle, steps: Sequence[Step]) -> Iterator[Outcome]:
    """Do the steps in children, give one outcome each, in order; one that ends its child is not the end of the others.

    Parameters
    ----------
    bundle : its manifest is believed already, untrained networks are wanted
    """
    left = list(steps)
    while left:
        done = 0
        for outcome in _one_child(bundle, left):
            done += 1
            yield outcome
        left = left[done:]


def _one_child(bundle: Bundle, steps: Sequence[Step]) -> Iterator[Outcome]:
    """Outcomes up to the first that ends the child; at least one."""
    # CUDA keeps the addresses of all its memory, and the board's is the GPU's too: a limit would be a guess.
    memory = 0 if any(step.provider.execution for step in steps) else memory_for(bundle)
    order = Order(folder=str(bundle.folder.resolve()), memory=memory, origin=library.origin(), steps=steps)
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", BOOT, import_path(), *barred()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**child_environ(os.environ), **SINGLE},
        # Ctrl-C is for us; we end it.
        start_new_session=True,
    )
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        _tell(child.stdin, order)
        lines = _Lines(child.stdout.fileno())
        for number, step in enumerate(steps):
            report = lines.next(START_S if number == 0 else step.seconds)
            if report is not None and not report.result:
                report = lines.next(step.seconds)
            if report is None or report.step != number or report.result not in ("ok", "bad", "untried"):
                yield _ended(step, child, timed_out=lines.timed_out)
                return
            yield Outcome(step=step, result=report.result, detail=plain(report.detail))  # type: ignore[arg-type]
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()


def _tell(stream: IO[bytes], order: Order) -> None:
    try:
        stream.write(msgspec.json.encode(order))
        stream.close()
    except OSError:
        pass  # it died: its silence is noticed next


def _ended(step: Step, child: subprocess.Popen[bytes], *, timed_out: bool) -> Outcome:
    if timed_out:
        why = f"it was ended after {step.seconds:.0f} seconds without an answer"
    else:
        try:
            code = child.wait(5)
        except subprocess.TimeoutExpired:
            code = 0
        # A runtime that gets no memory ends itself in many ways.
        why = (
            f"its process died ({f'signal {-code}' if code < 0 else f'exit {code}'}), as where memory does not suffice"
        )
    return Outcome(step=step, result="bad", detail=f"{step.name} cannot be run: {why}", gave_up=True)


class _Lines:
    """Lines of a pipe with a deadline; None when there is none in time, or no more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._held = b""
        self.timed_out = False

    def next(self, seconds: float) -> Report | None:
        deadline_s = time.monotonic() + seconds
        while b"\n" not in self._held:
            if not self._poll.poll(max(0.0, deadline_s - time.monotonic()) * 1000):
                self.timed_out = True
                return None
            data = os.read(self._descriptor, 65536)
            if not data or len(self._held) > 1_000_000:
                return None
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        try:
            return msgspec.json.decode(line, type=Report)
        except NOT_JSON:
            return None
