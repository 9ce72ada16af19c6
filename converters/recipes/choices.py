"""Which values a key of a recipe may have: what msgspec leaves out when it refuses one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import inspect

_PLACE = re.compile(r" - at `(?P<key>key` in `)?\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(\w+)|\[(?:\.\.\.|\d+)\]")


def choices(kind: type, message: str) -> list[str]:
    """Values that stand to choose from where msgspec refused one of ``kind``; none where any goes.

    Parameters
    ----------
    message : msgspec's own, which ends with the place: ``at `$.head.kind```
    """
    place = _PLACE.search(message)
    if place is None or not message.startswith("Invalid"):
        return []
    nodes: list[Any] = list(_flat(inspect.type_info(kind)))
    for step in _STEP.finditer(place["path"]):
        nodes = [deeper for node in nodes for deeper in _deeper(node, step[1])]
    if place["key"]:
        nodes = [key for node in nodes if isinstance(node, inspect.DictType) for key in _flat(node.key_type)]
    values = (value for node in nodes if isinstance(node, inspect.LiteralType) for value in node.values)
    return list(dict.fromkeys(map(str, values)))


def _deeper(node: Any, field: str | None) -> Iterator[Any]:
    """Types of one field (by name) or of the elements (no name) of a type."""
    if isinstance(node, inspect.StructType) and field is not None:
        if field == node.tag_field:
            yield inspect.LiteralType((node.tag,))
        for one in node.fields:
            if one.encode_name == field:
                yield from _flat(one.type)
    elif isinstance(node, inspect.DictType):
        yield from _flat(node.value_type)
    elif isinstance(node, (inspect.VarTupleType, inspect.ListType)):
        yield from _flat(node.item_type)
    elif isinstance(node, inspect.TupleType):
        for item in node.item_types:
            yield from _flat(item)


def _flat(node: Any) -> Iterator[Any]:
    if isinstance(node, inspect.UnionType):
        for one in node.types:
            yield from _flat(one)
    else:
        yield node
