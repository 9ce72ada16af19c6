"""The workshop: makes the bundle's networks out of pinned packages, measures them, and writes the manifest.

Nothing here is installed on a device. ``python -m converters --help`` shows what it can do.
"""

from __future__ import annotations

import os

# Wheels of onnxruntime from 1.29 on report by default; the switch must stand before the first import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
