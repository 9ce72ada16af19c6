"""Owns a Raspberry Pi's camera through picamera2 and writes its pictures to a pipe; a program of its own.

::

    /usr/bin/python3 -I -B picamera2_child.py --fd 7 --main 1280x720 --lores 640x360 --fps 15 --wait 4
    /usr/bin/python3 -I -B picamera2_child.py --list

picamera2 is a package of the system, for the system's Python and with the system's numpy, so nothing of edgeface can be
imported here, nor anything beyond Python 3.9. It, libcamera and the kernel have all been seen to hang, so every wait
has a number, and nothing is tried a second time: whoever started this kills it and starts another.

To the pipe goes one line of JSON, padded to `HEAD_BYTES`, that says how the pictures lie in memory; then pictures, each
main and then lores, as the camera's buffers hold them. What went wrong is one line on standard error,
``edgeface: WHAT; FIX``.

Two traps of picamera2 0.3.38. A wait that timed out stays in its queue, takes the next picture and loses that picture's
buffer for good. `Picamera2.stop` queues behind it and never returns.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import select
import signal
import sys
import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

HEAD_BYTES = 512
BUFFERS = 4
"""One is written, one waits, two are filled; picamera2 takes 6, of memory that is short on small boards."""
CLOSE_S = 2.0
"""The kernel has been seen to hold a process that stops a camera for ever."""
WRITE_S = 10.0
CONTINUOUS = 2
"""`AfMode` of libcamera: a lens that can move does so by itself; picamera2 leaves it where it is."""
PACKAGE = "sudo apt install python3-picamera2 (Raspberry Pi OS)"
CONFIG = "/boot/firmware/config.txt"


class CameraError(Exception):
    """What keeps the camera from giving pictures, and what to do about it."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


class Asked(SystemExit):
    """Somebody asked this process to end."""


def load() -> Any:
    """Return `picamera2`; what keeps it from being imported is the system's to mend."""
    # Some releases colour what they say, whoever reads it.
    os.environ["LIBCAMERA_LOG_NO_COLOR"] = "1"
    python = "{} (Python {}.{})".format(sys.executable, *sys.version_info[:2])
    try:
        return import_module("picamera2")
    except ModuleNotFoundError as error:
        if error.name == "picamera2":
            raise CameraError(f"picamera2 is not installed for {python}", PACKAGE) from error
        # A Python that is not the distribution's finds its packages, but no binary that fits it.
        raise CameraError(
            f"picamera2 cannot be loaded by {python}: {error}",
            f"{PACKAGE}, and let /usr/bin/python3 be the system's own (update-alternatives --display python3)",
        ) from error
    except (ImportError, ValueError, AttributeError) as error:
        numpy = find_spec("numpy")
        if numpy is not None and "/usr/local/" in str(numpy.origin):
            fix = f"remove the numpy that hides the system's: sudo pip uninstall numpy ({numpy.origin})"
        else:
            fix = "sudo apt install --reinstall python3-picamera2 python3-libcamera python3-numpy"
        raise CameraError(f"picamera2 cannot be loaded by {python}: {error}", fix) from error


def cameras(picamera2: Any) -> list[dict[str, Any]]:
    """Every camera that picamera2 numbers, those on USB last."""
    found: list[dict[str, Any]] = picamera2.Picamera2.global_camera_info()
    return found


