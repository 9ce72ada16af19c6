"""A torch module that somebody brought: ``mine.py:Net`` beside a recipe, loaded from its file and run as it is.

What it may say of itself, and what is taken where it says nothing:

- ``outputs``, names of what it gives, in order. Without them it is asked once, with zeros: of a dictionary the keys, of
  one tensor the name that the recipe's head reads, of several ``output_0``, ``output_1``, ...
- ``states``, of a recurrent step: by name the shape without batch, taken after the input and given after the outputs.
  Without it there are none.

It takes float32 (N, C, H, W) and gives a tensor, a sequence or a dictionary of tensors whose first axis is N.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgeface.errors import UsageError, named_line

if TYPE_CHECKING:
    from torch import Tensor, nn


def load_own(file: Path, name: str, options: Mapping[str, object]) -> nn.Module:
    """Make somebody's own network without weights, in evaluation mode; it gives a tuple.

    Parameters
    ----------
    file, name : a Python file, which is run (what it imports may lie beside it), and a class or function in it
    options : arguments of that

    Raises
    ------
    UsageError : in one line: it cannot be run, there is no such class, it cannot be made so, or it is no torch module
    """
    from torch import nn

    make = _found(_run(file), file, name)
    try:
        module = make(**options)
    except Exception as error:  # whatever somebody's code raises
        raise UsageError(
            f"{file.name}:{name} cannot be made so: {named_line(error)}", fix="correct [options]"
        ) from None
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"{file.name}:{name} gives a {type(module).__name__}, no torch module",
            fix="name a class of torch.nn.Module",
        )
    return _giving_tuples(module).eval()


def output_names(module: Any, inputs: Sequence[Tensor], only: str) -> tuple[str, ...]:
    """Names of what a module of `load_own` gives: those that it says itself, else by its answer to ``inputs``.

    ``only`` is the name of one tensor. UsageError where it takes no such inputs.
    """
    import torch

    said = getattr(module, "outputs", None)
    if isinstance(said, (tuple, list)) and all(isinstance(name, str) for name in said):
        return tuple(said)
    try:
        with torch.no_grad():
            answer: Any = super(type(module), module).forward(*inputs)  # as its own class gives it
    except Exception as error:  # whatever somebody's code raises
        shape = "x".join(map(str, inputs[0].shape[1:]))
        raise UsageError(
            f"{type(module).__name__} takes no pictures of {shape}: {named_line(error)}",
            fix="correct color, height and width in its [input]",
        ) from None
    if isinstance(answer, Mapping):
        return tuple(answer)
    count = len(answer) - len(getattr(module, "states", {})) if isinstance(answer, (tuple, list)) else 1
    return (only,) if count == 1 else tuple(f"output_{number}" for number in range(count))


def _run(file: Path) -> ModuleType:
    """Run a file as a module of a name of its own; what lies beside it can be imported meanwhile."""
    key = f"edgeface_own_{file.stem}_{hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:8]}"
    spec = spec_from_file_location(key, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[key] = module  # dataclasses and pickles look a class up by its module
    try:
        with _beside(file.parent.absolute()):
            spec.loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[key]
        raise UsageError(f"{file} line {error.lineno}: {error.msg}", fix="correct the file") from None
    except (Exception, SystemExit) as error:  # whatever somebody's code raises
        del sys.modules[key]
        raise UsageError(
            f"{file} cannot be run: {named_line(error)}", fix="make it run by itself: python FILE"
        ) from None
    return module


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _found(module: ModuleType, file: Path, name: str) -> Callable[..., Any]:
    from torch import nn

    make = getattr(module, name, None)
    if not callable(make):
        known = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)]
        raise UsageError(f"{file} has no class {name}", fix=f"it has: {', '.join(known) or 'no torch module'}")
    return make  # type: ignore[no-any-return]


def _giving_tuples(module: Any) -> Any:
    """A module that gives a tuple whatever its class gives: exporters and proofs read outputs by their place.

    Its class is derived from, not wrapped, so that layers keep the names by which a recipe and a checkpoint know them.
    """
    kind = type(module)

    @wraps(kind.forward)  # exporters read the names of its arguments
    def forward(self: Any, *inputs: Tensor) -> tuple[Tensor, ...]:
        given = kind.forward(self, *inputs)
        if isinstance(given, Mapping):
            return tuple(given.values())
        return tuple(given) if isinstance(given, (tuple, list)) else (given,)

    module.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})
    return module
