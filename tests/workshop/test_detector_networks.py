"""The detectors' torch modules against the published files; `test_chain` takes them on to ONNX and TFLite."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import skimage.data
import torch
from ai_edge_litert.interpreter import Interpreter

from converters.checkpoints.archive import ArchiveError, read_source
from converters.checkpoints.keymap import load_weights
from converters.checkpoints.reading import read_tensors
from converters.export.to_onnx import export_onnx
from converters.networks import make_network
from converters.networks.retinaface import RetinaFace
from converters.recipes.reading import read_network
from converters.recipes.schema import NetworkRecipe
from converters.references.torch_module import TorchReference
from edgeface.bundle import BlazeFaceHead, CenterFaceHead, UltraLightHead
from edgeface.detect.single import FAMILIES
from edgeface.geometry import iou, letterbox, nms, shrink, stretch
from edgeface.runtime import to_tensor
from edgeface.types import F32

BLAZEFACES = ("blazeface-short", "blazeface-back", "blazeface-full")
TRAINED = (*BLAZEFACES, "centerface", "ultra-light")
FREE_SIZE = (96, 160)
"""Height and width that a network of free size is tried with."""
LETTERBOX_BOX = np.array([[177.5, 56.4, 270.1, 176.4]], np.float32)
"""The astronaut's face as RetinaFace finds it."""


@cache
def recipe(name: str) -> NetworkRecipe:
    return read_network(name)[1]


@cache
def trained(name: str) -> TorchReference:
    try:
        return TorchReference(recipe(name))
    except ArchiveError as error:
        pytest.skip(f"the pinned archive is not to be had: {error}")


@cache
def original(name: str) -> bytes:
    trained(name)
    source = recipe(name).source
    assert source is not None
    return read_source(source)[0]


def pictures(name: str) -> F32:
    """The astronaut, and noise, as the network's input: (2, 3, H, W)."""
    given = recipe(name).input
    height, width = (given.height, given.width) if given.height else FREE_SIZE
    assert height
    assert width
    noise = np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels = np.stack([cv2.resize(skimage.data.astronaut(), (width, height), interpolation=cv2.INTER_AREA), noise])
    return to_tensor(pixels, given, "NCHW")


def close(got: dict[str, F32], expected: dict[str, F32], share: float = 1e-5) -> None:
    """Equal up to a share of each output's largest value."""
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=0, atol=share * max(1.0, np.abs(array).max()), err_msg=name)


def run_onnx(model: onnx.ModelProto, tensor: F32, name: str = "input") -> dict[str, F32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, {name: tensor}), strict=True))


@pytest.mark.parametrize("name", BLAZEFACES)
def test_blazeface_equals_the_published_file(name: str) -> None:
    interpreter = Interpreter(model_content=original(name), num_threads=1)
    interpreter.allocate_tensors()
    names = {given: ours for ours, given in recipe(name).outputs.items()}
    for picture in pictures(name):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture.transpose(1, 2, 0)[None])
        interpreter.invoke()
        expected = {names[d["name"]]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()}
        close(trained(name).run(picture[None]), expected)


def test_centerface_equals_the_published_file() -> None:
    model = onnx.load_from_string(original("centerface"))
    for value in model.graph.input:
        if value.name == "input.1":
            # The file is fixed at 10 pictures of 32x32.
            for dimension, name in zip(value.type.tensor_type.shape.dim, "nchw", strict=True):
                dimension.dim_param = name
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    tensor = pictures("centerface")
    maps = run_onnx(model, tensor, "input.1").values()
    rows = [array.transpose(0, 2, 3, 1).reshape(len(tensor), -1, array.shape[1]) for array in maps]
    close(trained("centerface").run(tensor), dict(zip(("heatmap", "size", "offset", "landmarks"), rows, strict=True)))


