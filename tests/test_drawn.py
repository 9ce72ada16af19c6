"""The documents' pictures are what ``scripts/pictures`` draws of the documents, and it draws what was told."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "pictures"


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("pictures", str(SCRIPT))
    spec = importlib.util.spec_from_loader("pictures", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_sessions_are_drawn_as_they_stand_and_shown(pictures: ModuleType) -> None:
    for path, text in pictures.sessions().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run scripts/pictures"
        if path.name == "events.svg":
            continue
        document = path.with_name(f"{path.stem.rpartition('-')[0]}.md").read_text(encoding="utf-8")
        assert f"({path.name})" in document
        drawn = [node.text or "" for node in ET.fromstring(text).iter() if node.tag.endswith("text")]
        assert len(drawn) > 1
        assert all(line in document for line in drawn)


def message(kind: str, at: int, **body: Any) -> str:
    stamp = f"2026-12-01T00:00:{at:02}.000Z"
    return json.dumps({"topic": f"edgeface/demo/main/{kind}", "payload": {"at": stamp, **body}})


def test_visits_are_bars_over_time(tmp_path: Path) -> None:
    told = [
        message("faces", 0, faces=[]),
        message("visits", 5, visit="aa<b", event="start"),
        message("faces", 5, faces=[1]),
        message("visits", 15, visit="aa<b", event="end"),
        message("health", 16),
        message("faces", 20, faces=[]),
    ]
    source, out = tmp_path / "events.jsonl", tmp_path / "events.svg"
    source.write_text("\n".join(told))
    done = subprocess.run([sys.executable, str(SCRIPT), str(source), str(out)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (bar,) = re.findall(r'<rect x="([0-9.]+)" y="20" width="([0-9.]+)"', out.read_text())
    # From a quarter to three quarters of 610 pixels behind the names.
    assert tuple(map(float, bar)) == (282.5, 305.0)
    assert "visit aa&lt;b" in out.read_text()


@pytest.mark.parametrize(
    ("words", "said"), [(["x"], "no way to call it"), (["none.jsonl", "o.svg"], "cannot be drawn")]
)
def test_what_cannot_be_drawn_is_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert re.fullmatch(rf"edgeface: .*{said}.*\n", done.stderr)
