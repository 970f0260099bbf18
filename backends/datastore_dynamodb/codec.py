"""Values as DynamoDB holds them: native if that is exact, otherwise JSON text, compressed if it would not fit.

Some values are kept as JSON text, because DynamoDB cannot hold them exactly, type for type: numbers of more than 38
digits, floats that are whole (``1.0`` would come back as ``1``) or out of range, nesting deeper than 32 levels, and
maps with a name that is empty or longer than 64 KB ("Supported data types and naming rules in Amazon DynamoDB";
"Quotas").

No `decimal.Decimal` is ever made here: attributes are the client's plain dicts, in which numbers are text.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from datastore.backend import Fields, Put, Restore
from datastore.contents import content_of, value_of_stored, without_content
from datastore.values import MAX_VALUE_BYTES, UnreadableError, decode, encode

Attribute: TypeAlias = dict[str, Any]
"""A value in the client's notation: ``{"S": "text"}``, ``{"L": [...]}``."""
Attributes: TypeAlias = dict[str, Any]
"""Attributes by name: an item, or a part of one."""

NATIVE, JSON, ZIPPED, PARTS, CONTENT = "value", "valueJson", "valueZlib", "valueParts", "content"
VALUE_FORMS = (NATIVE, JSON, ZIPPED, PARTS, CONTENT)
"""The attributes that can hold a value; an item has exactly one of them."""

MAX_VALUE_SIZE = 350_000
"""The largest value inside its item. An item may take 409,600 bytes with its names. After its value was written it can
gain metadata (16,000 bytes of JSON, natively at most twice that), names and ids (5 KB)."""

_ALWAYS_FITS = 100_000  # bytes of JSON; natively at most twice as large, as `[0,0]` is, with 3 bytes an element
_MAX_DEPTH = 31  # containers inside the attribute, which itself is one of the 32 levels
_MAX_NAME = 16_000  # characters, of at most four bytes each
_MAX_INT = 10**38
_LONGEST_NUMBER = 400  # characters: a server may write all digits of the largest number, which has 126
_MIN_FLOAT = 1e-128  # DynamoDB's smallest is 1e-130
_NULL, _TRUE, _FALSE = {"NULL": True}, {"BOOL": True}, {"BOOL": False}


class Encoded(NamedTuple):
    """A value ready to be written: one attribute, or bytes to split across items."""

    form: str
    """The name of the attribute, one of `VALUE_FORMS`."""
    attribute: Attribute
    """For `PARTS` it is empty until they have a name."""
    chunks: tuple[bytes, ...] = ()
    """The contents of the value's own items, for `PARTS`."""

    def named(self, name: str) -> Encoded:
        """Return a value in parts with their name."""
        return self._replace(attribute={"S": f"{name}:{len(self.chunks)}"})


class _NotExactError(Exception):
    """DynamoDB would give back another value."""


def encoded_of(write: Put | Restore) -> Encoded:
    """Return the value of a write as it is stored."""
    content = content_of(write)
    if content is not None and len(content) <= MAX_VALUE_SIZE:
        return Encoded(CONTENT, {"B": content})
    if isinstance(write, Restore):
        return encode_value(write.document.value, write.json)
    write = without_content(write)  # one that is too large is stored as any other value
    return encode_value(write.value, write.json)


def encode_value(value: Any, json: str) -> Encoded:
    """Return a value, whose JSON is given, as it is stored."""
    try:
        attribute = to_attribute(value)
    except _NotExactError:
        attribute = {"S": json}
        form = JSON
        size = len(json) if json.isascii() else len(json.encode())
    else:
        form = NATIVE
        size = 0 if len(json) * 4 <= _ALWAYS_FITS else size_of(attribute)
    if size <= MAX_VALUE_SIZE:
        return Encoded(form, attribute)
    zipped = zlib.compress(json.encode())
    if len(zipped) <= MAX_VALUE_SIZE:
        return Encoded(ZIPPED, {"B": zipped})
    chunks = tuple(zipped[start : start + MAX_VALUE_SIZE] for start in range(0, len(zipped), MAX_VALUE_SIZE))
    return Encoded(PARTS, {}, chunks)


def decode_value(item: Mapping[str, Attribute], fields: Fields) -> tuple[Any, int]:
    """Return the value in an item, and to how many characters it was unpacked (0 if it was not compressed)."""
    attribute = item.get(NATIVE)
    if attribute is not None:
        return from_attribute(attribute), 0
    attribute = item.get(JSON)
    if attribute is not None:
        return decode(attribute["S"]), 0
    attribute = item.get(CONTENT)
    if attribute is not None:
        return value_of_stored(bytes(attribute["B"]), fields), 0
    return unzip(bytes(item[ZIPPED]["B"]))


