"""The mark: a plain serial loop, as one would write it first.

OpenCV decoding, RetinaFace MobileNet-0.25 at 320x192, and all three attribute networks on every face of every frame,
one face at a time, ONNX Runtime with float arithmetic, two threads without spinning; no tracking, no MQTT.

    python -m benchmarks.plain_chain PATH [--frames N] [--threads N] [--spin] [--json]

PATH is a video, or a picture that is decoded and processed again and again. The networks are files of the mark's own,
``benchmarks/mark``: those of the default bundle of version 0.1.0, so that the mark stays where it was when the default
bundle gets better ones. age-v1 has int8 weights there and computes in float at the speed of its fp32 form.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edgeface  # noqa: F401 - closes telemetry before onnxruntime is imported

# isort: split
import cv2
import numpy as np
import onnxruntime

from edgeface.bundle import Bundle, Network, open_bundle
from edgeface.crop import cut
from edgeface.detect import retinaface
from edgeface.geometry import letterbox, nms
from edgeface.types import F32, Image

BUNDLE = Path(__file__).parent / "mark"
SIZE = (320, 192)
MIN_SCORE = 0.6
ATTRIBUTES = ("age-v1", "gender-v1", "expression-mini-xception")


class Session:
    """One network as ONNX Runtime gives it."""

    def __init__(self, bundle: Bundle, network: Network, *, threads: int, spin: bool) -> None:
        file = network.files["onnx"][0]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
        for key, value in file.session.items():
            options.add_session_config_entry(key, value)
        data = bundle.read(file.path, size=file.bytes, sha256=file.sha256)
        self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self.network = network
        self._file = file

    def __call__(self, pixels: Image) -> dict[str, F32]:
        """Outputs for one picture in the network's colour order."""
        spec = self.network.input
        blob = cv2.dnn.blobFromImage(pixels, scalefactor=spec.scales[0], mean=spec.means)
        values = self._session.run(list(self._file.outputs.values()), {self._file.input: blob})
        return dict(zip(self._file.outputs, values, strict=True))


def frames(path: Path, count: int) -> Iterator[Image]:
    """Decoded frames of a video, or a picture decoded again and again."""
    if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
        for _ in range(count):
            yield cv2.imread(str(path))  # type: ignore[misc]
        return
    capture = cv2.VideoCapture(str(path))
    for _ in range(count):
        done, frame = capture.read()
        if not done:
            return
        yield frame


def measure(path: Path, *, count: int, threads: int, spin: bool) -> dict[str, Any]:
    """Frames a second from the first to the last answer, and faces per frame."""
    bundle = open_bundle(BUNDLE)
    detector = Session(bundle, bundle.network("retinaface"), threads=threads, spin=spin)
    attributes = [Session(bundle, bundle.network(name), threads=threads, spin=spin) for name in ATTRIBUTES]
    faces = number = 0
    first_s = last_s = 0.0
    for number, image in enumerate(frames(path, count), start=1):
        faces += process(image, detector, attributes)
        last_s = time.perf_counter()
        if number == 1:
            first_s = last_s
    return {
        "path": path.name,
        "frames": number,
        "threads": threads,
        "spin": spin,
        "fps": round((number - 1) / (last_s - first_s), 1),
        "faces": round(faces / number, 2),
    }


def process(image: Image, detector: Session, attributes: list[Session]) -> int:
    """Everything for one frame; the number of faces."""
    fit = letterbox((image.shape[1], image.shape[0]), SIZE)
    canvas = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    small = cv2.resize(image, fit.content_wh, interpolation=cv2.INTER_LINEAR)
    canvas[: fit.content_wh[1], : fit.content_wh[0]] = small
    head: Any = detector.network.head
    boxes, scores, landmarks = retinaface.decode(detector(canvas), SIZE, head, MIN_SCORE)
    keep = nms(boxes, scores, max_iou=head.nms_iou)
    for row in keep:
        box, points = boxes[row] / fit.scale[0], landmarks[row] / fit.scale[0]
        for network in attributes:
            network(cut(image, box, points, network.network.input))
    return len(keep)


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--spin", action="store_true", help="let ONNX Runtime's threads spin, as they do by default")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = measure(args.path, count=args.frames, threads=args.threads, spin=args.spin)
    print(json.dumps(result) if args.json else f"{result['fps']} frames a second, {result['faces']} faces a frame")


if __name__ == "__main__":
    main()
