"""The files of one network: each variant in each runtime, made from the reference and kept while nothing changed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from converters.building.answers import check_answers
from converters.building.parts import beside
from converters.building.quiet import explained, silence
from converters.building.stamps import CODE, ENTRY, MATTERS, anywhere, code_hash, tool_versions
from converters.checkpoints.archive import ArchiveError, read_source, unpinned
from converters.formats.json_files import write_json
from converters.paths import PART, file_name, products_folder, selftest_name
from converters.recipes.schema import NetworkRecipe, Prepared, Quantize, Recipe
from converters.references.torch_module import Reference, TorchReference
from edgeface.bundle import CascadeHead, FileRuntime, Precision, Signature
from edgeface.config import RuntimeName
from edgeface.errors import EdgefaceError
from edgeface.files import write_atomic

if TYPE_CHECKING:
    from onnx import ModelProto

STAMPS = "stamps.json"
logger = logging.getLogger(__name__)


class Maker:
    """Makes the files of one network in ``products/NAME/``.

    A file is taken as it lies when its stamp holds: recipe, ranges, tools and our own code are those it was made of.

    Parameters
    ----------
    name : what the network is built under
    products : folder for all networks' files; None: ``build/networks``, which is git-ignored
    again : make everything anew
    """

    def __init__(self, name: str, recipe: Recipe, *, products: Path | None = None, again: bool = False) -> None:
        self.name = name
        self.network: NetworkRecipe = recipe.networks[name]
        self.folder = (products or products_folder()) / name
        self.ranges = recipe.ranges_path(name)
        self._recipe = recipe
        self._again = again
        self._made: set[Path] = set()

    @property
    def prepared(self) -> Prepared:
        """Shapes that the files are prepared for."""
        return self.network.shapes(self._recipe.prepared)

    @property
    def signatures(self) -> tuple[Signature, ...]:
        """The same as signatures of a TFLite file."""
        return self.network.signatures(self._recipe.prepared)

    @cached_property
    def reference(self) -> Reference:
        """What the files are made from and held against; it answers as its recipe says.

        Raises
        ------
        EdgefaceError : in one line, why the source or the recipe cannot be used
        """
        reference = self._load()
        if not isinstance(self.network.head, CascadeHead):
            check_answers(self.name, self.network, reference, self._recipe.selftest)
        return reference

    def _load(self) -> Reference:
        if self.network.family is not None:
            return TorchReference(self.network)
        if isinstance(self.network.head, CascadeHead):
            from converters.references.cascade import CascadeReference

            return CascadeReference(self.network)
        from converters.references.imported import ImportedReference

        return ImportedReference(self.name, self.network, self.prepared)

    def files(self) -> list[tuple[FileRuntime, Precision]]:
        """Every variant that the recipe ships."""
        return [(runtime, precision) for runtime, kinds in self.network.files.items() for precision in kinds]

    def file(self, runtime: FileRuntime, precision: Precision, *, equalised: bool = False) -> Path:
        """Path of one variant, made unless it is there already.

        Raises
        ------
        EdgefaceError : in one line, why it cannot be made
        """
        name = file_name(self.name, runtime, precision)
        path = self.folder / (name.replace(".fp32.", ".fp32-equalised.") if equalised else name)
        with self._kept(path, self._stamp(runtime, precision, equalised)) as wanted:
            if wanted:
                logger.info("%s: making %s", self.name, path.name)
                self._make(runtime, precision, path, equalised=equalised)
        return path

    def selftest(self) -> Path:
        """Path of the stored input with its expected outputs."""
        path = self.folder / selftest_name(self.name)
        with self._kept(path, self._stamp("selftest", "fp32", False)) as wanted:
            if wanted:
                from converters.building.selftest import make_selftest

                write_atomic(path, make_selftest(self.reference, self.network, self._recipe.selftest))
        return path

    def _make(self, runtime: FileRuntime, precision: Precision, path: Path, *, equalised: bool) -> None:
        if self.network.as_is == runtime and precision == "fp32":
            assert self.network.source is not None
            data, companions = read_source(self.network.source)
            if runtime == "onnx":
                from converters.formats.onnx_data import whole_file

                data = whole_file(data, path.name, companions)
            write_atomic(path, data)
        elif runtime == "opencv":
            raise EdgefaceError(f"{self.name}: OpenCV runs a file only as it came", fix='set as_is = "opencv"')
        elif precision == "int8":
            self._make_int8(runtime, path)
        elif precision != "fp32":
            self._make_small(runtime, precision, path)
        elif isinstance(self.reference, TorchReference):
            with explained(self.network.family or "", runtime):
                self._export(runtime, path, equalised=equalised)
        else:
            from converters.references.imported import ImportedReference

            assert isinstance(self.reference, ImportedReference)
            self.reference.write(runtime, path)

    def _export(self, runtime: RuntimeName, path: Path, *, equalised: bool) -> None:
        from converters.export.denormals import clear_onnx, clear_tflite

        reference = self.reference
        assert isinstance(reference, TorchReference)
        module = reference.module
        if equalised:
            from converters.export.equalise import equalise

            module = equalise(module)
        if runtime == "onnx":
            from converters.export.to_onnx import export_onnx

            # Folding a normalisation into a convolution makes new small values.

            with silence():
                model = export_onnx(
                    module,
                    self.shape,
                    reference.names,
                    multiple_of=None if self.network.input.width else self.network.input.multiple_of or 32,
                    states=reference.states,
                )
            self._save(clear_onnx(model), path)
            return
        from converters.export.to_tflite import export_tflite

        path.parent.mkdir(parents=True, exist_ok=True)
        with silence(), beside(path) as part:
            export_tflite(module, self.shape, self.signatures, part, states=reference.states)
            part.write_bytes(clear_tflite(part.read_bytes()))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input without its batch: C, H, W, with the frames first for a window."""
        network = self.network
        return (*network.frames, network.channels, network.input.height or 0, network.input.width or 0)

    def _make_small(self, runtime: RuntimeName, precision: Precision, path: Path) -> None:
        keep = self._quantize(runtime).keep
        plain = self.file(runtime, "fp32")
        if runtime == "onnx":
            import onnx

            from converters.export.weights import fp16_weights, int8_weights

            model = onnx.load(plain)
            self._save(int8_weights(model, keep) if precision == "int8w" else fp16_weights(model), path)
            return
        from converters.export.tflite_weights import shrink_weights

        with silence(), beside(path) as part:
            shrink_weights(plain, precision, part, keep)

    def _make_int8(self, runtime: RuntimeName, path: Path) -> None:
        from converters.building.int8 import make_int8

        how = self._quantize(runtime)
        plain = self.file(runtime, "fp32", equalised=how.equalise)
        with silence(), beside(path) as part:
            try:
                make_int8(plain, runtime, how, self.ranges, part)
            except EdgefaceError as error:
                # Who reads ranges knows the network's name, not what its recipe is called on a command line.
                said = self._recipe.argument(self.name)
                fix = error.fix.replace(f"calibrate {self.name}`", f"calibrate {said}`")
                raise type(error)(error.what, fix=fix) from None

    def _quantize(self, runtime: RuntimeName) -> Quantize:
        return self.network.quantize.get(runtime, Quantize())

    def _save(self, model: ModelProto, path: Path) -> None:
        write_atomic(path, model.SerializeToString(deterministic=True))

    def _stamp(self, runtime: str, precision: Precision, equalised: bool) -> str:
        """Hash of everything that a file depends on: words about a network are none of it.

        Values are told by ``repr``: as plain data a field is left out or not by whether it *is* the default, which a
        copy in another process is not.
        """
        network = self.network
        parts: list[Any] = [runtime, precision, equalised, tool_versions(), repr(self.signatures)]
        parts += [repr(getattr(anywhere(network), name)) for name in MATTERS]
        parts += [self._unpinned] if self._unpinned else []
        evened = equalised or (precision == "int8" and self._quantize(runtime).equalise)  # type: ignore[arg-type]
        parts.append(code_hash(network.family, CODE.get((runtime, precision), ()), equalised=evened))
        if runtime == "selftest":
            parts += [repr(self._recipe.selftest), repr(network.head), *([repr(network.also)] if network.also else [])]
        elif precision != "fp32":
            how = network.quantize.get(runtime)  # type: ignore[call-overload]
            parts.append(repr(how))
        if precision == "int8" and self.ranges.is_file():
            parts.append(hashlib.sha256(self.ranges.read_bytes()).hexdigest())
        return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()

    def keep_entry(self, entry: bytes) -> None:
        """Write the network's part of a manifest, and remember what it was written of."""
        path = self.folder / PART
        with self._kept(path, self._entry_stamp(), always=True):
            write_atomic(path, entry)

    def kept_entry(self) -> bytes | None:
        """The network's part of a manifest as it was written, where everything lies there and nothing has changed."""
        path = self.folder / PART
        return path.read_bytes() if self.stands() and self._holds(path, self._entry_stamp()) else None

    def _entry_stamp(self) -> str:
        """Hash of all that the facts in an entry depend on: every file, and the code that describes them."""
        stamps = [self._stamp(runtime, precision, False) for runtime, precision in self.files()]
        parts = [*stamps, self._stamp("selftest", "fp32", False), code_hash(self.network.family, ENTRY)]
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    @cached_property
    def _unpinned(self) -> dict[str, str]:
        """What the source consists of beyond its pins; what is not there cannot have changed."""
        try:
            return {} if self.network.source is None or self.network.random else unpinned(self.network.source)
        except ArchiveError:
            return {}

    def forget(self) -> None:
        """Take nothing of what was made for granted the next time."""
        (self.folder / STAMPS).unlink(missing_ok=True)

    def is_kept(self, runtime: FileRuntime, precision: Precision) -> bool:
        """Whether a variant lies there and nothing that it was made of has changed."""
        path = self.folder / file_name(self.name, runtime, precision)
        return self._holds(path, self._stamp(runtime, precision, False))

    def stands(self) -> bool:
        """Whether everything that the recipe ships lies there, and nothing that it was made of has changed."""
        test = self._holds(self.folder / selftest_name(self.name), self._stamp("selftest", "fp32", False))
        return test and all(self.is_kept(runtime, precision) for runtime, precision in self.files())

    @contextmanager
    def _kept(self, path: Path, stamp: str, *, always: bool = False) -> Iterator[bool]:
        """Say whether a file must be made; what was made is stamped with its own hash when it stands."""
        wanted = always or (self._again and path not in self._made) or not self._holds(path, stamp)
        yield wanted
        if wanted:
            self._made.add(path)
            stamps = self._stamps()
            stamps[self._key(path)] = [stamp, hashlib.sha256(path.read_bytes()).hexdigest()]
            write_json(self.folder / STAMPS, stamps, order="sorted")

    def _holds(self, path: Path, stamp: str) -> bool:
        if not path.is_file():
            return False
        return self._stamps().get(self._key(path)) == [stamp, hashlib.sha256(path.read_bytes()).hexdigest()]

    def _stamps(self) -> dict[str, list[str]]:
        book = self.folder / STAMPS
        return msgspec.json.decode(book.read_bytes(), type=dict[str, list[str]]) if book.is_file() else {}

    def _key(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()
