"""Blobs in requests: what a server does for those that have no way to the database (`datastore.remote.blobs`).

A content of up to 2 MiB is one request. A larger one is begun, written 2 MiB at a time, and finished. Between these the
server keeps nothing: the mark of the version (`datastore.blobs.heads`) has the SHA-256 of a **handle**, 128 random bits
that `begin` returns. Whoever has it may write parts of this version until it is finished, and nobody else may, so that
no part of any other blob is ever written over. The content goes as base64, as it is stored.

The SHA-256 of the whole content is told by whoever has put it. If that is another one, reading the whole says so.
"""

from __future__ import annotations

import secrets
from binascii import Error as Base64Error
from binascii import a2b_base64
from hashlib import sha256
from hmac import compare_digest
from typing import Any, NamedTuple

from datastore.arguments import as_int, check_text, elements, is_a, shown
from datastore.backend import Document, Fields
from datastore.blobs.calls import Blobs
from datastore.blobs.heads import (
    FORMAT,
    PART,
    TOGETHER,
    Blob,
    blob_of,
    check_blob_name,
    find,
    mark_key,
    part_key,
    part_of,
)
from datastore.blobs.reading import missing
from datastore.blobs.uploads import GRACE, REQUEST, Upload
from datastore.errors import InvalidValueError
from datastore.ids import encode_key
from datastore.scope import Scope

MOST_PARTS = 1 << 32
"""A part has a number of eight hex digits."""
_HEX = frozenset("0123456789abcdef")
_VERSION = 22  # characters


class Begun(NamedTuple):
    """What whoever puts a blob is told: the version, and what it is written with."""

    version: str
    handle: str


class Told(NamedTuple):
    """What whoever reads a blob is told: what is known of it, and where its parts are."""

    blob: Blob
    version: str
    part: int
    """Bytes of each part but the last one."""


def put_whole(
    scope: Scope,
    name: str,
    data: str,
    content_type: str | None = None,
    metadata: dict[str, Any] | None = None,
    ttl: float | None = None,
    if_revision: str | None = None,
    grace: float = GRACE,
) -> Blob:
    """Store up to 2 MiB under a name, whether or not there is a blob.

    Requests: those of `Blobs.put`.
    """
    options: dict[str, Any] = {"ttl": ttl, "if_revision": if_revision, "grace": grace}
    return Blobs(scope).put(name, _content(data), content_type, metadata, **options)


def begin(
    scope: Scope,
    name: str,
    content_type: str | None = None,
    metadata: dict[str, Any] | None = None,
    ttl: float | None = None,
    if_revision: str | None = None,
    grace: float = GRACE,
) -> Begun:
    """Begin to put a blob of more than 2 MiB.

    Requests: 2.
    """
    upload, handle = _upload(scope, name, content_type, metadata, ttl, if_revision, grace), secrets.token_hex(16)
    upload.begin({"handle": _digest(handle)})
    return Begun(upload.version, handle)


def write(scope: Scope, name: str, version: str, handle: str, at: int, data: str) -> None:
    """Store the next 2 MiB of a blob. To do that twice changes nothing.

    Args:
        scope: Whose it is.
        name: The name.
        version: As `begin` has returned it.
        handle: As `begin` has returned it.
        at: How many bytes were stored before.
        data: The content, in base64.

    Requests: 2.
    """
    content = _content(data)
    if len(content) != REQUEST:
        raise InvalidValueError(f"data has {len(content):,} bytes; all but what is finished with has {REQUEST:,}")
    upload = _upload(scope, name)
    upload.resume(_mark_of(scope, name, version, handle), version, _written(at, "at"))
    upload.store(content)


def finish(
    scope: Scope,
    name: str,
    version: str,
    handle: str,
    written: int,
    digest: str,
    data: str,
    content_type: str | None = None,
    metadata: dict[str, Any] | None = None,
    ttl: float | None = None,
    if_revision: str | None = None,
    grace: float = GRACE,
) -> Blob:
    """Store what is left of a blob, and commit it. If that cannot be, nothing is left of it.

    Requests: 4 or 5, as `Blobs.put` makes them at its end.
    """
    if not is_a(digest, str) or len(digest) != 64 or not _HEX.issuperset(digest):
        raise InvalidValueError("digest must be the SHA-256 of the whole content, 64 lower-case hex digits")
    content, number = _content(data), _written(written, "written")
    upload = _upload(scope, name, content_type, metadata, ttl, if_revision, grace)
    upload.resume(_mark_of(scope, name, version, handle), version, number, digest)
    try:
        upload.look()
        upload.write(content)
        return upload.finish()
    except Exception:
        upload.abandon()
        raise


