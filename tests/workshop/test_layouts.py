"""Every layout of labelled data on a tiny set of it: what is read, and the one line for what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import face_sets
import numpy as np
import pytest

from converters.datasets import labelled as data
from converters.datasets.labelled import Sheets
from converters.datasets.layouts import LAYOUTS, find_faces
from converters.datasets.layouts.pairs import Pair, find_pairs
from converters.datasets.layouts.wider_mat import find_photographs
from edgeface.errors import UsageError

HAPPY, SAD = 3, 4


def labels(folder: Path, name: str, **wanted: Any) -> list[dict[str, str]]:
    return [chip.labels for chip in find_faces(folder, (name,), **wanted)[0].read(None)]


def test_fer2013_with_the_votes_of_fer_plus_and_copies_from_training(tmp_path: Path) -> None:
    rows = [("Training", HAPPY, 7), ("PublicTest", SAD, 7), ("PublicTest", HAPPY, 8), ("PrivateTest", SAD, 9)]
    face_sets.fer2013(tmp_path, rows, [{"happiness": 9}, {"sadness": 6, "NF": 4}, {}, {"fear": 10}])
    faces = find_faces(tmp_path, ("fer2013",))[0]
    first, second = faces.read(None)
    assert (faces.title, faces.layout) == ("FER-2013 PublicTest", "fer2013-csv")
    assert first.image.shape == (48, 48, 3)
    assert int(first.image.mean()) == 7
    assert (first.labels["emotion"], first.labels["in_training"], first.labels["sadness"]) == ("sad", "1", "6")
    assert (second.labels["emotion"], second.labels["in_training"], second.labels["NF"]) == ("happy", "0", "0")
    assert [chip.labels["fear"] for chip in find_faces(tmp_path, ("fer2013",), part="privatetest")[0].read(None)] == [
        "10"
    ]
    assert len(list(faces.read(1))) == 1


def test_fer2013_without_fer_plus_has_no_votes(tmp_path: Path) -> None:
    face_sets.fer2013(tmp_path, [("PublicTest", HAPPY, 1)])
    assert labels(tmp_path, "fer2013") == [{"emotion": "happy", "in_training": "0"}]


def test_utkface_by_its_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = {
        "part1/25_1_3_20170119172106986.jpg.chip.jpg": 20,
        "part2/116_0_4_20170120134921760.jpg": 10,
        "61_1_20170109142408075.jpg": 30,
    }
    face_sets.utkface(tmp_path, names)
    found = list(find_faces(tmp_path, ("utkface",))[0].read(None))
    assert [chip.labels for chip in found] == [
        {"age": "25", "gender": "F", "race": "Indian"},
        {"age": "116", "gender": "M", "race": "Others"},
    ]
    assert [int(chip.image.mean()) for chip in found] == [20, 10]
    assert "without all labels in the name: 61_1_20170109142408075.jpg" in caplog.text


def test_fairface_by_its_table(tmp_path: Path) -> None:
    rows = [("val/1.jpg", "3-9", "Male", "East Asian"), ("val/2.jpg", "more than 70", "Female", "White")]
    face_sets.fairface(tmp_path, rows)
    faces = find_faces(tmp_path, ("fairface",))[0]
    assert (faces.title, faces.layout) == ("FairFace val", "fairface-csv")
    assert [chip.labels for chip in faces.read(None)] == [
        {"age": "3-9", "gender": "M", "race": "East Asian"},
        {"age": "70+", "gender": "F", "race": "White"},
    ]


def test_fairface_with_its_pictures_one_folder_deeper(tmp_path: Path) -> None:
    face_sets.fairface(tmp_path, [("val/1.jpg", "3-9", "Male", "White")])
    (tmp_path / "margin025").mkdir()
    (tmp_path / "val").rename(tmp_path / "margin025" / "val")
    assert len(labels(tmp_path, "fairface")) == 1


def test_affect_by_a_table_of_any_name(tmp_path: Path) -> None:
    face_sets.affect(tmp_path, [("a/1.png", -0.5, 0.25), ("a/2.png", 1, -1)])
    (tmp_path / "another.csv").write_text("name\nx\n")
    faces = find_faces(tmp_path, ("affect",))[0]
    assert faces.title == "faces"
    assert [(chip.labels["valence"], chip.labels["arousal"]) for chip in faces.read(None)] == [
        ("-0.5", "0.25"),
        ("1.0", "-1.0"),
    ]


def test_sheets_tell_copies_from_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(data.SETS, "fer2013", Sheets(side=4, columns=2, per=4))
    rows = ["train,0,happy,5", "publictest,0,sad,5", "publictest,1,sad,6"]
    (tmp_path / "fer2013").mkdir()
    (tmp_path / "fer2013" / "labels.csv").write_text("\n".join(["part,i,emotion,group", *rows]) + "\n")
    face_sets.write_picture(tmp_path / "fer2013" / "publictest_000.png", 9)
    faces = find_faces(tmp_path, ("fer2013",))[0]
    assert (faces.title, faces.layout) == ("FER-2013 PublicTest", "sheets")
    assert [chip.labels["in_training"] for chip in faces.read(None)] == ["1", "0"]


def test_several_sets_in_one_folder(tmp_path: Path) -> None:
    face_sets.utkface(tmp_path, {"25_1_3_20170119172106986.jpg": 1})
    face_sets.fairface(tmp_path, [("val/1.jpg", "3-9", "Male", "White")])
    found = find_faces(tmp_path, ("utkface", "fairface"))
    assert [faces.name for faces in found] == ["utkface", "fairface"]
    assert [faces.name for faces in find_faces(tmp_path, ("utkface", "fairface"), layout="fairface-csv")] == [
        "fairface"
    ]


def broken_fer(folder: Path, *, old: str, new: str, votes: bool = False) -> None:
    face_sets.fer2013(folder, [("Training", HAPPY, 7), ("PublicTest", SAD, 8)], [{"sadness": 9}, {}] if votes else ())
    path = folder / ("fer2013new.csv" if votes else "fer2013.csv")
    path.write_text(path.read_text().replace(old, new))


def one_row_more(folder: Path) -> None:
    broken_fer(folder, old="PublicTest,fer", new="\nPublicTest,fer", votes=True)
    with (folder / "fer2013.csv").open("a") as file:
        file.write("3,1,Training\n")


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        pytest.param(
            "fer2013",
            lambda f: broken_fer(f, old="4,8 8", new="4,8 x"),
            "line 3: pixels has something else",
            id="pixel",
        ),
        pytest.param(
            "fer2013", lambda f: broken_fer(f, old="4,8 8", new="4,300 8"), "line 3: pixels has", id="too white"
        ),
        pytest.param(
            "fer2013", lambda f: broken_fer(f, old="4,8 8", new="4,8"), "line 3: pixels has 2303 numbers", id="cut off"
        ),
        pytest.param(
            "fer2013", lambda f: broken_fer(f, old="4,8 8", new="9,8 8"), "line 3: emotion is '9'", id="expression"
        ),
        pytest.param(
            "fer2013",
            lambda f: broken_fer(f, old="Training,fer0000000.png", new="Training", votes=True),
            "fer2013new.csv, line 2: 11 cells, expected 12",
            id="votes, a cell less",
        ),
        pytest.param(
            "fer2013",
            lambda f: broken_fer(f, old="Training,fer", new="PublicTest,fer", votes=True),
            "fer2013new.csv, line 2: Usage is 'PublicTest', in fer2013.csv 'Training'",
            id="votes of another row",
        ),
        pytest.param(
            "fer2013",
            lambda f: broken_fer(f, old="PublicTest,fer0000001.png,0", new="PublicTest,fer0000001.png,11", votes=True),
            "fer2013new.csv, line 3: neutral is '11'",
            id="more votes than taggers",
        ),
        pytest.param(
            "fer2013",
            one_row_more,
            "have not equally many rows",
            id="a row more",
        ),
        pytest.param(
            "fer2013",
            lambda f: broken_fer(f, old="emotion,pixels", new="emotion,pixel"),
            "line 1: there is no column pixels",
            id="head",
        ),
        pytest.param(
            "utkface",
            lambda f: face_sets.utkface(f, {"25_1_3_20170119172106986.jpg": 1, "25_7_3_2017.jpg": 2}),
            "25_7_3_2017.jpg: the name is not [age]_[gender 0-1]_[race 0-4]_[date].jpg",
            id="name",
        ),
        pytest.param(
            "fairface",
            lambda f: face_sets.fairface(f, [("val/1.jpg", "03-Sep", "Male", "White")]),
            "line 2: age '03-Sep' is no bin of FairFace; a spreadsheet makes dates",
            id="a spreadsheet's bin",
        ),
        pytest.param(
            "fairface",
            lambda f: face_sets.fairface(f, [("val/1.jpg", "3-9", "M", "White")]),
            "line 2: gender 'M' is neither Male nor Female",
            id="gender",
        ),
        pytest.param(
            "fairface",
            lambda f: (face_sets.fairface(f, [("val/1.jpg", "3-9", "Male", "White")]) / "val" / "1.jpg").unlink(),
            "line 2: there is no picture",
            id="picture",
        ),
        pytest.param(
            "affect",
            lambda f: face_sets.affect(f, [("1.png", 0, 0), ("2.png", 2, 0)]),
            "line 3: valence is '2'",
            id="range",
        ),
        pytest.param(
            "affect",
            lambda f: face_sets.affect(f, [("1.png", 0, "nan")]),
            "line 2: arousal is 'nan'",
            id="not a number",
        ),
        pytest.param(
            "affect",
            lambda f: (face_sets.affect(f, [("1.png", 0, 0), ("2.png", 0, 0)]) / "2.png").unlink(),
            "line 3: there is no picture",
            id="affect, picture",
        ),
        pytest.param(
            "affect",
            lambda f: (face_sets.affect(f, [("1.png", 0, 0), ("2.png", 0, 0)]) / "2.png").write_bytes(b"no picture"),
            "2.png cannot be decoded",
            id="affect, damaged picture",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    tmp_path: Path, name: str, spoil: Callable[[Path], object], says: str
) -> None:
    spoil(tmp_path)
    with pytest.raises(UsageError) as error:
        labels(tmp_path, name)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "wanted", "says"),
    [
        pytest.param(("fer2013",), {}, "does not hold fer2013 in any of the layouts sheets, fer2013-csv", id="nothing"),
        pytest.param(("fer2013",), {"layout": "coco"}, "'coco' is no layout of fer2013; choose one of", id="layout"),
        pytest.param(
            ("utkface", "fairface"), {"layout": "sheets"}, "does not hold utkface or fairface in sheets", id="two"
        ),
    ],
)
def test_a_folder_without_the_set_is_one_line(
    tmp_path: Path, names: tuple[str, ...], wanted: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        find_faces(tmp_path, names, **wanted)


@pytest.mark.parametrize(
    ("name", "part", "says"),
    [
        pytest.param("fer2013", "final", "has no part 'final'; choose one of: train, publictest", id="fer2013"),
        pytest.param("fairface", "train", "has no part 'train'; choose one of: val", id="fairface"),
        pytest.param("utkface", "val", "has no parts", id="utkface"),
    ],
)
def test_a_part_that_is_not_there_is_one_line(tmp_path: Path, name: str, part: str, says: str) -> None:
    face_sets.fer2013(tmp_path, [("PublicTest", HAPPY, 1)])
    face_sets.fairface(tmp_path, [("val/1.jpg", "3-9", "Male", "White")])
    face_sets.utkface(tmp_path, {"25_1_3_20170119172106986.jpg": 1})
    with pytest.raises(UsageError, match=says):
        find_faces(tmp_path, (name,), part=part)


def test_every_set_has_a_layout_of_its_makers() -> None:
    assert {name for name, layouts in LAYOUTS.items() if set(layouts) - {"sheets"}} == set(LAYOUTS)


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    face_sets.people(tmp_path / "lfw-deepfunneled", {"Ann_Lee": [1, 2], "Bob": [3, 4, 5]})
    (tmp_path / "pairs.txt").write_text("2\t1\nAnn_Lee\t1\t2\nAnn_Lee\t1\tBob\t3\nBob\t1\t2\nBob\t2\tAnn_Lee\t2\n")
    return tmp_path


def test_pairs_of_lfw_with_their_folds(lfw: Path) -> None:
    found = find_pairs(lfw)
    ann, bob = (
        {n: lfw / "lfw-deepfunneled" / name / f"{name}_000{n}.jpg" for n in (1, 2, 3)} for name in ("Ann_Lee", "Bob")
    )
    assert (found.layout, found.folds) == ("lfw-pairs", 2)
    assert list(found.pairs) == [
        Pair(ann[1], ann[2], True, 0),
        Pair(ann[1], bob[3], False, 0),
        Pair(bob[1], bob[2], True, 1),
        Pair(bob[2], ann[2], False, 1),
    ]


def test_pairs_of_one_list_without_folds(lfw: Path) -> None:
    (lfw / "pairs.txt").write_text("1\nBob 1 2\nBob 1 Ann_Lee 2\n")
    found = find_pairs(lfw)
    assert (found.folds, [pair.same for pair in found.pairs]) == (1, [True, False])


def test_all_pairs_of_a_folder_per_person(tmp_path: Path) -> None:
    face_sets.people(tmp_path / "lfw_small", {"Ann": [1, 2], "Bob": [3, 4, 5]})
    # Other sets beside it are nobody's folders.
    face_sets.people(tmp_path, {"fairface": [1], "utkface": [2, 3]})
    found = find_pairs(tmp_path)
    assert (found.layout, found.title, found.folds) == ("people", "lfw_small", 1)
    assert len(found.pairs) == 10
    assert sum(pair.same for pair in found.pairs) == 1 + 3
    assert all(pair.same == (pair.first.parent == pair.second.parent) for pair in found.pairs)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "line 1: expected the number of folds", id="empty"),
        pytest.param("two 1\n", "line 1: word 1 is 'two'", id="folds"),
        pytest.param("0 1\n", "line 1: expected the number of folds and of pairs, from 1 up", id="no folds"),
        pytest.param("1 1\nBob 1 2\nBob 1\n", "line 3: 2 words, expected NAME 1 2", id="a word less"),
        pytest.param("1 1\nBob 1 2\nBob one Ann_Lee 2\n", "line 3: word 2 is 'one'", id="a word for a number"),
        pytest.param("1 1\nBob 1 9\nBob 1 Ann_Lee 2\n", "line 2: there is no picture Bob_0009 in", id="picture"),
        pytest.param("1 2\nBob 1 2\nBob 1 Ann_Lee 2\n", "lists 2 pairs, its first line says 4", id="too few"),
    ],
)
def test_a_wrong_list_of_pairs_is_one_line(lfw: Path, text: str, says: str) -> None:
    (lfw / "pairs.txt").write_text(text)
    with pytest.raises(UsageError) as error:
        find_pairs(lfw)
    assert "pairs.txt" in str(error.value)
    assert says in str(error.value)


def test_a_folder_without_people_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds neither pairs\.txt nor pairsDevTest\.txt nor a folder per person"):
        find_pairs(tmp_path)
    with pytest.raises(UsageError, match="'coco' is no layout of pairs"):
        find_pairs(tmp_path, layout="coco")


Boxes = list[list[int]]


def cells(values: list[Any]) -> np.ndarray:
    """A MATLAB cell array, one column."""
    made = np.empty((len(values), 1), dtype=object)
    for row, value in enumerate(values):
        made[row, 0] = value
    return made


def wider(root: Path, pictures: dict[str, dict[str, Boxes]], counted: dict[str, list[list[list[int]]]]) -> Path:
    """WIDER FACE in its makers' files: boxes by event and picture, numbers of those that count by level."""
    io = pytest.importorskip("scipy.io")
    names = [cells([np.array([name]) for name in of_event]) for of_event in pictures.values()]
    boxes = [
        cells([np.array(own, float).reshape(-1, 4) for own in of_event.values()]) for of_event in pictures.values()
    ]
    common = {"event_list": cells([np.array([event]) for event in pictures]), "file_list": cells(names)}
    (root / "wider_face_split").mkdir(parents=True)
    (root / "ground_truth").mkdir()
    io.savemat(root / "wider_face_split" / "wider_face_val.mat", {**common, "face_bbx_list": cells(boxes)})
    for level, numbers in counted.items():
        own = [cells([np.array(which, float).reshape(-1, 1) for which in of_event]) for of_event in numbers]
        io.savemat(root / "ground_truth" / f"wider_{level}_val.mat", {**common, "gt_list": cells(own)})
    for event, of_event in pictures.items():
        for name in of_event:
            face_sets.write_picture(root / "WIDER_val" / "images" / event / f"{name}.jpg", 100, 64)
    return root


