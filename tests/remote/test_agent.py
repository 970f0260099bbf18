"""The agent's store in a sandbox: its requests, its streams, its errors, and what becomes of it in bad company."""

import asyncio
import copy
import gc
import inspect
import json
import math
import os
import pickle
import threading
import tracemalloc
from array import array
from datetime import timedelta

import pytest
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import Mount

import datastore
from datastore import (
    AgentDataStore,
    AsyncAgentDataStore,
    BackendUnavailableError,
    ClosedError,
    ConfigurationError,
    ConflictError,
    DataStoreError,
    DeadlineExceededError,
    EmbedderError,
    InternalError,
    InvalidNameTypeError,
    InvalidTokenError,
    InvalidValueError,
    KeyExistsError,
    NotPicklableError,
    PermissionDeniedError,
    QueryError,
    ValueTooLargeError,
)
from datastore.conformance.calls import CALLS
from datastore.remote.agent import RemoteAgentDataStore
from datastore.scope import scope_of
from datastore.server import create_app
from tests.patience import PATIENCE
from tests.remote.conftest import TOKEN
from tests.remote.relay import Relay
from tests.remote.scripted import END, answer, chunked
from tests.remote.serving import ServedStore, serving
from tests.remote.test_transport import in_a_child


@pytest.fixture
def store(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path / 'a.db'}", tracking="immediate") as store:
        yield store


# ---------------------------------------------------------------------------------------------------- what it is


def test_it_is_an_agents_store(data_store):
    assert isinstance(data_store, AgentDataStore)
    assert (data_store.user_id, data_store.agent, data_store.namespace) == ("ann", "planner", "default")
    assert repr(data_store) == "AgentDataStore(user_id='ann', agent='planner', namespace='default')"
    assert copy.deepcopy(data_store) is data_store
    with pytest.raises(NotPicklableError):
        pickle.dumps(data_store)


def test_no_attribute_leads_to_the_token(data_store, store, served):
    for name in dir(data_store):
        if not name.startswith("__"):
            assert "dst_" not in repr(getattr(data_store, name))


def test_its_calls_have_the_signatures_and_the_docstrings_of_those_in_process():
    for name, member in inspect.getmembers(AgentDataStore, inspect.isfunction):
        if not name.startswith("_") and name != "iter_records":
            there = getattr(RemoteAgentDataStore, name)
            assert inspect.signature(there) == inspect.signature(member), name
            assert there.__doc__ == member.__doc__, name


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda one: one.get(), "missing"),
        (lambda one: one.get("a", "b", "c"), "too many positional"),
        (lambda one: one.get("a", key="a"), "multiple values"),
        (lambda one: one.get("a", tpye=int), "unexpected keyword argument 'tpye'"),
        (lambda one: one.append("a", items=[1]), "unexpected keyword argument 'items'"),
        (lambda one: one.claim(), "missing"),
    ],
)
def test_arguments_that_a_call_does_not_take_are_a_type_error(data_store, requests, call, words):
    with pytest.raises(TypeError, match=words):
        call(data_store)
    assert requests == []


# ------------------------------------------------------------------------------------------------------- requests

SEVERAL = {
    "modify": ["modify_begin", "modify_end"],
    "get_or_set": ["compute_begin"],
    "in": ["exists"],
    "lease": ["lease_take", "lease_release"],
    "lock": ["lease_take", "lease_release"],
}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_each_call_is_one_request(data_store, requests, name):
    data_store.set_many({"key": 1, "other": 2, "list": [], "object": {"a": 1}})
    requests.clear()
    CALLS[name](data_store)
    assert requests == SEVERAL.get(name, [name.partition("-")[0]])


def test_computing_a_value_is_two(data_store, requests):
    assert data_store.get_or_set("key", lambda: 1) == 1
    assert requests == ["compute_begin", "compute_end"]


@pytest.mark.parametrize("make", [list, tuple, iter, dict])
def test_items_of_a_batch_may_be_given_in_any_form(data_store, make):
    """Those of `append` are a tuple, and are sent otherwise."""
    data_store.set_many(make((("key", 1), ("other", 2))))
    data_store.add_many(make((("new", 3),)))
    assert data_store.get_all() == {"key": 1, "new": 3, "other": 2}
    assert data_store.append("list", 1, ("a", 2)) == [1, ["a", 2]]


