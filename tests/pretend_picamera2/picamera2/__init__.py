"""Stands in for picamera2 0.3.38: its queue of jobs, its buffers, its errors, and both its traps.

`picamera2_cases.py` holds it against the real one. ``PRETEND_PICAMERA2`` in the environment is JSON: ``main`` and
``lores``, files with a picture as it lies in memory; ``format``, ``padding`` (bytes after each row), ``range``; and
what goes wrong: ``import``, ``cameras``, ``open``, ``configure``, ``silent_after`` pictures, ``die_after``, ``stuck``
(a stop that the kernel never ends), ``say`` (libcamera's words when it falls silent).
"""

import concurrent.futures
import json
import os
import threading
import time
from pathlib import Path

import libcamera

SETTINGS = json.loads(os.environ.get("PRETEND_PICAMERA2", "{}"))
FPS = SETTINGS.get("fps", 50.0)
CAMERAS = [{"Model": "imx708", "Id": "/base/soc/i2c0mux/i2c@1/imx708@1a", "Location": 2, "Rotation": 180, "Num": 0}]

if SETTINGS.get("import") == "numpy":
    raise ValueError("numpy.dtype size changed, may indicate binary incompatibility. Expected 96, got 88")
if SETTINGS.get("import") == "binary":
    raise ModuleNotFoundError("No module named 'libcamera._libcamera'", name="libcamera._libcamera")
if SETTINGS.get("import") == "hangs":
    time.sleep(600)


class Job:
    def __init__(self, functions, signal_function):
        self.functions, self.signal_function = list(functions), signal_function
        self.future = concurrent.futures.Future()

    def execute(self):
        done, result = self.functions[0]()
        if done:
            self.functions.pop(0)
            if not self.future.done():
                self.future.set_result(result)
            if self.signal_function:
                self.signal_function(self)
        return done

    def get_result(self, timeout=None):
        return self.future.result(timeout=timeout)

    def cancel(self):
        self.future.set_exception(concurrent.futures.CancelledError())


class CompletedRequest:
    def __init__(self, camera):
        self.camera, self.count, self.data = camera, 1, {}
        for name in ("main", "lores"):
            stream = camera.camera_config[name]
            if stream is not None:
                picture = Path(SETTINGS.get(name, os.devnull)).read_bytes()
                self.data[name] = bytearray(picture.ljust(stream["framesize"], b"\x80"))
        camera.frames += 1
        self.data["main"][0] = 60 + camera.frames % 100  # a sensor never gives the same picture twice

    def release(self):
        self.count -= 1
        if self.count < 0:
            raise RuntimeError("CompletedRequest: lock now has negative ref_count")
        if self.camera.started:
            self.camera.free += 1
        self.data = {}

    def make_buffer(self, name):
        if name not in self.data:
            raise RuntimeError(f"Stream {name!r} is not defined")
        return bytes(self.data[name])


class MappedArray:
    def __init__(self, request, stream, reshape=True):
        assert not reshape
        self.array = memoryview(request.data[stream])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        del self.array


