"""Arguments on the wire: the forms of those that JSON has no type for.

A time is told in seconds, and a moment within a filter as text. An `Item` is an object with its fields. A vector is an
array of numbers, or ``{"float32": "..."}``: its numbers as the store has them, float32, little-endian, in base64. Of
1,536 numbers that is a quarter of the bytes, and the host has read it in a seventh of the time (0.16 ms for 1.10).
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from datastore.arguments import as_seconds, is_a
from datastore.calls.batches import Item
from datastore.errors import InvalidValueError
from datastore.ids import new_key
from datastore.memory.splitting import Splitter
from datastore.times import text_of
from datastore.wire.calls import APPENDING, Call


def arguments_from_json(call: Call, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments of a request as the call takes them.

    Raises:
        InvalidValueError: If one of them has not the form that it has on the wire.
    """
    if _FORMS.keys().isdisjoint(arguments) or call.name in APPENDING:
        return arguments
    return {name: _FORMS[name](value, name) if name in _FORMS else value for name, value in arguments.items()}


def seconds(time: float | timedelta | None) -> float | None:
    """Return a time as seconds, which is what the wire has. Anything that is none is returned as it is."""
    return as_seconds(time) if is_a(time, timedelta) else time  # type: ignore[return-value]  # narrowed by `is_a`


def plain_query(part: Any) -> Any:
    """Return a filter, an update or an order as JSON: moments as the language's own text, and tuples as arrays.

    It must have been checked before, by what reads that language.
    """
    if isinstance(part, datetime):
        return text_of(part)
    if isinstance(part, Mapping):
        return {key: plain_query(child) for key, child in part.items()}
    if isinstance(part, list | tuple):
        return [plain_query(child) for child in part]
    return part


def item_to_json(item: Item) -> dict[str, Any]:
    """Return an item of `AgentDataStore.set_many` as JSON."""
    told: dict[str, Any] = {"key": item.key, "value": item.value}
    for name in ("metadata", "if_revision", "namespace"):
        if (own := getattr(item, name)) is not None:
            told[name] = own
    if item.ttl is not None:
        told["ttl"] = seconds(item.ttl)
    return told


_ITEM = frozenset({"key", "value", "metadata", "ttl", "if_revision", "namespace"})


def items_from_json(items: Any, name: str = "items") -> Any:
    """Return what `AgentDataStore.set_many` takes: values by key, or items.

    Raises:
        InvalidValueError: If one of them is not an item.
    """
    if type(items) is not list:
        return items
    found = list[Item]()
    for index, item in enumerate(items):
        if type(item) is not dict or not {"key", "value"} <= item.keys() <= _ITEM:
            raise InvalidValueError(
                f"{name}[{index}] must be an object with key and value, and perhaps metadata, ttl, if_revision and "
                "namespace"
            )
        found.append(Item(**item))
    return found


def texts_from_json(texts: Any, name: str = "texts") -> Any:
    """Return what `datastore.Memory.add_many` takes: texts by key, or texts and items. An item may be without a key.

    Raises:
        InvalidValueError: If an object among them is not an item.
    """
    if type(texts) is not list:
        return texts
    found = list[Any]()
    for index, text in enumerate(texts):
        if type(text) is dict:
            if not {"value"} <= text.keys() <= _ITEM:
                raise InvalidValueError(
                    f"{name}[{index}] must be a text, or an object with value, and perhaps key, metadata and ttl"
                )
            found.append(Item(**{"key": new_key(""), **text}))
        else:
            found.append(text)
    return found


def vector_to_json(vector: bytes) -> dict[str, str]:
    """Return a vector as JSON.

    Args:
        vector: As `datastore.memory.vectors.packed` returns it.
    """
    return {"float32": b64encode(vector).decode()}


def vector_from_json(vector: Any, name: str = "vector") -> Any:
    """Return a vector, or whatever else was given in its place: the call says what is wrong with it.

    Raises:
        InvalidValueError: If it is in base64, and that is wrong.
    """
    if type(vector) is not dict or vector.keys() != {"float32"}:
        return vector
    try:
        numbers = array("f", b64decode(vector["float32"], validate=True))
    except (TypeError, ValueError):
        raise InvalidValueError(f"{name} must be an array of numbers, or its float32 in base64") from None
    if sys.byteorder == "big":  # pragma: no cover - no such machine runs the tests
        numbers.byteswap()
    return numbers


def vectors_from_json(vectors: Any, name: str = "vectors") -> Any:
    """Return several vectors; see `vector_from_json`."""
    if type(vectors) is not list:
        return vectors
    return [vector_from_json(one, f"{name}[{index}]") for index, one in enumerate(vectors)]


def split_to_json(split: Splitter) -> dict[str, int]:
    """Return a splitter that counts characters as JSON."""
    return {"size": split.size, "overlap": split.overlap}


def split_from_json(split: Any, name: str = "split") -> Any:
    """Return a splitter, or whatever else was given in its place.

    Raises:
        InvalidValueError: If it is an object, and none of a splitter.
    """
    if type(split) is not dict:
        return split
    if not {"size"} <= split.keys() <= {"size", "overlap"}:
        raise InvalidValueError(f"{name} must be an object with size, and perhaps overlap")
    return Splitter(**split)


_FORMS: Mapping[str, Callable[[Any, str], Any]] = {
    "items": items_from_json,
    "split": split_from_json,
    "texts": texts_from_json,
    "vector": vector_from_json,
    "vectors": vectors_from_json,
    "text_or_vector": vector_from_json,
}
"""The parameters whose arguments have a form of their own on the wire, whichever call they are of."""
