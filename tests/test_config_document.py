"""The commented file and the documentation are written from the types, and both hold."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from edgeface.config import Config, Visits, load_config
from edgeface.config.document import commented_toml, markdown, tables

ROOT = Path(__file__).resolve().parents[1]


def test_the_documentation_is_current() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == markdown(), "run: python -m edgeface.config.document > docs/configuration.md"


def test_the_commented_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "edgeface.toml"
    path.write_text(commented_toml(), encoding="utf-8")
    assert load_config(path) == Config()


def test_each_key_holds_when_its_comment_sign_is_taken_away(tmp_path: Path) -> None:
    text = re.sub(r"^#(?=\S)", "", commented_toml(), flags=re.MULTILINE)
    path = tmp_path / "edgeface.toml"
    path.write_text(text, encoding="utf-8")
    config = load_config(path)
    assert config.mqtt.username == "edgeface"
    assert config.schedule["NETWORK"].interval == 4.0
    assert config.cameras["main"].width == 1280
    # Keys that show a default do show the default.
    assert msgspec.structs.replace(config.visits, gender_certainty=None, expression_certainty=None) == Visits()
    assert config.limits == Config().limits


@pytest.mark.parametrize("key", [key for table in tables() for key in table.keys], ids=lambda key: key.path)
def test_each_key_says_what_it_means(key: object) -> None:
    assert getattr(key, "meaning", "")


def test_no_key_is_left_out() -> None:
    told = {key.path for table in tables() for key in table.keys}
    told |= {table.header.strip("[]") for table in tables()}

    def leaves(tree: object, prefix: str) -> set[str]:
        if not isinstance(tree, dict) or (not tree and prefix):
            return {prefix.rstrip(".")}
        return {leaf for name, value in tree.items() for leaf in leaves(value, f"{prefix}{name}.")}

    by_table = {"attributes", "schedule", "networks"}
    assert leaves(msgspec.to_builtins(Config()), "") - by_table <= told
