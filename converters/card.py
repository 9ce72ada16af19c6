"""Model cards and ``models/README.md``, written from manifest and committed results; nothing is typed by hand."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from converters.manifest import RESULTS
from converters.trial import Trial
from edgeface.bundle import Bundle, Measured, Network, NetworkFile, open_bundle
from edgeface.files import write_atomic
from edgeface.selftest import stored_input

ROOT = Path(__file__).resolve().parents[1]
CARDS = ROOT / "docs" / "cards"
LEAST_FACES = 30
"""A group smaller than this is listed, but not named as the worst: chance would choose it."""
PICTURE_SIDE = 256

PUBLIC_WEIGHTS = {
    # AP of the public weights in their own framework on the same pictures, single scale: easy, medium, hard.
    ("retinaface", "original"): (0.938, 0.920, 0.774),
    ("retinaface", "640x640"): (0.930, 0.884, 0.564),
    ("retinaface", "320x320"): (0.854, 0.720, 0.288),
    ("yunet", "original"): (0.928, 0.916, 0.826),
    ("yunet", "640x640"): (0.918, 0.887, 0.642),
    ("yunet", "320x320"): (0.869, 0.781, 0.333),
}
USES = {
    "detect": "finding faces and five points in each",
    "age": "estimating the apparent age of a face, fused over many looks",
    "gender": "estimating gender as its training data labels it, fused over many looks",
    "expression": "naming the expression a face shows, fused over time; not what the person feels",
}


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``card``."""
    parser = commands.add_parser(
        "card",
        help="write model cards and models/README.md",
        description="Writes docs/cards and models/README.md from the manifest and converters/results.",
    )
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "default", metavar="DIR")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write every card."""
    bundle = open_bundle(args.bundle)
    for path, data in documents(bundle).items():
        write_atomic(ROOT / path, data)
    return 0


def documents(bundle: Bundle) -> dict[str, bytes]:
    """Every generated file by its path below the root."""
    found: dict[str, bytes] = {"models/README.md": readme(bundle).encode()}
    for network in bundle.manifest.networks:
        found[f"docs/cards/{network.name}.md"] = card(network).encode()
        found[f"docs/cards/{network.name}.png"] = picture(bundle, network)
    return found


def readme(bundle: Bundle) -> str:
    """Table of the bundle's networks."""
    manifest = bundle.manifest
    rows = [
        (
            f"[{n.name}](../docs/cards/{n.name}.md)",
            n.task + (" (default)" if manifest.defaults.get(n.task) == n.name else ""),
            n.licence,
            n.training_data,
            f"{n.source.package} {n.source.version}",
            f"{n.parameters:,}",
            " ".join(f"{f.runtime}/{f.precision}" for files in n.files.values() for f in files),
        )
        for n in manifest.networks
    ]
    total = sum(f.bytes for n in manifest.networks for files in n.files.values() for f in files)
    return (
        "<!-- written by `python -m converters card`; do not edit -->\n"
        f"# Bundle `{manifest.name}` {manifest.version}\n\n"
        f"{len(manifest.networks)} networks, {total / 1e6:.1f} MB of files. `manifest.json` is the contract: hashes, "
        "crops, heads, figures. Rebuild with `python -m converters build`; check with `edgeface models verify`.\n\n"
        + _table(("network", "task", "licence", "training data", "weights from", "parameters", "files"), rows)
        + "\nMade by: "
        + ", ".join(f"{name} {version}" for name, version in sorted(manifest.made_by.items()))
        + ".\n"
    )


