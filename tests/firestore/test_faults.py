"""Faults: the right answer or a typed error, no record twice or missing, no access counted twice."""

import threading
import time

import grpc
import pytest
from grpc import StatusCode

import datastore
from datastore import (
    BackendUnavailableError,
    BackendUnusableError,
    BatchError,
    ConfigurationError,
    DataStoreError,
    DeadlineExceededError,
    InternalError,
    PermissionDeniedError,
    ThrottledError,
)
from datastore.backend import Fields, IdRange
from datastore_firestore.failures import RefusedError, translate
from tests.firestore.recording import Recorder, breaking_after, losing_the_answer, refusing_some
from tests.firestore.relay import Relay
from tests.patience import PATIENCE
from tests.servers import tls
from tests.servers.firestore import emulator, server
from tests.slow import Clock

pytestmark = pytest.mark.server("firestore")

TRANSIENT = [
    StatusCode.UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.ABORTED,
    StatusCode.INTERNAL,
    StatusCode.UNKNOWN,
    StatusCode.RESOURCE_EXHAUSTED,
]
CALLS = [
    ("BatchGetDocuments", lambda agent: agent.get("k")),
    ("Commit", lambda agent: agent.set("new", 1)),
    ("Commit", lambda agent: agent.delete("k")),
    ("BatchWrite", lambda agent: agent.set_many({"a": 1, "b": 2})),
    ("RunQuery", lambda agent: agent.list_keys()),
    ("RunAggregationQuery", lambda agent: agent.count()),
    ("RunQuery", lambda agent: agent.list_namespaces()),
]


@pytest.fixture(name="hasty")
def open_hasty(url, recorder):
    """The same database through a store that repeats nothing."""
    with datastore.connect(url, flush_interval=3_600, retry_seconds=0, interceptors=[recorder]) as store:
        store.agent("u", "a").set("k", 1)
        yield store


