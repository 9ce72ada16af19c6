"""Networks that tell age: shapes, published sizes, names, what pinned files say, and the two forms of the LSTM."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from modules import run, seeded
from torch import Tensor
from torch.nn import functional as fn

from converters.checkpoints.keymap import load_weights
from converters.checkpoints.reading import read_tensors
from converters.formats.errors import CheckpointError
from converters.networks import make_network
from converters.networks.coral import Coral
from converters.networks.dex import Dex
from converters.recipes.reading import RECIPES, list_variants, read_network
from converters.references.torch_module import new_state
from edgeface.bundle import CoralHead
from edgeface.crop import cut
from edgeface.geometry import shrink

RECIPE_NAMES = (
    "coral",
    "coral-compact",
    "coral-lstm-step",
    "coral-lstm-window",
    "ssr-net",
    "dex",
    "faceres",
    "face-api-age",
    "face-api-expression",
)


@pytest.mark.parametrize(
    ("family", "options", "shape", "outputs"),
    [
        pytest.param("coral", {"ranks": 25}, (3, 120, 120), [(25,)], id="coral: AFAD"),
        pytest.param("coral", {"backbone": "compact"}, (3, 120, 120), [(99,)], id="coral: compact"),
        pytest.param("coral_lstm", {"form": "window"}, (20, 3, 120, 120), [(99,)], id="coral-lstm: window"),
        pytest.param("coral_lstm", {"layers": 1}, (3, 120, 120), [(99,), (128,), (128,)], id="coral-lstm: step"),
        pytest.param("ssr_net", {}, (3, 64, 64), [(1,)], id="ssr-net: age"),
        pytest.param("ssr_net", {"answer": "gender"}, (3, 64, 64), [(2,)], id="ssr-net: gender"),
        pytest.param("dex", {}, (3, 96, 96), [(101,)], id="dex: compact"),
        pytest.param("faceres", {"descriptor": True}, (3, 224, 224), [(100,), (2,), (1024,)], id="faceres"),
        pytest.param("face_api_age", {}, (3, 112, 112), [(1,), (2,)], id="face-api: age and gender"),
        pytest.param("face_api_expression", {}, (3, 112, 112), [(7,)], id="face-api: expression"),
    ],
)
def test_shapes(family: str, options: dict[str, Any], shape: tuple[int, ...], outputs: list[tuple[int, ...]]) -> None:
    module = seeded(family, **options)
    states = getattr(module, "states", {})
    memory = [torch.zeros(2, *size) for size in states.values()]
    answers = run(module, torch.rand(2, *shape), *memory)
    assert [tuple(answer.shape) for answer in answers] == [(2, *size) for size in outputs]
    assert len(module.outputs) == len(outputs) - len(states)
    if "years" not in module.outputs:
        assert (answers[0] >= 0).all()
        assert (answers[0] <= 1).all()


@pytest.mark.parametrize(
    ("family", "options", "parameters"),
    [
        # 21,284,672 of ResNet-34 without its classifier (He et al. 2016), the shared weight, a bias per rank.
        pytest.param("coral", {"ranks": 99}, 21_284_672 + 2048 + 99, id="coral: as trained"),
        pytest.param("coral", {"ranks": 54, "backbone": "resnet34-mean"}, 21_284_672 + 512 + 54, id="as published"),
        pytest.param(
            "coral_lstm",
            {"backbone": "resnet34", "layers": 2},
            21_284_672 + 2048 + 99 + 2 * 33_570_816,
            id="coral-lstm: two layers of the published size",
        ),
        pytest.param("ssr_net", {}, 40_147, id="ssr-net"),
        pytest.param("dex", {"width": 1, "side": 224}, 134_674_341, id="dex: VGG-16 with 101 classes"),
        pytest.param("faceres", {}, 3_484_389, id="faceres"),
        pytest.param("face_api_age", {}, 421_731, id="face-api: age and gender"),
        pytest.param("face_api_expression", {}, 323_687, id="face-api: expression"),
    ],
)
def test_published_sizes(family: str, options: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        module = make_network(family, options)
    assert sum(p.numel() for p in module.parameters()) == parameters


def test_the_compact_backbone_stays_below_a_million() -> None:
    with torch.device("meta"):
        sizes = {width: Coral(backbone="compact", width=width) for width in (0.5, 1.0, 2.0)}
    assert [module.length for module in sizes.values()] == [64, 128, 256]
    assert sum(p.numel() for p in sizes[1.0].parameters()) < 1_000_000


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("coral", {"backbone": "vgg"}),
        ("coral_lstm", {"layers": 4}),
        ("coral_lstm", {"form": "both"}),
        ("ssr_net", {"answer": "expression"}),
        ("dex", {"side": 100}),
    ],
)
def test_an_option_that_cannot_be_is_refused(family: str, options: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="cannot be made so"):
        make_network(family, options)


@pytest.mark.parametrize("name", RECIPE_NAMES)
def test_recipes_fit_their_networks(name: str) -> None:
    """Of every variant: the head's outputs and ranks, the questions beside it, and the memory."""
    for variant in ["", *(f"@{variant}" for variant in list_variants(name))]:
        _, recipe = read_network(f"{name}{variant}", RECIPES)
        assert recipe.family is not None
        with torch.device("meta"):
            module = make_network(recipe.family, recipe.options)
        heads = [recipe.head, *recipe.also.values()]
        assert {head.output for head in heads} == set(module.outputs)  # type: ignore[union-attr]
        if isinstance(recipe.head, CoralHead):
            coral = module if isinstance(module, Coral) else module.coral
            assert isinstance(coral, Coral)
            assert coral.linear_1_bias.shape == (recipe.head.ranks,)
        held = {} if recipe.time is None else {state.input: state.shape for state in recipe.time.states}
        assert held == getattr(module, "states", {})
        if recipe.time is not None:
            assert [state.output for state in recipe.time.states] == [new_state(name) for name in held]


