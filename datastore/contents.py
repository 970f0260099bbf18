"""Bytes that belong to a value: as they are, where a database holds them so (`Capabilities.content`), or in base64.

Wherever a document comes from or goes to, its value is the same JSON: an object whose member ``data`` is base64, and
whose ``sha256`` is that of the bytes. Only how a database keeps it is its own affair, as it is for any other value.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import Any

from datastore.backend import Fields, Put, Restore
from datastore.ids import home_of
from datastore.values import encode

_DIGEST = 32  # bytes of a SHA-256


def value_with(content: bytes, digest: str) -> dict[str, str]:
    """Return the value of bytes and of their SHA-256, in hex."""
    return {"data": b2a_base64(content, newline=False).decode("ascii"), "sha256": digest}


def stored_with(content: bytes, value: Any) -> bytes:
    """Return what a database holds of a content: its SHA-256, and then itself."""
    return bytes.fromhex(value["sha256"]) + content


def value_of_stored(stored: bytes, fields: Fields) -> dict[str, Any]:
    """Return the value of what `stored_with` made, for a read of so much (`Fields.CONTENT`)."""
    content, digest = stored[_DIGEST:], stored[:_DIGEST].hex()
    return {"data": content, "sha256": digest} if fields is Fields.CONTENT else value_with(content, digest)


def without_content(put: Put) -> Put:
    """Return the same write with the content in its value, as text."""
    if put.content is None:
        return put
    value = value_with(put.content, put.value["sha256"])
    return put._replace(value=value, json=encode(value), content=None)


def content_of(write: Put | Restore) -> bytes | None:
    """Return what a database that holds contents stores of a write in place of its value; ``None`` for any other value.

    What is moved is taken for a content if it is the same as the value of one, and in an area of a namespace.
    """
    if isinstance(write, Put):
        return None if write.content is None else stored_with(write.content, write.value)
    value = write.document.value
    content = None if home_of(write.id) is None else _content_in(value)
    return None if content is None else stored_with(content, value)


def _content_in(value: Any) -> bytes | None:
    if not isinstance(value, dict) or value.keys() != {"data", "sha256"}:
        return None
    from hashlib import sha256  # imported here, because few programs need it

    try:
        content = a2b_base64(value["data"])
    except (TypeError, Base64Error, ValueError):
        return None
    same = value_with(content, sha256(content).hexdigest()) == value
    return content if same else None
