"""Moving an expiry: parts of a value outlive their record whatever touches meet, and what was seen may have expired."""

import os

import pytest

import datastore
from datastore.backend import Delete, Outcome, Touch
from datastore.conformance.clock import DAY
from datastore.conformance.documents import at, id_of, put, stored
from datastore.conformance.topics.moving import document, restoring
from datastore_dynamodb.items import epoch
from tests.dynamodb.wire import Wire

pytestmark = pytest.mark.server("dynamodb")

LARGE = os.urandom(495_000).hex()


def touch(expires_at, moment=0, key="key"):
    return Touch(id_of(key), at(moment), expires_at)


def in_days(days):
    return None if days is None else at(days * DAY)


@pytest.fixture
def other(store, url):
    """The backend of another process."""
    with datastore.connect(url) as other:
        yield other.backend


@pytest.fixture
def times(other, table):
    """Reads when the record goes by itself, and when its parts do, in days after moment 0; ``None`` is never."""
    pages = other._connection.client.get_paginator("scan")  # so that it can be asked while the store sends a request
    asked = {
        "TableName": table,
        "ConsistentRead": True,
        "ProjectionExpression": "pk, #key, expiresAt, expiresAtEpoch",
        "ExpressionAttributeNames": {"#key": "key"},
    }

    def times():
        record, found = None, set()
        for item in [item for page in pages.paginate(**asked) for item in page["Items"]]:
            until = item.get("expiresAtEpoch")
            days = None if until is None else (int(until["N"]) - epoch(at(0))) / DAY
            if item["pk"]["S"].endswith(":"):
                found.add(days)
            elif "key" in item:
                assert ("expiresAt" in item) == ("expiresAtEpoch" in item)
                record = days
        return record, found

    return times


@pytest.fixture
def whole(times):
    """Asserts that no part goes before its record, nor at the same time, since clocks differ."""

    def whole():
        record, of_parts = times()
        assert of_parts
        never = float("inf")
        assert min(never if one is None else one for one in of_parts) >= (never if record is None else record + 1)

    return whole


def test_the_native_expiry_moves_along(backend, times):
    backend.write([put("key", 1, expires_at=in_days(2))])
    for days in (3, 1, None, 2):
        assert backend.write([touch(in_days(days))]) == [Outcome(True)]
        assert times() == (days, set())


def test_parts_expire_a_day_after_their_record_wherever_it_is_moved(backend, times):
    backend.write([put("key", LARGE, expires_at=in_days(2))])
    assert times() == (2, {3})
    for days in (3, 1, None, 2, 2, 1, None, None):
        assert backend.write([touch(in_days(days))]) == [Outcome(True)]
        assert times() == (days, {None if days is None else days + 1})
        assert stored(backend, "key").value == LARGE


@pytest.mark.parametrize(("first", "second"), [(1, 5), (1, 20), (1, None), (20, 1), (None, 5)])
def test_touches_that_meet_leave_no_record_without_its_parts(backend, other, wire, whole, first, second):
    """Another touch comes before each request of one, and each might be its last."""
    backend.write([put("key", LARGE, expires_at=in_days(10))])
    position, met = 0, True
    while met:
        backend.write([touch(in_days(10))])
        sent, met = [], False

        def before(request, body, position=position, sent=sent):
            nonlocal met
            whole()
            if len(sent) == position:
                met = True
                assert other.write([touch(in_days(second))])[0].done
                whole()
            sent.append(body)

        wire.fail(before, forever=True)
        assert backend.write([touch(in_days(first))])[0].done
        wire.heal()
        whole()
        position += 1
    assert position > 4


def interrupt(*_):
    raise KeyboardInterrupt


def at_request(number, something):
    """Let something happen before a request, given by its number from 1."""
    left = [None] * (number - 1)
    return lambda *_: left.pop() if left else something()


def test_a_touch_that_is_interrupted_takes_no_part_from_a_longer_one_under_way(backend, other, wire, times):
    backend.write([put("key", LARGE, expires_at=in_days(10))])

    def shorter():  # the longer one has prolonged the parts, and is about to move the expiry of the record
        wire.fail(at_request(4, interrupt), forever=True)
        with pytest.raises(KeyboardInterrupt):
            backend.write([touch(in_days(15))])

    Wire(other._connection.client).fail(*[at_request(1, lambda: None)] * 3, at_request(1, shorter))
    assert other.write([touch(in_days(20))])[0].done
    assert times() == (20, {21})


def test_touches_that_were_interrupted_are_made_up_for_by_the_next(backend, wire, times, whole):
    backend.write([put("key", LARGE, expires_at=in_days(10))])
    for number in range(2, 7):
        wire.fail(at_request(number, interrupt), forever=True)
        with pytest.raises(KeyboardInterrupt):
            backend.write([touch(in_days(1))])
        wire.heal()
        whole()
        backend.write([touch(in_days(10))])
    backend.write([touch(None)])
    backend.write([touch(in_days(3))])
    assert times() == (3, {4})


