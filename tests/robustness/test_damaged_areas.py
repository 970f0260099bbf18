"""What lies beside the records of a namespace, damaged record by record and field by field.

A call on what is damaged raises an error of the store, and nothing else. A call that is for all (`due`, `list`,
`prune`, `list_logs`, a purge) does it for the others.
"""

import logging
import re
from contextlib import suppress
from copy import deepcopy
from functools import partial

import pytest

import datastore
from datastore import DamagedRecordError, DataStoreError, KeyExistsError
from datastore.backend import Delete, Fields, IdRange, Put
from datastore.conformance.clock import Clock
from datastore.conformance.documents import at
from datastore.conformance.faults import backend_of
from datastore.ids import area_prefix, decode_key, encode_key, split_id, system_prefix
from datastore.runs import keys
from datastore.values import encode
from tests.full import FULL

DAY = 86_400
WRONG = (None, -1, 10**30, "a/%", [5], {"x": 5})
RUNS, LOGS, BLOBS = (area_prefix("u:default:", area) for area in ("runs", "logs", "blobs"))
LEASES, REMINDERS = system_prefix("u", "leases"), system_prefix("", "due")


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Each of thousands is warned of."""
    logging.getLogger("datastore").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("datastore").setLevel(logging.NOTSET)


def documents(store, prefix):
    """Return what is stored under ids with a beginning."""
    span = IdRange(prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))
    return backend_of(store).scan(span, Fields.ALL, 1_000, None).documents


def write(store, id, value, metadata=None):
    """Write a value past the store, as somebody in the database's console would."""
    user, namespace, key = id.split(":")
    put = Put(id, user, namespace, key, value, encode(value), metadata, "", at(10**6), "0" * 24, None)
    assert backend_of(store).write([put])[0].error is None


def damages(value, depth=2):
    """Yield values like one, but wrong: as a whole, and in each field."""
    yield from (wrong for wrong in WRONG if wrong != value)
    if depth and isinstance(value, dict):
        for name, field in value.items():
            yield {other: one for other, one in value.items() if other != name}
            for wrong in damages(field, depth - 1):
                yield {**value, name: wrong}
    if depth and isinstance(value, list):
        for place, field in enumerate(value):
            for wrong in damages(field, depth - 1):
                yield [*value[:place], wrong, *value[place + 1 :]]


def damaged_one_by_one(begin, prefix, chosen=lambda key: True):
    """Yield stores, each with another record that is damaged in another way: the store, the clock, the record."""
    clock = Clock()
    with datastore.connect("memory://", clock=clock, tracking="off") as store:
        begin(store, clock)
        found = documents(store, prefix)
        stored = backend_of(store)._stored.copy()
    for place, document in enumerate(found):
        key = decode_key(split_id(document.id)[1])
        for number, value in enumerate(damages(document.value) if chosen(key) else ()):
            if FULL or (number + place) % 7 == 0:
                clock = Clock()
                with datastore.connect("memory://", clock=clock, tracking="off", max_seconds=0.2) as store:
                    backend_of(store)._stored, backend_of(store)._sorted = deepcopy(stored), None
                    write(store, document.id, value, document.metadata)
                    yield store, clock, (key, value)


def attempt(*calls):
    """Make calls that may fail, with an error of the store and no other."""
    for call in calls:
        with suppress(DataStoreError):
            call()


# ---------------------------------------------------------------------------------------------------------------- runs


def program(run):
    """Use what leaves records of each kind."""
    if "n" not in run.state:
        run.state["n"] = run.step("step", lambda: 1)
        with suppress(datastore.StepFailedError):
            run.step("fails", lambda: 1 / 0)
        run.effect("effect", int)
        run.checkpoint()
    branch = run.branch(1)
    if branch.index is not None:
        return branch.index
    if not run.id.endswith("-fork"):
        run.fork(id=run.id + "-fork")
    run.join(branch.children)
    return run.wait_for("answer", timeout="1d")


def begin_runs(store, clock):
    runs = store.agent("u", "agent").runs
    for name in ("bad", "good"):
        with runs.start(f"{name}-done", ttl=5) as run:
            run.step("step", int)
        runs.start(f"{name}-running", lease=30).step("step", int)
        with runs.start(f"{name}-waiting") as run:
            run.finish(program(run))
        for _ in range(2):
            for id in runs.due():
                with runs.resume(id) as run:
                    run.finish(program(run))
        runs.signal(f"{name}-waiting", "answer", 7)
        runs.signal(f"{name}-waiting", "other", 7)


