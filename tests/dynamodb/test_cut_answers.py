"""Incomplete answers count as lost: each ends in the right result, and never in a wrong one.

Every answer of every call is cut or replaced, in a third of the ways in which a proxy or a broken connection could do
it, and in a full run in every way (`tests.full.some`).
"""

import json
import random
import time
import zlib

import pytest

import datastore
from datastore import DataStoreError, OutcomeUnknownError
from datastore.backend import Fields, IdRange
from datastore.conformance.calls import CALLS
from datastore.conformance.documents import put
from datastore.conformance.faults import backend_of
from datastore.ids import encode_key, encode_name, namespace_prefix
from datastore.moving import copy
from datastore.times import format_time
from datastore_dynamodb.table import drop_table
from tests.dynamodb.wire import after_each_answer, changed, operation_of
from tests.full import some
from tests.servers import dynamodb
from tests.timeless import timeless

pytestmark = pytest.mark.server("dynamodb")

HTML = b"<html><body>Please sign in to the network</body></html>"


def summed(request, answer, content):
    """A whole answer, but not of DynamoDB."""
    length, checksum = str(len(content)), str(zlib.crc32(content))
    return changed(request, answer, content, content_length=length, x_amz_crc32=checksum)


def proxied(request, answer, content):
    """An answer of a proxy that counts its bytes, and knows nothing of checksums."""
    return changed(request, answer, content, content_length=str(len(content)), x_amz_crc32=None)


def stale(request, answer, content):
    """An answer whose length was counted anew, and whose checksum was not."""
    return changed(request, answer, content, content_length=str(len(content)))


def renamed(content):
    return json.dumps({f"{name}X": value for name, value in json.loads(content).items()}).encode()


def without(content):
    return json.dumps(dict(list(json.loads(content).items())[1:])).encode()


