"""Faults: each ends in the right answer, or in an error that says what to do. Injected where the client sends."""

import logging
import socket
import ssl
import threading

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError

import datastore
from datastore import (
    BackendUnavailableError,
    BackendUnusableError,
    ConfigurationError,
    InternalError,
    PermissionDeniedError,
    ThrottledError,
)
from datastore.errors import BatchError, DataStoreError
from datastore.scope import scope_of
from tests.dynamodb.answers import refusal, unprocessed
from tests.dynamodb.wire import Wire
from tests.servers import dynamodb, tls

pytestmark = pytest.mark.server("dynamodb")


@pytest.fixture
def hasty(url):
    """A store that does not wait for better times, with what is sent through it."""
    with datastore.connect(url, flush_interval=3_600, retry_seconds=0) as store:
        agent = store.agent("u", "a")
        agent.set_many({"k1": 1, "k2": 2})
        yield agent, Wire(store.backend._connection.client)


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


THROTTLING = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TransactionConflictException",
]
LOST = [
    ReadTimeoutError(endpoint_url="http://x"),
    ConnectionClosedError(endpoint_url="http://x"),
    refusal("InternalServerError", 500),
    refusal("ServiceUnavailable", 503),
]


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


@pytest.mark.parametrize("fault", LOST[:2])
def test_counts_whose_answer_is_lost_are_never_added_twice(agent, store, wire, fault):
    agent.set("one", 1)
    agent.get("one")

    def carried_out_and_lost(request, body):
        wire.heal()
        # What the server does, without the answer coming back.
        connection = store.backend._connection
        connection.client.update_item(**body)
        raise fault

    wire.fail(carried_out_and_lost, operation="UpdateItem")
    store.flush()
    store.flush()
    assert agent.get_record("one").access_count == 1


def test_a_transaction_of_counts_is_repeated_with_its_token(agent, store, wire):
    agent.set_many({"k1": 1, "k2": 2})
    agent.get_many(["k1", "k2"])
    wire.requests.clear()
    wire.fail(LOST[0], operation="TransactWriteItems")
    store.flush()
    (_, first), (_, second) = wire.requests
    assert first == second
    assert agent.get_record("k1").access_count == 1


def test_counting_skips_what_is_gone_and_creates_nothing(agent, store, wire):
    agent.set_many({f"k{i}": i for i in range(5)})
    agent.get_all()
    agent.delete("k1")
    agent.delete("k3")
    agent.set("k3", "made again")
    store.flush()
    assert agent.list_keys() == ["k0", "k2", "k3", "k4"]
    assert [record.access_count for record in agent.iter_records()] == [1, 1, 0, 1]


def test_what_is_throttled_is_counted_later(hasty):
    agent, wire = hasty
    agent.get_many(["k1", "k2"])
    store = scope_of(agent).core
    wire.fail(refusal(THROTTLING[0]))
    with pytest.raises(ThrottledError):
        store.flush()
    store.flush()
    assert agent.get_record("k1").access_count == 1


def test_a_missing_table_prints_what_to_apply():
    url = dynamodb.MINISTACK.url() + "&create=false"
    with pytest.raises(ConfigurationError) as caught:
        datastore.connect(url)
    assert '"KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}' in str(caught.value)
    assert '"AttributeName": "expiresAtEpoch", "Enabled": true' in str(caught.value)


def test_a_table_deleted_meanwhile_is_said(agent, client, table):
    client.delete_table(TableName=table)
    for kind in (ConfigurationError, BackendUnusableError):
        with pytest.raises(kind, match=table):
            agent.get("k")


def test_a_table_of_something_else_is_left_alone(client):
    name = dynamodb.new_table()
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(ConfigurationError, match=r"its key is id \(HASH, type S\) and not pk \(HASH, type S\), sk"):
        datastore.connect(dynamodb.MINISTACK.url(name))


def test_a_table_whose_key_is_of_another_type_is_left_alone(client):
    """Its names are right, and every write to it would be refused."""
    name = dynamodb.new_table()
    client.create_table(
        TableName=name,
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(ConfigurationError, match=r"its key is pk \(HASH, type S\), sk \(RANGE, type N\) and not"):
        datastore.connect(dynamodb.MINISTACK.url(name))


def test_several_may_create_the_table_at_once():
    url = dynamodb.MINISTACK.url()
    errors = []

    def connect():
        try:
            datastore.connect(url).close()
        except DataStoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_new_table_expires_records_by_itself(client, table):
    answer = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert answer == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expiresAtEpoch"}
    assert client.describe_table(TableName=table)["Table"]["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_a_new_table_has_the_capacity_and_the_recovery_asked_for(url):
    with datastore.connect(dynamodb.MINISTACK.url() + "&capacity=5,2&recovery=true") as store:
        connection = store.backend._connection
        name = connection.settings.table
        described = connection.client.describe_table(TableName=name)["Table"]["ProvisionedThroughput"]
        assert (described["ReadCapacityUnits"], described["WriteCapacityUnits"]) == (5, 2)
        backups = connection.client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


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


def test_no_credentials_are_said(monkeypatch, tmp_path):
    endpoint = dynamodb.MINISTACK.endpoint
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(PermissionDeniedError, match="no credentials"):
        datastore.connect(f"dynamodb://tab?region=eu-west-1&endpoint_url={endpoint}")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("dynamodb://key:secret@tab", "no credentials"),
        ("dynamodb://tab/path", "without a path"),
        ("dynamodb://x", "no table name"),
        ("dynamodb://tab?regoin=x", "did you mean 'region'"),
        ("dynamodb://tab?capacity=5", "read and write units"),
        ("dynamodb://tab?consistency=some", "one of strong, eventual"),
        ("dynamodb://tab?connections=0", "at least 1"),
        ("dynamodb://tab?endpoint_url=http://key:secret@localhost", "without credentials"),
        ("dynamodb://tab?profile=nobody", "no profile 'nobody'"),
    ],
)
def test_a_wrong_url_says_what_is_wrong(url, says):
    with pytest.raises(ConfigurationError, match=says) as caught:
        datastore.connect(url)
    assert "secret" not in str(caught.value)


def test_one_client_serves_all_threads(agent, client, store):
    assert client.meta.config.max_pool_connections == 50
    assert client.meta.config.retries["total_max_attempts"] == 1
    seen = set()

    def read():
        agent.get("k")
        seen.add(id(store.backend._connection.client))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {id(client)}


def test_closing_leaves_no_thread(url):
    before = set(threading.enumerate())
    store = datastore.connect(url)
    agent = store.agent("u", "a")
    agent.set_many({f"k{i}": i for i in range(250)})
    agent.get_many([f"k{i}" for i in range(250)])
    store.close()
    assert set(threading.enumerate()) <= before


@pytest.mark.server("dynamodb-dynalite")
def test_no_table_time_to_live_is_a_warning_and_no_failure(caplog):
    with caplog.at_level(logging.WARNING), datastore.connect(dynamodb.DYNALITE.url()) as store:
        store.agent("u", "a").set("k", 1, ttl=60)
    assert "time to live was not turned on" in caplog.text
