"""Real picamera2 on libcamera's virtual camera: what has to be bent, and nothing else.

Two lines in the package's ``__init__.py`` call this: an import before anything else of it, `allocate` at its end. Files
in `FOLDER` make faults, looked for at each picture: ``silent`` (a front end that gives nothing any more), ``die`` (the
process ends), ``stuck`` (a stop that the kernel never ends).

libcamera's virtual pipeline (0.7.1) has no raw stream, gives NV12 in two planes, has no clock, and still walks through
a request's buffers while the program may already reuse it (SIGSEGV in ``VirtualCameraData::processRequest``). So a raw
role that is refused is answered as a viewfinder's, as a webcam's is; buffers come from picamera2's own
`LibcameraAllocator`; and requests are reused and queued by a thread of this module, one per frame time, which is the
clock and keeps the two threads apart. Requests are kept for some frames after the program has dropped them.
"""

# mypy: ignore-errors
# It runs in another Python, which has these libraries.

import collections
import os
import threading
import time
from pathlib import Path

import libcamera

FOLDER = Path("/opt/virtual-camera")
FPS = 15.0

_camera, _request = libcamera.Camera, libcamera.Request
_generate, _queue, _stop = _camera.generate_configuration, _camera.queue_request, _camera.stop
_reuse, _create = _request.reuse, _camera.create_request
_kept = collections.deque(maxlen=64)
_waiting = collections.deque()
_gate = threading.Condition()


def _is(fault):
    return (FOLDER / fault).exists()


def _generate_configuration(self, roles):
    found = _generate(self, roles)
    if found is None:
        view = libcamera.StreamRole.Viewfinder
        found = _generate(self, [view if role == libcamera.StreamRole.Raw else role for role in roles])
    return found


def _create_request(self, *args):
    _kept.append(_create(self, *args))
    return _kept[-1]


def _queue_request(_self, request):
    with _gate:
        _waiting.append((_self, request))
        _gate.notify()


def _stop_camera(self):
    while _is("stuck"):
        time.sleep(0.1)
    with _gate:
        _waiting.clear()
    return _stop(self)


def _clock():
    due = time.monotonic()
    while True:
        due = max(due + 1 / FPS, time.monotonic() - 1 / FPS)
        time.sleep(max(0.0, due - time.monotonic()))
        if _is("die"):
            os._exit(255)
        with _gate:
            while not _waiting:
                _gate.wait()
            if _is("silent"):
                continue
            camera, request = _waiting.popleft()
            if request.status != libcamera.Request.Status.Pending:
                _reuse(request)
            _queue(camera, request)


_camera.generate_configuration = _generate_configuration
_camera.create_request = _create_request
_camera.queue_request = _queue_request
_camera.stop = _stop_camera
_request.reuse = lambda _: None
threading.Thread(target=_clock, name="virtual camera's clock", daemon=True).start()


def allocate(picamera2):
    """Let each camera take its buffers from libcamera's own allocator."""
    from picamera2.allocators import LibcameraAllocator  # noqa: PLC0415  the package is still being imported

    plain = picamera2.__init__

    def with_allocator(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        if getattr(self.allocator, "dmaHeap", None):
            self.allocator.close()
        self.allocator.dmaHeap = None
        self.allocator = LibcameraAllocator(self.camera)

    picamera2.__init__ = with_allocator
