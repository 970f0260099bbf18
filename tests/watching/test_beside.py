"""What a host is told of blobs, memory, runs, vaults and locks: one event for each call, by a server's names for it."""

import asyncio
import contextlib
import inspect

import pytest

import datastore
from datastore import BlobNotFoundError, Embedder, LeaseHeldError, RunWaitingError
from datastore.asynchronous.blobs import AsyncBlobs
from datastore.asynchronous.memory import AsyncMemory
from datastore.asynchronous.runs import AsyncRuns
from datastore.asynchronous.watching_beside import WatchedAsyncBlobs, WatchedAsyncMemory, WatchedAsyncRuns
from datastore.blobs import Blobs
from datastore.measuring import MEASURES, STEPS
from datastore.memory import Memory
from datastore.runs import Run, Runs
from datastore.runs.writer import Writing
from datastore.watching import FIRST, calls_of
from datastore.watching_beside import WatchedBlobs, WatchedMemory, WatchedRuns
from tests.asynchronous.looped import LoopedStore
from tests.watching.test_events import told

LONG = b"x" * 600_000
"""Three parts of a blob."""


def _vectors(texts):
    return [[1.0, float(len(text))] for text in texts]


@pytest.fixture
def events():
    return []


@pytest.fixture(params=["direct", "awaited"])
def ann(request, events):
    """An agent's store, whose calls are made directly, or by the awaited twin on a loop."""
    store = datastore.connect("memory://", on_call=events.append, embedder=Embedder(_vectors, 2, "length"))
    with LoopedStore(store) if request.param == "awaited" else store as opened:
        data_store = opened.agent("ann", "planner")
        data_store.blobs.put("pic", b"1234567")
        data_store.memory.add("tea", key="m")
        data_store.set("bare", "milk")
        with data_store.runs.start("done") as run:
            run.finish("well")
        data_store.runs.start("held", lease=60)
        events.clear()
        yield data_store


COMES_TO = {
    "blob_put": (lambda ann: ann.blobs.put("new", b"12345"), ("blob_put", "new", None, None, 5, None)),
    "blob_put, of pieces": (
        lambda ann: ann.blobs.put("new", iter([b"12", b"3"])),
        ("blob_put", "new", None, None, 3, None),
    ),
    "blob_put, refused": (
        lambda ann: ann.blobs.put("pic", b"1", if_revision="no"),
        ("blob_put", "pic", None, None, 0, "ConflictError"),
    ),
    "blob_get": (lambda ann: ann.blobs.get("pic"), ("blob_get", "pic", None, 1, 7, None)),
    "blob_get, and nothing is there": (lambda ann: ann.blobs.get("no"), ("blob_get", "no", None, 0, 0, None)),
    "blob_open": (lambda ann: ann.blobs.open("pic"), ("blob_open", "pic", None, 1, 0, None)),
    "blob_open, of nothing": (
        lambda ann: ann.blobs.open("no"),
        ("blob_open", "no", None, None, 0, "BlobNotFoundError"),
    ),
    "blob_stat": (lambda ann: ann.blobs.stat("pic"), ("blob_stat", "pic", None, 1, 0, None)),
    "blob_list": (lambda ann: ann.blobs.list(), ("blob_list", None, None, 1, 0, None)),
    "blob_delete": (lambda ann: ann.blobs.delete("pic"), ("blob_delete", "pic", None, 1, 0, None)),
    "memory_add": (lambda ann: ann.memory.add("milk", key="n"), ("memory_add", "n", None, None, 6, None)),
    "memory_add, refused": (
        lambda ann: ann.memory.add("milk", key="m"),
        ("memory_add", "m", None, None, 0, "KeyExistsError"),
    ),
    "memory_add_many": (
        lambda ann: ann.memory.add_many({"a": "x", "b": "yz"}),
        ("memory_add_many", None, 2, None, 7, None),
    ),
    "memory_edit": (lambda ann: ann.memory.edit("m", "water"), ("memory_edit", "m", None, 1, 7, None)),
    "memory_edit, of nothing": (lambda ann: ann.memory.edit("no", "a"), ("memory_edit", "no", None, 0, 0, None)),
    "memory_delete": (lambda ann: ann.memory.delete("m"), ("memory_delete", "m", None, 1, 0, None)),
    "memory_get": (lambda ann: ann.memory.get("m"), ("memory_get", "m", None, 1, 5, None)),
    "memory_get, of nothing": (lambda ann: ann.memory.get("no"), ("memory_get", "no", None, 0, 0, None)),
    "memory_items": (lambda ann: list(ann.memory.items()), ("memory_items", None, None, 2, 11, None)),
    "memory_search": (lambda ann: ann.memory.search("tea"), ("memory_search", None, None, 1, 5, None)),
    "memory_search, of words": (
        lambda ann: ann.memory.search("tea", keywords=True),
        ("memory_search", None, None, 1, 5, None),
    ),
    "memory_search_across": (
        lambda ann: ann.memory.search_across({"default": 1}, "tea"),
        ("memory_search_across", None, None, 1, 5, None),
    ),
    "memory_explain": (lambda ann: ann.memory.explain("tea"), ("memory_explain", None, None, None, 0, None)),
    "memory_ensure_index": (
        lambda ann: ann.memory.ensure_index(),
        ("memory_ensure_index", None, None, None, 0, "UnsupportedError"),
    ),
    "memory_embed": (
        lambda ann: ann.memory.embed(iter(["bare", "m", "no"])),
        ("memory_embed", None, 3, 1, 0, None),
    ),
    "memory_reembed": (lambda ann: ann.memory.reembed(), ("memory_reembed", None, None, 0, 0, None)),
    "run_resume, refused": (
        lambda ann: ann.runs.resume("held"),
        ("run_resume", "held", None, None, 0, "LeaseHeldError"),
    ),
    "run_get": (lambda ann: ann.runs.get("done"), ("run_get", "done", None, 1, 0, None)),
    "run_result": (lambda ann: ann.runs.result("done"), ("run_result", "done", None, 1, 6, None)),
    "run_list": (lambda ann: ann.runs.list(), ("run_list", None, None, 2, 0, None)),
    "run_due": (lambda ann: ann.runs.due(), ("run_due", None, None, 0, 0, None)),
    "run_cancel": (lambda ann: ann.runs.cancel("held"), ("run_cancel", "held", None, None, 0, None)),
    "run_retry": (
        lambda ann: ann.runs.retry("done"),
        ("run_retry", "done", None, None, 0, "RunOverError"),
    ),
    "run_fork": (lambda ann: ann.runs.fork("done", at=0), ("run_fork", "done", None, None, 0, None)),
    "run_history": (lambda ann: ann.runs.history("done"), ("run_history", "done", None, 1, 0, None)),
    "run_prune": (lambda ann: ann.runs.prune(keep=0), ("run_prune", None, None, 1, 0, None)),
}


