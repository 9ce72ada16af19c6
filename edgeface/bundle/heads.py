"""How a network's outputs are read: one frozen struct per kind of head, named by ``kind`` in the manifest.

``columns`` of a head that answers a question are those of its output that it reads, from 0; none: all of them.
``temperature`` makes probabilities what they claim to be: those that the logits divided by it would have had. Guo,
Pleiss, Sun, Weinberger 2017, section 4.2. Of an age it is that of the two percentiles alone: no year is moved by it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edgeface.bundle.values import (
    Certainty,
    Labels,
    Length,
    Name,
    Percentiles,
    PositiveShare,
    Share,
    Side,
    Sides,
    Stride,
    Strides,
    Temperature,
    TensorName,
    Years,
)

Columns = Annotated[tuple[Annotated[int, Meta(ge=0, le=9999)], ...], Meta(max_length=1000)]
"""Places in a row of an output, from 0; none: the whole row."""
Variances = tuple[Annotated[float, Meta(gt=0, le=10)], Annotated[float, Meta(gt=0, le=10)]]
PriorSizes = Annotated[tuple[Sides, ...], Meta(min_length=1, max_length=8)]
"""Side lengths in pixels, for each stride its own."""


class Closed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base of the manifest's types: frozen, and a key that is not known is an error."""


class ExpectationHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="expectation"):
    """Age as the mean of a distribution over ``support`` (years per class). Rothe et al. 2018 (DEX), section 3.

    ``low`` and ``high`` of an answer are the percentiles named here, of the network's distribution.
    """

    support: Annotated[tuple[Years, ...], Meta(min_length=2, max_length=1000)]
    output: TensorName
    columns: Columns = ()
    percentiles: Percentiles = (10.0, 90.0)
    temperature: Temperature = 1.0


class CategoricalHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="categorical"):
    """One probability per label; ``activation`` says what is still to be applied to the output.

    Below ``certainty`` the likeliest label is not said, where no configuration has another threshold.
    """

    labels: Labels
    output: TensorName
    columns: Columns = ()
    activation: Literal["none", "softmax"] = "none"
    temperature: Temperature = 1.0
    certainty: Certainty | None = None


class YunetHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="yunet"):
    """Anchor-free, one box per cell; outputs per stride named ``cls_S``, ``obj_S``, ``bbox_S``, ``kps_S``."""

    strides: Strides
    nms_iou: PositiveShare


class RetinaFaceHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="retinaface"):
    """Two square priors per cell and stride; outputs ``loc``, ``conf`` (softmax applied), ``landm``."""

    strides: Strides
    prior_sizes: PriorSizes
    variances: Variances
    nms_iou: PositiveShare


class BlazeFaceHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="blazeface"):
    """Anchors of side one at ``anchors``: stride, count per cell. Bazarevsky et al. 2019 (BlazeFace).

    Outputs ``boxes`` (1, A, 16), in pixels of the input: centre and size, then six points (image-left eye, image-right
    eye, nose, mouth centre, two ears), which are not used; and ``scores`` (1, A, 1), logits.
    """

    anchors: Annotated[tuple[tuple[Stride, Annotated[int, Meta(ge=1, le=64)]], ...], Meta(min_length=1, max_length=8)]
    nms_iou: PositiveShare


class CenterFaceHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="centerface"):
    """One face per cell of ``stride``; outputs ``heatmap``, ``size``, ``offset``, ``landmarks``. Xu et al. 2020."""

    stride: Stride
    nms_iou: PositiveShare


class UltraLightHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="ultralight"):
    """Priors per cell and stride as of SSD, no landmarks; outputs ``conf`` (1, P, 2) and ``loc`` (1, P, 4)."""

    strides: Strides
    prior_sizes: PriorSizes
    variances: Variances
    nms_iou: PositiveShare


class MtcnnHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="mtcnn"):
    """Cascade of three networks over a pyramid. Zhang et al. 2016.

    The network itself is the first; ``refine`` and ``output`` name the two that follow, of task ``stage``.
    ``thresholds`` are of the three stages; ``factor`` is the step of the pyramid; ``smallest_face_px`` in pixels of the
    detector's input size.
    """

    refine: Name
    output: Name
    thresholds: tuple[Share, Share, Share] = (0.6, 0.7, 0.7)
    # Towards 1 the pyramid has ever more levels, at 1 it has no end.
    factor: Annotated[float, Meta(ge=0.1, le=0.95)] = 0.709
    # A window of 12 pixels shows it: below that, a picture would be enlarged without bounds.
    smallest_face_px: Annotated[int, Meta(ge=8, le=4096)] = 20
    nms_iou: PositiveShare = 0.7


class CascadeHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="cascade"):
    """Boosted cascade of OpenCV, an XML file. Viola, Jones 2001. No landmarks; the score is squeezed to 0..1."""

    scale_factor: Annotated[float, Meta(ge=1.01, le=10)] = 1.1
    neighbours: Annotated[int, Meta(ge=0, le=100)] = 3
    smallest_face_px: Side = 24
    nms_iou: PositiveShare = 0.3


class StageHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="stage"):
    """Part of a detector of several networks: which outputs it gives is the detector's own matter."""


class CoralHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="coral"):
    """Age from K - 1 probabilities that it is above rank k. Cao, Mirjalili, Raschka 2020 (CORAL), section 3.

    Output (N, ``ranks``): P(age > ``lowest`` + k), k from 0. Age is ``lowest`` plus how many are above one half.
    """

    output: TensorName
    columns: Columns = ()
    lowest: Annotated[int, Meta(ge=0, le=150)]
    ranks: Annotated[int, Meta(ge=1, le=150)]
    percentiles: Percentiles = (10.0, 90.0)
    temperature: Temperature = 1.0


class RegressionHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="regression"):
    """Age said outright, output (N, 1), in steps of ``unit_years`` (100 for a network that says 0 to 1).

    ``error_years`` is its measured root mean square error: the spread that an answer gets.
    """

    output: TensorName
    columns: Columns = ()
    unit_years: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    error_years: Annotated[float, Meta(ge=0.1, le=100)]
    percentiles: Percentiles = (10.0, 90.0)


class AffectHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="affect"):
    """Valence and arousal, output (N, 2), each -1 to 1. Russell 1980 (circumplex)."""

    output: TensorName
    columns: Columns = ()


class EmbeddingHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="embedding"):
    """A vector per face for one-to-one verification, output (N, ``length``).

    Vectors are brought to length one; two faces are taken for one person when their ``distance`` is at most
    ``threshold``: ``cosine`` is one minus the cosine, ``euclidean`` the length of the difference.
    """

    output: TensorName
    length: Length
    distance: Literal["cosine", "euclidean"] = "cosine"
    threshold: Annotated[float, Meta(ge=0, le=2)]


AttributeHead = ExpectationHead | CategoricalHead | CoralHead | RegressionHead | AffectHead
DetectorHead = YunetHead | RetinaFaceHead | BlazeFaceHead | CenterFaceHead | UltraLightHead | MtcnnHead | CascadeHead
Head = AttributeHead | DetectorHead | EmbeddingHead | StageHead
