"""Files of other tools that nothing here reads: what each is, and the way from there to one that is read."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

_TENSORFLOW = "convert it where TensorFlow is: `python -m tf2onnx.convert` gives .onnx, tf.lite.TFLiteConverter .tflite"
_KERAS = 'load it where Keras is, and save model.save("NAME.h5"), or a .tflite by tf.lite.TFLiteConverter'
_COMPILED = "it is made for one chip and holds no weights any more: bring the .onnx that it was compiled from"
_FROM_TORCH = "export it with torch.onnx.export where its own code is, or save model.state_dict() as .pth"
OTHERS = {
    ".keras": ("a Keras archive", _KERAS),
    ".pb": ("a TensorFlow graph", _TENSORFLOW),
    ".meta": ("a part of a TensorFlow checkpoint", _TENSORFLOW),
    ".index": ("a part of a TensorFlow checkpoint", _TENSORFLOW),
    ".data-00000-of-00001": ("a part of a TensorFlow checkpoint", _TENSORFLOW),
    ".pdparams": ("a Paddle checkpoint", "export it with paddle2onnx"),
    ".pdmodel": ("a Paddle network", "convert it with paddle2onnx"),
    ".caffemodel": ("a Caffe network", "convert it to .onnx, with OpenCV's or Microsoft's MMdnn converter for one"),
    ".prototxt": ("a Caffe network's description", "convert it with its .caffemodel to .onnx"),
    ".params": ("an MXNet checkpoint", "export it with mxnet.onnx.export_model"),
    ".mlmodel": ("a Core ML network", "bring the file that it was converted from, or .onnx by coremltools"),
    ".mlpackage": ("a Core ML network", "bring the file that it was converted from"),
    ".xml": ("an OpenVINO network or a cascade", 'bring the .onnx it was made from; a cascade ships as_is = "opencv"'),
    ".param": ("an ncnn network", "bring the .onnx or .pth that it was converted from"),
    ".mnn": ("an MNN network", "bring the .onnx or .pth that it was converted from"),
    ".ort": ("an ONNX Runtime flatbuffer", "bring the .onnx that it was made from"),
    ".pte": ("an ExecuTorch program", _FROM_TORCH),
    ".pkl": ("a pickle, which may run code", _FROM_TORCH),
    ".pickle": ("a pickle, which may run code", _FROM_TORCH),
    ".joblib": ("a pickle, which may run code", _FROM_TORCH),
    ".npz": ("bare arrays", "save them as .safetensors, by the names of their layers"),
    ".npy": ("one bare array", "save all of them as one .safetensors, by the names of their layers"),
    ".weights": ("Darknet weights", "convert them to .onnx, with darknet2pytorch for one"),
    **dict.fromkeys((".engine", ".trt", ".plan", ".hef", ".rknn", ".dlc", ".om"), ("a compiled network", _COMPILED)),
}
"""By ending: what the file is, and what to do."""


def way_on(name: str) -> tuple[str, str] | None:
    """What a file is by its name, and what to do; None for an ending that no tool here is known to write."""
    return OTHERS.get(PurePosixPath(name).suffix.lower())


def of_folder(path: Path) -> tuple[str, str]:
    """What a folder is that somebody named as a network, and what to do."""
    if (path / "saved_model.pb").is_file() or (path / "keras_metadata.pb").is_file():
        return "a TensorFlow SavedModel", _TENSORFLOW
    if (path / "model.json").is_file():
        return "a folder with a tfjs network", "give its model.json"
    if way_on(path.name):
        return OTHERS[path.suffix.lower()]
    if (path / "data.pkl").is_file() or (path / path.name / "data.pkl").is_file():
        return "an unpacked torch file", "give the .pth or .pt itself"
    return "a folder", "give a file in it"
