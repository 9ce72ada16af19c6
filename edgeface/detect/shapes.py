"""What a detector's network gives, by its head and the size of its input. Pure."""

from __future__ import annotations

from math import ceil

from edgeface.bundle import (
    BlazeFaceHead,
    CenterFaceHead,
    Head,
    RetinaFaceHead,
    UltraLightHead,
    YunetHead,
)

Shapes = dict[str, tuple[int, int, int]]


def expected_shapes(head: Head, size_wh: tuple[int, int]) -> Shapes:
    """Return the shape of every output by name, for one picture; nothing for a family whose outputs vary in length.

    Parameters
    ----------
    size_wh : width and height of the network's input
    """
    width, height = size_wh
    if isinstance(head, YunetHead):
        values = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
        return {
            f"{kind}_{stride}": (1, (width // stride) * (height // stride), count)
            for stride in head.strides
            for kind, count in values.items()
        }
    if isinstance(head, RetinaFaceHead | UltraLightHead):
        pairs = zip(head.strides, head.prior_sizes, strict=True)
        priors = sum(ceil(width / stride) * ceil(height / stride) * len(sides) for stride, sides in pairs)
        points: Shapes = {"landm": (1, priors, 10)} if isinstance(head, RetinaFaceHead) else {}
        return {"loc": (1, priors, 4), "conf": (1, priors, 2), **points}
    if isinstance(head, BlazeFaceHead):
        anchors = sum((width // stride) * (height // stride) * count for stride, count in head.anchors)
        return {"boxes": (1, anchors, 16), "scores": (1, anchors, 1)}
    if isinstance(head, CenterFaceHead):
        cells = (width // head.stride) * (height // head.stride)
        return {"heatmap": (1, cells, 1), "size": (1, cells, 2), "offset": (1, cells, 2), "landmarks": (1, cells, 10)}
    return {}
