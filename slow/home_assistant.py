"""The messages of discovery in the real Home Assistant: what it made of them, attribute by attribute.

::

    scripts/slow home-assistant --version 2025.4.4 --python python3.13
    scripts/slow home-assistant --version 2026.11.0 --python python3.14 --root DIR     a system with that Python

Home Assistant drops keys that it does not know without a word, so it does not do to look for warnings. A daemon with a
pretended camera runs beside it; each line of the result is one thing that was compared, ``ok`` or ``FAIL``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from pretend_camera import CONFIG, PretendCamera  # noqa: E402  the tests' own

from edgeface.cli.common import Parser  # noqa: E402
from slow.ha_place import MQTT_PORT, Place, enter_namespace, until  # noqa: E402

REMOVED_S = 5.0
NODE, DOOR, DESK = "edgeface_hall", "edgeface_hall_camera_door", "edgeface_hall_camera_desk"
MISSING = {"unavailable", None}
PLACES = """\
[[cameras.door.lines]]
name = "entry"
from = [0.6, 1.0]
to = [0.6, 0.0]
[[cameras.door.zones]]
name = "{zone}"
shape = [0.0, 0.0, 1.0, 1.0]
"""
LINE, ZONE, RENAMED = f"{DOOR}_line_entry", f"{DOOR}_zone_all", f"{DOOR}_zone_whole"
STEPS, STEP_S = range(0, 161, 32), 0.6
"""A face goes through the line, so many pixels to the right each time; long enough for two pictures."""
COMMANDS = "[commands]\nenabled = true\n"


class Checks:
    """Counts and prints."""

    def __init__(self) -> None:
        self.lines: list[tuple[bool, str]] = []

    def __call__(self, what: str, good: object, seen: object = "") -> None:
        """Note one thing, with what was seen where it is not good."""
        self.lines.append((bool(good), what))
        print("ok  " if good else "FAIL", what, "" if good else f"[{seen}]", flush=True)

    def compare(self, what: str, wanted: object, seen: object) -> None:
        """Hold one value against another."""
        self(what, wanted == seen, f"wanted {wanted!r}, got {seen!r}")


class Daemon:
    """``edgeface run`` with a camera that shows what it is told to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.camera = PretendCamera(folder / "camera")
        self._config = folder / "edgeface.toml"
        self.environ = {
            **os.environ,
            "PATH": f"{self.camera.programs}:{os.environ['PATH']}",
            "STATE_DIRECTORY": str(folder / "state"),
            "PYTHONPATH": str(ROOT),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, *cameras: str, zone: str | None = "all") -> None:
        """Write the configuration; the first camera looks at the scene, others are not there.

        Without a ``zone`` there is no line either.
        """
        sources = [CONFIG, *["source = 9\n"] * (len(cameras) - 1)]
        tables = [f"[cameras.{name}]\n{source}" for name, source in zip(cameras, sources, strict=True)]
        tables += [PLACES.format(zone=zone)] if zone is not None else []
        head = f'[node]\nid = "hall"\n[mqtt]\nport = {MQTT_PORT}\n{COMMANDS}'
        self._config.write_text(head + "".join(tables))

    def start(self) -> None:
        """Start it."""
        with (self._folder / "edgeface.log").open("ab") as log:
            words = [sys.executable, "-m", "edgeface", "run", "--config", str(self._config)]
            self.process = subprocess.Popen(words, stderr=log, env=self.environ, cwd=self._folder)

    def reload(self) -> None:
        """Let it read its configuration again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def reloads(self) -> int:
        """How many configurations it took over."""
        return (self._folder / "edgeface.log").read_text().count("read again and is in force")

    def heard_of_restart(self) -> bool:
        """Whether it said why it doesn't restart: too soon after its start; else it has ended for its manager."""
        assert self.process is not None
        if self.process.poll() is not None:
            self.start()
            return True
        return "command/restart: the program was started" in (self._folder / "edgeface.log").read_text()

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def messages(self) -> dict[str, dict[str, Any]]:
        """What it announces, by the id of the device."""
        words = [sys.executable, "-m", "edgeface", "discovery", "print", "--json", "--config", str(self._config)]
        printed = subprocess.run(words, check=True, stdout=subprocess.PIPE, env=self.environ, cwd=self._folder)
        lines = [json.loads(line) for line in printed.stdout.splitlines()]
        return {line["topic"].split("/")[2]: line["payload"] for line in lines}

    def remove(self) -> None:
        """Take everything back from Home Assistant by hand."""
        words = [sys.executable, "-m", "edgeface", "discovery", "remove", "--config", str(self._config)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=self.environ, cwd=self._folder)


