"""Recipes: the only place where numbers are chosen, read into types that refuse what they do not know.

``recipes/networks/NAME.toml`` is one network and its variants, ``recipes/bundles/NAME.toml`` a choice of networks,
``recipes/workshop.toml`` what holds for all of them.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from converters.recipes.choices import choices
from converters.recipes.schema import BundleRecipe, NetworkRecipe, Recipe, Workshop, own_module
from edgeface.bundle import (
    MANIFEST,
)
from edgeface.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).parent
VARIANT = "@"
"""``mobilenet-v1@w050`` is the variant ``w050`` of ``mobilenet-v1``, and built as ``mobilenet-v1-w050``."""
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

T = TypeVar("T")


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
    networks, homes, asked = {}, {}, {}
    for one in (in_recipes(name, recipes) for name in bundle.networks):
        built, networks[built] = read_network(one, recipes)
        asked[built] = one
        path = recipe_path(split_variant(one)[0], recipes)
        if not _is_known(path, recipes):
            homes[built] = path.parent
    return Recipe(bundle=bundle, workshop=read_workshop(recipes), networks=networks, homes=homes, asked=asked)


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
    networks = tuple(seen_from(path.parent, one) for one in bundle.networks)
    taken = tuple(
        msgspec.structs.replace(one, bundle=str((path.parent / one.bundle).absolute()))
        if (path.parent / one.bundle / MANIFEST).is_file()
        else one
        for one in bundle.taken
    )
    return msgspec.structs.replace(bundle, networks=networks, taken=taken)


def seen_from(home: Path, name: str) -> str:
    """A recipe that another one names, which lies in ``home``: a path is seen from there, a name stays."""
    return str(home / name) if split_variant(name)[0].endswith(".toml") else name


def split_variant(name: str) -> tuple[str, str]:
    """Name or path of a recipe, and the variant behind its last ``@``, if any; a folder may have one, too."""
    stem, at, variant = name.rpartition(VARIANT)
    return (stem, variant) if at and not name.endswith(".toml") else (name, "")


def read_workshop(recipes: Path = RECIPES) -> Workshop:
    """What holds for all networks."""
    return _read(recipes / "workshop.toml", Workshop)


def read_network(name: str, recipes: Path = RECIPES) -> tuple[str, NetworkRecipe]:
    """Read a network's recipe: the name that it is built under, and the recipe with its variant put in.

    ``name`` is a recipe's name, ``NAME@VARIANT``, or a path to a ``.toml`` file (``FILE.toml@VARIANT``); a variant may
    also be named as it is built, ``NAME-VARIANT``.
    """
    stem, variant = split_variant(in_recipes(name, recipes))
    path = recipe_path(stem, recipes)
    table = _table(path)
    table = choose_variant(table, variant, path)
    built = f"{path.stem}-{variant}" if variant else path.stem
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
        # Whole, as it was found: what the lock leaves out is the default, not what the recipe says.
        table["quantize"] = {**table.get("quantize", {}), **_locked(lock)}
    network = _convert(path, table, NetworkRecipe)
    if network.input.crop is None and network.task not in ("detect", "stage"):
        raise UsageError(
            f"recipe {_shown(path)}: a network that answers {network.task} sees faces, and [input.crop] is missing",
            fix='say how a face is cut: kind = "landmarks", "square" or "box"',
        )
    network = _with_module(path, network)
    if network.source is not None and network.source.registry == "file":
        # A file that somebody brought lies beside its recipe.
        source = msgspec.structs.replace(network.source, path=str(path.parent / network.source.path))
        network = msgspec.structs.replace(network, source=source)
    return built, network


def in_recipes(name: str, recipes: Path = RECIPES) -> str:
    """What recipes call a network that is named as manifests and cards name it: ``NAME@VARIANT`` for a variant."""
    known = list_recipes("networks", recipes)
    for stem in () if name in known else known:
        variant = name.removeprefix(f"{stem}-")
        if variant != name and variant in list_variants(stem, recipes):
            return f"{stem}{VARIANT}{variant}"
    return name


def _with_module(path: Path, network: NetworkRecipe) -> NetworkRecipe:
    """A recipe whose own module is seen from the recipe, and is there."""
    family = network.family or ""
    if family.endswith(".py"):
        raise UsageError(f"recipe {_shown(path)}: family {family} names no class", fix=f'write "{family}:CLASS"')
    own = own_module(family)
    if own is None:
        return network
    file = path.parent / own[0]
    if not file.is_file():
        raise UsageError(f"recipe {_shown(path)}: there is no file {_shown(file)}", fix="put it beside the recipe")
    return msgspec.structs.replace(network, family=f"{file}:{own[1]}")


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
    """Where `search` writes what it found for a network; it goes before the recipe's own words on that runtime."""
    return recipe.with_name(f"{built}.lock.json")


def list_recipes(kind: Literal["networks", "bundles"], recipes: Path = RECIPES) -> list[str]:
    """Names of all recipes of a kind."""
    return sorted(path.stem for path in (recipes / kind).glob("*.toml"))


def list_variants(name: str, recipes: Path = RECIPES) -> list[str]:
    """Names of a network recipe's variants, in the recipe's order."""
    return list(_table(recipe_path(name, recipes)).get("variants", {}))


def choose_variant(table: Mapping[str, Any], variant: str, path: Path) -> dict[str, Any]:
    """A recipe's table with one of its variants put in, or with none; UsageError for one that it does not have."""
    variants = table.get("variants", {})
    if variant and variant not in variants:
        known = ", ".join(variants) or "none"
        raise UsageError(f"recipe {path} has no variant '{variant}'", fix=f"it has: {known}")
    plain = {key: value for key, value in table.items() if key != "variants"}
    return merged(plain, variants[variant]) if variant else plain


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
        known = choices(kind, str(error))
        fix = f"choose one of: {', '.join(known)}" if known else "correct the recipe"
        raise UsageError(f"recipe {_shown(path)}: {error}", fix=fix) from None


def _shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
