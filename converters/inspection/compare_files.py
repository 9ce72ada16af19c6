"""What differs between two files: tensors, and of two networks their shape and their answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from converters.checkpoints.reading import kind_of, read_tensors
from converters.inspection.facts import error_text
from converters.inspection.network_file import NETWORKS, companions_of, describe_network, read_file
from edgeface.types import F32

if TYPE_CHECKING:
    from converters.inspection.facts import FileFacts

MOST = 40
"""Most lines about one thing; of more it says how many."""
STATED = ("producer", "opset", "ir", "inputs", "outputs", "parameters", "macs", "quantization", "metadata", "runtimes")
"""Facts of a network file that are compared as they are said."""
SEED = 0
Answers = dict[str, F32]


def compare_files(a: Path, b: Path) -> Iterator[str]:
    """Differences of two files, a line each: of their tensors, and between two networks of what they are and answer.

    Answers are compared where both are for one runtime, which runs them.

    Raises
    ------
    UsageError : one of them cannot be opened
    CheckpointError : one of them cannot be read
    """
    kinds = kind_of(a.name), kind_of(b.name)
    data = read_file(a), read_file(b)
    beside = companions_of(a, data[0]), companions_of(b, data[1])
    if all(kind in NETWORKS for kind in kinds):
        facts = describe_network(data[0], str(a), beside[0]), describe_network(data[1], str(b), beside[1])
        yield from compare_facts(*facts)
        if kinds[0] == kinds[1] and all("runs" in one.runtimes.values() for one in facts):
            alike = {key for key in _keys(facts[0]) & _keys(facts[1]) if _fed(facts[0], key) == _fed(facts[1], key)}
            try:
                answers = [_answers(kinds[0], held, near) for held, near in zip(data, beside, strict=True)]
            except Exception as error:
                yield f"answers to noise: not compared, {error_text(error)}"
            else:
                yield from compare_answers(answers[0], answers[1], alike)
    ours, theirs = (read_tensors(held, path.name, near) for held, path, near in zip(data, (a, b), beside, strict=True))
    yield from compare_tensors(ours, theirs, a, b)


def compare_facts(a: FileFacts, b: FileFacts) -> Iterator[str]:
    """Differences of what two network files are."""
    one, other = msgspec.to_builtins(a), msgspec.to_builtins(b)
    for key in STATED:
        if one.get(key) != other.get(key):
            yield f"{key}: {_format(one.get(key))} -> {_format(other.get(key))}"
    for name in sorted({*a.signatures, *b.signatures}):
        ends = [one.get("signatures", {}).get(name, {}), other.get("signatures", {}).get(name, {})]
        for side in ("inputs", "outputs"):
            if ends[0].get(side) != ends[1].get(side):
                yield f"signature {name}, {side}: {_format(ends[0].get(side))} -> {_format(ends[1].get(side))}"
    for name in sorted({*a.operators, *b.operators}):
        counts = a.operators.get(name, 0), b.operators.get(name, 0)
        if counts[0] != counts[1]:
            yield f"operator {name}: {counts[0]} -> {counts[1]} times"


def compare_answers(
    ours: Mapping[str, Answers], theirs: Mapping[str, Answers], alike: Collection[str]
) -> Iterator[str]:
    """How far two networks' outputs to the same noise are apart, by signature (an ONNX file has one without a name).

    ``alike`` are signatures that both have with the same inputs; outputs that only one has are no answers to compare.
    """
    for key in (key for key in ours if key in alike):
        label = f"signature {key}: " if key else ""
        pairs = {name: (ours[key][name], theirs[key][name]) for name in ours[key] if name in theirs[key]}
        moved = {
            name: apart(one, other)
            for name, (one, other) in pairs.items()
            if one.shape == other.shape and not np.array_equal(one, other, equal_nan=True)
        }
        if moved:
            worst = max(moved, key=lambda name: np.inf if np.isnan(moved[name]) else moved[name])
            yield f"{label}answers to noise up to {moved[worst]:.2e} apart (output {worst})"


def compare_tensors(ours: Mapping[str, F32], theirs: Mapping[str, F32], a: Path, b: Path) -> Iterator[str]:
    """Differences of two files' weights."""
    lines = [f"{name}: only in {a}" for name in ours if name not in theirs]
    lines += [f"{name}: only in {b}" for name in theirs if name not in ours]
    for name in (name for name in ours if name in theirs):
        one, other = ours[name], theirs[name]
        if one.shape != other.shape:
            lines.append(f"{name}: shape {list(one.shape)} -> {list(other.shape)}")
        elif not np.array_equal(one, other, equal_nan=True):
            lines.append(f"{name}: up to {apart(one, other):.2e} apart")
    return shorten("tensors", lines)


def apart(a: npt.NDArray[Any] | F32, b: npt.NDArray[Any] | F32) -> float:
    """Largest difference as a share of the first one's largest value."""
    largest = float(np.abs(a).max(initial=0)) or 1.0
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max(initial=0)) / largest


def shorten(what: str, lines: list[str]) -> Iterator[str]:
    """The first lines, and how many more there are."""
    yield from lines[:MOST]
    if len(lines) > MOST:
        yield f"{what}: {len(lines) - MOST} more"


def _keys(facts: FileFacts) -> set[str]:
    return set(facts.signatures) or {""}


def _fed(facts: FileFacts, key: str) -> list[tuple[Any, str]]:
    """Shapes and types of what goes in."""
    inputs = facts.signatures[key]["inputs"] if key else facts.inputs
    return [(value.shape, value.type) for value in inputs]


def _answers(kind: str, data: bytes, companions: Mapping[str, bytes]) -> dict[str, Answers]:
    """Outputs to noise in every signature."""
    if kind == "onnx":
        from converters.formats.onnx_data import read_model
        from converters.formats.onnx_run import open_session, run, sample

        model = read_model(data, "the file", companions)
        names = [value.name for value in model.graph.output]
        return {"": dict(zip(names, run(open_session(model), sample(model, seed=SEED)), strict=True))}
    from converters.inspection.tflite_file import run_on_noise

    return run_on_noise(data, seed=SEED)


def _format(fact: Any) -> str:
    """A fact in words; inputs and outputs by name and sides."""
    if isinstance(fact, list | tuple):
        return ", ".join(map(_format, fact)) or "-"
    if isinstance(fact, dict) and "shape" in fact:
        scale = f" (value - {fact.get('zero', 0)}) * {fact['scale']:.4g}" if "scale" in fact else ""
        return f"{fact['name']} {'x'.join(map(str, fact['shape']))} {fact['type']}{scale}"
    if isinstance(fact, dict):
        return ", ".join(f"{key} {value}" for key, value in fact.items()) or "-"
    return "-" if fact in (None, "") else str(fact)
