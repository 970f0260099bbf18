"""Values larger than an item: compressed, split, and always whole."""

import os
import threading
import time
from datetime import timedelta

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

import datastore
from datastore import DamagedRecordError
from datastore.backend import Delete, Fields, Touch
from datastore.conformance.documents import at, put, stored
from datastore.ids import encode_key
from datastore.scope import scope_of
from datastore_dynamodb import codec
from tests.dynamodb.answers import refusal
from tests.dynamodb.wire import after_each_answer, operation_of
from tests.patience import PATIENCE

pytestmark = pytest.mark.server("dynamodb")


def noise(size):
    """Text that hardly compresses."""
    return os.urandom(size // 2).hex()[:size]


def parts(items):
    return [item for item in items() if item["pk"]["S"].endswith(":")]


def markers(items):
    return [item for item in items() if item["sk"]["S"].endswith("~")]


def main(items, key="k"):
    (item,) = [item for item in items() if item.get("key") == {"S": key}]
    return item


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("x" * 340_000, codec.NATIVE),
        ([1.0] * 80_000, codec.JSON),
        ("x" * 999_000, codec.ZIPPED),
        ([0] * 400_000, codec.ZIPPED),
        (noise(600_000), codec.ZIPPED),
        (noise(990_000), codec.PARTS),
    ],
    ids=["native", "text", "zipped", "zipped-list", "zipped-noise", "split"],
)
def test_a_value_takes_the_first_form_that_fits(agent, items, value, form):
    agent.set("k", value)
    assert [name for name in codec.VALUE_FORMS if name in main(items)] == [form]
    assert agent.get("k") == value
    assert agent.get_all() == {"k": value}
    assert agent.get_many(["k", "missing"]) == {"k": value}
    assert agent.get_record("k").value == value


def test_the_largest_native_values_fit_with_all_that_can_be_added_to_them(agent, items):
    agent = agent.use_namespace("n" * 255)
    value = ["x" * 1_000] * 348
    key = "k" * 512
    agent.set(key, value, {"m": "x" * 15_900})
    assert codec.NATIVE in main(items, key)
    agent.set(key, value, {"m": "y" * 15_900}, ttl=3_600)
    assert agent.get(key) == value


def test_the_parts_are_in_no_listing(agent, store, items):
    agent.set("k", noise(990_000))
    agent.set("l", 1)
    assert len(parts(items)) == 2
    assert agent.list_keys() == ["k", "l"]
    assert agent.count() == 2
    assert len(agent.scan().records) == 2
    assert agent.list_namespaces() == ["default"]
    assert store.agent("u:", "a").list_namespaces() == []
    agent.delete("k")
    agent.delete("l")
    assert agent.list_namespaces() == []
    assert agent.list_keys() == []
    assert agent.count() == 0


def test_what_is_replaced_or_removed_leaves_nothing(agent, items):
    agent.set("k", noise(990_000))
    first = parts(items)
    agent.set("k", noise(990_000))
    assert len(parts(items)) == 2
    assert not {part["sk"]["S"] for part in first} & {part["sk"]["S"] for part in parts(items)}
    agent.set("k", "small")
    assert parts(items) == []
    agent.set("k", noise(990_000), {"a": 1})
    agent.set_many({"k": 1, "l": 2}, {"b": 2})
    assert parts(items) == []
    assert agent.get_record("k").metadata == {"a": 1, "b": 2}
    agent.set("k", noise(990_000))
    agent.delete("k")
    assert parts(items) == []
    agent.set_many({"k": noise(990_000), "l": noise(990_000), "m": 1})
    assert agent.delete_many(["k", "l", "m"]) == 3
    assert parts(items) == []
    agent.set("k", noise(990_000))
    assert agent.clear() == 1
    assert items() == []


