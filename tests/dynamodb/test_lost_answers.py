"""With every third answer lost, whichever it is, everything is done once: writes, deletes, counts and clearing."""

import contextlib
import io
import os
import threading

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError, SSLError

import datastore
from datastore import BackendUnavailableError, ConflictError
from datastore.backend import Delete, Outcome, Touch
from datastore.conformance.documents import at, id_of, is_stored, put, stored
from datastore.errors import OutcomeUnknownError
from datastore.ids import encode_key
from datastore.moving import export_records, import_records
from tests.dynamodb.answers import answer, refusal
from tests.dynamodb.wire import Wire, after_each_answer, every_third_answer_lost, operation_of
from tests.servers import dynamodb

pytestmark = pytest.mark.server("dynamodb")

WRITERS, ROUNDS = 8, 6


def together(number, work):
    """Do a piece of work in threads, and raise what went wrong in the first of them."""
    errors = []

    def run(index):
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001  # raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(dynamodb.MINISTACK, id="ministack"),
        pytest.param(dynamodb.DYNALITE, id="dynalite", marks=pytest.mark.server("dynamodb-dynalite")),
    ],
)
def test_eight_writers_lose_every_third_answer_and_nothing_is_done_twice(server, monkeypatch):
    """Each has a store, and so a transport, of its own.

    What is sent again is sent at once, so that there is no time for eight others to write the same record.
    """
    monkeypatch.setattr("datastore.core._FIRST_DELAY", 0.001)
    url = server.url()
    with datastore.connect(url, tracking="off") as judge:
        truth = judge.agent("u", "judge")
        truth.set_many({"counter": 0, "list": [], "revised": 0, "read": 1, **{f"k{n}": n for n in range(WRITERS)}})

        def work(number):
            with datastore.connect(url, flush_interval=3_600) as store:
                agent = store.agent("u", f"writer {number}")
                for turn in range(ROUNDS):
                    agent.increment("counter")
                    agent.append("list", f"{number}:{turn}")
                    revise(agent)
                    assert agent.get("read") == 1
                    store.flush()
                assert agent.delete(f"k{number}")
                agent.add(f"added{number}", number)
                agent.set_many({f"a{number}": 1, f"b{number}": 2})
                assert agent.delete_many([f"a{number}", f"b{number}"]) == 2

        with every_third_answer_lost() as counts:
            together(WRITERS, work)
        assert counts["lost"] >= counts["answers"] // 3 - 2 * WRITERS
        done = WRITERS * ROUNDS
        assert truth.get("counter") == done
        assert sorted(truth.get("list")) == sorted(f"{n}:{turn}" for n in range(WRITERS) for turn in range(ROUNDS))
        assert truth.get("revised") == done
        assert truth.get_record("read").access_count == done
        added = [f"added{number}" for number in range(WRITERS)]
        assert truth.list_keys() == sorted([*added, "counter", "list", "revised", "read"])


def revise(agent):
    """Add one to a record as somebody does who knows nothing but `if_revision`."""
    while True:
        record = agent.get_record("revised")
        try:
            agent.set("revised", record.value + 1, if_revision=record.revision)
        except ConflictError:
            continue
        return


@pytest.fixture
def between(wire):
    """Lets the next request of an operation be carried out and its answer be lost, with something done in between."""

    def between(operation, something):
        pending = [operation]

        def change(_, request, answer):
            if operation_of(request) in pending:
                pending.clear()
                something()
                return refusal("InternalServerError", 500)(request, None)
            return answer

        return after_each_answer(change)

    return between


def test_an_increment_is_applied_once_though_others_come_before_it_is_sent_again(agent, stranger, between):
    agent.set("n", 0)
    with between("UpdateItem", lambda: [stranger.increment("n") for _ in range(7)]):
        agent.increment("n")
    assert agent.get("n") == 8


