"""What a server and its client say to each other comes through unchanged: calls, values, records and errors."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

import datastore
from datastore import AgentDataStore, Item, NamespaceStats, Page, errors
from datastore.blobs import Blob
from datastore.blobs.steps import Begun as Putting
from datastore.blobs.steps import Told
from datastore.calls.changes import Seen, Written
from datastore.calls.claims import Begun
from datastore.calls.lending import Taken
from datastore.conformance.calls import _ARGUMENTS
from datastore.conformance.strategies import values
from datastore.errors import (
    BackendUnavailableError,
    BatchError,
    ConflictError,
    DamagedRecordError,
    DataStoreError,
    InternalError,
    InvalidValueError,
    KeyExistsError,
    PermissionDeniedError,
    QuotaExceededError,
)
from datastore.wire.arguments import item_to_json, items_from_json, plain_query
from datastore.wire.calls import CALLS, IN_STEPS, MISSING, Result
from datastore.wire.errors import error_from_json, error_to_json, status_of
from datastore.wire.messages import (
    MAX_MESSAGE_DEPTH,
    Listing,
    answer_from_bytes,
    dump,
    error_line,
    error_to_bytes,
    lines,
    load,
    request_from_bytes,
    request_to_bytes,
    result_to_bytes,
)

INTERFACES = {"blobs", "memory", "runs"}
"""What is no method of `AgentDataStore`, but has calls of its own."""
VALUES = values()
"""Whatever can be stored, integers beyond 64 bits included."""


def exactly(value):
    """Tell 1 from 1.0 and from True, at every depth."""
    if isinstance(value, dict):
        return {key: exactly(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [exactly(child) for child in value]
    return type(value), value


# --------------------------------------------------------------------------------------------------------------- calls


def test_every_call_of_an_agent_is_on_the_wire_or_told_in_steps():
    methods = {
        name
        for name, member in inspect.getmembers(AgentDataStore, inspect.isfunction)
        if not name.startswith("_") and name not in ("use_namespace", "log", "vector_vault")
    }
    served = {name for name, call in CALLS.items() if call.step is None} | set(IN_STEPS)
    assert methods == served - INTERFACES


def test_the_kit_knows_the_same_calls():
    assert (
        set(_ARGUMENTS) | {"purge_expired"}
        == {name for name, call in CALLS.items() if call.step is None} | set(IN_STEPS) - INTERFACES
    )


def test_the_steps_are_calls():
    assert {name for names in IN_STEPS.values() for name in names} <= {
        name for name, call in CALLS.items() if call.step is not None
    }


@pytest.mark.parametrize("name", sorted(name for name, call in CALLS.items() if call.step is None))
def test_a_call_has_the_parameters_of_the_method_but_what_stays_with_the_client(name):
    method = inspect.signature(getattr(AgentDataStore, name)).parameters
    expected = set(method) - {"self", "default", "type"} | ({"count"} if CALLS[name].counts else set())
    assert set(CALLS[name].parameters) == expected


def test_an_argument_that_is_not_one_is_refused_by_name():
    with pytest.raises(InvalidValueError, match="get has no argument 'user_id'; its arguments are: key, touch, count"):
        CALLS["get"].bound({"key": "a", "user_id": "bob"})


def test_a_missing_argument_is_refused_by_name():
    with pytest.raises(InvalidValueError, match="set needs the argument 'value'"):
        CALLS["set"].bound({"key": "a"})


# ------------------------------------------------------------------------------------------------------------ messages


@given(VALUES)
def test_any_value_comes_through_a_request(value):
    request = request_from_bytes(request_to_bytes("ns", {"key": "k", "value": value}))
    assert request.namespace == "ns"
    assert exactly(request.arguments["value"]) == exactly(value)


@given(VALUES)
def test_any_value_comes_through_an_answer(value):
    answered = answer_from_bytes(Result.FOUND, result_to_bytes(Result.FOUND, value))
    assert exactly(answered) == exactly(value)


@pytest.mark.parametrize(
    "value",
    [2**64, -(2**63) - 1, 2**63, 10**4_299, 1.0, -0.0, 1e-300, "9" * 40, {"7" * 30: 2**200}, [1, 2**70, 1.5]],
    ids=["65-bits", "below-64-bits", "64-bits", "4300-digits", "1.0", "-0.0", "tiny", "text", "key", "array"],
)
def test_numbers_are_exact(value):
    assert exactly(load(dump({"value": value}))["value"]) == exactly(value)


def test_a_missing_record_is_told_from_a_stored_null():
    assert answer_from_bytes(Result.FOUND, result_to_bytes(Result.FOUND, None)) is None
    assert answer_from_bytes(Result.FOUND, result_to_bytes(Result.FOUND, MISSING)) is MISSING


_NOW = datetime(2026, 11, 27, 7, 30, 1, 123_456, tzinfo=UTC)
BLOB = Blob("é/1", 5, "image/png", {"page": [1, None]}, "0" * 64, "rev", _NOW, "ann", _NOW, "ben", _NOW)


@pytest.mark.parametrize(
    ("result", "returned"),
    [
        (Result.SEEN, None),
        (Result.SEEN, Seen([1], "abc")),
        (Result.WRITTEN, Written(True, "abc")),
        (Result.WRITTEN, Written(False, None)),
        (Result.BEGUN, Begun(True, {"a": 1})),
        (Result.BEGUN, Begun(False, None, "lease", None)),
        (Result.BEGUN, Begun(False, None, "lease", "abc")),
        (Result.BEGUN, Begun(False)),
        (Result.TAKEN, Taken(1795745892, "abc")),
        (Result.HELD, [True, False, None]),
        (Result.PUTTING, Putting("abc", "def")),
        (Result.PARTS, ["AAAA", ""]),
        (Result.BLOB, BLOB),
        (Result.BLOB, replace(BLOB, content_type=None, expires_at=None, updated_by_agent="")),
        (Result.TOLD, Told(BLOB, "abc", 262_144)),
        (Result.TOLD, None),
        (Result.TEXT, "abc"),
        (Result.NOTHING, None),
    ],
    ids=str,
)
def test_what_a_step_returns_comes_through(result, returned):
    assert answer_from_bytes(result, result_to_bytes(result, returned)) == returned


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1]", b'{"argument": {}}', b'{"arguments": []}', b'{"namespace": 7}', b'{"arguments": {"a": NaN}}',
     b"\xff", b'{"arguments": {"a": 1e999}}', b'{"arguments": {"a": "\\ud800"}}',
     b'{"arguments": {"a": "\\ud800", "b": 123456789012345678901}}', b'{"arguments": {"a": %s}}' % (b"9" * 5_000)],
    ids=["cut", "array", "unknown", "no-object", "namespace", "nan", "no-utf8", "infinite", "surrogate",
         "surrogate-beside-a-long-integer", "5000-digits"],
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused(body):
    with pytest.raises(InvalidValueError):
        request_from_bytes(body)


@pytest.mark.parametrize("depth", [MAX_MESSAGE_DEPTH + 1, 1_024, 100_000], ids=str)
@pytest.mark.parametrize("number", [b"1", b"123456789012345678901"], ids=["short", "long"])
def test_a_body_that_is_too_deep_is_refused(depth, number):
    with pytest.raises(InvalidValueError, match="nested deeper"):
        load(b"[" * depth + number + b"]" * depth)


def test_many_brackets_that_are_not_deep_are_no_matter():
    assert load(b"[" + b",".join([b"[[1]]"] * 1_000) + b"]") == [[[1]]] * 1_000


def test_an_empty_body_asks_for_the_defaults():
    assert request_from_bytes(b"") == (None, {}, ())


def test_moments_in_a_filter_become_text_and_pairs_arrays():
    moment = datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1)))
    assert plain_query({"createdAt": {"$gt": moment}}) == {"createdAt": {"$gt": "2026-01-31T12:00:00.000000Z"}}
    assert plain_query([("a", -1)]) == [["a", -1]]


def test_items_come_through():
    item = Item("k", 1, {"a": 1}, timedelta(minutes=1), "abc", "other")
    assert items_from_json([item_to_json(item)]) == [Item("k", 1, {"a": 1}, 60.0, "abc", "other")]
    assert items_from_json([item_to_json(Item("k", None))]) == [Item("k", None)]


@pytest.mark.parametrize("item", [["k", 1], {"key": "k"}, {"key": "k", "value": 1, "user": "bob"}], ids=str)
def test_what_is_no_item_is_refused(item):
    with pytest.raises(InvalidValueError, match=r"items\[0\]"):
        items_from_json([item])


# ------------------------------------------------------------------------------------------------------------ listings


@pytest.fixture(scope="module")
def data_store():
    with datastore.connect("memory://") as store:
        data_store = store.agent("ann", "tester")
        data_store.set_many({f"k{number}": {"n": number, "big": 2**90} for number in range(50)}, {"a": "b"}, ttl=1_000)
        data_store.get("k7")
        yield data_store


def read(result, told):
    listing, items = Listing(result), []
    for line in told:
        items += listing.read(line)
    return listing, items


def test_records_come_through_with_all_their_fields(data_store):
    page = data_store.scan(limit=20)
    listing, records = read(Result.PAGE, lines(Result.PAGE, page))
    assert Page(records, listing.cursor) == page
    assert [one.model_dump() for one in records] == [one.model_dump() for one in page.records]
    assert listing.is_whole


@given(st.lists(st.tuples(st.text(max_size=5), VALUES), max_size=20, unique_by=lambda pair: pair[0]))
def test_values_by_key_come_through_in_order(pairs):
    listing, items = read(Result.VALUES, lines(Result.VALUES, dict(pairs)))
    assert exactly(items) == exactly(pairs)
    assert listing.is_whole


def test_stats_come_through(data_store):
    stats = data_store.namespace_stats()
    assert read(Result.STATS, lines(Result.STATS, stats))[1] == stats
    assert isinstance(stats[0], NamespaceStats)


def test_keyed_records_and_texts_come_through(data_store):
    records, keys = data_store.get_records(["k1", "k2"]), data_store.list_keys()
    assert dict(read(Result.KEYED_RECORDS, lines(Result.KEYED_RECORDS, records))[1]) == records
    assert read(Result.TEXTS, lines(Result.TEXTS, keys))[1] == keys


def test_a_long_listing_has_many_lines_and_a_short_one_two():
    assert len(list(lines(Result.TEXTS, ["x" * 1_000] * 1_000))) > 10
    assert len(list(lines(Result.TEXTS, ["x"]))) == 2


@pytest.mark.parametrize("left", [0, 1, 2], ids=str)
def test_a_listing_that_was_cut_is_not_whole(left):
    told = list(lines(Result.TEXTS, ["x" * 1_000] * 200))
    assert len(told) > left
    listing, _ = read(Result.TEXTS, told[:left])
    assert not listing.is_whole


def test_a_listing_that_lacks_a_line_in_the_middle_is_refused():
    first, *_, last = lines(Result.TEXTS, ["x" * 1_000] * 200)
    with pytest.raises(InternalError, match="protocol"):
        read(Result.TEXTS, [first, last])


def test_an_error_in_the_middle_of_a_listing_is_raised():
    told = error_to_json(ConflictError("outpaced", revision="r"), "ann")
    with pytest.raises(ConflictError, match="outpaced"):
        read(Result.TEXTS, [error_line(told)])


# -------------------------------------------------------------------------------------------------------------- errors

CLASSES = sorted(
    (
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, DataStoreError) and one is not errors.NotPicklableError
    ),
    key=lambda one: one.__name__,
)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda one: one.__name__)
def test_every_error_comes_through_as_the_same_class(kind):
    error = kind("what went wrong").during("reading 'k' of namespace 'default'", "sqlite")
    found = error_from_json(error_to_json(error, "ann")) if kind is not BatchError else None
    if found is not None:
        assert type(found) is kind
        assert (found.operation, found.backend) == (error.operation, error.backend)
        assert found.retryable == error.retryable
    assert 400 <= status_of(error) < 600


def test_only_what_went_wrong_behind_the_server_is_answered_as_a_fault_of_the_server():
    """A monitor counts 5xx; what is there and what is not is no fault of anybody's."""
    assert {kind.__name__ for kind in CLASSES if status_of(kind("what went wrong")) == 500} == {
        "DataStoreError", "BackendUnusableError", "ConfigurationError", "DamagedRecordError", "EmbedderError",
        "InternalError", "OutcomeUnknownError", "ReentrantCallError",
        "AnswerTimeoutError", "EffectUnknownError", "StepFailedError",  # raised where the run is, never by a server
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (ConflictError("m", revision="abc"), {"revision": "abc"}),
        (ConflictError("m"), {"revision": None}),
        (QuotaExceededError("m", unit="bytes", limit=5, needed=7), {"unit": "bytes", "limit": 5, "needed": 7}),
        (DamagedRecordError("m", id="ann:default:x", foreign=True), {"id": "ann:default:x", "foreign": True}),
        (PermissionDeniedError("m", by_the_store=True), {"by_the_store": True, "message": "m"}),
    ],
    ids=["conflict", "conflict-missing", "quota", "damaged", "permission"],
)
def test_an_error_keeps_its_attributes(error, attributes):
    found = error_from_json(error_to_json(error, "ann"))
    assert {name: getattr(found, name) for name in attributes} == attributes