def test_a_large_value_that_keeps_the_expiry_has_parts_that_live_as_long(backend, times):
    backend.write([put("key", LARGE, expires_at=in_days(10))])
    backend.write([put("key", LARGE[::-1], expires_at=in_days(1), keep_expiry=True)])
    assert times() == (10, {11})
    backend.write([touch(None)])
    backend.write([put("key", LARGE, expires_at=in_days(1), keep_expiry=True)])
    assert times() == (None, {None})


@pytest.mark.parametrize("days", [None, 20, 1])
def test_a_touch_while_a_large_value_is_written_is_kept(backend, other, wire, times, days):
    backend.write([put("key", LARGE, expires_at=in_days(10))])
    wire.fail(lambda *_: other.write([touch(in_days(days))]) and None, operation="UpdateItem")
    assert backend.write([put("key", LARGE[::-1], expires_at=in_days(5), keep_expiry=True)])[0].done
    assert times() == (days, {None if days is None else days + 1})
    assert stored(backend, "key").value == LARGE[::-1]


@pytest.mark.parametrize(
    ("value", "parts"), [(LARGE[::-1], {21}), ("small", set())], ids=["by one with parts", "by one without"]
)
@pytest.mark.parametrize("days", [10, 30])
def test_a_touch_of_a_value_that_is_replaced_meanwhile_is_made_on_the_new_one(
    backend, other, wire, times, value, parts, days
):
    backend.write([put("key", LARGE, expires_at=in_days(10))])
    sent = []

    def before(*_):
        sent.append(1)
        if len(sent) == 2:  # after the record was seen, and before its parts are prolonged
            other.write([put("key", value, expires_at=in_days(days))])

    wire.fail(before, forever=True)
    assert backend.write([touch(in_days(20))])[0].done
    wire.heal()
    assert times() == (20, parts)
    assert stored(backend, "key").value == value


def test_a_touch_of_a_value_whose_parts_were_removed_by_hand_makes_none(backend, items, client, table):
    backend.write([put("key", LARGE)])
    for item in items():
        if item["pk"]["S"].endswith(":"):
            client.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})
    assert backend.write([touch(in_days(20))])[0].done
    assert [item for item in items() if item["pk"]["S"].endswith(":")] == []


# What was seen live may have expired since at the same revision, and the other way round


def test_metadata_is_not_merged_into_what_has_expired_by_a_touch_since_it_was_seen(backend, other):
    backend.write([put("key", 1, metadata={"old": 1}, agent="old")])
    other.write([touch(at(10))])
    assert backend.write([put("key", 2, metadata={"new": 1}, at=at(20), agent="new")])[0].done
    document = stored(backend, "key")
    assert (document.metadata, document.created_by_agent, document.expires_at) == ({"new": 1}, "new", None)


def test_what_lives_again_by_a_touch_is_not_replaced_as_if_it_had_expired(backend, other, wire):
    backend.write([put("key", 1, metadata={"old": 1}, expires_at=at(10), agent="old")])
    # The put was refused, and is about to replace what has expired. The clock of the touch is behind.
    wire.fail(lambda *_: other.write([touch(at(60), 5)]) and None, operation="PutItem")
    assert backend.write([put("key", 2, at=at(20), agent="new")])[0].done
    document = stored(backend, "key")
    assert (document.value, document.metadata, document.created_by_agent) == (2, {"old": 1}, "old")


def test_deletes_of_a_batch_say_what_was_live_when_they_removed_it(backend, other, wire):
    first = put("key", 1)
    backend.write([first, put("another", 1)])
    wire.fail(lambda *_: other.write([touch(at(10))]) and None, operation="TransactWriteItems")
    deletes = [Delete(id_of("key"), at(20), first.revision), Delete(id_of("another"), at(20))]
    assert backend.write(deletes) == [Outcome(False), Outcome(True)]


def test_a_touch_does_not_wake_what_expires_meanwhile(backend, other, wire):
    backend.write([put("key", LARGE, expires_at=in_days(10))])
    sent = []

    def before(*_):
        sent.append(1)
        if len(sent) == 2:
            other.write([touch(at(10))])

    wire.fail(before, forever=True)
    assert backend.write([touch(in_days(20), 20)]) == [Outcome(False)]


def test_a_touch_leaves_what_another_program_has_written(backend, client, table, items):
    backend.write([put("key", 1)])
    (item,) = items()
    del item["revision"]
    client.put_item(TableName=table, Item=item)
    (outcome,) = backend.write([touch(at(60))])
    assert (outcome.done, type(outcome.error).__name__) == (False, "DamagedRecordError")
    assert items() == [item]


# Who wrote last


def test_a_restore_takes_over_who_wrote_last_or_that_nobody_knows(backend, items):
    backend.write([put("key", 1, agent="writer", revision="r0")])
    for number, agent in enumerate(["other", "", None]):
        whole = document("key", number, updated_by_agent=agent, revision=f"r{number + 1}")
        assert backend.restore([restoring(whole, f"r{number}")])[0].done
        assert stored(backend, "key") == whole
        assert [item.get("updatedByAgent") for item in items()] == [None if agent is None else {"S": agent}]
