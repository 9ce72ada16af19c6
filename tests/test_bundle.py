"""The bundle: where it is looked for, and everything for which it is not believed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import AGE, DEFAULT, EXPRESSION, SpoiledRunner, Tree, add_made, copy, network

from edgeface import selftest
from edgeface.bundle import (
    Network,
    attribute_networks,
    choose_file,
    choose_runtime,
    find_bundle,
    inside,
    open_bundle,
    read_manifest,
)
from edgeface.config import Config, NetworkChoice, RuntimeName
from edgeface.errors import BundleError
from edgeface.runtime import choose_runner, load_network


def refused(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        open_bundle(folder)
    line = str(caught.value)
    assert "\n" not in line
    assert caught.value.exit_code == 2
    return line


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stand-ins for the places where bundles are installed."""
    found = [tmp_path / name for name in ("var", "usr", "wheel", "tree")]
    monkeypatch.chdir(tmp_path)
    return found


def installed(parent: Path, name: str = "default") -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    return folder


def test_places_in_their_order(places: list[Path]) -> None:
    with pytest.raises(BundleError, match=r"bundle 'default' is in none of .*var, .*usr, .*wheel, .*tree; "):
        find_bundle(None, Config(), {}, parents=places)
    for place in reversed(places):
        folder = installed(place)
        assert find_bundle(None, Config(), {}, parents=places) == folder


def test_option_over_environment_over_configuration(places: list[Path]) -> None:
    made = {name: installed(places[0], name) for name in ("default", "table", "variable", "option")}
    config = Config(bundle="table")
    assert find_bundle(None, Config(), {}, parents=places) == made["default"]
    assert find_bundle(None, config, {}, parents=places) == made["table"]
    assert find_bundle(None, config, {"EDGEFACE_BUNDLE": "variable"}, parents=places) == made["variable"]
    assert find_bundle("option", config, {"EDGEFACE_BUNDLE": "variable"}, parents=places) == made["option"]


def test_a_folder_is_a_path(places: list[Path], tmp_path: Path) -> None:
    own = installed(tmp_path, "own")
    assert find_bundle("own", Config(), {}, parents=places) == Path("own")
    assert find_bundle(str(own), Config(), {}) == own
    with pytest.raises(BundleError, match="there is no bundle folder ./gone"):
        find_bundle("./gone", Config(), {}, parents=places)


def test_the_default_bundle_holds() -> None:
    opened = open_bundle(DEFAULT)
    assert set(opened.manifest.defaults) == {"detect", "age", "gender", "expression"}
    assert sum(path.stat().st_size for path in DEFAULT.parent.rglob("*") if path.is_file()) < 15_000_000


def first_file(tree: Tree, name: str = AGE) -> Tree:
    found: Tree = network(tree, name)["files"]["onnx"][0]
    return found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda t: t.update(schema=2), "has schema 2, this edgeface reads up to 1; upgrade", id="newer"),
        pytest.param(lambda t: t.update(schema=2, networks="?"), "has schema 2", id="newer and unreadable otherwise"),
        pytest.param(lambda t: t.pop("schema"), "is not a manifest: .*schema", id="no schema"),
        pytest.param(lambda t: t.update(run="rm"), "is not a manifest: .*`run`", id="unknown key"),
        pytest.param(lambda t: first_file(t).update(sha256="0"), "is not a manifest: .*sha256", id="no hash"),
        pytest.param(lambda t: first_file(t).update(precision="fp8"), "is not a manifest: .*fp8", id="precision"),
        pytest.param(lambda t: first_file(t).update(path="../x.onnx"), "outside the bundle: ../x.onnx", id="up"),
        pytest.param(lambda t: first_file(t).update(path="/etc/passwd"), "outside the bundle: /etc", id="absolute"),
        pytest.param(lambda t: first_file(t).update(path="a/../../x"), "outside the bundle", id="down and up"),
        pytest.param(lambda t: first_file(t).update(path=""), "outside the bundle", id="the folder itself"),
        pytest.param(lambda t: first_file(t).update(path="a\0b"), "outside the bundle", id="zero byte"),
        pytest.param(
            lambda t: network(t, AGE)["selftest"].update(path="../x.npz"), "outside the bundle", id="self-test"
        ),
        pytest.param(
            lambda t: first_file(t).update(session={"session.load_model_format": "ORT"}),
            "session option session.load_model_format=ORT is not allowed",
            id="session option",
        ),
        pytest.param(
            lambda t: first_file(t).update(session={"session.disable_quant_qdq": "2"}), "is not allowed", id="its value"
        ),
        pytest.param(lambda t: t["defaults"].update(age="nobody"), "network nobody is missing", id="default missing"),
        pytest.param(lambda t: t["networks"].append(t["networks"][0]), "yunet is missing or named twice", id="twice"),
        pytest.param(lambda t: network(t, AGE)["head"].update(kind="pickle"), "is not a manifest: .*pickle", id="head"),
    ],
)
def test_manifests_that_are_refused(tmp_path: Path, change: Callable[[Tree], Any], said: str) -> None:
    folder = copy(tmp_path, change)
    with pytest.raises(BundleError, match=said):
        open_bundle(folder)
    assert str(folder / "manifest.json") in refused(folder)


