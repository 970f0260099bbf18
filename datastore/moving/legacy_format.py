"""Turns a document in the legacy format into a record of the store. Pure: no I/O, no clock, no randomness.

Legacy ids are ``user:namespace:base64``, joined without escaping. So two records whose user or namespace holds colons
may share one id. Whoever wrote second found the first one's document and changed its value: the fields are then the
first user's, and the value is the second user's. Nothing in the document shows this; `other_readings` returns the
names to which the value may belong.

The same document always gives the same record, including its revision, which changes only with the value, the metadata
or the expiry. This makes an import repeatable.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from math import isfinite
from typing import Any, NamedTuple

from datastore.backend import Document
from datastore.documents import MAX_COUNT, UNDECODABLE, is_time
from datastore.earlier import from_earlier
from datastore.errors import DataStoreError, InvalidValueError, kind_of
from datastore.ids import check_agent, encode_key, encode_name, namespace_prefix, ordered
from datastore.moving.digests import digest
from datastore.times import format_time
from datastore.values import MAX_DIGITS, check_metadata, decode, encode
from datastore.values import UnreadableError as UnreadableValueError

UNKNOWN = "unknown"
"""The agent of a record whose document names no agent."""
IMPORTED, CHANGED = "legacy", "rules-"
"""The beginnings of the revision of an imported record that was not changed since: imported as it was, or by a rule.
The store's own revisions are hexadecimal, so they never begin like this."""
_EPOCH = "1970-01-01T00:00:00.000000Z"
_SHORT_FRACTION = re.compile(r"(\.\d{1,6})\d*")
_MILLISECONDS = 1e11  # a larger number is taken as milliseconds: as seconds it would be a time after the year 5138
_NATIVE_DIGITS = 38
"""DynamoDB keeps this many digits: a whole number with more is a float that was written out, such as 1e100."""
_LARGEST_FLOAT = Decimal("1.7976931348623157e308")
_REVISION_LENGTH = 24


class Name(NamedTuple):
    """The user, the namespace and the key of a document."""

    user_id: str
    namespace: str
    key: str


class Note(NamedTuple):
    """Something about one document that an administrator should know."""

    kind: str
    text: str


class UnreadableError(DataStoreError):
    """A document cannot become a record."""


def name_of(raw: Mapping[str, Any]) -> Name:
    """Return the name of a document, from its fields, and from its id if a field is missing.

    Raises:
        UnreadableError: If neither gives the name.
    """
    try:
        return _name(raw, [])
    except UNDECODABLE as error:
        raise UnreadableError(f"cannot be read: {type(error).__name__}") from None


def id_of(name: Name) -> str:
    """Return the id that a record of this name has in the store.

    Raises:
        UnreadableError: If the name is not valid in the store.
    """
    try:
        prefix = namespace_prefix(encode_name(name.user_id, "userId"), encode_name(name.namespace, "namespace"))
        return prefix + encode_key(name.key)
    except DataStoreError as error:
        raise UnreadableError(error.message) from error


def other_readings(raw: Mapping[str, Any], name: Name) -> list[Name]:
    """Return the names of the other records that would have the same id, and whose value a document may hold.

    They are all the ways to divide the beginning of the id, at a colon, into a user and a namespace. The key is not
    ambiguous, because base64 has no colon. If the id does not match the fields, there are no other readings.
    """
    head, _, encoded = where(raw).rpartition(":")
    if head != f"{name.user_id}:{name.namespace}" or not _is_key(encoded, name.key):
        return []
    parts = head.split(":")
    cuts = [Name(":".join(parts[:cut]), ":".join(parts[cut:]), name.key) for cut in range(1, len(parts))]
    return [cut for cut in cuts if cut != name and cut.user_id and cut.namespace]


