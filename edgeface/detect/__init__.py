"""Detectors: a picture in, `Detections` in the picture's own pixels out.

A family of one network is one file with a pure ``decode`` from raw outputs to faces in the pixels of the network's
input, and one line in `edgeface.detect.single.FAMILIES`; a detector of several networks is a file with a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from edgeface.bundle import MtcnnHead, Network
from edgeface.config import Config
from edgeface.detect.mtcnn import MtcnnDetector
from edgeface.detect.single import FAMILIES, SingleDetector
from edgeface.errors import BundleError, ConfigError
from edgeface.runtime import Runner
from edgeface.types import Detections, Image

__all__ = ["Detector", "SingleDetector", "make_detector", "measurable"]


class Detector(Protocol):
    """What finds faces.

    Attributes
    ----------
    network : manifest entry that bears the detector's name
    gives_landmarks : whether `Detections.landmarks` is an array; None otherwise
    """

    network: Network
    gives_landmarks: bool

    @property
    def takes_mosaics(self) -> bool:
        """Whether it finds faces in regions of a picture side by side, and is not bound to one size."""

    @property
    def any_size(self) -> bool:
        """Whether an input of another size costs no more than its pixels."""

    def takes(self, size_wh: tuple[int, int]) -> bool:
        """Whether it runs with an input of this size."""

    def size_for(self, image_wh: tuple[int, int]) -> tuple[int, int]:
        """Width and height of what the detector sees of a picture of this size."""

    def detect(self, image: Image, *, min_score: float, size_wh: tuple[int, int] | None = None) -> Detections:
        """Find the faces of one picture whose score is at least ``min_score``, best first.

        ``size_wh`` is the input where it is to be another than `size_for` says; only of one that takes mosaics.
        """


def measurable(config: Config, detector: Network) -> Config:
    """What of a configuration a detector lets us measure: no attention without the five points of a face.

    Raises
    ------
    ConfigError : attention is asked for, and the detector gives no points
    """
    family = FAMILIES.get(type(detector.head))
    if family is None or family.landmarks:
        return config
    if config.attention.enabled:
        raise ConfigError(
            f"attention.enabled: detector {detector.name} gives no points of a face to tell it by",
            fix="leave attention.enabled out, or set detector.network to one with landmarks",
        )
    return msgspec.structs.replace(config, attention=msgspec.structs.replace(config.attention, enabled=False))


def make_detector(
    network: Network,
    runners: Mapping[str, Runner],
    *,
    stages: Sequence[Network] = (),
    size: str = "auto",
    still: bool = False,
) -> Detector:
    """Build the detector that a manifest entry describes.

    Parameters
    ----------
    network : its manifest entry
    runners : loaded files by network name: its own, and those of its stages
    stages : manifest entries that its head names (`edgeface.bundle.Bundle.stages`)
    size : ``auto``, ``original`` or ``WIDTHxHEIGHT``
    still : whether ``auto`` means the size for still pictures (long side 640) or for video

    Raises
    ------
    BundleError : the network finds no faces
    ConfigError : a size that the network cannot have
    """
    if type(network.head) in FAMILIES:
        return SingleDetector(network, runners[network.name], size=size, still=still)
    if isinstance(network.head, MtcnnHead):
        return MtcnnDetector(network, stages, runners, size=size, still=still)
    raise BundleError(f"network {network.name} is not a detector", fix="name a network of task detect")