def set_input(**values: Any) -> Callable[[Tree], Any]:
    return lambda tree: network(tree, AGE)["input"].update(values)


def set_head(name: str, **values: Any) -> Callable[[Tree], Any]:
    return lambda tree: network(tree, name)["head"].update(values)


def set_file(**values: Any) -> Callable[[Tree], Any]:
    return lambda tree: first_file(tree).update(values)


MTCNN = {"kind": "mtcnn", "refine": AGE, "output": AGE}
ESCAPE = "a\x1b[2J"


@pytest.mark.parametrize(
    "change",
    [
        *(pytest.param(set_file(batches=b), id=f"batches {b}") for b in ([], [0], [-1], [65], [10**9], [1.5], [4, 1])),
        *(pytest.param(set_file(bytes=b), id=f"bytes {b}") for b in (-1, 10**12, 10**40, "1")),
        *(pytest.param(set_file(tolerance=t), id=f"tolerance {t}") for t in (-1, 0.6, 1e308)),
        pytest.param(set_file(outputs={"probabilities": "a" * 1001}), id="output"),
        pytest.param(set_head(EXPRESSION, output=ESCAPE), id="an output that no file gives"),
        *(pytest.param(set_input(height=h, width=h), id=f"side {h}") for h in (0, -1, 10**6, 64.5, True)),
        pytest.param(set_input(height=None), id="half a size"),
        pytest.param(set_input(crop=None), id="no crop"),
        *(pytest.param(set_input(crop={"kind": "square", "scale": s}), id=f"square {s}") for s in (-1.0, 0, 1e9)),
        pytest.param(
            set_input(crop={"kind": "box", "left": -0.5, "top": 0, "right": -0.5, "bottom": 0}), id="nothing is left"
        ),
        *(
            pytest.param(set_input(crop={"kind": "landmarks", "template": t}), id=f"template {i}")
            for i, t in enumerate(([[0, 0]] * 4, [[0, 0]] * 6, [[0, 0]] * 5, [[1e9, 0], *[[0, 0]] * 4], [[0]] * 5))
        ),
        *(pytest.param(set_input(mean=m), id=f"mean {m}") for m in ([], [1, 2], [1, 2, 3, 4], [1e9, 0, 0], "0")),
        *(pytest.param(set_input(scale=s), id=f"scale {s}") for s in (0, -1, 1e9, [1, 1], [1, 1, 0], None)),
        *(
            pytest.param(set_head(EXPRESSION, labels=labels), id=f"labels {i}")
            for i, labels in enumerate(
                ([], ["a"], ["a", "a"], [ESCAPE, "b"], ["a\n", "b"], ["", "b"], ["a" * 65, "b"], ["a b", "c"], [1, 2])
            )
        ),
        pytest.param(set_head("yunet", strides=[8, 16, 32, 64]), id="a stride without outputs"),
        *(pytest.param(set_head("yunet", strides=s), id=f"strides {s}") for s in ([], [0], [-8], [16, 8, 32])),
        *(pytest.param(set_head("yunet", nms_iou=i), id=f"iou {i}") for i in (0, -1, 1.01)),
        pytest.param(set_head("retinaface", prior_sizes=[[16, 32], [64, 128]]), id="prior sizes for two strides"),
        pytest.param(set_head("retinaface", variances=[0.0, 0.2]), id="variance"),
        *(pytest.param(set_head(AGE, support=s), id=f"support {s}") for s in ([], [1], [2, 1], [1, 1], [0, 999])),
        *(pytest.param(set_head(AGE, percentiles=p), id=f"percentiles {p}") for p in ([90, 10], [-1, 50], [50])),
        *(
            pytest.param(lambda t, f=f: network(t, "yunet").update(head={**MTCNN, "factor": f}), id=f"factor {f}")
            for f in (0, 1.0, 0.99, -0.7)
        ),
        pytest.param(lambda t: network(t, "yunet").update(head={"kind": "cascade", "scale_factor": 1.0}), id="cascade"),
        pytest.param(lambda t: network(t, "yunet").update(head=network(t, AGE)["head"]), id="a head of another"),
        pytest.param(lambda t: network(t, "yunet")["input"].update(crop={"kind": "square"}), id="a detector's crop"),
        pytest.param(lambda t: network(t, AGE).update(files={}), id="no files"),
        pytest.param(lambda t: network(t, AGE)["files"].update(litert=[first_file(t)]), id="of another runtime"),
        pytest.param(lambda t: network(t, AGE)["files"]["litert"][0].update(signatures=[]), id="no signature"),
        pytest.param(lambda t: network(t, AGE).update(macs=-1), id="macs"),
        pytest.param(lambda t: network(t, AGE).update(licence=ESCAPE), id="licence"),
        pytest.param(lambda t: network(t, AGE).update(limits="a" * 5000), id="endless words"),
        pytest.param(lambda t: network(t, AGE)["selftest"].update(bytes=10**9), id="self-test"),
        pytest.param(lambda t: t["defaults"].pop("detect"), id="no default detector"),
        pytest.param(lambda t: t["defaults"].update(detect=AGE), id="a default that finds no faces"),
        pytest.param(lambda t: t["defaults"].update(age=EXPRESSION), id="a default for something else"),
        pytest.param(lambda t: t.update(networks=[]), id="no networks"),
        pytest.param(lambda t: t.update({ESCAPE: 1}), id="a key that moves the cursor"),
    ],
)
def test_values_that_cannot_hold_are_one_line(tmp_path: Path, change: Callable[[Tree], Any]) -> None:
    tree = json.loads((DEFAULT / "manifest.json").read_text())
    change(tree)
    (tmp_path / "manifest.json").write_text(json.dumps(tree))
    assert refused(tmp_path).isprintable()


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "1" * 5000])
def test_numbers_that_are_none(tmp_path: Path, number: str) -> None:
    text = (DEFAULT / "manifest.json").read_text().replace('"tolerance": 0.001', f'"tolerance": {number}')
    (tmp_path / "manifest.json").write_text(text)
    assert "is not a manifest" in refused(tmp_path)