@pytest.mark.parametrize(
    ("variant", "ages"),
    [("", (1, 100)), ("@afad", (15, 40)), ("@cacd", (14, 62)), ("@morph", (16, 70)), ("@utk", (21, 60))],
)
@pytest.mark.parametrize("name", ["coral", "coral-compact"])
def test_the_ages_of_each_data_set(name: str, variant: str, ages: tuple[int, int]) -> None:
    head = read_network(f"{name}{variant}", RECIPES)[1].head
    assert isinstance(head, CoralHead)
    assert (head.lowest, head.lowest + head.ranks) == ages


class TestCoral:
    """The authors' network."""

    def test_pools_as_the_authors_do(self) -> None:
        module = seeded("coral", width=0.125)
        maps: list[Tensor] = []
        module.layer4.register_forward_hook(lambda *got: maps.append(got[2]))
        with torch.no_grad():
            feature = module.feature(torch.rand(2, 3, 120, 120))
        assert maps[0].shape[2:] == (4, 4)
        torch.testing.assert_close(feature, fn.avg_pool2d(maps[0], 7, 1, 2).flatten(1))

    def test_its_first_pooling_is_torchs(self) -> None:
        module = seeded("coral", backbone="compact", width=0.5)
        x = torch.rand(2, 3, 120, 120)
        seen: list[Tensor] = []
        module.layer1.register_forward_pre_hook(lambda *got: seen.append(got[1][0]))
        with torch.no_grad():
            module.feature(x)
            expected = fn.max_pool2d(fn.relu(module.bn1(module.conv1(x))), 3, 2, padding=1)
        assert torch.equal(seen[0], expected)

    def test_biases_in_order_give_probabilities_in_order(self) -> None:
        (answer,) = run(seeded("coral", backbone="compact", width=0.5), torch.rand(3, 3, 120, 120))
        assert (answer.diff(dim=1) <= 0).all()

    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_a_state_dictionary_of_the_authors_loads_by_name(self, prefix: str) -> None:
        module = seeded("coral", ranks=54, backbone="resnet34-mean")
        values = {name: np.random.default_rng(len(name)).random(shape, np.float32) for name, shape in published(54)}
        file = io.BytesIO()
        torch.save({prefix + name: torch.from_numpy(value) for name, value in values.items()}, file)
        load_weights(module, "coral", "torch", read_tensors(file.getvalue(), "morph-coral.pt"))
        for name, value in values.items():
            assert np.array_equal(module.state_dict()[name].numpy(), value), name

    def test_a_renamed_tensor_is_named(self) -> None:
        values = {name: np.zeros(shape, np.float32) for name, shape in published(99)}
        values["linear_2_bias"] = values.pop("linear_1_bias")
        with pytest.raises(CheckpointError, match=r"missing: linear_1_bias; extra: linear_2_bias"):
            load_weights(seeded("coral", backbone="resnet34-mean"), "coral", "torch", values)

    @pytest.mark.parametrize(
        ("side", "most", "mean"),
        [
            pytest.param(128, 0, 0, id="as it is: the same pixels"),
            pytest.param(256, 0, 0, id="by a whole factor: the same pixels"),
            pytest.param(160, 1, 0.1, id="by another: the rounding of one resize"),
            pytest.param(96, 1, 0.1, id="enlarged: the rounding of one resize"),
            pytest.param(241, 255, 2.5, id="4/128 are no whole pixels: an edge half a pixel beside"),
        ],
    )
    def test_the_crop_is_the_centre_of_a_face_of_128(self, side: int, most: int, mean: float) -> None:
        """The box less 4/128 of it on every side, scaled to 120, against the box scaled to 128 and cut.

        The outermost pixels are left out: where a face is enlarged, the cut one has nothing beside them to mix in.
        """
        image = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
        spec = read_network("coral", RECIPES)[1].input
        got = cut(image, np.array([60, 40, 60 + side, 40 + side], np.float32), None, spec)
        whole = shrink(np.ascontiguousarray(image[40 : 40 + side, 60 : 60 + side]), (128, 128))
        difference = np.abs(got.astype(int) - whole[4:124, 4:124, ::-1])[1:-1, 1:-1]
        assert difference.max() <= most
        assert difference.mean() <= mean


