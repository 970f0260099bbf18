"""What can be stored: checking, encoding and decoding of JSON values.

A value is anything JSON: an object with text keys, an array (tuples are taken as arrays), text, an integer of any
size, a finite float, a boolean or null. Everything else is refused before any I/O, with an error that names the path.
What is decoded equals what was encoded, type for type.

Encoding is in the hot path of every write and decoding in that of every read, so both go straight to the C encoder
and scanner of the standard library's ``json``; checking is one pass that only looks at types. Where that pass finds
something, or the value holds integers so long that Python refuses to convert them, slower code takes over.
"""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable, Iterable, Iterator
from decimal import MAX_EMAX, MAX_PREC, Context, Decimal
from typing import Any

from datastore.errors import InvalidValueError, ValueTooLargeError, kind_of

MAX_VALUE_BYTES = 1_000_000
"""The largest value: bytes of UTF-8 of its compact JSON."""
MAX_METADATA_BYTES = 16_000
"""The largest metadata of a record, counted the same way."""
MAX_DEPTH = 200
"""The deepest nesting: ``[[1]]`` is nested 2 deep."""

_SCALARS = frozenset({str, int, float, bool, type(None)})
_TEXT = frozenset({str})
_ARRAYS = (list, tuple)
_IRREGULAR = -1
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False)
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # not in typeshed
_exact = Context(prec=MAX_PREC, Emax=MAX_EMAX)


def _fast_encode() -> Callable[[Any], str]:
    """Return the quickest encoder there is: the C one of CPython kept ready, else the public one."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _encoder.encode
    # JSONEncoder.encode builds this very object anew for each call, which takes a third of its time.
    chunks = make(None, _encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(chunks(value, 0))


_to_json = _fast_encode()


def encode(value: Any, name: str = "value", limit: int = MAX_VALUE_BYTES) -> str:
    """Check a value and return its compact JSON text.

    Args:
        value: What is to be stored.
        name: What an error calls it: the beginning of the path.
        limit: The largest size in bytes of UTF-8.

    Raises:
        InvalidValueError: If something in it is not JSON; the message names the path.
        ValueTooLargeError: If its JSON takes more than ``limit`` bytes.
    """
    if type(value) not in _SCALARS:
        nodes = _count_nodes(value, 1)
        if nodes == _IRREGULAR:
            _refuse(value, name)
        if nodes > limit:  # every node takes a byte: stop here, before a graph of shared lists is written out as a tree
            raise _too_large(name, f"more than {nodes:,}", limit)
    try:
        text = _to_json(value)
    except (ValueError, TypeError):
        _refuse(value, name)
        text = "".join(_slow_chunks(value))  # all is well but for an integer of more than sys.get_int_max_str_digits()
    if len(text) * 4 > limit:  # a character takes at most four bytes
        size = _utf8_size(text, value, name)
        if size > limit:
            raise _too_large(name, f"{size:,}", limit)
    elif not text.isascii():
        _utf8_size(text, value, name)
    return text


def decode(text: str) -> Any:
    """Return the value of JSON text that `encode` wrote; every call returns a new copy."""
    try:
        value, end = _scan(text, 0)
        if end == len(text):
            return value
    except (StopIteration, ValueError):
        pass  # white space around it, an integer beyond Python's digit limit, or not JSON: the line below tells
    return json.loads(text, parse_int=_parse_int)


def check_metadata(metadata: Any) -> None:
    """Check what is given as metadata: ``None``, or an object of JSON values.

    Raises:
        InvalidValueError: If it is not an object of JSON values.
        ValueTooLargeError: If it takes more than 16,000 bytes.
    """
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise InvalidValueError(f"metadata is {kind_of(metadata)}; it must be a dict with text keys, or None")
    encode(metadata, "metadata", MAX_METADATA_BYTES)


def merge_metadata(current: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return metadata with changes merged in shallowly; a key given as ``None`` is removed.

    Raises:
        ValueTooLargeError: If the result takes more than 16,000 bytes.
    """
    merged = {key: value for key, value in {**current, **changes}.items() if value is not None}
    encode(merged, "metadata (as merged with what is stored)", MAX_METADATA_BYTES)
    return merged