@pytest.mark.parametrize(("request_name", "call"), CALLS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("code", TRANSIENT, ids=lambda code: code.name)
def test_a_transient_failure_is_repeated(agent, recorder, request_name, call, code):
    agent.set("k", 1)
    expected = call(agent.use_namespace("calm"))
    agent.use_namespace("calm").clear()
    recorder.fail(request_name, code, code)
    result = call(agent)
    assert isinstance(result, type(expected)) or result == 1


@pytest.mark.parametrize(("request_name", "call"), CALLS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize(
    ("code", "error"),
    [
        (StatusCode.UNAVAILABLE, BackendUnavailableError),
        (StatusCode.DEADLINE_EXCEEDED, BackendUnavailableError),
        (StatusCode.INTERNAL, BackendUnavailableError),
        (StatusCode.RESOURCE_EXHAUSTED, ThrottledError),
        (StatusCode.PERMISSION_DENIED, PermissionDeniedError),
        (StatusCode.UNAUTHENTICATED, PermissionDeniedError),
        (StatusCode.INVALID_ARGUMENT, RefusedError),
        (StatusCode.UNIMPLEMENTED, RefusedError),
        (StatusCode.DATA_LOSS, BackendUnusableError),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_failure_that_lasts_has_its_type(hasty, recorder, request_name, call, code, error):
    names = ["BatchGetDocuments", "Commit", "BatchWrite", "RunQuery", "RunAggregationQuery"]
    for name in names:
        recorder.fail(name, *[code] * 600)
    with pytest.raises(DataStoreError) as caught:
        call(hasty.agent("u", "a"))
    failure = caught.value
    if isinstance(failure, BatchError):
        failure = next(iter(failure.failed.values()))
    assert type(failure) is error
    assert failure.backend == "firestore"
    for name in names:
        recorder.fail(name)
    assert hasty.agent("u", "a").get("k") == 1


def test_no_request_is_begun_after_the_deadline(store, recorder, monkeypatch):
    """gRPC would send nothing, and say that there was no answer: what was not sent would count as unknown."""
    agent = store.agent("u", "a")
    agent.set("k", 1)
    recorder.clear()
    clock = Clock(monkeypatch)

    def slow(proceed):
        clock.advance(seconds=40.0)
        return proceed()

    recorder.fail("BatchGetDocuments", slow)
    with pytest.raises(DeadlineExceededError, match="max_seconds, which is 30 s"):
        agent.modify("k", lambda value: value + 1)
    assert recorder.requests == ["BatchGetDocuments"]
    monkeypatch.undo()
    assert agent.get("k") == 1


@pytest.mark.parametrize(
    "code",
    [
        StatusCode.PERMISSION_DENIED,
        StatusCode.UNAUTHENTICATED,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.OUT_OF_RANGE,
        StatusCode.DATA_LOSS,
        StatusCode.NOT_FOUND,
    ],
    ids=lambda code: code.name,
)
def test_what_lasts_is_not_tried_again(url, recorder, code):
    with datastore.connect(url, retry_seconds=60, tracking="off", interceptors=[recorder]) as store:
        agent = store.agent("u", "a")
        recorder.fail("BatchGetDocuments", *[code] * 9)
        with pytest.raises(DataStoreError) as caught:
            agent.get("k")
        assert not caught.value.retryable
        recorder.fail("BatchGetDocuments")


def test_a_refused_request_is_a_fault_of_ours(hasty, recorder):
    recorder.fail("BatchGetDocuments", StatusCode.INVALID_ARGUMENT)
    with pytest.raises(InternalError, match=r"refuses the request .INVALID_ARGUMENT"):
        hasty.agent("u", "a").get("k")


def test_a_certificate_that_cannot_be_verified_is_no_outage(tmp_path):
    """gRPC says so in words only, which this asks of gRPC itself."""
    with (
        tls.untrusted_server(tmp_path) as port,
        grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials()) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary("/x/y")(b"", timeout=10)
    error = translate(caught.value)
    assert type(error) is ConfigurationError
    assert "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH" in str(error)


def test_a_missing_database_is_no_missing_record(hasty, recorder):
    recorder.fail("BatchGetDocuments", StatusCode.NOT_FOUND, StatusCode.NOT_FOUND)
    with pytest.raises(ConfigurationError, match="databases create") as caught:
        hasty.agent("u", "a").get("k")
    assert isinstance(caught.value, BackendUnusableError)
    recorder.fail("Commit", StatusCode.NOT_FOUND)
    with pytest.raises(ConfigurationError, match="databases create"):
        hasty.agent("u", "a").delete("other")


def test_contention_is_repeated_by_the_adapter_itself(hasty, recorder):
    agent = hasty.agent("u", "a")
    recorder.fail("Commit", *[StatusCode.ABORTED] * 3)
    agent.set("k", 2)
    recorder.fail("Commit", *[StatusCode.FAILED_PRECONDITION] * 3)
    agent.set("k", 3)
    recorder.fail("Commit", *[StatusCode.ABORTED] * 3)
    assert agent.delete("k")


def test_a_plain_set_does_not_fail_because_others_win(agent, url):
    done = threading.Event()

    def compete():
        with datastore.connect(url) as other:
            while not done.is_set():
                other.agent("u", "b").set("k", "theirs")

    rivals = [threading.Thread(target=compete) for _ in range(3)]
    for rival in rivals:
        rival.start()
    try:
        for number in range(20):
            agent.set("k", number, {"n": number})
    finally:
        done.set()
        for rival in rivals:
            rival.join()
    agent.set("k", "mine")
    assert agent.get("k") == "mine"


@pytest.mark.parametrize("answers", [1, 7, 50, 99])
@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.INTERNAL])
def test_a_listing_resumes_where_its_stream_broke(agent, recorder, answers, code):
    items = {f"k{number:03}": number for number in range(100)}
    agent.set_many(items)
    recorder.fail("RunQuery", breaking_after(answers, code), breaking_after(3, code), breaking_after(0, code))
    assert agent.list_keys() == sorted(items)
    recorder.fail("RunQuery", breaking_after(answers, code), breaking_after(3, code), breaking_after(0, code))
    assert agent.get_all() == items
    recorder.fail("RunQuery", breaking_after(answers, code))
    assert sorted(record.key for record in agent.iter_records()) == sorted(items)
    recorder.fail("RunQuery", breaking_after(answers, code))
    assert agent.clear() == 100


def test_a_listing_goes_on_after_the_network_was_cut(agent, network):
    items = {f"k{number:02}": str(number) * 200_000 for number in range(10, 70)}
    agent.set_many(items)
    seen = []
    for record in agent.iter_records():
        if len(seen) in (1, 30):
            network.cut()
            network.restore()
        assert record.value == items[record.key]
        seen.append(record.key)
    assert sorted(seen) == sorted(items)


@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.INTERNAL])
def test_a_batch_read_goes_on_where_its_stream_broke(hasty, recorder, code):
    """So that values of which only some arrive within the time of one request can be read: each of them once."""
    agent = hasty.agent("u", "a")
    items = {f"k{number:03}": number for number in range(100)}
    agent.set_many(items)
    recorder.clear()
    recorder.fail("BatchGetDocuments", *[breaking_after(30, code)] * 3)
    assert agent.get_many([*items, "missing"]) == items
    assert recorder.requests == ["BatchGetDocuments"] * 4
    assert [len(message.documents) for message in recorder.messages] == [101, 71, 41, 11]