def all_of_runs(runs):
    attempt(runs.due, runs.list, lambda: runs.prune(keep=0), lambda: runs.prune(keep=0))


def check_others(store, clock, damage):
    """Check that what is for all runs is done for those that are not damaged."""
    runs = store.agent("u", "agent").runs
    clock.advance(2 * DAY)
    assert {"good-running", "good-waiting"} <= set(runs.due()), damage
    assert {one.id for one in runs.list()} >= {"good-done", "good-running", "good-waiting"}, damage
    assert "good-done" in {one.id for one in runs.list("done")}, damage
    assert "good-waiting" in {one.id for one in runs.list("waiting")}, damage
    assert runs.prune(keep=DAY) >= 1, damage
    assert runs.get("good-done") is None, damage
    with runs.resume("good-waiting") as run:
        run.finish(program(run))
    assert runs.result("good-waiting") == 7


def call_each(runs):
    """Make each call on each run that is damaged."""

    def go_on(id):
        with runs.resume(id) as run:
            run.finish(program(run))

    for id in ("bad-done", "bad-running", "bad-waiting", "bad-waiting~6.0", "bad-waiting-fork"):
        attempt(
            *(partial(call, id) for call in (runs.get, runs.result, runs.history)),
            partial(runs.history, id, limit=1, reverse=True),
            *(partial(go_on, id), partial(runs.signal, id, "answer", 8), partial(go_on, id)),
            *(partial(runs.fork, id, at=1), partial(runs.retry, id), partial(runs.cancel, id)),
        )
    all_of_runs(runs)


def test_a_damaged_record_of_a_run_is_an_error_that_stops_no_other():
    number = 0
    for store, clock, damage in damaged_one_by_one(begin_runs, RUNS, lambda key: "bad" in key):
        check_others(store, clock, damage)
        call_each(store.agent("u", "agent").runs)
        number += 1
    assert number > 50


def test_keys_that_no_run_has_stop_nothing():
    when = "2020-01-01T00:00:00.000000Z"
    strange = [
        *(
            "w/x",
            "w//",
            f"w/{when}/%",
            f"w/{when}/a/b/c",
            f"w/{when}/bad-running/x",
            "h/",
            "h/%",
            "h/a/%zz",
            "l/done/%",
        ),
        *(
            "l/waiting/a/b",
            "d/x",
            f"d/{when}/%",
            f"x/{when}/",
            f"k/{when}/%",
            "j/bad-running/x",
            "j/bad-done/00000000000x",
        ),
        *("c/bad-waiting/%", "p/%"),
    ]
    for key in strange:
        clock = Clock()
        with datastore.connect("memory://", clock=clock, tracking="off") as store:
            begin_runs(store, clock)
            write(store, RUNS + encode_key(key), {"status": "done", "entry": 1, "at": when})
            check_others(store, clock, key)
            call_each(store.agent("u", "agent").runs)


def test_a_damaged_lease_of_a_run_keeps_that_run_alone():
    for store, clock, damage in damaged_one_by_one(begin_runs, LEASES):
        runs = store.agent("u", "agent").runs
        clock.advance(2 * DAY)
        assert {"good-running", "bad-running"} & set(runs.due()), damage
        for id in runs.due():
            attempt(partial(runs.resume, id))


def test_a_run_whose_head_is_damaged_is_due_again_when_it_is_mended():
    """Its hint is kept, however long that takes."""
    clock = Clock()
    with datastore.connect("memory://", clock=clock) as store:
        runs = store.agent("u", "agent").runs
        runs.start("run", lease=30)
        head = next(one for one in documents(store, RUNS) if one.id.endswith(encode_key(keys.head("run"))))
        write(store, head.id, {"status": 5})
        clock.advance(2 * DAY)
        assert (runs.due(), runs.due()) == ([], [])
        write(store, head.id, head.value)
        assert runs.due() == ["run"]
        write(store, head.id, {"status": 5})
        with pytest.raises(DamagedRecordError, match=re.escape(head.id)):
            runs.resume("run")
        clock.advance(DAY)
        assert backend_of(store).write([Delete(head.id, at(0))])[0].done
        with runs.resume("run") as run:
            run.finish("as before")
        assert (runs.get("run").status, runs.result("run")) == ("done", "as before")


# -------------------------------------------------------------------------------------------------- blobs and reminders