def published(ranks: int) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the authors' state dictionary with plain pooling, written down from their code."""
    found: list[tuple[str, tuple[int, ...]]] = []

    def convolution(name: str, norm: str, shape: tuple[int, ...]) -> None:
        found.append((f"{name}.weight", shape))
        found.extend((f"{norm}.{part}", shape[:1]) for part in ("weight", "bias", "running_mean", "running_var"))

    convolution("conv1", "bn1", (64, 3, 7, 7))
    into = 64
    for level, (blocks, out) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True), start=1):
        for block in range(blocks):
            at = f"layer{level}.{block}"
            convolution(f"{at}.conv1", f"{at}.bn1", (out, into, 3, 3))
            convolution(f"{at}.conv2", f"{at}.bn2", (out, out, 3, 3))
            if into != out:
                convolution(f"{at}.downsample.0", f"{at}.downsample.1", (out, into, 1, 1))
            into = out
    return [*found, ("fc.weight", (1, 512)), ("linear_1_bias", (ranks,))]


def test_dex_is_torchvisions_layers_in_a_row() -> None:
    module = seeded("dex")
    assert isinstance(module, Dex)
    assert {name for name, _ in module.named_parameters() if name.startswith("classifier")} == {
        f"classifier.{layer}.{part}" for layer in (0, 3, 6) for part in ("weight", "bias")
    }
    x = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        plain = fn.softmax(module.classifier(module.features(x).flatten(1)), dim=1)
    torch.testing.assert_close(run(module, x)[0], plain)