def test_a_type_costs_one_more_and_a_misfit_counts_no_access(data_store, requests):
    class Plan(BaseModel):
        goal: str

    data_store.set_many({"good": {"goal": "x"}, "bad": 1})
    requests.clear()
    assert data_store.get("good", type=Plan) == Plan(goal="x")
    assert data_store.get_many(["good"], type=Plan) == {"good": Plan(goal="x")}
    assert data_store.get("none", Plan(goal=""), type=Plan) == Plan(goal="")
    assert requests == ["get", "note", "get_many", "note", "get"]
    for call in (lambda: data_store.get("bad", type=Plan), lambda: data_store.get_all(type=Plan)):
        with pytest.raises(InvalidValueError, match="does not fit Plan"):
            call()
    assert {key: record.access_count for key, record in data_store.get_records(["good", "bad"]).items()} == {
        "good": 2,
        "bad": 0,
    }


def test_binding_a_namespace_and_the_other_interfaces_are_none(data_store, requests):
    data_store.use_namespace("other").vault  # noqa: B018 - that it makes no request
    data_store.key_value(scopes={"run": "1"})
    data_store.asynchronous.use_namespace("other")
    assert requests == []


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda one: one.set("key", {1}), InvalidValueError),
        (lambda one: one.set("key", "x" * 1_000_001), ValueTooLargeError),
        (lambda one: one.set(b"key", 1), InvalidNameTypeError),
        (lambda one: one.set("key", 1, {"a": {1}}), InvalidValueError),
        (lambda one: one.set("key", 1, ttl=float("nan")), InvalidValueError),
        (lambda one: one.set_many({"key": 1, "other": {1}}), InvalidValueError),
        (lambda one: one.get_many("key"), InvalidNameTypeError),
        (lambda one: one.find({"a": {1}}), QueryError),
        (lambda one: one.get("key", type="Plan"), InvalidValueError),
        (lambda one: one.modify("key", None), InvalidValueError),
        (lambda one: one.get_or_set("key", dict, lease=None), InvalidValueError),
        (lambda one: one.iter_records(limit=0), QueryError),
    ],
)
def test_what_json_cannot_carry_is_refused_here_with_the_error_of_the_call(data_store, store, requests, call, error):
    with pytest.raises(error) as there:
        call(data_store)
    assert requests == []
    with pytest.raises(error) as here:
        call(store.agent("ann", "planner"))
    assert str(there.value) == str(here.value)


def test_what_is_not_json_and_yet_good_arrives(data_store):
    class Key(str):
        pass

    data_store.set(Key("key"), (1, 2), ttl=timedelta(days=1))
    assert data_store.get_many(iter(["key"])) == {"key": [1, 2]}
    created = data_store.get_record("key").created_at
    assert data_store.count(meta={"createdAt": {"$gte": created}}) == 1
    assert data_store.count(meta={"createdAt": {"$gt": created}}) == 0
    data_store.add_many([datastore.Item("other", 1, ttl=timedelta(days=1), namespace="x"), ("third", {"a": 1})])
    assert data_store.use_namespace("x").get("other") == 1


# -------------------------------------------------------------------------------------------------------- streams


def test_a_stream_needs_memory_for_a_part_only(data_store, store):
    host = store.host("ann")
    for number in range(40):
        host.set_many({f"{number:02}-{one:02}": "x" * 10_000 for one in range(20)})
    tracemalloc.start()
    try:
        for number, _ in enumerate(data_store.iter_records()):
            if number == 20:  # what is imported or kept once is there
                tracemalloc.reset_peak()
                before, _ = tracemalloc.get_traced_memory()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert number == 799
    assert peak - before < 8_000_000 // 3  # the server's page is in this process, too


