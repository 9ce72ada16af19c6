"""A MobileNetV1 as Keras saves one, with seeded random weights: the layers and names of ``keras.applications``."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from math import prod
from typing import Any

import h5py
import numpy as np

from converters.networks.mobilenet_v1 import PLAN


class Graph:
    """Grows a functional model, layer behind layer."""

    def __init__(self, seed: int) -> None:
        self.layers: list[dict[str, Any]] = []
        self.weights: dict[str, dict[str, np.ndarray]] = {}
        self.last, self.channels = "", 3
        self._dice = np.random.default_rng(seed)

    def add(self, kind: str, name: str, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
        inbound = [[[self.last, 0, 0, {}]]] if self.last else []
        self.layers.append(
            {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": inbound}
        )
        self.weights[name] = {key: self._values(key, shape) for key, shape in shapes.items()}
        self.last = name

    def norm(self, name: str, **config: Any) -> None:
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        self.add("BatchNormalization", name, {"epsilon": 1e-3, **config}, dict.fromkeys(names, (self.channels,)))

    def _values(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        if key in ("gamma", "moving_variance"):
            return self._dice.uniform(0.5, 1.5, shape).astype(np.float32)
        read = prod(shape[:-2] if key == "depthwise_kernel" else shape[:-1]) or 1
        spread = 0.3 if len(shape) == 1 else (2 / read) ** 0.5
        return self._dice.normal(0, spread, shape).astype(np.float32)


def keras_mobilenet(
    alpha: float, side: int, heads: Mapping[str, tuple[int, str]], *, norm: str, seed: int = 4
) -> bytes:
    """An ``.hdf5`` file.

    Parameters
    ----------
    heads : by name of the dense layer, how many values it has and their activation
    norm : name of the batch norm before them
    """
    graph = Graph(seed=4)
    graph.add("InputLayer", "input_1", {"batch_input_shape": [None, side, side, 3]}, {})
    graph.add("ZeroPadding2D", "conv1_pad", {"padding": [[0, 1], [0, 1]]}, {})
    width = int(32 * alpha)
    conv = {"strides": [2, 2], "padding": "valid", "activation": "linear"}
    graph.add("Conv2D", "conv1", conv, {"kernel": (3, 3, 3, width)})
    graph.channels = width
    graph.norm("conv1_bn")
    graph.add("ReLU", "conv1_relu", {"max_value": 6.0}, {})
    for number, (channels, stride) in enumerate(PLAN, start=1):
        if stride == 2:
            graph.add("ZeroPadding2D", f"conv_pad_{number}", {"padding": [[0, 1], [0, 1]]}, {})
        depthwise = {"strides": [stride, stride], "padding": "same" if stride == 1 else "valid", "activation": "linear"}
        graph.add("DepthwiseConv2D", f"conv_dw_{number}", depthwise, {"depthwise_kernel": (3, 3, width, 1)})
        graph.norm(f"conv_dw_{number}_bn")
        graph.add("ReLU", f"conv_dw_{number}_relu", {"max_value": 6.0}, {})
        out = int(channels * alpha)
        pointwise = {"strides": [1, 1], "padding": "same", "activation": "linear"}
        graph.add("Conv2D", f"conv_pw_{number}", pointwise, {"kernel": (1, 1, width, out)})
        width = graph.channels = out
        graph.norm(f"conv_pw_{number}_bn")
        graph.add("ReLU", f"conv_pw_{number}_relu", {"max_value": 6.0}, {})
    graph.norm(norm)
    graph.add("GlobalAveragePooling2D", "global_average_pooling2d", {}, {})
    graph.add("Dropout", "dropout", {"rate": 0.5}, {})
    for name, (values, activation) in heads.items():
        graph.last = "dropout"
        graph.add("Dense", name, {"activation": activation}, {"kernel": (width, values), "bias": (values,)})
    config = {"layers": graph.layers, "output_layers": [[name, 0, 0] for name in heads]}
    return _saved({"class_name": "Functional", "config": config}, graph.weights)


def _saved(model: Mapping[str, Any], weights: Mapping[str, Mapping[str, np.ndarray]]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        group = file.create_group("model_weights")
        for layer, variables in weights.items():
            for name, array in variables.items():
                group[f"{layer}/{layer}/{name}:0"] = array
    return buffer.getvalue()
