"""edgeface: who is before the camera, in numbers, on the device itself.

Importing the package settles what libraries read once, before any of them is imported:

* ``ORT_DISABLE_TELEMETRY``: onnxruntime wheels from 1.29 on report usage by default and keep a device id below
  the home directory. The switch works only when it is set before the first import. That holds for the system's own
  onnxruntime, too, which is imported by the same process.
* ``NVIDIA_TF32_OVERRIDE``: NVIDIA's libraries round what is float32 to ten bits on newer GPUs, and TensorRT knows no
  other switch (microsoft/onnxruntime 26029). Answers are to be those that were measured. Set it to 1 for that speed.
* ``OPENCV_IO_MAX_IMAGE_PIXELS``: OpenCV reads its limit once. Larger pictures are refused from their header by
  `edgeface.sources`; this is the second lock. 220 megapixels: telephones make pictures of 200.
* ``OPENCV_LOG_LEVEL``, ``OPENCV_FFMPEG_LOGLEVEL``: what decoders complain about on standard error is either said in
  one line of our own or of no consequence. Set them to hear it.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 30))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

__version__ = "0.1.0"
