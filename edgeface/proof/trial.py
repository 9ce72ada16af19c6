"""What the child does: every step as the device would do it, and one line about each."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from edgeface.attributes import make_heads
from edgeface.attributes.embedding import make_embedding
from edgeface.bundle import (
    Bundle,
    CategoricalHead,
    EmbeddingHead,
    ExpectationHead,
    Network,
    expect_landmarks,
    open_bundle,
)
from edgeface.config import Config
from edgeface.crop import cut, reference_boxes
from edgeface.detect.shapes import expected_shapes
from edgeface.detect.single import FAMILIES, SingleDetector
from edgeface.engine.networks import Networks
from edgeface.engine.steps import Request
from edgeface.errors import BundleError, EdgefaceError, RuntimeMissingError, named_line
from edgeface.proof.running import Order, Report
from edgeface.proof.steps import Step
from edgeface.runtime import Runner, library, run_faces
from edgeface.runtime.providers import ON_PROCESSOR, Provider
from edgeface.selftest import self_test, stored_input
from edgeface.types import F32, Head, Image

SCORE = 0.02
"""Low, so that many cells are read; a family may take the logarithm of it."""
VIDEO_WH = ((320, 192), (320, 320))
SUM = (0.7, 1.3)
"""Sum of probabilities that were not made to sum to 1: int8 rounds each to a 256th."""
FACE = np.array([120, 100, 220, 230], np.float32)
POINTS = np.array([[145, 150], [195, 150], [170, 175], [150, 200], [190, 200]], np.float32)
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Read an `Order` from standard input, write `Report` to standard output, and nothing else."""
    _end_with_parent()
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    # Runtimes print there.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    library.settle(order.origin)
    # Where a service's sandbox refuses, its own limit stands.
    with suppress(OSError, ValueError):
        if order.memory:
            resource.setrlimit(resource.RLIMIT_DATA, (order.memory, order.memory))
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Each of OpenCV's threads has a stack, which counts as memory.
    cv2.setNumThreads(1)
    bundle = open_bundle(Path(order.folder), allow_random=True)
    for number, step in enumerate(order.steps):
        _send(answers, Report(step=number))
        result, detail = try_step(bundle, step)
        _send(answers, Report(step=number, result=result, detail=detail))