@pytest.mark.parametrize(
    "path", ["default/manifest.json", *(f"{name}.manifest.json" for name in ("classic", "field", "mtcnn"))]
)
def test_recorded_manifests_hold(path: str) -> None:
    folder = DEFAULT.parent if "/" in path else DEFAULT.parents[1] / "converters" / "recipes" / "bundles"
    assert read_manifest((folder / path).read_bytes(), path).networks


def test_an_older_schema_names_what_renews_it(tmp_path: Path) -> None:
    folder = copy(tmp_path, lambda tree: tree.update(schema=0))
    assert "has schema 0, this edgeface reads from 1 on; build it again with `python -m converters" in refused(folder)


def test_a_manifest_is_neither_endless_nor_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with path.open("wb") as file:
        file.truncate(10**11)
    assert "has over 8,000,000 bytes" in refused(tmp_path)
    path.unlink()
    os.mkfifo(path)
    assert "it is no plain file" in refused(tmp_path)


def test_a_file_is_read_no_further_than_it_states(tmp_path: Path) -> None:
    opened = open_bundle(copy(tmp_path))
    path = opened.folder / opened.network("yunet").files["onnx"][0].path
    with path.open("r+b") as file:
        file.truncate(10**12)
    with pytest.raises(BundleError, match="is not the file of the manifest"):
        load_network(opened, opened.network("yunet"), "onnx")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="half"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b'{"schema": 1, "name": ' + b"[" * 100_000, id="as deep as a well"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(data)
    assert "is not a manifest" in refused(tmp_path)


