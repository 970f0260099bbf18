"""What every backend takes, and how to make a name fit.

The limits are the same on every backend, and checked before any I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256

from datastore.arguments import check_name
from datastore.errors import InvalidNameError
from datastore.ids import MAX_KEY_BYTES, MAX_NAME_BYTES, encoded_size, ordered
from datastore.values import MAX_DEPTH, MAX_DIGITS, MAX_METADATA_BYTES, MAX_VALUE_BYTES

__all__ = [
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_KEY_BYTES",
    "MAX_METADATA_BYTES",
    "MAX_NAME_BYTES",
    "MAX_VALUE_BYTES",
    "shorten_key",
    "shorten_name",
]

_MARK = "~"
_SHORTENED = re.compile(rf"{_MARK}[-0-9A-Z_a-z]{{22}}\Z")


def shorten_name(name: str) -> str:
    """Return a name that fits as a user id, a namespace or an agent: the same one, or a shorter one for it.

    Two names never become the same one. A long name keeps its beginning, which is followed by ``~`` and 128 bits of
    its SHA-256 in 22 characters. So does a name that fits and looks like that: otherwise it could be the one that
    another name is shortened to. The result depends on nothing but the name, so it is the same everywhere and always.

    Args:
        name: Any text but the empty one, such as a URL or a path.

    Returns:
        A name of at most `MAX_NAME_BYTES`, counted as in an id: ``%``, ``:``, ``/``, control characters and a leading
        ``_`` take three bytes or six.

    Raises:
        InvalidNameError: If it is not text, is empty, or holds a lone surrogate.
    """
    return _shortened(check_name(name, "name"), "name", MAX_NAME_BYTES, encoded_size)


def shorten_key(key: str) -> str:
    """Return a key that fits: the same one, or a shorter one for it, made as `shorten_name` does.

    Long keys that begin alike still stand together, but a prefix longer than what is kept finds them no more.

    Args:
        key: Any text but the empty one.

    Returns:
        A key of at most `MAX_KEY_BYTES` of UTF-8.

    Raises:
        InvalidNameError: If it is not text, is empty, or holds a lone surrogate.
    """
    return _shortened(check_name(key, "key"), "key", MAX_KEY_BYTES, lambda text: len(text.encode()))


def _shortened(text: str, parameter: str, most: int, size_of: Callable[[str], int]) -> str:
    if not text:
        raise InvalidNameError(f"{parameter} is empty; it needs at least one character")
    if size_of(text) <= most and not _SHORTENED.search(text):
        return text
    mark = _MARK + ordered(sha256(text.encode()).digest()[:16])
    kept = text[: most - len(mark)]
    while size_of(kept) + len(mark) > most:
        kept = kept[:-1]
    return kept + mark
