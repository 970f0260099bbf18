"""Listing the users of a table: each partition is looked into once, and nothing but users of records is listed."""

import os

import pytest
from moto import mock_aws

import datastore
from datastore.backend import Delete, Fields, Forgotten, IdRange, Outcome, Put, Touch
from datastore.conformance.documents import apply, at, id_of, put
from datastore.ids import SYSTEM, encode_name
from tests.dynamodb.wire import Wire
from tests.servers import dynamodb

pytestmark = pytest.mark.server("dynamodb")

ODD = ["ann", "ann:", "ann%.", "ann%", "_format", "%", "Ann", "é", "\U0001f600", "\U0010ffff", "a b", "~", "x" * 255]


@pytest.fixture(
    params=[
        pytest.param(dynamodb.MINISTACK, id="ministack"),
        pytest.param(dynamodb.DYNALITE, id="dynalite", marks=pytest.mark.server("dynamodb-dynalite")),
        pytest.param(None, id="moto"),
    ]
)
def backend(request):
    if request.param is not None:
        with datastore.connect(request.param.url()) as store:
            yield store.backend
        return
    with mock_aws(), datastore.connect(f"dynamodb://{dynamodb.new_table()}?region=eu-west-1") as store:
        yield store.backend


def system(user: str, key: str) -> Put:
    """Return the write of a record that the store keeps about a user."""
    write = put(key, "held", namespace="leases", user=user)
    beginning = encode_name(user, "user")
    return write._replace(id=f"{beginning}{SYSTEM}{write.id.removeprefix(beginning)}")


def paged(backend, limit):
    found, after = [], None
    while len(page := backend.users(limit, after)) == limit:
        found += page
        after = page[-1]
    return found + page


def test_every_user_is_listed_once_in_whatever_pages(backend):
    apply(backend, [put("key", 1, namespace=f"ns{number}", user=user) for user in ODD for number in range(3)])
    users = backend.users(100)
    assert sorted(users) == sorted(encode_name(user, "user") for user in ODD)
    for limit in (1, 2, 5, len(ODD)):
        assert paged(backend, limit) == users


def test_an_empty_table_has_no_users(backend):
    assert backend.users(10) == []


def test_only_users_of_records_are_listed(backend):
    """Parts of values, their markers, system records, and what another program has written make nobody a user."""
    client, table = backend._connection.client, backend._connection.settings.table
    apply(
        backend,
        [put("large", os.urandom(495_000).hex(), user="parts"), put("key", 1, user="expired", expires_at=at(-1))],
    )
    first, second = (put("large", os.urandom(495_000).hex(), user=user) for user in ("marker", "marker and more"))
    apply(backend, [first, second, put("key", 1, user="marker and more", namespace="z")])
    for write in (first, second):
        apply(backend, [Delete(write.id, at(1))])
    apply(backend, [system("system", "lease"), system("both", "lease"), put("key", 1, user="both")])
    for number in range(7):
        for user in ("foreign", "foreign and more"):
            client.put_item(TableName=table, Item={"pk": {"S": user}, "sk": {"S": f"a{number}"}})
    apply(backend, [put("key", 1, user="foreign and more")])
    users = ["both", "expired", "foreign and more", "marker and more", "parts"]
    assert sorted(backend.users(100)) == users
    assert sorted(paged(backend, 1)) == users


def test_system_records_are_written_read_and_scanned_like_others(backend):
    writes = [system("ann", key) for key in ("a", "b")]
    assert all(outcome.done for outcome in apply(backend, writes))
    ids = [write.id for write in writes]
    assert ids == [id_of(key, "leases", "ann").replace("ann:", "ann%.:", 1) for key in ("a", "b")]
    assert sorted(backend.read(ids, Fields.ALL)) == ids
    assert [document.id for document in backend.scan(IdRange("ann%.:", "ann%.;"), Fields.VALUE, 10).documents] == ids
    assert backend.scan(IdRange("ann:", "ann;"), Fields.KEY, 10).documents == []
    assert backend.forget(IdRange("ann:", "ann;"), at(1)) == Forgotten(0, 0)
    assert apply(backend, [Touch(ids[0], at(1), at(60)), Delete(ids[1], at(1))]) == [Outcome(True)] * 2
    assert [document.expires_at for document in backend.read(ids, Fields.KEY).values()] == [at(60)]


@pytest.fixture
def looked_at(client):
    looked_at = []
    client.meta.events.register(
        "after-call.dynamodb.Scan", lambda parsed, **_: looked_at.append(parsed["ScannedCount"])
    )
    return looked_at


@pytest.mark.parametrize(
    ("users", "records", "requests", "items"),
    [(1, 500, 3, 3), (20, 40, 25, 65), (20, 2, 15, 55), (300, 1, 11, 305)],
    ids=["one", "many records each", "two records each", "one record each"],
)
def test_listing_reads_two_or_three_items_for_each_user(store, looked_at, users, records, requests, items):
    names = [f"user{number:03}" for number in range(users)]
    apply(store.backend, [put(f"{number:03}", 1, user=name) for name in names for number in range(records)])
    wire = Wire(store.backend._connection.client)
    assert sorted(store.backend.users(1_000)) == names
    assert set(wire.operations) == {"Scan"}
    assert len(wire.operations) <= requests
    assert sum(looked_at) <= items