def _end_with_parent() -> None:
    """Be killed when the parent is: a network that never ends must not outlive it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _send(stream: BinaryIO | Any, report: Report) -> None:
    stream.write(msgspec.json.encode(report) + b"\n")


def try_step(bundle: Bundle, step: Step) -> tuple[str, str]:
    """Result of a step and what is to be said of it."""
    try:
        if step.config is not None:
            return "ok", try_chain(bundle, step.config, step.provider)
        return try_network_file(bundle, step)
    except RuntimeMissingError as error:
        return "untried", str(error)
    except EdgefaceError as error:
        return "bad", str(error) if step.network in str(error) else f"network {step.network}: {error}"
    except Exception as error:
        return "bad", f"{step.name} cannot be run: {named_line(error, otherwise='no more is known')}; do not use it"


def try_network_file(bundle: Bundle, step: Step) -> tuple[str, str]:
    """Hash, load, self-test, and read its outputs at every prepared size and batch."""
    network = bundle.network(step.network)
    file = next(file for file in network.files[step.runtime] if file.path == step.path)
    found = self_test(bundle, network, file)
    if isinstance(found, str):
        return "untried", f"hash only, {found}"
    runner, off = found
    if type(network.head) in FAMILIES:
        try_detector(network, runner, stored_input(bundle, network))
    elif network.answers or isinstance(network.head, EmbeddingHead):
        try_faces(network, runner, stored_input(bundle, network))
    return "ok", f"off by {off:.1e}"


def try_detector(network: Network, runner: Runner, pixels: Image) -> None:
    """Run a detector of one network at its prepared sizes; BundleError when its head cannot read what it gives."""
    fixed = network.input.width is not None
    stored_wh = (pixels.shape[2], pixels.shape[1])
    for size_wh in [stored_wh] if fixed else [*dict.fromkeys((stored_wh, *(runner.sizes or VIDEO_WH)))]:
        if runner.sizes and size_wh not in runner.sizes:
            continue
        size = "auto" if fixed else f"{size_wh[0]}x{size_wh[1]}"
        detector = SingleDetector(network, runner, size=size)
        tensor, fit = detector.encode(_scene(pixels, network, size_wh))
        outputs = runner.run(tensor)
        for name, shape in expected_shapes(network.head, fit.size_wh).items():
            if outputs[name].shape != shape:
                raise _unlike(network, f"output {name} has shape {outputs[name].shape} at {size}, its head {shape}")
        expect_finite(network, outputs)
        seen = detector.decode(outputs, fit, size_wh, min_score=SCORE)
        expect_finite(network, {"boxes": seen.boxes, "scores": seen.scores})


def try_faces(network: Network, runner: Runner, pixels: Image, *, finite: bool = True) -> None:
    """Run a network for faces in every prepared batch, on the stored picture and on a crop of its own rule.

    ``finite``: whether each answer must be a number. A start asks less than `models verify`: what is no number weighs
    nothing in service and is counted, and a network that fails on some faces must not end the node.
    """
    noise = np.random.default_rng(1).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    crop = cut(noise, FACE, POINTS, network.input)
    if crop.shape != pixels.shape[1:]:
        raise _unlike(network, f"its crops have shape {crop.shape}, its self-test {pixels.shape[1:]}")
    heads = list(make_heads(network).values()) if network.answers else []
    for batch in runner.batches:
        rows = np.stack([pixels[0], crop] * batch)[:batch]
        states = {state.input: np.zeros((batch, *state.shape), np.float32) for state in network.states}
        outputs = run_faces(runner, network, rows, states)
        if finite:
            expect_finite(network, outputs)
        for state in network.states:
            if outputs[state.output].shape != (batch, *state.shape):
                raise _unlike(network, f"state {state.output} has shape {outputs[state.output].shape}")
        expect_probabilities(network, outputs)
        if isinstance(network.head, EmbeddingHead):
            make_embedding(network).vectors(outputs)
        for head in heads:
            probabilities = head.probabilities(outputs)
            if len(probabilities) != batch:
                raise _unlike(network, f"it answers {len(probabilities)} times for {batch} faces")
            expect_answer(network, head, probabilities if finite else probabilities[_sound(probabilities)])


def try_chain(bundle: Bundle, config: Config, provider: Provider = ON_PROCESSOR) -> str:
    """Detector, crops and heads of a configuration on one picture, as the daemon loads and asks them."""
    networks = Networks(bundle, config, still=True, provider=provider)
    networks.verify(bundle)
    detector = networks.detector.network
    pixels = stored_input(bundle, detector)
    image = _scene(pixels, detector, (pixels.shape[2], pixels.shape[1]))
    seen = networks.detect(image, min_score=0.3)
    expect_finite(detector, {"boxes": seen.boxes, "scores": seen.scores})
    box, points = (seen.boxes[:1], seen.landmarks) if len(seen.boxes) else (FACE[None], POINTS[None])
    box = reference_boxes(box, detector.box_to_reference)
    if not networks.detector.gives_landmarks:
        expect_landmarks([network for network, _, _ in networks.attributes.values()], detector=detector.name)
    requests = []
    for name, (network, runner, _) in networks.attributes.items():
        try_faces(network, runner, stored_input(bundle, network), finite=False)
        crop = cut(
            image,
            box[0],
            None if points is None else points[0],
            network.input,
            offsets=detector.landmarks_to_reference,
        )
        requests.append(Request(network=name, camera="trial", track=1, pixels=crop, quality=1.0, time_s=0.0))
    by_task = {head.task: (network, head) for network, head in networks.heads}
    for answers in networks.answer(requests):
        for answer in answers:
            network, head = by_task[answer.task]
            expect_answer(network, head, answer.probabilities[None])
    return f"{1 + len(requests)} networks, {len(seen.boxes)} faces"


def expect_finite(network: Network, arrays: Mapping[str, F32]) -> None:
    """Raise BundleError for an output that is not a number."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise _unlike(network, f"output {name} is not a number")


def expect_probabilities(network: Network, outputs: Mapping[str, F32]) -> None:
    """Raise BundleError where a head declares probabilities and the network gives something else, such as logits."""
    for head in network.answers.values():
        declared = isinstance(head, ExpectationHead) or (
            isinstance(head, CategoricalHead) and head.activation == "none"
        )
        if declared:
            raw = outputs[head.output]
            raw = raw[_sound(raw)]
            if not len(raw):
                continue
            sums = raw.reshape(len(raw), -1).sum(axis=1)
            if raw.min() < -0.05 or sums.min() < SUM[0] or sums.max() > SUM[1]:
                raise _unlike(network, f"output {head.output} is no probabilities; set the head's activation")


def expect_answer(network: Network, head: Head, probabilities: F32) -> None:
    """Raise BundleError for an answer that a message could not carry."""
    for row in probabilities:
        values = msgspec.to_builtins(head.estimate(row))
        numbers = [value for value in values.values() if isinstance(value, float)]
        if not np.isfinite(row).all() or not np.isfinite(numbers).all():
            raise _unlike(network, f"it answers {head.task} with what is not a number")


def _sound(rows: F32) -> npt.NDArray[np.bool_]:
    """Which rows are numbers throughout, shape (N,)."""
    return np.array([bool(np.isfinite(row).all()) for row in rows], dtype=np.bool_)


def _scene(pixels: Image, network: Network, size_wh: tuple[int, int]) -> Image:
    """Turn a network's stored pixels, (1, H, W, C), into a BGR picture of a size."""
    picture = pixels[0]
    if network.input.color == "rgb":
        picture = picture[..., ::-1]
    elif network.input.color == "grey":
        picture = np.repeat(picture, 3, axis=2)
    scene: Image = cv2.resize(np.ascontiguousarray(picture), size_wh)
    return scene


def _unlike(network: Network, what: str) -> BundleError:
    return BundleError(f"network {network.name} is not what its manifest says: {what}", fix="do not use it")