def heads_and_marks(store, user):
    found = [decode_key(split_id(one.id)[1]) for one in documents(store, area_prefix(f"{user}:default:", "blobs"))]
    return [key for key in found if not key.startswith("data/")]


def begin_blobs(store, clock):
    for user in ("u", "v"):
        blobs = store.agent(user, "agent").blobs
        blobs.put("plain", b"old", grace=60)
        blobs.put("plain", b"new", grace=60)
        blobs.put("brief", b"brief", ttl=60)


def read(blobs, name):
    with blobs.open(name) as file:
        return file.read()


def check_purge(store, clock, damage):
    """Check that a purge of all users removes what is due of the one in which nothing is damaged, sooner or later."""
    clock.advance(2 * DAY)
    for _ in range(3):
        store.purge_expired()
        clock.advance(DAY)
    assert heads_and_marks(store, "v") == ["head/plain"], damage
    assert len(documents(store, area_prefix("v:default:", "blobs"))) == 2, damage
    assert store.agent("v", "agent").blobs.get("plain") == b"new"


def test_a_damaged_record_of_a_blob_stops_no_purge():
    number = 0
    for store, clock, damage in damaged_one_by_one(begin_blobs, BLOBS, lambda key: not key.startswith("data/")):
        check_purge(store, clock, damage)
        blobs, agent = store.agent("u", "agent").blobs, store.agent("u", "agent")
        for name in ("plain", "brief"):
            attempt(
                *(partial(blobs.get, name), partial(read, blobs, name), blobs.list, partial(blobs.stat, name)),
                *(partial(blobs.put, name, b"again"), agent.purge_expired, partial(blobs.delete, name, grace=0)),
            )
        number += 1
    assert number > 20


def test_a_damaged_reminder_stops_no_purge():
    """What it was to remind of is found by the purge of that user."""
    for store, clock, damage in damaged_one_by_one(begin_blobs, REMINDERS, lambda key: key != "~used"):
        clock.advance(2 * DAY)
        assert store.purge_expired() >= 2, damage
        for user in ("u", "v"):
            store.purge_expired(user)
            assert heads_and_marks(store, user) == ["head/plain"], damage


def test_a_reminder_of_a_newer_version_is_left_to_that():
    clock = Clock()
    with datastore.connect("memory://", clock=clock) as store:
        begin_blobs(store, clock)
        newer = REMINDERS + encode_key("2020-01-01T00:00:00.000000Z x")
        value = {"area": "logs", "userId": "u", "namespace": "default"}
        write(store, newer, value)
        check_purge(store, clock, "newer")
        assert [one.value for one in documents(store, newer)] == [value]


def test_an_area_that_cannot_be_swept_stops_no_other():
    """Its vectors cannot be read."""
    clock = Clock()
    with datastore.connect("memory://", clock=clock) as store:
        begin_blobs(store, clock)
        memory = store.agent("a", "agent").memory
        memory.add("text", key="key", vector=[1.0, 2.0])
        memory.edit("key", vector=[1.0, 3.0])
        for one in documents(store, area_prefix("a:default:", "vectors")):
            write(store, one.id, {"x": 5})
        check_purge(store, clock, "vectors")


# ---------------------------------------------------------------------------------------------------------------- logs


def begin_logs(store, clock):
    agent = store.agent("u", "agent")
    for name in ("a", "bad", "c"):
        agent.log(name).append(1, 2, 3)
        agent.log(name).append(4)


def test_a_damaged_record_of_a_log_stops_no_other():
    for store, _, damage in damaged_one_by_one(begin_logs, LOGS, lambda key: key.startswith("bad")):
        agent = store.agent("u", "agent")
        assert [name for name in agent.list_logs() if name != "bad"] == ["a", "c"], damage
        log = agent.log("bad")
        attempt(log.read, log.last, partial(log.read, after=2), partial(log.append, 5), partial(log.trim, before=3))
        attempt(log.clear)
        assert len(agent.log("c").read()) == 4


@pytest.mark.parametrize("key", ["", "x", "b:0000000000000000", "%zz:0000000000000001", "%zz:000000000000000x"])
def test_keys_that_no_log_has_hide_no_log(key):
    with datastore.connect("memory://") as store:
        begin_logs(store, None)
        with suppress(KeyExistsError):
            write(store, LOGS + encode_key(key or "~"), 5)
        assert set(store.agent("u", "agent").list_logs()) >= {"a", "bad", "c"}
