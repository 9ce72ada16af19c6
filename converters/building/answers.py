"""What a network answers to a picture and to noise, held against what its recipe says of it, before a file is made.

A wrong number of labels, logits without their activation, weights that are not numbers: a device would find out with
the first face, or never.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.building.selftest import selftest_input
from converters.inspection.facts import error_text
from converters.recipes.schema import NetworkRecipe, SelfTestRecipe
from converters.references.torch_module import Reference, feed
from edgeface.attributes import KINDS
from edgeface.attributes.columns import select
from edgeface.bundle import AttributeHead, CategoricalHead, CoralHead, EmbeddingHead, ExpectationHead
from edgeface.detect.single import FAMILIES
from edgeface.errors import BundleError, EdgefaceError, UsageError
from edgeface.questions import QUESTIONS
from edgeface.runtime import to_tensor
from edgeface.types import F32, Task

SHOWN = 8
"""A picture and seven of noise; a detector sees the picture and one of noise."""
SEED = 7
LEAST_SCORE = 0.5
OFF, OFF_EACH = 0.02, 0.002
"""How far a sum of probabilities may be from 1, and how much further for each of them: files in 8 bits round."""


def check_answers(name: str, network: NetworkRecipe, reference: Reference, test: SelfTestRecipe) -> None:
    """Run a network and hold its answers against its recipe.

    Raises
    ------
    UsageError : it does not take such pictures; an output, a column or a label is missing; no probabilities
    EdgefaceError : its answers are not numbers
    """
    answers = _answers(name, network, reference, test)
    for output, array in answers.items():
        if not np.isfinite(array[:1]).all():
            if network.random:
                return  # weights that were never trained may divide by nothing: their answers mean nothing anyhow
            raise EdgefaceError(
                f"{name} answers a picture with values that are not numbers, in {output}",
                fix="bring the weights of a training that held, from before its loss was NaN",
            )
    if type(network.head) in FAMILIES:
        _decode(name, network, answers, test)
    if isinstance(network.head, EmbeddingHead):
        _expect_output(name, network.head.output, answers)
        length = answers[network.head.output].shape[1:]
        if length != (network.head.length,):
            raise UsageError(f"{name} gives vectors of {list(length)} values", fix="correct the length in its [head]")
    for task, head in _asked(network).items():
        _expect_output(name, head.output, answers)
        _read(name, task, head, answers)
        _expect_probabilities(name, task, head, select(answers, head))


def _answers(name: str, network: NetworkRecipe, reference: Reference, test: SelfTestRecipe) -> Mapping[str, F32]:
    picture = selftest_input(network, test)
    count = SHOWN if network.input.crop is not None else 2
    noise = np.random.default_rng(SEED).integers(0, 256, (count - 1, *picture.shape[1:]), np.uint8)
    pixels = np.concatenate([picture, noise])
    try:
        return reference.run(feed(network, to_tensor(pixels, network.input, "NCHW")))
    except EdgefaceError:
        raise
    except Exception as error:  # torch's and the runtimes' errors have no base in common
        height, width, channels = picture.shape[1:]
        raise UsageError(
            f"{name} takes no pictures of {width}x{height} with {channels} channels: {error_text(error)}",
            fix="correct height, width and color in its [input]",
        ) from None


def _decode(name: str, network: NetworkRecipe, answers: Mapping[str, F32], test: SelfTestRecipe) -> None:
    """Read a detector's answer to the picture as a device does."""
    height, width = selftest_input(network, test).shape[1:3]
    try:
        FAMILIES[type(network.head)].decode(
            {key: array[:1] for key, array in answers.items()}, (width, height), network.head, LEAST_SCORE
        )
    except (KeyError, ValueError, IndexError) as error:
        shown = ", ".join(f"{key} {'x'.join(map(str, array.shape[1:]))}" for key, array in answers.items())
        raise UsageError(
            f"{name} gives {shown}, which a head of kind {_kind(type(network.head))} cannot read: {error_text(error)}",
            fix="correct its [head], or the names in [outputs]",
        ) from None


def _asked(network: NetworkRecipe) -> dict[Task, AttributeHead]:
    """Questions that the recipe says it answers."""
    own = {network.task: network.head} if isinstance(network.head, AttributeHead) else {}
    return {**own, **network.also}  # type: ignore[dict-item]


def _expect_output(name: str, output: str, answers: Mapping[str, F32]) -> None:
    if output not in answers:
        raise UsageError(f"{name} has no output {output}", fix=f"name one of its own in [head]: {', '.join(answers)}")


def _read(name: str, task: Task, head: AttributeHead, answers: Mapping[str, F32]) -> None:
    """Read the answers as a device does."""
    make, estimate = KINDS[type(head)]
    wanted = QUESTIONS[task].reads
    if estimate is not wanted:
        fitting = [_kind(one) for one, (_, given) in KINDS.items() if given is wanted]
        raise UsageError(
            f"{name} cannot answer {task} with such a head", fix=f"its kind is one of: {', '.join(fitting)}"
        )
    try:
        make(task, head).probabilities(answers)
    except BundleError as error:
        one = isinstance(head, CategoricalHead) and answers[head.output].shape[1:] == (1,)
        fix = (
            "export it with a probability for each label"
            if one
            else "correct its [head], or name the `columns` it reads"
        )
        raise UsageError(f"{name}: {error.what}", fix=fix) from None


def _expect_probabilities(name: str, task: Task, head: AttributeHead, raw: F32) -> None:
    """Refuse logits that nothing turns into probabilities, and probabilities that softmax would flatten."""
    if isinstance(head, CoralHead):
        if raw.min() < -OFF or raw.max() > 1 + OFF:
            raise UsageError(
                f"{name} answers {task} with {_spread(raw)}, no probabilities", fix="export it with its sigmoid"
            )
    elif isinstance(head, (CategoricalHead, ExpectationHead)):
        sums = raw.sum(axis=1)
        shares = raw.min() >= -OFF and np.abs(sums - 1).max() <= OFF + OFF_EACH * raw.shape[1]
        softmax = isinstance(head, CategoricalHead) and head.activation == "softmax"
        if softmax and shares:
            raise UsageError(
                f"{name} answers {task} with probabilities already, which softmax would flatten",
                fix="take activation out of its [head]",
            )
        if not softmax and not shares:
            sigmoids = raw.min() >= 0 and raw.max() <= 1
            able = isinstance(head, CategoricalHead) and not sigmoids
            raise UsageError(
                f"{name} answers {task} with {_spread(raw)} that sum to {sums.min():.3g} to {sums.max():.3g}, no"
                " probabilities",
                fix='set activation = "softmax" in its [head]' if able else "export it with its softmax",
            )


def _kind(head: Any) -> str:
    """What a recipe calls a kind of head."""
    return str(head.__struct_config__.tag)


def _spread(raw: F32) -> str:
    return f"values from {raw.min():.3g} to {raw.max():.3g}"
