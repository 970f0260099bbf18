"""What is stored of a blob, and under which keys.

Everything lies in the area ``blobs`` of the namespace (`datastore.ids.AREAS`), as records with these keys:

- ``data/<version>/<number>``: one part of one version, in base64, or as bytes where the database holds them
  (`datastore.contents`). Only this much of a blob has the size of its content.
- ``head/<name>``: which version the name has now, and what is known of it. Writing it commits the version.
- ``mark/<name, hashed>/<version>``: that the version is to be removed at some time, unless the head names it then.
  It is written before the first part of a version, and before a version is replaced. So whatever is interrupted, no
  part is without a head or a mark that leads to it.

The parts come before the heads: what is copied in the order of keys has a head only after its parts.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from datastore.arguments import check_name, check_text
from datastore.backend import Document, Fields, Put
from datastore.contents import value_with
from datastore.documents import damaged
from datastore.errors import DamagedRecordError, InvalidNameError, InvalidValueError
from datastore.ids import MAX_NAME_BYTES, encode_key, new_key, ordered
from datastore.scope import Moment, Scope
from datastore.times import parse_time
from datastore.values import check_metadata

FORMAT = 1
"""The version of this format, in each head and each mark."""
PART = 262_144
"""The bytes of one part. In base64 they take 349,528 characters: with its names the largest power of two that DynamoDB
holds in one item of 400 KB, and all other databases in one document."""
TOGETHER = 8
"""The most parts in memory, and in one write or read: 2 MiB, in base64 2.8 MB."""
MAX_CONTENT_TYPE = 255
"""The most characters of a media type. RFC 6838 allows 127 for each of its two names."""

DATA, HEAD, MARK = "data/", "head/", "mark/"


@dataclass(frozen=True, slots=True)
class Blob:
    """What is known of a blob, without its content."""

    name: str
    size: int
    """Bytes."""
    content_type: str | None
    metadata: dict[str, Any]
    sha256: str
    """Of the whole content, in hex."""
    revision: str
    """Another one after each `put`; for ``if_revision``."""
    created_at: datetime
    """When there first was a blob of this name."""
    created_by_agent: str
    """Empty for the host, which is no agent."""
    updated_at: datetime
    """When this content was put."""
    updated_by_agent: str
    expires_at: datetime | None


class Head(NamedTuple):
    """The value of a head."""

    version: str
    size: int
    part: int
    """Bytes of each part but the last one."""
    sha256: str
    content_type: str | None
    metadata: dict[str, Any]
    puts: int
    """How often the name was put since it last was new."""

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-self.size // self.part)

    def value(self) -> dict[str, Any]:
        """Return what is stored."""
        return {
            "format": FORMAT,
            "version": self.version,
            "size": self.size,
            "partSize": self.part,
            "sha256": self.sha256,
            "contentType": self.content_type,
            "metadata": self.metadata,
            "puts": self.puts,
        }


class Found(NamedTuple):
    """A head as it is stored now."""

    head: Head
    document: Document


def check_blob_name(name: str) -> str:
    """Return the name of a blob as an exact `str`.

    Raises:
        InvalidNameError: If it is not text of 1 to 255 bytes of UTF-8.
    """
    text = check_name(name, "name")
    size = len(text.encode())
    if not 0 < size <= MAX_NAME_BYTES:
        raise InvalidNameError(f"name takes {size} bytes of UTF-8; it must take 1 to {MAX_NAME_BYTES}")
    return text


def check_content_type(content_type: str | None) -> str | None:
    """Return a media type as an exact `str`.

    Raises:
        InvalidValueError: If it is not text of 1 to 255 characters.
    """
    if content_type is None:
        return None
    text = check_text(content_type, "content_type", "give a media type such as 'image/png', or None")
    if not 0 < len(text) <= MAX_CONTENT_TYPE:
        raise InvalidValueError(f"content_type has {len(text)} characters; it must have 1 to {MAX_CONTENT_TYPE}")
    return text


def check_blob_metadata(metadata: dict[str, Any] | None) -> dict[str, Any]:
    """Return metadata as `datastore.values.check_metadata` does, and no metadata as an empty object."""
    return check_metadata(metadata) or {}


def place_of(scope: Scope) -> str:
    """Return the namespace of an area, for a message."""
    return f" of namespace {scope.namespace.partition(':')[2]!r}"


def new_version() -> str:
    """Return a name that no other version has."""
    return new_key("")


def head_key(name: str) -> str:
    """Return the key of the head of a name."""
    return HEAD + name


def data_prefix(version: str) -> str:
    """Return what the keys of the parts of a version begin with."""
    return f"{DATA}{version}/"


def part_key(version: str, number: int) -> str:
    """Return the key of a part."""
    return f"{DATA}{version}/{number:08x}"


def mark_prefix(name: str) -> str:
    """Return what the keys of the marks of a name begin with. It has 128 bits of the name's SHA-256."""
    return f"{MARK}{ordered(sha256(name.encode()).digest()[:16])}/"