def choose(found: list[dict[str, Any]], wanted: int = 0) -> int:
    """Return the place in the list of a camera that is not on USB, which is not libcamera's own ``Num``.

    Those are counted as ``rpicam-hello --list-cameras`` counts them: it leaves out cameras on USB, and picamera2 has
    them last; both sort by ``Id``, falling.
    """
    places = [place for place, camera in enumerate(found) if "/usb" not in str(camera.get("Id", ""))]
    if wanted < len(places):
        return places[wanted]
    if places:
        there = "camera 0" if len(places) == 1 else f"cameras 0 to {len(places) - 1}"
        raise CameraError(
            f"libcamera finds {there} and no camera {wanted}",
            f"check its ribbon cable, and dtoverlay in {CONFIG}, then start it again",
        )
    if found:
        raise CameraError("picamera2 finds only USB cameras", "set source to a number, see `edgeface cameras`")
    for kind in ("media*", "dma_heap/*"):
        nodes = sorted(Path("/dev").glob(kind))
        if nodes and not any(os.access(node, os.R_OK | os.W_OK) for node in nodes):
            raise CameraError(f"{nodes[0]} may not be opened", "add the user to the group video")
    raise CameraError(
        "libcamera finds no camera",
        f"check the ribbon cable, and camera_auto_detect=1 in {CONFIG}, then start it again",
    )


