"""Model cards and ``models/README.md``, written from manifest and committed results; nothing is typed by hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from converters import card_figures
from converters.card_figures import table
from converters.recipe import read_recipe
from edgeface.bundle import Bundle, Network, open_bundle
from edgeface.files import write_atomic
from edgeface.selftest import stored_input

ROOT = Path(__file__).resolve().parents[1]
PICTURE_SIDE = 256
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
            card_figures.headline(n),
            n.training_data,
            f"{n.source.package} {n.source.version}",
            f"{n.parameters:,}",
            ", ".join(f"{f.runtime} {f.precision} {f.bytes / 1e6:.2f} MB" for files in n.files.values() for f in files),
        )
        for n in manifest.networks
    ]
    total = sum(f.bytes for n in manifest.networks for files in n.files.values() for f in files)
    return (
        "<!-- written by `python -m converters card`; do not edit -->\n"
        f"# Bundle `{manifest.name}` {manifest.version}\n\n"
        f"{len(manifest.networks)} networks, {total / 1e6:.1f} MB of files. `manifest.json` is the contract: hashes, "
        "crops, heads, figures. Rebuild with `python -m converters build`; check with `edgeface models verify`.\n\n"
        + table(
            ("network", "task", "licence", "measured", "training data", "weights from", "parameters", "files"), rows
        )
        + "\n\nEach card gives the figures by group with counts, intervals and the commands that made them.\n"
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
        card_figures.worst_group(network),
        f"![what the network sees]({network.name}.png)",
        "*The self-test's picture: what this network sees of `skimage.data.astronaut()` (NASA, public domain).*",
        "## Where it comes from",
        table(
            ("", ""),
            (
                ("paper", network.paper),
                ("licence of the weights", network.licence),
                ("training data", network.training_data),
                ("weights from", f"{network.source.package} {network.source.version}, `{network.source.path}`"),
                ("sha256 of that file", f"`{network.source.sha256}`"),
                ("parameters", f"{network.parameters:,}"),
                (
                    "multiply-accumulates",
                    "-" if network.macs is None else f"{network.macs / 1e6:.1f} M at {_size(network)}",
                ),
            ),
        ),
        "## Figures",
        *(card_figures.detector_figures(network) if network.task == "detect" else card_figures.group_figures(network)),
        "## Files",
        card_figures.files(network),
        *card_figures.trials(network),
        "## Rebuild",
        f"```\npython -m converters build {network.name}\npython -m converters evaluate "
        f"{'detectors' if network.task == 'detect' else 'attributes'} --network {network.name}\n"
        "python -m converters manifest\npython -m converters card\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _size(network: Network) -> str:
    """Input size, width first; that of the self-test where it is free."""
    width, height = network.input.width, network.input.height
    return f"{width}x{height}" if width else "{}x{}".format(*read_recipe().selftest.detector_size)


def picture(bundle: Bundle, network: Network) -> bytes:
    """PNG of the self-test's input, enlarged so that a person sees its pixels."""
    pixels = stored_input(bundle, network)[0]
    shown = pixels[..., ::-1] if network.input.color == "rgb" else pixels
    factor = max(1, PICTURE_SIDE // max(shown.shape[:2]))
    large = np.repeat(np.repeat(shown, factor, axis=0), factor, axis=1)
    done, data = cv2.imencode(".png", large)
    assert done
    return bytes(data.tobytes())
