"""``docs/converting.md``: its commands run, its files are those of its text, its tables name every key there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec
import pytest

from converters.checkpoints.archive import ArchiveError, read_source
from converters.datasets.labelled import DEFAULT, data_folder
from converters.paths import ROOT
from converters.recipes.reading import read_network
from converters.recipes.schema import BundleRecipe, NetworkRecipe, Prepared, Quantize, Taken
from edgeface.bundle import CropRule, Head, Input, Source, State, Time
from edgeface.errors import EdgefaceError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = ROOT / "docs" / "converting.md"
TAKES = ("expression-plain-cnn", "gender-v1")
"""Recipes whose archives the page's first command reads."""
FENCE = re.compile(r"^```(\w*) ?(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d\.\d+e[+-]\d\d")


class Command(NamedTuple):
    """One command of the page and the lines that it shows below it."""

    text: str
    shown: tuple[str, ...]


@cache
def page() -> str:
    return PAGE.read_text("utf-8")


def commands(kind: str) -> Iterator[Command]:
    """Yield the commands of all ``console`` blocks: those that need no labelled data (kind ``""``), or ``data``."""
    for language, words, body in FENCE.findall(page()):
        if language == "console" and words == kind:
            for part in body.split("$ ")[1:]:
                text, *shown = part.splitlines()
                yield Command(text, tuple(shown))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The person's folder with the page's files in it, and the commands of the page on its path."""
    for name in TAKES:
        source = read_network(name)[1].source
        assert source is not None
        try:
            read_source(source)
        except ArchiveError as error:
            pytest.skip(f"the pinned archive is not to be had: {error}")
    folder = tmp_path_factory.mktemp("person")
    for language, _, body in FENCE.findall(page()):
        if language in ("toml", "python"):
            (folder / body.splitlines()[0].removeprefix("# ")).write_text(body, "utf-8")
    programs = tmp_path_factory.mktemp("bin")
    for name, arguments in (("python", ""), ("edgeface", "-m edgeface")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n', "utf-8")
        (programs / name).chmod(0o755)
    return folder


def run(command: Command, folder: Path) -> None:
    programs = next(folder.parent.glob("bin*"))
    environ = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "EDGEFACE_BUILD": str(folder.parent / "build"),
        "EDGEFACE_DATA": os.environ.get("EDGEFACE_DATA") or str(DEFAULT),
    }
    done = subprocess.run(
        ["bash", "-c", command.text], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command.text}\n{done.stdout}\n{done.stderr}"
    said = iter(NUMBER.sub("N", done.stdout).splitlines())
    for line in command.shown:
        assert line.strip() == "..." or line in said, f"{command.text} does not say: {line}\n{done.stdout}"


@pytest.mark.timeout(1800)
def test_every_command_does_what_the_page_shows(folder: Path) -> None:
    for command in commands(""):
        run(command, folder)
    packed = {path.name for path in folder.iterdir()}
    assert {"my-faces.tar", "bundles", "edgeface-out"} <= packed


@pytest.mark.timeout(1800)
def test_the_commands_that_need_faces_run_where_there_are_some(folder: Path) -> None:
    try:
        data_folder(None)
    except EdgefaceError as error:
        pytest.skip(str(error))
    run(next(iter(commands(""))), folder)
    for command in commands("data"):
        run(command, folder)
    assert (folder / "my-expression.ranges.json").is_file()
    kept = list((ROOT / "converters").rglob("*.json"))
    assert not [path for path in kept if "my-" in path.name or b'"my-' in path.read_bytes()], "on record"


def rows(heading: str) -> Iterator[tuple[str, ...]]:
    """Cells of the table below a heading, without its first two lines."""
    section = page().partition(f"\n{heading}\n")[2]
    table = section[section.index("\n|") : section.index("\n\n", section.index("\n|"))]
    for line in table.strip().splitlines()[2:]:
        yield tuple(cell.strip() for cell in line.strip("|").split(" | "))


def keys(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_0-9]+)`", text))


def fields(kind: type) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


TABLES = {
    "### A network": NetworkRecipe,
    "### `[source]`": Source,
    "### `[input]`": Input,
    "### A bundle": BundleRecipe,
}


@pytest.mark.parametrize(("heading", "kind"), TABLES.items())
def test_the_tables_name_every_key(heading: str, kind: type) -> None:
    assert set().union(*(keys(row[0]) for row in rows(heading))) == fields(kind)


@pytest.mark.parametrize(("heading", "union"), [("### `[input.crop]`", CropRule), ("### `[head]`", Head)])
def test_the_tables_name_every_kind_of_head_and_crop_with_its_keys(heading: str, union: object) -> None:
    kinds = {kind.__struct_config__.tag: fields(kind) for kind in _members(union)}
    assert {next(iter(keys(row[0]))): keys(row[1]) for row in rows(heading)} == kinds


def _members(union: object) -> Iterator[type[msgspec.Struct]]:
    for member in get_args(union):
        yield from _members(member) if get_args(member) else (member,)


def test_the_small_tables_name_every_key() -> None:
    found = rows("### `[time]`, `[quantize.RUNTIME]`, `[prepared]`")
    told = {next(iter(keys(row[0]))): keys(re.sub(r"\(.*?\)", "", row[1])) for row in found}
    kinds = {"time": Time, "states": State, "quantize": Quantize, "prepared": Prepared}
    assert told == {name: fields(kind) for name, kind in kinds.items()}
    (taken,) = (row for row in rows("### A bundle") if keys(row[0]) == {"taken"})
    assert keys(taken[1]) == fields(Taken)


def test_every_line_that_stops_a_build_is_one_that_the_program_says() -> None:
    code = "".join(
        path.read_text("utf-8") for room in ("converters", "edgeface") for path in (ROOT / room).rglob("*.py")
    )
    code = re.sub(r'"\s*\n\s*f?"', "", code) + "unknown field"  # msgspec's own words
    for line, _ in rows("## What stops a build"):
        for part in line.strip("`").split("…"):
            assert part.strip() in code, line


def test_the_keys_that_it_shows_are_those_of_the_family() -> None:
    (shown,) = (body for language, _, body in FENCE.findall(page()) if language == "text" and "[rename]" in body)
    assert shown.strip() in (ROOT / "converters" / "checkpoints" / "keys" / "vgg48.torch.toml").read_text("utf-8")


def test_the_architecture_names_every_room_of_the_workshop() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    section = text.partition("\n## The workshop\n")[2].partition("\n## ")[0]
    rooms = {path.stem for path in (ROOT / "converters").glob("*.py") if not path.stem.startswith("_")}
    rooms |= {f"{path.name}/" for path in (ROOT / "converters").iterdir() if path.is_dir() and path.name[0] not in "._"}
    table = re.findall(r"^\| `([a-z_0-9]+/?)` \|", section, flags=re.MULTILINE)
    assert sorted(table) == sorted(rooms)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (floors,) = (one["layers"] for one in contracts if one.get("containers") == ["converters"])
    drawn = section.rpartition("\n```\n")[0].rpartition("```\n")[2]
    assert re.split(r"\s+<\s+", drawn.strip()) == [floor for floor in reversed(floors) if floor != "__main__"]
