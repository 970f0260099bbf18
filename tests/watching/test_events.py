"""What a host is told of each call: one event, with what was done, by whom and for whom, and never a value."""

import contextlib
import gc
import inspect
import json
import logging
import threading
from collections import Counter
from dataclasses import fields
from datetime import UTC, datetime

import pytest

import datastore
from datastore import AgentDataStore, CallEvent, ConfigurationError, Item, PermissionDeniedError
from datastore.conformance.calls import CALLS
from datastore.measuring import MEASURES, STEPS
from datastore.watching import calls_of, tell, watch

SECRET = "s3cr3t-value"


@pytest.fixture
def events():
    return []


@pytest.fixture
def store(events):
    with datastore.connect("memory://", on_call=events.append) as store:
        yield store


@pytest.fixture
def ann(store, events):
    data_store = store.agent("ann", "planner")
    data_store.set("plan", {"goal": "sell"})
    data_store.set("list", [])
    events.clear()
    return data_store


def told(events):
    """What the events say, without times, and empty the list."""
    found = [(one.call, one.key, one.keys, one.found, one.bytes, one.error) for one in events]
    events.clear()
    return found


def test_an_event_says_who_did_what_where_and_when(events):
    with datastore.connect("memory://", on_call=events.append, clock=lambda: 1_000_000_000.5) as store:
        store.agent("ann", "planner", "notes").set("plan", {"goal": "sell"})
    (event,) = events
    assert event.duration > 0
    assert event == CallEvent(
        time=datetime(2001, 9, 9, 1, 46, 40, 500_000, UTC),
        token=None,
        user="ann",
        agent="planner",
        call="set",
        namespace="notes",
        key="plan",
        keys=None,
        found=None,
        bytes=len('{"goal":"sell"}'),
        duration=event.duration,
        error=None,
    )


