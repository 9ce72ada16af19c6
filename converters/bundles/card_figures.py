"""The parts of a model card that are figures: the worst group, tables by group and size, files, what was tried."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from converters.datasets.labels import LEVELS
from converters.evaluation.bundle_figures import AGREEMENT
from converters.evaluation.detectors import SIZES
from converters.formats.markdown import table
from converters.measurements.published import read_published
from converters.measurements.speeds import read_speeds
from converters.recipes.reading import read_workshop
from edgeface.bundle import FileRuntime, Measured, Network, NetworkFile, Precision

LEAST_FACES = 30
"""A group smaller than this is listed, but not named as the worst: chance would choose it."""
AGREED = 0.97
"""Share of equal answers on crops from either detector below which the card states the loss."""
PEOPLE = ("age ", "race ", "gender ")
WORST: dict[str, tuple[tuple[str, str, Callable[..., Measured]], ...]] = {
    "detect": (),
    "affect": (),
    "embedding": (),
    "age": (("MAE years", "years off on average", max), ("years outside bin", "years outside the bin", max)),
    "gender": (("accuracy", "right", min),),
    "expression": (("sensitivity", "recognised", min),),
}
"""By task: the metric that names the worst group, how the card says it, and whether large or small is bad."""


def of_people(network: Network, row: Measured) -> bool:
    """Whether a figure tells how a group of people fares, which the report on fairness has."""
    metrics = [metric for task in network.answers for metric, _, _ in WORST[task] if metric != "sensitivity"]
    return row.metric in metrics and row.group.startswith(PEOPLE)


def worst_group(network: Network) -> str:
    """One paragraph on the group for which the network does worst, per data set, and on what was not measured."""
    sentences = []
    for name, rows in by_set(first_file(network)):
        large = [r for r in rows if r.count >= LEAST_FACES]
        for metric, words, worst_of in (way for task in network.answers or (network.task,) for way in WORST[task]):
            of_metric = [r for r in large if r.metric == metric]
            groups = [r for r in of_metric if metric == "sensitivity" or r.group.startswith(PEOPLE)]
            whole = next((r for r in of_metric if r.group == "all"), None)
            if groups:
                worst = worst_of(groups, key=lambda r: r.value)
                against = f" against {value(whole)} over all" if whole else ""
                sentences.append(f"on {name} {value(worst)} {words} for *{worst.group}*{against}")
    precisions = [r for r in first_file(network) if r.metric.startswith("AP ")]
    if precisions:
        worst = min(precisions, key=lambda r: r.value)
        words = f"average precision {value(worst)} on the {worst.metric[3:]} faces of {worst.set}"
        sentences.append(f"small faces: with an input of {worst.size} {words}")
    said = f"**Worst group**: {'; '.join(sentences)}. " if sentences else ""
    if not network.measured:
        return "**Not measured here**: nothing is known of how it does on any group of people."
    return said + read_published().unlabelled.get(network.task, "")


def detector_figures(network: Network) -> Iterator[str]:
    """Average precision by input size and file, beside the public weights."""
    if not network.measured:
        yield "Not measured here."
        return
    published = read_published()
    rows: dict[tuple[str, str, str], dict[str, Measured]] = {}
    for measured in network.measured:
        if measured.metric.startswith("AP "):
            key = (measured.size or "", measured.runtime, measured.precision)
            rows.setdefault(key, {})[measured.metric[3:]] = measured
    counts = {level: row.count for levels in rows.values() for level, row in levels.items()}
    counted = ", ".join(f"{counts.get(level, 0)} {level}" for level in LEVELS)
    yield (
        "Average precision on the 274-image dev share of WIDER FACE (5 of 61 events: not comparable with figures on "
        "the whole validation part), standard procedure, single scale, through the device's own path: pictures are "
        "shrunk by averaging (which finds a little more than sampling) and padded, never enlarged. "
        "In brackets 95 % confidence, from resampled photographs. "
        f"Faces that count: {counted}. " + published.notes.get(network.name, "")
    )
    yield table(
        ("input", "file", *LEVELS, "public weights, own framework"),
        [
            (
                size,
                f"{runtime} {precision}",
                *(value(rows[size, runtime, precision][level]) for level in LEVELS),
                " / ".join(map(_ap, published.precisions.get(network.name, {}).get(size, ()))) or "-",
            )
            for size, runtime, precision in sorted(rows, key=_size_order)
        ],
    )
    if network.box_to_reference is not None:
        yield (
            "Crop rules were measured on RetinaFace's boxes and points. For this detector `box_to_reference` is "
            f"{list(network.box_to_reference)} (left, top, right, bottom, shares of the box), fitted as the median "
            "over faces that both find; its points are corrected likewise. How often crops from either detector get "
            "the same answer stands in the cards of the networks that crop by box."
        )
    yield from commands(network)


def _size_order(key: tuple[str, str, str]) -> tuple[int, str, str, str]:
    """Sizes that all detectors run in the order of the protocol, then those of one detector."""
    return (SIZES.index(key[0]) if key[0] in SIZES else len(SIZES), *key)


def group_figures(network: Network) -> Iterator[str]:
    """Figures of the first file by data set, but those by groups of people; those of the others over all."""
    first = first_file(network)
    if not network.measured:
        yield "Not measured here."
        return
    yield (
        "Where a detector is named, faces are padded by 30 %, found by it and cut out by the manifest's rule, as on "
        "the device; faces that were not found are counted under *found*. Without one, the whole picture of the data "
        "set is the crop. In brackets 95 % confidence."
    )
    yield from _agreement(first)
    for name, rows in by_set(first):
        yield f"### {name}"
        yield table(
            ("metric", "group", "value", "faces"),
            [
                (r.metric, r.group, value(r), str(r.count))
                for r in sorted(rows, key=_reading_order)
                if not of_people(network, r)
            ],
        )
    others = [r for r in network.measured if r not in first and r.group == "all"]
    if others:
        yield "### Other files"
        yield table(
            ("file", "set", "metric", "value", "faces"),
            [(f"{r.runtime} {r.precision}", _title(r), r.metric, value(r), str(r.count)) for r in others],
        )
    yield from commands(network)


def files(network: Network) -> str:
    """Every file that ships: size, what was measured with it, and its CPU time against fp32's of the same run."""
    listed: Iterable[NetworkFile] = (file for files in network.files.values() for file in files)
    own = {(t.runtime, t.precision): t for t in read_speeds() if t.network == network.name}
    machines = " and ".join(sorted({t.machine for t in own.values()}))
    sized = f"{network.parameters:,} parameters"
    sized += "" if network.macs is None else f", {network.macs / 1e6:.1f} M multiply-accumulates"
    speed = f" CPU time is per call, one thread, all files in one run, on {machines}." if own else ""
    rows = []
    for f in listed:
        time, plain = own.get((f.runtime, f.precision)), own.get((f.runtime, "fp32"))
        rows.append(
            (
                f"`{f.path}`",
                f.runtime,
                f.precision,
                f"{f.bytes:,}",
                headline(network, f.runtime, f.precision),
                "-" if time is None else f"{time.cpu_ms:.2f} at {time.size}",
                "-" if time is None or plain is None else f"{time.cpu_ms / plain.cpu_ms:.2f}",
                f"`{f.sha256[:16]}`...",
            )
        )
    heads = ("file", "runtime", "precision", "bytes", "measured", "CPU ms", "of fp32's", "sha256")
    return f"{sized}.{speed}\n\n{table(heads, rows)}"


