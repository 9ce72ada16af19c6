"""``compare``: two bundles or two files, what differs: manifest, tensors, outputs, figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from converters.inspection.compare_files import apart, shorten
from edgeface.bundle import Bundle, Measured, Network, NetworkFile
from edgeface.errors import RuntimeMissingError
from edgeface.runtime import load_network, to_tensor
from edgeface.selftest import stored_input

LEFT_OUT = ("networks", "files", "measured", "selftest", "made_by")
"""Parts of a manifest that are compared by what they mean, not as text."""


def compare_bundles(a: Bundle, b: Bundle) -> Iterator[str]:
    """Differences of two bundles, a line each."""
    yield from compare_tables("manifest", plain(a.manifest), plain(b.manifest))
    for tool in sorted({**a.manifest.made_by, **b.manifest.made_by}):
        versions = [bundle.manifest.made_by.get(tool, "-") for bundle in (a, b)]
        if versions[0] != versions[1]:
            yield f"made by: {tool} {versions[0]} -> {versions[1]}"
    ours, theirs = ({n.name: n for n in bundle.manifest.networks} for bundle in (a, b))
    yield from (f"network {name}: only in {a.folder}" for name in ours if name not in theirs)
    yield from (f"network {name}: only in {b.folder}" for name in theirs if name not in ours)
    for name in (name for name in ours if name in theirs):
        yield from compare_networks((a, ours[name]), (b, theirs[name]))


def compare_networks(a: tuple[Bundle, Network], b: tuple[Bundle, Network]) -> Iterator[str]:
    """Differences of one network in two bundles."""
    name = a[1].name
    yield from compare_tables(name, plain(a[1]), plain(b[1]))
    if a[1].selftest.sha256 != b[1].selftest.sha256:
        yield f"{name}: another self-test"
    files = [{(f.runtime, f.precision): f for fs in n.files.values() for f in fs} for _, n in (a, b)]
    for key in sorted({*files[0], *files[1]}):
        one, other = (found.get(key) for found in files)
        if one is None or other is None:
            yield f"{name} {' '.join(key)}: only in {(b if one is None else a)[0].folder}"
            continue
        yield from compare_tables(f"{name} {' '.join(key)}", entry(one), entry(other))
        if one.sha256 != other.sha256:
            yield f"{name} {' '.join(key)}: {one.bytes:,} -> {other.bytes:,} bytes, {outputs_apart(a, one, b, other)}"
    yield from shorten(f"{name} figures", list(compare_figures(a[1].measured, b[1].measured)))


def entry(file: NetworkFile) -> dict[str, Any]:
    """What a manifest says of a file, but for its bytes."""
    table: dict[str, Any] = msgspec.to_builtins(file)
    return {key: part for key, part in table.items() if key not in ("bytes", "sha256")}


def outputs_apart(a: tuple[Bundle, Network], one: NetworkFile, b: tuple[Bundle, Network], other: NetworkFile) -> str:
    """How far two files are apart on the first one's stored picture, as a share of the largest value."""
    if one.runtime == "opencv" or a[1].takes_window:
        return "not run"
    pixels = stored_input(*a)
    answers = []
    try:
        for (bundle, network), file in ((a, one), (b, other)):
            runner = load_network(bundle, network, file.runtime, precision=file.precision)
            tensor = np.ascontiguousarray(to_tensor(pixels, network.input, file.layout))
            states = {state.input: np.zeros((1, *state.shape), np.float32) for state in network.states}
            answers.append(runner.run(tensor, states) if states else runner.run(tensor))
    except RuntimeMissingError as error:
        return f"not run: {error.what}"
    shared = [name for name in answers[0] if name in answers[1] and answers[0][name].shape == answers[1][name].shape]
    if not shared:
        return "outputs of other names or shapes"
    return f"outputs up to {max(apart(answers[0][name], answers[1][name]) for name in shared):.2e} apart"


def compare_figures(a: tuple[Measured, ...], b: tuple[Measured, ...]) -> Iterator[str]:
    """Figures that only one has, or that moved."""

    def keyed(rows: tuple[Measured, ...]) -> dict[str, float]:
        return {
            " ".join(filter(None, (r.metric, r.group, r.set, r.runtime, r.precision, r.size, r.detector))): r.value
            for r in rows
        }

    ours, theirs = keyed(a), keyed(b)
    for key in sorted({*ours, *theirs}):
        if ours.get(key) != theirs.get(key):
            yield f"{key}: {ours.get(key, '-')} -> {theirs.get(key, '-')}"


def compare_tables(what: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    """Values that differ, by the path of their key."""
    for key in sorted({*a, *b}):
        one, other = a.get(key), b.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from compare_tables(f"{what}.{key}", one, other)
        elif one != other:
            yield f"{what}.{key}: {_shown(one)} -> {_shown(other)}"


def plain(value: object) -> dict[str, Any]:
    """A manifest or an entry as plain data, without the parts that are compared by themselves."""
    table: dict[str, Any] = msgspec.to_builtins(value)
    return {key: part for key, part in table.items() if key not in LEFT_OUT}


def _shown(value: object) -> str:
    text = "-" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