def test_no_manifest_at_all(tmp_path: Path) -> None:
    assert "cannot be read: No such file or directory; give a bundle's folder" in refused(tmp_path)


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_text("x")
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "file").symlink_to(outside)
    (folder / "folder").symlink_to(tmp_path)
    (folder / "ring").symlink_to(folder / "ring")
    (folder / "within").symlink_to("own")
    (folder / "own").write_text("x")
    for path in ("file", "folder/secret", "folder/bundle/../secret"):
        with pytest.raises(BundleError, match="outside the bundle"):
            inside(folder, path)
    assert inside(folder, "within") == folder / "own"
    with pytest.raises(BundleError):
        open_bundle(DEFAULT).read("nowhere", size=1, sha256="0" * 64)
    # A folder of bundles may itself be a link.
    (tmp_path / "alias").symlink_to(folder)
    assert inside(tmp_path / "alias", "own") == folder / "own"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda path: path.unlink(), "cannot be read: No such file", id="missing"),
        pytest.param(
            lambda path: path.write_bytes(path.read_bytes()[:-1]), "is not the file of the manifest", id="cut"
        ),
        pytest.param(
            lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]),
            "is not the file of the manifest",
            id="changed",
        ),
        pytest.param(lambda path: (path.unlink(), path.mkdir()), "cannot be read: Is a directory", id="folder"),
    ],
)
def test_files_that_are_not_those_of_the_manifest(tmp_path: Path, spoil: Callable[[Path], Any], said: str) -> None:
    opened = open_bundle(copy(tmp_path))
    wanted = opened.network("yunet")
    spoil(opened.folder / wanted.files["onnx"][0].path)
    with pytest.raises(BundleError, match=said):
        load_network(opened, wanted, "onnx")


def test_right_hash_and_wrong_size(tmp_path: Path) -> None:
    opened = open_bundle(copy(tmp_path, lambda tree: first_file(tree, "yunet").update(bytes=7)))
    with pytest.raises(BundleError, match="is not the file of the manifest"):
        load_network(opened, opened.network("yunet"), "onnx")


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
def test_a_file_that_no_runtime_reads(runtime: RuntimeName, tmp_path: Path) -> None:
    junk = os.urandom(100)
    entry = {"bytes": 100, "sha256": hashlib.sha256(junk).hexdigest()}
    opened = open_bundle(copy(tmp_path, lambda tree: network(tree, "yunet")["files"][runtime][0].update(entry)))
    (opened.folder / opened.network("yunet").files[runtime][0].path).write_bytes(junk)
    with pytest.raises(BundleError, match=f"does not load in {runtime}: .+; choose another") as caught:
        load_network(opened, opened.network("yunet"), runtime)
    assert "\n" not in str(caught.value)


def test_names_that_are_not_there() -> None:
    opened = open_bundle(DEFAULT)
    with pytest.raises(BundleError, match="has no network 'age-v2'; choose one of: yunet, retinaface"):
        opened.network("age-v2")
    with pytest.raises(BundleError, match="yunet answers no question about a face"):
        opened.network("yunet").attribute_head()


