"""What values a manifest may hold: ranges and patterns, so that a number that cannot hold ends where it is read.

Bounds are those of physics and of the field, with room: the largest network of the field has 268 MB.
A float has two bounds wherever it stands: JSON's ``1e999`` is infinite.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

# `\Z`, since `$` also matches before a last newline.
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
Label = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}\Z")]
"""A class of a head: as narrow as the ids of the configuration, since it travels in messages and to terminals."""
Labels = Annotated[tuple[Label, ...], Meta(min_length=2, max_length=1000)]
Text = Annotated[str, Meta(max_length=4000, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*\Z")]
"""Words for people: nothing that moves a terminal's cursor or turns its direction."""
Member = Annotated[str, Meta(max_length=200)]
"""Path inside the bundle; `inside` judges where it leads."""
TensorName = Annotated[str, Meta(max_length=1000)]
"""Name of an input or output, in a file or in a head: whatever an exporter wrote; `plain` shows it."""

FileBytes = Annotated[int, Meta(ge=0, le=500_000_000)]
SelfTestBytes = Annotated[int, Meta(ge=1, le=16_000_000)]
Side = Annotated[int, Meta(ge=1, le=4096)]
"""Pixels."""
Batch = Annotated[int, Meta(ge=1, le=64)]
Stride = Annotated[int, Meta(ge=1, le=256)]
Strides = Annotated[tuple[Stride, ...], Meta(min_length=1, max_length=8)]
Sides = Annotated[tuple[Side, ...], Meta(min_length=1, max_length=8)]
Length = Annotated[int, Meta(ge=1, le=65_536)]
"""Of a vector, or of one axis of a state."""
Count = Annotated[int, Meta(ge=0, le=10**15)]

Share = Annotated[float, Meta(ge=0, le=1)]
PositiveShare = Annotated[float, Meta(gt=0, le=1)]
Coordinate = Annotated[float, Meta(ge=-2, le=3)]
"""Of a point or an edge, in shares of a chip, a box or the distance between the eyes."""
Point = tuple[Coordinate, Coordinate]
FivePoints = Annotated[tuple[Point, ...], Meta(min_length=5, max_length=5)]
"""Left eye, right eye, nose, left and right mouth corner, as seen in the image."""
Edge = Annotated[float, Meta(ge=-0.45, le=5)]
"""What a box gains at one side, in shares of its own side: two of -0.45 leave something."""
Factor = Annotated[float, Meta(gt=0, le=10)]
Years = Annotated[float, Meta(ge=0, le=150)]
Percentile = Annotated[float, Meta(ge=0, le=100)]
Percentiles = tuple[Percentile, Percentile]
Temperature = Annotated[float, Meta(ge=0.1, le=10)]
"""What logits are divided by, as measured on labelled faces; above 1 a network is less sure than it says."""
Certainty = Annotated[float, Meta(ge=0, lt=1)]
"""Probability below which an answer is unknown, as chosen on labelled faces."""
Mean = Annotated[float, Meta(ge=-1000, le=1000)]
Scale = Annotated[float, Meta(gt=0, le=1000)]
Means = Annotated[tuple[Mean, ...], Meta(min_length=1, max_length=3)]
Scales = Annotated[tuple[Scale, ...], Meta(min_length=1, max_length=3)]
Tolerance = Annotated[float, Meta(ge=0, le=0.5)]
Figure = Annotated[float, Meta(ge=-1e9, le=1e9)]