@pytest.mark.parametrize("case", COMES_TO)
def test_what_a_call_comes_to(ann, events, case):
    call, expected = COMES_TO[case]
    error = expected[-1]
    with contextlib.nullcontext() if error is None else pytest.raises(getattr(datastore, error)):
        call(ann)
    assert {(event.user, event.agent) for event in events} == {("ann", "planner")}
    assert {event.namespace for event in events} <= ({None} if "across" in case else {"default"})
    assert told(events) == [expected]


ACTS = {"append", "wait", "join", "begin_children", "history"}
"""What is done to a run that is held, and told of."""


def test_every_call_has_a_line_that_says_what_it_comes_to():
    """A new call of one of these is told of only if there is a line; this fails until there is one."""
    kinds = {Blobs: "blob_", Memory: "memory_", Runs: "run_"}
    calls = {prefix + name for kind, prefix in kinds.items() for name in calls_of(kind)}
    acts = {name for name, _ in inspect.getmembers(Writing, inspect.isfunction)} - {"entries"}
    assert acts == ACTS
    beside = {name for name in MEASURES if name.startswith(("blob_", "memory_", "run_"))} - set(STEPS)
    assert beside == calls | {"blob_read"} | {f"run_{act}" for act in acts}
    assert beside <= set(FIRST)
    cases = {name.partition(",")[0] for name in COMES_TO}
    # The others are in tests of their own below.
    assert calls - cases == {"run_start", "run_signal"}


def test_every_call_is_wrapped():
    for kind, watched in ((Blobs, WatchedBlobs), (Memory, WatchedMemory), (Runs, WatchedRuns)):
        assert all(vars(watched)[name].__wrapped__ is function for name, function in calls_of(kind).items())
    twins = (
        (AsyncBlobs, WatchedAsyncBlobs),
        (AsyncMemory, WatchedAsyncMemory),
        (AsyncRuns, WatchedAsyncRuns),
    )
    for kind, watched in twins:
        streams = {"items"} & set(calls_of(kind))
        assert set(calls_of(kind)) - streams == {name for name in vars(watched) if not name.startswith("_")}


def test_what_is_read_of_an_open_blob_is_told_by_request(ann, events):
    ann.blobs.put("long", LONG)
    events.clear()
    ann.blobs.get("long")
    assert told(events) == [("blob_get", "long", None, 1, len(LONG), None)]
    with ann.blobs.open("long") as file:
        assert file.read() == LONG
    first, *others = told(events)
    assert first[:2] == ("blob_open", "long")
    assert {event[:2] for event in others} == {("blob_read", "long")}
    assert sum(event[4] for event in others) == len(LONG)


