"""Faces for training: found, cut, kept in a cache, and gone on with after a kill."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import face_sets
import msgspec
import numpy as np
import pytest
from astronaut import astronaut

from converters.datasets.labelled import read
from converters.evaluation.subject import Finder, padded
from converters.paths import BUNDLE
from converters.recipes.reading import read_network
from converters.recipes.schema import NetworkRecipe
from converters.train import cache as caching
from converters.train import faces as module
from converters.train.augment import plain
from converters.train.cache import Seen, done_in, fill_cache, key_of, read_cache
from converters.train.faces import load_faces
from edgeface.bundle import open_bundle
from edgeface.errors import EdgefaceError, UsageError

SHAPE = (4, 4, 3)


@pytest.fixture(scope="module")
def aligned() -> NetworkRecipe:
    return read_network("age-v1")[1]


@pytest.fixture(scope="module")
def square() -> NetworkRecipe:
    return read_network("expression-mini-xception-48")[1]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Two pictures of one face, and one of nobody."""
    folder = tmp_path / "own"
    (folder / "pictures").mkdir(parents=True)
    face = astronaut()[30:230, 130:330]
    for name, image in (("one", face), ("nobody", np.full((200, 200, 3), 90, np.uint8)), ("two", face[:, ::-1])):
        assert cv2.imwrite(str(folder / "pictures" / f"{name}.png"), image)
    rows = ["path,age,gender,emotion,shop", "pictures/one.png,30,female,happiness,a", "pictures/nobody.png,,,,b"]
    (folder / "train.csv").write_text("\n".join([*rows, "pictures/two.png,20-29,M,,c", ""]))
    return folder


def test_a_folder_of_one_s_own_becomes_faces_as_service_sees_them(
    own: Path, tmp_path: Path, aligned: NetworkRecipe
) -> None:
    faces = load_faces(aligned, "own", "train", data=own, cache=tmp_path / "cache")
    assert (len(faces), faces.missed) == (2, 1)
    assert (faces.pixels.dtype, faces.pixels.shape) == (np.dtype(np.uint8), (2, 128, 128, 3))
    assert [row["shop"] for row in faces.rows] == ["a", "c"]
    assert [(row["age"], row["gender"], row["emotion"]) for row in faces.rows] == [
        ("30", "F", "happy"),
        ("20-29", "M", ""),
    ]
    finder = Finder(open_bundle(BUNDLE))
    for pixels, name in zip(faces.pixels, ("one", "two"), strict=True):
        image = padded(read(own / "pictures" / f"{name}.png"))
        face = finder.face(image)
        assert face is not None
        expected = finder.cut(image, face, aligned.input)
        assert np.abs(plain(pixels, faces.view).astype(int) - expected).mean() < 2.5
    with pytest.raises(ValueError, match="read-only"):
        faces.pixels[0, 0, 0] = 1