def headline(network: Network, runtime: FileRuntime | None = None, precision: Precision | None = None) -> str:
    """Return the one figure by which a network of its kind is known, of its first file or of another."""
    wanted = {
        "detect": ("AP hard", "AP hard {} at {size}"),
        "age": ("MAE years", "{} years off on average"),
        "gender": ("accuracy", "{} right"),
        "expression": ("accuracy", "{} right"),
        "embedding": ("AUC", "AUC {}"),
        "affect": ("CCC valence", "CCC {} for valence"),
    }
    metric, words = wanted[network.task]
    rows = first_file(network)
    if runtime is not None:
        rows = [r for r in network.measured if (r.runtime, r.precision) == (runtime, precision)]
    asked = [row for row in rows if row.metric == metric and row.group in ("all", "cosine") and row.size != "original"]
    if not asked:
        return "not measured"
    row = min(
        asked, key=lambda r: (r.set != "UTKFace val", r.detector == read_workshop().reference_detector, -_area(r.size))
    )
    return f"{words.format(value(row), size=row.size)}, {row.set}, n {row.count}"


def _area(size: str | None) -> int:
    """Pixels of ``640x384``; of figures without a size 0."""
    width, _, height = (size or "0x0").partition("x")
    return int(width) * int(height)


def commands(network: Network) -> Iterator[str]:
    """Which commands made the figures."""
    made = sorted({row.command for row in network.measured if row.command})
    if made:
        yield "Made by " + ", ".join(f"`{command}`" for command in made) + "."