def test_creation_and_counts_stay(agent, store, stranger):
    agent.set("k", noise(990_000), {"a": 1})
    agent.get("k")
    store.flush()
    before = agent.get_record("k")
    stranger.set("k", noise(990_000), {"b": 2})
    after = agent.get_record("k")
    assert (after.created_at, after.created_by_agent, after.access_count) == (before.created_at, "a", 1)
    assert after.metadata == {"a": 1, "b": 2}


def test_a_condition_that_fails_leaves_nothing(agent, items):
    revision = agent.set("k", 1)
    agent.set("k", 2)
    with pytest.raises(datastore.ConflictError):
        agent.set("k", noise(990_000), if_revision=revision)
    with pytest.raises(datastore.KeyExistsError):
        agent.add("k", noise(990_000))
    assert parts(items) == []
    assert agent.get("k") == 2


@pytest.mark.parametrize("refused", [False, True], ids=["", "and they cannot be removed"])
def test_who_is_overtaken_when_its_parts_are_there_leaves_nothing_and_is_told(
    agent, stranger, items, wire, caplog, refused
):
    overtaken = []

    def overtake(_, request, answer):
        if operation_of(request) == "BatchWriteItem" and not overtaken:
            overtaken.append(stranger.add("k", "theirs"))
            if refused:
                wire.fail(refusal("AccessDeniedException"), operation="BatchWriteItem")
        return answer

    with after_each_answer(overtake), pytest.raises(datastore.KeyExistsError):
        agent.add("k", noise(990_000))
    assert overtaken
    assert agent.get("k") == "theirs"
    assert len(parts(items)) == (2 if refused else 0)
    assert ("are still there for now" in caplog.text) is refused


@pytest.mark.parametrize("operation", ["BatchWriteItem", "UpdateItem"])
def test_after_a_crash_between_two_steps_the_old_value_is_there_and_the_rest_reclaimed(
    url, items, agent, wire, operation
):
    """The writer dies after some of its requests; hours later somebody writes under that key again."""
    old, new = noise(990_000), noise(990_000)
    agent.set("k", old)
    wire.fail(refusal("AccessDeniedException"), operation=operation)
    with pytest.raises(datastore.PermissionDeniedError):
        agent.set("k", new)
    assert agent.get("k") == old
    left = len(parts(items)) - 2
    assert left == (2 if operation == "UpdateItem" else 0)
    with datastore.connect(url, clock=lambda: time.time() + 7_200) as later:
        later.agent("u", "later").set("k", new)
    assert len(parts(items)) == 2
    assert agent.get("k") == new


def test_after_a_crash_before_the_old_parts_are_removed_the_new_value_is_there(url, items, agent, wire):
    agent.set("k", noise(990_000))
    new = noise(990_000)
    wire.fail(refusal("AccessDeniedException"), operation="Query")  # the writer looks for what is left behind
    agent.set("k", new)
    assert agent.get("k") == new
    assert len(parts(items)) == 4
    agent.set("k", 1)  # the next writer removes what it replaces; the rest is reclaimed when it is old enough
    assert len(parts(items)) == 2


def test_clearing_the_namespace_reclaims_what_a_crash_left_behind(url, items, agent, wire):
    agent.set("other", 1)
    wire.fail(refusal("AccessDeniedException"), operation="PutItem")
    with pytest.raises(datastore.PermissionDeniedError):
        agent.add("k", noise(990_000))
    assert agent.list_keys() == ["other"]
    assert len(parts(items)) == 2
    assert agent.clear() == 1
    assert len(parts(items)) == 2, "a writer might still be about to switch to them"
    assert len(markers(items)) == 1
    with datastore.connect(url, clock=lambda: time.time() + 7_200) as later:
        assert later.agent("u", "later").clear() == 0
    assert items() == []


# Each attempt of a write stores parts of its own


