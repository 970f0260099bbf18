"""From hashes of Redis to documents of the store, and back: each field is text, under the name in the documentation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from datastore.adapters import knowledge as toolkit
from datastore.adapters.changes import Change
from datastore.adapters.knowledge import Known
from datastore.backend import Document, Fields, Put, Restore, Touch
from datastore.documents import UNDECODABLE, check, foreign
from datastore.errors import DamagedRecordError, InvalidValueError
from datastore.times import parse_time
from datastore.values import decode
from datastore_redis.scripts import PROVENANCE, UNKNOWN

FOR_VALUE = ("createdAt", "revision", "expiresAt", "value")
NAMES = {Fields.KEY: FOR_VALUE[:3], Fields.VALUE: FOR_VALUE, Fields.ALL: (*FOR_VALUE, *PROVENANCE)}
"""What is read of a record, in the order of the fields of `Document` after its id."""
CONDITIONS = ("token", "recentWrites", "fences")
"""What a write goes by, besides the first three fields of `FOR_VALUE`. A read by id asks for these, too."""
_GRACE = 86_400_000
"""How many milliseconds longer than the store Redis keeps a record: clocks may differ, and it hides no live one."""


def document_of(id: str, row: Sequence[bytes | None], fields: Fields) -> Document:
    """Return the document for the fields of a hash.

    Raises:
        DamagedRecordError: If another program has written it.
        datastore.documents.UNDECODABLE: If it is not a document of the store.
    """
    if row[1] is None:
        raise foreign(id)
    first = id, _text(row[0]), row[1].decode(), _text_or_none(row[2])
    if fields is Fields.KEY:
        return Document(*first)
    value = decode(_text(row[3]))
    return Document(*first, value) if fields is Fields.VALUE else Document(*first, value, *_provenance(row[4:11]))


def _provenance(row: Sequence[bytes | None]) -> tuple[Any, ...]:
    metadata, creator, updated_at, count, accessor, accessed_at, writer = row
    others = _text_or_none(accessor), _text_or_none(accessed_at), _text_or_none(writer)
    return decode(_text(metadata)), _text(creator), _text(updated_at), int(_text(count)), *others


def known_of(id: str, row: Sequence[bytes | None]) -> Known:
    """Return what the toolkit must know of a record, for the fields of `STATE`."""
    writes, counts, fences, token = ((one or b"").decode("utf-8", "replace") for one in row[-4:])
    try:
        first = (id, _text(row[0]), _text(row[1]), _text_or_none(row[2]), None)
        whole = check(Document(*first, *_provenance(row[3:-4])))
        return toolkit.known_of(whole, token or UNKNOWN, writes, counts, fences=fences)
    except (DamagedRecordError, InvalidValueError, *UNDECODABLE):
        return toolkit.damaged_one(token or UNKNOWN, foreign=row[1] is None)


def conditions_of(row: Sequence[bytes | None]) -> tuple[str, str, str]:
    """Return the token, the marks of writes and the fences, for the fields of `CONDITIONS`."""
    token, writes, fences = [one.decode("utf-8", "replace") if one else "" for one in row]
    return token or UNKNOWN, writes, fences


def new_token() -> str:
    """Return what the records that are changed together have until the next change."""
    return os.urandom(8).hex()


def fields_of(change: Change, token: str) -> list[str]:
    """Return what `datastore_redis.scripts.SWAP` takes for a change after ``how``."""
    write, after = change.write, change.after
    assert isinstance(write, Put | Restore | Touch)  # noqa: S101  # the others have scripts of their own
    assert isinstance(after, Known)  # noqa: S101  # no write begins with UNSEEN
    fields: dict[str, Any] = {"token": token}
    if change.fences:
        fields["fences"] = change.fences
    if not isinstance(write, Touch):
        fields |= {"revision": after.revision, "updatedAt": after.updated_at, "recentWrites": after.writes}
        fields |= {"value": write.json, "updatedByAgent": after.updated_by_agent}
        if change.metadata is not None:
            fields["metadata"] = change.metadata
        if not change.live or isinstance(write, Restore):
            fields |= {"userId": write.user_id, "namespace": write.namespace, "key": write.key}
            fields |= {"createdAt": after.created_at, "createdByAgent": after.created_by_agent}
            fields |= {"accessCount": str(after.access_count), "lastAccessedAt": after.last_accessed_at}
            fields["lastAccessedByAgent"] = after.last_accessed_by_agent
    stored = ["", ""] if after.expires_at is None else [_forgotten_after(write.at, after.expires_at), after.expires_at]
    for name, value in fields.items():
        if value is not None:
            stored += name, value
    return stored


def _forgotten_after(at: str, expires_at: str) -> str:
    """Return for how many milliseconds Redis is to keep a record: counted from now, for its clock may be another."""
    left = (parse_time(expires_at) - parse_time(at)).total_seconds()
    return str(int(max(left, 0) * 1_000) + _GRACE)


def _text(stored: bytes | None) -> str:
    if stored is None:
        raise KeyError
    return stored.decode()


def _text_or_none(stored: bytes | None) -> str | None:
    return None if stored is None else stored.decode()