def test_which_runtime() -> None:
    manifest = open_bundle(DEFAULT).manifest
    assert choose_runtime(manifest, "litert", machine="x86_64") == "litert"
    assert choose_runtime(manifest, "onnx", machine="aarch64") == "onnx"
    for machine in ("x86_64", "aarch64"):
        assert choose_runtime(manifest, "auto", machine=machine) == manifest.runtimes[machine].runtime
    assert choose_runtime(manifest, "auto", machine="riscv64") == "onnx"


def test_which_file() -> None:
    wanted = open_bundle(DEFAULT).network(AGE)
    files = wanted.files["onnx"]
    assert choose_file(wanted, "onnx") == files[0]
    assert choose_file(wanted, "onnx", files[-1].precision) == files[-1]
    lacking = missing_precision(wanted)
    with pytest.raises(BundleError, match=f"network {AGE} has no {lacking} for litert; it has: .*onnx/"):
        choose_file(wanted, "litert", lacking)


def test_a_table_for_one_network() -> None:
    opened = open_bundle(DEFAULT)
    wanted = opened.network(EXPRESSION)
    config = Config(networks={EXPRESSION: NetworkChoice(runtime="litert", precision="fp16w")})
    assert choose_runner(opened, wanted, config, "onnx", threads=1).file.runtime == "litert"
    assert choose_runner(opened, wanted, Config(), "onnx", threads=1).file.runtime == "onnx"
    lacking = missing_precision(wanted)
    with pytest.raises(BundleError, match=f"has no {lacking} for onnx"):
        choose_runner(
            opened, wanted, Config(networks={EXPRESSION: NetworkChoice(precision=lacking)}), "onnx", threads=1
        )


def missing_precision(wanted: Network) -> str:
    have = {file.precision for files in wanted.files.values() for file in files}
    return next(precision for precision in ("int8", "int8w", "fp16w", "fp32") if precision not in have)


def test_which_networks_look_at_faces(tmp_path: Path) -> None:
    opened = open_bundle(add_made(copy(tmp_path), "answers"), allow_random=True)
    usual = [opened.manifest.defaults[task] for task in ("age", "gender", "expression")]
    assert [network.name for network in attribute_networks(opened, Config())] == list(dict.fromkeys(usual))
    config = Config(attributes={"age": False, "gender": "answers"})
    assert [network.name for network in attribute_networks(opened, config)] == ["answers", EXPRESSION]
    with pytest.raises(BundleError, match=rf"{EXPRESSION} answers expression, not age; correct \[attributes\]"):
        attribute_networks(opened, Config(attributes={"age": EXPRESSION}))
    with pytest.raises(BundleError, match="no network 'nobody'"):
        attribute_networks(opened, Config(attributes={"age": "nobody"}))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda array: array + 0.3 * np.abs(array).max(), id="off"),
        pytest.param(lambda array: array * np.float32(np.nan), id="not a number"),
        pytest.param(lambda array: array[:, :1], id="shape"),
    ],
)
def test_a_processor_that_computes_wrongly(spoil: Callable[[np.ndarray], np.ndarray]) -> None:
    opened = open_bundle(DEFAULT)
    wanted = opened.network(EXPRESSION)
    runner = load_network(opened, wanted, "onnx")
    assert selftest.check(opened, wanted, runner) <= runner.file.tolerance
    with pytest.raises(BundleError, match="self-test"):
        selftest.check(opened, wanted, SpoiledRunner(runner, spoil))


def test_a_stored_input_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, input=np.array([print], dtype=object))
    entry = {"path": "own.npz", "bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    folder = copy(tmp_path, lambda tree: network(tree, EXPRESSION)["selftest"].update(entry))
    path.rename(folder / "own.npz")
    opened = open_bundle(folder)
    wanted = opened.network(EXPRESSION)
    with pytest.raises(BundleError, match=f"the self-test of network {EXPRESSION} .* does not fit it"):
        selftest.check(opened, wanted, load_network(opened, wanted, "onnx"))
