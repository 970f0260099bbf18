"""Blobs of an agent in a sandbox: sent and fetched 2 MiB at a time, by the calls of `datastore.blobs.steps`."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from typing import Any, cast

from datastore.backend import Document
from datastore.blobs import Blob, Blobs
from datastore.blobs.heads import PART, Found, Head, head_key, part_key
from datastore.blobs.reading import Parts
from datastore.blobs.steps import Begun, Told
from datastore.blobs.uploads import Upload
from datastore.documents import damaged
from datastore.errors import DataStoreError
from datastore.ids import encode_key
from datastore.remote.leases import asked_under, leases_of
from datastore.remote.requests import accepted, body_of
from datastore.scope import Scope, scope_of
from datastore.times import text_of
from datastore.wire.calls import CALLS

_UNLIMITED = frozenset({"blob_put", "blob_finish", "blob_abandon", "blob_delete"})
"""Those that may have any number of parts to remove."""
_WRITES = _UNLIMITED | {"blob_begin", "blob_write"}


class ServedBlobs(Blobs):
    """The `Blobs` of a namespace that a server has."""

    __slots__ = ()

    def _upload(self, name: str, **options: Any) -> Upload:
        return ServedUpload(scope_of(self), name, **options)

    def _find(self, name: str) -> Found | None:
        told: Told | None = _ask(scope_of(self), "blob_find", name=name)
        return None if told is None else _found(scope_of(self), told)

    def _parts(self, name: str, found: Found) -> Parts:
        return ServedParts(scope_of(self), name, found)

    def _list(
        self, prefix: str | None, start: str | None, end: str | None, reverse: bool, limit: int | None
    ) -> list[Blob]:
        options = {"prefix": prefix, "start": start, "end": end, "reverse": reverse, "limit": limit}
        found: list[Blob] = _ask(scope_of(self), "blob_list", **options)
        return found

    def _delete(self, name: str, revision: str | None, seconds: float) -> bool:
        return bool(_ask(scope_of(self), "blob_delete", name=name, if_revision=revision, grace=seconds))


class ServedParts(Parts):
    """The parts of one version, which a server has."""

    __slots__ = ()

    def read(self, numbers: Sequence[int]) -> list[bytes]:
        """See `Parts.read`."""
        scope, head = scope_of(self), self.head
        told: list[str] = _ask(scope, "blob_read", name=self.name, version=head.version, numbers=list(numbers))
        contents = list(map(a2b_base64, told))
        for number, content in zip(numbers, contents, strict=True):
            if len(content) != min(head.part, head.size - number * head.part):
                id = scope.prefix + encode_key(part_key(head.version, number))
                raise damaged(id, "a part of a blob that has another size")
        return contents


class ServedUpload(Upload):
    """One `put` to a server: in one request if it is small, and otherwise begun, written and finished."""

    _begun_there: Begun | None = None

    def begin(self, more: Any = None) -> None:
        """Do nothing: how large it is shows later."""

    def store(self, content: bytes | bytearray | memoryview) -> None:
        """See `Upload.store`."""
        scope = scope_of(self)
        if self._begun_there is None:
            self._begun_there = _ask(scope, "blob_begin", **self._options())
        _ask(scope, "blob_write", **self._place(), at=self._sent * PART, data=_text(content))
        self._sent += len(content) // PART

    def finish(self) -> Blob:
        """See `Upload.finish`."""
        call, given = "blob_put", self._options() | {"data": _text(self._waiting)}
        if self._begun_there is not None:
            call, given = "blob_finish", given | self._place()
            given |= {"written": self._sent * PART, "digest": self._whole.hexdigest()}
            self._begun_there = None  # whatever comes of it, the host sees to it
        blob: Blob = _ask(scope_of(self), call, **given)
        return blob

    def abandon(self) -> None:
        """See `Upload.abandon`."""
        if self._begun_there is not None:
            place, self._begun_there = self._place(), None
            with suppress(DataStoreError):
                _ask(scope_of(self), "blob_abandon", **place, written=self._sent * PART)

    def _options(self) -> dict[str, Any]:
        return {
            "name": self._name,
            "content_type": self._content_type,
            "metadata": self._metadata,
            "ttl": self._ttl,
            "if_revision": self._if_revision,
            "grace": self._grace,
        }

    def _place(self) -> dict[str, Any]:
        begun = cast(Begun, self._begun_there)
        return {"name": self._name, "version": begun.version, "handle": begun.handle}


def _ask(area: Scope, call: str, **arguments: Any) -> Any:
    """Make a request about the blobs of a namespace, under the leases of the store."""
    home = copy(area)
    home.namespace = area.namespace.partition(":")[2]
    body = body_of(home, arguments, accepted, leases=leases_of(area) if call in _WRITES else "")
    return asked_under(home, CALLS[call], body, limited=call not in _UNLIMITED)


def _text(content: bytes | bytearray | memoryview) -> str:
    return b2a_base64(content, newline=False).decode("ascii")


def _found(scope: Scope, told: Told) -> Found:
    """Return the head as it is stored on the host."""
    blob = told.blob
    head = Head(told.version, blob.size, told.part, blob.sha256, blob.content_type, blob.metadata, 0)
    document = Document(
        scope.prefix + encode_key(head_key(blob.name)),
        text_of(blob.created_at),
        blob.revision,
        None if blob.expires_at is None else text_of(blob.expires_at),
        head.value(),
        created_by_agent=blob.created_by_agent,
        updated_at=text_of(blob.updated_at),
        updated_by_agent=blob.updated_by_agent,
    )
    return Found(head, document)