SIZE = len('{"goal":"sell"}')
COMES_TO = {
    "get": (lambda ann: ann.get("plan"), ("get", "plan", None, 1, SIZE, None)),
    "get, with a type": (lambda ann: ann.get("plan", type=dict[str, str]), ("get", "plan", None, 1, SIZE, None)),
    "get, by name": (lambda ann: ann.get(key="plan"), ("get", "plan", None, 1, SIZE, None)),
    "get, and nothing is there": (lambda ann: ann.get("no", 7), ("get", "no", None, 0, 0, None)),
    "get, the default is what is stored": (
        lambda ann: ann.get("list", []),
        ("get", "list", None, 1, 2, None),
    ),
    "get_record": (lambda ann: ann.get_record("plan"), ("get_record", "plan", None, 1, SIZE, None)),
    "get_record, of nothing": (lambda ann: ann.get_record("no"), ("get_record", "no", None, 0, 0, None)),
    "set": (lambda ann: ann.set("new", "é"), ("set", "new", None, None, 4, None)),
    "set, beyond 64 bits": (lambda ann: ann.set("new", 2**64), ("set", "new", None, None, 21, None)),
    "add": (lambda ann: ann.add("new", 12), ("add", "new", None, None, 2, None)),
    "exists": (lambda ann: ann.exists("plan"), ("exists", "plan", None, 1, 0, None)),
    "in": (lambda ann: "no" in ann, ("exists", "no", None, 0, 0, None)),
    "delete": (lambda ann: ann.delete("plan"), ("delete", "plan", None, 1, 0, None)),
    "delete, of nothing": (lambda ann: ann.delete("no"), ("delete", "no", None, 0, 0, None)),
    "pop": (lambda ann: ann.pop("plan"), ("pop", "plan", None, 1, SIZE, None)),
    "pop, of nothing": (lambda ann: ann.pop("no", {}), ("pop", "no", None, 0, 0, None)),
    "touch": (lambda ann: ann.touch("plan", ttl=60), ("touch", "plan", None, 1, 0, None)),
    "modify": (lambda ann: ann.modify("plan", lambda value: 1), ("modify", "plan", None, None, 1, None)),
    "increment": (lambda ann: ann.increment("n", 123), ("increment", "n", None, None, 3, None)),
    "append": (lambda ann: ann.append("list", 1, 2), ("append", "list", None, None, 5, None)),
    "update": (lambda ann: ann.update("plan", {"goal": "b"}), ("update", "plan", None, None, 12, None)),
    "get_many": (lambda ann: ann.get_many(["plan", "no"]), ("get_many", None, 2, 1, SIZE, None)),
    "get_many, of an iterator": (
        lambda ann: ann.get_many(iter(["plan", "no", "list"])),
        ("get_many", None, 3, 2, SIZE + 2, None),
    ),
    "get_many, by name": (
        lambda ann: ann.get_many(keys=(key for key in ["plan", "no"])),
        ("get_many", None, 2, 1, SIZE, None),
    ),
    "get_records": (lambda ann: ann.get_records({"plan"}), ("get_records", None, 1, 1, SIZE, None)),
    "delete_many": (lambda ann: ann.delete_many(("plan", "no")), ("delete_many", None, 2, 1, 0, None)),
    "set_many": (lambda ann: ann.set_many({"a": 1, "b": "xy"}), ("set_many", None, 2, None, 5, None)),
    "add_many": (
        lambda ann: ann.add_many(Item(f"{n}", n, namespace="far") for n in range(3)),
        ("add_many", None, 3, None, 3, None),
    ),
    "get_all": (lambda ann: ann.get_all(), ("get_all", None, None, 2, SIZE + 2, None)),
    "list_keys": (lambda ann: ann.list_keys(), ("list_keys", None, None, 2, 0, None)),
    "scan": (lambda ann: ann.scan(limit=1), ("scan", None, None, 1, 2, None)),
    "first": (lambda ann: ann.first(), ("first", "list", None, 1, 2, None)),
    "last": (lambda ann: ann.last("no"), ("last", None, None, 0, 0, None)),
    "clear": (lambda ann: ann.clear(), ("clear", None, None, 2, 0, None)),
    "find": (lambda ann: ann.find({"goal": "sell"}), ("find", None, None, 1, SIZE, None)),
    "find, in part": (lambda ann: ann.find(fields=["no"]), ("find", None, None, 2, SIZE + 2, None)),
    "find_records": (lambda ann: ann.find_records(limit=1), ("find_records", None, None, 1, 2, None)),
    "find_in": (lambda ann: ann.find_in("d"), ("find_in", None, None, 2, SIZE + 2, None)),
    "count": (lambda ann: ann.count({"goal": "sell"}), ("count", None, None, 1, 0, None)),
    "explain": (lambda ann: ann.explain({"goal": "sell"}), ("explain", None, None, None, 0, None)),
    "delete_where": (lambda ann: ann.delete_where({"goal": "sell"}), ("delete_where", None, None, 1, 0, None)),
    "update_where": (
        lambda ann: ann.update_where({"goal": "sell"}, {"goal": "b"}),
        ("update_where", None, None, 1, 12, None),
    ),
    "claim": (lambda ann: ann.claim({"goal": "x"}, ttl=60), ("claim", None, None, 0, 0, None)),
    "find_one_and_update": (
        lambda ann: ann.find_one_and_update({"goal": "sell"}, {"goal": "b"}),
        ("find_one_and_update", "plan", None, 1, 12, None),
    ),
    "get_or_set, it is there": (
        lambda ann: ann.get_or_set("plan", dict),
        ("get_or_set", "plan", None, 1, SIZE, None),
    ),
    "get_or_set, it is computed": (
        lambda ann: ann.get_or_set("new", dict),
        ("get_or_set", "new", None, 0, 2, None),
    ),
    "lease": (lambda ann: ann.lease("work"), ("lease", "work", None, None, 0, None)),
    "list_namespaces": (lambda ann: ann.list_namespaces(), ("list_namespaces", None, None, 1, 0, None)),
    "namespace_stats": (lambda ann: ann.namespace_stats(), ("namespace_stats", None, None, 1, 0, None)),
    "purge_expired": (lambda ann: ann.purge_expired(), ("purge_expired", None, None, 0, 0, None)),
    "log_append": (lambda ann: ann.log_append("log", "é", 2**64), ("log_append", "log", None, None, 28, None)),
    "log_append, through the object": (
        lambda ann: ann.log("log").append("a"),
        ("log_append", "log", None, None, 3, None),
    ),
    "log_read": (lambda ann: ann.log("other").last(), ("log_read", "other", None, 0, 0, None)),
    "log_trim": (lambda ann: ann.log("other").clear(), ("log_trim", "other", None, 0, 0, None)),
    "list_logs": (lambda ann: ann.list_logs(), ("list_logs", None, None, 0, 0, None)),
    "iter_records": (lambda ann: list(ann.iter_records()), ("iter_records", None, None, 2, SIZE + 2, None)),
}


