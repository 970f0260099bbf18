"""Stores opened for reading only: everything can be read, nothing written, and what cannot be is said at once."""

from __future__ import annotations

import datetime
import inspect
import logging

import pytest

import datastore
from datastore import DataStore, PermissionDeniedError
from datastore.agent import AgentDataStore
from datastore.backend import ABILITIES, Backend
from datastore.conformance.faults import backend_of
from datastore.moving import copy, digest_of, export_records, import_records
from datastore.reading import _CHANGING, _PASSED_ON, ReadOnlyBackend

WRITES = {
    "set": lambda ann: ann.set("plan", 2),
    "set new": lambda ann: ann.set("new", 1),
    "set if": lambda ann: ann.set("plan", 2, if_revision=ann.get_record("plan").revision),
    "add": lambda ann: ann.add("new", 1),
    "create": lambda ann: ann.create(1),
    "set_many": lambda ann: ann.set_many({"a": 1, "b": 2}),
    "delete": lambda ann: ann.delete("plan"),
    "delete_many": lambda ann: ann.delete_many(["plan"]),
    "clear": lambda ann: ann.clear(),
    "clear prefix": lambda ann: ann.clear("p"),
    "increment": lambda ann: ann.increment("n"),
    "append": lambda ann: ann.append("list", 1),
    "modify": lambda ann: ann.modify("plan", lambda value: value),
    "update": lambda ann: ann.update("plan", {"$set": {"x": 1}}),
    "delete_where": lambda ann: ann.delete_where({"goal": "sell"}),
    "touch": lambda ann: ann.touch("plan", ttl=60),
    "get touch": lambda ann: ann.get("plan", touch=60),
    "pop": lambda ann: ann.pop("plan"),
    "add_many": lambda ann: ann.add_many({"new": 1}),
    "claim": lambda ann: ann.claim({"goal": "sell"}, ttl=60),
    "find_one_and_update": lambda ann: ann.find_one_and_update({"goal": "sell"}, {"x": 1}),
    "get_or_set": lambda ann: ann.get_or_set("new", lambda: 1),
    "lease": lambda ann: ann.lease("work"),
    "lock": lambda ann: ann.lock("work").__enter__(),
    "memory add": lambda ann: ann.memory.add("text", vector=[1.0, 2.0]),
    "vector_vault add": lambda ann: ann.vector_vault("default").add("text"),
    "runs start": lambda ann: ann.runs.start("run"),
    "purge_expired": lambda ann: ann.purge_expired(),
    "update_where": lambda ann: ann.update_where({"goal": "sell"}, {"x": 1}),
    "log_append": lambda ann: ann.log_append("events", 1),
    "log_trim": lambda ann: ann.log("events").clear(),
}
STORE_WRITES = {
    "purge": lambda store: store.purge_expired(),
    "forget": lambda store: store.forget("ann"),
    "index": lambda store: store.ensure_index(["goal"]),
}


@pytest.fixture(params=["", "?isolation=database"], ids=["shared", "isolated"])
def url(request, tmp_path):
    url = f"sqlite:///{tmp_path}/a.db{request.param}"
    with datastore.connect(url) as store:
        ann = store.agent("ann", "a")
        ann.set_many({"plan": {"goal": "sell"}, "n": 1, "list": [], "gone": 1})
        ann.log("events").append("begun")
        ann.set("gone", 1, ttl=datetime.timedelta(microseconds=1))
    return url


@pytest.fixture
def read_only(url):
    with datastore.connect(url, mode="ro") as store:
        yield store


def test_everything_can_be_read(read_only):
    ann = read_only.agent("ann", "reader")
    assert ann.get("plan") == {"goal": "sell"}
    assert ann.get_many(["n", "list", "no"]) == {"n": 1, "list": []}
    assert ann.list_keys() == ["list", "n", "plan"]
    assert ann.count() == 3
    assert ann.count({"goal": "sell"}) == 1
    assert ann.find({"goal": "sell"}) == {"plan": {"goal": "sell"}}
    assert ann.list_namespaces() == ["default"]
    assert (ann.list_logs(), ann.log("events").last()[0].value) == (["events"], "begun")
    assert [record.key for record in ann.iter_records()] == ["list", "n", "plan"]
    with datastore.connect("memory://") as target:
        assert copy(read_only, target).written == 4  # with the entry of the log
        assert digest_of(target) == digest_of(read_only)


@pytest.mark.parametrize("call", WRITES)
def test_no_call_of_an_agent_writes(url, read_only, call):
    before = digest_of(read_only)
    with pytest.raises(PermissionDeniedError, match=r"opened for reading only \(mode=ro\), and nothing was written"):
        WRITES[call](read_only.agent("ann", "a"))
    assert digest_of(read_only) == before


