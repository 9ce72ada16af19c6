"""``edgeface cameras``: what could be a source on this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from edgeface.config import Camera
from edgeface.errors import SourceError

if TYPE_CHECKING:
    from edgeface.sources.child import Recipe
    from edgeface.sources.modes import Device, Mode


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command."""
    text = "list cameras with their modes"
    parser = subparsers.add_parser("cameras", help=text, description=text)
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print devices, their lasting names and modes, and the programs that other cameras need."""
    from edgeface.sources import modes

    devices = modes.list_devices()
    recipes = _recipes()
    if args.json:
        programs = {recipe.name: recipe.program for recipe in recipes}
        found, problem = _picamera2()
        listed = {
            "devices": [dataclasses.asdict(device) for device in devices],
            "programs": programs,
            "picamera2": {"cameras": found, "problem": problem},
        }
        print(json.dumps(listed, indent=2))
        return 0
    if not devices:
        print("no V4L2 camera found (USB cameras appear as /dev/video0)")
    for device in devices:
        _print_device(device)
    for recipe in recipes:
        print(f"{recipe.name}: {recipe.program or f'{recipe.programs[0]} is not installed; {recipe.missing}'}")
    found, problem = _picamera2()
    print(f"picamera2: {problem or ', '.join(found) or 'libcamera finds no camera'}")
    ribbons = [name for name in found if "/usb" not in name]
    for number, name in enumerate(ribbons if len(ribbons) > 1 else ()):
        print(f'  source = "picamera2:{number}"  {name}')
    return 0


def _recipes() -> tuple[Recipe, ...]:
    from edgeface.sources.pipe import csi, picamera

    return picamera(Camera(source="picamera")), csi(Camera(source="csi"))


def _picamera2() -> tuple[list[str], str | None]:
    """Cameras of picamera2, and why there are none to be told of."""
    from edgeface.sources.picamera2_pipe import list_cameras

    try:
        return list_cameras(), None
    except SourceError as error:
        return [], str(error)


def _print_device(device: Device) -> None:
    print(f"{device.path}  {device.problem or f'{device.name} ({device.driver})'}")
    for link in device.links:
        print(f"  source = {json.dumps(link)}")
    for mode in device.modes:
        print(f"  {_format_mode(mode)}")


def _format_mode(mode: Mode) -> str:
    size = f"{'up to ' if mode.stepwise else ''}{mode.width}x{mode.height}"
    rates = " ".join(f"{rate:g}" for rate in mode.fps)
    return f"{mode.fourcc}  {size}{f'  {rates} fps' if rates else ''}"
