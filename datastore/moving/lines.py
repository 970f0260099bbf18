"""Records as lines of JSON: the fields of docs/schema.md, one record per line."""

from __future__ import annotations

import re
from json import JSONDecodeError
from typing import Any

import orjson

from datastore.backend import Document
from datastore.documents import from_fields
from datastore.errors import InvalidValueError, kind_of
from datastore.ids import decode_id, encode_key, encode_name, namespace_prefix
from datastore.values import decode as decode_value
from datastore.values import encode

_LONG_NUMBER = re.compile(rb"[0-9]{19}")
"""A line with this many digits may hold an integer beyond 64 bits, which the fast parser would turn into a float."""


def to_line(document: Document) -> bytes:
    """Return a whole document as one line, with the line break."""
    name = decode_id(document.id)
    fields = orjson.dumps(
        {
            "id": document.id,
            "userId": name.user_id,
            "namespace": name.namespace,
            "key": name.key,
            "createdByAgent": document.created_by_agent,
            "updatedByAgent": document.updated_by_agent,
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
        InvalidValueError: If the line is not a JSON object; the message quotes nothing of it.
    """
    try:
        text = line.decode()
        space = " " if _LONG_NUMBER.search(line) else ""  # a leading space makes `decode` use the exact parser
        fields = decode_value(space + text)
    except UnicodeDecodeError as error:
        raise InvalidValueError(f"is not UTF-8: byte {error.start + 1:,} is not part of a character") from None
    except JSONDecodeError as error:
        raise InvalidValueError(f"is not JSON: {error.msg}, at character {error.pos + 1 - len(space):,}") from None
    except RecursionError:
        raise InvalidValueError("is nested too deeply") from None
    except ValueError as error:
        raise InvalidValueError(f"holds {error}") from None
    if not isinstance(fields, dict):
        raise InvalidValueError(f"is {kind_of(fields)}; a record is an object")
    return fields


def to_document(fields: dict[str, Any]) -> Document:
    """Return the document that a parsed line describes. Its id is made from the names; the line's own id is ignored.

    Raises:
        InvalidNameError, InvalidValueError, ValueTooLargeError: If a field is missing or not valid.
    """
    user = encode_name(_field(fields, "userId"), "userId")
    namespace = encode_name(_field(fields, "namespace"), "namespace")
    id = namespace_prefix(user, namespace) + encode_key(_field(fields, "key"))
    return from_fields(id, fields, _field(fields, "value"))


def _field(fields: dict[str, Any], name: str) -> Any:
    if name not in fields:
        raise InvalidValueError(f"has no field {name!r}")
    return fields[name]