@pytest.mark.parametrize("metadata", [None, {"m": 1}])
def test_a_plain_set_is_not_brought_back_over_a_later_one(agent, stranger, between, metadata):
    agent.set("k", "old", metadata)
    with between("UpdateItem", lambda: stranger.set("k", "theirs")):
        agent.set("k", "mine", metadata)
    assert agent.get("k") == "theirs"


def test_an_add_whose_answer_was_lost_is_no_conflict_with_what_came_after_it(agent, stranger, between):
    with between("PutItem", lambda: stranger.set("k", "theirs")):
        agent.add("k", "mine")
    assert agent.get("k") == "theirs"


def test_a_batch_is_not_brought_back_over_later_writes(agent, stranger, between):
    with between("TransactWriteItems", lambda: stranger.set_many({"a": "theirs", "c": 3})):
        assert agent.set_many({"a": "mine", "b": "mine"}) == 2
    assert agent.get_all() == {"a": "theirs", "b": "mine", "c": 3}


def test_a_batch_is_done_once_though_its_records_no_longer_know_of_it(agent, stranger, between):
    def others():
        for number in range(9):  # a record remembers eight writes
            stranger.set("a", number)
        stranger.delete("b")

    with between("TransactWriteItems", others):
        assert agent.set_many({"a": "mine", "b": "mine"}) == 2
    assert agent.get_all() == {"a": 8}


def test_what_is_restored_twice_or_deleted_twice_is_so_both_times(store, agent):
    agent.set_many({"a": 1, "b": 2})
    file = io.BytesIO()
    export_records(store, file)
    for _ in range(2):
        assert agent.delete_many(["a", "b"]) == 2
        file.seek(0)
        assert import_records(file, store).complete
        assert agent.get_all() == {"a": 1, "b": 2}


def test_a_set_of_a_large_value_is_not_brought_back_over_a_later_one(agent, stranger, between, items):
    large = os.urandom(495_000).hex()
    agent.set("k", "old")
    with between("UpdateItem", lambda: stranger.set("k", "theirs")):
        agent.set("k", large)
    assert agent.get("k") == "theirs"
    assert [item for item in items() if item["pk"]["S"].endswith(":")] == []


def test_a_set_of_a_large_value_over_a_large_one_is_repeated_whole(agent, between):
    first, second = os.urandom(495_000).hex(), os.urandom(495_000).hex()
    agent.set("k", first)
    with between("UpdateItem", lambda: None):
        agent.set("k", second)
    assert agent.get("k") == second


@pytest.mark.parametrize("conditional", [False, True], ids=["", "at a revision"])
def test_a_delete_is_done_though_a_new_record_has_come_which_stays(agent, stranger, between, conditional):
    revision = agent.set("k", 1)
    with between("DeleteItem", lambda: stranger.add("k", "theirs")):
        assert agent.delete("k", if_revision=revision if conditional else None)
    assert agent.get("k") == "theirs"


def test_a_delete_that_was_refused_stays_refused_when_it_is_sent_again(agent, stranger, between):
    revision = agent.set("k", 1)
    current = stranger.set("k", 2)
    with between("DeleteItem", lambda: None), pytest.raises(ConflictError) as caught:
        agent.delete("k", if_revision=revision)
    assert caught.value.revision == current
    assert agent.get("k") == 2


def test_deletes_of_a_batch_at_revisions_are_done_though_new_records_have_come(store, stranger, between, agent):
    revisions = {key: agent.set(key, 1) for key in ("a", "b")}
    now = store._core.now()
    deletes = [Delete(f"u:default:{encode_key(key)}", now, revision) for key, revision in revisions.items()]
    with between("TransactWriteItems", lambda: stranger.set("a", "theirs")):
        outcomes = store._core.write(deletes)
    assert [outcome.done for outcome in outcomes] == [True, True]
    assert agent.get_all() == {"a": "theirs"}


