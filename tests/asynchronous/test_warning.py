"""A synchronous call on a running loop of a store on a server warns once; in this process it does not."""

import asyncio
import warnings
from dataclasses import replace

import pytest

import datastore
from datastore import AsyncDataStore, BlockingCallWarning, DataStore, InvalidValueError, loops
from datastore.conformance.calls import CALLS
from datastore_memory import MemoryBackend


class OnAServer(MemoryBackend):
    def __init__(self) -> None:
        super().__init__()
        self.capabilities = replace(self.capabilities, at_once=False)


@pytest.fixture(autouse=True)
def _not_warned_yet(monkeypatch):
    monkeypatch.setattr(loops._Warned, "yet", False)


def warned(store: DataStore, call) -> list[warnings.WarningMessage]:
    async def main():
        return call(store.agent("u", "a"))

    with store, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
    return [one for one in caught if one.category is BlockingCallWarning]


def both(agent):
    agent.set("key", 1)
    agent.get("key")


def test_it_warns_once_where_the_program_called_and_names_the_awaited_twin():
    (warning,) = warned(DataStore(OnAServer()), both)
    assert warning.filename == __file__
    assert str(warning.message).startswith("AgentDataStore.set was called on a running event loop")
    assert "Await AsyncAgentDataStore.set" in str(warning.message)
    assert warned(DataStore(OnAServer()), both) == []


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"lock"}))  # it makes no request: its block does, when it begins
def test_every_call_warns(name):
    def call(agent):
        agent.set_many({"key": 1, "list": [], "object": {}})
        loops._Warned.yet = False
        CALLS[name](agent)

    warnings_of = warned(DataStore(OnAServer()), call)
    expected = "exists" if name == "in" else name.partition("-")[0]
    assert len(warnings_of) == 2
    assert f"AgentDataStore.{expected}" in str(warnings_of[1].message)


def test_the_other_interfaces_are_named_as_well():
    (warning,) = warned(DataStore(OnAServer()), lambda agent: agent.vault.query("books"))
    assert "AsyncVault.query" in str(warning.message)


def test_it_can_be_turned_off():
    assert warned(DataStore(OnAServer(), warn_on_loop=False), both) == []
    with pytest.raises(InvalidValueError, match="warn_on_loop is an int"):
        DataStore(OnAServer(), warn_on_loop=7)


def test_a_database_in_this_process_does_not_warn():
    assert warned(DataStore(MemoryBackend()), both) == []


def test_neither_threads_nor_the_twin_warn():
    async def main():
        async with AsyncDataStore(DataStore(OnAServer())) as store:
            agent = store.agent("u", "a")
            await agent.set("key", 1)
            assert await agent.get("key") == await asyncio.to_thread(agent.sync.get, "key") == 1

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())


def test_everything_that_has_a_twin_is_named():
    twins = {name.removeprefix("Async") for name in datastore._LATE if name.startswith("Async")}
    assert twins - {"BlobReader"} == loops._WITH_TWINS  # the file object that `Blobs.open` returns is one of `io`


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("AsyncMemory.search", lambda agent: agent.memory.search([1.0])),
        ("AsyncMemory.add", lambda agent: agent.memory.add("text", vector=[1.0])),
        ("AsyncVectorVault.get_total_items", lambda agent: agent.vector_vault("vault").get_total_items()),
        ("AsyncLog.read", lambda agent: agent.log("log").read()),
        ("AsyncRuns.list", lambda agent: agent.runs.list()),
    ],
)
def test_a_call_of_what_stands_beside_is_named_after_it(named, call):
    warning, *_ = warned(DataStore(OnAServer()), call)
    assert f"Await {named} " in str(warning.message)
