"""What a visit's age is worth: made films through the device's own turn."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import pytest
from astronaut import astronaut
from bundles import DEFAULT

from benchmarks.films import HEIGHT, PAUSE_S, WIDTH, make_film
from benchmarks.made_clips import make_clip
from benchmarks.visit_ages import Listening, main, row, watch, years_off
from edgeface.bundle import open_bundle
from edgeface.config import Config, Runtime
from edgeface.errors import EdgefaceError
from edgeface.questions import VisitAge

FACE = astronaut()[0:220, 120:340]


def test_everybody_in_a_film_is_one_visit_with_its_label() -> None:
    film = make_film([(FACE, {"age": "35"}), (FACE[:, ::-1], {"age": "41"})], seed=1)
    networks = Listening(open_bundle(DEFAULT), Config(runtime=Runtime(threads=1)))
    heard = list(watch(film, networks, Config(), fps=5.0))
    assert sorted(one.label for one in heard) == ["35", "41"]
    for one in heard:
        assert one.said.samples >= 5
        assert one.first.low < one.first.years < one.first.high
        assert one.said.low < one.said.years < one.said.high


def test_the_same_seed_makes_the_same_film() -> None:
    films = [make_film([(FACE, {"age": "35"})] * 4, seed=seed) for seed in (3, 3, 4)]
    (_, first, squares), (_, same, _), (_, other, _) = (list(film.frames(1.0))[3] for film in films)
    assert (first == same).all()
    assert (first != other).any()
    assert first.shape == (HEIGHT, WIDTH, 3)
    assert len(squares) == 3, "one in each lane"
    assert all((square[:2] >= 0).all() and square[2] <= WIDTH and square[3] <= HEIGHT for _, square in squares)
    (first_in_lane, _, _, last) = films[0].people
    assert last.start_s >= first_in_lane.end_s + PAUSE_S


MAKER = """
import json, sys
from pathlib import Path
import cv2
values = dict(zip(sys.argv[1::2], sys.argv[2::2]))
out = Path(values["--out"])
picture = cv2.imread(values["--data"])
height, width = picture.shape[:2]
writer = cv2.VideoWriter(str(out), cv2.VideoWriter.fourcc(*"mp4v"), float(values["--fps"]), (width, height))
for _ in range(10):
    writer.write(picture)
writer.release()
box = [140, 30, 300, 210]
# Person 1 has come back after long: another visit of the same one.
truth = {"visits": [{"person": 0, "age": 61, "start": 0}, {"person": 1, "age": 35, "start": 0}],
         "frames": [[[101, *box]]] * 10, "hidden": []}
out.with_suffix(".json").write_text(json.dumps(truth))
"""


def test_a_clip_of_another_program_is_watched_as_a_film_and_made_once(tmp_path: Path) -> None:
    maker, picture = tmp_path / "make.py", tmp_path / "a.png"
    maker.write_text(MAKER)
    assert cv2.imwrite(str(picture), astronaut())
    clip = make_clip(maker, picture, seed=3, fps=5.0, folder=tmp_path / "clips")
    assert [person.labels["age"] for person in clip.people] == ["61", "35"]
    networks = Listening(open_bundle(DEFAULT), Config(runtime=Runtime(threads=1)))
    (heard,) = watch(clip, networks, Config(), fps=5.0)
    assert heard.label == "35"
    maker.write_text("raise SystemExit('no disk')")
    assert make_clip(maker, picture, seed=3, fps=5.0, folder=tmp_path / "clips").truth == clip.truth
    with pytest.raises(EdgefaceError, match="no disk"):
        make_clip(maker, picture, seed=4, fps=5.0, folder=tmp_path / "clips")


def test_without_the_program_that_makes_clips_there_is_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["visit_ages", "--clips", "--maker", str(tmp_path / "none.py")])
    main()
    assert capsys.readouterr().out.startswith(f"skipped: {tmp_path / 'none.py'}, which makes the clips, is not there")


def test_years_off_and_the_table() -> None:
    assert [years_off(27.0, label) for label in ("25", "20-29", "30-39")] == [2.0, 0.0, 3.0]
    ages = [VisitAge(years=y, low=y - 5, high=y + 5, spread=None, samples=3) for y in (30.0, 42.0)]
    assert row("visit", list(zip(ages, ("33", "50"), strict=True))).startswith("| visit | 5.50 (")
    assert " 50.0 % (" in row("visit", list(zip(ages, ("33", "50"), strict=True)))
