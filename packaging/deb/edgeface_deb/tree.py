"""What lies where in the package, and what of the wheels is left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from edgeface_deb.targets import Target

LIBRARIES = "usr/lib/edgeface"
BUNDLES = "usr/share/edgeface/models"
STOCK = "usr/share/edgeface/edgeface.toml"
"""The configuration as it comes; postinst copies it where there is none."""
CREDENTIALS = "etc/edgeface/credentials"
KEYS = "etc/edgeface/keys"
"""Whose signatures of bundles count; empty: nobody's are asked for."""
JETSON = "usr/share/edgeface/jetson.conf"
"""The drop-in for an NVIDIA GPU, to which postinst leads systemd on a Jetson."""
UNIT = "usr/lib/systemd/system/edgeface.service"
TUNE = "usr/lib/systemd/system/edgeface-tune.service"
PROGRAM = "usr/bin/edgeface"
DOC = "usr/share/doc/edgeface"
OVERRIDES = "usr/share/lintian/overrides/edgeface"
MANUAL = "usr/share/man/man1/edgeface.1.gz"

LEFT_OUT: Mapping[str, str] = {
    "tests": r"(numpy|onnxruntime|ml_dtypes|google)/(.+/)?(tests|conftest\.py)(/.*)?"
    r"|numpy/_core/_(\w+_tests|simd)\.[^/]*\.so",
    "headers, static libraries, types and sources for compilers": r".*\.(pyi|pxd|pyx|h|hpp|a|lib|c|cpp|cc|f|f90|in)"
    r"|.*/py\.typed|numpy/_core/(include|lib)/.*",
    "numpy's tools for compiling": r"numpy/(distutils|f2py|_pyinstaller|doc)/.*|numpy/typing/mypy_plugin\.py",
    "the second copy of ONNX Runtime, for programs in C": r"onnxruntime/capi/libonnxruntime\.so.*",
    "ONNX Runtime's tools for making models": r"onnxruntime/(transformers|quantization|tools|datasets|backend)/.*",
    "with what older such tools work out shapes": r"(sympy|mpmath)(-[^/]+\.dist-info)?/.*|isympy\.py",
    "LiteRT's WebGPU and NPUs, compiler and tools": r"ai_edge_litert/(aot|tools|vendors|tflite)/.*|"
    r"ai_edge_litert/libLiteRtWebGpuAccelerator\.so",
    "OpenCV's cascades (a bundle brings its own)": r"cv2/data/.*\.xml",
    "completions and manuals of libraries": r"tqdm/(completion\.sh|tqdm\.1)",
    "what only installers read": r"[^/]+\.dist-info/(RECORD|INSTALLER|WHEEL|top_level\.txt|entry_points\.txt|zip-safe|"
    r"REQUESTED|direct_url\.json|sboms/.*)",
}
"""By what it is: a pattern of paths within the wheels."""
_LEFT_OUT = {what: re.compile(pattern) for what, pattern in LEFT_OUT.items()}
DATA = re.compile(r"[^/]+\.data/(?P<kind>[^/]+)/(?P<path>.+)")
BUNDLED = "edgeface/bundles/"


def left_out(path: str) -> str | None:
    """What a file of a wheel is that no device needs; None for one that is kept."""
    return next((what for what, pattern in _LEFT_OUT.items() if pattern.fullmatch(path)), None)


def place(path: str, target: Target) -> PurePosixPath | None:
    """Where a file of a wheel lies in the package; None for one that is left out.

    ``path`` is the name within the wheel, whose ``.data`` folders pip would spread over an environment.

    Raises
    ------
    ValueError : it would leave the folder, or be installed where this package has no place
    """
    spread = DATA.fullmatch(path)
    if spread is not None:
        if spread["kind"] in {"scripts", "headers", "data"}:
            return None
        if spread["kind"] not in {"purelib", "platlib"}:
            raise ValueError(f"a wheel installs into {spread['kind']}: {path}")
        path = spread["path"]
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or "\\" in path:
        raise ValueError(f"a wheel names a path outside: {path}")
    if path.startswith(BUNDLED):
        return PurePosixPath(BUNDLES, path.removeprefix(BUNDLED))
    if left_out(path) is not None:
        return None
    return PurePosixPath(LIBRARIES, target.abi, path)
