"""Faults: each ends in the right answer, or in an error that says what to do. Injected where the client sends."""

import random
import socket
import ssl

import pytest
from botocore.exceptions import (
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    SSLError,
)
from botocore.parsers import ResponseParserError

import datastore
from datastore import (
    BackendUnavailableError,
    BackendUnusableError,
    ConfigurationError,
    DeadlineExceededError,
    InternalError,
    PermissionDeniedError,
    ThrottledError,
)
from datastore.deadlines import check, within
from datastore.errors import BatchError
from datastore_dynamodb import batches
from datastore_dynamodb.batches import Threads
from tests.dynamodb.answers import LOST, THROTTLING, refusal, unprocessed
from tests.dynamodb.wire import Wire
from tests.servers import dynamodb, tls
from tests.slow import Clock

pytestmark = pytest.mark.server("dynamodb")


CALLS = [
    lambda agent: agent.get("k1"),
    lambda agent: agent.set("k1", 2),
    lambda agent: agent.delete("k1"),
    lambda agent: agent.get_many(["k1", "k2"]),
    lambda agent: agent.set_many({"k1": 3, "k2": 4}),
    lambda agent: agent.list_keys(),
    lambda agent: agent.clear(),
]


def untrusted(request, body):
    """As botocore raises it."""
    try:
        raise ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    except ssl.SSLError as error:
        raise SSLError(endpoint_url="https://x", error=error)  # noqa: B904 - botocore does not chain it either


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", THROTTLING[:2])
def test_throttling_is_waited_out(agent, wire, call, code):
    agent.set_many({"k1": 1, "k2": 2})
    wire.requests.clear()
    wire.fail(refusal(code), refusal(code))
    call(agent)
    assert len(wire.requests) >= 3


@pytest.mark.parametrize("call", CALLS)
def test_throttling_without_end_is_said(hasty, call):
    agent, wire = hasty
    wire.fail(refusal(THROTTLING[0]), forever=True)
    with pytest.raises(ThrottledError):
        call(agent)
    wire.heal()
    assert agent.get_many(["k1", "k2"]) == {"k1": 1, "k2": 2}


@pytest.mark.parametrize("code", THROTTLING)
def test_every_code_of_throttling_is_known(hasty, code):
    agent, wire = hasty
    wire.fail(refusal(code))
    with pytest.raises(ThrottledError):
        agent.get("k1")


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: getattr(fault, "__name__", type(fault).__name__))
@pytest.mark.parametrize("call", CALLS)
def test_a_lost_answer_is_repeated(agent, wire, call, fault):
    agent.set_many({"k1": 1, "k2": 2})
    wire.fail(fault)
    call(agent)


@pytest.mark.parametrize("fault", [*LOST, EndpointConnectionError(endpoint_url="http://x")])
def test_an_outage_is_no_missing_record(hasty, fault):
    agent, wire = hasty
    wire.fail(fault, forever=True)
    for call in CALLS:
        with pytest.raises(BackendUnavailableError) as caught:
            call(agent)
        assert not isinstance(caught.value, ThrottledError)


@pytest.mark.parametrize(
    "code",
    ["ExpiredTokenException", "UnrecognizedClientException", "AccessDeniedException", "InvalidSignatureException"],
)
def test_refused_credentials_are_said_at_once(agent, wire, code):
    wire.requests.clear()
    wire.fail(refusal(code), forever=True)
    for number, call in enumerate([*CALLS[:4], *CALLS[5:]]):
        with pytest.raises(PermissionDeniedError, match=code):
            call(agent)
        assert len(wire.requests) == number + 1, "what is refused is not tried again"


def test_a_batch_that_is_refused_as_a_whole_raises(hasty):
    agent, wire = hasty
    wire.fail(refusal("AccessDeniedException"), forever=True)
    with pytest.raises(PermissionDeniedError):
        agent.set_many({"k1": 3, "k2": 4})


def test_an_unknown_code_is_an_error_of_the_store(agent, wire):
    wire.fail(refusal("SomethingNewException"))
    with pytest.raises(InternalError, match="SomethingNewException") as caught:
        agent.get("k")
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refusal("ValidationException"), InternalError),
        (refusal("ResourceNotFoundException"), BackendUnusableError),
        (refusal("AccessDeniedException"), PermissionDeniedError),
        (NoCredentialsError(), PermissionDeniedError),
        (untrusted, ConfigurationError),
    ],
    ids=["ValidationException", "ResourceNotFoundException", "AccessDeniedException", "no credentials", "certificate"],
)
def test_what_lasts_is_not_tried_again(url, fault, kind):
    with datastore.connect(url, retry_seconds=60, tracking="off") as store:
        agent = store.agent("u", "a")
        wire = Wire(store.backend._connection.client)
        wire.fail(fault, forever=True)
        for number, call in enumerate([CALLS[0], CALLS[1], CALLS[3], CALLS[5]]):
            with pytest.raises(kind):
                call(agent)
            assert len(wire.requests) == number + 1


@pytest.mark.parametrize(
    "fault",
    [
        refusal("ResourceInUseException"),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ResponseParserError("Unable to parse response"),
    ],
    ids=["the table is being changed", "half an answer", "an answer that is none"],
)
def test_what_passes_is_tried_again(agent, wire, fault):
    agent.set("k1", 1)
    wire.fail(fault)
    assert agent.get("k1") == 1


