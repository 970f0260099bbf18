"""The calls on blobs: put, open, get, stat, list and delete."""

from __future__ import annotations

import builtins
import io
from collections.abc import Iterable, Iterator
from datetime import timedelta
from hashlib import sha256
from itertools import islice
from typing import Any, BinaryIO, Self, TypeAlias, TypeVar, overload

from datastore.arguments import as_bool, check_name, is_a, iterating
from datastore.backend import Delete, Fields, IdRange
from datastore.blobs.heads import (
    HEAD,
    Blob,
    Found,
    blob_of,
    check_blob_name,
    find,
    found_in,
    head_key,
    mark_key,
    mark_prefix,
    mark_value,
    place_of,
)
from datastore.blobs.reading import Parts, opened
from datastore.blobs.sweeping import sweep
from datastore.blobs.uploads import GRACE, Upload, check_grace, check_revision
from datastore.calls.listings import most
from datastore.documents import skip
from datastore.errors import (
    BlobNotFoundError,
    BlobReplacedError,
    ConflictError,
    DamagedRecordError,
    DataStoreError,
    InvalidValueError,
    conflict,
    kind_of,
)
from datastore.ids import decode_key, encode_key, key_range
from datastore.reminders import remind
from datastore.retry import Backoff
from datastore.scope import Bound, OfOneProcess, Scope, bind, bounded, scope_of
from datastore.times import format_time

D = TypeVar("D")
Content: TypeAlias = bytes | bytearray | memoryview | BinaryIO | Iterable[bytes | bytearray | memoryview]
"""What `Blobs.put` takes: bytes, a file object that was opened for bytes, or pieces of bytes, such as a generator."""

_READ = 1_048_576  # bytes that a file is asked for at once
_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds; a competitor is done after one round trip