@pytest.mark.parametrize(
    ("remove", "operation"),
    [
        (lambda stranger: stranger.clear(), "BatchWriteItem"),
        (lambda stranger: stranger.delete("k"), "DeleteItem"),
        (lambda stranger: stranger.delete_many(["k", "other"]), "TransactWriteItems"),
    ],
    ids=["clear", "delete", "delete_many"],
)
def test_a_write_that_is_sent_again_while_its_record_is_removed_keeps_its_parts(agent, stranger, remove, operation):
    """Its answer was lost, and whoever removes the record has not come to the parts yet."""
    value = noise(990_000)
    stranger.set("other", 1)
    removed, stored_again = threading.Event(), threading.Event()
    remover = threading.Thread(target=remove, args=(stranger,))

    def lose_the_answer(_, request, answer):
        if threading.current_thread() is remover:
            if operation_of(request) == operation and not removed.is_set():
                removed.set()
                assert stored_again.wait(PATIENCE)
        elif operation_of(request) == "PutItem" and not removed.is_set():
            remover.start()
            assert removed.wait(PATIENCE)
            raise ConnectionClosedError(endpoint_url=request.url)
        return answer

    with after_each_answer(lose_the_answer):
        agent.add("k", value)
        stored_again.set()
        remover.join()
    assert agent.get("k") == value


def late(wire, agent, value):
    """Add a value. Returns the first request for it, which has not arrived, and is not given up by the network."""
    sent = []

    def delay(request, body):
        sent.append(body)
        raise ReadTimeoutError(endpoint_url=request.url)

    wire.fail(delay, operation="PutItem")
    agent.add("k", value)
    return sent.pop()


def test_a_request_that_arrives_late_makes_no_record_without_its_parts(agent, client, wire):
    """The record that the repetition made is gone by then."""
    value = noise(990_000)
    request = late(wire, agent, value)
    assert agent.delete("k")
    client.put_item(**request)
    assert agent.get("k") == value


def test_a_repetition_that_the_first_request_overtakes_leaves_nothing(agent, client, wire, items):
    value, before = noise(990_000), []

    def delay(request, body):
        before.append(body)
        raise ReadTimeoutError(endpoint_url=request.url)

    wire.fail(delay, lambda *_: client.put_item(**before.pop()) and None, operation="PutItem")
    agent.add("k", value)
    assert agent.get("k") == value
    assert len(parts(items)) == 2


def test_after_a_lost_answer_the_parts_of_the_first_attempt_stay_until_they_are_old(url, agent, wire, items):
    late(wire, agent, noise(990_000))
    agent.set("k", noise(990_000))
    assert len(parts(items)) == 4
    with datastore.connect(url, clock=lambda: time.time() + 7_200) as later:
        later.agent("u", "later").set("k", 1)
    assert parts(items) == []


@pytest.mark.parametrize("operation", ["BatchWriteItem", "PutItem"])
def test_after_a_refusal_the_next_attempt_replaces_the_parts_of_the_one_before(agent, wire, items, operation):
    value = noise(990_000)
    wire.fail(refusal("ProvisionedThroughputExceededException"), operation=operation)
    agent.add("k", value)
    assert agent.get("k") == value
    assert len(parts(items)) == 2


@pytest.mark.parametrize("expires_at", [None, 20], ids=["for ever", "for longer"])
def test_what_was_seen_of_a_record_is_not_for_the_same_write_with_other_parts(
    backend, stranger, wire, client, table, items, expires_at
):
    """It was removed, and its writer has sent it again. A touch would prolong the parts that are gone."""
    value, other = noise(990_000), scope_of(stranger).core.backend
    write = put("k", value, expires_at=at(10))
    assert other.write([write])[0].done

    def again(*_):
        assert other.write([Delete(write.id, at(0))])[0].done
        assert other.write([write])[0].done

    # The touch is refused, since there are parts; it looks at the record, and prolongs what it has seen.
    wire.fail(lambda *_: None, lambda *_: None, again, operation="UpdateItem")
    until = None if expires_at is None else at(expires_at)
    assert backend.write([Touch(write.id, at(1), until)])[0].done
    wire.heal()
    record = main(items)
    assert record.get("expiresAt") == (None if until is None else {"S": until})
    for part in parts(items):
        ends = part.get("expiresAtEpoch")
        assert (ends is None) if until is None else int(ends["N"]) > int(record["expiresAtEpoch"]["N"])
    assert stored(backend, "k").value == value


