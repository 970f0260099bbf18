"""Rules that change documents which cannot be moved as they are: shorten, split, rename."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple, TypeAlias

from datastore.errors import ConfigurationError, DataStoreError, ValueTooLargeError
from datastore.ids import MAX_KEY_BYTES, MAX_NAME_BYTES, encode_key, encode_name
from datastore.moving.legacy_format import Name, plain_value
from datastore.values import MAX_VALUE_BYTES, encode

Collided: TypeAlias = Literal["hold", "fields", "other"]
"""What to do with a document whose value may be another user's: hold it back, move it to the user that its fields name,
or move it to the other user, if there is only one."""
COLLIDED: tuple[Collided, ...] = ("hold", "fields", "other")
FIELDS = ("user", "namespace", "key")

_PIECE = MAX_VALUE_BYTES * 9 // 10
_PIECE_CHARACTERS = MAX_VALUE_BYTES // 7
"""This many characters of text always fit into a value: one takes at most 6 bytes of JSON."""


class Rules(NamedTuple):
    """How to change what cannot be moved as it is."""

    shorten: bool = False
    """Cut names that are too long; they end with a digest, so that different names stay different."""
    split: bool = False
    """Divide a value that is too large into several records."""
    rename: Mapping[tuple[str, str], str] = {}
    """New names, by pairs of the field, one of `FIELDS`, and the old name."""
    collided: Collided = "hold"

    def name(self, name: Name) -> Name:
        """Return the name that a document gets."""
        renamed = Name(*(self.rename.get((field, old), old) for field, old in zip(FIELDS, name, strict=True)))
        if not self.shorten:
            return renamed
        user, namespace = (
            _shortened(part, MAX_NAME_BYTES, lambda text: encode_name(text, "name")) for part in renamed[:2]
        )
        return Name(user, namespace, _shortened(renamed.key, MAX_KEY_BYTES, encode_key))

    def pieces(self, name: Name, raw: Mapping[str, Any]) -> list[tuple[Name, Mapping[str, Any]]]:
        """Return a document itself, or a document that names the pieces of its value, followed by the pieces."""
        if not self.split:
            return [(name, raw)]
        value = plain_value(raw)
        if not _is_too_large(value):
            return [(name, raw)]
        parts = _cut(value)
        if len(parts) < 2:
            return [(name, raw)]
        names = [name._replace(key=f"{name.key}/part {number}") for number in range(1, len(parts) + 1)]
        if self.shorten:
            names = [part._replace(key=_shortened(part.key, MAX_KEY_BYTES, encode_key)) for part in names]
        whole = {**raw, "value": {"splitInto": [part.key for part in names]}}
        return [(name, whole), *((part, {**raw, "value": piece}) for part, piece in zip(names, parts, strict=True))]


def parse_rename(text: str) -> tuple[tuple[str, str], str]:
    """Parse ``user:OLD=NEW``, ``namespace:OLD=NEW`` or ``key:OLD=NEW``; return an entry of `Rules.rename`.

    Raises:
        ConfigurationError: If the text is none of these.
    """
    field, colon, names = text.partition(":")
    old, equals, new = names.partition("=")
    if field not in FIELDS or not colon or not equals or not new:
        raise ConfigurationError(
            f"{text[:200]!r} does not rename anything; write user:OLD=NEW, namespace:OLD=NEW or key:OLD=NEW"
        )
    return (field, old), new


def _shortened(text: str, most: int, encode: Any) -> str:
    """Return a name that fits: as much of its beginning as possible, and 16 digits of the whole name's digest."""
    try:
        encode(text)
        return text
    except DataStoreError:
        pass
    if len(text.encode(errors="surrogatepass")) * 3 <= most:
        return text  # it is invalid for another reason than its length
    mark = "~" + sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
    beginning = text[:most]
    while beginning:
        try:
            encode(beginning + mark)
            return beginning + mark
        except DataStoreError:
            beginning = beginning[:-1]
    return text


def _is_too_large(value: Any) -> bool:
    try:
        encode(value)
    except ValueTooLargeError:
        return True
    except (DataStoreError, TypeError, ValueError, RecursionError):
        pass
    return False


def _cut(value: Any) -> Sequence[Any]:
    """Return a value in pieces that fit; a value that cannot be cut stays one piece."""
    if isinstance(value, str):
        return [value[start : start + _PIECE_CHARACTERS] for start in range(0, len(value), _PIECE_CHARACTERS)]
    if isinstance(value, dict):
        return [dict(items) for items in _runs(list(value.items()))]
    if isinstance(value, list | tuple):
        return [[child for _, child in items] for items in _runs([("", child) for child in value])]
    return [value]


def _runs(items: Sequence[tuple[str, Any]]) -> list[list[tuple[str, Any]]]:
    runs, size = [list[tuple[str, Any]]()], 0
    for name, child in items:
        try:
            bytes = len(encode({name: child}).encode())
        except DataStoreError:
            bytes = _PIECE  # it is too large, or not JSON: the error is reported when it is moved
        if runs[-1] and size + bytes > _PIECE:
            runs.append([])
            size = 0
        runs[-1].append((name, child))
        size += bytes
    return runs