def test_ultra_light_decoded_equals_the_published_file() -> None:
    """The file decodes its boxes itself, into shares of the picture and cut to it; here the device does."""
    model = onnx.load_from_string(original("ultra-light"))
    for picture in pictures("ultra-light"):
        (expected,) = run_onnx(model, picture.transpose(1, 2, 0)[None], "args_0").values()
        got = trained("ultra-light").run(picture[None])
        np.testing.assert_allclose(got["conf"], expected[..., :2], atol=1e-5)
        head = recipe("ultra-light").head
        boxes, scores, _ = FAMILIES[type(head)].decode(got, (320, 240), head, 0.0)
        assert len(scores) == 4420
        shares = np.clip(boxes / np.array([320, 240, 320, 240], np.float32), 0, 1)
        np.testing.assert_allclose(shares, expected[0, :, 2:], atol=1e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_the_astronaut_is_found(name: str) -> None:
    network = recipe(name)
    image = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    size = (network.input.width or 512, network.input.height or 512)
    fit = (stretch if network.input.fit == "stretch" else letterbox)((512, 512), size)
    canvas = np.zeros((1, size[1], size[0], 3), np.uint8)
    canvas[0, : fit.content_wh[1], : fit.content_wh[0]] = shrink(image, fit.content_wh)
    raw = trained(name).run(to_tensor(canvas[..., ::-1], network.input, "NCHW"))
    boxes, scores, landmarks = FAMILIES[type(network.head)].decode(raw, size, network.head, 0.5)
    assert isinstance(network.head, BlazeFaceHead | CenterFaceHead | UltraLightHead)
    kept = nms(boxes, scores, max_iou=network.head.nms_iou)
    assert len(kept) == 1
    box = (boxes[kept] / np.array(fit.scale * 2)).astype(np.float32)
    # BlazeFace's boxes are tighter than RetinaFace's.
    assert iou(box, LETTERBOX_BOX)[0, 0] > 0.6
    if landmarks is not None:
        reference = [[203.7, 102.8], [245.0, 104.2], [224.4, 129.1], [202.7, 139.0], [244.8, 140.1]]
        assert np.abs(landmarks[kept[0]] - reference).max() < 8


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        pytest.param("blazeface-short", 101_390, id="short: all of the file's"),
        pytest.param("blazeface-back", 136_240, id="back: all of the file's"),
        pytest.param("blazeface-full", 514_069, id="full: all of the file's"),
        pytest.param("centerface", 1_819_927, id="centerface: batch norms folded"),
        pytest.param("ultra-light", 273_888, id="ultra-light: batch norms folded"),
    ],
)
def test_no_parameter_is_left_over(name: str, parameters: int) -> None:
    assert sum(parameter.numel() for parameter in trained(name).module.parameters()) == parameters


def test_no_max_pool_of_blazeface_sees_a_constant_pad() -> None:
    """It would ruin int8. Strides of two need uneven pads, but before convolutions alone."""
    reference, tensor = trained("blazeface-short"), pictures("blazeface-short")
    model = export_onnx(reference.module, tensor.shape[1:], reference.outputs)
    close(run_onnx(model, tensor), reference.run(tensor))
    padded = {output for node in model.graph.node if node.op_type == "Pad" for output in node.output}
    pooled = {value for node in model.graph.node if node.op_type == "MaxPool" for value in node.input}
    assert padded
    assert pooled
    assert not padded & pooled


def saved(state: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("backbone", ["mobilenet0.25", pytest.param("resnet50", marks=pytest.mark.large)])
@pytest.mark.parametrize("rename", [str, lambda key: f"module.{key}"], ids=["as it is", "with module."])
def test_retinaface_loads_both_forms_of_state_dictionaries(backbone: str, rename: Callable[[str], str]) -> None:
    torch.manual_seed(1)
    made = RetinaFace(backbone).eval()
    fresh = make_network("retinaface", {"backbone": backbone})
    state = {rename(key): tensor for key, tensor in made.state_dict().items()}
    # Some copies still carry the classifier of the body.
    state[rename("body.fc.weight")] = torch.zeros(1000, 8)
    load_weights(fresh, "retinaface", "torch", read_tensors(saved(state), f"{backbone}.pth"))
    for key, tensor in made.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], tensor), key


def test_resnet50_has_the_ports_names_and_sizes() -> None:
    with torch.device("meta"):
        state = RetinaFace("resnet50").state_dict()
    parameters = sum(t.numel() for name, t in state.items() if "running" not in name and "tracked" not in name)
    assert parameters == 27_293_600
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes["body.conv1.weight"] == (64, 3, 7, 7)
    assert shapes["body.layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert shapes["body.layer4.2.bn3.running_var"] == (2048,)
    assert shapes["fpn.output1.0.weight"] == (256, 512, 1, 1)
    assert shapes["fpn.merge2.0.weight"] == (256, 256, 3, 3)
    assert shapes["ssh1.conv3X3.0.weight"] == (128, 256, 3, 3)
    assert shapes["ssh3.conv7x7_3.1.bias"] == (64,)
    assert shapes["LandmarkHead.2.conv1x1.weight"] == (20, 256, 1, 1)
