"""Cross-layer equalisation: the same function with weights of even range, so that int8 serves every channel.

Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization Through Weight Equalization and Bias Correction.
ICCV 2019, section 4.1. Between two layers with only positively homogeneous steps (ReLU, LeakyReLU, pooling) a channel
may be divided by s before and multiplied by s after them; s = sqrt(r1 r2) / r2 gives both layers the same range in that
channel. Batch norm is folded first, so that the weights are those that will be quantized.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as fn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from converters.networks.layers import PReLU, SameConv2d, SameMaxPool2d
from edgeface.errors import EdgefaceError, first_line

ROUNDS = 40
"""Each pair moves its neighbours; after so many rounds nothing moves any more."""
SETTLED = 1e-4
HOMOGENEOUS_MODULES = (
    *(nn.ReLU, nn.LeakyReLU, nn.Identity, nn.Dropout, PReLU),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, SameMaxPool2d),
)
HOMOGENEOUS_FUNCTIONS = (fn.relu, torch.relu, fn.leaky_relu, fn.max_pool2d, torch.max_pool2d, fn.avg_pool2d)
"""f(s x) = s f(x) for s > 0, channel by channel; ReLU6, sigmoid and tanh are not."""

Pair = tuple[nn.Conv2d, nn.Conv2d]


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Copy of a network in which each batch norm behind a convolution has become part of it.

    Parameters
    ----------
    module : in eval mode; the copy is of the same class, its batch norms are identities

    Raises
    ------
    EdgefaceError : the network's flow depends on values and cannot be traced
    """
    folded = deepcopy(module).eval()
    norms = [
        (_called(folded, node.args[0]), node)
        for node in _graph(folded).nodes
        if isinstance(_called(folded, node), nn.BatchNorm2d)
    ]
    for before, node in norms:
        norm, source = _called(folded, node), node.args[0]
        if isinstance(before, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and len(source.users) == 1:
            _replace(folded, str(source.target), fuse_conv_bn_eval(before, norm))
            _replace(folded, str(node.target), nn.Identity())
    return folded


def equalise(module: nn.Module) -> nn.Module:
    """Copy of a network with evened weight ranges; in fp32 it answers the same.

    Parameters
    ----------
    module : any network of plain (``groups`` 1) and depthwise convolutions, in eval mode

    Returns
    -------
    The same class, batch norms folded. Layers whose result is also used elsewhere (a sum, a second branch) stay as
    they are towards that side.

    Raises
    ------
    EdgefaceError : the network's flow depends on values and cannot be traced
    """
    even = fold_batch_norm(module)
    found = list(pairs(even))
    with torch.no_grad():
        for _ in range(ROUNDS):
            moved = [_even_out(*pair) for pair in found]
            if max(moved, default=0.0) < SETTLED:
                break
    return even


def pairs(module: nn.Module) -> Iterator[Pair]:
    """Convolutions that follow each other with nothing between them but positively homogeneous steps."""
    graph = _graph(module)
    calls = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    for node in graph.nodes:
        first = _called(module, node)
        if not isinstance(first, nn.Conv2d):
            continue
        following = _only_user(node)
        while following is not None and _is_homogeneous(module, following):
            following = _only_user(following)
        second = _called(module, following)
        # A layer that serves twice (shared heads) would be scaled for one place and break the other.
        once = following is not None and calls.count(str(node.target)) == calls.count(str(following.target)) == 1
        if once and isinstance(second, nn.Conv2d) and _is_plain(first) and _is_plain(second):
            yield first, second


def ranges_out(layer: nn.Conv2d) -> Tensor:
    """Largest absolute weight of each output channel, shape (O,)."""
    return layer.weight.detach().abs().amax(dim=(1, 2, 3))


def ranges_in(layer: nn.Conv2d) -> Tensor:
    """Largest absolute weight on each input channel, shape (I,)."""
    return ranges_out(layer) if layer.groups > 1 else layer.weight.detach().abs().amax(dim=(0, 2, 3))


def _even_out(first: nn.Conv2d, second: nn.Conv2d) -> float:
    """Scale one pair; how far the furthest channel moved (0: not at all)."""
    before, after = ranges_out(first), ranges_in(second)
    live = (before > 0) & (after > 0)
    scale = torch.where(live, (before / after.clamp(min=1e-30)).sqrt(), torch.ones_like(before))
    first.weight /= scale[:, None, None, None]
    if first.bias is not None:
        first.bias /= scale
    second.weight *= scale[:, None, None, None] if second.groups > 1 else scale[None, :, None, None]
    return float((scale - 1).abs().max())


def _is_plain(layer: nn.Conv2d) -> bool:
    return bool(layer.groups == 1 or layer.groups == layer.in_channels == layer.out_channels)


def _is_homogeneous(module: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_function":
        return any(node.target is function for function in HOMOGENEOUS_FUNCTIONS)
    called = _called(module, node)
    return isinstance(called, HOMOGENEOUS_MODULES)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _called(module: nn.Module, node: object) -> nn.Module | None:
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    return module.get_submodule(str(node.target))


class _Tracer(fx.Tracer):  # type: ignore[misc]
    """Takes our own layers whole, as it does torch's: inside they look at the size of the map."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        own = isinstance(m, (PReLU, SameConv2d, SameMaxPool2d))
        return own or super().is_leaf_module(m, module_qualified_name)


def _graph(module: nn.Module) -> fx.Graph:
    try:
        return _Tracer().trace(module)
    except (fx.proxy.TraceError, TypeError) as error:
        what = f"{type(module).__name__} cannot be traced: {first_line(error)}"
        raise EdgefaceError(what, fix="set equalise = false") from None


def _replace(module: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, new)
