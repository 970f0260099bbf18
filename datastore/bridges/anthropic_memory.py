"""The memory tool of Anthropic's SDK: the model's files under ``/memories``, as records. Extra ``anthropic``.

How they are stored, and what each command does, is in `datastore.bridges.anthropic_files`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from datastore import (
    AgentDataStore,
    AsyncAgentDataStore,
    InvalidNameError,
    InvalidValueError,
    PermissionDeniedError,
    QuotaExceededError,
    ValueTooLargeError,
)
from datastore.bridges.anthropic_files import Files
from datastore.bridges.extras import needs
from datastore.bridges.given import awaited
from datastore.bridges.steps import Steps, arun, run

with needs("Anthropic's SDK", "anthropic"):
    from anthropic.lib.tools import BetaAbstractMemoryTool, BetaAsyncAbstractMemoryTool, ToolError

if TYPE_CHECKING:
    from anthropic.types import beta

__all__ = ["AsyncDataStoreMemoryTool", "DataStoreMemoryTool"]


class DataStoreMemoryTool(BetaAbstractMemoryTool):
    """A memory that an agent's store keeps, for ``client.beta.messages.tool_runner(tools=[...])``.

    What the model asks for in vain it is told (`ToolError`): a path that is not there, a file that is too large, a
    quota that is reached. Every other failure is a `DataStoreError`.

    Requests: 1 to view a file; 1 for each 200 files and directories that a directory shows; 2 to create, replace or
    insert; 1 to delete a file; 3 to rename one, and of a directory 2 and 1 for each file. 1 more where the path leads
    to a directory instead, or to nothing.
    """

    def __init__(
        self,
        data_store: AgentDataStore | AsyncAgentDataStore,
        *,
        ttl: float | timedelta | None = None,
        cache_control: beta.BetaCacheControlEphemeralParam | None = None,
    ) -> None:
        """Bind a memory; there is no request.

        Args:
            data_store: Whose memory it is. It is kept in its namespace.
            ttl: For how long a file stays that is not written to, in seconds or as a `timedelta`; ``None`` for ever.
            cache_control: As the SDK's own tool.

        Raises:
            InvalidValueError: If ``ttl`` is not above 0.
        """
        super().__init__(cache_control=cache_control)
        self._store, self._files = awaited(data_store).sync, Files(ttl)

    def view(self, command: beta.BetaMemoryTool20250818ViewCommand) -> str:
        return self._do(self._files.view(command))

    def create(self, command: beta.BetaMemoryTool20250818CreateCommand) -> str:
        return self._do(self._files.create(command))

    def str_replace(self, command: beta.BetaMemoryTool20250818StrReplaceCommand) -> str:
        return self._do(self._files.str_replace(command))

    def insert(self, command: beta.BetaMemoryTool20250818InsertCommand) -> str:
        return self._do(self._files.insert(command))

    def delete(self, command: beta.BetaMemoryTool20250818DeleteCommand) -> str:
        return self._do(self._files.delete(command))

    def rename(self, command: beta.BetaMemoryTool20250818RenameCommand) -> str:
        return self._do(self._files.rename(command))

    def clear_all_memory(self) -> str:
        return self._do(self._files.clear())

    def _do(self, steps: Steps[str]) -> str:
        with _told_to_the_model():
            return run(self._store, steps)


class AsyncDataStoreMemoryTool(BetaAsyncAbstractMemoryTool):
    """As `DataStoreMemoryTool`, for ``AsyncAnthropic``."""

    def __init__(
        self,
        data_store: AgentDataStore | AsyncAgentDataStore,
        *,
        ttl: float | timedelta | None = None,
        cache_control: beta.BetaCacheControlEphemeralParam | None = None,
    ) -> None:
        """As `DataStoreMemoryTool`."""
        super().__init__(cache_control=cache_control)
        self._store, self._files = awaited(data_store), Files(ttl)

    async def view(self, command: beta.BetaMemoryTool20250818ViewCommand) -> str:
        return await self._do(self._files.view(command))

    async def create(self, command: beta.BetaMemoryTool20250818CreateCommand) -> str:
        return await self._do(self._files.create(command))

    async def str_replace(self, command: beta.BetaMemoryTool20250818StrReplaceCommand) -> str:
        return await self._do(self._files.str_replace(command))

    async def insert(self, command: beta.BetaMemoryTool20250818InsertCommand) -> str:
        return await self._do(self._files.insert(command))

    async def delete(self, command: beta.BetaMemoryTool20250818DeleteCommand) -> str:
        return await self._do(self._files.delete(command))

    async def rename(self, command: beta.BetaMemoryTool20250818RenameCommand) -> str:
        return await self._do(self._files.rename(command))

    async def clear_all_memory(self) -> str:
        return await self._do(self._files.clear())

    async def _do(self, steps: Steps[str]) -> str:
        with _told_to_the_model():
            return await arun(self._store, steps)


@contextmanager
def _told_to_the_model() -> Iterator[None]:
    """Let the model read what it can do something about."""
    try:
        yield
    except (
        InvalidNameError,
        InvalidValueError,
        PermissionDeniedError,
        QuotaExceededError,
        ValueTooLargeError,
    ) as error:
        raise ToolError(str(error)) from error
