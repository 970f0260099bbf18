"""Bytes that belong to a value: as they are, where a database holds them so (`Capabilities.content`), or in base64.

Wherever a document comes from or goes to, its value is the same JSON: an object whose member ``data`` is base64, and
whose ``sha256`` is that of the bytes. Only how a database keeps it is its own affair, as it is for any other value.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from hashlib import sha256
from typing import Any

from datastore.backend import Put
from datastore.ids import home_of
from datastore.values import encode


def value_with(content: bytes, digest: str) -> dict[str, str]:
    """Return the value of bytes and of their SHA-256, in hex."""
    return {"data": b2a_base64(content, newline=False).decode("ascii"), "sha256": digest}


def without_content(put: Put) -> Put:
    """Return the same write with the content in its value, as text."""
    if put.content is None:
        return put
    value = value_with(put.content, put.value["sha256"])
    return put._replace(value=value, json=encode(value), content=None)


def content_in(id: str, value: Any) -> bytes | None:
    """Return the bytes in a value that a `Put.content` would have made, and that is all that there is in it.

    ``None`` for any other value, for base64 that is not written as it is here, and for another SHA-256.
    """
    if home_of(id) is None or not isinstance(value, dict) or value.keys() != {"data", "sha256"}:
        return None
    try:
        content = a2b_base64(value["data"])
    except (TypeError, Base64Error, ValueError):
        return None
    same = value_with(content, sha256(content).hexdigest()) == value
    return content if same else None