def test_a_stream_that_is_dropped_leaves_no_connection(scripted):
    whole = json.dumps({"userId": "ann", "agent": "a", "namespace": "default", "grants": None, "backend": "x"})
    record = {"id": "ann:default:P5KX", "createdAt": "2026-01-01T00:00:00.000000Z", "revision": "1", "expiresAt": None,
              "value": 1, "metadata": None, "createdByAgent": "a", "updatedAt": "2026-01-01T00:00:00.000000Z",
              "accessCount": 0, "lastAccessedByAgent": None, "lastAccessedAt": None, "updatedByAgent": "a"}  # fmt: skip
    line = json.dumps({"items": [record]}).encode() + b"\n"

    def script(request):
        if request.path == "/v1/iter_records":
            return iter([chunked(line)])
        return answer(b'{"result":%s}' % whole.encode())

    server = scripted(script)
    with datastore.connect(server.url, token=TOKEN) as data_store:
        records = data_store.iter_records()
        next(records)
        del records
        gc.collect()
        assert server.is_hung_up(0)


@pytest.mark.parametrize("end", [b"", b'{"items":[]}\n', b'{"end":{"items":7,"cursor":null}}\n'])
def test_a_listing_without_its_last_line_is_no_listing(scripted, end):
    who = json.dumps({"userId": "ann", "agent": "a", "namespace": "default", "grants": None, "backend": "x"})

    def script(request):
        if request.path == "/v1/whoami":
            return answer(b'{"result":%s}' % who.encode())
        return chunked(b'{"items":["a"]}\n', *([end] if end else [])) + END

    with datastore.connect(scripted(script).url, token=TOKEN, retry_seconds=0) as data_store:
        with pytest.raises((BackendUnavailableError, InternalError)):
            data_store.list_keys()
        with pytest.raises((BackendUnavailableError, InternalError)):
            list(data_store.iter_records())


# ----------------------------------------------------------------------------------- broken connections, step by step


@pytest.fixture
def relayed(store, tmp_path):
    app = create_app(store)
    listening = serving(os.getpid())
    url = listening.add(app)
    relay = Relay(tmp_path / "relay", listening.socket)
    relay.url += f"?root={url.partition('?root=')[2]}"
    yield relay
    relay.close()
    listening.remove(url)


@pytest.mark.parametrize("part", ["request", "answer"])
def test_a_write_is_done_once_wherever_the_connection_breaks(store, relayed, part):
    with datastore.connect(relayed.url, token=store.tokens.mint("ann", "planner")) as data_store:
        assert data_store.increment("count") == 1
        done, cut = 1, 0
        while True:
            setattr(relayed, part, cut)
            done += 1
            assert data_store.increment("count") == done  # the right answer, though the first one was lost
            if getattr(relayed, part) is not None:  # it was longer than all that was sent
                break
            cut += 1
        assert cut > 100
    assert store.host("ann").get("count") == done


def test_a_read_is_right_wherever_the_connection_breaks(store, relayed):
    store.host("ann").set_many({f"{number:03}": number for number in range(300)})
    with datastore.connect(relayed.url, token=store.tokens.mint("ann", "planner")) as data_store:
        data_store.exists("x")
        for cut in range(0, 6_000, 97):
            relayed.answer = cut
            assert len(data_store.list_keys()) == 300


def test_eight_threads_share_a_client(data_store, store):
    errors = []

    def work(number):
        try:
            for turn in range(25):
                data_store.increment("count")
                data_store.set(f"{number}", turn)
                assert data_store.get(f"{number}") == turn
        except BaseException as error:  # noqa: BLE001 - asserted below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.host("ann").get("count") == 200


def test_a_fork_in_the_middle_leaves_two_clients_that_work(data_store):
    data_store.set("parent", 1)

    def child():
        data_store.set("child", 2)
        with data_store:
            pass
        return "done"

    for _ in range(3):
        assert in_a_child(child) == "done"
        assert data_store.get_many(["parent", "child"]) == {"parent": 1, "child": 2}


def test_a_fork_within_a_function_of_modify_is_no_harm(data_store):
    said = []

    def change(value):
        said.append(in_a_child(lambda: str(data_store.increment("child"))))
        return value + 1

    assert data_store.modify("key", change, 0) == 1
    assert said == ["1"]


# ------------------------------------------------------------------------------------------------ tokens and closing


