"""Manifest entries of detectors that no bundle has, and runners that answer what a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgeface.bundle import Head, Input, Network, NetworkFile, SelfTest, Source
from edgeface.types import F32

Answer = Callable[[F32], Mapping[str, F32]]


def entry(name: str, head: Head, *, task: str = "detect", runtime: str = "onnx", **seen: Any) -> Network:
    """Make a manifest entry; ``seen`` are fields of its input."""
    spec = {"color": "bgr", "mean": (0.0,) * 3, "scale": 1.0, **seen}
    return Network(
        name=name,
        task=task,  # type: ignore[arg-type]
        title=name,
        paper="",
        licence="",
        training_data="",
        source=Source(registry="random"),
        input=Input(**spec),
        head=head,
        files={runtime: (file(name, runtime=runtime),)},  # type: ignore[dict-item]
        selftest=SelfTest(path="selftest.npz", bytes=1, sha256="0" * 64),
        limits="",
        parameters=0,
    )


def file(name: str = "x", *, runtime: str = "onnx", **changed: Any) -> NetworkFile:
    """Make a manifest entry of a file."""
    held: dict[str, Any] = {
        "runtime": runtime,
        "precision": "fp32",
        "path": name,
        "bytes": 1,
        "sha256": "0" * 64,
        "layout": "NCHW",
        "input": "input",
        "outputs": {},
        **changed,
    }
    return NetworkFile(**held)


class FakeRunner:
    """Answers by a function, and keeps what it was asked."""

    def __init__(
        self,
        answer: Answer = lambda _: {},
        *,
        layout: str = "NCHW",
        batches: tuple[int, ...] = (1,),
        sizes: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self.file = file(layout=layout)
        self.provider = "cpu"
        self.batches = batches
        self.sizes = sizes
        self.asked: list[F32] = []
        self._answer = answer

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:  # noqa: ARG002
        """Keep a copy, answer."""
        self.asked.append(batch.copy())
        return self._answer(batch)