def test_a_batch_keeps_the_outcome_of_each_record():
    error = BatchError("m", outcomes={"a": None, "b": KeyExistsError("there"), ("other", "c"): ConflictError("x")})
    found = error_from_json(error_to_json(error, "ann"))
    assert isinstance(found, BatchError)
    assert found.succeeded == ["a"]
    assert {key: type(one) for key, one in found.failed.items()} == {"b": KeyExistsError, ("other", "c"): ConflictError}
    assert found.message == "2 of 3 records failed, the others are done; the first is 'b': there"


SECRET = "/srv/secret.db: no such table: documents at http://admin:pw@db:5984"


@pytest.mark.parametrize(
    "kind",
    [
        errors.InternalError,
        errors.BackendUnusableError,
        errors.BackendUnavailableError,
        errors.ThrottledError,
        errors.DamagedRecordError,
        errors.ConfigurationError,
        errors.PermissionDeniedError,
    ],
    ids=lambda one: one.__name__,
)
def test_what_an_adapter_says_is_not_told(kind):
    for error in (kind(SECRET), BatchError(SECRET, outcomes={"a": kind(SECRET)})):
        assert b"secret" not in error_to_bytes(error_to_json(error, "ann"))
        assert b"admin" not in error_to_bytes(error_to_json(error, "ann"))


def test_an_id_of_another_user_is_not_told():
    assert error_to_json(DamagedRecordError("m", id="bob:default:x"), "ann")["id"] is None


def test_an_adapters_own_subclass_is_told_as_the_stores_class():
    class GoneError(BackendUnavailableError):
        pass

    assert error_to_json(GoneError("x"), "ann")["type"] == "BackendUnavailableError"


@pytest.mark.parametrize("told", [None, 7, {}, {"type": "Nonsense"}, {"type": [], "message": 7}], ids=str)
def test_what_is_no_error_is_an_internal_one(told):
    assert type(error_from_json(told)) is InternalError


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"result": {}}', b'{"result": 7}'], ids=str)
def test_what_is_no_answer_is_an_internal_error(body):
    with pytest.raises(InternalError, match="protocol"):
        answer_from_bytes(Result.FOUND, body)


def test_times_are_told_in_utc(data_store):
    record = data_store.get_record("k1")
    assert record is not None
    assert record.created_at.tzinfo is UTC
