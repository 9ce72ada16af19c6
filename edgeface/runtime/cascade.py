"""A boosted cascade, run by OpenCV itself, behind the `Runner` interface."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import cv2
import numpy as np

from edgeface.bundle import CascadeHead, NetworkFile
from edgeface.errors import RuntimeMissingError
from edgeface.types import F32


class CascadeRunner:
    """One cascade file; any size runs, one picture a call.

    Raises
    ------
    RuntimeMissingError : this OpenCV has no cascades, as from version 5 on
    ValueError : the file is no cascade
    """

    batches: tuple[int, ...] = (1,)
    sizes: tuple[tuple[int, int], ...] = ()
    provider: str = "cpu"

    def __init__(self, data: bytes, file: NetworkFile, head: CascadeHead) -> None:
        if not hasattr(cv2, "CascadeClassifier"):
            raise RuntimeMissingError(
                f"OpenCV {cv2.__version__} runs no cascades", fix="pip install 'opencv-python-headless>=4.10,<5'"
            )
        self._classifier = cv2.CascadeClassifier()
        try:
            storage = cv2.FileStorage(data.decode("utf-8"), cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
            read = self._classifier.read(storage.getFirstTopLevelNode())
        except (cv2.error, SystemError, UnicodeDecodeError):  # a constructor's errors come out as SystemError
            read = False
        if not read:
            raise ValueError("it is no cascade")
        self._head = head
        self._lock = threading.Lock()
        self.file = file

    def run(self, batch: F32, states: Mapping[str, F32] = {}) -> Mapping[str, F32]:  # noqa: ARG002 - it has no memory
        """Search one grey picture.

        Parameters
        ----------
        batch : float32 (1, H, W, 1) or (1, 1, H, W), grey, 0 to 255

        Returns
        -------
        ``boxes`` (1, N, 4), x1, y1, x2, y2 in its pixels, and ``weights`` (1, N): sum of the votes of the last stage.
        Most votes first: OpenCV's own order is that in which its threads came home.
        """
        grey = batch.reshape(batch.shape[1:3] if self.file.layout == "NHWC" else batch.shape[2:]).astype(np.uint8)
        side = self._head.smallest_face_px
        # A classifier keeps the picture's integral images: one call at a time.
        with self._lock:
            found, _, votes = self._classifier.detectMultiScale3(
                grey,
                scaleFactor=self._head.scale_factor,
                minNeighbors=self._head.neighbours,
                minSize=(side, side),
                outputRejectLevels=True,
            )
        boxes = np.array(found, dtype=np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        weights = np.array(votes, dtype=np.float32).reshape(-1)
        order = np.lexsort((*boxes.T, -weights))
        return {"boxes": boxes[None, order], "weights": weights[None, order]}
