"""`Blobs`, awaited."""

from __future__ import annotations

import io
from collections.abc import AsyncIterable, AsyncIterator
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from datastore.asynchronous.bound import Hidden, hide, inside_of, leaves, reads, reads_long, twin_of, writes_long
from datastore.blobs import Blob, Blobs
from datastore.blobs.calls import Content, checked_piece
from datastore.blobs.heads import PART, TOGETHER
from datastore.blobs.uploads import GRACE, Upload
from datastore.scope import OfOneProcess

if TYPE_CHECKING:
    from datastore.asynchronous.agent import AsyncAgentDataStore

D = TypeVar("D")


@twin_of(Blobs)
class AsyncBlobs(Hidden, OfOneProcess):
    """Bytes of any size under names, with calls that are awaited. From ``data_store.blobs``; see `Blobs`.

    Every call means what the call of the same name means there, and takes, returns and raises the same. `put` takes an
    asynchronous iterable of bytes as well, and `open` returns an `AsyncBlobReader`.
    """

    __slots__ = ()

    def __new__(cls, data_store: AsyncAgentDataStore, blobs: Blobs) -> Self:
        """Bind a new object to what a synchronous one is bound to."""
        self = super().__new__(cls)
        hide(self, inside_of(data_store)._replace(twin=blobs, line=None))
        return self

    @property
    def sync(self) -> Blobs:
        """The same blobs, with calls that block."""
        return cast(Blobs, inside_of(self).twin)

    async def put(
        self,
        name: str,
        data: Content | AsyncIterable[bytes],
        content_type: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        ttl: float | timedelta | None = None,
        if_revision: str | None = None,
        grace: float | timedelta = GRACE,
    ) -> Blob:
        options: dict[str, Any] = {"ttl": ttl, "if_revision": if_revision, "grace": grace}
        if not hasattr(type(data), "__aiter__"):
            content = cast(Content, data)
            return await writes_long(self, Blobs.put, name, content, content_type, metadata, **options)
        upload = _upload(self, name, content_type=content_type, metadata=metadata, **options)
        await writes_long(self, _begin, upload)
        try:
            async for piece in cast(AsyncIterable[bytes], data):
                await writes_long(self, _write, upload, checked_piece(piece, "holds"))
            return await writes_long(self, _finish, upload)
        except BaseException:
            await leaves(self, _abandon, upload)
            raise

    async def open(self, name: str) -> AsyncBlobReader:
        return AsyncBlobReader(self, await reads(self, Blobs.open, name))

    @overload
    async def get(self, name: str) -> bytes | None: ...

    @overload
    async def get(self, name: str, default: D) -> bytes | D: ...

    async def get(self, name: str, default: Any = None) -> Any:
        return await reads_long(self, cast(Any, Blobs.get), name, default)

    async def stat(self, name: str) -> Blob | None:
        return await reads(self, Blobs.stat, name)

    async def list(
        self,
        prefix: str | None = None,
        *,
        start: str | None = None,
        end: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[Blob]:
        return await reads(self, Blobs.list, prefix, start=start, end=end, reverse=reverse, limit=limit)

    async def delete(self, name: str, *, if_revision: str | None = None, grace: float | timedelta = GRACE) -> bool:
        return await writes_long(self, Blobs.delete, name, if_revision=if_revision, grace=grace)

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"


class AsyncBlobReader(Hidden, OfOneProcess):
    """What `AsyncBlobs.open` returns: an open blob, read as the file object of `Blobs.open` is.

    Use it with ``async with``. ``async for`` yields the content from the place on, in pieces. A read that is cancelled
    is waited for, so that the place is a known one. One task at a time may use it.
    """

    __slots__ = ()

    def __new__(cls, blobs: AsyncBlobs, file: io.BufferedReader) -> Self:
        """Bind a new object to an open file object."""
        self = super().__new__(cls)
        hide(self, inside_of(blobs)._replace(twin=file))
        return self

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return cast(io.BufferedReader, inside_of(self).twin).closed

    async def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes from the place on; all that follow if it is negative, none at the end."""
        return await writes_long(self, io.BufferedReader.read, size)

    async def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, counted from the beginning, from here (`io.SEEK_CUR`) or from the end, and return it."""
        return await writes_long(self, io.BufferedReader.seek, offset, whence)

    async def tell(self) -> int:
        """Return the place."""
        return await writes_long(self, io.BufferedReader.tell)

    async def close(self) -> None:
        """Forget what is in memory. Idempotent."""
        await writes_long(self, io.BufferedReader.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read(TOGETHER * PART):
            yield piece


# Not coroutines, whose frames could be looked into; see `datastore.asynchronous.bound`.


def _upload(self: AsyncBlobs, name: str, **options: Any) -> Upload:
    return self.sync._upload(name, **options)


def _begin(blobs: Blobs, upload: Upload) -> None:
    upload.begin()


def _write(blobs: Blobs, upload: Upload, content: bytes | bytearray | memoryview) -> None:
    upload.write(content)


def _finish(blobs: Blobs, upload: Upload) -> Blob:
    return upload.finish()


def _abandon(blobs: Blobs, upload: Upload) -> None:
    upload.abandon()