@pytest.fixture
def makers(tmp_path: Path) -> Path:
    pictures = {"0--Parade": {"one": [[1, 2, 30, 40], [5, 5, 3, 3]], "two": []}, "1--Party": {"three": [[0, 0, 9, 9]]}}
    counted: dict[str, list[list[list[int]]]] = {
        "easy": [[[1], []], [[]]],
        "medium": [[[1], []], [[1]]],
        "hard": [[[1, 2], []], [[1]]],
    }
    return wider(tmp_path, pictures, counted)


def test_wider_face_in_its_makers_files(makers: Path) -> None:
    found, title, layout = find_photographs(makers)
    assert (title, layout) == ("WIDER FACE validation part, 3 images", "wider-mat")
    one, two, three = found
    assert [photograph.name for photograph in found] == ["0--Parade/one", "0--Parade/two", "1--Party/three"]
    np.testing.assert_array_equal(one.boxes, [[1, 2, 31, 42], [5, 5, 8, 8]])
    assert {level: which.tolist() for level, which in one.counted.items()} == {
        "easy": [True, False],
        "medium": [True, False],
        "hard": [True, True],
    }
    assert two.boxes.shape == (0, 4)
    assert three.counted["easy"].tolist() == [False]
    assert one.path == makers / "WIDER_val" / "images" / "0--Parade" / "one.jpg"
    assert len(find_photographs(makers, limit=2)[0]) == 2