def to_record(raw: Mapping[str, Any], zone: tzinfo, name: Name | None = None) -> tuple[Document, list[Note]]:
    """Return the record that a document becomes, and notes about it.

    Args:
        raw: The fields, in the legacy format's camel case or in snake case; the id is ``_id`` or ``id``.
        zone: The time zone of times that were stored without one.
        name: The name of the record, if a rule has decided it; by default the document's own.

    Returns:
        The record, and notes of the kinds ``mismatched`` (the id does not match the fields), ``changed`` (a field was
        not valid) and ``filled`` (a field was missing).

    Raises:
        UnreadableError: If the document cannot become a record: its name or its value is not valid in the store.
    """
    notes: list[Note] = []
    try:
        by_rule, name = name is not None, name or _name(raw, notes)
        id = id_of(name)
        if not by_rule:
            _check_id(raw, name, id, notes)
        value = _plain(_content(raw, "value"), "value", notes)
        encode(value)
        if "value" not in raw and "valueJson" not in raw:
            notes.append(Note("filled", "has no value: taken as null"))
        metadata = _metadata(raw, notes)
        created_at = _time(raw, "createdAt", zone, notes)
        updated_at = _time(raw, "updatedAt", zone, notes)
        accessed_at = _time(raw, "lastAccessedAt", zone, notes)
        accessed_by = _agent(raw, "lastAccessedByAgent", notes)
        created_by = _agent(raw, "createdByAgent", notes)
        first = created_at or updated_at or accessed_at or _EPOCH
        for field, found in (("createdAt", created_at), ("createdByAgent", created_by)):
            if found is None:
                notes.append(Note("filled", f"has no {field}: taken as {UNKNOWN if 'By' in field else first}"))
        if accessed_at or accessed_by:  # the two belong together
            accessed_at, accessed_by = accessed_at or updated_at or first, accessed_by or UNKNOWN
        document = Document(
            id=id,
            created_at=first,
            revision="",
            expires_at=_time(raw, "expiresAt", zone, notes),
            value=value,
            metadata=metadata,
            created_by_agent=created_by or UNKNOWN,
            updated_at=updated_at or first,
            access_count=_count(raw, notes),
            last_accessed_by_agent=accessed_by,
            last_accessed_at=accessed_at,
        )
    except UnreadableError:
        raise
    except DataStoreError as error:
        raise UnreadableError(error.message) from error
    except RecursionError:
        raise UnreadableError("is nested too deep") from None
    except UNDECODABLE as error:
        raise UnreadableError(f"cannot be read: {type(error).__name__}") from None
    of_content = document._replace(access_count=0, last_accessed_by_agent=None, last_accessed_at=None)
    revision = (CHANGED if by_rule else IMPORTED) + digest(of_content).hex()
    return document._replace(revision=revision[:_REVISION_LENGTH]), notes


def where(raw: Mapping[str, Any]) -> str:
    """Return how a report names a document: its id as it is."""
    return str(raw.get("_id", raw.get("id", "a document without an id")))


def plain_value(raw: Mapping[str, Any]) -> Any:
    """Return the value of a document, converted to JSON's types where possible.

    Raises:
        UnreadableError: If it holds something that JSON cannot express.
    """
    try:
        return _plain(_content(raw, "value"), "value", [])
    except DataStoreError as error:
        raise UnreadableError(error.message) from error
    except UNDECODABLE as error:
        raise UnreadableError(f"cannot be read: {type(error).__name__}") from None


# -------------------------------------------------------------------------------------------------------------- names


def _name(raw: Mapping[str, Any], notes: list[Note]) -> Name:
    user, namespace, key = (_text(raw, field) for field in ("userId", "namespace", "key"))
    if user is not None and namespace is not None and key is not None:
        return Name(user, namespace, key)
    head, colon, encoded = where(raw).rpartition(":")
    if not colon:
        raise UnreadableError("has neither the fields userId, namespace and key nor an id that holds them")
    if key is None:
        key = _decode_key(encoded)
        notes.append(Note("filled", "has no key: taken from its id"))
    if user is None and namespace is None:
        if head.count(":") != 1:
            raise UnreadableError("has neither userId nor namespace, and its id can be read in several ways")
        user, _, namespace = head.partition(":")
        notes.append(Note("filled", "has neither userId nor namespace: taken from its id"))
    elif namespace is None and user is not None and head.startswith(f"{user}:"):
        namespace = head[len(user) + 1 :]
        notes.append(Note("filled", "has no namespace: taken from its id"))
    elif user is None and namespace is not None and head.endswith(f":{namespace}"):
        user = head[: -len(namespace) - 1]
        notes.append(Note("filled", "has no userId: taken from its id"))
    if user is None or namespace is None:
        missing = "userId" if user is None else "namespace"
        raise UnreadableError(f"has no {missing}, and its id does not fit its other fields")
    return Name(user, namespace, key)


def _check_id(raw: Mapping[str, Any], name: Name, id: str, notes: list[Note]) -> None:
    """Note an id that does not match the fields."""
    theirs = where(raw)
    if ("_id" not in raw and "id" not in raw) or theirs == id or from_earlier(theirs) == id:
        return
    head, _, encoded = theirs.rpartition(":")
    if head != f"{name.user_id}:{name.namespace}" or not _is_key(encoded, name.key):
        notes.append(
            Note("mismatched", f"its id does not match its fields {tuple(name)!r:.200}; it was moved by its fields")
        )


def _is_key(encoded: str, key: str) -> bool:
    """Return whether a text is a key in base64, of any of the usual spellings, or as this store writes it."""
    utf8 = key.encode(errors="surrogatepass")
    usual = (b64encode(utf8), b64encode(utf8, b"-_"))
    return encoded == ordered(utf8) or encoded.rstrip("=") in {one.rstrip(b"=").decode() for one in usual}


def _decode_key(encoded: str) -> str:
    try:
        padded = encoded + "=" * (-len(encoded) % 4)
        return b64decode(padded, altchars=b"-_" if "-" in padded or "_" in padded else None, validate=True).decode()
    except ValueError:
        raise UnreadableError("has no key, and its id does not end with one in base64") from None


# ------------------------------------------------------------------------------------------------------------- fields


def _get(raw: Mapping[str, Any], field: str) -> Any:
    """Return a field under its name in camel case or in snake case."""
    return raw[field] if field in raw else raw.get(re.sub(r"([A-Z])", r"_\1", field).lower())