def entities(place: Place) -> dict[str, dict[str, Any]]:
    """Registry entries of MQTT by unique id."""
    (listed,) = place.ask("config/entity_registry/list")
    return {str(one["unique_id"]): one for one in listed if one["platform"] == "mqtt"}


def devices(place: Place) -> dict[str, dict[str, Any]]:
    """Devices of MQTT by our id."""
    (listed,) = place.ask("config/device_registry/list")
    return {own: one for one in listed for domain, own in one["identifiers"] if domain == "mqtt"}


def value_of(place: Place, unique_id: str) -> Any:
    """State of an entity by its unique id."""
    entry = entities(place).get(unique_id)
    return None if entry is None else place.states().get(entry["entity_id"], {}).get("state")


def wanted_ids(messages: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Unique ids of everything that is announced and not taken back."""
    parts = (one for message in messages.values() for one in message["components"].values())
    return {one["unique_id"] for one in parts if "unique_id" in one}


def compare_devices(check: Checks, place: Place, messages: Mapping[str, Mapping[str, Any]]) -> None:
    """Hold every device against its message."""
    made = devices(place)
    for own, message in messages.items():
        wanted, seen = message["device"], made.get(own, {})
        for key in ("name", "manufacturer", "model", "sw_version"):
            check.compare(f"{own}: {key}", wanted[key], seen.get(key))
        via = made.get(wanted.get("via_device", ""), {}).get("id")
        check.compare(f"{own}: via_device", via, seen.get("via_device_id"))


def compare_entities(check: Checks, place: Place, messages: Mapping[str, Mapping[str, Any]]) -> None:
    """Hold every entity, attribute by attribute, against its component."""
    made, states, own_devices = entities(place), place.states(), devices(place)
    check.compare("unique ids", wanted_ids(messages), set(made))
    for own, message in messages.items():
        for key, wanted in message["components"].items():
            if "unique_id" not in wanted:
                continue
            entry = made.get(wanted["unique_id"], {})
            what = f"{own}: {key}"
            check.compare(f"{what}: device", own_devices.get(own, {}).get("id"), entry.get("device_id"))
            check.compare(f"{what}: category", wanted.get("entity_category"), entry.get("entity_category"))
            off = wanted.get("enabled_by_default") is False
            check.compare(f"{what}: off at first", "integration" if off else None, entry.get("disabled_by"))
            check.compare(f"{what}: name", wanted["name"], entry.get("original_name"))
            entity = str(entry.get("entity_id", ""))
            slug = f"{message['device']['name']} {wanted['name']}".lower().replace(" ", "_")
            check.compare(f"{what}: entity id", f"{wanted['platform']}.{slug}", entity)
            if off:
                continue
            attributes = states.get(entity, {}).get("attributes", {})
            for name in ("device_class", "state_class", "unit_of_measurement", "options", "event_types", "icon"):
                check.compare(f"{what}: {name}", wanted.get(name), attributes.get(name))


def everything_there(place: Place, messages: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether every entity that is on has a value."""
    made, states = entities(place), place.states()
    on = [made[own] for own in wanted_ids(messages) if own in made and made[own]["disabled_by"] is None]
    known = [states.get(entry["entity_id"], {}).get("state") for entry in on]
    return set(made) >= wanted_ids(messages) and not MISSING & set(known)


def examine(check: Checks, place: Place, daemon: Daemon) -> None:
    """Everything that is asked of both, in the order of a life."""
    until(lambda: f"{DOOR}_count" in entities(place) and value_of(place, f"{DOOR}_count") == "0")
    messages = daemon.messages()
    compare_devices(check, place, messages)
    compare_entities(check, place, messages)

    def is_so(key: str, value: str, device: str = DOOR) -> None:
        seen = until(lambda: value_of(place, f"{device}_{key}") == value)
        check(f"{device}: {key} becomes {value}", seen, value_of(place, f"{device}_{key}"))

    for key, value in (("occupancy", "off"), ("count", "0"), ("age", "unknown"), ("expression", "unknown")):
        is_so(key, value)
    is_so("connection", "on")
    is_so("problem", "on", NODE)
    told = place.states()[entities(place)[f"{NODE}_problem"]["entity_id"]]["attributes"].get("problems")
    check.compare("the problem says which", ["camera desk is away"], told)
    daemon.camera.show("face")
    for key, value in (("occupancy", "on"), ("count", "1"), ("visits", "1"), ("looking", "1")):
        is_so(key, value)
    for key, value in (("occupancy", "on"), ("count", "1"), ("entries", "1")):
        is_so(key, value, ZONE)
    is_so("right", "0", LINE)
    check("age is known", until(lambda: (value_of(place, f"{DOOR}_age") or "unknown") not in {"unknown", *MISSING}))
    options = messages[DOOR]["components"]["expression"]["options"]
    check("expression is one of the options", until(lambda: value_of(place, f"{DOOR}_expression") in options))
    event(check, place, "arrived")
    crossing(check, place, daemon)
    is_so("right", "1", LINE)
    daemon.camera.show("empty")
    is_so("occupancy", "off")
    is_so("occupancy", "off", ZONE)
    event(check, place, "left")
    for device, key in ((DOOR, "pause"), (NODE, "expressions")):
        before = value_of(place, f"{device}_{key}")
        check(f"{key} has a state", before in {"on", "off"}, before)
        for word in ("on", "off") if before == "off" else ("off", "on"):
            place.act(f"switch/turn_{word}", entities(place)[f"{device}_{key}"]["entity_id"])
            is_so(key, word, device)
            if device == DOOR:
                is_so("occupancy", "unknown" if word == "on" else "off")
    place.act("button/press", entities(place)[f"{NODE}_restart"]["entity_id"])
    check("the button arrives", until(daemon.heard_of_restart))
    check.compare("no complaint in the log", [], place.complaints())

    for what, action in (
        ("restart of Home Assistant", place.restart),
        ("reload of its MQTT integration", place.reload_mqtt),
        ("restart of the broker, which has forgotten all", lambda: restart_broker(place)),
    ):
        since = dict(entities(place))
        start_s = time.monotonic()
        action()
        back = until(lambda: everything_there(place, messages))
        check(f"all back with values after the {what}", back)
        print(f"     {time.monotonic() - start_s:.1f} s")
        same = {own: entry["entity_id"] for own, entry in entities(place).items()}
        check.compare(
            f"the same entities after the {what}", {own: one["entity_id"] for own, one in since.items()}, same
        )
        is_so("visits", "1")
    # That the broker was gone is its client's to say.
    complaints = [line for line in place.complaints() if "components.mqtt.client" not in line]
    check.compare("no complaint in the log after these", [], complaints)

    removal(check, place, daemon)


def crossing(check: Checks, place: Place, daemon: Daemon) -> None:
    """Somebody goes through the line."""
    for pixels in STEPS:
        daemon.camera.show(f"face+{pixels}")
        time.sleep(STEP_S)
    entity = entities(place)[f"{LINE}_crossing"]["entity_id"]
    check("event in", until(lambda: place.states()[entity]["attributes"].get("event_type") == "in"))


def event(check: Checks, place: Place, kind: str) -> None:
    """What the event entity tells of the latest visit."""
    entity = entities(place)[f"{DOOR}_visit"]["entity_id"]
    is_so = until(lambda: place.states()[entity]["attributes"].get("event_type") == kind)
    attributes = place.states()[entity]["attributes"]
    check(f"event {kind}", is_so, attributes)
    if kind == "left":
        known = {key for key in ("visit", "seconds", "reason", "age", "gender", "expression") if attributes.get(key)}
        check.compare("estimates in the event", {"visit", "seconds", "reason", "age", "gender", "expression"}, known)


def restart_broker(place: Place) -> None:
    """Kill the broker and start an empty one."""
    place.kill_broker()
    time.sleep(1)
    place.start_broker()


def removal(check: Checks, place: Place, daemon: Daemon) -> None:
    """Lines and zones leave the configuration, then a camera; then all is taken back by hand."""
    daemon.configure("door", "desk", zone="whole")
    daemon.reload()
    check("a zone that was renamed is another", until(lambda: RENAMED in devices(place) and ZONE not in devices(place)))
    check("it has its values", until(lambda: value_of(place, f"{RENAMED}_occupancy") == "off"))
    check("its line stays, and what it has counted", value_of(place, f"{LINE}_right") == "1")
    daemon.configure("door", "desk", zone=None)
    daemon.reload()
    check(
        "line and zone that left the configuration are gone", until(lambda: not {LINE, RENAMED} & set(devices(place)))
    )
    check("their camera stays", f"{DOOR}_count" in entities(place))
    daemon.configure("door", zone=None)
    before = daemon.reloads()
    daemon.reload()
    gone_s, in_force_s = timed(lambda: DESK not in devices(place), lambda: daemon.reloads() > before)
    good = gone_s is not None and gone_s <= REMOVED_S
    check(f"a camera that left the configuration is gone within {REMOVED_S:g} s of the signal", good, gone_s)
    print(f"     {_told(gone_s)} after the signal; the configuration was in force after {_told(in_force_s)}")
    check("the others stay", f"{DOOR}_count" in entities(place))
    daemon.stop()
    check("unavailable after a stop", until(lambda: value_of(place, f"{DOOR}_count") == "unavailable"))
    daemon.remove()
    (gone_s,) = timed(lambda: not entities(place) and not {NODE, DOOR} & set(devices(place)))
    check(f"all gone within {REMOVED_S:g} s of `discovery remove`", gone_s is not None and gone_s <= REMOVED_S, gone_s)
    print(f"     {_told(gone_s)}")
    # Home Assistant empties the topic once more for each entity that was never switched on, and wonders at that.
    complaints = [line for line in place.complaints() if "No device components to cleanup" not in line]
    check.compare("no complaint in the log after these", [], complaints)


def timed(*truths: Callable[[], bool]) -> list[float | None]:
    """Seconds until each is so; None: never."""
    start_s = time.monotonic()
    seen: list[float | None] = [None] * len(truths)

    def look() -> bool:
        for number, true in enumerate(truths):
            if seen[number] is None and true():
                seen[number] = time.monotonic() - start_s
        return None not in seen

    until(look)
    return seen


def _told(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def main() -> int:
    """Install, start, compare; 1 where something differs."""
    parser = Parser(prog="scripts/slow home-assistant", description=__doc__.split("\n")[0])
    parser.add_argument("--version", required=True, help="of Home Assistant")
    parser.add_argument("--python", default="python3", help="interpreter that this version accepts")
    parser.add_argument("--root", type=Path, help="another system's root to run it in (as root, by chroot)")
    parser.add_argument("--folder", type=Path, help="where it is installed; default: .cache, or in the other root")
    args = parser.parse_args()
    folder = (args.folder or (args.root or ROOT / ".cache") / f"home-assistant-{args.version}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(folder, version=args.version, python=args.python, root=args.root)
    if "EDGEFACE_SLOW_INSIDE" not in os.environ:
        place.install()  # the only part that needs a network
    enter_namespace()
    work = folder / "edgeface"
    subprocess.run(["rm", "-rf", str(work)], check=True)
    work.mkdir()
    # Who is started by nohup has it ignored, and the daemon would inherit that.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    daemon, check = Daemon(work), Checks()
    start_s = time.monotonic()
    try:
        place.start()
        daemon.configure("door", "desk")
        daemon.start()
        examine(check, place, daemon)
    finally:
        daemon.stop()
        place.stop()
    good = sum(ok for ok, _ in check.lines)
    print(
        f"Home Assistant {args.version}, {datetime.now(timezone.utc):%Y-%m-%d}: "
        f"{good} of {len(check.lines)} as announced, {time.monotonic() - start_s:.0f} s"
    )
    return int(good < len(check.lines))


if __name__ == "__main__":
    sys.exit(main())