def test_a_token_that_is_revoked_meanwhile_opens_nothing(store, served):
    token = store.tokens.mint("ann", "planner")
    with datastore.connect(served, token=token) as data_store:
        data_store.set("key", 1)
        store.tokens.revoke(token)
        for call in (
            lambda: data_store.get("key"),
            lambda: data_store.set("key", 2),
            data_store.iter_records().__next__,
        ):
            with pytest.raises(InvalidTokenError) as raised:
                call()
            assert token not in str(raised.value)
        with pytest.raises(InvalidTokenError):
            datastore.connect(served, token=token)
    assert store.host("ann").get("key") == 1


def test_grants_and_the_calls_of_a_token_hold(store, served):
    token = store.tokens.mint("ann", "planner", grants={"default": "read"}, calls=["get", "set"])
    with datastore.connect(served, token=token) as data_store:
        for call in (
            lambda: data_store.use_namespace("other"),
            lambda: data_store.set("key", 1),
            lambda: data_store.delete("key"),
        ):
            with pytest.raises(PermissionDeniedError):
                call()


def test_a_closed_client_refuses_every_call(data_store):
    other = data_store.use_namespace("other")
    data_store.close()
    data_store.close()
    for name, call in CALLS.items():
        with pytest.raises(ClosedError):
            call(other if name == "get" else data_store)


def test_errors_have_their_attributes_and_no_place_of_the_host(data_store, tmp_path):
    data_store.set("key", 1)
    with pytest.raises(ConflictError) as conflict:
        data_store.set("key", 2, if_revision="x")
    assert conflict.value.revision == data_store.get_record("key").revision
    with pytest.raises(datastore.BatchError) as batch:
        data_store.add_many({"key": 1, "new": 2})
    assert isinstance(batch.value.failed["key"], KeyExistsError)
    assert batch.value.succeeded == ["new"]
    for error in (conflict.value, batch.value):
        assert str(tmp_path) not in repr(error)
        assert error.backend == "sqlite"


# ----------------------------------------------------------------------------------------------- connecting, versions

WHO = {"userId": "ann", "agent": "a", "namespace": "default", "grants": None, "backend": "x", "instance": "i"}


def scripted_server(scripted, answers):
    def script(request):
        name = request.path.rpartition("/")[2]
        return answers.get(name) or answer(json.dumps({"result": {**WHO, "new": {"field": 1}}, "also": 1}).encode())

    return scripted(script)


def test_fields_of_a_newer_server_are_ignored(scripted):
    told = {"type": "SomethingNewError", "message": "it is new", "retryable": True, "what": 1}
    answers = {
        "get": answer(b'{"result":{"found":true,"value":1,"since":7},"hint":"x"}'),
        "set": answer(json.dumps({"error": told}).encode(), "418 New"),
    }
    with datastore.connect(scripted_server(scripted, answers).url, token=TOKEN) as data_store:
        assert data_store.get("key") == 1
        with pytest.raises(DataStoreError, match="it is new") as raised:
            data_store.set("key", 1)
        assert raised.value.retryable


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        ("302 Found", b"", ConfigurationError),
        ("404 Not Found", b"<html>", ConfigurationError),
        ("401 Unauthorized", b"<html>", InvalidTokenError),
        ("502 Bad Gateway", b"<html>", BackendUnavailableError),
        ("200 OK", b"<html>", InternalError),
        ("200 OK", b'{"result":{}}', ConfigurationError),
    ],
)
def test_what_is_no_server_of_this_kind_is_said(scripted, status, body, error):
    server = scripted(lambda request: answer(body, status, Location="http://elsewhere/"))
    with pytest.raises(error):
        datastore.connect(server.url, token=TOKEN, retry_seconds=0)


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("http+unix:///s", {}, "needs a token"),
        ("http+unix:///s", {"token": TOKEN, "token_fd": 3}, "only one"),
        ("http+unix:///s", {"token": 1}, "token is an int"),
        ("http+unix:///s", {"token": TOKEN, "tracking": "off"}, "tracking is for the host"),
        ("http+unix:///s?mode=ro", {"token": TOKEN}, "mode is for the host"),
        ("http+unix:///s", {"token": TOKEN, "max_seconds": 0}, "max_seconds is 0"),
        (f"http+unix:///s?token={TOKEN}", {}, "'token' is no part of a URL|needs a token"),
        ("memory://", {"token": TOKEN}, "a token is for a store that is served"),
    ],
)
def test_what_is_wrong_with_connecting_is_said(url, options, words):
    with pytest.raises(ConfigurationError, match=words) as raised:
        datastore.connect(url, **options)
    assert TOKEN not in str(raised.value)


