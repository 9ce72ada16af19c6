r"""Key maps: which of a checkpoint's tensors becomes which of ours, as data.

A map is ``keys/FAMILY.KIND.toml`` beside this module (or ``FAMILY.KIND.NAME.toml`` where one kind of file comes in
several namings; the one that fits is taken). For a module of one's own it lies beside that: ``mine.KIND.toml`` beside
``mine.py``. State dictionaries of torch need a map only if their names are not ours.

::

    unused = ["^body\\.fc\\."]            # patterns of their tensors that may be left over

    [ranges]                              # `{n}` in any name below stands for each of these
    n = 4                                 # 0 1 2 3
    head = ["cls", "obj"]

    [rename]                              # pattern of their name = our name, tried in this order
    "^backbone\\.(\\d+)\\." = "body.\\1."

    [tensors]                             # our name = their name, or a table
    "head.bias" = "dense_1/bias"
    "head.weight" = { from = "dense_1/kernel", layout = "io" }

    [folded]                              # layer of ours = a kernel with a batch norm (or a plain scale) behind it
    "blocks.{n}.first" = { kernel = "conv2d_{2*n+1}/kernel", layout = "hwio", norm = "batch_normalization_{n+3}" }
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from converters.checkpoints.layouts import PLAIN
from converters.checkpoints.repetition import bindings, fill
from converters.formats.errors import CheckpointError
from converters.recipes.schema import own_module
from edgeface.bundle.heads import Closed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KEYS = Path(__file__).parent / "keys"
NORM = {"gamma": "gamma", "beta": "beta", "mean": "moving_mean", "variance": "moving_variance"}
Entry = TypeVar("Entry", "Piece", "Folded")


class Take(Closed, frozen=True, kw_only=True):
    """Which slices of which of their axes are meant, in this order."""

    axis: int
    indices: tuple[int, ...]


class Piece(Closed, frozen=True, kw_only=True):
    """One tensor: ``reshape`` first, then ``take``, then ``layout`` (see `layouts`), then times ``scale_by``.

    ``scale_by`` names a tensor of theirs: one number, or one per output channel.
    """

    source: str = msgspec.field(name="from")
    layout: str = PLAIN
    reshape: tuple[int, ...] | None = None
    take: Take | None = None
    scale_by: str | None = None

    @property
    def sources(self) -> list[str]:
        """Names of theirs that it is made of."""
        return [name for name in (self.source, self.scale_by) if name is not None]


class Folded(Closed, frozen=True, kw_only=True):
    """A convolution or dense layer and the batch norm behind it, which become our ``weight`` and ``bias``.

    ``norm`` is short for Keras' names of the four below it: ``NORM/gamma``, ``NORM/beta``, ``NORM/moving_mean`` and
    ``NORM/moving_variance``. Without mean and variance, gamma and beta are a plain scale and offset.
    """

    kernel: str
    layout: str = PLAIN
    bias: str | None = None
    norm: str | None = None
    gamma: str | None = None
    beta: str | None = None
    mean: str | None = None
    variance: str | None = None
    epsilon: float = 1e-3

    @property
    def sources(self) -> list[str]:
        """Names of theirs that it is made of."""
        names = (self.kernel, self.bias, self.gamma, self.beta, self.mean, self.variance)
        return [name for name in names if name is not None]


class KeyMap(Closed, frozen=True, kw_only=True):
    """One file of ``converters/checkpoints/keys``."""

    unused: tuple[str, ...] = ()
    ranges: dict[str, int | tuple[str, ...]] = msgspec.field(default_factory=dict)
    rename: dict[str, str] = msgspec.field(default_factory=dict)
    tensors: dict[str, str | Piece] = msgspec.field(default_factory=dict)
    folded: dict[str, Folded] = msgspec.field(default_factory=dict)

    def pieces(self) -> Iterator[tuple[str, Piece]]:
        """Tensors of ours by name, ranges and names filled in."""
        for pattern, entry in self.tensors.items():
            yield from _expanded(self, pattern, Piece(source=entry) if isinstance(entry, str) else entry)

    def folds(self) -> Iterator[tuple[str, Folded]]:
        """Layers of ours by name, ranges and names filled in."""
        for pattern, entry in self.folded.items():
            given = {} if entry.norm is None else {ours: f"{entry.norm}/{theirs}" for ours, theirs in NORM.items()}
            yield from _expanded(self, pattern, msgspec.structs.replace(entry, norm=None, **given))

    def sources(self) -> set[str]:
        """Every name of theirs that is asked for; those that pass unchanged or by `rename` are not among them."""
        names = {name for _, piece in self.pieces() for name in piece.sources}
        return names | {name for _, folded in self.folds() for name in folded.sources}

    def our_name(self, theirs: str) -> str:
        """What a name of theirs becomes by `rename`."""
        for pattern, ours in self.rename.items():
            theirs = re.sub(pattern, ours, theirs)
        return theirs

    def may_be_left(self, theirs: str) -> bool:
        """Whether nobody misses this tensor of theirs."""
        return any(re.search(pattern, theirs) for pattern in self.unused)


def read_maps(family: str, kind: str) -> list[KeyMap]:
    """Key maps of a family for one kind of checkpoint; for torch an empty one where there is none.

    Raises
    ------
    CheckpointError : there is none, or a file cannot be read
    """
    paths = map_paths(family, kind)
    if not paths and kind == "torch":
        return [KeyMap()]
    if not paths:
        folder, stem = _place(family)
        raise CheckpointError(
            f"{family} has no key map for {kind} files", fix=f"write {folder.name}/{stem}.{kind}.toml"
        )
    return [read_map(path) for path in paths]


def map_paths(family: str, kind: str) -> list[Path]:
    """Files of a family's key maps for one kind of checkpoint (``*``: for any); one's own lie beside its module."""
    folder, stem = _place(family)
    return sorted({*folder.glob(f"{stem}.{kind}.toml"), *folder.glob(f"{stem}.{kind}.*.toml")})


def _place(family: str) -> tuple[Path, str]:
    own = own_module(family)
    return (own[0].parent, own[0].stem) if own else (KEYS, family)


def read_map(path: Path) -> KeyMap:
    """One key map; CheckpointError says what is wrong in it."""
    try:
        key_map = msgspec.convert(tomllib.loads(path.read_text("utf-8")), KeyMap)
        for pattern in (*key_map.unused, *key_map.rename):
            re.compile(pattern)
        key_map.sources()
    except (OSError, ValueError, msgspec.ValidationError, re.error) as error:
        raise CheckpointError(f"key map {path.name}: {error}", fix="correct the key map") from None
    return key_map


def _expanded(key_map: KeyMap, pattern: str, entry: Entry) -> Iterator[tuple[str, Entry]]:
    held = {field: getattr(entry, field) for field in entry.__struct_fields__ if field != "layout"}
    names = {field: name for field, name in held.items() if isinstance(name, str)}
    for values in bindings(pattern, key_map.ranges):
        filled = {field: fill(name, values) for field, name in names.items()}
        yield fill(pattern, values), msgspec.structs.replace(entry, **filled)
