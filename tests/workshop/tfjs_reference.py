"""tfjs graphs, run node by node as they stand: an independent reading of what our modules say in their own words."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as fn

TYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4"}
Values = dict[str, Tensor]


def run_graph(graph: bytes, shard: bytes, x: Tensor) -> Values:
    """Every node's value for one input (N, C, H, W); maps inside are (N, H, W, C), as in the file."""
    held = json.loads(graph)
    values = _constants(held["weightsManifest"], shard)
    for node in _sorted(held["modelTopology"]["node"], set(values)):
        inputs = [values[name.split(":")[0]] for name in node.get("input", [])]
        if node["op"] == "Placeholder":
            values[node["name"]] = x.permute(0, 2, 3, 1)
        else:
            values[node["name"]] = OPERATORS[node["op"]](inputs, node.get("attr", {}))
    return values


def _constants(groups: list[Any], shard: bytes) -> Values:
    values, at = {}, 0
    for weight in (weight for group in groups for weight in group["weights"]):
        stored = TYPES[weight.get("quantization", {}).get("dtype", weight["dtype"])]
        array = np.frombuffer(shard, stored, prod(weight["shape"]), at).reshape(weight["shape"])
        at += array.nbytes
        values[weight["name"]] = torch.from_numpy(array.astype("<i8" if stored == "<i4" else "<f4"))
    return values


def _sorted(nodes: list[Any], ready: set[str]) -> list[Any]:
    done, waiting = [], [node for node in nodes if node["op"] != "Const"]
    while waiting:
        able = [node for node in waiting if all(name.split(":")[0] in ready for name in node.get("input", []))]
        assert able, "the graph has a ring"
        done += able
        ready |= {node["name"] for node in able}
        waiting = [node for node in waiting if node["name"] not in ready]
    return done


def _text(attribute: Mapping[str, Any]) -> str:
    return base64.b64decode(attribute["s"]).decode()


def _pair(attributes: Mapping[str, Any], name: str) -> tuple[int, int]:
    height, width = attributes[name]["list"]["i"][1:3]
    return int(height), int(width)


def _padded(y: Tensor, attributes: Mapping[str, Any], kernel: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    if _text(attributes["padding"]) == "VALID":
        return y
    total = [max(0, (-(-n // s) - 1) * s + k - n) for n, k, s in zip(y.shape[2:], kernel, stride, strict=True)]
    return fn.pad(y, (total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2))


def _convolve(y: Tensor, kernel: Tensor, attributes: Mapping[str, Any], *, depthwise: bool = False) -> Tensor:
    y, stride = y.permute(0, 3, 1, 2), _pair(attributes, "strides")
    y = _padded(y, attributes, (kernel.shape[0], kernel.shape[1]), stride)
    weight = kernel.permute(2, 3, 0, 1) if depthwise else kernel.permute(3, 2, 0, 1)
    y = fn.conv2d(y, weight, stride=stride, groups=y.shape[1] if depthwise else 1)
    return y.permute(0, 2, 3, 1)


def _fused(y: Tensor, inputs: list[Tensor], attributes: Mapping[str, Any]) -> Tensor:
    operators = [base64.b64decode(name).decode() for name in attributes["fused_ops"]["list"]["s"]]
    assert operators in (["BiasAdd"], ["BiasAdd", "Relu"])
    return torch.relu(y + inputs[2]) if "Relu" in operators else y + inputs[2]


def _pool(y: Tensor, attributes: Mapping[str, Any], pool: Callable[..., Tensor]) -> Tensor:
    assert _text(attributes["padding"]) == "VALID"
    pooled = pool(y.permute(0, 3, 1, 2), _pair(attributes, "ksize"), _pair(attributes, "strides"))
    return pooled.permute(0, 2, 3, 1)


OPERATORS: Mapping[str, Callable[[list[Tensor], Mapping[str, Any]], Tensor]] = {
    "Relu": lambda x, _: torch.relu(x[0]),
    "Tanh": lambda x, _: torch.tanh(x[0]),
    "Sigmoid": lambda x, _: torch.sigmoid(x[0]),
    "Softmax": lambda x, _: fn.softmax(x[0], dim=-1),
    "Identity": lambda x, _: x[0],
    "Add": lambda x, _: x[0] + x[1],
    "AddV2": lambda x, _: x[0] + x[1],
    "Sub": lambda x, _: x[0] - x[1],
    "Mul": lambda x, _: x[0] * x[1],
    "RealDiv": lambda x, _: x[0] / x[1],
    "Minimum": lambda x, _: torch.minimum(x[0], x[1]),
    "Maximum": lambda x, _: torch.maximum(x[0], x[1]),
    "Pad": lambda x, _: fn.pad(x[0], tuple(x[1].flip(0).flatten().tolist())),
    "MatMul": lambda x, _: x[0] @ x[1],
    "Mean": lambda x, _: x[0].mean(tuple(x[1].tolist())),
    "Reshape": lambda x, _: x[0].reshape(tuple(x[1].tolist())),
    "ExpandDims": lambda x, _: x[0].unsqueeze(int(x[1])),
    "StridedSlice": lambda x, _: x[0][:, int(x[1][1])],
    "Conv2D": lambda x, a: _convolve(x[0], x[1], a),
    "DepthwiseConv2dNative": lambda x, a: _convolve(x[0], x[1], a, depthwise=True),
    "_FusedConv2D": lambda x, a: _fused(_convolve(x[0], x[1], a), x, a),
    "_FusedMatMul": lambda x, a: _fused(x[0] @ x[1], x, a),
    "MaxPool": lambda x, a: _pool(x[0], a, fn.max_pool2d),
    "AvgPool": lambda x, a: _pool(x[0], a, fn.avg_pool2d),
}
"""By kind of node: its value from those of its inputs and its attributes. A slice takes one column, as SSR-Net's do."""