def _content(raw: Mapping[str, Any], field: str) -> Any:
    """Return a value or metadata. If this store has written the document, it is taken from the JSON text beside it."""
    text = raw.get(f"{field}Json")
    if "revision" not in raw or not isinstance(text, str):
        return _get(raw, field)
    try:
        return decode(text)
    except ValueError:
        raise UnreadableError(f"{field}Json is not JSON") from None


def _text(raw: Mapping[str, Any], field: str) -> str | None:
    found = _get(raw, field)
    if found is None or isinstance(found, str):
        return found
    raise UnreadableError(f"{field} is {kind_of(found)}; it must be text")


def _agent(raw: Mapping[str, Any], field: str, notes: list[Note]) -> str | None:
    found = _get(raw, field)
    if found in (None, ""):
        return None
    try:
        return check_agent(found)
    except DataStoreError as error:
        notes.append(Note("changed", f"{field}: {error.message}; taken as {UNKNOWN}"))
        return UNKNOWN


def _count(raw: Mapping[str, Any], notes: list[Note]) -> int:
    found = _get(raw, "accessCount")
    if found is None:
        return 0
    # It is compared before it is converted, because a `Decimal` may be an integer of any size.
    number = isinstance(found, int | float | Decimal) and not isinstance(found, bool)
    if number and 0 <= found <= MAX_COUNT and found == int(found):
        return int(found)
    notes.append(Note("changed", f"accessCount is not a whole number from 0 to {MAX_COUNT:,}: taken as 0"))
    return 0


def _metadata(raw: Mapping[str, Any], notes: list[Note]) -> dict[str, Any]:
    found = _plain(_content(raw, "metadata"), "metadata", notes)
    if found is None:
        if "metadata" in raw:
            notes.append(Note("filled", "its metadata is null: taken as {}"))
        return {}
    if not isinstance(found, dict):
        notes.append(Note("changed", f"metadata is {kind_of(found)}: kept as its entry 'metadata'"))
        found = {"metadata": found}
    check_metadata(found)
    gone = [name for name, value in found.items() if value is None]
    if gone:
        notes.append(Note("changed", f"metadata is null at {', '.join(map(repr, gone))!s:.200}: left out"))
    return {name: value for name, value in found.items() if value is not None}  # as `set` would store it


def _time(raw: Mapping[str, Any], field: str, zone: tzinfo, notes: list[Note]) -> str | None:
    found = _get(raw, field)
    if found in (None, ""):
        return None
    try:
        moment = _moment(found)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        text = format_time((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1) / 1_000_000)
        if is_time(text):  # false for a year before 1000, which is not written with four digits
            return text
    except (ValueError, TypeError, ArithmeticError, OSError):
        pass
    notes.append(Note("changed", f"{field} is not a valid time: left out"))
    return None


def _moment(found: Any) -> datetime:
    if isinstance(found, datetime):
        return found
    if isinstance(found, str):
        return datetime.fromisoformat(_SHORT_FRACTION.sub(r"\1", found.strip(), count=1))
    if isinstance(found, int | float | Decimal) and not isinstance(found, bool):
        seconds = float(found)
        return datetime.fromtimestamp(seconds / 1_000 if abs(seconds) > _MILLISECONDS else seconds, UTC)
    raise TypeError(kind_of(found))


# ------------------------------------------------------------------------------------------------------------- values


def _plain(value: Any, path: str, notes: list[Note]) -> Any:
    """Return a value with the types that database clients use turned into JSON's."""
    if isinstance(value, dict | Mapping):
        return {name: _plain(child, f"{path}.{name}", notes) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child, f"{path}[{index}]", notes) for index, child in enumerate(value)]
    if isinstance(value, Decimal):
        return _number(value, path, notes)
    if isinstance(value, UnreadableValueError):
        raise InvalidValueError(f"{path} holds {value}")
    if isinstance(value, set | frozenset):
        notes.append(Note("changed", f"{path} is a set: stored as an array"))
        return sorted((_plain(child, path, notes) for child in value), key=lambda child: (str(type(child)), child))
    if isinstance(value, datetime):
        notes.append(Note("changed", f"{path} is a time: stored as text"))
        return value.isoformat().replace("+00:00", "Z")
    return value


def _number(value: Decimal, path: str, notes: list[Note]) -> int | float:
    if not value.is_finite():
        raise InvalidValueError(f"{path} is not a finite number; JSON allows only finite ones")
    if value.adjusted() >= MAX_DIGITS:
        raise InvalidValueError(f"{path} is a number with more than {MAX_DIGITS:,} digits")
    if value == value.to_integral_value():
        number = float(value) if value.adjusted() >= _NATIVE_DIGITS and abs(value) < _LARGEST_FLOAT else 0.0
        if number and Decimal(repr(number)) == value:
            notes.append(Note("changed", f"{path} is a whole number with more than {_NATIVE_DIGITS} digits: a float"))
            return number
        return int(value)
    number = float(value)
    if not isfinite(number) or Decimal(repr(number)) != value:
        notes.append(Note("changed", f"{path} is a number with more digits than a float: rounded"))
    return number
