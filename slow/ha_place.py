"""A real Home Assistant and a real Mosquitto on a loopback of their own: installed, configured, started, asked.

Home Assistant is installed into a virtual environment with its own constraints, and with what it would fetch at run
time for its MQTT integration. It runs without a frontend, a recorder or a network: in a network namespace with nothing
but a loopback, since it announces itself on every interface. Needs root, `unshare`, `ip` and Mosquitto.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

HTTP_PORT, MQTT_PORT = 28123, 28883
INSIDE = "EDGEFACE_SLOW_INSIDE"
START_S, PATIENCE_S = 900.0, 180.0
"""For a start, and for whatever else is waited for: bounds against waiting for ever, no measures."""
RESTARTED = 100
"""What Home Assistant exits with when it is to be started again."""
FIND = """
import json, sys
from importlib.util import find_spec
from pathlib import Path
folder = Path(find_spec("homeassistant").submodule_search_locations[0])
# Its MQTT integration imports hassio's code.
wanted = [one for name in ("mqtt", "hassio")
          for one in json.loads((folder / "components" / name / "manifest.json").read_text()).get("requirements", [])]
print(json.dumps([str(folder / "package_constraints.txt"), wanted]))
"""
YAML = """\
homeassistant: {{name: test, latitude: 52.0, longitude: 5.0, elevation: 0, unit_system: metric, time_zone: UTC}}
http: {{server_host: 127.0.0.1, server_port: {port}}}
frontend: {{development_repo: {folder}}}
api:
config:
websocket_api:
logger: {{default: warning}}
"""


def enter_namespace() -> None:
    """Start this program again in a network namespace with nothing but a loopback; returns in there."""
    if not os.environ.get(INSIDE):
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, "-m", "slow.home_assistant", *sys.argv[1:]])
    # Its mDNS wants a route for multicast.
    for words in ("link set lo multicast on", "link set lo up", "route add 224.0.0.0/4 dev lo"):
        subprocess.run(["ip", *words.split()], check=True)


def until(true: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """The first true answer, or the last one."""
    end_s = time.monotonic() + seconds
    while not (answer := true()) and time.monotonic() < end_s:
        time.sleep(0.5)
    return answer


class Place:
    """A folder with one version of Home Assistant.

    Parameters
    ----------
    folder : of environment and configuration
    version : of Home Assistant
    python : interpreter that it accepts
    root : of another system in which it lives, ``folder`` being inside; None: this one
    """

    def __init__(self, folder: Path, *, version: str, python: str, root: Path | None = None) -> None:
        self.version = version
        self._folder = folder
        self._python = python
        self._root = root
        self._hass: subprocess.Popen[bytes] | None = None
        self._broker: subprocess.Popen[bytes] | None = None
        self._seen = 0
        # Without compiled files each start takes seconds more.
        self._environ = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}

    def install(self) -> None:
        """Install it where it is not yet there."""
        if (self._folder / "installed").exists():
            return
        self._run(self._python, "-m", "venv", self._inside("venv"))
        pip = (self._inside("venv/bin/python"), "-m", "pip", "install", "--quiet", "--no-compile")
        self._run(*pip, "--no-deps", f"homeassistant=={self.version}")
        constraints, wanted = json.loads(self._run(self._inside("venv/bin/python"), "-c", FIND))
        self._run(*pip, "-c", constraints, f"homeassistant=={self.version}", *wanted)
        (self._folder / "installed").touch()

    def start(self) -> None:
        """Start broker and Home Assistant with a fresh configuration; returns when it is running."""
        self._token = self._configure()
        self.start_broker()
        self._log.write_text("")
        self._start_hass()
        assert until(self.running, START_S), f"Home Assistant did not start; see {self._log}"

    def stop(self) -> None:
        """Stop both."""
        for child in (self._hass, self._broker):
            if child is not None and child.poll() is None:
                child.terminate()
                child.wait(60)

    def start_broker(self) -> None:
        """Start a broker that remembers nothing."""
        config = self._folder / "mosquitto.conf"
        config.write_text(f"listener {MQTT_PORT} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
        path = f"{os.environ.get('PATH', '')}:/usr/sbin"
        self._broker = subprocess.Popen(
            ["mosquitto", "-c", str(config)], stderr=subprocess.DEVNULL, env={**os.environ, "PATH": path}
        )

    def kill_broker(self) -> None:
        """Kill the broker, and all that it retains."""
        assert self._broker is not None
        self._broker.kill()
        self._broker.wait()

    def running(self) -> bool:
        """Whether Home Assistant runs; one that has asked for a restart gets it."""
        assert self._hass is not None
        if self._hass.poll() == RESTARTED:
            self._start_hass()
        try:
            return bool(self.get("config")["state"] == "RUNNING")
        except (OSError, ValueError):
            return False

    def get(self, path: str) -> Any:
        """Ask over HTTP."""
        return self._http(path)

    def states(self) -> dict[str, dict[str, Any]]:
        """All states by entity id."""
        return {state["entity_id"]: state for state in self.get("states")}

    def ask(self, *kinds: str) -> list[Any]:
        """Ask over the websocket, one answer for each kind of question."""
        with connect(f"ws://127.0.0.1:{HTTP_PORT}/api/websocket", max_size=None) as socket:
            json.loads(socket.recv())
            _tell(socket, {"type": "auth", "access_token": self._token})
            return [_tell(socket, {"id": number, "type": kind})["result"] for number, kind in enumerate(kinds, 1)]

    def restart(self) -> None:
        """Restart Home Assistant by its own service."""
        # The connection may end before the answer.
        with contextlib.suppress(OSError, ValueError):
            self._http("services/homeassistant/restart", {})
        assert self._hass is not None
        hass = self._hass
        assert until(lambda: hass.poll() is not None), "it did not stop"
        assert until(self.running, START_S), "it did not come back"

    def act(self, service: str, entity: str) -> None:
        """Do something with an entity, such as ``switch/turn_on``."""
        self._http(f"services/{service}", {"entity_id": entity})

    def reload_mqtt(self) -> None:
        """Reload the MQTT integration."""
        entry = next(one["entry_id"] for one in self.get("config/config_entries/entry") if one["domain"] == "mqtt")
        self._http(f"config/config_entries/entry/{entry}/reload", {})

    def complaints(self) -> list[str]:
        """Warnings and errors about MQTT and templates since the last call."""
        text = self._log.read_text(errors="replace")
        new, self._seen = text[self._seen :], len(text)
        ours = ("components.mqtt", "helpers.template", "components.sensor", "components.binary_sensor")
        return [
            line
            for line in new.splitlines()
            if (" WARNING " in line or " ERROR " in line) and any(word in line for word in ours)
        ]

    @property
    def _log(self) -> Path:
        return self._folder / "ha.log"

    def _inside(self, name: str) -> str:
        """A path below the folder as its own system sees it."""
        path = self._folder / name
        return str(path) if self._root is None else f"/{path.relative_to(self._root)}"

    def _command(self, *words: str) -> list[str]:
        return [*(["chroot", str(self._root)] if self._root is not None else []), *words]

    def _run(self, *words: str) -> str:
        done = subprocess.run(self._command(*words), check=True, stdout=subprocess.PIPE, env=self._environ, text=True)
        return done.stdout

    def _start_hass(self) -> None:
        words = ("venv/bin/hass", "config")
        hass, config = (self._inside(word) for word in words)
        with self._log.open("ab") as log:
            self._hass = subprocess.Popen(
                self._command(hass, "-c", config, "--skip-pip", "--log-no-color"),
                stdout=log,
                stderr=log,
                env=self._environ,
            )

    def _http(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{HTTP_PORT}/api/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def _configure(self) -> str:
        """Write a configuration with one user and the broker, in forms that every version takes over; its token."""
        config = self._folder / "config"
        subprocess.run(["rm", "-rf", str(config)], check=True)
        (config / ".storage").mkdir(parents=True)
        (config / "no_frontend" / "hass_frontend").mkdir(parents=True)
        yaml = YAML.format(port=HTTP_PORT, folder=self._inside("config/no_frontend"))
        (config / "configuration.yaml").write_text(yaml)
        user, refresh, key = (secrets.token_hex(size) for size in (16, 16, 64))
        stored: dict[str, tuple[int, dict[str, Any]]] = {
            "auth": (1, _auth(user, refresh, key)),
            "onboarding": (4, {"done": ["user", "core_config", "analytics", "integration"]}),
            "core.config_entries": (1, {"entries": [_mqtt_entry()]}),
        }
        for name, (version, data) in stored.items():
            text = json.dumps({"version": version, "minor_version": 1, "key": name, "data": data})
            (config / ".storage" / name).write_text(text)
        return _token(refresh, key)


def _tell(socket: ClientConnection, message: Mapping[str, Any]) -> Any:
    socket.send(json.dumps(message))
    return json.loads(socket.recv(timeout=60))


def _mqtt_entry() -> dict[str, Any]:
    return {
        "entry_id": secrets.token_hex(16),
        "version": 1,
        "domain": "mqtt",
        "title": "broker",
        "source": "user",
        "data": {"broker": "127.0.0.1", "port": MQTT_PORT, "protocol": "5"},
    }


def _auth(user: str, refresh: str, key: str) -> dict[str, Any]:
    return {
        "users": [
            {
                "id": user,
                "group_ids": ["system-admin"],
                "is_owner": True,
                "is_active": True,
                "name": "test",
                "system_generated": False,
                "local_only": False,
            }
        ],
        "groups": [{"id": "system-admin", "name": "Administrators"}],
        "credentials": [],
        "refresh_tokens": [
            {
                "id": refresh,
                "user_id": user,
                "client_id": None,
                "client_name": "test",
                "client_icon": None,
                "token_type": "long_lived_access_token",
                "created_at": "2025-01-01T00:00:00+00:00",
                "access_token_expiration": 864000.0,
                "token": secrets.token_hex(64),
                "jwt_key": key,
                "last_used_at": None,
                "last_used_ip": None,
                "version": "2025.1.0",
            }
        ],
    }


def _token(refresh: str, key: str) -> str:
    """A JSON Web Token, HS256, as Home Assistant makes its long-lived ones."""
    now = int(time.time())
    parts = ({"alg": "HS256", "typ": "JWT"}, {"iss": refresh, "iat": now - 5, "exp": now + 864_000})
    signed = b".".join(_url64(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return (signed + b"." + _url64(hmac.new(key.encode(), signed, hashlib.sha256).digest())).decode()


def _url64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
