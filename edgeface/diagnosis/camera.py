"""Cameras: there, allowed, and giving pictures; never opened where a daemon may have them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone

from edgeface.config import ONE_DEVICE, Camera, Config, hide_credentials, shared_device
from edgeface.diagnosis.finding import Finding, bad, good, skipped, warning
from edgeface.diagnosis.node import Node
from edgeface.errors import EdgefaceError, SourceError, UsageError

GROUP = "let the user into the group: sudo usermod -aG video $USER, and log in again (the service is in it)"


def cameras(node: Node) -> Iterator[Finding]:
    """Every configured source; a picture of it is asked for where no daemon runs."""
    config = node.config
    if shared := shared_device(config.cameras, os.path.realpath):
        yield warning(f"as it is plugged in now {shared}", fix=ONE_DEVICE)
    for name, camera in config.cameras.items():
        for finding in _camera(node, config, name, camera):
            yield Finding(check="", state=finding.state, what=f"{name}: {finding.what}", fix=finding.fix)


def _camera(node: Node, config: Config, name: str, camera: Camera) -> Iterator[Finding]:
    from edgeface.sources import is_live

    try:
        place = _place(camera)
    except EdgefaceError as error:
        yield bad(error.what, fix=error.fix)
        return
    told = None if node.health is None else node.health.cameras.get(name)
    if node.running is None or not is_live(camera):
        yield _first_frame(config, name, camera)
    elif told is None:
        yield skipped(f"{place}; not opened, for a daemon runs ({node.running})")
    elif (status := node.status_of(name) or told.state) == "starting":
        yield warning(f"{place}; the daemon is opening it", fix="ask again in a few seconds")
    elif status == "running":
        rate = "" if told.fps is None else f" at {told.fps:.1f} frames a second"
        dark = told.brightness is not None and told.brightness < 0.05
        text = f"{place}; the daemon has it, {status}{rate}"
        yield warning(f"{text}, nearly black", fix="take the cap off, or give it light") if dark else good(text)
    elif told.state == "paused":
        yield warning(
            f"{place}; paused by a command, nobody looks",
            fix='to go on, say "on": false on .../command/pause (docs/mqtt.md), or set commands.enabled = false',
        )
    else:
        yield bad(f"{place}; the daemon says it is {status}", fix="see the log: journalctl -u edgeface -n 50")


def _place(camera: Camera) -> str:
    """What the source is, in words, after it was found to be there.

    Raises
    ------
    SourceError, UsageError : it is not, or may not be opened
    """
    from edgeface.sources import SCHEMES, is_live, recipe_of
    from edgeface.sources.v4l2 import device_path

    source = str(camera.source)
    if not is_live(camera):
        return hide_credentials(source)
    if (recipe := recipe_of(camera)) is not None:
        if recipe.program is None:
            raise SourceError(f"{recipe.programs[0]} is not installed", fix=recipe.missing)
        return f"{source} by {recipe.program}"
    if source.startswith(SCHEMES):
        # Cheap cameras serve one stream or two: beside a daemon not even the connection is tried.
        return hide_credentials(source)
    return _device(str(device_path(camera.source).resolve()), str(device_path(camera.source)))


def _device(real: str, shown: str) -> str:
    """A V4L2 device by the kernel's words; asking for its modes takes it from nobody."""
    from edgeface.sources.modes import list_devices

    devices = list_devices()
    found = next((device for device in devices if device.path == real), None)
    if found is None:
        others = ", ".join(device.path for device in devices) or "none"
        raise SourceError(
            f"there is no camera {shown}; cameras here: {others}", fix="plug it in, or see `edgeface cameras`"
        )
    if found.problem is not None:
        denied = "ermission" in found.problem
        raise SourceError(f"{shown}: {found.problem.partition(';')[0]}", fix=GROUP if denied else "end who uses it")
    return f"{shown} is {found.name} with {len(found.modes)} modes"


def _first_frame(config: Config, name: str, camera: Camera) -> Finding:
    from edgeface.people.quality import brightness
    from edgeface.sources import open_source

    try:
        source = open_source(name, camera, limits=config.limits, started_at=datetime.now(timezone.utc))
        with closing(source):
            frame = next(iter(source.frames()), None)
    except (SourceError, UsageError) as error:
        return bad(error.what, fix=error.fix)
    if frame is None:
        return bad(f"{source.description} gives no picture", fix="see `edgeface cameras`")
    height, width = frame.image.shape[:2]
    light = brightness(frame.image, painted=frame.painted)
    text = f"{source.description} gives pictures of {width}x{height}, brightness {light:.2f}"
    return warning(text, fix="take the cap off, or give it light") if light < 0.02 else good(text)
