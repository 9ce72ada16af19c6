"""What picamera2 does when things go wrong, told in words: run with the real one, and with the one of these tests.

A program: ``picamera2_cases.py CASE`` prints one word for what happened, each case in a process of its own since some
of them never end.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

if __name__ == "__main__":
    libcamera: Any = import_module("libcamera")
    picamera2: Any = import_module("picamera2")

WAIT_S = 0.6
MAIN, LORES = (640, 360), (320, 180)
"""The virtual camera gives no other shapes than 16:9 of these sizes."""


def opened(**options: Any) -> Any:
    camera = picamera2.Picamera2(0)
    streams = {"main": {"format": "YUV420", "size": MAIN}, "lores": {"format": "YUV420", "size": LORES}}
    camera.configure(camera.create_video_configuration(**{**streams, "buffer_count": 4, **options}))
    camera.start()
    return camera


def raised(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:
        chain: list[str] = []
        cause: BaseException | None = error
        while cause is not None:
            chain.append(f"{type(cause).__name__}: {cause}")
            cause = cause.__cause__
        return " < ".join(chain)[:80]
    return "nothing"


def ends(call: Callable[[], object], seconds: float) -> str:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    return "hangs" if thread.is_alive() else "ends"


def timed_out(camera: Any) -> tuple[list[Any], str]:
    """Hold every buffer, so that a wait ends without a picture; give them back."""
    held = [camera.capture_request(wait=5) for _ in range(4)]
    said = raised(lambda: camera.capture_request(wait=WAIT_S))
    return held, said


def number() -> str:
    return raised(lambda: picamera2.Picamera2(7))[:36]


def waits() -> str:
    return timed_out(opened())[1].partition(":")[0]


def lost_wait() -> str:
    """Pictures that come after a wait timed out, of four buffers."""
    camera = opened()
    held, _ = timed_out(camera)
    for request in held:
        request.release()
    taken = 0
    while raised(lambda: camera.capture_request(wait=WAIT_S)) == "nothing" and taken < 9:
        taken += 1
    return str(taken)


def stop_after_timeout() -> str:
    camera = opened()
    timed_out(camera)
    return ends(camera.stop, 3)


def flushed_stop() -> str:
    camera = opened()
    timed_out(camera)
    camera.cancel_all_and_flush()
    return ends(camera.stop, 3)


def close_after_timeout() -> str:
    camera = opened()
    timed_out(camera)
    return ends(camera.close, 5)


def close_twice() -> str:
    camera = opened()
    camera.close()
    return ends(camera.close, 3)


def released_twice() -> str:
    request = opened().capture_request(wait=5)
    request.release()
    return raised(request.release)


def after_release() -> str:
    request = opened().capture_request(wait=5)
    request.release()
    return raised(lambda: request.make_buffer("main"))


def bad_key() -> str:
    return raised(lambda: opened(main={"fps": 3}))[:24]


def large_lores() -> str:
    return raised(lambda: opened(main={"size": LORES}, lores={"size": MAIN}))


def bad_control() -> str:
    return raised(lambda: opened(controls={"Nonsense": 1}))


def configured_while_started() -> str:
    camera = opened()
    return raised(lambda: camera.configure(camera.create_video_configuration()))


def signal() -> str:
    """The way the product waits: an event that the job's signal sets."""
    camera, came = opened(), threading.Event()
    job = camera.capture_request(wait=False, signal_function=lambda _: came.set())
    return "came" if came.wait(5) and hasattr(job.get_result(), "release") else "did not"


def memory() -> str:
    """Whether a picture's mapped bytes are all there, and no copy."""
    camera = opened()
    request, layout = camera.capture_request(wait=5), camera.camera_configuration()["main"]
    with picamera2.MappedArray(request, "main", reshape=False) as mapped:
        size = layout["stride"] * layout["size"][1] * 3 // 2
        return "whole" if len(memoryview(mapped.array[:size]).cast("B")) == size else "short"


def colour() -> str:
    camera = opened(colour_space=libcamera.ColorSpace.Smpte170m())
    return str(camera.camera_configuration()["colour_space"].range).rpartition(".")[2]


CASES = {
    number: "RuntimeError: No camera number 7 fou",
    waits: "TimeoutError",
    lost_wait: "3",
    stop_after_timeout: "hangs",
    flushed_stop: "ends",
    close_after_timeout: "ends",
    close_twice: "ends",
    released_twice: "RuntimeError: CompletedRequest: lock now has negative ref_count",
    after_release: "RuntimeError: Stream 'main' is not defined",
    bad_key: "ValueError: Bad key 'fps",
    large_lores: "RuntimeError: lores stream dimensions may not exceed main stream",
    bad_control: "RuntimeError: Control Nonsense is not advertised by libcamera",
    configured_while_started: "RuntimeError: Camera must be stopped before configuring",
    signal: "came",
    memory: "whole",
    colour: "Limited",
}
EXPECTED = {case.__name__: told for case, told in CASES.items()}

if __name__ == "__main__":
    print("\n" + next(case for case in CASES if case.__name__ == sys.argv[1])(), flush=True)
    os._exit(0)
