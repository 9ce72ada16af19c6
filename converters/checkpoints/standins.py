"""Pickles read without the classes in them: for what torch does not hold safe, something that does nothing stands in.

Training scripts save arguments, schedulers and numpy numbers beside the weights. Their classes are neither imported nor
called: an object of a class that is not on torch's own list of safe names is a `StandIn`, which takes what it is given.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import Any, ClassVar

import torch
from torch import _weights_only_unpickler as safe

HARMFUL = frozenset(
    {"os", "posix", "nt", "sys", "subprocess", "runpy", "shutil", "socket", "ctypes", "pty", "code", "importlib"}
)
"""Modules whose functions nobody keeps beside weights for a good reason."""
HARMFUL_BUILTINS = frozenset({"eval", "exec", "compile", "__import__", "open", "getattr", "setattr", "breakpoint"})
_PlainUnpickler: Any = pickle._Unpickler
"""Python's own, written in Python: each of its steps can be replaced."""


class StandIn:
    """Stands for an object of a class that is not known here.

    Attributes
    ----------
    whose : full name of that class
    table : items, where it is filled like a dictionary: weights may lie in one
    """

    whose = ""
    table: dict[Any, Any]

    def __new__(cls, *_: object, **__: object) -> StandIn:
        """Take any arguments."""
        made = super().__new__(cls)
        made.table = {}
        return made

    def __init__(self, *_: object, **__: object) -> None:
        """Do nothing with them."""

    def append(self, _: object) -> None:
        """Take an element, as a list does."""

    def extend(self, _: object) -> None:
        """Take elements, as a list does."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Keep an item, as a dictionary does."""
        self.table[key] = value


class Unpickler(_PlainUnpickler):  # type: ignore[misc]
    """Python's own unpickler, which calls nothing but what torch holds safe, and makes `StandIn` of the rest.

    Raises
    ------
    pickle.UnpicklingError : with the name of what would have been called, for code that is meant to be run
    """

    dispatch: ClassVar[dict[int, Any]] = dict(_PlainUnpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """Return what torch has on its list of safe names, or a class that stands in."""
        whole = f"{module}.{name}"
        if module.partition(".")[0] in HARMFUL or (module in ("builtins", "__builtin__") and name in HARMFUL_BUILTINS):
            raise pickle.UnpicklingError(whole)
        return safe._get_allowed_globals().get(whole) or type(name, (StandIn,), {"whose": whole})

    def load_reduce(self) -> None:
        """Call a function or class, if it may be."""
        _expect_safe(self.stack[-2])
        super().load_reduce()

    def load_newobj(self) -> None:
        """Make an object, if its class may be."""
        _expect_safe(self.stack[-2])
        super().load_newobj()

    def load_newobj_ex(self) -> None:
        """Make an object with keywords, if its class may be."""
        _expect_safe(self.stack[-3])
        super().load_newobj_ex()

    def load_build(self) -> None:
        """Give an object its state: tensors and ordered dictionaries take it, what stands in does not."""
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, OrderedDict):
            made.__dict__.update(state)
        elif type(made) is torch.Tensor:
            made.set_(*state)
        elif isinstance(made, torch.nn.Parameter):
            made.__setstate__(state)
        elif not isinstance(made, StandIn):
            raise pickle.UnpicklingError(type(made).__name__)

    def _refuse(self) -> None:
        raise pickle.UnpicklingError("an object of a protocol that torch does not write")

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.NEWOBJ_EX[0]] = load_newobj_ex
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.INST[0]] = _refuse
    dispatch[pickle.OBJ[0]] = _refuse


def load(file: Any, **options: Any) -> Any:
    """Read one pickle; with `Unpickler` all that torch asks of a ``pickle_module``."""
    return Unpickler(file, **options).load()


def _expect_safe(called: Any) -> None:
    if isinstance(called, type) and issubclass(called, StandIn):
        return
    if not any(called is known for known in safe._get_allowed_globals().values()):
        raise pickle.UnpicklingError(getattr(called, "__qualname__", repr(called)))