@pytest.fixture
def lose(client, wire):
    """Lets the server carry out the next request of an operation, whose answer is then lost."""

    def lose(operation, method):
        def carried_out_and_lost(request, body):
            with contextlib.suppress(ClientError):
                getattr(client, method)(**body)
            return refusal("InternalServerError", 500)(request, body)

        wire.fail(carried_out_and_lost, operation=operation)

    return lose


def test_a_repeated_merge_whose_answer_was_lost_is_done_once(agent, lose):
    agent.set("k", 1, {"a": 1})
    lose("UpdateItem", "update_item")
    revision = agent.set("k", 2, {"b": 2}, if_revision=agent.get_record("k").revision)
    record = agent.get_record("k")
    assert (record.value, record.metadata, record.revision) == (2, {"a": 1, "b": 2}, revision)


def test_a_repeated_delete_whose_answer_was_lost_has_removed_the_record(agent, lose, wire):
    agent.set("k", 1)
    wire.requests.clear()
    lose("DeleteItem", "delete_item")
    assert agent.delete("k") is True
    # The one that is carried out is sent inside the one that is lost.
    assert wire.operations == ["DeleteItem", "DeleteItem", "GetItem"]
    assert agent.delete("k") is False


def test_a_repeated_conditional_delete_whose_answer_was_lost_is_no_conflict(agent, lose):
    revision = agent.set("k", 1)
    lose("DeleteItem", "delete_item")
    assert agent.delete("k", if_revision=revision) is True
    agent.set("k", 2)
    lose("DeleteItem", "delete_item")
    with pytest.raises(ConflictError):
        agent.delete("k", if_revision=revision)


def test_a_repeated_batch_of_deletes_whose_answer_was_lost_counts_what_it_removed(agent, lose):
    agent.set_many({"a": 1, "b": 2})
    lose("TransactWriteItems", "transact_write_items")
    assert agent.delete_many(["a", "b", "missing"]) == 2


@pytest.fixture
def revision(backend):
    first = put("key", 1)
    backend.write([first])
    return first.revision


def certain(revision, key="key"):
    return Delete(id_of(key), at(1), revision, certain=True)


def is_unknown(outcome):
    return not outcome.done and isinstance(outcome.error, OutcomeUnknownError)


def test_a_certain_delete_whose_answer_was_lost_is_not_done(backend, revision, between, wire):
    with between("DeleteItem", lambda: None):
        assert is_unknown(backend.write([certain(revision)])[0])
    assert not is_stored(backend, "key")
    assert wire.operations.count("DeleteItem") == 1, "sending it again makes nobody wiser"


def test_of_two_certain_deletes_one_is_done_though_the_request_of_the_other_was_lost(
    backend, stranger, revision, wire, url
):
    theirs = []
    with datastore.connect(url) as other:

        def removed_in_between(request, body):
            theirs.append(other.backend.write([certain(revision)._replace(at=at(2))])[0])
            return refusal("InternalServerError", 500)(request, body)

        wire.fail(removed_in_between, operation="DeleteItem")
        assert is_unknown(backend.write([certain(revision)])[0])
    assert theirs == [Outcome(True)]


@pytest.mark.parametrize("sent_again", [False, True], ids=["at once", "later"])
def test_a_certain_delete_whose_request_was_lost_is_done_when_it_is_sent_again(backend, revision, wire, sent_again):
    fault = ReadTimeoutError(endpoint_url="http://x") if sent_again else refusal("InternalServerError", 500)
    wire.fail(fault, operation="DeleteItem")
    with pytest.raises(BackendUnavailableError):
        backend.write([certain(revision)])
    assert backend.write([certain(revision)]) == [Outcome(True)]
    assert not is_stored(backend, "key")


def test_a_certain_delete_that_was_not_answered_in_time_is_not_done(backend, revision, wire, client):
    def carried_out(request, body):
        client.delete_item(**body)
        raise ReadTimeoutError(endpoint_url="http://x")

    wire.fail(carried_out, operation="DeleteItem")
    with pytest.raises(BackendUnavailableError):
        backend.write([certain(revision)])
    assert is_unknown(backend.write([certain(revision)])[0])


