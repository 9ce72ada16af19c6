"""Recipes: the only place where numbers are chosen, read into types that refuse what they do not know.

``recipes/networks/NAME.toml`` is one network and its variants, ``recipes/bundles/NAME.toml`` a choice of networks,
``recipes/workshop.toml`` what holds for all of them.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from converters.names import ranges_path
from edgeface.bundle import (
    MANIFEST,
    AttributeHead,
    Closed,
    FileRuntime,
    Four,
    Head,
    Input,
    MtcnnHead,
    NetworkTask,
    Precision,
    PreferredRuntime,
    Signature,
    Source,
    Time,
)
from edgeface.config import RuntimeName
from edgeface.detect.mtcnn import pyramid_sizes
from edgeface.errors import UsageError
from edgeface.types import Task

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).parent / "recipes"
VARIANT = "@"
"""``mobilenet-v1@w050`` is the variant ``w050`` of ``mobilenet-v1``, and built as ``mobilenet-v1-w050``."""
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
DetectOrTask = Task | Literal["detect"]
Calibration = Literal["average", "minmax"]
"""How int8 ranges are gathered: a moving average over the samples, or the least and the largest value."""

T = TypeVar("T")


class Limit(Closed, frozen=True, kw_only=True):
    """How much a quantized file may lose against fp32 and still ship; any one that is named suffices.

    ``points`` are of accuracy or average precision (percent), ``years`` of mean absolute error, ``agreement`` the
    share of equal answers.
    """

    points: float | None = None
    years: float | None = None
    agreement: float | None = None


class SelfTestRecipe(Closed, frozen=True, kw_only=True):
    """The face of the self-tests' picture in pixels, and the input size (width, height) of a detector's test."""

    box: Four
    landmarks: tuple[tuple[float, float], ...]
    detector_size: tuple[int, int]


class Prepared(Closed, frozen=True, kw_only=True):
    """Shapes that a device meets: input sizes (width, height) of detectors, batches of attribute networks."""

    sizes: tuple[tuple[int, int], ...] = ()
    batches: tuple[int, ...] = (1,)


class Quantize(Closed, frozen=True, kw_only=True):
    """How one runtime's int8 file is made.

    ``keep`` are patterns of the layers that stay float (in ``int8w``: become float16), ``equalise`` evens the weights'
    ranges across layers first.
    """

    calibration: Calibration = "minmax"
    keep: tuple[str, ...] = ()
    equalise: bool = False


class Workshop(Closed, frozen=True, kw_only=True):
    """``recipes/workshop.toml``: what holds unless a network's own recipe says otherwise."""

    limits: dict[DetectOrTask, Limit]
    selftest: SelfTestRecipe
    prepared: Prepared
    tolerances: dict[Precision, float]


