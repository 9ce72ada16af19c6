"""As much of libcamera's Python module as picamera2's user sees."""

from enum import Enum


class ColorSpace:
    Range = Enum("Range", ("Full", "Limited"))

    def __init__(self, name: str, range_: Enum) -> None:
        self.name, self.range = name, range_

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def Smpte170m() -> "ColorSpace":
        return ColorSpace("SMPTE170M", ColorSpace.Range.Limited)

    @staticmethod
    def Sycc() -> "ColorSpace":
        return ColorSpace("sYCC", ColorSpace.Range.Full)
