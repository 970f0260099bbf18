"""Records as lines of JSON: the fields that the docs show (docs/schema.md), one record a line."""

from __future__ import annotations

import re
from typing import Any

import orjson

from datastore.backend import Document
from datastore.errors import InvalidValueError, kind_of
from datastore.ids import check_agent, decode, encode_key, encode_name, namespace_prefix
from datastore.values import check_metadata, encode
from datastore.values import decode as decode_value

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
"""Where there is one, there may be an integer beyond 64 bits, of which the quick parser would make a float."""


def to_line(document: Document) -> bytes:
    """Return a whole document as one line, with its line break."""
    name = decode(document.id)
    fields = orjson.dumps(
        {
            "id": document.id,
            "userId": name.user_id,
            "namespace": name.namespace,
            "key": name.key,
            "createdByAgent": document.created_by_agent,
            "lastAccessedByAgent": document.last_accessed_by_agent,
            "accessCount": document.access_count,
            "createdAt": document.created_at,
            "updatedAt": document.updated_at,
            "lastAccessedAt": document.last_accessed_at,
            "revision": document.revision,
            "expiresAt": document.expires_at,
        }
    )
    metadata, value = encode(document.metadata or {}, "metadata").strip(), encode(document.value).strip()
    return b"".join((fields[:-1], b',"metadata":', metadata.encode(), b',"value":', value.encode(), b"}\n"))


def parse(line: bytes) -> dict[str, Any]:
    """Return the object that a line holds, exactly.

    Raises:
        ValueError: If it is no JSON object.
    """
    text = line.decode()
    fields = decode_value(" " + text if _LONG_NUMBER.search(line) else text.strip())
    if not isinstance(fields, dict):
        raise InvalidValueError(f"is {kind_of(fields)}; a record is an object")
    return fields


def to_document(fields: dict[str, Any]) -> Document:
    """Return the document that a parsed line describes. Its id is made from the names; the line's own is not used.

    Raises:
        InvalidNameError, InvalidValueError, ValueTooLargeError: If a field is missing or is not what it must be.
    """
    user = encode_name(_field(fields, "userId"), "userId")
    namespace = encode_name(_field(fields, "namespace"), "namespace")
    metadata = _field(fields, "metadata")
    check_metadata(metadata)
    value = _field(fields, "value")
    encode(value)
    return Document(
        id=namespace_prefix(user, namespace) + encode_key(_field(fields, "key")),
        created_at=_time(fields, "createdAt"),
        revision=_text(fields, "revision"),
        expires_at=_time_or_none(fields, "expiresAt"),
        value=value,
        metadata=metadata or {},
        created_by_agent=check_agent(_field(fields, "createdByAgent")),
        updated_at=_time(fields, "updatedAt"),
        access_count=_count(fields, "accessCount"),
        last_accessed_by_agent=fields.get("lastAccessedByAgent"),
        last_accessed_at=_time_or_none(fields, "lastAccessedAt"),
    )


def _field(fields: dict[str, Any], name: str) -> Any:
    if name not in fields:
        raise InvalidValueError(f"has no field {name!r}")
    return fields[name]


def _text(fields: dict[str, Any], name: str) -> str:
    text = _field(fields, name)
    if not isinstance(text, str) or not text:
        raise InvalidValueError(f"{name} is {text!r}; it must be text")
    return text


def _time(fields: dict[str, Any], name: str) -> str:
    text = _text(fields, name)
    if not _TIME.fullmatch(text):
        raise InvalidValueError(f"{name} is {text[:40]!r}; a time is written 2026-01-31T12:00:00.000000Z")
    return text


def _time_or_none(fields: dict[str, Any], name: str) -> str | None:
    return None if fields.get(name) is None else _time(fields, name)


def _count(fields: dict[str, Any], name: str) -> int:
    count = _field(fields, name)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise InvalidValueError(f"{name} is {count!r}; it must be a whole number")
    return count
