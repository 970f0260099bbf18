"""Examining a store: what agents do is tried, the database is asked for its state, and what to do about it is said.

For administrators: the command `datastore doctor`, and the viewer's page.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator

from datastore.administration import Diagnostic
from datastore.backend import Delete
from datastore.blobs.sweeping import waiting as waiting_blobs
from datastore.core import Core
from datastore.errors import ConflictError, DataStoreError, InternalError
from datastore.memory.changes import Changes
from datastore.memory.spaces import BYTES
from datastore.memory.sweeping import waiting as waiting_vectors
from datastore.memory.vectors import AREA, all_vectors, bytes_of
from datastore.moving.pages import core_of, pages
from datastore.purging import areas_of_all
from datastore.showing import number
from datastore.store import DataStore, scopes_of_tenants
from datastore.values import MAX_VALUE_BYTES

SCRATCH_USER = "agent-datastore-doctor"
"""The user of the trial records, which are removed afterwards."""
SEE = "see docs/troubleshooting.md for this message"
_SLOW = 0.5  # seconds for one request
_BEFORE_ALL = "0"  # a time before every expiry


def examine(
    store: DataStore, *, trials: bool = False, records: bool = False, remove: bool = False
) -> Iterator[Diagnostic]:
    """Yield what there is to say of a store, as it is found.

    Args:
        store: The store.
        trials: Whether to do what agents do, with a few records of a user of its own, which are removed.
        records: Whether to read every record, and name those that are damaged.
        remove: Whether to remove those that are damaged. This cannot be undone.

    Requests: 1 or 2; those of ``trials`` are about 20, and ``records`` are read page by page.
    """
    backend = core_of(store).backend
    if trials:
        yield from _trials(store)
    if backend.capabilities.supports("all_documents"):
        yield from _trial("counting", lambda: f"it holds about {number(backend.document_count() or 0, 'record')}")
    try:
        yield from backend.examine(time.time())
    except DataStoreError as error:
        yield Diagnostic(False, f"the database does not report its state: {error}")
    if records:
        try:
            yield from _records(store, remove)
            yield from _blobs(store)
            yield from _vectors(store)
        except DataStoreError as error:
            yield Diagnostic(False, f"reading the records failed: {error}", SEE)


def _records(store: DataStore, remove: bool) -> Iterator[Diagnostic]:
    """Read every record, and say which are damaged."""
    core, read, broken = core_of(store), 0, 0
    for page in pages(store):
        read += len(page.documents)
        broken += len(page.damaged)
        for damaged in page.damaged:
            if not remove or damaged.foreign:
                yield Diagnostic(False, damaged.message, "repair or remove it, or run doctor --remove-damaged")
            elif damaged.id is not None and _removed(core, damaged.id):
                yield Diagnostic(True, f"removed the damaged record {damaged.id!r}")
            else:
                yield Diagnostic(False, f"the damaged record {damaged.id!r} could not be removed", "remove it by hand")
    yield Diagnostic(True, f"{number(read, 'record')} can be read, {broken:,} cannot")


def _blobs(store: DataStore) -> Iterator[Diagnostic]:
    """Say how many versions of blobs can be removed: replaced, deleted, expired, or left by an interrupted put."""
    due = sum(map(waiting_blobs, areas_of_all(core_of(store), scopes_of_tenants(store), "blobs")))
    remedy = "run datastore purge, which reclaims their space" if due else ""
    yield Diagnostic(True, f"{number(due, 'version')} of blobs can be removed", remedy)


def _vectors(store: DataStore) -> Iterator[Diagnostic]:
    """Say which models have made the vectors of how many namespaces, and what is wrong with some."""
    models, due = Counter[str](), 0
    for area in areas_of_all(core_of(store), scopes_of_tenants(store), AREA, later=True):
        last, name = Changes(area, {}).last(), f"namespace {area.namespace.partition(':')[2]!r} of {area.user_id!r}"
        if last is not None:
            model = last.model
            models[f"{model.name or 'no name'} with {number(model.dimensions, 'dimension')}"] += 1
            if not model.complete:
                yield Diagnostic(False, f"the vectors of {name} are being made anew", "call memory.reembed() again")
            count = sum(map(len, area.core.all_ids(all_vectors(area))))
            if (size := bytes_of(count, model.dimensions)) > BYTES:
                yield Diagnostic(
                    True,
                    f"{name} has {number(count, 'vector')}, which take {size >> 20:,} MiB of memory and more than the "
                    f"{BYTES >> 20:,} MiB that are kept: each search reads all of them",
                    "divide it into several namespaces, and use search_across",
                )
        due += waiting_vectors(area)
    for made, times in sorted(models.items()):
        yield Diagnostic(True, f"{number(times, 'namespace')} with vectors of {made}")
    remedy = "run datastore purge, which reclaims their space" if due else ""
    yield Diagnostic(True, f"{number(due, 'vector')} without a record can be removed", remedy)


def _removed(core: Core, id: str) -> bool:
    try:
        return core.write_one(Delete(id, _BEFORE_ALL)).done
    except DataStoreError:
        return False


def _trials(store: DataStore) -> Iterator[Diagnostic]:
    """Do what agents do, in a namespace of the scratch user."""
    agent = store.agent(SCRATCH_USER, "doctor", f"trial-{os.urandom(6).hex()}")

    def write() -> str:
        revision = agent.set("trial", 1, {"trial": True}, ttl=3_600)
        try:
            agent.set("trial", 2, if_revision="another")
        except ConflictError:
            agent.set("trial", 2, if_revision=revision, ttl=3_600)
            return "it can be written to, and it refuses a write with the wrong revision"
        raise InternalError("a write with the wrong revision was not refused: this adapter is broken")

    def read() -> str:
        if agent.get("trial") != 2 or agent.list_keys() != ["trial"] or agent.count() != 1:
            raise InternalError("the value that was read is not the value that was written")
        return "it can be read and listed"

    def large() -> str:
        text = "x" * (MAX_VALUE_BYTES - 2)
        agent.set("large", text, ttl=3_600)
        if agent.get("large") != text:
            raise InternalError("a value of the largest size was changed by writing and reading it")
        return f"it takes a value of {MAX_VALUE_BYTES:,} bytes"

    def remove() -> str:
        agent.clear()
        if agent.count():
            raise InternalError("a deleted record is still there")
        return "records can be deleted"

    trials = {"writing": write, "reading": read, "writing a large value": large, "deleting": remove}
    for what, trial in trials.items():
        yield from _trial(what, trial)
    began = time.monotonic()
    try:
        for _ in range(5):
            agent.exists("trial")
    except DataStoreError:
        return  # reading has failed above, and was reported there
    took = (time.monotonic() - began) / 5
    remedy = "" if took < _SLOW else "move the process closer to the database, or check the database's load"
    yield Diagnostic(took < _SLOW, f"one request takes {milliseconds(took)}", remedy)


def _trial(what: str, trial: Callable[[], str]) -> Iterator[Diagnostic]:
    try:
        yield Diagnostic(True, trial())
    except DataStoreError as error:
        yield Diagnostic(False, f"{what} failed: {error}", SEE)


def milliseconds(seconds: float) -> str:
    """Return a time for people."""
    return f"{seconds * 1_000:,.1f} ms"