def test_a_certain_delete_is_not_done_though_a_new_record_has_come_which_stays(backend, revision, between, url):
    with datastore.connect(url) as other:
        come = put("key", "theirs", at=at(2), if_absent=True)
        with between("DeleteItem", lambda: other.backend.write([come])):
            assert is_unknown(backend.write([certain(revision)])[0])
    assert stored(backend, "key").value == "theirs"


def test_a_certain_delete_that_came_too_late_says_what_is_there(backend, revision, between, url):
    current = put("key", 2, at=at(0.5))
    backend.write([current])
    with between("DeleteItem", lambda: None):
        assert backend.write([certain(revision)]) == [Outcome(False, current.revision)]


def test_certain_deletes_of_a_batch_whose_answer_was_lost_are_not_done(backend, between):
    first, second = put("a", 1), put("b", 2)
    backend.write([first, second])
    deletes = [certain(first.revision, "a"), certain(second.revision, "b")]
    with between("TransactWriteItems", lambda: None):
        outcomes = backend.write([*deletes, certain("none", "missing")])
    assert [is_unknown(outcome) for outcome in outcomes] == [True, True, False]
    assert outcomes[2] == Outcome(False)


def test_a_certain_delete_over_tls_that_broke_is_in_doubt(backend, revision, wire, client):
    def carried_out(request, body):
        client.delete_item(**body)
        raise SSLError(endpoint_url="https://x", error="EOF occurred in violation of protocol")

    wire.fail(carried_out, operation="DeleteItem")
    assert is_unknown(backend.write([certain(revision)])[0])


def test_an_answer_without_the_item_that_was_removed_is_not_believed(backend, revision, wire):
    wire.fail(answer({}), operation="DeleteItem")
    with pytest.raises(BackendUnavailableError, match="lacks the item"):
        backend.write([certain(revision)])
    assert is_stored(backend, "key")


def test_a_touch_whose_answer_was_lost_is_done(backend, revision, between, wire):
    with between("UpdateItem", lambda: None):
        assert backend.write([Touch(id_of("key"), at(1), at(60))]) == [Outcome(True)]
    assert wire.operations[-2:] == ["UpdateItem", "GetItem"]
    assert stored(backend, "key").expires_at == at(60)


def test_a_touch_that_is_sent_again_leaves_alone_what_was_created_since(backend, revision, wire, url):
    """Its answer was lost, and so was that of the look at what became of it."""
    touch = Touch(id_of("key"), at(1), at(60))
    wire.fail(ReadTimeoutError(endpoint_url="http://x"), operation="UpdateItem")
    with pytest.raises(BackendUnavailableError):
        backend.write([touch])
    with datastore.connect(url) as other:
        other.backend.write([Delete(id_of("key"), at(2))])
        other.backend.write([put("key", "theirs", at=at(3), expires_at=at(9))])
    assert backend.write([touch]) == [Outcome(True)]
    assert stored(backend, "key").expires_at == at(9)


# A request that arrives late, when others have removed the record and created it again


LATE = [
    (put("key", "late", at=at(1)), "UpdateItem"),
    (put("key", "late", at=at(1), expires_at=at(60)), "UpdateItem"),
    (put("key", "late", at=at(1), expires_at=at(60), keep_expiry=True), "UpdateItem"),
    (Delete(id_of("key"), at(1)), "DeleteItem"),
    (Delete(id_of("key"), at(1), only_own=True), "DeleteItem"),
    (Touch(id_of("key"), at(1), at(60)), "UpdateItem"),
]
"""Writes that are sent without having read the record."""
SENT_LATE = pytest.mark.parametrize(
    ("write", "operation"),
    LATE,
    ids=["set", "set for a time", "set that keeps the time", "delete", "delete of its own", "touch"],
)


