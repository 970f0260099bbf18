"""The files of Google's ADK: records that list versions, and blobs. See `datastore.bridges.google_adk_artifacts`."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from datastore import (
    AsyncAgentDataStore,
    ConflictError,
    DamagedRecordError,
    InvalidValueError,
    Record,
    UnsupportedError,
    limits,
)
from datastore.bridges.extras import needs
from datastore.bridges.given import path_of, text_of, unknown_format
from datastore.bridges.large import sweep

with needs("Google ADK", "google-adk"):
    from google.adk.artifacts.base_artifact_service import ensure_part
    from google.genai import types
    from pydantic import ValidationError

FORMAT = 1  # as `_file` matches it
FILE, USER_FILE = "adk-file/", "adk-user-file/"
OF_USER = "user:"
"""What the name of a user's file begins with, as ADK says."""
Value: TypeAlias = dict[str, Any]


def key_of(app_name: str, user_id: str, filename: str, session_id: str | None) -> str:
    """Return the key of a file's record; without a session it is that of a user.

    Raises:
        InvalidNameError: If a name is not text, or empty.
    """
    name = (text_of(filename, "filename"), "filename")
    user = ((app_name, "app_name"), (user_id, "user_id"))
    if session_id is None:
        return limits.shorten_key(USER_FILE + path_of(*user, name))
    return limits.shorten_key(FILE + path_of(*user, (session_id, "session_id"), name))


def encoded(text: str) -> bytes:
    """Return the bytes of a text. Raises `InvalidValueError` if it has none."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidValueError("artifact.text holds half a character (a lone surrogate)") from None


def given_part(artifact: Any) -> types.Part:
    """Return what is to be saved. Raises `InvalidValueError` if it is no part."""
    try:
        part = ensure_part(artifact)
    except ValidationError:
        raise InvalidValueError("artifact is a dict that is no part") from None
    if not isinstance(part, types.Part):
        raise InvalidValueError(f"artifact is of type {type(part).__name__}; it must be a types.Part, or a dict of one")
    return part


def part_of(key: str, value: Any) -> types.Part:
    """Return the part of a version, without its content. Raises `UnsupportedError` if ADK does not know it."""
    try:
        return types.Part.model_validate(value)
    except ValidationError as error:
        raise UnsupportedError(f"record {key!r} has a part that this version of google-adk does not read") from error


class Files:
    """Records of files, each with its versions."""

    def __init__(self, store: AsyncAgentDataStore, ttl: timedelta | None) -> None:
        self._store = store
        self._ttl = ttl

    async def read(self, key: str) -> Value:
        """Return a file; if there is none, one without versions. Requests: 1."""
        found = await self._store.get_record(key)
        return _empty("") if found is None else _file(key, found.value)

    async def version(self, key: str, number: int | None) -> Value | None:
        """Return a version of a file, the last one without a number; ``None`` if there is none. Requests: 1."""
        file = await self.read(key)
        place = -1 if number is None else number - file["first"]
        versions: list[Value] = file["versions"]
        return versions[place] if versions and -1 <= place < len(versions) and (number is None or place >= 0) else None

    async def add(self, key: str, filename: str, version: Value, data: bytes | None) -> int:
        """Add a version to a file, and return its number. Requests: 2, and with data those of `Blobs.put`."""
        if data is not None:
            version = {**version, "blob": FILE + uuid.uuid4().hex}
            await self._store.blobs.put(version["blob"], data, version.get("mime_type"), {"key": key})

        def added(value: Any) -> Value:
            file = _empty(filename) if value is None else _file(key, value)
            return {**file, "versions": [*file["versions"], version]}

        file: Value = await self._store.modify(key, added, ttl=self._ttl, touch=self._ttl is not None)
        number: int = file["first"] + len(file["versions"]) - 1
        return number

    async def data(self, key: str, number: int | None, version: Value) -> bytes | None:
        """Return the content of a version; ``None`` if it was deleted meanwhile. Requests: those of `Blobs.get`.

        Raises:
            DamagedRecordError: If the blob of a version that is there is gone.
        """
        data = await self._store.blobs.get(version["blob"])
        if data is None and await self.version(key, number) == version:
            raise DamagedRecordError(f"the blob of a version in record {key!r} is gone")
        return data

    async def names(self, prefix: str) -> list[str]:
        """Return the names of the files whose keys begin so. Requests: 1 for each page."""
        records = self._store.find_records({}, prefix=prefix, fields=["filename"])
        return [found.value["filename"] async for found in records]

    async def delete(self, key: str) -> None:
        """Delete a file with its versions. Requests: 2, and those of deleting each blob; 1 if there is none."""
        value = await self._store.pop(key)
        if value is not None:
            await self._remove(_file(key, value)["versions"])

    async def prune(self, idle: datetime | None, keep: int | None) -> int:
        """Delete files and old versions, and blobs that no file lists; see `DataStoreArtifactService.prune`."""
        used: set[str] = set()
        removed = 0
        async for found in self._all():
            file = _file(found.key, found.value)
            if idle is not None and found.updated_at < idle:
                try:
                    if await self._store.delete(found.key, if_revision=found.revision):
                        removed += len(file["versions"])
                        await self._remove(file["versions"])
                    continue
                except ConflictError:
                    pass  # a version is saved at this moment
            used |= {version["blob"] for version in file["versions"] if "blob" in version}
            old = [] if keep is None else file["versions"][:-keep]
            if old:
                shorter = {**file, "first": file["first"] + len(old), "versions": file["versions"][len(old) :]}
                try:
                    await self._store.set(found.key, shorter, ttl=self._ttl, if_revision=found.revision)
                except ConflictError:
                    continue  # as above
                removed += len(old)
                await self._remove(old)
        await sweep(
            self._store, [blob for blob in await self._store.blobs.list(FILE) if blob.metadata.get("key")], used=used
        )
        return removed

    async def _all(self) -> AsyncIterator[Record]:
        for prefix in (FILE, USER_FILE):
            async for found in self._store.iter_records(prefix):
                yield found

    async def _remove(self, versions: Iterable[Value]) -> None:
        for version in versions:
            if "blob" in version:
                await self._store.blobs.delete(version["blob"], grace=0)


def _empty(filename: str) -> Value:
    return {"format": FORMAT, "filename": filename, "first": 0, "versions": []}


def _file(key: str, value: Any) -> Value:
    match value:
        case {"format": 1, "filename": str(), "first": int(), "versions": list(versions)}:
            if all(_is_version(version) for version in versions):
                file: Value = value
                return file
    raise unknown_format(f"record {key!r}", FORMAT)


def _is_version(value: Any) -> bool:
    match value:
        case {"part": dict(), "custom_metadata": dict(), "create_time": int() | float(), "mime_type": str() | None}:
            return isinstance(value.get("blob", ""), str)
    return False
