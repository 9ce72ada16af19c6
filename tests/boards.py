"""A board made of files: what the kernel says of its heat and voltage, to be changed while a daemon runs."""

from __future__ import annotations

from pathlib import Path

from edgeface import board

ZONE = "sys/class/thermal/thermal_zone0"


class PretendBoard:
    """A board with one sensor of heat and a Raspberry Pi's firmware; ``root`` is where its files begin."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.heat(40.0)
        self._lay(f"{ZONE}/type", "cpu-thermal")

    def heat(self, degrees: float, throttled: str = "0") -> None:
        """So many degrees Celsius, and the word of the firmware, hexadecimal."""
        self._lay(f"{ZONE}/temp", f"{degrees * 1000:.0f}")
        self._lay(board.THROTTLED, throttled)

    def _lay(self, name: str, text: str) -> None:
        """Whole at once: a daemon reads it meanwhile."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_text(f"{text}\n")
        part.replace(path)
