"""Whether the libraries load together, each in a child: one that was built for another numpy takes its process down."""

from __future__ import annotations

import json
from collections.abc import Iterator

from edgeface.diagnosis.finding import Finding, bad, good, skipped, warning
from edgeface.diagnosis.node import Node
from edgeface.runtime.child import ABI_SIGNS, run_python, why_in_words

INSTALL_ANEW = "install edgeface anew; where pip did it, in a virtual environment of its own: see docs/installing.md"
PICTURES = """
import json, numpy, cv2
cv2.cvtColor(cv2.resize(numpy.zeros((8, 8, 3), numpy.uint8), (4, 4)), cv2.COLOR_BGR2GRAY)
print(json.dumps({"numpy": numpy.__version__, "opencv": cv2.__version__}))
"""
RUNTIMES = {
    "ONNX Runtime": "from edgeface.runtime import library; print(library.load().__version__, library.origin().words)",
    "LiteRT": "import ai_edge_litert.interpreter, importlib.metadata as m; print(m.version('ai-edge-litert'))",
    "tflite-runtime": "import tflite_runtime.interpreter, tflite_runtime as t; print(t.__version__)",
}


def numpy_and_opencv(_: Node) -> Iterator[Finding]:
    """They load, fit each other, and change a picture."""
    said, failure = run_python(PICTURES)
    if failure is not None:
        abi = any(sign in failure for sign in ABI_SIGNS)
        why = "OpenCV was built for another numpy" if abi else f"numpy and OpenCV do not load: {why_in_words(failure)}"
        yield bad(why, fix=INSTALL_ANEW)
        return
    versions = json.loads(said)
    if versions["opencv"].startswith("5."):
        yield bad(f"OpenCV {versions['opencv']} is not supported", fix="pip install 'opencv-python-headless<5'")
        return
    yield good(f"numpy {versions['numpy']} and OpenCV {versions['opencv']} fit")


def runtimes(_: Node) -> Iterator[Finding]:
    """At least one runtime loads; which of them the bundle wants is told with the bundle."""
    present = 0
    for name, program in RUNTIMES.items():
        said, failure = run_python(program)
        if failure is None:
            present += 1
            yield good(f"{name} {said.strip()}")
        elif "No module named" not in failure:
            yield warning(f"{name} is installed and does not load: {why_in_words(failure)}", fix=INSTALL_ANEW)
        elif name != "tflite-runtime":
            yield skipped(f"{name} is not installed")
    if not present:
        yield bad("there is no runtime for networks", fix=INSTALL_ANEW)