class Picamera2:
    @staticmethod
    def global_camera_info():
        return SETTINGS.get("cameras", CAMERAS)

    def __init__(self, camera_num=0):
        if camera_num >= len(self.global_camera_info()):
            raise RuntimeError(
                f'No camera number {camera_num} found - use "rpicam-hello --list-cameras" to check connected cameras'
            )
        if SETTINGS.get("open") == "busy":
            try:
                raise RuntimeError("Failed to acquire camera: Device or resource busy")
            except RuntimeError as error:
                raise RuntimeError("Camera __init__ sequence did not complete.") from error
        if SETTINGS.get("open") == "hangs":
            time.sleep(600)
        self.sensor_resolution = (4608, 2592)
        self.camera_properties = {"Model": self.global_camera_info()[camera_num]["Model"]}
        self.camera_controls = {"FrameDurationLimits": (1, 2, 3), "AfMode": (0, 2, 0)}
        self.camera_config, self.started, self.frames, self.free = {}, False, 0, 0
        self.lock, self.jobs, self.ready, self.loop, self.over = threading.RLock(), [], [], None, False

    def create_video_configuration(
        self, main=None, lores=None, raw=None, colour_space=None, buffer_count=6, controls=None
    ):
        streams = {}
        for name, asked, usual in (("main", main or {}, "XBGR8888"), ("lores", lores, "YUV420")):
            for key in asked or ():
                if key not in ("format", "size", "stride", "preserve_ar"):
                    raise ValueError(f"Bad key {key!r}: valid stream configuration keys are (...)")
            streams[name] = None if asked is None else {"format": usual, "size": (1280, 720), **asked}
        return {
            **streams,
            "raw": raw,
            "colour_space": colour_space,
            "buffer_count": buffer_count,
            "controls": controls or {},
        }

    def configure(self, config):
        if self.started:
            raise RuntimeError("Camera must be stopped before configuring")
        if SETTINGS.get("configure") == "memory":
            raise OSError(12, "Cannot allocate memory")
        main, lores = config["main"], config["lores"]
        if lores is not None and (lores["size"][0] > main["size"][0] or lores["size"][1] > main["size"][1]):
            raise RuntimeError("lores stream dimensions may not exceed main stream")
        for name in config["controls"]:
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
        for stream in (main, lores):
            if stream is not None:
                stream["format"] = SETTINGS.get("format", stream["format"])
                width, height = stream["size"] = tuple(SETTINGS.get("size", stream["size"]))
                stream["stride"] = width + SETTINGS.get("padding", 0)
                stream["framesize"] = (stream["stride"] * height * 3 // 2 + 4095) // 4096 * 4096
        if SETTINGS.get("range") == "full":
            config["colour_space"] = libcamera.ColorSpace.Sycc()
        self.camera_config = config

    def camera_configuration(self):
        return self.camera_config

    def start(self):
        os.write(2, b"[0:1] [9] ERROR Virtual virtual.cpp:272 Requested stream role not supported: Raw\n")
        self.free, self.started = self.camera_config["buffer_count"], True
        if self.loop is None:
            self.loop = threading.Thread(target=self._run, daemon=True)
            self.loop.start()

    def _run(self):
        """Event loop and camera in one: a picture for each free buffer, jobs in their order."""
        shown = 0
        while not self.over:
            time.sleep(1 / FPS)
            if shown == SETTINGS.get("die_after", -1):
                os._exit(255)
            silent = 0 <= SETTINGS.get("silent_after", -1) <= shown
            if silent and SETTINGS.get("say"):
                os.write(2, (SETTINGS.pop("say") + "\n").encode())
            with self.lock:
                if self.started and self.free and not silent:
                    self.free -= 1
                    shown += 1
                    self.ready.append(CompletedRequest(self))
                # Jobs wait for pictures; only a stop that stands first does not.
                while self.jobs and (self.ready or self.jobs[0].functions[0] == self._stop) and self.jobs[0].execute():
                    self.jobs.pop(0)
                while len(self.ready) > 1:
                    self.ready.pop(0).release()

    def _dispatch(self, function, wait, signal_function=None):
        job = Job([function], signal_function)
        with self.lock:
            self.jobs.append(job)
        return job if wait is False else job.get_result(timeout=None if wait is True or wait is None else wait)

    def capture_request(self, wait=None, signal_function=None):
        return self._dispatch(lambda: (True, self.ready.pop(0)), wait, signal_function)

    def _stop(self):
        while SETTINGS.get("stuck"):
            time.sleep(1)
        self.started, self.ready = False, []
        return True, None

    def stop(self):
        if self.started:
            self._dispatch(self._stop, True) if self.loop and not self.over else self._stop()

    def cancel_all_and_flush(self):
        with self.lock:
            for job in self.jobs:
                job.cancel()
            self.jobs = []

    def close(self):
        self.over = True
        if self.loop:
            self.loop.join()
        self.stop()
        self.camera_properties = {}
        os.write(2, b"the camera is closed\n")
