"""Records as lines of JSON: the fields of docs/schema.md, one record per line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from json import JSONDecodeError
from typing import Any

import orjson

from datastore.backend import Document
from datastore.documents import MAX_COUNT, Sound, are_sound, encoded, from_fields, unchecked
from datastore.errors import DataStoreError, InvalidValueError, kind_of
from datastore.ids import AREAS, area_prefix, encode_key, encode_name, is_system, namespace_prefix
from datastore.moving.files import LONGEST_LINE
from datastore.values import MAX_DEPTH, MAX_METADATA_BYTES, encode, encode_parsed
from datastore.values import decode as decode_value

_TO_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
"""A line with this many digits may hold an integer beyond 64 bits, which the fast parser would turn into a float."""


def to_line(document: Document, name: tuple[str, str, str], parsed: bool) -> bytes:
    """Return a whole document as one line, with the line break.

    Args:
        document: The document.
        name: The user id, the namespace and the key in its id.
        parsed: Whether the value was parsed (`datastore.backend.Capabilities.parsed_values`).
    """
    # Fields by position, because by name they take twice as long.
    id, created_at, revision, expires_at, value, metadata, creator, updated_at, count, reader, read_at, writer = (
        document
    )
    user_id, namespace, key = name
    area, _, home = namespace.partition(":") if is_system(id) else ("", "", "")
    fields = {
        "id": id,
        "userId": user_id,
        # A reader that knows no areas misses the namespace, and so does not take what lies in one for a record.
        **({"area": area, "home": home} if area else {"namespace": namespace}),
        "key": key,
        "createdByAgent": creator,
        "updatedByAgent": writer,
        "lastAccessedByAgent": reader,
        "accessCount": count,
        "createdAt": created_at,
        "updatedAt": updated_at,
        "lastAccessedAt": read_at,
        "revision": revision,
        "expiresAt": expires_at,
        "metadata": metadata or {},
        "value": value,
    }
    if parsed:
        try:
            line = orjson.dumps(fields, None, orjson.OPT_APPEND_NEWLINE)
            # Only the size and the depth are left to check: this shows that both are small.
            if len(line) <= MAX_METADATA_BYTES and line.count(b"[") + line.count(b"{") <= MAX_DEPTH:
                return line
        except TypeError:
            pass  # integers beyond 64 bits
    fields["metadata"] = orjson.Fragment(encode(metadata or {}, "metadata").strip())
    fields["value"] = orjson.Fragment(encode(value).strip())
    return orjson.dumps(fields, None, orjson.OPT_APPEND_NEWLINE)


def parse(line: bytes | None) -> dict[str, Any]:
    """Return the object that a line holds, exactly.

    Raises:
        InvalidValueError: If the line is not a JSON object, or too long; the message quotes nothing of it.
    """
    if line is None:
        raise InvalidValueError(f"is longer than {LONGEST_LINE:,} bytes")
    exactly = _LONG_NUMBER in line.translate(_TO_ZEROS)
    if not exactly and line.startswith(b"{"):
        try:
            found: dict[str, Any] = orjson.loads(line)
            return found
        except JSONDecodeError:
            pass  # the closer look finds out what it is
    try:
        text = line.decode()
        space = " " if exactly else ""  # a leading space makes `decode` use the exact parser
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


def read_lines(lines: Sequence[bytes | None]) -> list[Sound | DataStoreError]:
    """Return for each line the record that it holds, checked, or the error that says why it holds none.

    The id of a record is made from its names; the line's own id is ignored.

    Args:
        lines: The lines; ``None`` for one that is too long.
    """
    try:
        return list[Sound | DataStoreError](_read_together(lines))
    except (DataStoreError, TypeError, KeyError):  # the closer look finds out which line it is, and why
        return list(map(_read, lines))


def _read_together(lines: Sequence[bytes | None]) -> list[Sound]:
    """Return the records of lines if they are certainly sound, in less time than one by one."""
    prefixes = dict[tuple[str, str, str | None], str]()
    documents, names = list[Document](), list[tuple[str, str, str]]()
    for line in lines:
        fields = parse(line)
        area = fields.get("area")
        of = user_id, namespace, _ = fields["userId"], fields["namespace" if area is None else "home"], area
        prefix = prefixes.get(of)
        if prefix is None:
            prefixes[of] = prefix = _prefix(user_id, namespace, area)
        key = fields["key"]
        documents.append(unchecked(prefix + encode_key(key), fields))
        names.append((user_id, namespace if area is None else f"{area}:{namespace}", key))
    if not are_sound(documents, MAX_COUNT):
        raise InvalidValueError("one of them may not be sound")
    return list(map(encoded, documents, names, repeat(encode_parsed)))


def _read(line: bytes | None) -> Sound | DataStoreError:
    try:
        fields = parse(line)
        area = fields.get("area")
        place = "namespace" if area is None else "home"
        user_id, namespace, key = (_field(fields, name) for name in ("userId", place, "key"))
        id = _prefix(user_id, namespace, area, place) + encode_key(key)
        return from_fields((user_id, namespace if area is None else f"{area}:{namespace}", key), id, fields)
    except DataStoreError as error:
        return error


def _prefix(user_id: str, namespace: str, area: object, parameter: str = "namespace") -> str:
    prefix = namespace_prefix(encode_name(user_id, "userId"), encode_name(namespace, parameter))
    if area is None:
        return prefix
    if area not in AREAS:
        raise InvalidValueError("has an area that this version does not know")
    return area_prefix(prefix, area)


def _field(fields: dict[str, Any], name: str) -> Any:
    if name not in fields:
        raise InvalidValueError(f"has no field {name!r}")
    return fields[name]