def test_what_was_cut_is_not_cut_again_until_something_changes(
    own: Path, tmp_path: Path, aligned: NetworkRecipe, square: NetworkRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    first = load_faces(aligned, "own", "train", data=own, cache=cache)
    smaller = msgspec.structs.replace(aligned, input=msgspec.structs.replace(aligned.input, width=48, height=48))
    with monkeypatch.context() as patch:
        patch.setattr(module, "Finder", None)
        again = load_faces(smaller, "own", "train", data=own, cache=cache)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert again.view.wanted_wh == (48, 48)
    made = {path.name for path in cache.glob("own-*")}
    load_faces(square, "own", "train", data=own, cache=cache)
    with (own / "train.csv").open("a") as table:
        table.write("pictures/one.png,31,F,,d\n")
    assert len(load_faces(aligned, "own", "train", data=own, cache=cache)) == 3
    cv2.imwrite(str(own / "pictures" / "two.png"), astronaut())
    load_faces(aligned, "own", "train", data=own, cache=cache)
    assert len({path.name for path in cache.glob("own-*")} - made) == 3


def test_another_detector_makes_other_crops(own: Path, tmp_path: Path, aligned: NetworkRecipe) -> None:
    load_faces(aligned, "own", "train", data=own, cache=tmp_path / "cache")
    load_faces(aligned, "own", "train", data=own, cache=tmp_path / "cache", detector="retinaface")
    assert len(list((tmp_path / "cache").glob("own-*"))) == 2


def test_a_chip_of_fer2013_that_shows_the_detector_no_face_is_the_box_itself(
    tmp_path: Path, square: NetworkRecipe, aligned: NetworkRecipe
) -> None:
    face_sets.fer2013(tmp_path, [("Training", 3, 7), ("Training", 4, 9), ("PublicTest", 4, 8)])
    faces = load_faces(square, "fer2013", "train", data=tmp_path, cache=tmp_path / "cache")
    assert (faces.pixels.shape, faces.missed) == ((2, 128, 128, 3), 0)
    assert [int(pixels.mean()) for pixels in faces.pixels] == [7, 9]
    assert [row["emotion"] for row in faces.rows] == ["happy", "sad"]
    assert plain(faces.pixels[1], faces.view).shape == (48, 48, 1)
    with pytest.raises(UsageError, match="has no face that was found"):
        load_faces(aligned, "fer2013", "train", data=tmp_path, cache=tmp_path / "cache")


def test_the_box_of_a_chip_is_where_the_chip_lies_in_the_padded_picture(tmp_path: Path, square: NetworkRecipe) -> None:
    """A bright square in the middle of a dark chip, half its side, is half of the crop's side for a scale of 1."""
    chip = np.full((48, 48), 20, np.uint8)
    chip[12:36, 12:36] = 220
    line = f"Training,{' '.join(map(str, chip.ravel()))}"
    usage, pixels = line.split(",")
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n3,{pixels},{usage}\n")
    faces = load_faces(square, "fer2013", "train", data=tmp_path, cache=tmp_path / "cache")
    crop = plain(faces.pixels[0], faces.view)[..., 0]
    assert crop[24, 24] == 220
    lit = np.flatnonzero(crop[24] > 120)
    assert (lit[0], lit[-1]) == pytest.approx((12, 35), abs=1)
    assert (crop[2:9, 2:9].max(), crop[40:46, 40:46].max()) == (20, 20)


@pytest.mark.parametrize(("part", "kept"), [("train", ["0", "3"]), ("publictest", ["0", "1", "2", "3"])])
def test_what_equals_a_test_picture_is_not_learnt_from(
    tmp_path: Path, square: NetworkRecipe, part: str, kept: list[str]
) -> None:
    folder = tmp_path / "fer2013"
    folder.mkdir()
    sheet = np.full((48 * 40, 48 * 40), 50, np.uint8)
    assert cv2.imwrite(str(folder / f"{part}_000.png"), sheet)
    same = ("", "private", "public", "")
    lines = [f"{part},{number},sad,{number},{equal}" for number, equal in enumerate(same)]
    (folder / "labels.csv").write_text("\n".join(["part,i,emotion,group,same_as_test", *lines]) + "\n")
    faces = load_faces(square, "fer2013", part, data=tmp_path, cache=tmp_path / "cache")
    assert [row["i"] for row in faces.rows] == kept
    assert faces.missed == 0


@pytest.mark.parametrize(
    ("name", "part", "says"),
    [
        ("utkfaces", "train", "no data set 'utkfaces'; choose one of: fer2013, utkface"),
        ("own", "test", "does not hold own in any of the layouts faces-csv"),
        ("own", "empty", "has no face that was found"),
        ("own", "torn", r"torn.csv, line 2: .*torn.png cannot be decoded"),
        ("own", "old", r"old.csv, line 2: age is '130', expected a whole number up to 120"),
        ("own", "who", r"who.csv, line 2: gender 'x' is none of M, F"),
        ("own", "gone", r"gone.png cannot be read: No such file"),
    ],
)
def test_what_is_wrong_is_one_line(
    own: Path, tmp_path: Path, aligned: NetworkRecipe, name: str, part: str, says: str
) -> None:
    (own / "empty.csv").write_text("path\npictures/nobody.png\n")
    (own / "torn.csv").write_text("path\ntorn.png\n")
    (own / "torn.png").write_bytes(b"\x89PNG")
    (own / "old.csv").write_text("path,age\npictures/one.png,130\n")
    (own / "who.csv").write_text("path,gender\npictures/one.png,x\n")
    (own / "gone.csv").write_text("path\ngone.png\n")
    with pytest.raises(EdgefaceError, match=says) as caught:
        load_faces(aligned, name, part, data=own, cache=tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_a_network_that_sees_pictures_is_refused(own: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sees no faces"):
        load_faces(read_network("yunet")[1], "own", "train", data=own, cache=tmp_path)


class Cutter:
    """Says which faces it cut; every fifth is missed, and at ``stop`` the process is killed, as it were."""

    def __init__(self, *, stop: int | None = None) -> None:
        self.stop = stop
        self.cut: list[int] = []

    def __call__(self, number: int) -> Seen:
        if number == self.stop:
            raise KeyboardInterrupt
        self.cut.append(number)
        return {"i": str(number)}, None if number % 5 == 4 else np.full(SHAPE, number % 256, np.uint8)


def check(folder: Path, count: int) -> None:
    found = read_cache(folder, SHAPE)
    assert found is not None
    pixels, rows, missed = found
    numbers = [number for number in range(count) if number % 5 != 4]
    assert [int(row["i"]) for row in rows] == numbers
    assert missed == count - len(numbers)
    np.testing.assert_array_equal(pixels[:, 0, 0, 0], np.array(numbers) % 256)


def test_who_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "set-train-key"
    with pytest.raises(KeyboardInterrupt):
        fill_cache(folder, SHAPE, range(1000), Cutter(stop=700))
    assert read_cache(folder, SHAPE) is None
    assert done_in(folder) == 2 * caching.EACH
    again = Cutter()
    fill_cache(folder, SHAPE, range(1000), again)
    assert again.cut == list(range(2 * caching.EACH, 1000))
    check(folder, 1000)
    assert not (tmp_path / ".set-train-key").exists()


@pytest.mark.parametrize(
    ("pixels", "rows"),
    [
        pytest.param(0, 7, id="half a line"),
        pytest.param(20, 0, id="half a crop"),
        pytest.param(48 * 100, 0, id="rows whose pixels were not written"),
        pytest.param(0, 900, id="pixels whose rows were not written"),
    ],
)
def test_a_torn_end_is_cut_off(tmp_path: Path, pixels: int, rows: int) -> None:
    folder, part = tmp_path / "set-train-key", tmp_path / ".set-train-key"
    with pytest.raises(KeyboardInterrupt):
        fill_cache(folder, SHAPE, range(1000), Cutter(stop=700))
    for name, less in ((caching.PIXELS, pixels), (caching.ROWS, rows)):
        whole = (part / name).read_bytes()
        (part / name).write_bytes(whole[: len(whole) - less])
    fill_cache(folder, SHAPE, range(1000), Cutter())
    check(folder, 1000)


def test_what_another_process_made_meanwhile_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "set-train-key"
    fill_cache(folder, SHAPE, range(20), Cutter())
    late = Cutter()
    fill_cache(folder, SHAPE, range(20), late)
    assert late.cut == []
    check(folder, 20)


def test_a_full_disk_is_one_line_and_what_was_cut_is_kept(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        folder = small / "set-train-key"
        with pytest.raises(EdgefaceError, match=r"cannot be written: No space left.*what was cut is kept"):
            fill_cache(folder, SHAPE, range(3000), Cutter())
        kept = done_in(folder)
        assert kept >= caching.EACH
        subprocess.run(["mount", "-o", "remount,size=1m", str(small)], check=True)
        fill_cache(folder, SHAPE, range(3000), Cutter())
        check(folder, 3000)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_damaged_cache_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "set-train-key"
    fill_cache(folder, SHAPE, range(20), Cutter())
    (folder / caching.PIXELS).write_bytes(b"short")
    with pytest.raises(EdgefaceError, match="delete its folder"):
        read_cache(folder, SHAPE)
    (folder / caching.ROWS).write_bytes(b"{\n")
    with pytest.raises(EdgefaceError, match="cannot be read"):
        read_cache(folder, SHAPE)


def test_a_key_knows_names_contents_and_facts(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"a")
    other.write_bytes(b"b")
    keys = {key_of([one], 1), key_of([other], 1), key_of([one], 2), key_of([one, other], 1)}
    one.write_bytes(b"c")
    assert len({*keys, key_of([one], 1)}) == 5
