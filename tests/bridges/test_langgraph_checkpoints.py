"""The checkpointer beyond LangGraph's own suite: fencing, branches, delta channels, large values, expiry, and costs."""

import asyncio
import operator
import random
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, TypedDict

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import WRITES_IDX_MAP, empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt

from datastore import (
    ConflictError,
    DamagedRecordError,
    InvalidNameError,
    InvalidValueError,
    KeyExistsError,
    UnsupportedError,
    connect,
    connect_async,
)
from datastore.bridges import langgraph_reading
from datastore.bridges.langgraph_checkpoints import DataStoreSaver
from datastore.bridges.langgraph_format import Place, part
from datastore.bridges.langgraph_values import difference
from datastore.conformance.clock import Clock
from tests.bridges.counting import counted
from tests.bridges.places import ON_SERVERS, ON_SERVERS_ALONE

EVERY = {"values": 1, "a number": 2}


class State(TypedDict):
    steps: Annotated[list, operator.add]
    constant: str


def graph_of(saver, step=lambda state: {"steps": [len(state["steps"])]}, state=State):
    """A graph that goes through its one node twice in each run."""
    builder = StateGraph(state)
    builder.add_node("first", step)
    builder.add_node("second", step)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    builder.add_edge("second", END)
    return builder.compile(checkpointer=saver)


def thread(name="t", **more):
    return {"configurable": {"thread_id": name, **more}}


def named(checkpoint_id):
    return thread(checkpoint_ns="", checkpoint_id=checkpoint_id)


def put(saver, config, checkpoint_id=None, values=EVERY, metadata=None, version=1, new=None):
    """Put a checkpoint of which all values are of one version; or some, and the others of the version 1."""
    checkpoint = empty_checkpoint() | {"channel_values": dict(values)}
    changed = dict.fromkeys(values if new is None else new, version)
    checkpoint |= {"channel_versions": dict.fromkeys(values, 1) | changed, "id": checkpoint_id or checkpoint["id"]}
    return saver.put(config, checkpoint, metadata or {"source": "loop", "step": 1}, changed)


# ------------------------------------------------------------------------------------------------------------- fencing


@ON_SERVERS
def test_of_two_workers_that_loaded_a_thread_one_goes_on(data_store):
    graph_of(DataStoreSaver(data_store)).invoke({"steps": ["a"], "constant": "c"}, thread())
    here, there = DataStoreSaver(data_store), DataStoreSaver(data_store)  # as in two processes
    loaded = here.get_tuple(thread()), there.get_tuple(thread())
    mine = put(here, loaded[0].config, version="9.1")
    with pytest.raises(ConflictError, match="another worker has put a checkpoint to this thread since it was loaded"):
        put(there, loaded[1].config, version="9.2")
    assert here.get_tuple(thread()).config["configurable"]["checkpoint_id"] == mine["configurable"]["checkpoint_id"]
    put(here, mine, version="10.1")
    keys = [key for key in data_store.list_keys("value/") if "/9.2" in key]
    assert keys == [], "what the fenced worker has written is removed"
    again = there.get_tuple(thread())
    assert put(there, again.config, version="11.1"), "whoever loads the thread again goes on"


def test_a_whole_run_is_fenced_by_another_one_in_between(data_store):
    """The run of one worker is under way when another one runs on the same thread to its end."""
    saver = DataStoreSaver(data_store)
    graph_of(saver).invoke({"steps": ["a"], "constant": "c"}, thread())

    def overtaken(state):
        if state["steps"][-1] == "mine":
            graph_of(DataStoreSaver(data_store)).invoke({"steps": ["theirs"]}, thread())
        return {"steps": ["done"]}

    with pytest.raises(ConflictError):
        graph_of(saver, overtaken).invoke({"steps": ["mine"]}, thread(), durability="sync")
    final = graph_of(saver).get_state(thread()).values["steps"]
    assert "theirs" in final
    assert "mine" in final, "the other one began after the input of this one was stored"
    assert "done" not in final


def test_of_two_workers_that_begin_a_thread_one_goes_on(data_store):
    here, there = DataStoreSaver(data_store), DataStoreSaver(data_store)
    assert here.get_tuple(thread()) is there.get_tuple(thread()) is None
    first = put(here, thread())
    with pytest.raises(ConflictError):
        put(there, thread(), version=2)
    theirs = there.get_tuple(thread())  # another worker takes the thread over while the first one is at work
    put(there, theirs.config, version=3)
    with pytest.raises(ConflictError):
        put(here, first, version=4)


