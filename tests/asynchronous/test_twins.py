"""Neither of two twins has a call that the other one lacks, and a call is the same in both."""

import ast
import inspect
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import get_overloads

import pytest

import datastore
from datastore import (
    AgentDataStore,
    AsyncAgentDataStore,
    AsyncBlobs,
    AsyncDataStore,
    AsyncKeyValueStore,
    AsyncLease,
    AsyncLog,
    AsyncMemory,
    AsyncRun,
    AsyncRuns,
    AsyncTokens,
    AsyncVault,
    AsyncVectorVault,
    Blobs,
    DataStore,
    KeyValueStore,
    Lease,
    Log,
    Memory,
    Run,
    Runs,
    Tokens,
    Vault,
    VectorVault,
)
from datastore.asynchronous.agent import FoundRecords

TWINS = {
    DataStore: AsyncDataStore,
    AgentDataStore: AsyncAgentDataStore,
    Vault: AsyncVault,
    VectorVault: AsyncVectorVault,
    Blobs: AsyncBlobs,
    KeyValueStore: AsyncKeyValueStore,
    Log: AsyncLog,
    Memory: AsyncMemory,
    Tokens: AsyncTokens,
    Lease: AsyncLease,
    Runs: AsyncRuns,
    Run: AsyncRun,
}
RENAMED = {(DataStore, "close"): "aclose"}
"""Calls with another name, as Python's own asynchronous objects have it."""
WITHOUT_IO = {
    (DataStore, "agent"),
    (DataStore, "host"),
    (AgentDataStore, "use_namespace"),
    (AgentDataStore, "lock"),
    (AgentDataStore, "log"),
    (AgentDataStore, "vector_vault"),
}
"""They make no request, so there is nothing to await."""
BINDING = {(Tokens, "agent")}
"""They make a request, and return a twin."""
STREAMS = {
    (DataStore, "users"),
    (DataStore, "records"),
    (AgentDataStore, "iter_records"),
    (Memory, "items"),
}
TWINS_THEMSELVES = {
    (AgentDataStore, "lease"): "AsyncLease",
    (AgentDataStore, "lock"): "AsyncLock",
    (Runs, "start"): "AsyncRun",
    (Runs, "resume"): "AsyncRun",
    (Blobs, "open"): "AsyncBlobReader",
}
"""They return a twin."""
AWAITED_OR_ITERATED = {(AgentDataStore, "find_records"): "FoundRecords"}
OWN_DOCSTRING = {(DataStore, "close")}
COROUTINES_TOO = {
    (AgentDataStore, "modify"),
    (AgentDataStore, "get_or_set"),
    (Blobs, "put"),
    (Run, "step"),
    (Run, "effect"),
}
"""What they are given, a function or content, may be asynchronous as well."""


