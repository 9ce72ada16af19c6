"""A torch module of somebody's own with its weights and recipe: a few numbers, converted in seconds."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

MODULE = '''
from blocks import middle
from torch import nn


class Net(nn.Module):
    """Grey 8x8 -> seven shares; nothing says what it gives."""

    def __init__(self, classes=7, width=2):
        super().__init__()
        self.body = middle(width)
        self.last = nn.Linear(width * 16, classes)

    def forward(self, x):
        return self.last(self.body(x).flatten(1)).softmax(1)
'''
BLOCKS = """
from torch import nn


def middle(width):
    return nn.Sequential(nn.Conv2d(1, width, 3, stride=2, padding=1), nn.ReLU())
"""
RECIPE = """
family = "mine.py:Net"
task = "expression"
title = "A made network"
paper = "none"
licence = "CC0-1.0"
training_data = "none"
limits = "Nothing."
files = { onnx = ["fp32", "int8w"] }
measured_with = ["yunet"]

[options]
width = 3

[source]
registry = "file"
path = "mine.pth"

[input]
color = "grey"
mean = [0.0]
scale = 0.01
height = 8
width = 8

[input.crop]
kind = "square"

[head]
kind = "categorical"
output = "shares"
labels = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]

[prepared]
batches = [1]
"""


def write_own(folder: Path) -> Path:
    """Write ``mine.py`` with ``blocks.py``, ``mine.pth`` and ``own.toml``, whose path is returned."""
    (folder / "mine.py").write_text(MODULE, "utf-8")
    (folder / "blocks.py").write_text(BLOCKS, "utf-8")
    torch.manual_seed(3)
    state = {**nn.Conv2d(1, 3, 3).state_dict(prefix="body.0."), **nn.Linear(48, 7).state_dict(prefix="last.")}
    torch.save(state, folder / "mine.pth")
    recipe = folder / "own.toml"
    recipe.write_text(RECIPE, "utf-8")
    return recipe
