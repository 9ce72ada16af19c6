"""The MQTT API as a document: written from the types, whole, and true of what is sent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgeface.events import COMMANDS, KINDS, asyncapi
from edgeface.events.bodies import QOS, RETAINED

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "asyncapi.json"
PARSER = ROOT / ".cache" / "asyncapi" / "node_modules" / "@asyncapi" / "parser"


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [one for inner in value.values() for one in references(inner)]
    return [one for inner in value for one in references(inner)] if isinstance(value, list) else []


def test_the_committed_document_is_the_codes() -> None:
    assert json.loads(DOCUMENT.read_text()) == asyncapi(), "run scripts/schemas"


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi()
    found = references(document)
    assert len(found) > 3 * len(KINDS)
    for reference in found:
        place, _, inside = reference.partition("#")
        if place:
            assert (DOCUMENT.parent / place).is_file(), reference
            continue
        value = document
        for key in inside.strip("/").split("/"):
            value = value[key]


def test_every_topic_has_its_parameters_and_is_sent_as_it_says() -> None:
    document = asyncapi()
    commands = {f"command_{name}" for name in COMMANDS}
    assert set(document["channels"]) == {*KINDS, "availability", "doctor", *commands}
    table = (DOCUMENT.parent / "mqtt.md").read_text().partition("\n## Topics\n")[2].partition("\n## ")[0]
    told = {
        re.sub(r"/<?(\w+)>?", r"/\1", topic).removeprefix("/")
        for topic in re.findall(r"^\| `\.\.\.(\S+)`", table, re.M)
    }
    assert told == {
        re.sub(r"[{}]", "", one["address"]).removeprefix("prefix/node/") for one in document["channels"].values()
    }
    for kind, channel in document["channels"].items():
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(channel["parameters"])
        assert channel["address"].startswith("{prefix}/{node}/")
        if kind in commands:
            assert document["operations"][f"receive_{kind}"]["action"] == "receive"
            continue
        operation = document["operations"][f"send_{kind}"]
        assert operation["action"] == "send"
        if kind in KINDS:
            assert operation["bindings"]["mqtt"] == {"qos": QOS[kind], "retain": kind in RETAINED}


def test_the_public_parser_takes_it() -> None:
    """`scripts/asyncapi` gets the parser; the suite itself fetches nothing."""
    if not PARSER.is_dir() or shutil.which("node") is None:
        pytest.skip("the parser of AsyncAPI is not here: run scripts/asyncapi once")
    done = subprocess.run([ROOT / "scripts" / "asyncapi"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    both = len(KINDS) + 2 + len(COMMANDS)
    assert f"{both} channels, {both} messages" in done.stdout