def public(kind: type) -> dict[str, object]:
    return {name: inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")}


CALLS = [
    pytest.param(kind, name, id=f"{kind.__name__}.{name}")
    for kind in TWINS
    for name, member in public(kind).items()
    if not isinstance(member, property)
]


@pytest.mark.parametrize("kind", TWINS)
def test_both_have_the_same_names(kind):
    expected = {RENAMED.get((kind, name), name) for name in public(kind)} - {"asynchronous"}
    assert set(public(TWINS[kind])) == expected | {"sync"}


@pytest.mark.parametrize("kind", TWINS)
def test_both_have_the_same_properties(kind):
    def properties(kind):
        return {name for name, member in public(kind).items() if isinstance(member, property)}

    assert properties(TWINS[kind]) - {"sync"} == properties(kind) - {"asynchronous"}


def twin_of(kind, name):
    return getattr(TWINS[kind], RENAMED.get((kind, name), name))


def parameters(function):
    return [(one.name, one.kind, one.default) for one in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_a_call_takes_the_same(kind, name):
    original, twin = getattr(kind, name), twin_of(kind, name)
    assert parameters(twin) == parameters(original)
    if (kind, name) not in COROUTINES_TOO:
        mine, its_own = inspect.signature(twin).parameters, inspect.signature(original).parameters
        assert {one: mine[one].annotation for one in mine} == {one: its_own[one].annotation for one in its_own}


@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_a_call_returns_the_same(kind, name):
    original, twin = inspect.signature(getattr(kind, name)), inspect.signature(twin_of(kind, name))
    returned = original.return_annotation
    if (kind, name) in WITHOUT_IO | BINDING:
        returned = re.sub(r"\b(AgentDataStore|Log|VectorVault)\b", r"Async\1", returned)
    if (kind, name) in STREAMS:
        returned = returned.replace("Iterator", "AsyncIterator")
    assert twin.return_annotation == {**AWAITED_OR_ITERATED, **TWINS_THEMSELVES}.get((kind, name), returned)


@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_a_call_has_the_same_overloads(kind, name):
    def signatures(function):
        return [str(inspect.signature(one)) for one in get_overloads(inspect.unwrap(function))]

    assert signatures(twin_of(kind, name)) == signatures(getattr(kind, name))


@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_a_call_has_the_same_docstring(kind, name):
    twin = twin_of(kind, name)
    assert twin.__doc__
    assert (twin.__doc__ == getattr(kind, name).__doc__) is ((kind, name) not in OWN_DOCSTRING)


@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_a_call_is_awaited_if_it_makes_requests(kind, name):
    awaited = inspect.iscoroutinefunction(twin_of(kind, name))
    assert awaited is ((kind, name) not in WITHOUT_IO | STREAMS | AWAITED_OR_ITERATED.keys())


@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_what_is_a_stream_in_one_is_a_stream_in_the_other(kind, name):
    returned = inspect.signature(getattr(kind, name)).return_annotation
    assert returned.startswith("Iterator[") is ((kind, name) in STREAMS)


def test_every_parameter_is_passed_on():
    """A facade that forgets one is seen in its source: each name is used in the body of its function."""
    for file in ("agent", "blobs", "interfaces", "memory", "store", "tokens"):
        source = Path(inspect.getfile(AsyncDataStore)).with_name(f"{file}.py").read_text(encoding="utf-8")
        for function in ast.walk(ast.parse(source)):
            if not isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef) or function.name.startswith("_"):
                continue
            if any("overload" in ast.unparse(decorator) for decorator in function.decorator_list):
                continue
            used = {
                node.id for statement in function.body for node in ast.walk(statement) if isinstance(node, ast.Name)
            }
            arguments = function.args
            named = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
            assert named <= used, f"{file}.{function.name} does not use {named - used}"


def test_connecting_takes_the_same_and_the_number_of_workers():
    mine, its_own = dict(inspect.signature(datastore.connect_async).parameters), inspect.signature(datastore.connect)
    assert mine.pop("workers").default is None
    assert mine == dict(its_own.parameters)


def test_one_twin_leads_to_the_other_without_a_second_connection():
    with datastore.connect("memory://") as store:
        twin = store.asynchronous
        assert twin.sync is store
        assert twin.backend is store.backend
        data_store = store.agent("ann", "planner", "plans")
        awaited = data_store.asynchronous
        assert awaited.sync is data_store
        assert (awaited.user_id, awaited.agent, awaited.namespace) == ("ann", "planner", "plans")
        assert type(twin.agent("ann", "planner")) is AsyncAgentDataStore
        assert twin.host("ann").agent == ""
        assert awaited.vault.sync._records is data_store
        assert awaited.key_value({"run": "7"}).sync._scopes == {"run": "7"}


def test_streams_are_what_they_say():
    with datastore.connect("memory://") as store:
        assert isinstance(store.asynchronous.users(), AsyncIterator)
        assert isinstance(store.users(), Iterator)
        assert isinstance(store.agent("u", "a").asynchronous.find_records(), FoundRecords)