class NetworkRecipe(Closed, frozen=True, kw_only=True):
    """One network: where from, what it sees and says, and what is made of it (best first).

    Without ``family`` the source is an ``.onnx`` or ``.tflite`` file that passes through. ``options`` are the arguments
    of the family's torch module. ``as_is`` names the runtime whose fp32 file is the source itself. ``measured_with``
    are detectors whose boxes the crop rule fits. ``tolerances`` go before the workshop's; ``try`` are further
    precisions that ``try`` makes and compares.
    """

    family: str | None = None
    task: NetworkTask
    title: str
    paper: str
    licence: str
    training_data: str
    limits: str
    weights: Literal["trained", "random"] = "trained"
    seed: int = 0
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    source: Source | None = None
    as_is: FileRuntime | None = None
    input: Input
    head: Head
    also: dict[Task, AttributeHead] = msgspec.field(default_factory=dict)
    time: Time | None = None
    files: dict[FileRuntime, tuple[Precision, ...]]
    outputs: dict[str, str] = msgspec.field(default_factory=dict)
    """For a file that passes through: the head's names to those in the file."""
    quantize: dict[RuntimeName, Quantize] = msgspec.field(default_factory=dict)
    prepared: Prepared | None = None
    measured_with: tuple[str, ...] = ()
    tolerances: dict[Precision, float] = msgspec.field(default_factory=dict)
    tried: tuple[Precision, ...] = msgspec.field(name="try", default=())

    @property
    def is_detector(self) -> bool:
        """Whether it sees pictures, not faces."""
        return self.input.crop is None

    @property
    def random(self) -> bool:
        """Whether it was never trained."""
        return self.weights == "random"

    @property
    def channels(self) -> int:
        """Colour channels of the input."""
        return 1 if self.input.color == "grey" else 3

    @property
    def frames(self) -> tuple[int, ...]:
        """Frames of one input where a network looks at a whole window, else nothing."""
        return (self.time.window,) if self.time is not None and not self.time.states else ()

    def shapes(self, workshop: Prepared) -> Prepared:
        """Shapes to prepare: the network's own, else the workshop's."""
        if self.prepared is not None:
            return self.prepared
        if self.is_detector and self.input.width and self.input.height:
            return Prepared(sizes=((self.input.width, self.input.height),), batches=(1,))
        return workshop

    def seen_sizes(self, sizes: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Sizes in which the network itself meets fitted pictures of ``sizes``: MTCNN's first, all their levels."""
        if not isinstance(self.head, MtcnnHead):
            return tuple(sizes)
        head = self.head
        pyramids = (pyramid_sizes(size, head.smallest_face_px, head.factor) for size in sizes)
        return tuple(dict.fromkeys(level for pyramid in pyramids for level in pyramid))

    def signatures(self, workshop: Prepared) -> tuple[Signature, ...]:
        """Shapes of a TFLite file: ``w320h192`` ... for detectors, ``b1`` ... for networks that see faces."""
        shapes = self.shapes(workshop)
        if (self.is_detector and self.task == "detect") or not self.input.width:
            return tuple(
                Signature(key=f"w{width}h{height}", batch=1, width=width, height=height)
                for width, height in self.seen_sizes(shapes.sizes)
            )
        height, width = self.input.height, self.input.width
        assert height is not None
        assert width is not None
        return tuple(Signature(key=f"b{n}", batch=n, width=width, height=height) for n in shapes.batches)


class Taken(Closed, frozen=True, kw_only=True):
    """A network taken as it is from a bundle that was built before."""

    bundle: str
    network: str


class BundleRecipe(Closed, frozen=True, kw_only=True):
    """``recipes/bundles/NAME.toml``.

    ``networks`` are names or paths of network recipes, ``taken`` come from other bundles. ``remeasure`` lets a network
    cut by boxes stand beside a detector that it was not measured with: the build measures it then.
    """

    name: str
    version: str
    max_bytes: int | None = None
    networks: tuple[str, ...] = ()
    taken: tuple[Taken, ...] = ()
    defaults: dict[DetectOrTask, str] = msgspec.field(default_factory=dict)
    runtimes: dict[str, PreferredRuntime] = msgspec.field(default_factory=dict)
    remeasure: bool = False


class Recipe(Closed, frozen=True, kw_only=True):
    """One bundle with the recipes of its own networks, by the name that each is built under."""

    bundle: BundleRecipe
    workshop: Workshop
    networks: Mapping[str, NetworkRecipe]
    homes: Mapping[str, Path] = msgspec.field(default_factory=dict)
    """Folders of recipes that were given by path: their ranges lie there."""

    def ranges_path(self, network: str) -> Path:
        """Where the ranges of a network's int8 files lie: beside a recipe of one's own, else with the known ones."""
        known = ranges_path(network)
        return self.homes[network] / known.name if network in self.homes else known

    @property
    def limits(self) -> Mapping[DetectOrTask, Limit]:
        """By task, the loss with which a smaller file may still ship."""
        return self.workshop.limits

    @property
    def selftest(self) -> SelfTestRecipe:
        """The picture of the self-tests."""
        return self.workshop.selftest

    @property
    def prepared(self) -> Prepared:
        """Shapes that a device meets."""
        return self.workshop.prepared

    @property
    def tolerances(self) -> Mapping[Precision, float]:
        """By precision, how far a file may be off its source."""
        return self.workshop.tolerances

    @property
    def defaults(self) -> Mapping[DetectOrTask, str]:
        """By task, the network that a device uses unasked."""
        return self.bundle.defaults

    @property
    def runtimes(self) -> Mapping[str, PreferredRuntime]:
        """By processor architecture, the runtime to load."""
        return self.bundle.runtimes


def read_recipe(name: str = "default", *, recipes: Path = RECIPES) -> Recipe:
    """Read a bundle's recipe with its networks, or one network alone as a bundle of its own.

    ``name`` is the name of a known recipe or the path of one's own; paths in a bundle's recipe are seen from there.

    Raises
    ------
    UsageError : there is no such recipe, or a key of it is wrong
    """
    if name in list_recipes("bundles", recipes):
        bundle = _read(recipes / "bundles" / f"{name}.toml", BundleRecipe)
    elif is_bundle(name, recipes):
        bundle = _own_bundle(Path(name))
    else:
        built, _ = read_network(name, recipes)
        bundle = BundleRecipe(name=built, version="0", networks=(name,))
    networks, homes = {}, {}
    for one in bundle.networks:
        built, networks[built] = read_network(one, recipes)
        path = recipe_path(one.partition(VARIANT)[0], recipes)
        if not _is_known(path, recipes):
            homes[built] = path.parent
    return Recipe(bundle=bundle, workshop=read_workshop(recipes), networks=networks, homes=homes)


def is_bundle(name: str, recipes: Path = RECIPES) -> bool:
    """Whether a name or path is that of a bundle's recipe: such a recipe has a ``version``, a network's has none."""
    own = name.endswith(".toml") and Path(name).is_file() and "version" in _table(Path(name))
    return own or name in list_recipes("bundles", recipes)


def _own_bundle(path: Path) -> BundleRecipe:
    bundle = _read(path, BundleRecipe)
    if bundle.name == "default" or not NAME.fullmatch(bundle.name):
        raise UsageError(
            f"recipe {_shown(path)}: a bundle of your own cannot be called '{bundle.name}'",
            fix="use small letters, digits, dots and dashes",
        )
    networks = tuple(str(path.parent / one) if _is_path(one) else one for one in bundle.networks)
    taken = tuple(
        msgspec.structs.replace(one, bundle=str((path.parent / one.bundle).absolute()))
        if (path.parent / one.bundle / MANIFEST).is_file()
        else one
        for one in bundle.taken
    )
    return msgspec.structs.replace(bundle, networks=networks, taken=taken)


def _is_path(name: str) -> bool:
    return name.partition(VARIANT)[0].endswith(".toml")


def read_workshop(recipes: Path = RECIPES) -> Workshop:
    """What holds for all networks."""
    return _read(recipes / "workshop.toml", Workshop)


def read_network(name: str, recipes: Path = RECIPES) -> tuple[str, NetworkRecipe]:
    """Read a network's recipe: the name that it is built under, and the recipe with its variant put in.

    ``name`` is a recipe's name, ``NAME@VARIANT``, or a path to a ``.toml`` file (``FILE.toml@VARIANT``).
    """
    stem, _, variant = name.partition(VARIANT)
    path = recipe_path(stem, recipes)
    table = _table(path)
    variants = table.pop("variants", {})
    built = path.stem
    if variant:
        if variant not in variants:
            known = ", ".join(variants) or "none"
            raise UsageError(f"recipe {path} has no variant '{variant}'", fix=f"it has: {known}")
        table = merged(table, variants[variant])
        built = f"{built}-{variant}"
    if not NAME.fullmatch(built):
        raise UsageError(
            f"recipe {_shown(path)}: '{built}' is no name for a network",
            fix="use small letters, digits, dots and dashes",
        )
    if path.stem in list_recipes("networks", recipes) and not _is_known(path, recipes):
        # Figures and trials on record go by name: another network must not get them.
        raise UsageError(
            f"recipe {_shown(path)} has the name of a known network", fix=f"call it otherwise, my-{path.name} for one"
        )
    lock = lock_path(path, built)
    if lock.is_file():
        table["quantize"] = merged(_locked(lock), table.get("quantize", {}))
    network = _convert(path, table, NetworkRecipe)
    if network.source is not None and network.source.registry == "file":
        # A file that somebody brought lies beside its recipe.
        source = msgspec.structs.replace(network.source, path=str(path.parent / network.source.path))
        network = msgspec.structs.replace(network, source=source)
    return built, network


def recipe_path(name: str, recipes: Path = RECIPES) -> Path:
    """Path of a network's recipe, by name or by path; UsageError with the nearest names where there is none."""
    if name.endswith(".toml"):
        path = Path(name)
        if path.is_file():
            return path
        raise UsageError(f"there is no recipe {name}", fix="give the path of a recipe, or the name of a known one")
    path = recipes / "networks" / f"{name}.toml"
    if not path.is_file() or not NAME.fullmatch(name):
        known = [*list_recipes("networks", recipes), *list_recipes("bundles", recipes)]
        near = difflib.get_close_matches(name, known, n=3)
        fix = f"did you mean {' or '.join(near)}?" if near else "see `python -m converters list`"
        raise UsageError(f"there is no recipe '{name}'", fix=fix)
    return path


def _is_known(path: Path, recipes: Path) -> bool:
    return path.resolve().parent == (recipes / "networks").resolve()


def lock_path(recipe: Path, built: str) -> Path:
    """Where `search` writes what it found for a network; it holds where the recipe itself says nothing."""
    return recipe.with_name(f"{built}.lock.json")


def list_recipes(kind: Literal["networks", "bundles"], recipes: Path = RECIPES) -> list[str]:
    """Names of all recipes of a kind."""
    return sorted(path.stem for path in (recipes / kind).glob("*.toml"))


def list_variants(name: str, recipes: Path = RECIPES) -> list[str]:
    """Names of a network recipe's variants, in the recipe's order."""
    return list(_table(recipe_path(name, recipes)).get("variants", {}))


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables put over one another, deeply; a head or crop of another kind and companions replace the whole."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping) and key != "companions"
        if both and value.get("kind", old.get("kind")) == old.get("kind"):  # type: ignore[union-attr]
            result[key] = merged(old, value)  # type: ignore[arg-type]
        else:
            result[key] = value
    return result


def _read(path: Path, kind: type[T]) -> T:
    return _convert(path, _table(path), kind)


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"recipe {_shown(path)}: {error}", fix="correct the recipe") from None


def _locked(path: Path) -> dict[str, Any]:
    """How each runtime's int8 file is made, as `search` found it."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
        return {runtime: entry["quantize"] for runtime, entry in found.items()}
    except (OSError, msgspec.DecodeError, KeyError) as error:
        raise UsageError(f"lock {_shown(path)} cannot be read: {error}", fix="run `search` again") from None


def _convert(path: Path, table: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"recipe {_shown(path)}: {error}", fix="correct the recipe") from None


def _shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