PLACES = {
    "empty": lambda request, answer: changed(request, answer, b""),
    "empty, counted": lambda request, answer: proxied(request, answer, b""),
    "half": lambda request, answer: changed(request, answer, answer.content[: len(answer.content) // 2]),
    "half, counted": lambda request, answer: proxied(request, answer, answer.content[: len(answer.content) // 2]),
    "one byte less": lambda request, answer: changed(request, answer, answer.content[:-1]),
    "one byte less, counted": lambda request, answer: stale(request, answer, answer.content[:-1]),
    "HTML": lambda request, answer: proxied(request, answer, HTML),
    "HTML with a checksum": lambda request, answer: summed(request, answer, HTML),
    "{}": lambda request, answer: proxied(request, answer, b"{}"),
    "a list": lambda request, answer: proxied(request, answer, b"[]"),
    "a list with a checksum": lambda request, answer: summed(request, answer, b"[]"),
    "null": lambda request, answer: proxied(request, answer, b"null"),
    "members renamed": lambda request, answer: proxied(request, answer, renamed(answer.content)),
    "members renamed, old checksum": lambda request, answer: stale(request, answer, renamed(answer.content) + b" "),
    "a member missing": lambda request, answer: proxied(request, answer, without(answer.content)),
}
"""What becomes of an answer."""

LARGEST_ITEM = 2_000  # so that values of some kilobytes are split
SPLIT = random.Random(12).randbytes(2_500).hex()


def conditional(call):
    """A call at a revision that the record does not have any more."""

    def at_old_revision(data_store):
        old = revision(data_store)
        data_store.set("key", 1)
        return call(data_store, old)

    return at_old_revision


def revision(data_store):
    return data_store.get_record("key").revision


def flush(data_store):
    data_store.get_many(["key", "other", "list"])
    store_of(data_store).flush()


def flush_one(data_store):
    data_store.get("key")
    store_of(data_store).flush()


def copy_in(data_store):
    with datastore.connect("memory://") as source:
        other = source.agent(data_store.user_id, "a")
        other.set_many({"copied": 1, "also": [2]})
        report = copy(source, store_of(data_store))
    return report.written, report.problems


MORE = {
    "get-missing": lambda data_store: data_store.get("missing", "default"),
    "get-split": lambda data_store: data_store.get("split"),
    "set-metadata": lambda data_store: data_store.set("key", 2, {"b": 2}),
    "set-split": lambda data_store: data_store.set("key", SPLIT),
    "replace-split": lambda data_store: data_store.set("split", 1),
    "delete-split": lambda data_store: data_store.delete("split"),
    "delete-missing": lambda data_store: data_store.delete("missing"),
    "delete-at-revision": lambda data_store: data_store.delete(
        "key", if_revision=data_store.get_record("key").revision
    ),
    "add-existing": lambda data_store: data_store.add("key", 1),
    "set-refused": conditional(lambda data_store, old: data_store.set("key", 2, if_revision=old)),
    "delete-refused": conditional(lambda data_store, old: data_store.delete("key", if_revision=old)),
    "forget": lambda data_store: store_of(data_store).forget(data_store.user_id),
    "flush": flush,
    "flush-one": flush_one,
    "copy-in": copy_in,
}
EVERY_CALL = {**CALLS, **MORE}
_stores = {}


def store_of(data_store):
    return _stores[data_store.user_id]


@pytest.fixture(scope="module")
def stores():
    """A store to call, and another one that nobody meddles with."""
    url = dynamodb.MINISTACK.url()
    with datastore.connect(url, flush_interval=3_600) as store, datastore.connect(url, tracking="off") as judge:
        yield store, judge


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Pauses between two attempts are as short as can be."""
    monkeypatch.setattr("datastore.core._FIRST_DELAY", 0.001)
    monkeypatch.setattr("datastore_dynamodb.batches._FIRST_DELAY", 0.001)


@pytest.fixture(autouse=True)
def small_items(monkeypatch):
    """Large values are split, though they are small enough for hundreds of tests."""
    monkeypatch.setattr("datastore_dynamodb.codec.MAX_VALUE_SIZE", LARGEST_ITEM)
    monkeypatch.setattr("datastore_dynamodb.codec._ALWAYS_FITS", LARGEST_ITEM)


BEFORE = format_time(1_700_000_000)


def table_of(store):
    return backend_of(store)._connection.settings.table


def begin(stores, user, name):
    """An agent of a user with some records, which were created long before, by the clock, too."""
    store, judge = stores
    seed = {"key": 1, "other": 2, "list": [1], "object": {"a": 1}}
    if "split" in name or name in ("clear", "forget"):
        seed["split"] = SPLIT
    writes = [
        put(key, value, user=user, namespace="default", metadata={"m": 1}, at=BEFORE) for key, value in seed.items()
    ]
    backend_of(judge).write([*writes, put("key", 1, user=user, namespace="more", at=BEFORE)])
    _stores[user] = store
    return store.agent(user, "a")


def plain(found):
    """A result without what differs from call to call: revisions, times, the user."""
    if isinstance(found, datastore.Record):
        return (found.key, timeless(found.value), found.metadata, found.access_count)
    if isinstance(found, datastore.Page):
        return [plain(record) for record in found.records], found.cursor
    if isinstance(found, dict):
        return {name: plain(value) for name, value in found.items() if name not in ("range", "native")}
    if isinstance(found, (list, tuple)):
        return [plain(value) for value in found]
    return "text" if isinstance(found, str) and len(found) < 100 else found


def plain_key(key):
    """A key or an id without the user; those that `create` chooses are all the same."""
    key = key.partition(":")[2]
    return key if len(key) < 30 else "a new key"


def outcome(call, data_store):
    """What a call returns or raises; accesses that it notes are counted in here, too."""
    try:
        return plain(call(data_store))
    except DataStoreError as error:
        return type(error)


def state(judge, user):
    """All that is there of a user, but for times and revisions."""
    first = namespace_prefix(encode_name(user, "user"), "")[:-1]
    page = backend_of(judge).scan(IdRange(first, f"{first[:-1]};"), Fields.ALL, 100)
    return sorted(
        (plain_key(document.id), repr(timeless(document.value)), repr(document.metadata), document.access_count)
        for document in page.documents
    )


def run(stores, user, name, place=None, at=None):
    """Make a call, in which the answer with a number is changed; return the outcome, the state and the answers."""
    data_store = begin(stores, user, name)
    answers = []

    def change(_, request, answer):
        answers.append((operation_of(request), answer.status_code, answer.content))
        return PLACES[place](request, answer) if len(answers) - 1 == at else answer

    with after_each_answer(change):
        found = outcome(EVERY_CALL[name], data_store)
    stores[0].flush()
    return found, state(stores[1], user), answers


def test_an_answer_that_is_not_whole_is_said(stores):
    """Where it does not help to ask again."""
    begin(stores, "seen", "get")
    for place in PLACES.values():
        with (
            after_each_answer(lambda _, request, answer, place=place: place(request, answer)),
            pytest.raises(datastore.BackendUnavailableError),
        ):
            backend_of(stores[0]).read([f"seen:default:{encode_key('key')}"], Fields.ALL)


@pytest.mark.parametrize("name", EVERY_CALL)
def test_a_call_gets_over_every_answer_that_is_not_whole(stores, name):
    """It returns what it returns without a fault, and leaves the same behind."""
    expected, after, answers = run(stores, f"{name}-whole", name)
    if name == "delete-missing":
        expected = True  # what is gone after a delete whose answer was lost is taken for removed by it
    for at in range(len(answers)):
        for place in some(PLACES, list(EVERY_CALL).index(name) + at):
            found, left, seen = run(stores, f"{name}-{at}-{place}", name, place, at)
            told = name == "pop" and answers[at][0] == "DeleteItem" and found is OutcomeUnknownError
            assert left == after, (at, place)
            assert found == expected or told, (at, place, [operation for operation, *_ in seen])


WITHOUT_CHECKSUM = ("empty", "empty, counted", "half", "half, counted", "one byte less", "HTML", "a list", "null")
"""What can be told without one; and members of other names, wherever there are some."""


@pytest.mark.parametrize("name", ["get", "get_many", "set", "list_keys", "delete"])
def test_a_server_without_checksums_is_believed_where_the_form_is_right(stores, name):
    def never(_, request, answer):
        return proxied(request, answer, answer.content)

    with after_each_answer(never):
        store = datastore.connect(dynamodb.MINISTACK.url(table_of(stores[0])), tracking="off")
    for place in (None, *WITHOUT_CHECKSUM, *(["members renamed"] if name not in ("set", "delete") else [])):
        user = f"{name}-{place}"
        begin(stores, user, name)
        answers = []

        def change(_, request, answer, place=place, answers=answers):
            answers.append(answer)
            cut = PLACES[place](request, answer) if place and len(answers) == 1 else never(_, request, answer)
            return changed(request, cut, cut.content, x_amz_crc32=None)

        with after_each_answer(change):
            found = outcome(EVERY_CALL[name], store.agent(user, "a"))
        if place is None:
            expected = found
        assert found == expected, place
        assert len(answers) == (1 if place is None else 2)
    store.close()


def administer(url, name):
    """Do what an administrator does, and return what it says."""
    with datastore.connect(url) as store:
        backend = backend_of(store)
        if name == "examine":
            return [finding.healthy for finding in backend.examine(time.time())]
        if name == "count":
            return backend.document_count()
        if name == "copy":
            with datastore.connect("memory://") as target:
                report = copy(store, target)
                return report.written, plain(list(target.agent("u", "a").iter_records()))
        return name == "drop" and drop_table(backend._connection)


@pytest.mark.parametrize("name", ["connect", "examine", "count", "copy", "drop"])
def test_an_administrator_is_told_the_truth_or_that_it_cannot_be_found_out(name):
    """Connecting, and what is asked but once, is not sent again; it raises an error of the store."""

    def new():
        url = dynamodb.MINISTACK.url()
        if name != "connect":
            with datastore.connect(url, tracking="off") as store:
                store.agent("u", "a").set_many({"a": 1, "b": SPLIT})
        return url

    answers = []
    url = new()
    with after_each_answer(lambda _, request, answer: answers.append(operation_of(request)) or answer):
        expected = administer(url, name)
    for at in range(len(answers)):
        for place in some(PLACES, at).values():
            url, seen = url if name in ("examine", "count", "copy") else new(), []

            def change(_, request, answer, place=place, at=at, seen=seen):
                seen.append(operation_of(request))
                return place(request, answer) if len(seen) - 1 == at else answer

            with after_each_answer(change):
                try:
                    assert administer(url, name) == expected
                except datastore.BackendUnavailableError:
                    assert seen[at] in ("GetItem", "DescribeTable", "CreateTable", "PutItem"), seen
