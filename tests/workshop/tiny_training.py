"""A training that takes seconds: greys instead of faces, a network of a few thousand numbers, and its two recipes."""

from __future__ import annotations

from pathlib import Path

from face_sets import fer2013

NETWORK = """
family = "dense_residual"
task = "expression"
title = "A made network"
paper = "none"
licence = "CC0-1.0"
training_data = "none"
limits = "Nothing."
weights = "random"
files = { onnx = ["fp32"] }

[options]
channels = 1
width = 2
stem_stride = 2
dropout = 0.1
heads.expression = { kind = "softmax", length = 7 }

[input]
color = "grey"
mean = [127.5]
scale = 0.0078125
height = 16
width = 16

[input.crop]
kind = "square"

[head]
kind = "categorical"
output = "expression"
labels = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
"""
RECIPE = """
network = "made.toml"
seed = 3

[[data]]
set = "fer2013"

[validation]
sets = [{ set = "fer2013", part = "publictest" }]
score = { "fer2013 accuracy" = 1.0 }

[schedule]
epochs = 4
batch = 8
rate = 0.01
warm_up = 4
ema = 0.5
precision = "float32"

[augment]
light = 0
occlusion = 0
equalise = 0

[loss.expression]
kind = "labels"
smoothing = 0.05
"""


def write_training(folder: Path, recipe: str = RECIPE) -> Path:
    """Write ``data/`` (48 greys to learn from, 21 to judge by), ``made.toml`` and ``tiny.toml``; the path of the last.

    How bright a picture is tells its expression.
    """
    rows = [("Training", number % 7, 30 * (number % 7) + number % 5) for number in range(48)]
    rows += [("PublicTest", number % 7, 30 * (number % 7) + 1) for number in range(21)]
    fer2013(folder / "data", rows)
    (folder / "made.toml").write_text(NETWORK, "utf-8")
    path = folder / "tiny.toml"
    path.write_text(recipe, "utf-8")
    return path