@pytest.mark.parametrize("case", COMES_TO)
def test_what_a_call_comes_to(ann, events, case):
    call, expected = COMES_TO[case]
    call(ann)
    assert told(events) == [expected]


def test_a_new_record_is_told_of_with_its_key(ann, events):
    key = ann.create({"a": 1}, prefix="job-")
    assert told(events) == [("create", key, None, None, 7, None)]


def test_every_call_has_a_line_that_says_what_it_comes_to():
    calls = set(calls_of(AgentDataStore))
    beside = {name for name in MEASURES if name.startswith(("blob_", "memory_", "run_"))}  # see test_beside
    assert set(MEASURES) - beside - set(STEPS) == calls | {"use_namespace", "lock", "lease_renew", "lease_release"}
    assert {name.partition(",")[0] for name in COMES_TO} - {"in"} == calls - {"create"}


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"lease", "lock"}))  # each of them is released, too
def test_each_call_of_the_kit_is_one_event(ann, events, name):
    try:
        CALLS[name](ann)
    except datastore.DataStoreError as error:
        expected = type(error).__name__
    else:
        expected = None
    (event,) = events
    assert event.call == {"in": "exists"}.get(name, name.partition("-")[0])
    assert event.error == expected


def test_calls_about_several_namespaces_are_about_no_one_of_them(ann, events):
    ann.find_in("")
    list(ann.iter_records(namespace_prefix=""))
    list(ann.iter_records())
    ann.namespace_stats()
    assert [event.namespace for event in events] == [None, None, "default", None]


class SomethingOfTheAgentsError(Exception):
    pass


FAILS = {
    "KeyExistsError": lambda ann: ann.add("plan", 1),
    "ConflictError": lambda ann: ann.set("plan", 1, if_revision="x"),
    "InvalidValueError": lambda ann: ann.set("plan", {1, 2}),
    "InvalidNameError": lambda ann: ann.get_many(iter(["plan", ""])),
    "QueryError": lambda ann: ann.find({"$no": 1}),
    "SomethingOfTheAgentsError": lambda ann: ann.modify("plan", _raising),
    "TypeError": lambda ann: ann.get("plan", 1, 2, 3),
}


def _raising(value):
    raise SomethingOfTheAgentsError


@pytest.mark.parametrize("error", FAILS)
def test_an_error_is_told_by_its_name_and_reaches_the_caller(ann, events, error):
    with pytest.raises(Exception) as raised:
        FAILS[error](ann)
    assert type(raised.value).__name__ == error
    (event,) = events
    assert (event.error, event.found, event.bytes) == (error, None, 0)