def test_a_run_is_told_of_by_what_is_written_of_it(ann, events):
    with ann.runs.start("r", {"input": "s3cr3t"}) as run:
        assert [event[:4] for event in told(events)] == [("run_start", "r", None, None)]
        run.step("first", lambda: "s3cr3t")
        run.effect("pay", lambda: 1)
        with pytest.raises(RunWaitingError):
            run.wait_for("yes")
    assert [event[:2] + event[5:] for event in told(events)] == [
        ("run_append", "r", None),
        ("run_append", "r", None),
        ("run_append", "r", None),
        ("run_wait", "r", None),
        ("lease_release", "r", None),
    ]
    assert ann.runs.signal("r", "yes", "s3cr3t")
    assert not ann.runs.signal("r", "yes", "later")
    first, second = told(events)
    assert first[:4] == ("run_signal", "r", None, 1)
    assert first[4] > 0
    assert second == ("run_signal", "r", None, 0, 0, None)
    with ann.runs.resume("r") as run:
        run.step("first", lambda: 1)
        run.effect("pay", lambda: 1)
        assert [event[:2] for event in told(events)] == [("run_resume", "r")]  # the journal has both: no request
        run.wait_for("yes")
        with run.data_store.lock("inner"):
            pass
        branch = run.branch(2)
        if branch.index is None:
            run.checkpoint()
        run.history()
    assert [event[:2] for event in told(events)] == [
        ("run_wait", "r"),
        ("lock", "inner"),
        ("lease_release", "inner"),
        *(("run_append", "r"), ("run_begin_children", "r")),
        ("run_append", "r"),
        ("run_history", "r"),
        ("run_append", "r"),
        ("lease_release", "r"),
    ]


def test_a_new_run_is_told_of_with_its_id(ann, events):
    run = ann.runs.start()
    assert [event[:2] for event in told(events)] == [("run_start", run.id)]


def test_a_run_that_was_lost_is_told(ann, events):
    run = ann.runs.start("lost")
    ann.runs.cancel("lost")
    events.clear()
    with pytest.raises(datastore.RunOverError):
        run.step("s", lambda: 1)
    assert told(events) == [("run_append", "lost", None, None, 0, "RunOverError")]


def test_a_vault_is_told_of_once_by_the_calls_that_it_makes(ann, events):
    vault = ann.vector_vault("texts")
    vault.add_n_save("tea")
    assert [event[0] for event in told(events)] == [
        "log_append",
        "add",
        "log_read",
        "memory_embed",
        "log_trim",
    ]
    vault.add_item_with_vector("milk", [1.0, 4.0])
    vault.get_similar("tea")
    assert {event.namespace for event in events} == {"texts"}
    assert [event[0] for event in told(events)] == ["log_append", "memory_add", "memory_search"]


def test_a_lock_is_told_when_its_block_begins(ann, events):
    lock = ann.lock("work")
    assert events == []
    with lock as lease:
        assert told(events) == [("lock", "work", None, None, 0, None)]
        lease.data_store.set("k", 1)
        with pytest.raises(LeaseHeldError), ann.lock("work", timeout=0):
            pass
    assert told(events) == [
        ("set", "k", None, None, 1, None),
        ("lock", "work", None, None, 0, "LeaseHeldError"),
        ("lease_release", "work", None, 1, 0, None),
    ]
    with pytest.raises(datastore.InvalidNameError):
        ann.lock("")
    assert told(events) == [("lock", "", None, None, 0, "InvalidNameError")]


def test_what_becomes_of_a_lease_is_told(ann, events):
    lease = ann.lease("work")
    lease.renew()
    assert lease.release()
    assert not lease.release()
    with pytest.raises(datastore.LeaseLostError):
        lease.renew()
    assert told(events) == [
        ("lease", "work", None, None, 0, None),
        ("lease_renew", "work", None, 1, 0, None),
        ("lease_release", "work", None, 1, 0, None),
        ("lease_release", "work", None, 0, 0, None),
        ("lease_renew", "work", None, None, 0, "LeaseLostError"),
    ]


def test_no_value_is_told(ann, events):
    secret = "s3cr3t"
    ann.memory.add(secret, {"a": secret})
    ann.memory.search(secret, filter={"a": secret})
    ann.blobs.put("b", secret.encode(), metadata={"a": secret})
    ann.runs.signal("held", "question", secret)
    with ann.runs.start("s", secret) as run:
        run.state["a"] = secret
        run.step("step", lambda: secret)
        run.finish(secret)
    assert len(events) == 8
    assert secret not in repr(events)


def test_pieces_that_are_awaited_are_one_put():
    async def run():
        events = []
        async with datastore.connect_async("memory://", on_call=events.append) as store:
            ann = store.agent("ann", "planner")

            async def pieces():
                yield b"123"
                yield LONG

            await ann.blobs.put("b", pieces())
            assert told(events) == [("blob_put", "b", None, None, len(LONG) + 3, None)]
            with pytest.raises(BlobNotFoundError):
                await ann.blobs.open("no")
            assert told(events) == [("blob_open", "no", None, None, 0, "BlobNotFoundError")]

    asyncio.run(run())


def test_who_is_watched_by_nobody_has_the_plain_classes(ann):
    with datastore.connect("memory://") as store:
        bob = store.agent("bob", "b")
        assert (type(bob.blobs), type(bob.memory), type(bob.runs)) == (Blobs, Memory, Runs)
        assert type(bob.asynchronous.blobs) is AsyncBlobs
        assert type(bob.runs.start("r")) is Run