def test_photographs_without_a_picture_are_counted(makers: Path, caplog: pytest.LogCaptureFixture) -> None:
    (makers / "WIDER_val" / "images" / "1--Party" / "three.jpg").unlink()
    assert len(find_photographs(makers)[0]) == 2
    assert "1 photographs have no picture, the first is 1--Party/three" in caplog.text


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(
            lambda root: (root / "ground_truth" / "wider_hard_val.mat").unlink(),
            "has no wider_hard_val.mat",
            id="level",
        ),
        pytest.param(
            lambda root: (root / "ground_truth" / "wider_easy_val.mat").write_bytes(b"no"),
            "wider_easy_val.mat is not a MATLAB file",
            id="damaged",
        ),
        pytest.param(
            lambda root: (root / "wider_face_split" / "wider_face_val.mat").unlink(), "holds neither", id="boxes"
        ),
        pytest.param(
            lambda root: [path.unlink() for path in root.glob("WIDER_val/images/*/*.jpg")],
            "no photograph of wider_face_val.mat lies in",
            id="no picture at all",
        ),
    ],
)
def test_wider_face_with_something_missing_is_one_line(
    makers: Path, spoil: Callable[[Path], object], says: str
) -> None:
    spoil(makers)
    with pytest.raises(UsageError, match=says):
        find_photographs(makers)


