"""What the documents say is there: links, commands, options, configuration keys, the example message."""

from __future__ import annotations

import argparse
import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edgeface_deb.targets import targets

from edgeface.cli.main import build_parser
from edgeface.config import load_config, parse_override
from edgeface.diagnosis.checks import CHECKS
from edgeface.events import KINDS, Kind, VisitMessage, decode, schemas

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/install").glob("*.md")),
    *sorted((ROOT / "models").glob("*.md")),
    *sorted((ROOT / "packaging").glob("*/README.md")),
]
INSTALL = ("pi", "pc", "jetson", "first-evening")
page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def commands(text: str) -> Iterator[list[str]]:
    """Words after ``edgeface`` in lines of code, up to the remark that two spaces set off."""
    blocks = re.findall(r"```(?:\w*)\n(.*?)```", text, flags=re.DOTALL)
    blocks += ["\n".join(re.findall(r"^    (\S.*)$", text, flags=re.MULTILINE))]
    for line in "\n".join(blocks).splitlines():
        match = re.match(r"(?:\$ )?(?:sudo )?(?:\S*/)?edgeface ((?:[^ ]+ ?)+)", line.strip())
        if match:
            yield match[1].split()


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


@page
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [t for t in targets if t and "://" not in t and not (path.parent / t).exists()]
    assert missing == []


@page
def test_scripts_exist(path: Path) -> None:
    named = set(re.findall(r"(?<![\w/])scripts/[a-z]+(?:\.py)?", path.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


@page
def test_commands_and_options_exist(path: Path) -> None:
    for words in commands(path.read_text(encoding="utf-8")):
        parser = build_parser()
        while words and words[0] in subcommands(parser):
            parser = subcommands(parser)[words.pop(0)]
        assert not subcommands(parser) or words[:1] == ["--version"], f"{path.name}: no command in {words}"
        known = set(parser._option_string_actions)
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        assert [option for option in options if option not in known] == [], f"{path.name}: {words}"
        for before, word in itertools.pairwise(words):
            if before == "--set" and "..." not in word:
                load_config(overrides=dict([parse_override(word)]))


def test_the_pages_for_newcomers_are_short_and_in_the_table() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## More\n")[2]
    for name in INSTALL:
        text = (ROOT / "docs/install" / f"{name}.md").read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 120, name
        assert f"](docs/install/{name}.md)" in table, name


@page
def test_packages_are_named_as_the_build_names_them(path: Path) -> None:
    ends = {target.file("0.0.0", 1).removeprefix("edgeface_0.0.0-1~") for target in targets()}
    named = re.findall(r"edgeface_[\d.]+-\d+~(\S+?\.deb)", path.read_text(encoding="utf-8"))
    assert [end for end in named if end not in ends] == []


def texts_of_the_program() -> list[str]:
    """Its string literals; of one with values in it the pieces between them."""
    trees = [ast.parse(path.read_bytes()) for path in sorted((ROOT / "edgeface").rglob("*.py"))]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_what_the_doctor_says_is_what_it_says() -> None:
    """The words in the table are the program's; ``...`` stands for values."""
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (`.+?) \| [^|]+ \|$", text, flags=re.MULTILINE)
    assert {check for check, _ in rows} == {check.name for check in CHECKS}
    known = texts_of_the_program()
    said = [word for _, cell in rows for word in re.findall(r"`([^`]+)`", cell)]
    pieces = {piece.strip() for word in said for piece in word.split("...") if piece.strip()}
    assert sorted(piece for piece in pieces if not any(piece in one for one in known)) == []


def test_there_are_commands_to_check() -> None:
    assert len(list(commands((ROOT / "README.md").read_text(encoding="utf-8")))) >= 4


def test_the_readme_shows_a_real_message() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
    message = decode("visits", example.encode())
    assert isinstance(message, VisitMessage)


def test_the_documents_speak_of_the_project_alone() -> None:
    """No path of somebody's machine; each page ends with a newline."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(root|home/\w+|work)/", text), path
        assert text.endswith("\n"), path


def test_the_glossary_names_code_that_is_there() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!term)([^|]+) \| [^|]+ \| ([^|]+) \|$", text, flags=re.MULTILINE)
    assert len(rows) >= 40
    assert [term for term, place in rows if not (ROOT / place.strip("`")).exists()] == []


def said_since(text: str, head: str) -> dict[str, str]:
    """The names in the first cells of the tables that begin with ``head``, each with its last cell."""
    said: dict[str, str] = {}
    for table in re.findall(rf"^\| {head} \|.*\| since \|\n\|[-|]+\|\n((?:\|.*\|\n)+)", text, flags=re.MULTILINE):
        for row in table.splitlines():
            cells = row.strip("|").split(" | ")
            said |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells[-1].strip())
    return said


def rows_of(text: str, kind: str) -> dict[str, str]:
    """The rows of one kind's table by the names in their first cells."""
    section = re.split(r"\n##", text.partition(f"\n### {kind}\n")[2])[0]
    rows = re.findall(r"^\| `.*$", section, flags=re.MULTILINE)
    return {name: row for row in rows for name in re.findall(r"`([^`]+)`", row.strip("|").split(" | ")[0])}


def unnamed(schema: Any, row: str, *, parts: dict[str, Any], known: dict[str, str]) -> set[str]:
    """Properties below a schema that ``row`` does not name; ``known`` are rows of fields that come again."""
    if isinstance(schema, list):
        return {name for one in schema for name in unnamed(one, row, parts=parts, known=known)}
    if not isinstance(schema, dict):
        return set()
    if "$ref" in schema:
        return unnamed(parts[schema["$ref"].rpartition("/")[2]], row, parts=parts, known=known)
    found = unnamed([schema[key] for key in schema if key != "properties"], row, parts=parts, known=known)
    for name, inner in schema.get("properties", {}).items():
        found |= set() if f"`{name}`" in row else {name}
        found |= unnamed(inner, row + known.get(name, ""), parts=parts, known=known)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_within_a_field_is_named_in_its_row(kind: Kind) -> None:
    text = (ROOT / "docs" / "mqtt.md").read_text(encoding="utf-8")
    schema, rows = schemas()[kind], rows_of(text, kind)
    known = rows_of(text, "state") | rows_of(text, "visits")
    missing = {
        name: unnamed(inner, rows[name] + known.get(name, ""), parts=schema.get("$defs", {}), known=known)
        for name, inner in schema["properties"].items()
        if name in rows
    }
    assert {name: words for name, words in missing.items() if words} == {}


def test_every_topic_and_field_says_since_when_it_is_there() -> None:
    text = (ROOT / "docs" / "mqtt.md").read_text(encoding="utf-8")
    topics = said_since(text, "topic")
    assert {topic.rpartition("/")[2] for topic in topics} >= {*KINDS, "availability"}
    envelope = said_since(text[: text.index("\n### visits")], "field")
    told = [topics, envelope]
    for kind, schema in schemas().items():
        _, _, section = text.partition(f"\n### {kind}\n")
        fields = said_since(re.split(r"\n##", section)[0], "field")
        assert set(schema["properties"]) - set(envelope) <= set(fields), kind
        assert set(fields) <= set(schema["properties"]), f"{kind} has no such field"
        told.append(fields)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for version in {since for said in told for since in said.values()}:
        assert re.search(rf"^## {re.escape(version)}\b", changelog, flags=re.MULTILINE), version
