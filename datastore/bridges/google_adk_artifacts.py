"""The `BaseArtifactService` of Google's ADK: each version of a file in a blob, and a record that lists them.

Extra ``google-adk``. Names are joined as in `datastore.bridges.google_adk_format`.

| what | where |
|---|---|
| a file of a session | the record ``adk-file/<app>/<user>/<session>/<filename>`` |
| a file of a user, whose name begins with ``user:`` | the record ``adk-user-file/<app>/<user>/<filename>`` |
| a version | a member of ``versions`` in that record: the part without its bytes or its text |
| its bytes or its text | a blob ``adk-file/...`` |

A blob is stored before the record lists it, and removed after it was taken from there: who reads finds it.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from datastore import AgentDataStore, AsyncAgentDataStore
from datastore.bridges.extras import needs
from datastore.bridges.given import ago, awaited, check_keep, path_of, span_of
from datastore.bridges.google_adk_files import FILE, OF_USER, USER_FILE, Files, encoded, given_part, key_of, part_of

with needs("Google ADK", "google-adk"):
    from google.adk.artifacts import BaseArtifactService, artifact_util
    from google.adk.artifacts.base_artifact_service import ArtifactVersion
    from google.adk.errors.input_validation_error import InputValidationError
    from google.genai import types

__all__ = ["DataStoreArtifactService"]

_DEPTH = 5  # references from one artifact to the next that are followed, as ADK's services do
_GONE = {"inline_data": {"mime_type": "application/octet-stream"}}  # with no bytes: what ADK saves to take a file away


class DataStoreArtifactService(BaseArtifactService):
    """Files that an agent's store keeps, in versions, for ``Runner(artifact_service=...)``.

    Several processes may save one file at the same moment: each gets a version of its own.
    """

    def __init__(
        self, data_store: AgentDataStore | AsyncAgentDataStore, *, ttl: float | timedelta | None = None
    ) -> None:
        """Bind a service; there is no request.

        Args:
            data_store: Whose files they are, whatever ``user_id`` says. They are kept in its namespace.
            ttl: For how long a file is there after its last version was saved, in seconds or as a `timedelta`; ``None``
                for ever. `prune` gives back the space of its versions.

        Raises:
            InvalidValueError: If ``ttl`` is not above 0.
        """
        self._files = Files(awaited(data_store), None if ttl is None else span_of(ttl, "ttl"))

    async def save_artifact(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        artifact: types.Part | dict[str, Any],
        session_id: str | None = None,
        custom_metadata: dict[str, Any] | None = None,
    ) -> int:
        """Save a version of a file, and return its number: 0 for the first one.

        Raises:
            InputValidationError: If the part has no bytes, text or file; or refers to what is not of this session.
            InvalidNameError, InvalidValueError: If a name is not text, or ``custom_metadata`` not JSON.
            ValueTooLargeError: If the file has too many versions for its record of 1 MB: `prune` some of them.

        Requests: those of `Blobs.put`, and 2.
        """
        key = _key(app_name, user_id, filename, session_id)
        part = given_part(artifact)
        stored: dict[str, Any] = part.model_dump(mode="json", exclude_none=True)
        mime_type: str | None = None
        data: bytes | None = None
        if part.inline_data is not None:
            data, mime_type = part.inline_data.data or b"", part.inline_data.mime_type
            stored["inline_data"].pop("data", None)
        elif part.text is not None:
            data, mime_type = encoded(part.text), "text/plain"
            del stored["text"]
        elif part.file_data is None:
            raise InputValidationError("Not supported artifact type.")
        elif artifact_util.is_artifact_ref(part):
            _referred(part, app_name, user_id, session_id, _DEPTH)
        else:
            mime_type = part.file_data.mime_type
        version = {"part": stored, "custom_metadata": custom_metadata or {}, "create_time": time.time()}
        return await self._files.add(key, filename, {**version, "mime_type": mime_type}, data)

    async def load_artifact(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        session_id: str | None = None,
        version: int | None = None,
    ) -> types.Part | None:
        """Return a version of a file, the last one without a number; ``None`` if there is none.

        Raises:
            InputValidationError: If it refers to what is not of this session, or leads to no end.
            UnsupportedError: If it is of a format that this version does not know.
            DamagedRecordError: If its blob is gone.

        Requests: 1, and those of `Blobs.get`; the same for each reference that is followed.
        """
        depth = _DEPTH
        while True:
            key = _key(app_name, user_id, filename, session_id)
            found = await self._files.version(key, version)
            if found is None:
                return None
            part = part_of(key, found["part"])
            if not artifact_util.is_artifact_ref(part):
                break
            target = _referred(part, app_name, user_id, session_id, depth)
            session_id, filename, version = target.session_id, target.filename, target.version
            depth -= 1
        if "blob" not in found:
            return part
        data = await self._files.data(key, version, found)
        if data is None or (not data and found["part"] == _GONE):
            return None
        if part.inline_data is None:
            part.text = data.decode()
        else:
            part.inline_data.data = data
        return part

    async def list_artifact_keys(self, *, app_name: str, user_id: str, session_id: str | None = None) -> list[str]:
        """Return the names of the files of a user, and of a session if one is named. Requests: 1 page, or 2."""
        user = path_of((app_name, "app_name"), (user_id, "user_id"))
        names = await self._files.names(f"{USER_FILE}{user}/")
        if session_id is not None:
            names += await self._files.names(f"{FILE}{user}/{path_of((session_id, 'session_id'))}/")
        return sorted(names)

    async def delete_artifact(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> None:
        """Delete a file with all its versions; if there is none, nothing happens.

        Requests: 2, and those of deleting a blob for each version; 1 if there is none.
        """
        await self._files.delete(_key(app_name, user_id, filename, session_id))

    async def list_versions(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> list[int]:
        """Return the numbers of the versions of a file. Requests: 1."""
        return [one.version for one in await self._versions(app_name, user_id, filename, session_id)]

    async def list_artifact_versions(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> list[ArtifactVersion]:
        """Return what is known of the versions of a file, without their content. Requests: 1."""
        return await self._versions(app_name, user_id, filename, session_id)

    async def get_artifact_version(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        session_id: str | None = None,
        version: int | None = None,
    ) -> ArtifactVersion | None:
        """Return what is known of a version of a file, the last one without a number. Requests: 1."""
        known = await self._versions(app_name, user_id, filename, session_id)
        return next((one for one in reversed(known) if version in (None, one.version)), None)

    async def prune(self, *, idle: float | timedelta | None = None, keep: int | None = None) -> int:
        """Delete files of which no version was saved for a time, old versions, and what no file lists any more.

        For a host, now and then. The numbers of the versions that stay do not change. A blob that no file lists is left
        for an hour: it may be of one that is just being saved.

        Args:
            idle: For how long, in seconds or as a `timedelta`; ``None`` to delete no file.
            keep: How many versions of each other file may stay, the last ones; ``None`` for all.

        Returns:
            How many versions were deleted.

        Raises:
            InvalidValueError: If ``idle`` is not above 0, or ``keep`` is not an int above 0.

        Requests: 1 for each page of files and of blobs, and those of deleting.
        """
        check_keep(keep)
        return await self._files.prune(None if idle is None else ago(span_of(idle, "idle")), keep)

    async def _versions(
        self, app_name: str, user_id: str, filename: str, session_id: str | None
    ) -> list[ArtifactVersion]:
        file = await self._files.read(_key(app_name, user_id, filename, session_id))
        scope = None if filename.startswith(OF_USER) else session_id
        return [
            ArtifactVersion(
                version=number,
                canonical_uri=artifact_util.get_artifact_uri(app_name, user_id, filename, number, scope),
                custom_metadata=one["custom_metadata"],
                create_time=one["create_time"],
                mime_type=one["mime_type"],
            )
            for number, one in enumerate(file["versions"], file["first"])
        ]


def _key(app_name: str, user_id: str, filename: str, session_id: str | None) -> str:
    if isinstance(filename, str) and filename.startswith(OF_USER):
        return key_of(app_name, user_id, filename, None)
    if session_id is None:
        raise InputValidationError("Session ID must be provided for session-scoped artifacts.")
    return key_of(app_name, user_id, filename, session_id)


def _referred(
    part: types.Part, app_name: str, user_id: str, session_id: str | None, depth: int
) -> artifact_util.ParsedArtifactUri:
    """Return what a part refers to, which must be of the same session, or of its user."""
    uri = part.file_data.file_uri if part.file_data is not None else None
    return artifact_util.resolve_artifact_reference(
        file_uri=uri or "", app_name=app_name, user_id=user_id, session_id=session_id, remaining_depth=depth
    )