class Blobs(Bound, OfOneProcess):
    """Bytes of any size under names, in the namespace of an agent's store. From ``data_store.blobs``.

    A blob is there whole or not at all: `put` commits it at its end, and until then everybody reads what was there
    before. What was read is what was put: its SHA-256 is checked. Names are text of 1 to 255 bytes of UTF-8, and are
    apart from the keys of records. Memory is needed for 2 MiB of a blob at a time, and not for the whole of it; only
    `get` returns it whole.

    Calls raise what those of `AgentDataStore` raise. ``max_seconds`` is for each request of `put`, `get` and
    `delete`, and not for the call, which may have a gigabyte to move. See ``docs/blobs.md``.
    """

    __slots__ = ()

    def __new__(cls, scope: Scope) -> Self:
        """Bind a new object to the scope of the namespace."""
        self = super().__new__(cls)
        bind(self, scope.area("blobs"))
        return self

    def put(
        self,
        name: str,
        data: Content,
        content_type: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
        if_revision: str | None = None,
        grace: float | timedelta = GRACE,
    ) -> Blob:
        """Store bytes under a name, whether or not there is a blob. Of several who put one name, the last one wins.

        Args:
            name: The name.
            data: The bytes; a file object that was opened for bytes, which is read from where it is to its end; or an
                iterable of bytes.
            content_type: A media type such as ``"image/png"``. It is kept, and not looked at.
            metadata: An object of JSON values, up to 16,000 bytes. It replaces what an earlier blob had.
            ttl: Seconds, or a `timedelta`, until the blob expires; ``None`` for never.
            if_revision: Store only if there is a blob and it is at this revision.
            grace: For how many seconds, or which `timedelta`, those who have open what this blob replaces can read on.
                Then its parts are removed: by a later put of this name (each 16th one looks), or by `purge_expired`.
                With 0 they are removed at once.

        Returns:
            What is stored now. Its ``revision`` is for ``if_revision``.

        Raises:
            InvalidValueError: If ``data`` is not bytes, nor gives any.
            ConflictError: If the blob is not at ``if_revision``; what was there stays. Also if others put it at each
                attempt: then try again.
            DeadlineExceededError: If ``data`` took 23 hours to come.

        Requests: 5 for up to 8 parts of 262,144 bytes, and 1 for each 8 more. Each 16th put of one name has 1 more,
        and those that remove what is due. What is to be removed later needs a reminder for `DataStore.purge_expired`:
        1 more for the first put or delete of a namespace about once an hour in each process, with a ``grace`` of less
        than two minutes for each.
        """
        upload = self._upload(
            name,
            content_type=content_type,
            metadata=metadata,
            ttl=ttl,
            if_revision=if_revision,
            grace=grace,
        )
        pieces = pieces_of(data)
        upload.begin()
        try:
            for piece in pieces:
                upload.write(piece)
            return upload.finish()
        except Exception:
            upload.abandon()
            raise

    def open(self, name: str) -> io.BufferedReader:
        """Open a blob for reading: a file object of bytes that can seek, and fetches what is read.

        It reads what the blob was when it was opened, also if it is replaced or deleted meanwhile: for the ``grace``
        that was given to that call. Each part is checked against its SHA-256. One thread at a time may use it.

        Args:
            name: The name.

        Raises:
            BlobNotFoundError: If there is no such blob, which is a `FileNotFoundError` as well.

        Reading from it raises `BlobReplacedError` if what it reads was replaced and removed, and `DamagedRecordError`
        if a part is not what was put.

        Requests: 1; then 1 for each part that is read, or for up to 8 of them in one ``read``.
        """
        checked = check_blob_name(name)
        found = self._find(checked)
        if found is None:
            scope = scope_of(self)
            raise BlobNotFoundError("there is no such blob").during(
                f"opening blob {checked!r}{place_of(scope)}", scope.core.backend.name
            )
        return opened(self._parts(checked, found))

    @overload
    def get(self, name: str) -> bytes | None: ...

    @overload
    def get(self, name: str, default: D) -> bytes | D: ...

    def get(self, name: str, default: Any = None) -> Any:
        """Return the whole content of a blob, whose SHA-256 is checked. `open` needs less memory.

        Args:
            name: The name.
            default: Returned only if there is no such blob.

        Raises:
            DamagedRecordError: If a part is missing, or something is not what was put.
            ConflictError: If the blob was replaced at each attempt, and what it had was removed at once.

        Requests: 1, and 1 for each 8 parts.
        """
        scope, checked = scope_of(self), check_blob_name(name)
        backoff = Backoff(scope.core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
        while (found := self._find(checked)) is not None:
            try:
                content = b"".join(self._parts(checked, found).all())
            except BlobReplacedError:
                if backoff.wait():
                    continue
                raise
            if sha256(content).hexdigest() != found.head.sha256:
                raise DamagedRecordError(
                    f"the content of the blob {found.document.id!r} does not have its SHA-256; put it again",
                    id=found.document.id,
                )
            return content
        return default

    def stat(self, name: str) -> Blob | None:
        """Return what is known of a blob, without its content; ``None`` if there is none.

        Args:
            name: The name.

        Requests: 1.
        """
        checked = check_blob_name(name)
        found = self._find(checked)
        return None if found is None else blob_of(checked, found)

    @bounded
    def list(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[Blob]:
        """Return the blobs of the namespace in the order of their names, without their content.

        Args:
            prefix: Only names that begin with it.
            start: Only names from this one on.
            end: Only names before this one.
            reverse: From the last name to the first.
            limit: The most blobs; ``None`` for all of them.

        Raises:
            QueryError: If ``limit`` is below 1.

        Requests: 1 per page of the database.
        """
        return self._list(prefix, start, end, as_bool(reverse, "reverse"), None if limit is None else most(limit))

    def delete(self, name: str, *, if_revision: str | None = None, grace: float | timedelta = GRACE) -> bool:
        """Remove a blob.

        Args:
            name: The name.
            if_revision: Remove only if the blob is at this revision.
            grace: For how many seconds (or which `timedelta`) it can still be read by those who have it open. Then
                `purge_expired` removes its parts. With 0 they are removed at once.

        Returns:
            Whether there was a blob.

        Raises:
            ConflictError: If there is a blob and it is not at ``if_revision``.

        Requests: 3, and perhaps a reminder (`put`); with a ``grace`` of 0 also those that remove the parts.
        """
        return self._delete(check_blob_name(name), check_revision(if_revision), check_grace(grace))

    # What follows is done otherwise where another process has the database (`datastore.remote.blobs`).

    def _upload(self, name: str, **options: Any) -> Upload:
        return Upload(scope_of(self), name, **options)

    def _find(self, name: str) -> Found | None:
        return find(scope_of(self), name)

    def _parts(self, name: str, found: Found) -> Parts:
        return Parts(scope_of(self), name, found)

    def _list(
        self, prefix: str | None, start: str | None, end: str | None, reverse: bool, limit: int | None
    ) -> builtins.list[Blob]:
        beginning, low, high = (
            None if given is None else HEAD + check_name(given, parameter)
            for given, parameter in (("" if prefix is None else prefix, "prefix"), (start, "start"), (end, "end"))
        )
        scope = scope_of(self)
        range = key_range(scope.prefix, beginning, low, high)
        return [*islice(_listed(scope, range, limit, reverse=reverse), limit)]

    def _delete(self, name: str, revision: str | None, seconds: float) -> bool:
        scope = scope_of(self)
        scope.core.check_writes(scope.prefix)
        backoff = Backoff(scope.core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
        while True:
            try:
                found = find(scope, name)
            except DamagedRecordError:
                if revision is not None:
                    raise
                # Which parts it had is not known any more.
                return scope.core.write_one(Delete(scope.prefix + encode_key(head_key(name)), scope.core.now())).done
            if found is None:
                return False
            there = found.document.revision
            if revision in (None, there):
                _mark(scope, name, found, seconds)
                outcome = scope.core.write_one(Delete(found.document.id, scope.core.now(), there))
                if outcome.done:
                    if seconds == 0:
                        sweep(scope, mark_prefix(name))
                    return True
                if outcome.revision is None:
                    return False
                there = outcome.revision
            if revision is not None or not backoff.wait():
                error = conflict(revision, there) if revision else ConflictError("others put it at each attempt")
                raise error.during(f"deleting blob {name!r}{place_of(scope)}", scope.core.backend.name)

    def __repr__(self) -> str:
        scope = scope_of(self)
        return f"Blobs(user_id={scope.user_id!r}, namespace={scope.namespace.partition(':')[2]!r})"


def pieces_of(data: Content) -> Iterator[bytes | bytearray | memoryview]:
    """Return the content in pieces. What the caller's own file or iterator raises is not translated.

    Raises:
        InvalidValueError: If it is not bytes, nor gives any: for what is read later, when it comes.
    """
    if is_a(data, bytes, bytearray) or is_a(data, memoryview):
        return iter((checked_piece(data, "is"),))
    if hasattr(type(data), "read"):
        return _read(data)  # type: ignore[arg-type]  # whatever it is, it can read
    if is_a(data, str):
        raise InvalidValueError("data is a str; encode it first, as data.encode()")

    def refusal() -> DataStoreError:
        return InvalidValueError(
            f"data is {kind_of(data)}; give bytes, a file opened with 'rb', or an iterable of bytes"
        )

    return _each(iterating(data, refusal))  # type: ignore[arg-type]  # the other kinds have returned


def checked_piece(piece: object, whence: str) -> bytes | bytearray | memoryview:
    """Return a piece of the content, as bytes in a row.

    Raises:
        InvalidValueError: If it is not bytes, or a `memoryview` that was released.
    """
    if is_a(piece, bytes, bytearray):
        return piece
    if is_a(piece, memoryview):
        try:
            return piece.cast("B")
        except TypeError:  # it has gaps, as a slice with a step does, or items that Python does not know
            return piece.tobytes()
        except ValueError:
            raise InvalidValueError(f"data {whence} a memoryview that was released") from None
    raise InvalidValueError(f"data {whence} {kind_of(piece)}; it must be bytes")


def _read(file: BinaryIO) -> Iterator[bytes | bytearray | memoryview]:
    while piece := checked_piece(file.read(_READ), "is a file that reads"):
        yield piece


def _each(pieces: Iterator[bytes]) -> Iterator[bytes | bytearray | memoryview]:
    for piece in pieces:
        yield checked_piece(piece, "holds")


def _listed(scope: Scope, range: IdRange, limit: int | None, *, reverse: bool) -> Iterator[Blob]:
    for documents in scope.core.pages(range, Fields.ALL, None, limit, reverse=reverse):
        for document in documents:
            try:
                name = decode_key(document.id.removeprefix(scope.prefix)).removeprefix(HEAD)
                yield blob_of(name, found_in(document))
            except DamagedRecordError as error:
                skip(error)


def _mark(scope: Scope, name: str, found: Found, grace: float) -> None:
    """Write the mark of a version that is to be removed."""
    now = scope.core.clock()
    remind(scope, now + (grace or GRACE))
    value = mark_value(name, found.head.version, found.head.parts, format_time(now + grace))
    scope.core.write_one(scope.put(mark_key(name, found.head.version), value, scope.moment()))