def _count_nodes(container: Any, depth: int) -> int:
    """Return how many values a container holds, or `_IRREGULAR` if one of them needs a closer look.

    Counting stops soon after `MAX_VALUE_BYTES`.
    """
    if depth > MAX_DEPTH:
        return _IRREGULAR
    children: Iterable[Any]
    if isinstance(container, dict):
        if not _TEXT.issuperset(map(type, container)):
            return _IRREGULAR
        children = container.values()
    elif isinstance(container, _ARRAYS):
        children = container
    else:
        return _IRREGULAR
    nodes = len(container) + 1
    if not _SCALARS.issuperset(map(type, children)):
        for child in children:
            if type(child) not in _SCALARS:
                inner = _count_nodes(child, depth + 1)
                if inner == _IRREGULAR:
                    return _IRREGULAR
                nodes += inner
                if nodes > MAX_VALUE_BYTES:
                    return nodes
    return nodes


def _refuse(value: Any, name: str) -> None:
    """Raise the error for the first thing in a value that is not JSON, if there is one."""
    for path, problem in _problems(value, name, 0):
        raise InvalidValueError(f"{path} {problem}")


def _problems(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    kind = type(value)
    if isinstance(value, dict | list | tuple):
        if depth == MAX_DEPTH:
            yield path[:200] + "...", f"is nested deeper than {MAX_DEPTH} levels (or holds itself)"
        elif isinstance(value, dict):
            for key, child in value.items():
                if type(key) is not str:
                    yield path, f"has a key that is {kind_of(key)}; keys must be str"
                elif not _is_text(key):
                    yield path, f"has the key {key!r}, which holds a lone surrogate; that is not text"
                else:
                    step = f".{key}" if key.isidentifier() else f"[{json.dumps(key, ensure_ascii=False)}]"
                    yield from _problems(child, path + step, depth + 1)
        else:
            for index, child in enumerate(value):
                yield from _problems(child, f"{path}[{index}]", depth + 1)
    elif kind is float:
        if value != value or value in (float("inf"), float("-inf")):
            yield path, f"is {value!r}; JSON has no such number"
    elif kind is str:
        if not _is_text(value):
            yield path, "holds a lone surrogate; that is not text"
    elif kind not in _SCALARS:
        base = next((base.__name__ for base in (str, int, float) if isinstance(value, base)), None)
        if base:  # an enum member or a number of NumPy's would come back as another type than it went in
            yield path, f"is {kind_of(value)}; convert it to {base}, which is what would come back"
        else:
            yield path, f"is {kind_of(value)}; JSON has no such type"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _utf8_size(text: str, value: Any, name: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        _refuse(value, name)
        raise


def _too_large(name: str, size: str, limit: int) -> ValueTooLargeError:
    return ValueTooLargeError(f"{name} takes {size} bytes of JSON; the limit is {limit:,}")


def _slow_chunks(value: Any) -> Iterator[str]:
    """Encode like the C encoder, and integers of any size with it: `Decimal` knows no limit of digits."""
    if isinstance(value, dict):
        separator = "{"
        for key, child in value.items():
            yield f"{separator}{_to_json(key)}:"
            yield from _slow_chunks(child)
            separator = ","
        yield "}" if value else "{}"
    elif isinstance(value, list | tuple):
        separator = "["
        for child in value:
            yield separator
            yield from _slow_chunks(child)
            separator = ","
        yield "]" if value else "[]"
    elif type(value) is int:
        yield str(_exact.create_decimal(value))
    else:
        yield _to_json(value)


def _parse_int(digits: str) -> int:
    return int(Decimal(digits, _exact)) if len(digits) > 600 else int(digits)
