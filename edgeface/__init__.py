"""edgeface: who is before the camera, in numbers, on the device itself.

Importing the package closes two doors before any library can open them:

* ``ORT_DISABLE_TELEMETRY``: onnxruntime wheels from 1.29 on report usage by default and keep a device id below
  the home directory. The switch works only when it is set before the first import.
* ``OPENCV_IO_MAX_IMAGE_PIXELS``: OpenCV reads its limit once. Larger pictures are refused from their header by
  `edgeface.sources`; this is the second lock. 220 megapixels: telephones make pictures of 200.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 30))

__version__ = "0.1.0"