def mark_key(name: str, version: str) -> str:
    """Return the key of the mark of a version."""
    return mark_prefix(name) + version


def part(scope: Scope, version: str, number: int, content: bytes, moment: Moment) -> Put:
    """Return the write of a part."""
    key, digest = part_key(version, number), sha256(content).hexdigest()
    if scope.core.backend.capabilities.content:
        return scope.put(key, {"sha256": digest}, moment)._replace(content=content)
    return scope.put(key, value_with(content, digest), moment)


def read_parts(scope: Scope, ids: Sequence[str]) -> dict[str, Document]:
    """Return those parts that there are, for `part_of`.

    Requests: as `datastore.AgentDataStore.get_many`.
    """
    return scope.core.read(ids, Fields.CONTENT if scope.core.backend.capabilities.content else Fields.VALUE)


def part_of(document: Document) -> bytes:
    """Return the content of a part, which is what was put: its SHA-256 says so.

    Raises:
        DamagedRecordError: If it is not.
    """
    try:
        data = document.value["data"]
        content = data if type(data) is bytes else a2b_base64(data, strict_mode=True)
        if sha256(content).hexdigest() == document.value["sha256"]:
            return content
    except (TypeError, LookupError, Base64Error, ValueError):
        pass
    raise damaged(document.id, "a part of a blob whose content does not have its SHA-256")


def mark_value(name: str, version: str, parts: int | None, until: str) -> dict[str, Any]:
    """Return what is stored for a mark. How many parts there are is not known of a version that is being put."""
    return {"format": FORMAT, "name": name, "version": version, "parts": parts, "until": until}


def find(scope: Scope, name: str) -> Found | None:
    """Return the head of a name, or ``None`` if there is none.

    Raises:
        DamagedRecordError: If it is not one that was written here.

    Requests: 1.
    """
    document = scope.core.read_whole(scope.prefix + encode_key(head_key(name)))
    return None if document is None else found_in(document)


def find_all(scope: Scope, ids: Sequence[str], *, expired: bool = False) -> dict[str, Found]:
    """Return those heads under some ids that there are; with ``expired`` also those that have expired.

    Requests: as `datastore.AgentDataStore.get_many`.
    """
    documents = scope.core.read(ids, Fields.ALL, expired=expired)
    return {id: found_in(document) for id, document in documents.items()}


def found_in(document: Document) -> Found:
    """Return the head in a document.

    Raises:
        DamagedRecordError: If it is not one that was written here.
    """
    try:
        value = document.value
        head = Head(
            *(value[name] for name in ("version", "size", "partSize", "sha256", "contentType", "metadata", "puts"))
        )
        if value["format"] == FORMAT and _is_sound(head):
            return Found(head, document)
        newer = type(value["format"]) is int and value["format"] > FORMAT
    except (TypeError, LookupError):
        newer = False
    if newer:
        raise DamagedRecordError(
            f"the blob {document.id!r} was put by a newer version of agent-datastore; install that one",
            id=document.id,
        )
    raise damaged(document.id, "the head of a blob has other fields")


def _is_sound(head: Head) -> bool:
    numbers = head.size, head.part, head.puts
    return (
        all(type(number) is int for number in numbers)
        and head.size >= 0
        and head.part > 0
        and all(type(text) is str for text in (head.version, head.sha256))
        and type(head.metadata) is dict
        and (head.content_type is None or type(head.content_type) is str)
    )


def blob_of(name: str, found: Found) -> Blob:
    """Return what a caller is told of a blob."""
    head, document = found
    return Blob(
        name,
        head.size,
        head.content_type,
        head.metadata,
        head.sha256,
        document.revision,
        parse_time(document.created_at),
        document.created_by_agent,
        parse_time(document.updated_at),
        document.updated_by_agent or "",
        None if document.expires_at is None else parse_time(document.expires_at),
    )