def test_the_url_may_come_from_the_environment(store, served, monkeypatch):
    monkeypatch.setenv("AGENT_DATASTORE_URL", served)
    with datastore.connect(token=store.tokens.mint("ann", "planner")) as data_store:
        assert data_store.user_id == "ann"
    with pytest.raises(ConfigurationError, match="needs a token"):
        datastore.connect()


def test_a_server_that_is_mounted_in_another_application_is_found_below_its_path(store):
    app = create_app(store)
    listening = serving(os.getpid())
    url = listening.add(Starlette(routes=[Mount("/the/store", app)]))
    try:
        with datastore.connect(f"{url}/the/store", token=store.tokens.mint("ann", "planner")) as data_store:
            assert data_store.increment("count") == 1
    finally:
        listening.forget(url)
        app.stop()


def test_a_server_that_is_too_slow_is_not_waited_for(scripted):
    over = threading.Event()

    def script(request):
        if request.path == "/v1/whoami":
            return answer(json.dumps({"result": WHO}).encode())
        over.wait(PATIENCE)
        return answer()

    with datastore.connect(scripted(script).url, token=TOKEN) as data_store:
        scope_of(data_store).core.max_seconds = 0.2  # from now on: to connect takes a busy machine longer
        try:
            with pytest.raises(DeadlineExceededError):
                data_store.get("key")
        finally:
            over.set()


# ---------------------------------------------------------------------------------------------------------- awaited


def test_the_awaited_twin_makes_the_same_calls(store, served):
    async def work():
        async with datastore.connect_async(served, token=store.tokens.mint("ann", "planner")) as data_store:
            assert isinstance(data_store, AsyncAgentDataStore)
            await data_store.set("key", 1)
            assert await asyncio.gather(*(data_store.get("key") for _ in range(20))) == [1] * 20
            assert await data_store.get_many(["key", "none"]) == {"key": 1}

            async def change(value):
                return value + 1

            assert await data_store.modify("key", change) == 2
            assert await data_store.get_or_set("new", lambda: 3) == 3
            assert [record.key async for record in data_store.iter_records()] == ["key", "new"]
            assert [record.key async for record in data_store.find_records({})] == ["key", "new"]
            assert await data_store.vault.retrieve("books", "none") is None
            other = data_store
        with pytest.raises(ClosedError):
            await other.get("key")

    asyncio.run(work())


def test_a_served_store_of_the_kit_is_a_store(store):
    served = ServedStore(store)
    assert served.agent("ann", "planner").set("key", 1)
    served.end()


def test_a_value_set_with_a_vector_is_searched_by_the_host(store, data_store, requests):
    """Given as a list or as an array of floats; what is none is refused here or there with the same words."""
    data_store.set("right", {"a": 1}, vector=[1, 0.5])
    data_store.set("up", 2, vector=array("d", [0.1, 1.0]), ttl=60)
    asyncio.run(data_store.asynchronous.set("left", 3, vector=(-1.0, 0.5)))
    memory = store.agent("ann", "host").memory
    assert [match.key for match in memory.search([1, 0])] == ["right", "up", "left"]
    assert requests == ["set"] * 3
    for vector in ([1.0, math.nan], [0, 0], "x", array("f", [0.0, 0.0]), [1.0, 2.0, 3.0]):
        errors = []
        for agent in (data_store, store.agent("ann", "host")):
            with pytest.raises((InvalidValueError, EmbedderError)) as raised:
                agent.set("right", 4, vector=vector)
            errors.append((type(raised.value), raised.value.message))
        assert errors[0] == errors[1]
    assert store.agent("ann", "host").get("right") == {"a": 1}
