"""The command ``doctor``: connects, tries what agents do, asks the database for its state, and says what to do."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Annotated

import typer

from agent_datastore import conflict, remedy
from datastore.administration import Diagnostic
from datastore.backend import Delete
from datastore.blobs.sweeping import waiting as waiting_blobs
from datastore.cli.running import (
    INCOMPLETE,
    JsonOption,
    fail,
    in_commands,
    in_one_line,
    open_store,
    print_json,
    resolve,
    shown,
)
from datastore.cli.show import number, printable
from datastore.core import Core
from datastore.errors import ConflictError, DataStoreError, InternalError
from datastore.memory.changes import Changes
from datastore.memory.spaces import BYTES
from datastore.memory.sweeping import waiting as waiting_vectors
from datastore.memory.vectors import AREA, all_vectors, bytes_of
from datastore.moving.pages import core_of, pages
from datastore.purging import areas_of_all
from datastore.store import DataStore, scopes_of_tenants
from datastore.urls import Url
from datastore.values import MAX_VALUE_BYTES

SCRATCH_USER = "agent-datastore-doctor"
"""The user of the trial records, which are removed afterwards."""
_SLOW = 0.5  # seconds for one request
_BEFORE_ALL = "0"  # a time before every expiry
_SEE = "see docs/troubleshooting.md for this message"


def doctor(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="The store.", show_default="$AGENT_DATASTORE_URL")
    ] = None,
    url_option: Annotated[str | None, typer.Option("--url", metavar="URL", help="The URL, as an option.")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Write nothing, not even a trial record.")] = False,
    records: Annotated[
        bool, typer.Option("--records", help="Read every record, and name those that are damaged.")
    ] = False,
    remove_damaged: Annotated[
        bool, typer.Option("--remove-damaged", help="As --records, and remove them. This cannot be undone.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Examine a store: connection, permissions, schema, indexes, clock, limits. Say what to do.

    It writes a few trial records for a user of its own, and removes them.
    """
    if url is not None and url_option is not None:
        raise typer.BadParameter("give the URL once: as an argument, or with --url")
    if read_only and remove_damaged:
        raise typer.BadParameter("--read-only and --remove-damaged exclude each other")
    with in_one_line("interrupted; records of the user agent-datastore-doctor may still be there"):
        text = resolve(url or url_option)
        parsed = Url(text)
        parsed.take_mode()
        read_only = read_only or parsed.read_only
        found: list[Diagnostic] = []
        if not json:
            typer.echo(printable(shown(text)))
        for finding in _examine(text, read_only, records or remove_damaged, remove_damaged):
            found.append(finding)
            if not json:
                _print(finding)
        problems = sum(not finding.healthy for finding in found)
        if json:
            print_json({"url": shown(text), "healthy": not problems, "findings": [one._asdict() for one in found]})
        if problems:
            fail(f"{number(problems, 'problem')} found", INCOMPLETE)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def _examine(url: str, read_only: bool, records: bool, remove: bool) -> Iterator[Diagnostic]:
    yield Diagnostic(True, f"agent-datastore {version('agent-datastore')}, Python {platform.python_version()}")
    if (found := conflict()) is not None:
        yield Diagnostic(False, found, remedy())
    began = time.monotonic()
    try:
        store = open_store(url, write=not read_only)
    except DataStoreError as error:
        yield Diagnostic(False, f"it cannot be opened: {error}", _SEE)
        return
    with store:
        yield Diagnostic(True, f"connected in {_milliseconds(time.monotonic() - began)}")
        backend = core_of(store).backend
        if not read_only:
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
                yield Diagnostic(False, f"reading the records failed: {error}", _SEE)


def _records(store: DataStore, remove: bool) -> Iterator[Diagnostic]:
    """Read every record, and say which are damaged."""
    core, read, broken = core_of(store), 0, 0
    for page in pages(store):
        read += len(page.documents)
        broken += len(page.damaged)
        for damaged in page.damaged:
            if not remove or damaged.foreign:
                yield Diagnostic(
                    False, in_commands(damaged.message), "repair or remove it, or run doctor --remove-damaged"
                )
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
    yield Diagnostic(took < _SLOW, f"one request takes {_milliseconds(took)}", remedy)


def _trial(what: str, trial: Callable[[], str]) -> Iterator[Diagnostic]:
    try:
        yield Diagnostic(True, trial())
    except DataStoreError as error:
        yield Diagnostic(False, f"{what} failed: {error}", _SEE)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1_000:,.1f} ms"


def _print(finding: Diagnostic) -> None:
    mark = "ok" if finding.healthy else "problem"
    typer.echo(printable(f"{mark:<9}{finding.text}"))
    if finding.remedy:
        typer.echo(printable(f"{'':<9}-> {finding.remedy}"))
