"""Why systemd could not even start the program: its own exit codes, of which the journal shows a word."""

from __future__ import annotations

from collections.abc import Mapping

from edgeface.diagnosis.node import UNIT

_AGAIN = f"then sudo systemctl restart {UNIT}"
_EXITS = {
    "203": ("its program cannot be run", f"install it again, {_AGAIN}"),
    "216": (
        "a group of its unit is not in this system",
        f"sudo systemctl edit {UNIT}: [Service], SupplementaryGroups= and then SupplementaryGroups=video, {_AGAIN}",
    ),
    "226": (
        "this system gives it no namespaces, as a container without rights",
        "let the container nest (Proxmox: Options, Features, nesting), and start it again",
    ),
    "238": (
        "its state directory cannot be set up",
        f"/var/lib/{UNIT} has to be a link to /var/lib/private/{UNIT}: move what is in the way aside, {_AGAIN}",
    ),
    "243": (
        "its secrets cannot be handed over",
        f"the unit needs the folder, even an empty one: sudo install -d -m 0700 /etc/{UNIT}/credentials, {_AGAIN}",
    ),
}


def not_started(state: Mapping[str, str]) -> tuple[str, str] | None:
    """What keeps systemd from starting the service, and the fix, by what it says; None where the program ran."""
    if state.get("ActiveState") not in {"failed", "activating"}:
        return None
    return _EXITS.get(state.get("ExecMainStatus", ""))
