"""LangGraph's checkpointer on any database of the store. See ``docs/bridges/langgraph.md``.

graph = builder.compile(checkpointer=DataStoreSaver(data_store))
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from datastore import AgentDataStore, AsyncAgentDataStore
from datastore.bridges import langgraph_deltas as deltas
from datastore.bridges import langgraph_keeping as keeping
from datastore.bridges import langgraph_pending as pending
from datastore.bridges import langgraph_reading as reading
from datastore.bridges import langgraph_writing as writing
from datastore.bridges.extras import needs
from datastore.bridges.given import awaited
from datastore.bridges.langgraph_thread import Context
from datastore.bridges.steps import arun, run

with needs("LangGraph", "langgraph"):
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        BaseCheckpointSaver,
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        DeltaChannelHistory,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol


class DataStoreSaver(BaseCheckpointSaver[str]):
    """Keeps the checkpoints of LangGraph's threads for one user, in the namespace of an agent's store.

    It can be shared between threads and between event loops, and any number of processes may use one database. Of
    workers that go on with one thread at the same time one can put its next checkpoint, and the others get a
    `ConflictError`; whoever names an earlier ``checkpoint_id`` begins a branch, and takes the thread over.

    Args:
        data_store: What the checkpoints are kept in; or its awaited twin.
        ttl: Seconds, or a `timedelta`, for which a checkpoint can be read at least; it is gone after twice that. What a
            later checkpoint needs of an earlier one is kept as long as that. A single run must not take longer than
            half of it. ``None`` for never.
        serde: Another serializer, such as one that encrypts.
    """

    def __init__(
        self,
        data_store: AgentDataStore | AsyncAgentDataStore,
        *,
        ttl: float | timedelta | None = None,
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(serde=serde)
        self._twin = awaited(data_store)
        self._store = self._twin.sync
        self._known = Context.new(ttl)

    @property
    def _context(self) -> Context:
        if self._known.serde is not self.serde:  # `with_allowlist` gives a copy of this object another serializer
            self._known = self._known.with_serde(self.serde)
        return self._known

    def get_next_version(self, current: str | None, channel: None) -> str:
        return writing.next_version(current)

    # --------------------------------------------------------------------------------------------------- reading

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return run(self._store, reading.getting(self._context, config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await arun(self._twin, reading.getting(self._context, config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        listing = reading.Listing(config, filter, before, limit)
        while listing.goes_on:
            yield from run(self._store, listing.page(self._context))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        listing = reading.Listing(config, filter, before, limit)
        while listing.goes_on:
            for found in await arun(self._twin, listing.page(self._context)):
                yield found

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return run(self._store, deltas.delta_history(self._context, config, channels))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await arun(self._twin, deltas.delta_history(self._context, config, channels))

    # --------------------------------------------------------------------------------------------------- writing

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return run(self._store, writing.putting(self._context, config, checkpoint, metadata, new_versions))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await arun(self._twin, writing.putting(self._context, config, checkpoint, metadata, new_versions))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        run(self._store, pending.putting_writes(self._context, config, writes, task_id, task_path))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await arun(self._twin, pending.putting_writes(self._context, config, writes, task_id, task_path))

    # --------------------------------------------------------------------------------------------------- keeping

    def delete_thread(self, thread_id: str) -> None:
        run(self._store, keeping.deleting(self._context, thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        await arun(self._twin, keeping.deleting(self._context, thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        run(self._store, keeping.deleting_runs(self._context, run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await arun(self._twin, keeping.deleting_runs(self._context, run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        run(self._store, keeping.copying(self._context, source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await arun(self._twin, keeping.copying(self._context, source_thread_id, target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        run(self._store, keeping.pruning(self._context, thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await arun(self._twin, keeping.pruning(self._context, thread_ids, strategy))