# Parts as earlier versions have stored them: their name is the revision, and the record has only their number


@pytest.fixture
def earlier(agent, client, table, items):
    """A record with a value in parts, from an earlier version; returns its value."""
    value = noise(990_000)
    agent.set("k", value, {"m": 1}, ttl=3_600)
    record = main(items)
    for number, part in enumerate(parts(items)):
        client.delete_item(TableName=table, Key={"pk": part["pk"], "sk": part["sk"]})
        sort = f"{record['sk']['S']}:{record['revision']['S']}:{number}"
        client.put_item(TableName=table, Item={**part, "sk": {"S": sort}})
    client.put_item(TableName=table, Item={**record, codec.PARTS: {"N": "2"}})
    return value


def test_earlier_parts_are_read(earlier, stranger):
    assert stranger.get("k") == earlier
    assert stranger.get_all() == {"k": earlier}
    assert stranger.get_record("k").metadata == {"m": 1}


@pytest.mark.parametrize(
    ("remove", "left"),
    [
        (lambda agent: agent.delete("k"), 0),
        (lambda agent: agent.clear(), 0),
        (lambda agent: agent.set("k", 1), 0),
        (lambda agent: agent.set("k", noise(990_000), {"n": 2}), 2),
    ],
    ids=["delete", "clear", "replace", "replace by parts"],
)
def test_earlier_parts_are_removed(earlier, stranger, items, remove, left):
    remove(stranger)
    assert len(parts(items)) == left


def test_earlier_parts_are_prolonged(earlier, stranger, items):
    until = int(main(items)["expiresAtEpoch"]["N"]) + 6 * 86_400
    assert stranger.touch("k", ttl=timedelta(days=7))
    assert [int(part["expiresAtEpoch"]["N"]) > until for part in parts(items)] == [True, True]
    assert stranger.get("k") == earlier


def test_clearing_names_a_part_once_though_its_record_was_written_again(agent, items, client, table, wire):
    """A writer repeats its write, which keeps its revision, between two attempts to clear."""
    agent.set("k", noise(990_000))
    written = items()

    def write_again(request, body):
        for item in written:
            client.put_item(TableName=table, Item=item)
        return refusal("InternalServerError", 500)(request, body)

    wire.fail(lambda *_: None, write_again, operation="BatchWriteItem")  # the record is removed, and its parts are not
    agent.clear()
    assert items() == []


def test_clearing_a_range_leaves_the_parts_of_neighbours(url, items, agent):
    """Those of "abc" come after those of "abc!", though the keys are the other way round."""
    values = {key: noise(990_000) for key in ("abc", "abd")}
    agent.set_many({**values, "abc!": noise(990_000)})
    with datastore.connect(url, clock=lambda: time.time() + 7_200, tracking="off") as later:
        assert later.agent("u", "later").clear(start="abc!", end="abd") == 1
    assert agent.get_all() == values
    assert len(parts(items)) == 4


def test_clearing_a_range_removes_the_parts_of_all_that_is_in_it(agent, items):
    """Also of a key that the end of the range begins with."""
    agent.set_many({"abc": noise(990_000), "b": 1})
    assert agent.clear(start="a", end="abc!") == 1
    assert parts(items) == []
    assert agent.list_keys() == ["b"]


def test_clearing_up_to_a_key_keeps_the_marker_for_what_lies_after_it(url, items, agent, wire):
    wire.fail(refusal("AccessDeniedException"), operation="PutItem")
    with pytest.raises(datastore.PermissionDeniedError):
        agent.add("z", noise(990_000))
    agent.set("a", noise(990_000))
    assert agent.clear(end="m") == 1
    assert len(parts(items)) == 2
    assert len(markers(items)) == 1
    with datastore.connect(url, clock=lambda: time.time() + 7_200) as later:
        later.agent("u", "later").clear()
    assert items() == []