def card(network: Network) -> str:
    """One model card."""
    parts = [
        "<!-- written by `python -m converters card`; do not edit -->",
        f"# {network.title} (`{network.name}`)",
        f"For {USES[network.task]}. {network.limits}",
        _worst(network),
        f"![what the network sees]({network.name}.png)",
        "*The self-test's picture: what this network sees of `skimage.data.astronaut()` (NASA, public domain).*",
        "## Where it comes from",
        _table(
            ("", ""),
            (
                ("paper", network.paper),
                ("licence of the weights", network.licence),
                ("training data", network.training_data),
                ("weights from", f"{network.source.package} {network.source.version}, `{network.source.path}`"),
                ("sha256 of that file", f"`{network.source.sha256}`"),
                ("parameters", f"{network.parameters:,}"),
                ("multiply-accumulates", "-" if network.macs is None else f"{network.macs / 1e6:.1f} M"),
            ),
        ),
        "## Figures",
        *(_detector_figures(network) if network.task == "detect" else _group_figures(network)),
        "## Files",
        _files(network),
        *_trials(network),
        "## Rebuild",
        f"```\npython -m converters build {network.name}\npython -m converters evaluate "
        f"{'detectors' if network.task == 'detect' else 'attributes'} --network {network.name}\n"
        "python -m converters manifest\npython -m converters card\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def picture(bundle: Bundle, network: Network) -> bytes:
    """PNG of the self-test's input, enlarged so that a person sees its pixels."""
    pixels = stored_input(bundle, network)[0]
    shown = pixels[..., ::-1] if network.input.color == "rgb" else pixels
    factor = max(1, PICTURE_SIDE // max(shown.shape[:2]))
    large = np.repeat(np.repeat(shown, factor, axis=0), factor, axis=1)
    done, data = cv2.imencode(".png", large)
    assert done
    return bytes(data.tobytes())


def _worst(network: Network) -> str:
    """One sentence on the group for which the network does worst, per data set."""
    sentences = []
    for name, rows in _by_set(_first_file(network)):
        metric = "accuracy" if network.task == "gender" else "MAE years"
        large = [r for r in rows if r.metric == metric and r.count >= LEAST_FACES]
        whole = next((r for r in large if r.group == "all"), None)
        groups = [r for r in large if r.group.startswith(("age ", "race ", "gender "))]
        if whole is None or not groups:
            continue
        worst = min(groups, key=lambda r: r.value) if metric == "accuracy" else max(groups, key=lambda r: r.value)
        sentences.append(f"on {name} {_value(worst)} for *{worst.group}* against {_value(whole)} over all")
    labels = [r for r in _first_file(network) if r.metric == "sensitivity"]
    if labels:
        worst = min(labels, key=lambda r: r.value)
        sentences.append(f"on {worst.set} it recognises *{worst.group}* in {_value(worst)} of cases")
    return f"**Worst group**: {'; '.join(sentences)}." if sentences else ""


def _detector_figures(network: Network) -> Iterator[str]:
    yield (
        "Average precision on the 274-image dev share of WIDER FACE (5 of 61 events: not comparable with figures on "
        "the whole validation part), standard procedure, single scale, through the device's own path."
    )
    rows: dict[tuple[str, str, str], dict[str, Measured]] = {}
    for measured in network.measured:
        if measured.metric.startswith("AP "):
            key = (measured.size or "", measured.runtime, measured.precision)
            rows.setdefault(key, {})[measured.metric] = measured
    sizes = ("original", "640x640", "640x384", "320x320", "320x192")
    ordered = sorted(rows, key=lambda key: (sizes.index(key[0]), key[1:]))
    yield _table(
        ("input", "file", "easy", "medium", "hard", "public weights, own framework"),
        [
            (
                size,
                f"{runtime} {precision}",
                *(f"{rows[size, runtime, precision][f'AP {level}'].value:.3f}" for level in ("easy", "medium", "hard")),
                " / ".join(f"{ap:.3f}" for ap in PUBLIC_WEIGHTS.get((network.name, size), ())) or "-",
            )
            for size, runtime, precision in ordered
        ],
    )
    if network.box_to_reference is not None:
        yield (
            "Crop rules were measured on RetinaFace's boxes and points. For this detector `box_to_reference` is "
            f"{list(network.box_to_reference)} (left, top, right, bottom, shares of the box), fitted as the median "
            "over faces that both find; its points are corrected likewise. How often crops from either detector get "
            "the same answer stands in the cards of the networks that crop by box."
        )


def _group_figures(network: Network) -> Iterator[str]:
    first = _first_file(network)
    if network.task != "expression":
        yield (
            "Faces are padded by 30 %, found by the default detector and cut out by the manifest's rule, as on the "
            "device; faces that were not found are counted under *found*. In brackets 95 % confidence."
        )
    for name, rows in _by_set(first):
        yield f"### {name}"
        yield _table(
            ("metric", "group", "value", "faces"), [(r.metric, r.group, _value(r), str(r.count)) for r in rows]
        )
    others = [r for r in network.measured if r not in first and r.group == "all"]
    if others:
        yield "### Other files"
        yield _table(
            ("file", "set", "metric", "value", "faces"),
            [(f"{r.runtime} {r.precision}", r.set, r.metric, _value(r), str(r.count)) for r in others],
        )


def _files(network: Network) -> str:
    listed: Iterable[NetworkFile] = (file for files in network.files.values() for file in files)
    return _table(
        ("file", "runtime", "precision", "bytes", "sha256"),
        [(f"`{f.path}`", f.runtime, f.precision, f"{f.bytes:,}", f"`{f.sha256[:16]}`...") for f in listed],
    )


def _trials(network: Network) -> Iterator[str]:
    """Forms that were made and measured, whether they ship or not."""
    path = RESULTS / "trials.json"
    trials = msgspec.json.decode(path.read_bytes(), type=list[Trial]) if path.is_file() else []
    rows = [trial for trial in trials if trial.network == network.name]
    if not rows:
        return
    yield "### Smaller forms that were tried"
    yield "Against the fp32 form, by post-training quantization alone. Only what is within its limit may ship."
    yield _table(
        ("form", "calibration", "bytes", "of fp32", "loss", "same answer", "within the limit"),
        [
            (
                f"{t.runtime} {t.precision}",
                str(t.calibration or "-"),
                f"{t.bytes:,}",
                f"{t.bytes / t.bytes_fp32:.0%}",
                f"{t.years:.3f} years" if t.years is not None else f"{t.points:.2f} points",
                "-" if t.agreement is None else f"{t.agreement:.1%}",
                "yes" if t.within else "no",
            )
            for t in rows
        ],
    )


def _first_file(network: Network) -> list[Measured]:
    """Figures of the file that the default runtime takes."""
    files = network.files.get("onnx", ())
    return [r for r in network.measured if files and r.runtime == "onnx" and r.precision == files[0].precision]


def _by_set(rows: Sequence[Measured]) -> Iterator[tuple[str, list[Measured]]]:
    for name in dict.fromkeys(row.set for row in rows):
        yield name, [row for row in rows if row.set == name]


def _value(row: Measured) -> str:
    share = row.metric in ("accuracy", "found", "sensitivity", "bin accuracy", "macro-F1") or "agreement" in row.metric
    scale, digits, unit = (100, 1, " %") if share else (1, 2, "")
    text = f"{row.value * scale:.{digits}f}{unit}"
    if row.low is None or row.high is None:
        return text
    return f"{text} ({row.low * scale:.{digits}f} to {row.high * scale:.{digits}f})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
