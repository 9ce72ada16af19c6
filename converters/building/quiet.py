"""What the converters print and raise: much, also from C++, and in words of their own."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from converters.inspection.facts import error_text
from converters.recipes.schema import own_module
from edgeface.errors import EdgefaceError


@contextmanager
def silence() -> Iterator[None]:
    """Keep the converters' chatter off the terminal, also what their C++ prints; their errors are exceptions."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    logging.disable(logging.WARNING)
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            for stream in (1, 2):
                os.dup2(nowhere.fileno(), stream)
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, handle in zip((1, 2), kept, strict=True):
            os.dup2(handle, stream)
            os.close(handle)
        logging.disable(logging.NOTSET)


@contextmanager
def explained(family: str, runtime: str) -> Iterator[None]:
    """Turn what an exporter says of somebody's own module into one line; of a module of ours it is a bug, and stays.

    Raises
    ------
    EdgefaceError : the module cannot be exported
    """
    try:
        yield
    except EdgefaceError:
        raise
    except Exception as error:  # the exporters' errors have no base in common
        if own_module(family) is None:
            raise
        raise EdgefaceError(
            f"{family} cannot be exported to {runtime}: {error_text(error)}",
            fix=f"write its forward without what depends on values, or leave {runtime} out of its files",
        ) from None
