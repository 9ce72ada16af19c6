"""One torch module per network: its docstring cites the paper and says its shapes.

A module names what it gives in ``outputs``, in the order of its tuple; a recurrent step also names its memory in
``states`` (by name, the shape without batch), which it takes after the input and gives after the outputs.

A module that is trained here also has ``logits(face)``: the same answers before softmax and sigmoid, which losses read.

A recipe may also name a module of its own (`own`). Nothing here loads torch before a network is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from converters.networks.own import load_own
from converters.recipes.schema import own_module
from edgeface.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

FAMILIES: Mapping[str, str] = {
    "yunet": "converters.networks.yunet:YuNet",
    "retinaface": "converters.networks.retinaface:RetinaFace",
    "blazeface_short": "converters.networks.blazeface:short_range",
    "blazeface_back": "converters.networks.blazeface:back_camera",
    "blazeface_full": "converters.networks.blazeface:full_range",
    "centerface": "converters.networks.centerface:CenterFace",
    "ultralight": "converters.networks.ultralight:UltraLight",
    "age_v1": "converters.networks.age_v1:AgeV1",
    "age_gender_v1": "converters.networks.age_gender_v1:AgeGenderV1",
    "dense_residual": "converters.networks.dense_residual:DenseResidual",
    "gender_v1": "converters.networks.gender_v1:GenderV1",
    "mini_xception": "converters.networks.mini_xception:MiniXception",
    "big_xception": "converters.networks.big_xception:BigXception",
    "vgg48": "converters.networks.vgg48:Vgg48",
    "mobilenet_v1": "converters.networks.mobilenet_v1:MobileNetV1",
    "mobile_face_net": "converters.networks.mobile_face_net:MobileFaceNet",
    "mobile_face": "converters.networks.mobile_face:MobileFace",
    "coral": "converters.networks.coral:Coral",
    "coral_lstm": "converters.networks.coral_lstm:make",
    "over_time": "converters.networks.over_time:make",
    "ssr_net": "converters.networks.ssr_net:SsrNet",
    "dex": "converters.networks.dex:Dex",
    "faceres": "converters.networks.faceres:FaceRes",
    "face_api_age": "converters.networks.face_api:FaceApiAge",
    "face_api_expression": "converters.networks.face_api:FaceApiExpression",
    "mtcnn_pnet": "converters.networks.mtcnn:PNet",
    "mtcnn_rnet": "converters.networks.mtcnn:RNet",
    "mtcnn_onet": "converters.networks.mtcnn:ONet",
}
"""By family: module and the callable that makes it from a recipe's ``options``."""


def make_network(family: str, options: Mapping[str, object]) -> nn.Module:
    """Make a network without weights: whatever torch's generator gives, in evaluation mode.

    Raises
    ------
    UsageError : no such family, an option that it does not know, or a module of one's own that cannot be made
    """
    own = own_module(family)
    if own is not None:
        return load_own(*own, options)
    _expect_known(family)
    place, _, name = FAMILIES[family].partition(":")
    make: Callable[..., nn.Module] = getattr(import_module(place), name)
    try:
        return make(**options).eval()
    except (TypeError, ValueError) as error:
        raise UsageError(f"family {family} cannot be made so: {error}", fix="correct the recipe's options") from None


def module_file(family: str) -> Path:
    """File of a family's module; UsageError for no such family."""
    own = own_module(family)
    if own is not None:
        return own[0]
    _expect_known(family)
    return Path(__file__).with_name(f"{FAMILIES[family].partition(':')[0].rpartition('.')[2]}.py")


def _expect_known(family: str) -> None:
    if family not in FAMILIES:
        raise UsageError(
            f"there is no family '{family}'",
            fix=f"choose one of: {', '.join(sorted(FAMILIES))}, or name FILE.py:CLASS of your own",
        )