def test_workers_in_threads_lose_no_step(data_store):
    """Eight workers run on one thread: those that are told nothing went on one after the other."""
    graph_of(DataStoreSaver(data_store)).invoke({"steps": [], "constant": "c"}, thread())

    async def work(name):
        graph = graph_of(DataStoreSaver(data_store), lambda state: {"steps": [name]})
        try:
            await graph.ainvoke({"steps": [name]}, thread(), durability="sync")
        except ConflictError:
            return None
        return name

    async def all_of_them():
        return [name for name in await asyncio.gather(*map(work, "abcdefgh")) if name]

    done = asyncio.run(all_of_them())
    steps = graph_of(DataStoreSaver(data_store)).get_state(thread()).values["steps"][2:]
    assert done, "at least one goes on to its end"
    for name in done:
        assert steps.count(name) == 3


def test_a_branch_takes_the_thread_over(data_store):
    saver = DataStoreSaver(data_store)
    graph = graph_of(saver)
    graph.invoke({"steps": ["a"], "constant": "c"}, thread())
    history = list(graph.get_state_history(thread()))
    late = saver.get_tuple(thread())
    old = next(one for one in history if one.next == ("second",))
    graph.invoke(None, old.config)
    branched = list(graph.get_state_history(thread()))
    assert len(branched) > len(history)
    assert graph.get_state(thread()).values["steps"] == ["a", 1, 2]
    with pytest.raises(ConflictError):
        put(saver, late.config, version="99.1")
    graph.update_state(old.config, {"steps": ["by hand"]})
    assert graph.get_state(thread()).values["steps"] == ["a", 1, "by hand"]
    assert [one.config["configurable"]["checkpoint_id"] for one in graph.get_state_history(thread())] == sorted(
        (one.config["configurable"]["checkpoint_id"] for one in graph.get_state_history(thread())), reverse=True
    )


def test_a_checkpoint_that_is_put_again_replaces_itself(data_store):
    saver = DataStoreSaver(data_store)
    saver.get_tuple(thread())
    first = put(saver, thread(), "1")
    put(saver, first, "2", version=2)
    put(saver, first, "2", version=2, metadata={"source": "loop", "step": 7})
    assert [one.metadata["step"] for one in saver.list(thread())] == [7, 1]


def cut_off(data_store, monkeypatch, stored):
    """A saver whose batches are cut off once some of their records are stored, as of one whose process is killed."""
    real = type(data_store).add_many

    def killed(self, items):
        real(self, [item for item in items if stored(item.key)])
        raise KeyboardInterrupt

    monkeypatch.setattr(type(data_store), "add_many", killed)
    return DataStoreSaver(data_store)


def test_what_a_put_has_left_that_was_killed_before_the_checkpoint_is_not_seen_and_can_be_put_again(
    data_store, monkeypatch
):
    first = put(DataStoreSaver(data_store), thread(), "1")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        put(cut_off(data_store, patch, lambda key: not key.startswith("checkpoint/")), first, "2", version=2)
    saver = DataStoreSaver(data_store)
    assert saver.get_tuple(thread()).checkpoint["id"] == "1"
    assert saver.get_tuple(thread(checkpoint_id="2")) is None
    assert len(list(saver.list(thread()))) == 1
    put(saver, first, "2", version=2)
    assert saver.get_tuple(thread(checkpoint_id="2")).checkpoint["channel_values"] == EVERY


def test_a_checkpoint_of_which_nothing_but_itself_was_stored_is_whole(data_store, monkeypatch):
    """What finds it, and the values of before that it needs, are put there by whoever goes on from it."""
    values = {**EVERY, "long": "l" * 5_000}
    first = put(DataStoreSaver(data_store), thread(), "1", values, {"run_id": "r"})
    first["configurable"]["__datastore_head"] = True
    for checkpoint_id in "23":
        alone = cut_off(data_store, monkeypatch, lambda key: key.startswith("checkpoint/"))
        loaded = alone.get_tuple(thread())
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            put(cut_off(data_store, patch, lambda key: key.startswith("checkpoint/")), loaded.config, checkpoint_id,
                values, {"run_id": "r"}, new=["a number"], version=int(checkpoint_id))  # fmt: skip
        monkeypatch.undo()
    assert DataStoreSaver(data_store).get_tuple(thread(checkpoint_id="3")).checkpoint["channel_values"] == values
    saver = DataStoreSaver(data_store)
    config = put(saver, saver.get_tuple(thread()).config, "4", values, new=["a number"], version=4)
    saver.prune(["t"])
    assert DataStoreSaver(data_store).get_tuple(config).checkpoint["channel_values"] == values
    assert not data_store.list_keys("run/")