@SENT_LATE
def test_a_request_that_arrives_late_leaves_alone_what_was_created_since(
    backend, revision, wire, client, url, write, operation
):
    sent = []

    def delay(request, body):
        sent.append(body)
        raise ReadTimeoutError(endpoint_url="http://x")

    wire.fail(delay, operation=operation)
    with pytest.raises(BackendUnavailableError):
        backend.write([write])
    assert backend.write([write])[0].done
    theirs = put("key", "theirs", at=at(3), expires_at=at(9))
    with datastore.connect(url) as other:
        other.backend.write([Delete(id_of("key"), at(2))])
        other.backend.write([theirs])
        method = {"UpdateItem": client.update_item, "DeleteItem": client.delete_item}[operation]
        with pytest.raises(ClientError, match="ConditionalCheckFailed"):
            method(**sent[0])
        document = stored(other.backend, "key")
    assert (document.value, document.revision, document.expires_at) == ("theirs", theirs.revision, at(9))


def test_a_touch_that_arrives_late_takes_no_expiry_from_what_was_written_since(backend, revision, wire, client, url):
    sent = []

    def delay(request, body):
        sent.append(body)
        raise ReadTimeoutError(endpoint_url="http://x")

    wire.fail(delay, operation="UpdateItem")
    touch = Touch(id_of("key"), at(1), at(60))
    with pytest.raises(BackendUnavailableError):
        backend.write([touch])
    assert backend.write([touch]) == [Outcome(True)]
    with datastore.connect(url) as other:
        other.backend.write([put("key", "theirs", at=at(2))])
        with pytest.raises(ClientError, match="ConditionalCheckFailed"):
            client.update_item(**sent[0])
        assert stored(other.backend, "key").expires_at is None


@SENT_LATE
def test_where_the_clock_is_behind_that_of_the_record_it_takes_a_second_request(
    backend, wire, url, items, write, operation
):
    with datastore.connect(url) as other:
        other.backend.write([put("key", 1, at=at(30))])
    assert backend.write([write])[0].done
    assert wire.operations == [operation] * 2
    if isinstance(write, Delete):
        assert items() == []
    else:
        assert stored(backend, "key").value == (1 if isinstance(write, Touch) else "late")


@pytest.mark.parametrize(("write", "operation"), LATE[:2] + LATE[3:])
def test_a_record_that_does_not_say_when_it_was_created_takes_one(
    backend, revision, wire, items, client, table, write, operation
):
    """Somebody has removed that by hand."""
    (item,) = items()
    client.put_item(
        TableName=table, Item={name: one for name, one in item.items() if name not in ("createdAt", "updatedAt")}
    )
    wire.requests.clear()
    assert backend.write([write])[0].done
    assert wire.operations == [operation]


def test_a_touch_that_was_refused_is_not_taken_for_done_because_of_a_record_made_since(backend, wire, url):
    """It found no record, and the answer to its look was lost. Then its next request is lost as well."""
    touch = Touch(id_of("key"), at(1), at(60))
    wire.fail(refusal("InternalServerError", 500), operation="GetItem")
    with pytest.raises(BackendUnavailableError):
        backend.write([touch])
    with datastore.connect(url) as other:
        other.backend.write([put("key", at=at(2))])
    wire.fail(refusal("InternalServerError", 500), operation="UpdateItem")
    outcomes = None
    while outcomes is None:  # the store sends it again
        with contextlib.suppress(BackendUnavailableError):
            outcomes = backend.write([touch])
    assert outcomes == [Outcome(True)]
    assert stored(backend, "key").expires_at == at(60)


def test_deletes_that_stay_unanswered_do_not_pile_up(url, monkeypatch):
    with datastore.connect(url, retry_seconds=0) as store:
        backend, agent = store.backend, store.agent("u", "a")
        monkeypatch.setattr(backend._writer, "_most_unanswered", 3)
        Wire(backend._connection.client).fail(refusal("InternalServerError", 500), forever=True)
        for number in range(5):
            with pytest.raises(BackendUnavailableError):
                agent.delete(f"k{number}")
        assert len(backend._writer.unanswered) == 3
