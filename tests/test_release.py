"""``scripts/release`` in a repository of its own: one number, one dated entry, one commit, one tag."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgeface

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
CHANGELOG = "# Changelog\n\nWords.\n\n## 0.2.0, unreleased\n\n- A thing.\n\n## 0.1.0, 2026-01-02\n\n- The first.\n"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "edgeface").mkdir()
    (tmp_path / "edgeface" / "__init__.py").write_text('import os\n\n__version__ = "0.1.0"\n', encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "user.name", "tests")
    git(tmp_path, "config", "user.email", "tests@example.org")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "All")
    return tmp_path


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def release(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(tree / "scripts" / "release"), *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_number_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    source = (ROOT / project["tool"]["hatch"]["version"]["path"]).read_text(encoding="utf-8")
    assert re.findall(r'^__version__ = "(.*)"$', source, flags=re.MULTILINE) == [edgeface.__version__]


def test_the_changelog_has_the_shape_that_a_release_needs() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+, (unreleased|\d{4}-\d\d-\d\d)", heading) for heading in headings)
    assert [heading for heading in headings[1:] if heading.endswith("unreleased")] == []


def test_a_release_is_one_commit_and_one_tag(tree: Path) -> None:
    done = release(tree, "--as-is", "0.2.0")
    assert done.returncode == 0, done.stderr
    assert '__version__ = "0.2.0"\n' in (tree / "edgeface" / "__init__.py").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", (tree / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert re.fullmatch(r"0\.2\.0, \d{4}-\d\d-\d\d", headings[0])
    assert headings[1:] == ["0.1.0, 2026-01-02"]
    assert git(tree, "log", "-1", "--format=%s") == "Release 0.2.0"
    assert git(tree, "rev-list", "-1", "v0.2.0") == git(tree, "rev-parse", "HEAD")
    assert git(tree, "status", "--porcelain") == ""


def test_the_notes_are_those_of_the_top_entry(tree: Path) -> None:
    assert release(tree, "--notes").stdout.strip() == "- A thing."


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, 'edgeface: "" is no version; say one like 0.2.0\n'),
        (["--as-is", "1.0"], 2, 'edgeface: "1.0" is no version; say one like 0.2.0\n'),
        (["--fast", "0.2.0"], 2, "edgeface: unknown option --fast; see scripts/release --help\n"),
        (["--as-is", "0.0.9"], 2, "edgeface: 0.0.9 is older than v0.1.0; choose a higher number\n"),
        (["--as-is", "0.1.0"], 2, "edgeface: v0.1.0 is there already; choose the next number\n"),
    ],
)
def test_what_is_no_release_is_one_line(tree: Path, words: list[str], code: int, said: str) -> None:
    git(tree, "tag", "v0.1.0")
    done = release(tree, *words)
    assert (done.returncode, done.stderr) == (code, said)


def test_work_that_is_not_committed_is_no_release(tree: Path) -> None:
    (tree / "new.txt").write_text("", encoding="utf-8")
    done = release(tree, "--as-is", "0.2.0")
    assert done.returncode == 1
    assert done.stderr == "edgeface: the tree has changes that are not committed; commit or stash them\n"


def test_a_changelog_that_says_nothing_is_no_release(tree: Path) -> None:
    text = CHANGELOG.replace("## 0.2.0, unreleased\n\n- A thing.\n\n", "")
    (tree / "CHANGELOG.md").write_text(text, encoding="utf-8")
    git(tree, "commit", "--all", "--quiet", "--message", "Nothing new")
    done = release(tree, "--as-is", "0.2.0")
    assert done.returncode == 1
    assert "begin one: ## 0.2.0, unreleased" in done.stderr
    assert git(tree, "tag") == ""
