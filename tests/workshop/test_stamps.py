"""What a built file depends on: a change of our own code makes it again, and only where it may change the bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from converters.building.stamps import CODE, code_hash
from converters.paths import ROOT

ONNX, LITERT = CODE["onnx", "fp32"], CODE["litert", "fp32"]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of the workshop's code, to change."""
    place = tmp_path / "converters"
    shutil.copytree(ROOT / "converters", place, ignore=shutil.ignore_patterns("__pycache__", "recipes", "measurements"))
    return place


def changed(path: Path) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")


def test_a_copy_elsewhere_has_the_same_hash(code: Path) -> None:
    assert code_hash("yunet", ONNX, root=code) == code_hash("yunet", ONNX)


@pytest.mark.parametrize("variant", CODE, ids="-".join)
def test_the_code_of_every_variant_is_there(variant: tuple[str, str]) -> None:
    assert code_hash(None, CODE[variant], equalised=True) != code_hash("yunet", CODE[variant])  # type: ignore[index]


@pytest.mark.parametrize(
    ("module", "onnx", "litert"),
    [
        pytest.param("export/to_onnx.py", True, False, id="the writer of one format"),
        pytest.param("export/to_tflite.py", False, True, id="of the other"),
        pytest.param("networks/yunet.py", True, True, id="the network"),
        pytest.param("networks/layers.py", True, True, id="what networks share"),
        pytest.param("networks/retinaface.py", False, False, id="another network"),
        pytest.param("references/torch_module.py", True, True, id="the reference"),
        pytest.param("checkpoints/torch_state.py", True, True, id="a reader of weights"),
        pytest.param("formats/tflite.py", True, True, id="a format"),
        pytest.param("export/equalise.py", False, False, id="what is not used"),
        pytest.param("bundles/card.py", False, False, id="what only writes pages"),
    ],
)
def test_what_a_change_makes_again(module: str, onnx: bool, litert: bool, code: Path) -> None:
    before = [code_hash("yunet", modules, root=code) for modules in (ONNX, LITERT)]
    assert (code / module).is_file()
    changed(code / module)
    after = [code_hash("yunet", modules, root=code) for modules in (ONNX, LITERT)]
    assert [one != other for one, other in zip(before, after, strict=True)] == [onnx, litert]


def test_equalisation_counts_where_it_is_used(code: Path) -> None:
    before = code_hash("yunet", ONNX, equalised=True, root=code)
    changed(code / "export" / "equalise.py")
    assert code_hash("yunet", ONNX, equalised=True, root=code) != before


def test_an_imported_file_depends_on_no_network(code: Path) -> None:
    before = code_hash(None, ONNX, root=code)
    changed(code / "networks" / "yunet.py")
    assert code_hash(None, ONNX, root=code) == before
    changed(code / "references" / "adopt.py")
    assert code_hash(None, ONNX, root=code) != before


def test_a_module_that_moved_is_an_error_and_no_other_hash(code: Path) -> None:
    (code / "export" / "to_onnx.py").unlink()
    with pytest.raises(FileNotFoundError):
        code_hash("yunet", ONNX, root=code)