def unzip(zipped: bytes) -> tuple[Any, int]:
    """Return a value from its compressed JSON, and the size of the JSON.

    Raises:
        ValueError: If it does not hold a value, or unpacks to more than a value may take.
    """
    member = zlib.decompressobj()
    try:
        utf8 = member.decompress(zipped, MAX_VALUE_BYTES + 2)  # with the space before what must be read exactly
    except zlib.error:
        raise UnreadableError("a compressed value that cannot be unpacked") from None
    if not member.eof:
        raise UnreadableError("a value that is cut off, or larger than a value may be")
    text = utf8.decode()
    return decode(text), len(text)


def encode_metadata(metadata: dict[str, Any]) -> Attributes:
    """Return the attributes that hold metadata; none if it is empty."""
    if not metadata:
        return {}
    try:
        return {"metadata": to_attribute(metadata)}
    except _NotExactError:
        return {"metadataJson": {"S": encode(metadata, "metadata")}}


def decode_metadata(item: Mapping[str, Attribute]) -> dict[str, Any]:
    """Return the metadata that an item holds."""
    attribute = item.get("metadata")
    if attribute is not None:
        native: dict[str, Any] = from_attribute(attribute)
        return native
    attribute = item.get("metadataJson")
    text: dict[str, Any] = {} if attribute is None else decode(attribute["S"])
    return text


def to_attribute(value: Any, depth: int = 0) -> Attribute:
    """Return a value in the client's notation.

    Raises:
        _NotExactError: If DynamoDB cannot hold it exactly.
    """
    kind = type(value)
    if kind is str:
        return {"S": value}
    if kind is int or kind is float:
        text = number_text(value)
        if text is None:
            raise _NotExactError
        return {"N": text}
    if value is None:
        return _NULL
    if kind is bool:
        return _TRUE if value else _FALSE
    depth += 1
    if depth > _MAX_DEPTH:
        raise _NotExactError
    if isinstance(value, dict):
        for name in value:
            if not 0 < len(name) <= _MAX_NAME:
                raise _NotExactError
        # Most parts of a value are text: a call for each would take longer than the rest.
        children = value.items()
        return {
            "M": {name: {"S": child} if type(child) is str else to_attribute(child, depth) for name, child in children}
        }
    return {"L": [{"S": child} if type(child) is str else to_attribute(child, depth) for child in value]}


def number_text(number: float) -> str | None:
    """Return a number as DynamoDB writes it, or ``None`` if DynamoDB would give back another number."""
    if isinstance(number, int):
        return str(number) if -_MAX_INT < number < _MAX_INT else None
    return None if number.is_integer() or -_MIN_FLOAT < number < _MIN_FLOAT else repr(number)


def from_attribute(attribute: Attribute) -> Any:
    """Return the value of an attribute, as the database gives it back, that `to_attribute` made."""
    for kind, value in attribute.items():
        return _DECODERS[kind](value)
    raise UnreadableError("an attribute without a type")


def _number(text: str) -> int | float:
    if len(text) > _LONGEST_NUMBER:
        raise UnreadableError("a number longer than DynamoDB's numbers are")
    try:
        return int(text)
    except ValueError:
        number = float(text)  # never written as a whole number, but a server may write a large integer as 1E+37
        return number if not number.is_integer() else _whole(text)


def _whole(text: str) -> int:
    """Return an integer that a server wrote with an exponent. A `float` holds it, so it has at most 309 digits."""
    digits, _, exponent = text.upper().partition("E")
    whole, _, fraction = digits.partition(".")
    return int(f"{whole}{fraction}{'0' * (int(exponent or 0) - len(fraction))}")


def _same(value: Any) -> Any:
    return value


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "S": _same,
    "N": _number,
    "BOOL": _same,
    "NULL": lambda _: None,
    "L": lambda children: [from_attribute(child) for child in children],
    "M": lambda children: {name: from_attribute(child) for name, child in children.items()},
}


def size_of(attribute: Attribute) -> int:
    """Return how many bytes an attribute takes in an item, or slightly more.

    According to "DynamoDB item sizes and formats", a container takes 3 bytes and 1 for each of its elements, a number
    takes a byte for every two digits and one more, text takes its UTF-8, and bytes take their number.
    """
    ((kind, value),) = attribute.items()
    if kind == "S":
        return len(value) if value.isascii() else len(value.encode())
    if kind == "B":
        return len(value)
    if kind == "N":
        return len(value) // 2 + 2
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + size_of(child) for name, child in value.items())
    if kind == "L":
        return 3 + sum(1 + size_of(child) for child in value)
    return 1