def test_pruning_keeps_a_value_that_is_in_a_checkpoint_which_goes(data_store, monkeypatch):
    first = put(DataStoreSaver(data_store), thread(), "1")
    saver = cut_off(data_store, monkeypatch, lambda key: key.startswith("checkpoint/"))
    with pytest.raises(KeyboardInterrupt):
        put(saver, first, "2", new=["a number"], version=2)
    monkeypatch.undo()
    DataStoreSaver(data_store).prune(["t"])
    assert DataStoreSaver(data_store).get_tuple(thread()).checkpoint["channel_values"] == EVERY


# -------------------------------------------------------------------------------------------------------------- values


def test_a_conversation_takes_what_is_new_and_comes_back_from_every_step(data_store):
    """Values that are alike are kept as differences, for this process and for one that has seen nothing of them."""
    random.seed(1)
    words = [random.randbytes(6).hex() for _ in range(400)]
    saver, config, expected = DataStoreSaver(data_store), thread(), {}
    messages = [HumanMessage(" ".join(random.choices(words, k=40)), id=str(at)) for at in range(40)]
    for number in range(60):
        if number % 20 == 19:
            messages = messages[: len(messages) // 2]  # as a graph that sums up what was said
        messages = [*messages[number % 2 :], HumanMessage(" ".join(random.choices(words, k=40)), id=f"new {number}")]
        values = {"messages": messages, "title": "the same"}
        new = ["messages"] if number else None
        config = put(saver, config, f"{number:03}", values, new=new, version=f"{number + 1:032}.1")
        expected[f"{number:03}"] = values
    for reader in (saver, DataStoreSaver(data_store)):
        found = {one.checkpoint["id"]: one.checkpoint["channel_values"] for one in reader.list(thread())}
        assert found == expected
    kept = [record.value for record in data_store.iter_records("checkpoint/")]
    differences = [one for one in kept if "same" in one["values"]["messages"]]
    assert len(differences) > 40
    whole = len(saver.serde.dumps_typed(messages)[1])
    assert sum(len(one["values"]["messages"]["base64"]) for one in differences) < len(differences) * whole / 4
    saver.prune(["t"])
    assert DataStoreSaver(data_store).get_tuple(thread()).checkpoint["channel_values"] == values


@given(
    st.lists(st.binary(min_size=1, max_size=3_000), min_size=2, max_size=6),
    st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 4_000), st.binary(max_size=300)), max_size=3),
)
def test_what_differs_leads_back_to_the_value(parts, edits):
    earlier = b"".join(part * (1 + 6_000 // len(part)) for part in parts)
    data = earlier
    for at, gone, put_in in edits:
        data = data[:at] + put_in + data[at + gone :]
    same = difference(earlier, data)
    if data == earlier:
        assert same == (0, 0, len(data))
    if same is not None:
        before, start, length = same
        assert data == data[:before] + earlier[start : start + length] + data[before + length :]
        assert len(data) - length <= len(data) / 8


def test_what_was_read_before_is_not_read_again_and_its_end_is_noticed(place, url):
    """Values that this process has put or read come from its memory. Whether the checkpoint is still there is asked."""
    with counted(place, url) as asked:
        data_store = asked.store.agent("ann", "assistant")
        saver, other = DataStoreSaver(data_store), DataStoreSaver(data_store)
        config = put(saver, thread(), "1", {"long": "l" * 5_000, "b": 1})
        put(saver, config, "2", {"long": "l" * 5_000, "b": 2}, new=["b"], version=2)
        assert asked.by(lambda: other.get_tuple(thread())) == 2
        for one in (saver, other):
            assert asked.by(lambda one=one: one.get_tuple(thread())) == 1
        loaded = saver.get_tuple(thread()).checkpoint["channel_values"]
        loaded["b"] = "changed by whoever got it"
        assert saver.get_tuple(thread()).checkpoint["channel_values"] == {"long": "l" * 5_000, "b": 2}
        other.delete_thread("t")
        assert saver.get_tuple(thread()) is None
        put(saver, thread(), "1", {"long": "other", "b": 1})  # of the versions that there were before
        assert saver.get_tuple(thread()).checkpoint["channel_values"] == {"long": "other", "b": 1}


@pytest.mark.parametrize("format", [1, 2])
def test_checkpoints_of_formats_before_are_read_and_gone_on_from(data_store, format):
    """No pending write was beside its checkpoint. In format 1 all values were in records, named by channel alone."""
    saver = DataStoreSaver(data_store)
    config = put(saver, thread(), "1")
    record = data_store.get_record(data_store.last("checkpoint/").key)
    old = {**record.value, "format": format}
    if format == 1:
        old["stored"] = sorted(EVERY)
        for channel, kept in old.pop("values").items():
            data_store.add(Place("t", "").value(channel, 1), {"format": 1, **kept})
    data_store.set(record.key, old)
    saver.put_writes(config, [("a", 1)], "task")
    for written in data_store.iter_records(f"{record.key}/"):
        data_store.set(Place("t", "").early_write("1", "task", 0), written.value)
        data_store.delete(written.key)
    saver = DataStoreSaver(data_store)
    found = saver.get_tuple(config)
    assert found.checkpoint["channel_values"] == EVERY
    assert found.pending_writes == next(saver.list(thread())).pending_writes == [("task", "a", 1)]
    config = put(saver, saver.get_tuple(thread()).config, "2", new=["a number"], version=2)
    assert saver.get_tuple(config).checkpoint["channel_values"] == EVERY
    saver.prune(["t"])
    assert DataStoreSaver(data_store).get_tuple(thread()).checkpoint["channel_values"] == EVERY


# ------------------------------------------------------------------------------------------------------ pending writes


def test_writes_before_their_checkpoint_are_those_after_it(data_store):
    saver, config = DataStoreSaver(data_store), thread(checkpoint_ns="", checkpoint_id="1")
    saver.put_writes(config, [("a", 1), ("b", 2)], "task 1", "~path")
    put(saver, thread(), "1")
    before = saver.get_tuple(thread()).pending_writes
    saver.put_writes(config, [("a", 1), ("b", 2)], "task 1", "~path")
    assert saver.get_tuple(thread()).pending_writes == before == [("task 1", "a", 1), ("task 1", "b", 2)]


@ON_SERVERS
def test_of_two_processes_one_may_put_writes_before_the_other_has_put_their_checkpoint(data_store):
    first, second = DataStoreSaver(data_store), DataStoreSaver(data_store)
    for checkpoint_id in "123":
        second.put_writes(named(checkpoint_id), [("a", "before"), (ERROR, "before")], "task")
    config = thread()
    for number, checkpoint_id in enumerate("12", 1):
        config = put(first, config, checkpoint_id, version=number)
        for saver in (first, DataStoreSaver(data_store)):
            saver.put_writes(named(checkpoint_id), [("a", "after"), ("b", "after"), (ERROR, "after")], "task")
    expected = [("task", "a", "before"), ("task", "b", "after"), ("task", ERROR, "after")]
    put(first, named("1"), "2", version=2)
    put(DataStoreSaver(data_store), named("1"), "2", version=2)  # which is there, and is a branch to this one
    for saver in (first, second, DataStoreSaver(data_store)):
        found = [saver.get_tuple(thread()), saver.get_tuple(named("1")), *saver.list(thread())]
        assert [one.checkpoint["id"] for one in found] == ["2", "1", "2", "1"]
        assert all(sorted(one.pending_writes) == sorted(expected) for one in found)
    first.copy_thread("t", "copy")
    assert sorted(first.get_tuple(thread("copy")).pending_writes) == sorted(expected)
    first.prune(["t"])
    assert len(data_store.list_keys("checkpoint/t/")) == 4, "the checkpoint, and what was put after it"
    assert len(data_store.list_keys("write/t/")) == 2
    first.delete_thread("t")
    assert not any("/t/" in key for key in data_store.list_keys())


def test_the_newest_checkpoint_is_found_among_many_writes_and_after_many_others(place, url):
    with counted(place, url) as asked:
        data_store = asked.store.agent("ann", "assistant")
        here, there = DataStoreSaver(data_store), DataStoreSaver(data_store)
        config = put(here, thread(), "000")
        for number in range(1, 40):
            config = put(there, config, f"{number:03}", version=number)
        assert asked.read_by(lambda: here.get_tuple(thread())) < 50
        assert here.get_tuple(thread()).checkpoint["id"] == "039"
        there.put_writes(config, [("a", number) for number in range(300)], "task")
        for saver, most in ((here, 3), (DataStoreSaver(data_store), 4)):  # pages of 4, 200 and 200; and the values
            assert asked.by(lambda saver=saver: saver.get_tuple(thread())) <= most + 1
            assert [value for _, _, value in saver.get_tuple(thread()).pending_writes] == [*range(300)]
        assert [len(one.pending_writes) for one in here.list(thread(), limit=2)] == [300, 0]


def test_writes_of_a_worker_that_was_fenced_are_nobodys(data_store):
    """It takes the number for its own, until it is told otherwise: so may a pending write of it that is on its way."""
    here, there = DataStoreSaver(data_store), DataStoreSaver(data_store)
    first = put(here, thread(), "1")
    there.get_tuple(thread())
    put(here, first, "2", version=2)
    there._known.numbers[Place("t", ""), "late"] = 2
    there.put_writes(named("late"), [("a", 1)], "task")
    for saver in (here, there, DataStoreSaver(data_store)):
        assert saver.get_tuple(thread()).pending_writes == []
        assert [one.pending_writes for one in saver.list(thread())] == [[], []]


def test_a_write_stays_and_a_special_one_is_replaced(data_store):
    saver, config = DataStoreSaver(data_store), put(DataStoreSaver(data_store), thread(), "1")
    saver.put_writes(config, [("a", 1), (ERROR, "old")], "task")
    saver.put_writes(config, [("a", 2), (ERROR, "new")], "task")
    saver.put_writes(config, [(INTERRUPT, "asked")], "task")
    assert sorted(saver.get_tuple(thread()).pending_writes) == sorted(
        [("task", "a", 1), ("task", ERROR, "new"), ("task", INTERRUPT, "asked")]
    )
    assert set(WRITES_IDX_MAP) >= {ERROR, INTERRUPT}


def test_writes_are_in_the_order_of_paths_and_not_of_tasks(data_store):
    saver, config = DataStoreSaver(data_store), put(DataStoreSaver(data_store), thread(), "1")
    saver.put_writes(config, [("a", number) for number in range(12)], "z", "path 1")
    saver.put_writes(config, [("a", "second")], "a", "path 2")
    values = [value for _, _, value in saver.get_tuple(thread()).pending_writes]
    assert values == [*range(12), "second"]


def test_a_run_that_waits_for_a_person_goes_on_in_another_process(url, data_store):
    def asking(state):
        return {"steps": [interrupt("really?")]}

    graph_of(DataStoreSaver(data_store), asking).invoke({"steps": [], "constant": "c"}, thread())
    graph = graph_of(DataStoreSaver(data_store), asking)
    assert graph.get_state(thread()).interrupts[0].value == "really?"
    graph.invoke(Command(resume="yes"), thread())
    assert graph.invoke(Command(resume="again"), thread())["steps"] == ["yes", "again"]


# ------------------------------------------------------------------------------------------------------ delta channels


def appended(state, writes):
    return [*state, *(one for some in writes for one in some)]


class Deltas(TypedDict):
    steps: Annotated[list, DeltaChannel(appended, list, snapshot_frequency=5)]


class RareDeltas(TypedDict):
    steps: Annotated[list, DeltaChannel(appended, list)]


@ON_SERVERS
def test_delta_channels_are_what_they_are_in_memory(data_store):
    graphs = [graph_of(saver, state=Deltas) for saver in (DataStoreSaver(data_store), InMemorySaver())]
    for number in range(8):
        ours, theirs = (graph.invoke({"steps": [f"run {number}"]}, thread()) for graph in graphs)
        assert ours == theirs
    histories = [[one.values for one in graph.get_state_history(thread())] for graph in graphs]
    assert histories[0] == histories[1]
    assert any("steps" not in known["stored"] for known in data_store.get_all().values() if "stored" in known), (
        "most checkpoints have no value of the channel"
    )


def test_pruning_keeps_what_delta_channels_need(data_store):
    saver = DataStoreSaver(data_store)
    graph = graph_of(saver, state=Deltas)
    for number in range(6):
        graph.invoke({"steps": [f"run {number}"]}, thread())
    before = graph.get_state(thread()).values
    count = len(list(saver.list(thread())))
    saver.prune(["t"])
    assert graph.get_state(thread()).values == before
    kept = len(list(saver.list(thread())))
    assert 1 < kept < count
    graph.invoke({"steps": ["after"]}, thread())
    assert graph.get_state(thread()).values["steps"][: len(before["steps"])] == before["steps"]
    saver.prune(["t"])
    saver.prune(["t"])
    assert graph.get_state(thread()).values["steps"][: len(before["steps"])] == before["steps"]


def test_a_delta_channel_whose_ancestors_were_deleted_is_an_error_and_not_a_shorter_one(data_store):
    saver = DataStoreSaver(data_store)
    graph = graph_of(saver, state=RareDeltas)
    graph.invoke({"steps": ["one"]}, {**thread(), "metadata": {"run_id": "first"}})
    graph.invoke({"steps": ["two"]}, {**thread(), "metadata": {"run_id": "second"}})
    saver.delete_for_runs(["first"])
    with pytest.raises(DamagedRecordError, match="need an ancestor that is gone"):
        graph.get_state(thread())


# ------------------------------------------------------------------------------------------------------------- keeping


def test_pruning_leaves_nothing_of_what_it_removes(data_store):
    saver = DataStoreSaver(data_store)
    graph = graph_of(saver)
    for number in range(5):
        graph.invoke({"steps": [number], "constant": "c"}, {**thread(), "metadata": {"run_id": f"run {number}"}})
    state = graph.get_state(thread()).values
    saver.prune(["t"])
    assert graph.get_state(thread()).values == state
    kinds = [key.partition("/")[0] for key in data_store.list_keys()]
    assert kinds.count("checkpoint") == kinds.count("number") == kinds.count("run") == 1
    values = saver.get_tuple(thread()).checkpoint["channel_values"]
    assert kinds.count("value") == len(values) - len(data_store.last("checkpoint/").value["values"])
    assert "write" not in kinds
    saver.prune(["t"], strategy="delete")
    assert data_store.list_keys() == []
    with pytest.raises(InvalidValueError, match="strategy"):
        saver.prune(["t"], strategy="keep_some")


def test_deleting_a_thread_leaves_nothing_and_nobody_elses(data_store):
    saver, large = DataStoreSaver(data_store), random.Random(1).randbytes(2_000_000)
    for name in ("t", "t/2", "t~", "u"):
        config = put(saver, thread(name), values={"large": large}, metadata={"run_id": "r"})
        saver.put_writes(config, [("large", large)], "task")
    assert saver.get_tuple(thread("t")).checkpoint["channel_values"]["large"] == large
    assert saver.get_tuple(thread("t")).pending_writes == [("task", "large", large)]
    assert len(data_store.blobs.list()) == 8
    saver.delete_thread("t")
    assert saver.get_tuple(thread("t")) is None
    assert not any("/t/" in key for key in data_store.list_keys())
    assert len(data_store.blobs.list()) == 6
    saver.delete_for_runs(["r"])
    assert data_store.list_keys() == []
    assert data_store.blobs.list() == []


def test_a_copy_goes_on_by_itself(data_store):
    saver, large = DataStoreSaver(data_store), random.Random(1).randbytes(2_000_000)
    graph = graph_of(saver)
    graph.invoke({"steps": [large], "constant": "c"}, {**thread(), "metadata": {"run_id": "r"}})
    saver.copy_thread("t", "copy")
    with pytest.raises(KeyExistsError, match="delete it first"):
        saver.copy_thread("t", "copy")
    saver.delete_thread("t")
    assert graph.invoke({"steps": ["more"]}, thread("copy"))["steps"] == [large, 1, 2, "more", 4, 5]
    saver.delete_for_runs(["r"])
    assert all(one.metadata.get("run_id") != "r" for one in saver.list(thread("copy")))


def test_a_thread_that_is_used_lives_and_another_one_expires(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(langgraph_reading, "_now", lambda: datetime.fromtimestamp(clock(), UTC))
    with connect(f"sqlite:///{tmp_path}/t.db", clock=clock) as store:
        data_store = store.agent("ann", "a")
        graph = graph_of(DataStoreSaver(data_store, ttl=100))
        graph.invoke({"steps": ["first"], "constant": "kept"}, thread())
        graph.invoke({"steps": ["first"], "constant": "kept"}, thread("idle"))
        for _ in range(10):
            clock.advance(90)
            graph.invoke({"steps": ["on"]}, thread())
        assert graph.get_state(thread()).values["constant"] == "kept", "a value of 900 seconds ago is still needed"
        assert graph.get_state(thread("idle")).values == {}
        assert graph.invoke({"steps": ["anew"], "constant": "c"}, thread("idle"))["steps"] == ["anew", 1, 2]
        clock.advance(201)
        assert data_store.list_keys() == []


def test_delta_channels_outlive_the_ttl_of_their_ancestors(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(langgraph_reading, "_now", lambda: datetime.fromtimestamp(clock(), UTC))
    with connect(f"sqlite:///{tmp_path}/t.db", clock=clock) as store:
        graph = graph_of(DataStoreSaver(store.agent("ann", "a"), ttl=100), lambda state: {}, Deltas)
        for number in range(9):
            graph.invoke({"steps": [number]}, thread())
            clock.advance(90)
        assert graph.get_state(thread()).values["steps"] == [*range(9)]


# ------------------------------------------------------------------------------------------------ what is kept, where


def test_threads_users_and_namespaces_never_meet(store):
    names = [("a/b", "c"), ("a", "b/c"), ("a", "b|c"), ("a%2Fb", "c"), ("a:b", "c"), ("a" * 300, "c"), ("a" * 301, "c")]
    savers = {user: DataStoreSaver(store.agent(user, "x")) for user in ("ann", "bob")}
    for user, saver in savers.items():
        for name, ns in names:
            put(saver, thread(name, checkpoint_ns=ns), values={"who": [user, name, ns]})
    for user, saver in savers.items():
        for name, ns in names:
            (found,) = saver.list(thread(name, checkpoint_ns=ns))
            assert found.checkpoint["channel_values"] == {"who": [user, name, ns]}
    assert len(list(savers["ann"].list(None))) == len(names)
    shortened = part("a" * 300)
    assert part(shortened) != shortened
    assert len(Place("ü%" * 200, "n/" * 200).value("c/" * 200, "v" * 200).encode()) <= 512


def test_people_can_read_what_is_kept(data_store):
    class Chat(TypedDict):
        messages: Annotated[list, add_messages]

    graph = graph_of(DataStoreSaver(data_store), lambda state: {"messages": [AIMessage("Fine.")]}, Chat)
    graph.invoke({"messages": [HumanMessage("How are you?")]}, thread())
    there = [record.value for record in data_store.iter_records("checkpoint/t/")]
    values = [one["values"] for one in there if "values" in one]
    shown = [some["messages"]["shows"] for some in values if "messages" in some]
    assert shown == ["human: How are you?", "ai: Fine.", "ai: Fine."]
    asked = ("messages", "human: How are you?")
    assert next((one["channel"], one.get("shows")) for one in there if "channel" in one) == asked
    newest = data_store.last("checkpoint/t/").value
    assert newest["metadata"]["source"] == "loop"
    assert newest["metadata"]["step"] == 2
    assert list(newest["stored"]) == ["messages"]


class Turned:
    """A cipher that is one to nobody but this test."""

    def encrypt(self, plaintext):
        return "turned", bytes(255 - byte for byte in plaintext)

    def decrypt(self, ciphername, ciphertext):
        return bytes(255 - byte for byte in ciphertext)


def test_what_is_encrypted_is_shown_nowhere(data_store):
    serde = EncryptedSerializer(Turned())
    put(DataStoreSaver(data_store, serde=serde), thread(), values={"m": [HumanMessage("secret")], "plain": "secret"})
    assert "secret" not in str(data_store.get_all())
    loaded = DataStoreSaver(data_store, serde=serde).get_tuple(thread()).checkpoint["channel_values"]
    assert loaded["m"][0].text == loaded["plain"] == "secret"


@pytest.mark.parametrize("value", [(1, "2"), {1: "integer keys"}, b"bytes", {"a": datetime.now(UTC)}, 2**63, -0.0, None,
                                   [None, True, 1.0, {"n": []}], "x" * 5_000, HumanMessage("h"), "\U0001f600 \0"],
                         ids=lambda value: type(value).__name__)  # fmt: skip
def test_values_come_back_as_they_are(data_store, value):
    saver = DataStoreSaver(data_store)
    config = put(saver, thread(), values={"v": value}, metadata={"source": "loop", "custom": value})
    saver.put_writes(config, [("w", value)], "task")
    found = saver.get_tuple(thread())
    ((_, _, written),) = found.pending_writes
    expected = saver.serde.loads_typed(saver.serde.dumps_typed(value))  # which takes a tuple for a list
    for one in (found.checkpoint["channel_values"]["v"], written):
        assert type(one) is type(expected)
        assert repr(one) == repr(expected)
    custom = value.replace("\0", "") if isinstance(value, str) else expected  # as LangGraph does for every saver
    assert repr(found.metadata["custom"]) == repr(custom)


@pytest.mark.parametrize("ttl", [None, 3600])
def test_what_is_loaded_is_each_callers_own(data_store, ttl):
    """Lists of texts are remembered as they are, so that a load need not decode them; each caller changes its own."""
    values = {"texts": ["a", "b"], "empty": [], "nested": [["a"], {"b": 1}], "text": "a"}
    for saver in (putting := DataStoreSaver(data_store, ttl=ttl), DataStoreSaver(data_store, ttl=ttl)):
        if saver is putting:
            config = put(saver, thread(), values=values)
            saver.put_writes(config, [("texts", ["c"])], "task")
        for _ in range(3):
            for loaded in (saver.get_tuple(thread()), saver.get_tuple(config), *saver.list(thread(), limit=1)):
                found = loaded.checkpoint["channel_values"]
                assert found == values
                assert {type(found[name]) for name in ("texts", "empty", "nested")} == {list}
                assert loaded.pending_writes == [("task", "texts", ["c"])]
                for name in ("texts", "empty", "nested"):
                    found[name].append("mine")
                found["nested"][0].append("mine")
                loaded.pending_writes[0][2].append("mine")
                loaded.checkpoint["channel_versions"].clear()
                loaded.metadata.clear()
                loaded.config["configurable"].clear()


def test_a_later_format_is_refused_and_damage_is_named(data_store):
    saver = DataStoreSaver(data_store)
    put(saver, put(saver, thread(), "1"), "2", new=["a number"], version=2)
    key = data_store.last("checkpoint/").key
    data_store.update(key, {"$set": {"format": 4}})
    with pytest.raises(UnsupportedError, match="upgrade agent-datastore"):
        saver.get_tuple(thread())
    data_store.update(key, {"$set": {"format": 3}})
    data_store.delete(data_store.list_keys("value/")[0])
    data_store.delete(data_store.first("checkpoint/").key)
    with pytest.raises(DamagedRecordError, match="names the record 'value/t//"):
        DataStoreSaver(data_store).get_tuple(thread())


def test_a_config_without_a_thread_is_refused_before_anything_is_asked(data_store):
    saver = DataStoreSaver(data_store)
    for call in (
        lambda: saver.get_tuple({"configurable": {}}),
        lambda: put(saver, {"configurable": {"thread_id": ""}}),
    ):
        with pytest.raises(InvalidNameError, match="thread_id"):
            call()


# --------------------------------------------------------------------------------------------------------------- costs


@ON_SERVERS_ALONE
def test_calls_ask_what_they_are_said_to_ask(place, url):
    with counted(place, url) as asked:
        saver = DataStoreSaver(asked.store.agent("ann", "assistant"))
        config, costs = put(saver, thread(), "a"), {}
        calls = {
            "put": lambda config, name: put(saver, config, name, version=name),
            "put_writes": lambda _, name: saver.put_writes(named(name), [("a", 1), ("b", 2)], "task"),
            "get_tuple": lambda *_: saver.get_tuple(thread()),
            "get_tuple of a named one": lambda _, name: saver.get_tuple(named(name)),
            "list of 2": lambda *_: list(saver.list(thread(checkpoint_ns=""), limit=2)),
        }
        for name in "abcdefghijkl"[1:]:
            for what, call in calls.items():
                asking = partial(call, config, name)
                costs.setdefault(what, set()).add(asked.by(asking))
            config = named(name)
    assert costs == {
        "put": {1},
        "put_writes": {1},
        "get_tuple": {1},
        "get_tuple of a named one": {1},
        "list of 2": {1, 2},
    }


def test_coroutines_never_block_their_loop(tmp_path):
    async def running():
        async with connect_async(f"sqlite:///{tmp_path}/t.db") as store:
            graph = graph_of(DataStoreSaver(store.agent("ann", "a")))
            with blockbuster_ctx():
                await graph.ainvoke({"steps": ["a"], "constant": "c"}, thread())
                history = [one async for one in graph.aget_state_history(thread())]
            return len(history)

    assert asyncio.run(running()) == 4