@pytest.mark.parametrize("call", STORE_WRITES)
def test_no_call_of_the_store_writes(url, read_only, call):
    nowhere = "isolation" in url and call == "index"
    error = datastore.UnsupportedError if nowhere else PermissionDeniedError
    with pytest.raises(error, match="no indexes" if nowhere else "opened for reading only"):
        STORE_WRITES[call](read_only)
    assert read_only.agent("ann", "a").count() == 3


def test_no_tenant_s_database_is_dropped_or_made(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db?isolation=database&mode=ro"
    with datastore.connect(url.replace("&mode=ro", "")) as store:
        store.agent("ann", "a").set("plan", 1)
    before = sorted(tmp_path.iterdir())
    with datastore.connect(url) as store:
        assert store.tenants() == ["ann"]
        assert store.agent("bob", "b").list_keys() == []
        with pytest.raises(PermissionDeniedError):
            store.drop_tenant("ann", confirm="ann")
        with pytest.raises(PermissionDeniedError):
            store.agent("bob", "b").set("plan", 1)
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_is_imported_or_copied_into_it(read_only, tmp_path):
    with datastore.connect("memory://") as source:
        source.agent("ann", "a").set("other", 1)
        export_records(source, tmp_path / "out.jsonl")
        for move in (lambda: copy(source, read_only), lambda: import_records(tmp_path / "out.jsonl", read_only)):
            with pytest.raises(PermissionDeniedError):
                move()


@pytest.mark.parametrize("tracking", ["deferred", "immediate"])
def test_reads_are_not_counted_and_nothing_is_said_of_it(url, caplog, tracking):
    with (
        caplog.at_level(logging.DEBUG, "datastore"),
        datastore.connect(url, mode="ro", tracking=tracking, flush_interval=0.001) as store,
    ):
        for _ in range(3):
            store.agent("ann", "reader").get("plan")
        store.flush()
        assert store.agent("ann", "reader").get_record("plan").access_count == 0
    assert caplog.records == []


def test_it_has_the_abilities_of_the_backend_and_no_others(url, read_only):
    with datastore.connect(url) as store:
        ours, theirs = backend_of(read_only), backend_of(store)
    assert isinstance(ours, ReadOnlyBackend)
    assert ours.capabilities == theirs.capabilities
    assert len(ours.capabilities.abilities) >= 10
    for ability in ABILITIES:
        own = getattr(ours, ability).__func__ is not getattr(Backend, ability)
        assert own is theirs.capabilities.supports(ability), ability


def test_every_method_that_an_adapter_may_have_is_known_to_write_or_not():
    """A new ability that writes must be refused here as well."""
    passed_on = {
        "namespaces",
        "users",
        "namespace_stats",
        "count",
        "find",
        "nearest",
        "all_documents",
        "database",
        "tenants",
        "read_at_once",
        *_PASSED_ON,
    }
    in_its_own_way = {"write", "record_access", "close", "overridden"}
    methods = {name for name in vars(Backend) if not name.startswith("_")}
    assert methods == passed_on | _CHANGING | in_its_own_way


def test_any_store_can_be_opened_so():
    with datastore.connect("memory://?mode=ro") as store:
        assert store.agent("ann", "a").list_keys() == []
        with pytest.raises(PermissionDeniedError, match="writing 'plan' of namespace 'default' on memory"):
            store.agent("ann", "a").set("plan", 1)


def test_nothing_is_created_whatever_else_the_url_says(tmp_path):
    for more in ("", "&create=true"):
        with pytest.raises(datastore.ConfigurationError, match="does not exist, and mode=ro creates no file"):
            datastore.connect(f"sqlite:///{tmp_path}/a.db?mode=ro{more}")
    assert list(tmp_path.iterdir()) == []


def test_for_writing_is_what_a_store_is_opened_without_it(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/a.db?mode=rw") as store:
        store.agent("ann", "a").set("plan", 1)


def test_this_file_knows_every_call_that_writes():
    """So that a new one gets a line above."""
    reads = {
        "get", "get_record", "get_many", "get_all", "exists", "list_keys", "list_namespaces", "use_namespace", "scan",
        "first", "last", "iter_records", "get_records", "find_in", "namespace_stats", "find", "find_records", "count",
        "explain", "agent", "namespace", "user_id", "backend", "key_value", "vault", "blobs", "asynchronous",
        "log", "log_read", "list_logs",
    }  # fmt: skip
    calls = {name for name, _ in inspect.getmembers(AgentDataStore) if not name.startswith("_")}
    assert calls - reads | {"get"} == {name.partition(" ")[0] for name in WRITES}
    of_the_store = {name for name, _ in inspect.getmembers(DataStore) if not name.startswith("_")}
    reads = {
        "backend", "capabilities", "agent", "host", "users", "records", "flush", "tenants", "close", "drop_tenant",
        "asynchronous", "tokens", "health",
    }  # fmt: skip
    assert of_the_store - reads == {"purge_expired", "forget", "ensure_index"}
    assert issubclass(ReadOnlyBackend, Backend)