def test_what_a_stream_fails_with_is_told(ann, events):
    with pytest.raises(datastore.QueryError):
        ann.iter_records(limit=0)
    assert told(events) == [("iter_records", None, None, None, 0, "QueryError")]
    records = ann.iter_records()
    next(records)
    ann.set("list", 1)
    assert told(events) == [("set", "list", None, None, 1, None)]
    with datastore.connect("memory://", on_call=events.append) as store:
        store.agent("bob", "b").set_many({"a": 1, "b": 2})
        records = store.agent("bob", "b").iter_records()
        next(records)
        events.clear()
    with pytest.raises(datastore.ClosedError):
        next(records)
    assert told(events) == [("iter_records", None, None, None, 0, "ClosedError")]


def test_a_stream_that_is_given_up_is_told_of_then(ann, events):
    for record in ann.iter_records():
        assert record.key == "list"
        break
    del record
    gc.collect()
    assert told(events) == [("iter_records", None, None, 1, 2, None)]


def test_a_stream_that_nobody_has_read_from_is_no_call(ann, events):
    ann.iter_records()
    gc.collect()
    assert events == []


def test_what_a_function_of_the_agent_calls_is_told_of_as_well(ann, events):
    ann.modify("plan", lambda value: ann.get("list"))
    assert told(events) == [("get", "list", None, 1, 2, None), ("modify", "plan", None, None, 2, None)]


def test_a_vault_and_a_key_value_store_are_told_of_by_the_calls_that_they_make(ann, events):
    ann.vault.store("people", {"name": "Ann"}, "a")
    ann.key_value.insert("k", 1, "job")
    assert ann.key_value.pop("no") is None
    assert not ann.vault.update("people", "b", {"name": "Bob"})
    assert [(event.call, event.namespace, event.key, event.found, event.error) for event in events] == [
        ("set", "people", "a", None, None),
        ("set", "kv!default!job", "k", None, None),
        ("modify", "kv!default", "no", 0, None),
        ("modify", "people", "b", 0, None),
    ]


def test_the_host_is_told_of_what_it_does_itself(store, events):
    store.host("ann").set("plan", 1)
    assert [(event.agent, event.user, event.key) for event in events] == [("", "ann", "plan")]


def test_a_token_is_told_by_its_label_and_by_nothing_else(store, events):
    token = store.tokens.mint("ann", "planner", grants={"default": "write"}, label="run 7")
    store.tokens.agent(token).use_namespace("default").set("plan", 1)
    (event,) = events
    assert event.token == "run 7"
    assert token not in repr(event)
    assert token[4:14] not in repr(event)


def test_what_grants_refuse_is_told(store, events):
    limited = store.agent("ann", "planner", grants={"default": "read"}, quota=datastore.Quota(records=1))
    for call in (
        lambda: limited.set("plan", 1),
        lambda: limited.modify("plan", lambda value: 1),
        lambda: limited.use_namespace("secret"),
        lambda: limited.vault.retrieve("secret", "a"),
    ):
        with pytest.raises(PermissionDeniedError):
            call()
    assert limited.use_namespace("default").list_namespaces() == []
    assert [(event.call, event.namespace, event.error) for event in events] == [
        ("set", "default", "PermissionDeniedError"),
        ("modify", "default", "PermissionDeniedError"),
        ("use_namespace", "secret", "PermissionDeniedError"),
        ("use_namespace", "secret", "PermissionDeniedError"),
        ("list_namespaces", None, None),
    ]


def test_what_a_quota_refuses_is_told(store, events):
    limited = store.agent("ann", "planner", quota=datastore.Quota(records=1))
    limited.set("a", 1)
    with pytest.raises(datastore.QuotaExceededError):
        limited.set("b", 1)
    assert told(events) == [("set", "a", None, None, 1, None), ("set", "b", None, None, 0, "QuotaExceededError")]


