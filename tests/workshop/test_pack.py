"""``pack`` and ``compare``: the same bytes anywhere, and what differs between two bundles or files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.tools import flatbuffer_utils
from bundles import EXPRESSION
from onnx import numpy_helper

from converters.__main__ import main
from converters.building.entry import encode
from converters.bundles.compare import compare_bundles
from converters.bundles.pack import pack
from converters.inspection.compare_files import apart, compare_answers, compare_files
from converters.paths import BUNDLE, bundle_at
from edgeface.bundle import MANIFEST, Bundle, open_bundle
from edgeface.errors import BundleError, UsageError
from edgeface.installing import install


def test_a_bundle_packs_to_the_same_bytes_anywhere_and_installs(tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    shutil.copytree(BUNDLE, other)
    (other / "notes.txt").write_text("not part of it", "utf-8")
    data = pack(open_bundle(BUNDLE))
    assert pack(open_bundle(other)) == data
    assert b"notes.txt" not in data
    (tmp_path / "default.tar").write_bytes(data)
    bundle = install(tmp_path / "default.tar", tmp_path / "models")
    assert bundle.manifest == open_bundle(BUNDLE).manifest


def test_a_file_that_is_not_the_manifests_is_not_packed(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    (tmp_path / "bundle" / f"{EXPRESSION}.int8.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=rf"{EXPRESSION}\.int8\.onnx is not the file of the manifest"):
        pack(open_bundle(tmp_path / "bundle"))


def test_no_bundle_is_one_line() -> None:
    with pytest.raises(UsageError, match="there is no bundle nowhere; run `python -m converters build nowhere`"):
        bundle_at("nowhere")


def test_a_bundle_does_not_differ_from_itself(bundle: Bundle) -> None:
    assert list(compare_bundles(bundle, bundle)) == []


def test_what_differs_between_bundles_is_named(tmp_path: Path, bundle: Bundle) -> None:
    folder = tmp_path / "other"
    shutil.copytree(BUNDLE, folder)
    networks = {network.name: network for network in bundle.manifest.networks}
    expression = networks[EXPRESSION]
    figure = expression.measured[0]
    int8, half = (next(f for f in expression.files["onnx"] if f.precision == p) for p in ("int8", "fp16w"))
    swapped = msgspec.structs.replace(int8, path=half.path, bytes=half.bytes, sha256=half.sha256)
    changed = msgspec.structs.replace(
        expression,
        licence="another",
        measured=(msgspec.structs.replace(figure, value=figure.value + 1), *expression.measured[1:]),
        files={**expression.files, "onnx": (half, swapped)},
    )
    kept = [changed if n.name == EXPRESSION else n for n in bundle.manifest.networks if n.name != "yunet"]
    manifest = msgspec.structs.replace(
        bundle.manifest,
        version="2",
        networks=tuple(kept),
        defaults={**bundle.manifest.defaults, "detect": "retinaface"},
    )
    (folder / MANIFEST).write_bytes(encode(manifest))
    lines = list(compare_bundles(bundle, open_bundle(folder)))
    assert f"manifest.version: '{bundle.manifest.version}' -> '2'" in lines
    assert "manifest.defaults.detect: 'yunet' -> 'retinaface'" in lines
    assert f"network yunet: only in {bundle.folder}" in lines
    assert f"{EXPRESSION}.licence: '{expression.licence}' -> 'another'" in lines
    (file,) = [line for line in lines if line.startswith(f"{EXPRESSION} onnx int8:")]
    assert f"{int8.bytes:,} -> {half.bytes:,} bytes, outputs up to" in file
    assert sum(figure.metric in line and f"-> {figure.value + 1}" in line for line in lines) == 1
    assert f"{EXPRESSION} onnx int8.path: '{int8.path}' -> '{half.path}'" in lines
    assert len(lines) == 7


def test_what_differs_between_checkpoints_is_named(tmp_path: Path) -> None:
    one = {"same": torch.ones(3), "moved": torch.tensor([2.0, 4.0]), "grown": torch.zeros(2), "gone": torch.zeros(1)}
    other = {"same": torch.ones(3), "moved": torch.tensor([2.0, 3.0]), "grown": torch.zeros(3), "new": torch.zeros(1)}
    torch.save(one, tmp_path / "a.pth")
    torch.save(other, tmp_path / "b.pth")
    assert sorted(compare_files(tmp_path / "a.pth", tmp_path / "b.pth")) == sorted(
        [
            f"gone: only in {tmp_path / 'a.pth'}",
            f"new: only in {tmp_path / 'b.pth'}",
            "grown: shape [2] -> [3]",
            "moved: up to 2.50e-01 apart",
        ]
    )


def test_networks_are_compared_by_what_they_answer(small_file: Callable[[str, str], Path], tmp_path: Path) -> None:
    plain = small_file("fp32", "onnx")
    assert list(compare_files(plain, plain)) == []
    model = onnx.load(plain)
    (weight, *_) = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.5), weight.name))
    onnx.save(model, tmp_path / "moved.onnx")
    lines = list(compare_files(plain, tmp_path / "moved.onnx"))
    assert len(lines) == 2
    assert lines[0].startswith("answers to noise up to ")
    assert float(lines[0].split()[5]) > 1e-4
    assert lines[1] == f"{weight.name}: up to 5.00e-01 apart"


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_an_int8_form_differs_in_operators_and_answers(small_file: Callable[[str, str], Path], suffix: str) -> None:
    lines = list(compare_files(*(small_file(form, suffix) for form in ("fp32", "int8"))))
    assert "quantization: none -> full integer, per channel" in lines
    quantize = {"onnx": "operator QuantizeLinear: 0 -> ", "tflite": "operator QUANTIZE: 0 -> "}[suffix]
    assert any(line.startswith(quantize) for line in lines)
    answers = [line for line in lines if "answers to noise up to" in line]
    assert [line.partition("answers")[0] for line in answers] == (
        [""] if suffix == "onnx" else ["signature b1: ", "signature b4: ", "signature b8: "]
    )


def test_a_signature_less_is_named_and_the_others_answer_the_same(
    small_file: Callable[[str, str], Path], tmp_path: Path
) -> None:
    plain, less = small_file("fp32", "tflite"), tmp_path / "less.tflite"
    model = flatbuffer_utils.read_model(str(plain))
    model.signatureDefs = [s for s in model.signatureDefs if s.signatureKey != b"b1"]
    for signature in model.signatureDefs:
        if signature.signatureKey == b"b4":
            signature.outputs[0].name = b"other"
    flatbuffer_utils.write_model(model, str(less))
    lines = list(compare_files(plain, less))
    assert [line.partition(":")[0] for line in lines] == [
        "signature b1, inputs", "signature b1, outputs", "signature b4, outputs",
    ]  # fmt: skip
    assert lines[2].startswith("signature b4, outputs: output_0 4x7 float32 -> other 4x7 float32")


def test_answers_that_are_no_numbers_differ_from_numbers() -> None:
    one, none = {"": {"y": np.array([1, 2], np.float32)}}, {"": {"y": np.array([1, np.nan], np.float32)}}
    assert list(compare_answers(one, one, {""})) == list(compare_answers(none, none, {""})) == []
    assert list(compare_answers(one, none, {""})) == ["answers to noise up to nan apart (output y)"]
    assert list(compare_answers(one, none, set())) == [], "other inputs: nothing to compare"


def test_files_for_two_runtimes_are_compared_by_what_they_are(small_file: Callable[[str, str], Path]) -> None:
    lines = list(compare_files(small_file("fp32", "onnx"), small_file("fp32", "tflite")))
    assert any(line.startswith("inputs: ") for line in lines)
    assert not any("to noise" in line for line in lines)


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "nothing.onnx", str(BUNDLE / "yunet.fp32.onnx")]) == 2
    assert capsys.readouterr().err == "edgeface: there is no file nothing.onnx; give two bundles or two files\n"


def test_apart_is_a_share_of_the_first_ones_largest() -> None:
    assert apart(np.array([4.0, -8.0]), np.array([4.0, -6.0])) == 0.25
    assert apart(np.zeros(2), np.zeros(2)) == 0