def test_expired_parts_expire_by_themselves_and_after_their_record(agent, items):
    agent.set("k", noise(990_000), ttl=timedelta(hours=1))
    times = [int(part["expiresAtEpoch"]["N"]) for part in parts(items)]
    assert all(time > int(main(items)["expiresAtEpoch"]["N"]) for time in times)
    assert len(times) == 2


def test_readers_see_old_or_new_while_writers_replace_and_remove(agent):
    values = [noise(990_000), noise(990_000), "small"]
    agent.set("k", values[0])
    stop = threading.Event()
    seen, errors = [], []

    def read():
        while not stop.is_set():
            try:
                seen.extend(value is None or value in values for value in (agent.get("k"), agent.get_all().get("k")))
            except Exception as error:  # noqa: BLE001  # the test looks at it
                errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(12):
        agent.set("k", values[number % 3])
        if number % 4 == 3:
            agent.delete("k")
    stop.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert seen
    assert all(seen)


def test_a_record_whose_parts_are_lost_is_damaged_and_not_missing(agent, client, table, items):
    agent.set("k", noise(990_000))
    part = parts(items)[0]
    client.delete_item(TableName=table, Key={"pk": part["pk"], "sk": part["sk"]})
    scope = scope_of(agent)
    with pytest.raises(DamagedRecordError, match="parts of its value are missing") as caught:
        scope.core.backend.read([scope.prefix + encode_key("k")], Fields.VALUE)
    assert caught.value.id == scope.prefix + encode_key("k")
    agent.set("k", 1)
    assert agent.get("k") == 1


def test_large_values_do_not_pile_up_in_a_page(agent, wire):
    agent.set_many({f"k{i}": "x" * 990_000 for i in range(12)})
    agent.set_many({f"n{i}": noise(990_000) for i in range(3)})
    assert len(agent.get_all()) == 15
    assert sum(len(record.value) for record in agent.iter_records()) == 15 * 990_000


@pytest.mark.parametrize("by", ["this clock", "the store's clock"])
def test_an_expired_record_whose_parts_are_gone_is_missing(url, agent, client, table, items, by):
    """DynamoDB removes what has expired in any order."""
    ttl = 0.01 if by == "this clock" else 60
    agent.set("k", noise(990_000), {"m": 1}, ttl=ttl)
    agent.set("other", 1)
    for part in parts(items):
        client.delete_item(TableName=table, Key={"pk": part["pk"], "sk": part["sk"]})
    with datastore.connect(url, clock=lambda: time.time() + 120, tracking="off") as store:
        later = store.agent("u", "b")
        assert later.get("k", "default") == "default"
        assert later.get_record("k") is None
        assert later.get_many(["k", "other"]) == {"other": 1}
        assert later.get_all() == {"other": 1}
        assert [record.key for record in later.iter_records()] == ["other"]
        assert later.increment("k") == 1
    with datastore.connect(url, tracking="off") as store:
        assert store.agent("u", "b").get("k") == 1


def test_a_live_record_whose_parts_are_gone_is_damaged_though_it_will_expire(agent, client, table, items):
    agent.set("k", noise(990_000), ttl=3_600)
    for part in parts(items):
        client.delete_item(TableName=table, Key={"pk": part["pk"], "sk": part["sk"]})
    for call in (lambda: agent.get("k"), lambda: agent.get_record("k"), lambda: agent.get_many(["k", "l"])):
        with pytest.raises(datastore.DamagedRecordError):
            call()
    assert agent.get_all() == {}


def test_a_split_value_that_has_expired_is_not_fetched(agent, wire):
    agent.set("k", noise(990_000), ttl=1e-6)
    wire.requests.clear()
    assert agent.get("k") is None
    assert wire.operations == ["GetItem"]