def test_a_certificate_that_cannot_be_verified_is_no_outage(tmp_path, monkeypatch):
    dynamodb.MINISTACK.url()  # sets credentials
    with (
        tls.untrusted_server(tmp_path) as port,
        pytest.raises(ConfigurationError, match=r"certificate of https://localhost:\d+ could not .*\$AWS_CA_BUNDLE"),
    ):
        datastore.connect(f"dynamodb://tab?region=eu-west-1&endpoint_url=https://localhost:{port}")


def test_a_server_without_tls_is_no_outage():
    dynamodb.MINISTACK.url()
    with tls.server_without_tls() as port, pytest.raises(ConfigurationError, match="does not speak TLS"):
        datastore.connect(f"dynamodb://tab?region=eu-west-1&endpoint_url=https://localhost:{port}")


def test_unprocessed_keys_are_asked_for_again(agent, wire):
    agent.set_many({f"k{i:03}": i for i in range(150)})
    wire.fail(unprocessed("UnprocessedKeys"), unprocessed("UnprocessedKeys"), operation="BatchGetItem")
    assert agent.get_many([f"k{i:03}" for i in range(150)]) == {f"k{i:03}": i for i in range(150)}


def test_unprocessed_items_are_sent_again(agent, wire):
    agent.set_many({f"k{i:03}": i for i in range(60)})
    wire.fail(unprocessed("UnprocessedItems"), unprocessed("UnprocessedItems"), operation="BatchWriteItem")
    assert agent.clear() == 60
    assert agent.list_keys() == []


def test_keys_that_stay_unprocessed_are_throttling(hasty, monkeypatch):
    monkeypatch.setattr("datastore_dynamodb.batches._WITHOUT_PROGRESS", 0.1)
    agent, wire = hasty
    wire.fail(unprocessed("UnprocessedKeys"), operation="BatchGetItem", forever=True)
    with pytest.raises(ThrottledError, match="unprocessed"):
        agent.get_many(["k1", "k2"])


def canceled(*codes):
    reasons = [{"Code": code, "Message": "x"} for code in codes]
    return refusal("TransactionCanceledException", CancellationReasons=reasons)


@pytest.mark.parametrize(
    "code", ["TransactionConflict", "ConditionalCheckFailed", "ThrottlingError", "ValidationError"]
)
def test_a_canceled_batch_is_completed(agent, wire, code):
    agent.set("k2", 0, {"kept": 1})
    wire.fail(canceled("None", code), canceled(code, "None"), operation="TransactWriteItems")
    assert agent.set_many({"k1": 1, "k2": 2}) == 2
    assert agent.get_all() == {"k1": 1, "k2": 2}
    assert agent.get_record("k2").metadata == {"kept": 1}


def test_a_batch_that_is_refused_as_a_whole_is_halved(agent, wire):
    """As one that is more than 4 MB with what is stored."""

    def too_large(request, body):
        return refusal("ValidationException")(request, body) if len(body["TransactItems"]) > 60 else None

    wire.fail(too_large, operation="TransactWriteItems", forever=True)
    assert agent.set_many({f"k{i}": i for i in range(100)}) == 100
    assert wire.operations == ["TransactWriteItems"] * 3
    assert agent.count() == 100


def test_a_batch_that_is_throttled_for_good_says_so_for_each_key(hasty):
    agent, wire = hasty
    agent.set_many({f"k{i}": i for i in range(150)})
    refused = {}

    def fault(request, body):
        key = body["TransactItems"][0]["Update"]["Key"]["sk"]["S"]
        if refused.setdefault("first", key) == key:
            return refusal("ThrottlingException")(request, body)
        return None

    wire.fail(fault, operation="TransactWriteItems", forever=True)
    with pytest.raises(BatchError) as caught:
        agent.set_many({f"k{i}": -i for i in range(1, 151)})
    wire.heal()
    assert len(caught.value.failed) in (50, 100)
    assert all(isinstance(error, ThrottledError) for error in caught.value.failed.values())
    for key, value in agent.get_many(caught.value.succeeded).items():
        assert value == -int(key[1:])


def test_a_port_that_nobody_listens_on_is_an_outage():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    dynamodb.MINISTACK.url()
    with pytest.raises(BackendUnavailableError, match="does not accept connections"):
        datastore.connect(f"dynamodb://tab?region=eu-west-1&endpoint_url=http://127.0.0.1:{port}", retry_seconds=0)


def test_a_server_that_says_nothing_is_given_up(monkeypatch):
    dynamodb.MINISTACK.url()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BackendUnavailableError, match="did not answer"):
            datastore.connect(f"dynamodb://tab?region=eu-west-1&endpoint_url={address}&timeout=0.2")


def test_no_request_is_begun_after_the_deadline(agent, wire, monkeypatch):
    """A write of a large value is three requests: it reads, stores the parts, and then the record."""
    agent.set("k", "old")
    wire.requests.clear()
    wire.fail(Clock(monkeypatch).advance, forever=True)
    with pytest.raises(DeadlineExceededError, match="max_seconds, which is 30 s"):
        agent.set("k", random.Random(1).randbytes(400_000).hex())
    assert wire.operations == ["GetItem", "BatchWriteItem"]
    wire.heal()
    monkeypatch.undo()
    assert agent.get("k") == "old"


def test_a_deadline_is_that_of_the_call_for_all_its_threads(monkeypatch):
    """Also for work that has waited until one of them was free."""
    monkeypatch.setattr(batches, "THREADS", 1)
    clock, begun = Clock(monkeypatch), []

    def work(number):
        check()
        begun.append(number)
        clock.advance()

    threads = Threads()
    with pytest.raises(DeadlineExceededError, match="which is 30 s"), within(30.0):
        threads.map(work, range(5))
    assert begun == [0, 1]
    threads.close()
