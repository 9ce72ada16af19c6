"""``card``: model cards and ``models/README.md``, from manifests, measurements and what others published.

Only the default bundle is committed as files. Of every other one the recipe and the manifest are: with the hashes that
a build should give and the figures that were measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np

from converters.building.selftest import selftest_input
from converters.bundles import card_confidence, card_crops, card_fairness, card_figures, card_trials
from converters.checkpoints.archive import origin
from converters.formats.markdown import table
from converters.measurements.confidence import read_confidence
from converters.measurements.crops import read_crop_losses
from converters.measurements.trials import Trial, read_trials
from converters.recipes.reading import read_workshop
from converters.recipes.schema import Workshop
from edgeface.bundle import MANIFEST, Bundle, Manifest, Network
from edgeface.detect.single import FAMILIES

PICTURE_SIDE = 256
USES = {
    "detect": "finding faces and five points in each",
    "age": "estimating the apparent age of a face, fused over many looks",
    "gender": "estimating gender as its training data labels it, fused over many looks",
    "expression": "naming the expression a face shows, fused over time; not what the person feels",
    "affect": "estimating how pleasant and how aroused a face looks; not what the person feels",
    "embedding": "saying whether two pictures show one person, where both people asked for it",
}


def documents(bundle: Bundle, others: Iterable[Manifest] = ()) -> dict[str, bytes]:
    """Every generated file by its path below the root."""
    others = list(others)
    found: dict[str, bytes] = {"models/README.md": readme(bundle.manifest, others).encode()}
    workshop = read_workshop()
    for manifest, networks in with_cards(bundle.manifest, others):
        for network in networks:
            found[f"docs/cards/{network.name}.md"] = card(network, manifest.name).encode()
            if network.files.keys() - {"opencv"}:
                found[f"docs/cards/{network.name}.png"] = picture(network, workshop)
    return found


def own_documents(bundle: Bundle, trials: Sequence[Trial] | None = None) -> dict[str, bytes]:
    """Cards of the networks that somebody brought to a bundle, by file name; trained or not, as they are.

    ``trials`` : what quantized variants lost; None: those on record.
    """
    found: dict[str, bytes] = {}
    for network in bundle.manifest.networks:
        if network.source.registry == "file" and network.task != "stage":
            found[f"{network.name}.md"] = card(network, bundle.manifest.name, trials=trials).encode()
            if network.files.keys() - {"opencv"}:
                found[f"{network.name}.png"] = picture(network, read_workshop())
    return found


def with_cards(default: Manifest, others: Iterable[Manifest]) -> Iterator[tuple[Manifest, list[Network]]]:
    """Bundles, and the networks that have a card of their own there: trained, a whole, and of no bundle before."""
    known: set[str] = set()
    for manifest in (default, *others):
        whole = [n for n in manifest.networks if not n.random_weights and n.task != "stage"]
        yield manifest, [network for network in whole if network.name not in known]
        known |= {network.name for network in whole}


def readme(default: Manifest, others: Iterable[Manifest] = ()) -> str:
    """Table of the bundles' networks."""
    total = sum(f.bytes for n in default.networks for files in n.files.values() for f in files)
    (_, first), *rest = with_cards(default, others)
    parts = [
        "<!-- written by `python -m converters card`; do not edit -->",
        f"# Bundle `{default.name}` {default.version}",
        f"{len(default.networks)} networks, {total / 1e6:.1f} MB of files. `manifest.json` is the contract: hashes, "
        "crops, heads, figures. Rebuild with `python -m converters build`; check with `edgeface models verify`.",
        _networks(default, first),
        "Each card gives the figures by group with counts, intervals and the commands that made them.",
        "Made by: " + ", ".join(f"{name} {version}" for name, version in sorted(default.made_by.items())) + ".",
    ]
    for manifest, networks in rest:
        parts += [
            f"## Bundle `{manifest.name}` {manifest.version}",
            f"Not committed as files: `python -m converters build {manifest.name}` makes it, "
            f"`converters/recipes/bundles/{manifest.name}.{MANIFEST}` has its figures and hashes as recorded.",
            _networks(manifest, networks),
        ]
    return "\n\n".join(parts) + "\n"


