"""How a network's outputs are read: one frozen struct per kind of head, named by ``kind`` in the manifest.

``columns`` of a head that answers a question are those of its output that it reads, from 0; none: all of them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class Closed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base of the manifest's types: frozen, and a key that is not known is an error."""


class ExpectationHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="expectation"):
    """Age as the mean of a distribution over ``support`` (years per class). Rothe et al. 2018 (DEX), section 3.

    ``low`` and ``high`` of an answer are the percentiles named here, of the network's distribution.
    """

    support: tuple[float, ...]
    output: str
    columns: tuple[int, ...] = ()
    percentiles: tuple[float, float] = (10.0, 90.0)


class CategoricalHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="categorical"):
    """One probability per label; ``activation`` says what is still to be applied to the output."""

    labels: tuple[str, ...]
    output: str
    columns: tuple[int, ...] = ()
    activation: Literal["none", "softmax"] = "none"


class YunetHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="yunet"):
    """Anchor-free, one box per cell; outputs per stride named ``cls_S``, ``obj_S``, ``bbox_S``, ``kps_S``."""

    strides: tuple[int, ...]
    nms_iou: float


class RetinaFaceHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="retinaface"):
    """Two square priors per cell and stride; outputs ``loc``, ``conf`` (softmax applied), ``landm``."""

    strides: tuple[int, ...]
    prior_sizes: tuple[tuple[int, ...], ...]
    variances: tuple[float, float]
    nms_iou: float


class BlazeFaceHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="blazeface"):
    """Anchors of side one at ``anchors``: stride, count per cell. Bazarevsky et al. 2019 (BlazeFace).

    Outputs ``boxes`` (1, A, 16), in pixels of the input: centre and size, then six points (image-left eye, image-right
    eye, nose, mouth centre, two ears), which are not used; and ``scores`` (1, A, 1), logits.
    """

    anchors: tuple[tuple[int, int], ...]
    nms_iou: float


class CenterFaceHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="centerface"):
    """One face per cell of ``stride``; outputs ``heatmap``, ``size``, ``offset``, ``landmarks``. Xu et al. 2020."""

    stride: int
    nms_iou: float


class UltraLightHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="ultralight"):
    """Priors per cell and stride as of SSD, no landmarks; outputs ``conf`` (1, P, 2) and ``loc`` (1, P, 4)."""

    strides: tuple[int, ...]
    prior_sizes: tuple[tuple[int, ...], ...]
    variances: tuple[float, float]
    nms_iou: float


class MtcnnHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="mtcnn"):
    """Cascade of three networks over a pyramid. Zhang et al. 2016.

    The network itself is the first; ``refine`` and ``output`` name the two that follow, of task ``stage``.
    ``thresholds`` are of the three stages; ``factor`` is the step of the pyramid; ``smallest_face_px`` in pixels of the
    detector's input size.
    """

    refine: str
    output: str
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    factor: float = 0.709
    smallest_face_px: int = 20
    nms_iou: float = 0.7


class CascadeHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="cascade"):
    """Boosted cascade of OpenCV, an XML file. Viola, Jones 2001. No landmarks; the score is squeezed to 0..1."""

    scale_factor: float = 1.1
    neighbours: int = 3
    smallest_face_px: int = 24
    nms_iou: float = 0.3


class StageHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="stage"):
    """Part of a detector of several networks: which outputs it gives is the detector's own matter."""


class CoralHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="coral"):
    """Age from K - 1 probabilities that it is above rank k. Cao, Mirjalili, Raschka 2020 (CORAL), section 3.

    Output (N, ``ranks``): P(age > ``lowest`` + k), k from 0. Age is ``lowest`` plus how many are above one half.
    """

    output: str
    columns: tuple[int, ...] = ()
    lowest: int
    ranks: int
    percentiles: tuple[float, float] = (10.0, 90.0)


class RegressionHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="regression"):
    """Age said outright, output (N, 1), in steps of ``unit_years`` (100 for a network that says 0 to 1).

    ``error_years`` is its measured root mean square error: the spread that an answer gets.
    """

    output: str
    columns: tuple[int, ...] = ()
    unit_years: Annotated[float, Meta(gt=0)] = 1.0
    error_years: Annotated[float, Meta(gt=0)]
    percentiles: tuple[float, float] = (10.0, 90.0)


class AffectHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="affect"):
    """Valence and arousal, output (N, 2), each -1 to 1. Russell 1980 (circumplex)."""

    output: str
    columns: tuple[int, ...] = ()


class EmbeddingHead(Closed, frozen=True, kw_only=True, tag_field="kind", tag="embedding"):
    """A vector per face for one-to-one verification, output (N, ``length``).

    Vectors are brought to length one; two faces are taken for one person when their ``distance`` is at most
    ``threshold``: ``cosine`` is one minus the cosine, ``euclidean`` the length of the difference.
    """

    output: str
    length: int
    distance: Literal["cosine", "euclidean"] = "cosine"
    threshold: float


AttributeHead = ExpectationHead | CategoricalHead | CoralHead | RegressionHead | AffectHead
DetectorHead = YunetHead | RetinaFaceHead | BlazeFaceHead | CenterFaceHead | UltraLightHead | MtcnnHead | CascadeHead
Head = AttributeHead | DetectorHead | EmbeddingHead | StageHead
