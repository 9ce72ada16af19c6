"""A cascade that OpenCV runs: its file is data that passes through as it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

import numpy as np

from converters.checkpoints.archive import read_source
from converters.recipes.schema import NetworkRecipe
from converters.references.torch_module import Sizes
from edgeface.bundle import CascadeHead, NetworkFile
from edgeface.errors import UsageError
from edgeface.runtime.cascade import CascadeRunner
from edgeface.types import F32


class CascadeReference:
    """The cascade itself: there is nothing else that it could be held against.

    Raises
    ------
    UsageError : the source is no cascade of OpenCV
    """

    outputs: Sequence[str] = ("boxes", "weights")
    states: Sizes = {}  # noqa: RUF012 - nobody changes it

    def __init__(self, network: NetworkRecipe) -> None:
        assert isinstance(network.head, CascadeHead)
        if network.source is None:
            raise UsageError("a cascade's recipe needs a source", fix="name the .xml file in [source]")
        self._data, _ = read_source(network.source)
        file = NetworkFile(
            runtime="opencv", precision="fp32", path=network.source.path, bytes=len(self._data), sha256="0" * 64,
            layout="NCHW", input="", outputs={},
        )  # fmt: skip
        try:
            self._runner = CascadeRunner(self._data, file, network.head)
        except ValueError as error:
            raise UsageError(f"{network.source.path}: {error}", fix="bring an .xml file of OpenCV's") from None

    def run(self, tensor: F32, states: Mapping[str, F32] | None = None) -> dict[str, F32]:  # noqa: ARG002
        """Finds in one grey picture, float32 (1, 1, H, W)."""
        return dict(self._runner.run(np.ascontiguousarray(tensor)))

    @property
    def parameters(self) -> int:
        """Thresholds of features and stages, and votes."""
        # The file's hash is pinned: it is no stranger's.
        root = ElementTree.fromstring(self._data)  # noqa: S314
        votes = sum(len((leaf.text or "").split()) for leaf in root.iter("leafValues"))
        nodes = sum(len((node.text or "").split()) // 4 for node in root.iter("internalNodes"))
        return votes + nodes + sum(1 for _ in root.iter("stageThreshold"))