def test_a_batch_read_that_brings_nothing_more_is_an_outage(hasty, recorder):
    agent = hasty.agent("u", "a")
    recorder.fail("BatchGetDocuments", breaking_after(1), breaking_after(0))
    with pytest.raises(BackendUnavailableError):
        agent.get_many(["k", "l", "m"])


def test_a_batch_read_ends_with_the_deadline_of_its_call(url):
    """However much arrives: it is renewed for each request, and not for the call."""
    recorder = Recorder()

    def slow(proceed):
        time.sleep(0.02)
        return breaking_after(1, StatusCode.DEADLINE_EXCEEDED)(proceed)

    with datastore.connect(url, tracking="off", interceptors=[recorder]) as store:
        agent = store.agent("u", "a")
        recorder.clear()
        recorder.fail("BatchGetDocuments", *[slow] * 1_000)
        store._core.max_seconds = 0.2  # from now on: to connect takes a busy machine longer
        with pytest.raises(DeadlineExceededError, match="max_seconds"):
            agent.get_many([f"k{number}" for number in range(400)])
        assert len(recorder.requests) < 20


def test_no_request_has_longer_than_its_call(url):
    recorder = Recorder()
    with datastore.connect(url, max_seconds=5, interceptors=[recorder]) as store:
        recorder.deadlines.clear()  # that of connecting
        agent = store.agent("u", "a")
        agent.set("k", 1)
        agent.set_many({"a": 1, "b": 2})
        agent.get("k")
        agent.get_all()
        assert recorder.deadlines
        assert all(seconds <= 5 for seconds in recorder.deadlines)


@pytest.mark.parametrize(
    "code",
    [
        StatusCode.ABORTED,
        StatusCode.UNAVAILABLE,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.FAILED_PRECONDITION,
    ],
    ids=lambda code: code.name,
)
def test_writes_of_a_batch_that_fail_for_a_while_are_sent_again(agent, recorder, code):
    items = {f"k{number}": number for number in range(60)}
    recorder.fail("BatchWrite", refusing_some(code, lambda place: place % 3 == 0))
    assert agent.set_many(items, {"a": 1}) == 60
    recorder.fail("BatchWrite", refusing_some(code, lambda place: place % 2 == 0))
    assert agent.set_many(items, {"b": 2}) == 60
    assert agent.get_many(items) == items
    assert {str(record.metadata) for record in agent.iter_records()} == {str({"a": 1, "b": 2})}


def test_writes_of_a_batch_that_are_refused_are_named(agent, recorder):
    items = {f"k{number}": number for number in range(6)}
    recorder.fail("BatchWrite", refusing_some(StatusCode.PERMISSION_DENIED, lambda place: place == 4))
    with pytest.raises(BatchError) as caught:
        agent.set_many(items)
    assert list(caught.value.failed) == ["k4"]
    assert isinstance(caught.value.failed["k4"], PermissionDeniedError)


def test_one_write_that_is_refused_does_not_keep_the_others_from_being_done(agent, monkeypatch):
    monkeypatch.setattr("datastore_firestore.codec._MAX_DEPTH", 100)
    refused = 1
    for _ in range(30):
        refused = {"a": refused}
    with pytest.raises(BatchError) as caught:
        agent.set_many({"a": 1, "b": refused, "c": 3})
    assert list(caught.value.failed) == ["b"]
    assert agent.get_all() == {"a": 1, "c": 3}