def test_no_value_no_metadata_and_nothing_of_a_filter_is_told(store, events, caplog):
    caplog.set_level(logging.INFO, "datastore.audit")
    ann = store.agent("ann", "planner")
    for call in (
        lambda: ann.set("k", SECRET, {"m": SECRET}),
        lambda: ann.get("k", SECRET),
        lambda: ann.find({"a": SECRET}, meta={"metadata.m": SECRET}),
        lambda: ann.modify("k", lambda value: value + SECRET),
        lambda: ann.set("k", {SECRET, 1}),
        lambda: ann.update("k", {"$set": {"a.b": SECRET}}),
        lambda: ann.find({f"${SECRET}": 1}),
        lambda: list(ann.iter_records()),
        lambda: ann.claim({"a": SECRET}, ttl=3),
        lambda: ann.vault.store("c", {"x": SECRET}),
    ):
        with contextlib.suppress(datastore.DataStoreError):
            call()
    assert len(events) == 10
    for event in events:
        datastore.audit(event)
    assert SECRET not in repr(events) + caplog.text


NAMES = {
    "too long": ("k" * 600, "k" * 512 + "…"),
    "no text": (7, None),
    "not unicode": ("a\ud800", "a\\ud800"),
    "a subclass": (type("Odd", (str,), {"__str__": lambda self: "x", "__repr__": lambda self: "x"})("plan"), "plan"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_key_of_any_kind_can_be_told(ann, events, case):
    key, expected = NAMES[case]
    with contextlib.suppress(datastore.InvalidNameError):
        ann.get(key)
    (event,) = events
    assert event.key == expected
    assert type(event.key) in (str, type(None))


def test_an_event_leads_to_no_object_of_the_store():
    assert {field.type for field in fields(CallEvent)} == {
        "datetime", "str | None", "str", "int | None", "int", "float",
    }  # fmt: skip


# --------------------------------------------------------------------------------------------- the host's function


def test_what_the_host_s_function_raises_affects_no_call_and_is_logged_once(caplog):
    told = []

    def failing(event):
        told.append(event.call)
        raise RuntimeError("a fault of the host")

    with datastore.connect("memory://", on_call=failing) as store:
        ann = store.agent("ann", "a")
        ann.set("k", 1)
        assert ann.get("k") == 1
        with pytest.raises(datastore.KeyExistsError):
            ann.add("k", 1)
    assert told == ["set", "get", "add"]
    (record,) = caplog.records
    assert record.name == "datastore"
    assert "on_call raised an error" in record.message
    assert record.exc_info[0] is RuntimeError


def test_an_interrupt_in_the_host_s_function_is_not_caught(events):
    def interrupted(event):
        raise KeyboardInterrupt

    with datastore.connect("memory://", on_call=interrupted) as store:
        ann = store.agent("ann", "a")
        with pytest.raises(KeyboardInterrupt):
            ann.set("k", 1)
        with pytest.raises(KeyboardInterrupt):  # and the next call is told of all the same
            ann.get("k")


def test_what_the_host_s_function_calls_is_told_to_nobody():
    told = []

    def noting(event):
        told.append(event.call)
        log.append("calls", event.call)

    with datastore.connect("memory://", on_call=noting) as store:
        log = store.agent("host", "audit")
        ann = store.agent("ann", "a")
        ann.set("k", 1)
        ann.modify("k", lambda value: ann.get("k"))
        assert told == ["set", "get", "modify"]
        with datastore.connect("memory://") as other:
            assert other.agent("ann", "a").get("k") is None
        assert log.get("calls") == ["set", "get", "modify"]


def test_what_the_host_s_function_stores_is_not_counted_for_a_call_that_goes_on():
    told = []

    def noting(event):
        told.append((event.call, event.bytes))
        log.set(event.call, "x" * 1_000)

    with datastore.connect("memory://", on_call=noting) as store:
        log = store.agent("host", "audit")
        ann = store.agent("ann", "a")
        ann.modify("k", lambda value: ann.exists("k"))
    assert told == [("exists", 0), ("modify", len("false"))]


def test_threads_are_told_of_each_for_itself(store, events):
    def work(number):
        mine = store.agent(f"user-{number}", "a")
        for _ in range(50):
            mine.increment("n", number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter((event.user, event.call, event.error) for event in events) == {
        (f"user-{number}", "increment", None): 50 for number in range(4)
    }


@pytest.mark.parametrize("wrong", [7, "audit", [], False])
def test_what_cannot_be_called_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"on_call is an? .*; it must be a function that takes a CallEvent"):
        datastore.connect("memory://", on_call=wrong)


def test_a_store_that_nobody_watches_has_the_plain_class():
    """So there is nothing that its calls could cost."""
    with datastore.connect("memory://") as plain, datastore.connect("memory://", on_call=print) as watched:
        ann, bob = plain.agent("ann", "a"), watched.agent("bob", "b")
        assert type(ann) is AgentDataStore
        assert type(bob) is not AgentDataStore
        assert isinstance(bob, AgentDataStore)
        assert repr(bob) == repr(ann).replace("'ann'", "'bob'").replace("'a'", "'b'")
        for name, call in calls_of(AgentDataStore).items():
            assert inspect.signature(getattr(bob, name)) == inspect.signature(getattr(ann, name))
            assert getattr(bob, name).__doc__ == call.__doc__


# -------------------------------------------------------------------------------------------------- for a server


def test_a_store_that_is_open_can_be_watched_from_then_on(events):
    with datastore.connect("memory://") as store:
        before = store.agent("ann", "a")
        watch(store._core, events.append)
        store.tokens.agent(store.tokens.mint("ann", "a", label="x")).set("k", 1)
        before.get("k")
        assert [(event.token, event.call) for event in events] == [("x", "set")]


def test_all_who_watch_are_told(events):
    others = []
    with datastore.connect("memory://", on_call=events.append) as store:
        watch(store._core, others.append)
        store.agent("ann", "a").set("k", 1)
    assert len(events) == 1
    assert others == events


def test_what_a_server_has_refused_is_told_like_a_call(events):
    refused = CallEvent(
        datetime(2001, 9, 9, tzinfo=UTC), None, "", "", "get", None, None, None, None, 0, 0.1, "InvalidTokenError"
    )
    with datastore.connect("memory://") as unwatched:
        tell(unwatched._core, refused)
    with datastore.connect("memory://", on_call=events.append) as store:
        tell(store._core, refused)
    assert events == [refused]


# ------------------------------------------------------------------------------------------------------- the log


def test_the_audit_log_has_one_line_of_json_for_each_call(caplog):
    caplog.set_level(logging.INFO, "datastore.audit")
    with datastore.connect("memory://", on_call=datastore.audit) as store:
        store.agent("ann", "planner", "notes").set("a\nb\u2028\x85é", 1)
        with pytest.raises(datastore.InvalidNameError):
            store.agent("ann", "planner").get("")
    first, second = caplog.records
    assert (first.name, first.levelname) == ("datastore.audit", "INFO")
    assert len(first.message.splitlines()) == 1
    assert first.message.isascii()
    line = json.loads(first.message)
    assert line == first.datastore
    assert list(line) == [field.name for field in fields(CallEvent)]
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line.pop("duration") >= 0
    assert line == {
        "token": None,
        "user": "ann",
        "agent": "planner",
        "call": "set",
        "namespace": "notes",
        "key": "a\nb\u2028\x85é",
        "keys": None,
        "found": None,
        "bytes": 1,
        "error": None,
    }
    assert json.loads(second.message)["error"] == "InvalidNameError"


def test_nothing_is_logged_where_nobody_asks_for_it(caplog):
    caplog.set_level(logging.WARNING, "datastore.audit")
    with datastore.connect("memory://", on_call=datastore.audit) as store:
        store.agent("ann", "planner").set("k", 1)
    assert caplog.records == []
