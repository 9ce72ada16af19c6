"""Contradictions of a manifest: what each value alone allows and the whole does not. Pure; nothing is opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise, product
from math import prod
from typing import get_args

from edgeface.bundle.heads import (
    AttributeHead,
    BlazeFaceHead,
    CascadeHead,
    CategoricalHead,
    CenterFaceHead,
    CoralHead,
    DetectorHead,
    EmbeddingHead,
    ExpectationHead,
    Head,
    MtcnnHead,
    RegressionHead,
    RetinaFaceHead,
    StageHead,
    UltraLightHead,
    YunetHead,
)
from edgeface.bundle.manifest import SESSION_OPTIONS, LandmarkCrop, Manifest, Network, NetworkFile

LARGEST_TENSOR = 2**26
"""Most values that one prepared input or state has: 256 MB."""
HEADS: dict[str, type | tuple[type, ...]] = {
    "detect": get_args(DetectorHead),
    "stage": StageHead,
    "embedding": EmbeddingHead,
}
"""Kinds of head by task; a question about a face takes one of `AttributeHead`."""
OUTPUTS: dict[type, tuple[str, ...]] = {
    RetinaFaceHead: ("loc", "conf", "landm"),
    BlazeFaceHead: ("boxes", "scores"),
    MtcnnHead: ("boxes", "scores"),
    CenterFaceHead: ("heatmap", "size", "offset", "landmarks"),
    UltraLightHead: ("conf", "loc"),
    CascadeHead: ("boxes", "weights"),
}
"""What a detector's head looks for, where that does not hang on its numbers."""


def stage_names(head: Head) -> tuple[str, ...]:
    """Names of the networks of task ``stage`` that a head needs; empty for all but detectors of several networks."""
    return (head.refine, head.output) if isinstance(head, MtcnnHead) else ()


def contradictions(manifest: Manifest) -> Iterator[str]:
    """Say everything that cannot hold, each as the rest of a line that begins with the manifest's path."""
    names = [network.name for network in manifest.networks]
    stages = [network.name for network in manifest.networks if isinstance(network.head, StageHead)]
    wrong = [name for name in names if names.count(name) > 1]
    wrong += [name for name in manifest.defaults.values() if name not in names]
    wrong += [name for network in manifest.networks for name in stage_names(network.head) if name not in stages]
    yield from (f"network {name} is missing or named twice" for name in wrong)
    by_name = {network.name: network for network in manifest.networks}
    for task, name in manifest.defaults.items():
        network = by_name.get(name)
        if network is not None and task not in (tuple(network.answers) or (network.task,)):
            yield f"network {name} is the default for {task} and does not answer that"
    detectors = [network.name for network in manifest.networks if network.task == "detect"]
    if detectors and "detect" not in manifest.defaults:
        yield f"defaults name no detector, and it has {detectors[0]}"
    for network in manifest.networks:
        yield from (f"network {network.name} {what}" for what in _of_network(network))
        for runtime, files in network.files.items():
            for file in files:
                if file.runtime != runtime or (runtime == "opencv") != isinstance(network.head, CascadeHead):
                    yield f"{file.path} is not a file for {runtime}"
                yield from (f"{file.path} {what}" for what in _of_file(network, file))


def _of_network(network: Network) -> Iterator[str]:
    if not isinstance(network.head, HEADS.get(network.task, get_args(AttributeHead))):
        yield f"has a head that does not answer {network.task}"
    if network.also and (not network.answers or network.task in network.also):
        yield "cannot answer also that"
    for head in (network.head, *network.also.values()):
        yield from _of_head(head)
    yield from _of_input(network)
    if any(prod(state.shape) > LARGEST_TENSOR for state in network.states):
        yield "has a state that is too large"
    if not any(network.files.values()):
        yield "has no file"


def _of_head(head: Head) -> Iterator[str]:
    if isinstance(head, CategoricalHead) and len(set(head.labels)) < len(head.labels):
        yield "has a label twice"
    if isinstance(head, ExpectationHead) and not _rises(head.support):
        yield "has a support that does not rise"
    if isinstance(head, ExpectationHead | CoralHead | RegressionHead) and not _rises(head.percentiles):
        yield "has percentiles that do not rise"
    if isinstance(head, RetinaFaceHead | UltraLightHead) and len(head.strides) != len(head.prior_sizes):
        yield f"has {len(head.strides)} strides and prior sizes for {len(head.prior_sizes)}"
    if isinstance(head, YunetHead | RetinaFaceHead | UltraLightHead) and not _rises(head.strides):
        yield "has strides that do not rise"


def _of_input(network: Network) -> Iterator[str]:
    spec = network.input
    for name, values in (("mean", spec.means), ("scale", spec.scales)):
        if len(values) != spec.channels:
            yield f"has {len(values)} values of input.{name} for {spec.channels} channels"
    if (spec.height is None) != (spec.width is None):
        yield "has a height or a width of its input, and not both"
    looks = bool(network.answers) or network.task == "embedding"
    if looks and (spec.crop is None or spec.height is None):
        yield "lacks the crop rule, height and width that a network for faces needs"
    if not looks and spec.crop is not None:
        yield "has a crop rule, and sees no faces"
    if isinstance(spec.crop, LandmarkCrop) and spec.crop.template[0] == spec.crop.template[1]:
        yield "has both eyes of its template in one place"


def _of_file(network: Network, file: NetworkFile) -> Iterator[str]:
    spec = network.input
    missing = _expected_outputs(network) - set(file.outputs)
    if missing:
        yield f"gives no {min(missing)}"
    for key, value in file.session.items():
        if value not in SESSION_OPTIONS.get(key, ()):
            yield f"wants too much: session option {key[:60]}={value[:60]} is not allowed"
    if not _rises(file.batches):
        yield "has batches that do not rise"
    if file.runtime == "litert" and not file.signatures:
        yield "has no signatures"
    fixed = {(spec.width, spec.height)} if spec.width and spec.height else set()
    sizes = {(signature.width, signature.height) for signature in file.signatures}
    if fixed and sizes - fixed:
        yield f"has signatures of another size than {spec.width}x{spec.height}"
    batches = {signature.batch for signature in file.signatures} or set(file.batches)
    frames = network.time.window if network.time and network.takes_window else 1
    for batch, (width, height) in product(batches, sizes or fixed):
        if batch * width * height * spec.channels * frames > LARGEST_TENSOR:
            yield f"has an input of {batch} x {width}x{height}, which is too large"
    if network.task == "detect" and 1 not in batches:
        yield "takes no single picture"


def _expected_outputs(network: Network) -> set[str]:
    """Names that heads and states look for among the outputs of a file."""
    return {
        *(head.output for head in network.answers.values()),
        *(state.output for state in network.states),
        *_outputs_of(network.head),
    }


def _outputs_of(head: Head) -> tuple[str, ...]:
    if isinstance(head, YunetHead):
        return tuple(f"{kind}_{stride}" for stride in head.strides for kind in ("cls", "obj", "bbox", "kps"))
    return (head.output,) if isinstance(head, EmbeddingHead) else OUTPUTS.get(type(head), ())


def _rises(values: Iterable[float]) -> bool:
    return all(low < high for low, high in pairwise(values))