def test_after_a_request_without_an_answer_those_behind_it_are_not_sent_and_not_looked_for(agent, recorder):
    """A batch of large values is several requests. The store repeats what was not sent."""
    items = {f"k{number}": "x" * 900_000 for number in range(6)}
    recorder.clear()
    recorder.fail("BatchWrite", losing_the_answer())
    assert agent.set_many(items) == 6
    assert recorder.requests == ["BatchWrite", "BatchGetDocuments", "BatchWrite"]
    assert [len(getattr(message, "writes", ())) for message in recorder.messages] == [3, 0, 3]
    assert len(recorder.messages[1].documents) == 3
    assert agent.get_many(items) == items


def test_a_refusal_of_one_large_request_does_not_keep_the_next_one_from_being_sent(agent, recorder):
    """Of the one that is refused each write is sent alone."""
    recorder.clear()
    recorder.fail("BatchWrite", StatusCode.INVALID_ARGUMENT)
    recorder.fail("Commit", None, StatusCode.INVALID_ARGUMENT)
    with pytest.raises(BatchError) as caught:
        agent.set_many({f"k{number}": "x" * 900_000 for number in range(6)})
    assert list(caught.value.failed) == ["k1"]
    assert recorder.requests == ["BatchWrite", "Commit", "Commit", "Commit", "BatchWrite"]
    assert agent.list_keys() == ["k0", "k2", "k3", "k4", "k5"]


def test_the_time_budget_is_kept(url):
    """The client repeats nothing on its own: a call ends when the store's budget does."""
    recorder = Recorder()
    with datastore.connect(url, retry_seconds=0.3, interceptors=[recorder]) as store:
        recorder.fail("BatchGetDocuments", *[StatusCode.UNAVAILABLE] * 1_000)
        began = time.monotonic()
        with pytest.raises(BackendUnavailableError):
            store.agent("u", "a").get("k")
        assert time.monotonic() - began < 30  # the client's own budget would be 60


def test_a_server_that_hangs_ends_with_the_deadline():
    """The channel has no deadlines of its own: each request has one."""
    released = threading.Event()

    def hang(messages):
        released.wait(PATIENCE)
        return messages

    relay = Relay(server().port)
    relay.spoil(dict.fromkeys(range(100), hang))
    try:
        with (
            pytest.raises(BackendUnavailableError, match="DEADLINE_EXCEEDED"),
            datastore.connect(f"firestore://hangs/c?emulator={relay.address}", retry_seconds=0, timeout=0.5) as store,
        ):
            store.agent("u", "a").set("k", 1)
    finally:
        released.set()
        relay.stop()


def test_after_a_restart_of_the_server_the_store_goes_on(tmp_path):
    """Its data is gone, for the emulator keeps it in memory: what this process knows of it decides nothing."""
    server = emulator(tmp_path)
    server.start()
    url = f"firestore://restarted/agent_data_store?emulator=127.0.0.1:{server.port}"
    try:
        with datastore.connect(url, flush_interval=3_600) as store:
            agent = store.agent("u", "a")
            agent.set_many({f"k{number}": number for number in range(10)}, {"a": 1})
            agent.get_all()
            server.stop()
            with pytest.raises(BackendUnavailableError), datastore.connect(url, retry_seconds=0) as hasty:
                hasty.agent("u", "a").get("k1")
            server.start()
            agent.set("k1", "after")
            assert agent.get_all() == {"k1": "after"}
            assert agent.get_record("k1").metadata == {}
            assert agent.set_many({f"k{number}": number for number in range(5)}) == 5
            assert agent.delete("k9") is False
            store.flush()
            assert agent.get_record("k2").access_count == 0
    finally:
        server.stop()


def test_the_scan_of_a_range_that_breaks_at_once_says_so(hasty, recorder):
    recorder.fail("RunQuery", breaking_after(0), breaking_after(0))
    with pytest.raises(BackendUnavailableError):
        hasty.backend.scan(IdRange("u:", "u;"), Fields.KEY, 10)
