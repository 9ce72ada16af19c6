"""Video files, through the FFmpeg in OpenCV's wheel; every frame, in order, as a viewer shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgeface.config import Camera, Limits
from edgeface.errors import SourceError
from edgeface.sources.base import Origin, Pace
from edgeface.sources.capture import Capture, as_bgr, pixel_shape, square
from edgeface.sources.kinds import expect_file
from edgeface.sources.length import movie_length_s
from edgeface.sources.opening import open_file, was_written
from edgeface.sources.stamps import SourceTime
from edgeface.types import Frame, Image

EARLY_S, EARLY_SHARE = 1.0, 0.05
"""A video may end this much before its announced length; headers are rarely exact."""
FALLBACK_FPS = 25.0
MOST_TRACKS = 4
"""Pictures' tracks of one file that are looked through for the film."""
DECODING_BYTES = 18
"""Memory per pixel: four frames of the decoder, and three in colours."""
REPEATED_ROWS = 16
"""Every so many rows of a frame are compared with those of the frame before."""
REPEATED_MOST = 25
"""Frames in a row that show the same, before it is asked whether the decoder still writes them."""


class VideoFile:
    """A video file.

    Parameters
    ----------
    limits : a video of larger frames is refused
    decoder_threads : threads of the decoder; None leaves it to OpenCV
    """

    live = False
    dropped = 0

    def __init__(
        self,
        path: Path,
        camera: Camera,
        origin: Origin,
        *,
        limits: Limits,
        pace: Pace | None = None,
        decoder_threads: int | None = None,
    ) -> None:
        self._limits = limits
        self.description = str(path)
        self._path = path
        self._origin = origin
        self._pace = pace or Pace(camera.pace)
        # A rotation in the file is applied by default, as viewers do.
        self._options = [] if decoder_threads is None else [cv2.CAP_PROP_N_THREADS, decoder_threads]
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """Every frame; a file that ends too early raises SourceError after its last one.

        Raises
        ------
        SourceError : also where OpenCV hands out frames that it could not convert (interlaced video)
        """
        capture = self._open()
        try:
            fps = capture.get(cv2.CAP_PROP_FPS)
            step_s = 1 / fps if 0 < fps < 1000 else 1 / FALLBACK_FPS
            announced_s = self._announced_s(max(0.0, capture.get(cv2.CAP_PROP_FRAME_COUNT)) * step_s)
            shape = pixel_shape(capture)
            clock = SourceTime(step_s)
            index, time_s = 0, -step_s
            for image, time_s in clock.times(self._written(self._read(capture))):
                if self._closed:
                    break
                self._pace.wait(time_s)
                yield self._origin.frame(square(image, shape), index=index, time_s=time_s)
                index += 1
            if not self._closed:
                self._check_end(index, time_s + step_s, announced_s, clock.rejected_s)
        finally:
            capture.release()

    def close(self) -> None:
        """Stop after the current frame."""
        self._closed = True

    def _open(self) -> Capture:
        expect_file(self._path)
        try:
            self._path.open("rb").close()
        except OSError as error:
            raise SourceError(
                f"{self._path} cannot be read: {error.strerror}", fix="check path and permissions"
            ) from None
        capture = self._decoder()
        if not capture.isOpened():
            raise SourceError(
                f"{self._path} is not a video that can be opened, or was cut off",
                fix="check that it plays elsewhere, or convert it to H.264",
            )
        if capture.get(cv2.CAP_PROP_FRAME_COUNT) == 1:
            capture = self._film(capture)
        self._refuse_giant(capture)
        return capture

    def _decoder(self, *more: int) -> Capture:
        return open_file(self._path, [*self._options, *more])

    def _film(self, cover: Capture) -> Capture:
        """Turn to the first track of more than one frame, if there is one: a cover may stand before the film."""
        for track in range(1, MOST_TRACKS):
            other = self._decoder(cv2.CAP_PROP_VIDEO_STREAM, track)
            if other.isOpened() and other.get(cv2.CAP_PROP_FRAME_COUNT) > 1:
                cover.release()
                self._options += [cv2.CAP_PROP_VIDEO_STREAM, track]
                return other
            other.release()
        return cover

    def _refuse_giant(self, capture: Capture) -> None:
        """Bound memory before the first frame is decoded."""
        width, height = (round(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        needed = width * height * DECODING_BYTES
        if needed > self._limits.megabytes * 1e6:
            raise SourceError(
                f"{self._path} has {width}x{height} pixels, which take {needed / 1e6:.0f} MB to decode, "
                f"more than {self._limits.megabytes:g}",
                fix="raise limits.megabytes, or scale it down",
            )

    def _read(self, capture: Capture) -> Iterator[tuple[Image, float]]:
        """Frames as decoded, with their stamps in seconds."""
        while not self._closed:
            done, image = capture.read()
            if not done:
                return
            yield as_bgr(image), capture.get(cv2.CAP_PROP_POS_MSEC) / 1000

    def _written(self, frames: Iterator[tuple[Image, float]]) -> Iterator[tuple[Image, float]]:
        """Only frames that the decoder wrote; black ones wait until that is known.

        The first is held against a second decoder's. Later ones that stay the same are asked about now and then: where
        nothing is written, the frame before stays.
        """
        black: list[tuple[Image, float]] = []
        before: npt.NDArray[Any] | None = None
        repeated, ask_from, sure = 0, 0, False
        for index, (image, stamp_s) in enumerate(frames):
            rows = image[::REPEATED_ROWS].copy()
            same = before is not None and np.array_equal(rows, before)
            before, repeated = rows, repeated + 1 if same else 0
            if index == 0 or (repeated >= REPEATED_MOST and index >= ask_from):
                answer = was_written(self._path, self._options, index, image)
                if answer is False:
                    raise self._unwritten(index)
                sure |= answer is True
                # Each answer costs a decoding up to here; asked at doubling distances, one more of the whole film.
                ask_from = 2 * index
            elif not same:
                sure = True
            if not sure:
                black.append((image, stamp_s) if not black else (black[0][0], stamp_s))
                continue
            yield from black
            black.clear()
            yield image, stamp_s
        if black and not self._closed:
            raise self._unwritten(0)

    def _unwritten(self, index: int) -> SourceError:
        since = f" from frame {index} on" if index else ""
        return SourceError(
            f"{self._path}{since} is interlaced, which this OpenCV ({cv2.__version__}) cannot convert, or black",
            fix="convert it: ffmpeg -i IN -vf yadif OUT.mp4",
        )

    def _announced_s(self, by_frames_s: float) -> float:
        """Length that players show: all frames, or fewer where the file's index says so."""
        length_s = movie_length_s(self._path)
        return by_frames_s if length_s is None else min(by_frames_s, length_s)

    def _check_end(self, count: int, ended_s: float, announced_s: float, rejected_s: float) -> None:
        if count == 0:
            raise SourceError(f"{self._path} has no frame that can be decoded", fix="convert it to H.264")
        if rejected_s and abs(announced_s - rejected_s) < announced_s * EARLY_SHARE:
            # The length rests on a stamp that no other frame stands by.
            return
        if announced_s - ended_s > max(EARLY_S, EARLY_SHARE * announced_s):
            raise SourceError(
                f"{self._path} ends after {ended_s:.1f} of {announced_s:.1f} s; its {count} frames were analysed",
                fix="copy or record it again",
            )
