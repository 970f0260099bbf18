"""Rules by which documents become records that could not be moved as they are: shorten, split, rename."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple, TypeAlias

from datastore.errors import ConfigurationError, DataStoreError, ValueTooLargeError
from datastore.ids import MAX_KEY_BYTES, MAX_NAME_BYTES, encode_key, encode_name
from datastore.moving.legacy_format import Name, plain_value
from datastore.values import MAX_VALUE_BYTES, encode

Collided: TypeAlias = Literal["hold", "fields", "other"]
"""What becomes of a document whose value may be another user's: it is held back, moved to whom its fields name, or to
the other user, if there is but one."""
COLLIDED: tuple[Collided, ...] = ("hold", "fields", "other")
FIELDS = ("user", "namespace", "key")

_PIECE = MAX_VALUE_BYTES * 9 // 10
_PIECE_CHARACTERS = MAX_VALUE_BYTES // 7
"""So many characters of text always fit a value: one takes 6 bytes of JSON at most."""


class Rules(NamedTuple):
    """How to change what cannot be moved as it is."""

    shorten: bool = False
    """Names that are too long are cut, and end with a digest, so that they stay different."""
    split: bool = False
    """A value that is too large becomes several records."""
    rename: Mapping[tuple[str, str], str] = {}
    """New names by what they are names of, one of `FIELDS`, and the old ones."""
    collided: Collided = "hold"

    def name(self, name: Name) -> Name:
        """Return what a document is to be called."""
        renamed = Name(*(self.rename.get((field, old), old) for field, old in zip(FIELDS, name, strict=True)))
        if not self.shorten:
            return renamed
        user, namespace = (
            _shortened(part, MAX_NAME_BYTES, lambda text: encode_name(text, "name")) for part in renamed[:2]
        )
        return Name(user, namespace, _shortened(renamed.key, MAX_KEY_BYTES, encode_key))

    def pieces(self, name: Name, raw: Mapping[str, Any]) -> list[tuple[Name, Mapping[str, Any]]]:
        """Return what a document becomes: itself, or a record that names the pieces of its value, and those."""
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
    """Return what ``user:OLD=NEW`` says (or ``namespace:``, or ``key:``).

    Raises:
        ConfigurationError: If it says nothing of the kind.
    """
    field, colon, names = text.partition(":")
    old, equals, new = names.partition("=")
    if field not in FIELDS or not colon or not equals or not new:
        raise ConfigurationError(f"{text[:200]!r} is no renaming; write user:OLD=NEW, namespace:OLD=NEW or key:OLD=NEW")
    return (field, old), new


def _shortened(text: str, most: int, encode: Any) -> str:
    """Return a name that fits: the longest beginning, and 16 digits of the whole one's digest."""
    try:
        encode(text)
        return text
    except DataStoreError:
        pass
    if len(text.encode(errors="surrogatepass")) * 3 <= most:
        return text  # what is wrong with it is not its length
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
    """Return a value in pieces that fit; what cannot be cut is left as one."""
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
            bytes = _PIECE  # too large itself, or not JSON: that is said when it is moved
        if runs[-1] and size + bytes > _PIECE:
            runs.append([])
            size = 0
        runs[-1].append((name, child))
        size += bytes
    return runs