def abandon(scope: Scope, name: str, version: str, handle: str, written: int) -> None:
    """Remove what was stored of a blob that will not be finished.

    Requests: 2, and those that remove the parts.
    """
    upload = _upload(scope, name)
    upload.resume(_mark_of(scope, name, version, handle), version, _written(written, "written"))
    upload.abandon()


def look_up(scope: Scope, name: str) -> Told | None:
    """Return what is known of a blob, and where its parts are.

    Requests: 1.
    """
    checked = check_blob_name(name)
    found = find(scope.area("blobs"), checked)
    return None if found is None else Told(blob_of(checked, found), found.head.version, found.head.part)


def read(scope: Scope, name: str, version: str, numbers: list[int]) -> list[str]:
    """Return up to 8 parts of a version, in base64, each checked against its SHA-256.

    Raises:
        BlobReplacedError: If the version is not there any more.
        DamagedRecordError: If one of them is missing or is not what was put.

    Requests: 1; 1 more to tell why one is missing.
    """
    area, checked, version = scope.area("blobs"), check_blob_name(name), _checked_version(version)
    if not is_a(numbers, list) or len(numbers) > TOGETHER:
        raise InvalidValueError(f"numbers must be an array of up to {TOGETHER} numbers of parts")
    wanted = [as_int(one) for one in elements(numbers)]
    ids = list[str]()
    for number in wanted:
        if number is None or not 0 <= number < MOST_PARTS:
            raise InvalidValueError("numbers must hold whole numbers from 0 on")
        ids.append(area.prefix + encode_key(part_key(version, number)))
    found, parts = area.core.read(list(dict.fromkeys(ids)), Fields.VALUE), list[str]()
    for id in ids:
        if id not in found:
            raise missing(area, checked, version, id)
        part_of(found[id])  # raises if it is damaged
        parts.append(found[id].value["data"])
    return parts


def list_all(
    scope: Scope,
    prefix: str | None = None,
    start: str | None = None,
    end: str | None = None,
    reverse: bool = False,
    limit: int | None = None,
) -> list[Blob]:
    """Return the blobs of the namespace in the order of their names, without their content.

    Requests: 1 per page of the database.
    """
    return Blobs(scope).list(prefix, start=start, end=end, reverse=reverse, limit=limit)


def delete(scope: Scope, name: str, if_revision: str | None = None, grace: float = GRACE) -> bool:
    """Remove a blob, and return whether there was one.

    Requests: those of `Blobs.delete`.
    """
    return Blobs(scope).delete(name, if_revision=if_revision, grace=grace)


def _upload(
    scope: Scope,
    name: str,
    content_type: str | None = None,
    metadata: dict[str, Any] | None = None,
    ttl: float | None = None,
    if_revision: str | None = None,
    grace: float = GRACE,
) -> Upload:
    area = scope.area("blobs")
    area.core.check_writes(area.prefix)
    return Upload(
        area,
        name,
        content_type=content_type,
        metadata=metadata,
        ttl=ttl,
        if_revision=if_revision,
        grace=grace,
    )


def _content(data: str) -> bytes:
    text = check_text(data, "data", "give the content in base64")
    if len(text) > REQUEST * 4 // 3 + 4:
        raise InvalidValueError(f"data has more than {REQUEST:,} bytes; a larger content is put in several requests")
    try:
        return a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError):
        raise InvalidValueError("data must be the content in base64") from None


def _written(number: int, parameter: str) -> int:
    checked = as_int(number)
    if checked is None or checked % REQUEST or not 0 <= checked < MOST_PARTS * PART:
        raise InvalidValueError(f"{parameter} is {shown(number)}; it must be a multiple of {REQUEST:,}")
    return checked


def _checked_version(version: str) -> str:
    text = check_text(version, "version", "give the version that beginning the blob, or looking it up, has returned")
    if len(text) != _VERSION or "/" in text:
        raise InvalidValueError("version must be one that beginning a blob, or looking it up, has returned")
    return text


def _mark_of(scope: Scope, name: str, version: str, handle: str) -> Document:
    """Return the mark of a version that is being put by whoever has its handle.

    Raises:
        InvalidValueError: If there is none.
    """
    area, text = (
        scope.area("blobs"),
        check_text(handle, "handle", "give the handle that beginning the blob has returned"),
    )
    mark = area.fetch(mark_key(check_blob_name(name), _checked_version(version)), Fields.VALUE)
    value: Any = None if mark is None else mark.value
    known = value.get("handle") if type(value) is dict and value.get("format") == FORMAT else None
    if mark is None or type(known) is not str or not compare_digest(known, _digest(text)):
        raise InvalidValueError("no upload of this version is under way: it is finished, or was never begun")
    return mark


def _digest(handle: str) -> str:
    return sha256(handle.encode()).hexdigest()