def _networks(manifest: Manifest, networks: Sequence[Network]) -> str:
    rows = [
        (
            f"[{n.name}](../docs/cards/{n.name}.md)",
            " and ".join(n.answers or (n.task,))
            + (" (default)" if manifest.name == "default" and n.name in manifest.defaults.values() else ""),
            n.licence,
            card_figures.headline(n),
            n.training_data,
            origin(n.source),
            f"{n.parameters:,}",
            ", ".join(f"{f.runtime} {f.precision} {f.bytes / 1e6:.2f} MB" for files in n.files.values() for f in files),
        )
        for n in networks
    ]
    return table(
        ("network", "task", "licence", "measured", "training data", "weights from", "parameters", "files"), rows
    )


def _use(network: Network, task: str) -> str:
    family = FAMILIES.get(type(network.head))
    return "finding faces" if family is not None and not family.landmarks else USES[task]


def card(network: Network, bundle: str = "default", *, trials: Sequence[Trial] | None = None) -> str:
    """One model card.

    Parameters
    ----------
    bundle : name of the bundle that it is of
    trials : what its quantized variants lost; None: those on record
    """
    tasks = network.answers or (network.task,)
    detects = network.task == "detect"
    seen = network.files.keys() - {"opencv"}
    parts = [
        "<!-- written by `python -m converters card`; do not edit -->",
        f"# {network.title} (`{network.name}`)",
        f"For {', and for '.join(_use(network, task) for task in tasks)}. {network.limits}",
        card_figures.worst_group(network),
        f"![what the network sees]({network.name}.png)" if seen else "",
        "*The self-test's picture: what this network sees of `skimage.data.astronaut()` (NASA, public domain).*"
        if seen
        else "",
        "## Where it comes from",
        table(
            ("", ""),
            (
                ("paper", network.paper),
                ("licence of the weights", network.licence),
                ("training data", network.training_data),
                ("weights from", _origin(network)),
                ("sha256 of that file", f"`{network.source.sha256}`"),
                ("parameters", f"{network.parameters:,}"),
                (
                    "multiply-accumulates",
                    "-" if network.macs is None else f"{network.macs / 1e6:.1f} M at {_size(network)}",
                ),
            ),
        ),
        *card_fairness.fairness(network),
        "## Figures",
        *(card_figures.detector_figures(network) if detects else card_figures.group_figures(network)),
        *card_crops.crops(network, read_crop_losses()),
        *card_confidence.confidence(network, read_confidence()),
        *card_confidence.chosen(network),
        "## Files",
        card_figures.files(network),
        *card_trials.trials(network, read_trials() if trials is None else trials),
        *([] if network.source.registry == "file" else ["## Rebuild", f"```\n{_rebuild(network, bundle)}\n```"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _origin(network: Network) -> str:
    source = network.source
    if source.registry == "file":
        return f"a file that somebody brought, `{source.path}`"
    if source.registry == "own":
        return f"trained here, `converters/weights/{source.path}`, with its record beside it"
    return f"{origin(source)}, `{source.path}`"


def _rebuild(network: Network, bundle: str) -> str:
    protocol = {"detect": "detectors", "embedding": "verification"}.get(network.task, "attributes")
    where, record = ("", "") if bundle == "default" else (f" --bundle build/bundles/{bundle}", f" {bundle} --record")
    return "\n".join(
        f"python -m converters {command}"
        for command in (
            f"build {network.name if bundle == 'default' else bundle}",
            f"evaluate {protocol} --network {network.name}{where}"
            + (" --record" if protocol == "verification" else ""),
            f"manifest{record}",
            "card",
        )
    )


def _size(network: Network) -> str:
    """Input size, width first; that of the self-test where it is free."""
    width, height = network.input.width, network.input.height
    return f"{width}x{height}" if width else "{}x{}".format(*read_workshop().selftest.detector_size)


def picture(network: Network, workshop: Workshop) -> bytes:
    """PNG of the self-test's picture, before any noise over it, enlarged so that a person sees its pixels."""
    pixels = selftest_input(network, workshop.selftest)[0]
    shown = pixels[..., ::-1] if network.input.color == "rgb" else pixels
    factor = max(1, PICTURE_SIDE // max(shown.shape[:2]))
    large = np.repeat(np.repeat(shown, factor, axis=0), factor, axis=1)
    done, data = cv2.imencode(".png", large)
    assert done
    return bytes(data.tobytes())