def test_a_face_that_counts_and_is_not_there(tmp_path: Path) -> None:
    numbers: dict[str, Any] = {"easy": [[[2]]], "medium": [[[1]]], "hard": [[[1]]]}
    wider(tmp_path, {"0--Parade": {"one": [[1, 2, 30, 40]]}}, numbers)
    with pytest.raises(UsageError, match=r"0--Parade, picture 1 \(one\): easy counts face 2 of 1"):
        find_photographs(tmp_path)


def test_faces_of_one_s_own(tmp_path: Path) -> None:
    for level, name in enumerate(("a", "b", "c")):
        face_sets.write_picture(tmp_path / "pictures" / f"{name}.jpg", level)
    rows = ["path,age,gender,emotion,shop", "pictures/a.jpg,31,male,Happiness,x", "pictures/b.jpg,3-9,f,,y"]
    (tmp_path / "train.csv").write_text("\n".join([*rows, "pictures/c.jpg,,,,"]))
    (tmp_path / "val.csv").write_text("path\npictures/c.jpg\n")
    assert labels(tmp_path, "own") == [
        {"path": "pictures/a.jpg", "age": "31", "gender": "M", "emotion": "happy", "shop": "x"},
        {"path": "pictures/b.jpg", "age": "3-9", "gender": "F", "emotion": "", "shop": "y"},
        {"path": "pictures/c.jpg", "age": "", "gender": "", "emotion": "", "shop": ""},
    ]
    assert labels(tmp_path, "own", part="val") == [{"path": "pictures/c.jpg"}]
    with pytest.raises(UsageError, match="does not hold own in any of the layouts faces-csv"):
        find_faces(tmp_path, ("own",), part="test")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("old,M", "age is 'old', expected a whole number up to 120"),
        ("30,x", "gender 'x' is none of M, F, male, female"),
    ],
)
def test_a_wrong_label_of_one_s_own_is_one_line(tmp_path: Path, row: str, says: str) -> None:
    face_sets.write_picture(tmp_path / "a.jpg", 1)
    (tmp_path / "train.csv").write_text(f"path,age,gender\na.jpg,{row}\n")
    with pytest.raises(UsageError, match=rf"train\.csv, line 2: {says}"):
        labels(tmp_path, "own")


def test_every_layout_names_the_files_that_it_reads(tmp_path: Path) -> None:
    face_sets.fer2013(tmp_path / "fer2013", [("PublicTest", HAPPY, 1)], [{"happiness": 9}])
    face_sets.fairface(tmp_path / "fairface", [("val/1.jpg", "3-9", "Male", "White")])
    face_sets.utkface(tmp_path / "utkface", {"25_1_3_20170119172106986.jpg": 1})
    face_sets.affect(tmp_path / "affect", [("a.jpg", 0.5, 0.5)])
    face_sets.write_picture(tmp_path / "own" / "b.jpg", 1)
    (tmp_path / "own" / "train.csv").write_text("path\nb.jpg\n")
    named = {name: [path.name for path in find_faces(tmp_path / name, (name,))[0].files()] for name in LAYOUTS}
    assert named == {
        "fer2013": ["fer2013.csv", "fer2013new.csv"],
        "fairface": ["fairface_label_val.csv", "1.jpg"],
        "utkface": ["25_1_3_20170119172106986.jpg"],
        "affect": ["faces.csv", "a.jpg"],
        "own": ["train.csv", "b.jpg"],
    }
