"""The arithmetic of a key map: arrays of theirs in, one array of ours out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from converters.checkpoints.keyfile import Folded, Piece
from converters.checkpoints.layouts import PLAIN, to_torch_axes
from edgeface.types import F32


def make_piece(piece: Piece, shape: tuple[int, ...], tensors: Mapping[str, F32]) -> F32:
    """One tensor in our shape; ValueError when theirs has another."""
    array = tensors[piece.source]
    if piece.reshape is not None:
        array = array.reshape(piece.reshape)
    if piece.take is not None:
        array = array.take(piece.take.indices, piece.take.axis)
    array = to_torch_axes(array, piece.layout, shape)
    if piece.scale_by is not None:
        array = array * _per_channel(tensors[piece.scale_by], shape)
    return array


def fold_weight(folded: Folded, shape: tuple[int, ...], tensors: Mapping[str, F32]) -> F32:
    """Kernel times the scale of the batch norm behind it; ValueError when theirs has another shape."""
    scale, _ = _affine(folded, shape[0], tensors)
    return to_torch_axes(tensors[folded.kernel], folded.layout, shape) * _per_channel(scale, shape)


def fold_bias(folded: Folded, shape: tuple[int, ...], tensors: Mapping[str, F32]) -> F32:
    """Bias and batch norm in one, ``shape`` being (channels,)."""
    scale, offset = _affine(folded, shape[0], tensors)
    return offset if folded.bias is None else to_torch_axes(tensors[folded.bias], PLAIN, shape) * scale + offset


def _affine(folded: Folded, channels: int, tensors: Mapping[str, F32]) -> tuple[F32, F32]:
    """Scale and offset per channel that a batch norm at rest amounts to."""

    def read(name: str | None, absent: float) -> F32:
        if name is None:
            return np.full(channels, absent, np.float32)
        return to_torch_axes(tensors[name], PLAIN, (channels,))

    scale, offset = read(folded.gamma, 1), read(folded.beta, 0)
    if folded.variance is not None:
        scale = scale / np.sqrt(read(folded.variance, 1) + np.float32(folded.epsilon))
    if folded.mean is not None:
        offset = offset - read(folded.mean, 0) * scale
    return scale, offset


def _per_channel(scale: F32, shape: tuple[int, ...]) -> F32:
    """One number, or one per output channel, ready to multiply a kernel of this shape."""
    return (
        scale.reshape(())
        if scale.size == 1
        else to_torch_axes(scale, PLAIN, shape[:1]).reshape((-1, *(1 for _ in shape[1:])))
    )
