"""Age networks with the weights of pinned files: against the files' own graphs, and on a face."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from modules import run
from tfjs_reference import run_graph

from converters.building.selftest import selftest_input
from converters.checkpoints.archive import ArchiveError, read_source
from converters.checkpoints.keymap import load_weights
from converters.checkpoints.reading import read_tensors
from converters.formats.errors import CheckpointError
from converters.networks import make_network
from converters.recipes.reading import RECIPES, read_network, read_workshop
from converters.references.torch_module import load_module
from edgeface.runtime import to_tensor


@cache
def real(name: str) -> Any:
    """A network with the weights of its pinned file; skips where the archive is not to be had."""
    try:
        return load_module(read_network(name, RECIPES)[1])
    except ArchiveError as error:
        pytest.skip(f"the pinned archive is not to be had: {error}")


def says(name: str, pixels: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """What a network with its real weights says of the astronaut, cut as its recipe has it, or of these pixels."""
    _, recipe = read_network(name, RECIPES)
    module = real(name)
    chosen = selftest_input(recipe, read_workshop().selftest) if pixels is None else pixels
    answers = run(module, torch.from_numpy(to_tensor(chosen, recipe.input, "NCHW")))
    return {output: answer.numpy() for output, answer in zip(module.outputs, answers, strict=True)}


def years(name: str) -> float:
    answer = next(iter(says(name).values()))[0]
    return float(answer[0] if len(answer) == 1 else answer @ np.arange(1, len(answer) + 1))


def varied(name: str) -> np.ndarray:
    """First answers to the astronaut, darker and mirrored, and to noise: a wrong scale gives one constant."""
    face = selftest_input(read_network(name, RECIPES)[1], read_workshop().selftest)
    noise = np.random.default_rng(3).integers(0, 256, (3, *face.shape[1:]), dtype=np.uint8)
    pixels = np.concatenate([face, face // 2, face[:, :, ::-1], noise])
    return next(iter(says(name, pixels).values()))


class TestFaceApi:
    """The files that hold weights alone."""

    def test_age_and_gender_of_the_astronaut(self) -> None:
        """A woman of about forty; that is also what the makers' own code says of this crop."""
        assert years("face-api-age") == pytest.approx(36, abs=0.5)
        male, female = says("face-api-age")["gender"][0]
        assert female > 0.8
        assert male + female == pytest.approx(1)

    def test_expression_of_the_astronaut(self) -> None:
        labels = read_network("face-api-expression", RECIPES)[1].head.labels  # type: ignore[union-attr]
        assert labels[int(says("face-api-expression")["probabilities"].argmax())] == "happy"

    @pytest.mark.parametrize(("name", "spread"), [("face-api-age", 5), ("face-api-expression", 0.2)])
    def test_answers_vary(self, name: str, spread: float) -> None:
        assert np.ptp(varied(name), axis=0).max() > spread

    def test_a_tensor_less_is_named(self) -> None:
        source = read_network("face-api-age", RECIPES)[1].source
        assert source is not None
        real("face-api-age")
        data, companions = read_source(source)
        tensors = read_tensors(data, source.path, companions)
        del tensors["fc/age/bias"]
        with pytest.raises(CheckpointError, match=r"missing: fc/age/bias;"):
            load_weights(make_network("face_api_age", {}), "face_api_age", "tfjs", tensors)


@pytest.mark.large
class TestGraphs:
    """Networks whose files hold a graph: equal to it, node by node."""

    @pytest.mark.parametrize(
        ("name", "nodes"),
        [
            ("ssr-net", ["pred_a/mul_33"]),
            ("ssr-net@wiki", ["pred_a/mul_33"]),
            ("ssr-net@gender", ["pred/add_25"]),
            ("ssr-net@gender-wiki", ["pred/add_25"]),
            ("faceres", ["age_pred/Softmax", "gender_pred/Sigmoid"]),
        ],
    )
    def test_equal_to_the_graph(self, name: str, nodes: list[str]) -> None:
        _, recipe = read_network(name, RECIPES)
        face = selftest_input(recipe, read_workshop().selftest)
        noise = np.random.default_rng(3).integers(0, 256, (2, *face.shape[1:]), dtype=np.uint8)
        pixels = np.concatenate([face, face // 2, noise])
        answers = list(says(name, pixels).values())
        assert recipe.source is not None
        graph, companions = read_source(recipe.source)
        with torch.no_grad():
            x = torch.from_numpy(to_tensor(pixels, recipe.input, "NCHW"))
            values = run_graph(graph, next(iter(companions.values())), x)
        for node, answer in zip(nodes, answers, strict=True):
            (expected,) = (value.numpy() for name, value in values.items() if name.endswith(node))
            got = answer[:, 1:] if answer.shape[1] == 2 else answer
            if answer.shape[1] == 2:
                np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)
                expected = np.clip(expected, 0, 1)
            np.testing.assert_allclose(got, expected, atol=1e-4, rtol=1e-5)

    @pytest.mark.parametrize(("name", "age"), [("ssr-net", 27), ("ssr-net@wiki", 28), ("faceres", 38)])
    def test_age_of_the_astronaut(self, name: str, age: int) -> None:
        assert years(name) == pytest.approx(age, abs=1)

    @pytest.mark.parametrize(("name", "output"), [("ssr-net@gender", "probabilities"), ("faceres", "gender")])
    def test_gender_of_the_astronaut(self, name: str, output: str) -> None:
        female, male = says(name)[output][0]
        assert female > 0.7 > male

    @pytest.mark.parametrize("name", ["ssr-net", "ssr-net@wiki"])
    def test_answers_vary(self, name: str) -> None:
        assert np.ptp(varied(name), axis=0).max() > 5
