"""Keras 2 files run layer by layer from their own graph, in numpy: an independent reading to compare networks with.

Nothing is folded and every padding is written out, as the framework's documentation has it. In double precision.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Config = Mapping[str, Any]
Weights = Mapping[str, F64]


def run_keras(data: bytes, x: npt.ArrayLike) -> dict[str, F64]:
    """Outputs of a Keras 2 file by the name of their layer.

    Parameters
    ----------
    data : an ``.hdf5`` file with ``model_config`` and ``model_weights``; Sequential or functional
    x : the input, (N, H, W, C)

    Raises
    ------
    KeyError : it has a kind of layer that this reading does not know
    """
    with h5py.File(io.BytesIO(data), "r") as file:
        model = json.loads(file.attrs["model_config"])
        config = model["config"]
        layers = config if isinstance(config, list) else config["layers"]
        values: dict[str, F64] = {}
        last = ""
        for layer in layers:
            name = layer.get("name") or layer["config"]["name"]
            if layer.get("inbound_nodes"):
                inputs = [values[source[0]] for source in layer["inbound_nodes"][0]]
            else:
                inputs = [values[last] if last else np.asarray(x, np.float64)]
            weights = _weights(file["model_weights"], name)
            y = LAYERS[layer["class_name"]](inputs, layer["config"], weights)
            values[name] = ACTIVATIONS[layer["config"].get("activation", "linear")](y)
            last = name
    outputs = [last] if isinstance(config, list) else [output[0] for output in config["output_layers"]]
    return {name: values[name] for name in outputs}


def _weights(group: h5py.Group, layer: str) -> Weights:
    found: dict[str, F64] = {}

    def take(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name.rsplit("/", maxsplit=1)[-1].split(":", maxsplit=1)[0]] = np.asarray(item, np.float64)

    if layer in group:
        group[layer].visititems(take)
    return found


def padded(x: F64, kernel: Sequence[int], config: Config, fill: float) -> F64:
    """``same``: so many cells that the output has ceil(side / stride), one more at the end when they are odd."""
    if config["padding"] == "valid":
        return x
    ends = []
    for side, size, stride in zip(x.shape[1:3], kernel, config["strides"], strict=True):
        total = max(0, (-(-side // stride) - 1) * stride + size - side)
        ends.append((total // 2, total - total // 2))
    return np.pad(x, ((0, 0), *ends, (0, 0)), constant_values=fill)


def windows(x: F64, kernel: Sequence[int], strides: Sequence[int]) -> F64:
    """(N, H, W, C) to (N, rows, columns, C, kernel height, kernel width)."""
    view = np.lib.stride_tricks.sliding_window_view(x, tuple(kernel), axis=(1, 2))
    found: F64 = view[:, :: strides[0], :: strides[1]]
    return found


def _conv(inputs: Sequence[F64], config: Config, weights: Weights) -> F64:
    kernel = weights["kernel"]
    view = windows(padded(inputs[0], kernel.shape[:2], config, 0.0), kernel.shape[:2], config["strides"])
    answer: F64 = np.einsum("nyxcij,ijco->nyxo", view, kernel, optimize=True) + weights.get("bias", 0.0)
    return answer


def _depthwise(inputs: Sequence[F64], config: Config, weights: Weights) -> F64:
    kernel = weights["depthwise_kernel"]
    view = windows(padded(inputs[0], kernel.shape[:2], config, 0.0), kernel.shape[:2], config["strides"])
    answer: F64 = np.einsum("nyxcij,ijcm->nyxcm", view, kernel, optimize=True)
    # The bias of a separable convolution stands behind its 1x1 part.
    answer = answer.reshape(*answer.shape[:3], -1)
    return answer if "pointwise_kernel" in weights else answer + weights.get("bias", 0.0)


def _separable(inputs: Sequence[F64], config: Config, weights: Weights) -> F64:
    answer: F64 = _depthwise(inputs, config, weights) @ weights["pointwise_kernel"][0, 0]
    return answer + weights.get("bias", 0.0)


def _batch_norm(inputs: Sequence[F64], config: Config, weights: Weights) -> F64:
    spread: F64 = np.sqrt(weights["moving_variance"] + config["epsilon"])
    return (inputs[0] - weights["moving_mean"]) / spread * weights["gamma"] + weights["beta"]


def _max_pool(inputs: Sequence[F64], config: Config, _: Weights) -> F64:
    size = config["pool_size"]
    answer: F64 = windows(padded(inputs[0], size, config, -np.inf), size, config["strides"]).max(axis=(4, 5))
    return answer


def _average_pool(inputs: Sequence[F64], config: Config, _: Weights) -> F64:
    size = config["pool_size"]
    answer: F64 = np.nanmean(windows(padded(inputs[0], size, config, np.nan), size, config["strides"]), axis=(4, 5))
    return answer


def _zero_pad(inputs: Sequence[F64], config: Config, _: Weights) -> F64:
    return np.pad(inputs[0], ((0, 0), *(tuple(ends) for ends in config["padding"]), (0, 0)))


def _relu(inputs: Sequence[F64], config: Config, _: Weights) -> F64:
    return np.clip(inputs[0], 0, config.get("max_value"))


def _softmax(x: F64) -> F64:
    shares: F64 = np.exp(x - x.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return shares


LAYERS: Mapping[str, Callable[[Sequence[F64], Config, Weights], F64]] = {
    "InputLayer": lambda inputs, _, __: inputs[0],
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "BatchNormalization": _batch_norm,
    "MaxPooling2D": _max_pool,
    "AveragePooling2D": _average_pool,
    "ZeroPadding2D": _zero_pad,
    "GlobalAveragePooling2D": lambda inputs, _, __: inputs[0].mean(axis=(1, 2)),
    "Dense": lambda inputs, _, weights: inputs[0] @ weights["kernel"] + weights.get("bias", 0.0),
    "Add": lambda inputs, _, __: np.sum(inputs, axis=0),
    "Flatten": lambda inputs, _, __: inputs[0].reshape(len(inputs[0]), -1),
    "Dropout": lambda inputs, _, __: inputs[0],
    "Activation": lambda inputs, _, __: inputs[0],
    "ReLU": _relu,
}
ACTIVATIONS: Mapping[str, Callable[[F64], F64]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "tanh": np.tanh,
    "softmax": _softmax,
}