def words(error: BaseException) -> str:
    """Everything that an error and those that led to it say; picamera2's own first line says only that it failed."""
    said: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(said) < 8:
        said.append(str(cause) or type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return ": ".join(said)


def explain(error: BaseException, main: tuple[int, int]) -> CameraError:
    """What an error of opening, configuring or starting means."""
    said = words(error)
    size = "{}x{}".format(*main)
    if "busy" in said or "code: -16" in said or "in use by another" in said:
        return CameraError(
            "another program has the camera",
            "end it: rpicam-hello, motion, another service, and of two cameras name the second (picamera2:1)",
        )
    if "Cannot allocate memory" in said or getattr(error, "errno", None) == errno.ENOMEM:
        return CameraError(
            f"there is no memory for pictures of {size}",
            f"set a smaller width and height, or dtoverlay=vc4-kms-v3d,cma-512 in {CONFIG}",
        )
    return CameraError(f"the camera does not start: {said}", "see what `rpicam-hello --list-cameras` says")


def start(picamera2: Any, args: argparse.Namespace) -> Any:
    """Open, configure and start the camera."""
    number = choose(cameras(picamera2), args.camera)
    try:
        camera = picamera2.Picamera2(number)
    except (RuntimeError, OSError, IndexError) as error:
        raise explain(error, args.main) from error
    try:
        expect_size(camera, args.main)
        # What OpenCV's conversion expects: BT.601, brightness from 16 to 235.
        space = import_module("libcamera").ColorSpace.Smpte170m()
        wanted = {
            "FrameDurationLimits": (round(1e6 / args.fps),) * 2,
            "AfMode": CONTINUOUS,
        }
        camera.configure(
            camera.create_video_configuration(
                main={"format": "YUV420", "size": args.main},
                lores=None if args.lores is None else {"format": "YUV420", "size": args.lores},
                raw=None,
                colour_space=space,
                buffer_count=BUFFERS,
                controls={name: value for name, value in wanted.items() if name in camera.camera_controls},
            )
        )
        camera.start()
    except (CameraError, RuntimeError, OSError, ValueError, TypeError) as error:
        say(error if isinstance(error, CameraError) else explain(error, args.main))
        leave(camera, 1)
    return camera


def expect_size(camera: Any, main: tuple[int, int]) -> None:
    """Refuse pictures larger than the sensor's."""
    most = getattr(camera, "sensor_resolution", None)
    if most and (main[0] > most[0] or main[1] > most[1]):
        raise CameraError(
            "this camera gives pictures of at most {}x{}, not {}x{}".format(*most, *main), "set width and height"
        )


def head(camera: Any) -> dict[str, Any]:
    """How pictures really lie in memory, which need not be as asked."""
    got = camera.camera_configuration()
    space = got.get("colour_space")
    streams = {
        name: None
        if got.get(name) is None
        else {"format": got[name]["format"], "size": list(got[name]["size"]), "stride": got[name]["stride"]}
        for name in ("main", "lores")
    }
    # A camera without a colour space is read as what was asked for.
    full = space is not None and str(space.range).endswith("Full")
    model = camera.camera_properties.get("Model", "")
    return {**streams, "range": "full" if full else "limited", "model": str(model)}


def capture(camera: Any, wait_s: float) -> Any:
    """Wait for the next picture; the wait of older releases takes no number, so none of theirs is used."""
    came = threading.Event()
    job = camera.capture_request(wait=False, signal_function=lambda _: came.set())
    if not came.wait(wait_s):
        raise CameraError(f"the camera gave no picture for {wait_s:g} s", "check the ribbon cable at both ends")
    return job.get_result()


def write(fd: int, data: Any) -> None:
    """Write all of it; the pipe does not block."""
    left = memoryview(data).cast("B")
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            if not select.select([], [fd], [], WRITE_S)[1]:
                raise CameraError(f"nobody took a picture for {WRITE_S:g} s", "see why edgeface hangs") from None


def pump(picamera2: Any, camera: Any, args: argparse.Namespace) -> NoReturn:
    """Write the head, then pictures until something ends it."""
    layout = head(camera)
    line = json.dumps(layout)
    write(args.fd, (line.ljust(HEAD_BYTES - 1) + "\n").encode())
    streams = {name: layout[name] for name in ("main", "lores") if layout[name] is not None}
    sizes = {name: stream["stride"] * stream["size"][1] * 3 // 2 for name, stream in streams.items()}
    while True:
        request = capture(camera, args.wait)
        try:
            for name, size in sizes.items():
                # From the camera's own memory: a copy of it would cost as much as the pipe does.
                with picamera2.MappedArray(request, name, reshape=False) as mapped:
                    write(args.fd, mapped.array[:size])
        finally:
            request.release()


def leave(camera: Any, code: int) -> NoReturn:
    """Let the camera go, if that can be done in time, and end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def close() -> None:
        # Without this, close() waits for a stop that stands behind a wait that nobody ends; older releases lack it.
        getattr(camera, "cancel_all_and_flush", lambda: None)()
        camera.close()

    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(CLOSE_S)
    # Not sys.exit: picamera2 closes once more on the way out, and waits for threads without a number.
    os._exit(code)


def say(error: CameraError) -> None:
    """One line, on which the last semicolon is the only one."""
    what, fix = (" ".join(text.replace(";", ",").split()) for text in (error.what, error.fix))
    os.write(2, f"\nedgeface: {what[:600]}; {fix[:300]}\n".encode())


def asked(_signal: int, _frame: Any) -> NoReturn:
    """Leave by way of whatever waits, so that the camera is closed."""
    raise Asked


def size(text: str) -> tuple[int, int]:
    """Width and height of ``1280x720``."""
    width, height = text.split("x")
    return int(width), int(height)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true", help="print the cameras as JSON and end")
    parser.add_argument("--camera", type=int, default=0, help="which of those that are not on USB, from 0")
    parser.add_argument("--fd", type=int, help="where pictures are written to")
    parser.add_argument("--main", type=size, help="WIDTHxHEIGHT")
    parser.add_argument("--lores", type=size, help="WIDTHxHEIGHT; without it there is no second stream")
    parser.add_argument("--fps", type=float)
    parser.add_argument("--wait", type=float, help="seconds without a picture after which the camera is given up")
    return parser.parse_args()


def main() -> int:
    """Run until the camera, the pipe or somebody ends it."""
    args = parse()
    signal.signal(signal.SIGTERM, asked)
    try:
        picamera2 = load()
        if args.list:
            sys.stdout.write(json.dumps(cameras(picamera2), default=str) + "\n")
            return 0
        os.set_blocking(args.fd, False)
        camera = start(picamera2, args)
    except CameraError as error:
        say(error)
        return 1
    try:
        pump(picamera2, camera, args)
    except CameraError as error:
        say(error)
        # The reader hears of it now, whatever closing does.
        os.close(args.fd)
        leave(camera, 1)
    except (BrokenPipeError, Asked):
        leave(camera, 0)
    except Exception as error:  # picamera2 and libcamera raise what they like
        say(CameraError(f"picamera2 failed: {words(error)}", "it is started again"))
        leave(camera, 1)


if __name__ == "__main__":
    sys.exit(main())