def first_file(network: Network) -> list[Measured]:
    """Figures of the first ONNX file, which the default runtime takes; of a cascade, of its one file."""
    runtime: FileRuntime = "opencv" if "opencv" in network.files else "onnx"
    listed = network.files.get(runtime, ())
    return [r for r in network.measured if listed and (r.runtime, r.precision) == (runtime, listed[0].precision)]


def value(row: Measured) -> str:
    """A figure with its interval, in the unit of its metric."""
    if row.metric.startswith("AP "):
        interval = "" if row.low is None or row.high is None else f" ({_ap(row.low)} to {_ap(row.high)})"
        return _ap(row.value) + interval
    share = row.metric in ("accuracy", "found", "sensitivity", "bin accuracy", "macro-F1") or "agreement" in row.metric
    scale, digits, unit = (100, 1, " %") if share else (1, 2, "")
    text = f"{row.value * scale:.{digits}f}{unit}"
    if row.low is None or row.high is None:
        return text
    return f"{text} ({row.low * scale:.{digits}f} to {row.high * scale:.{digits}f})"


def _agreement(rows: Sequence[Measured]) -> Iterator[str]:
    """Say what it costs to cut a face out by YuNet's box instead of RetinaFace's, where answers differ too often."""
    for row in rows:
        if not row.metric.startswith(AGREEMENT) or row.value >= AGREED:
            continue
        right = {r.detector: r for r in rows if (r.metric, r.group, r.set) == ("accuracy", "all", _on_faces(rows))}
        lost = [f"{value(r)} of {r.count} faces that {name} found" for name, r in right.items() if name]
        yield (
            f"**Crops from either detector do not always get the same answer**: the likeliest label is the same for "
            f"{value(row)} of {row.count} faces of {row.set}, after `box_to_reference`; "
            f"{AGREED * 100:.0f} % was aimed at. "
            + (f"What it costs: right are {' and '.join(lost)} ({_on_faces(rows)})." if len(lost) > 1 else "")
        )


def _on_faces(rows: Sequence[Measured]) -> str | None:
    """Name the data set on which faces were found by both detectors."""
    sets = [
        r.set
        for r in rows
        if (r.metric, r.group, r.detector) == ("accuracy", "all", read_workshop().reference_detector)
    ]
    return sets[0] if sets else None


def by_set(rows: Sequence[Measured]) -> Iterator[tuple[str, list[Measured]]]:
    """Figures by data set and by who found the faces; rows of two detectors are never mixed."""
    for title in dict.fromkeys(_title(row) for row in rows if not row.metric.startswith(AGREEMENT)):
        yield title, [row for row in rows if _title(row) == title and not row.metric.startswith(AGREEMENT)]


def _title(row: Measured) -> str:
    return row.set if row.detector is None else f"{row.set}, faces found by {row.detector}"


def _reading_order(row: Measured) -> tuple[str, bool, list[tuple[int, str]]]:
    """All before the groups, ages as they rise."""
    parts = re.split(r"(\d+)", row.group)
    return row.metric, row.group != "all", [(int(part) if part.isdigit() else -1, part) for part in parts]


def _ap(precision: float) -> str:
    return f"{precision:.3f}".lstrip("0")
