"""One torch module per network: its docstring cites the paper and says its shapes.

A module names what it gives in ``outputs``, in the order of its tuple; a recurrent step also names its memory in
``states`` (by name, the shape without batch), which it takes after the input and gives after the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from torch import nn

from edgeface.errors import UsageError

FAMILIES: Mapping[str, str] = {
    "yunet": "converters.networks.yunet:YuNet",
    "retinaface": "converters.networks.retinaface:RetinaFace",
    "blazeface_short": "converters.networks.blazeface:short_range",
    "blazeface_back": "converters.networks.blazeface:back_camera",
    "blazeface_full": "converters.networks.blazeface:full_range",
    "centerface": "converters.networks.centerface:CenterFace",
    "ultralight": "converters.networks.ultralight:UltraLight",
    "age_v1": "converters.networks.age_v1:AgeV1",
    "gender_v1": "converters.networks.gender_v1:GenderV1",
    "mini_xception": "converters.networks.mini_xception:MiniXception",
    "big_xception": "converters.networks.big_xception:BigXception",
    "vgg48": "converters.networks.vgg48:Vgg48",
    "mobilenet_v1": "converters.networks.mobilenet_v1:MobileNetV1",
    "mobile_face_net": "converters.networks.mobile_face_net:MobileFaceNet",
    "mobile_face": "converters.networks.mobile_face:MobileFace",
    "coral": "converters.networks.coral:Coral",
    "coral_lstm": "converters.networks.coral_lstm:make",
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
    UsageError : no such family, or an option that it does not know
    """
    if family not in FAMILIES:
        raise UsageError(f"there is no family '{family}'", fix=f"choose one of: {', '.join(sorted(FAMILIES))}")
    place, _, name = FAMILIES[family].partition(":")
    make: Callable[..., nn.Module] = getattr(import_module(place), name)
    try:
        return make(**options).eval()
    except (TypeError, ValueError) as error:
        raise UsageError(f"family {family} cannot be made so: {error}", fix="correct the recipe's options") from None
