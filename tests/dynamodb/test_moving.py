"""Moving tables: whole documents in and out, tables of other programs, and what a table says of itself."""

import random
import time
from decimal import Decimal

import pytest
from boto3.dynamodb.types import TypeSerializer

import datastore
from datastore.backend import Fields
from datastore.conformance.topics.moving import document, everything, restoring
from datastore.connecting import connect_legacy
from datastore.errors import ConfigurationError, InvalidNameError
from datastore.moving import copy, digest_of, export_records, import_legacy, import_records
from datastore_dynamodb.client import Connection
from datastore_dynamodb.writing import Items
from tests.dynamodb.answers import refusal
from tests.moving.test_legacy_format import legacy
from tests.servers import dynamodb

pytestmark = pytest.mark.server("dynamodb")

LARGE = random.Random(3).randbytes(420_000).hex()


@pytest.fixture(name="backend")
def get_backend(store):
    return store.backend


def test_the_backend_has_what_tools_ask_for(backend):
    assert {"all_documents", "restore", "drop"} <= backend.capabilities.abilities


def test_a_copy_takes_large_values_and_no_parts_along(store, tmp_path):
    for user in ("ann", "a:b", "é"):
        agent = store.agent(user, "writer")
        agent.set_many({"split": LARGE, "zipped": "x" * 500_000, "text": {"n": 1.0}, "plain": {"n": [1, None]}})
    wanted = digest_of(store)
    with datastore.connect(dynamodb.MINISTACK.url()) as other:
        assert copy(store, other).complete
        assert digest_of(other) == wanted
        again = copy(store, other)
        assert (again.written, again.unchanged) == (0, 12)
    assert export_records(store, tmp_path / "all.jsonl.gz").complete
    with datastore.connect(dynamodb.MINISTACK.url()) as third:
        assert import_records(tmp_path / "all.jsonl.gz", third).complete
        assert digest_of(third) == wanted


def test_all_documents_are_listed_across_pages_of_parts(store, backend):
    """A page can end at a part of a value, which is no document."""
    for user in ("ann", "bob", "eve"):
        store.agent(user, "writer").set_many({"split": LARGE, "plain": 1})
    for limit in (1, 2, 3):
        found = [one.id for one in everything(backend, Fields.KEY, limit)]
        assert len(found) == len(set(found)) == 6


def test_restoring_the_same_large_value_again_keeps_its_parts(backend, store):
    whole = document("key", LARGE)
    assert backend.restore([restoring(whole)])[0].done
    assert backend.restore([restoring(whole, moment=1)])[0].revision == whole.revision
    counted = whole._replace(access_count=99)
    assert backend.restore([restoring(counted, whole.revision, moment=2)])[0].done
    assert backend.read([whole.id], Fields.ALL) == {whole.id: counted}


def test_who_loses_the_race_to_restore_a_large_value_leaves_its_parts_alone(backend, monkeypatch):
    whole = document("key", LARGE)
    load, stored = Items.load, []

    def load_too_early(items, ids, **needed):
        found = load(items, ids, **needed)
        if not stored:
            stored.append(True)
            assert backend.restore([restoring(whole, moment=1)])[0].done
        return found

    monkeypatch.setattr(Items, "load", load_too_early)
    assert backend.restore([restoring(whole)])[0].revision == whole.revision
    assert backend.read([whole.id], Fields.ALL) == {whole.id: whole}


@pytest.mark.parametrize("number", [1, 2, 100, 250])
def test_restoring_takes_these_requests(backend, wire, number):
    outcomes = backend.restore([restoring(document(f"key {one}")) for one in range(number)])
    assert all(outcome.done for outcome in outcomes)
    one, many = ["PutItem"], ["TransactWriteItems"] * (-(-number // 100))
    assert wire.operations == (one if number == 1 else many)


def make_legacy_table(documents, key):
    url = dynamodb.MINISTACK.url()
    with datastore.connect(url) as store:  # for a client; the table is made anew, with another key
        connection = store.backend._connection
        client, table = connection.client, connection.settings.table + "_old"
        client.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        serialize = TypeSerializer().serialize
        for one in documents:
            client.put_item(TableName=table, Item={name: serialize(value) for name, value in one.items()})
    return url.replace("?", "_old?", 1)


@pytest.mark.parametrize("key", ["_id", "id"])
def test_a_table_of_the_seed_becomes_records(key, tmp_path):
    documents = [
        legacy(key="plan", value={"n": Decimal("1.5"), "m": Decimal(3), "big": Decimal(10**37), "l": [None, True]}),
        legacy(user="a", namespace="b:c", value=Decimal("-0.1")),
        legacy(user="ann", namespace="files:owner/repo", key="a/b.py", value="x"),
        *(legacy(key=f"k{number}", accessCount=Decimal(number)) for number in range(30)),
    ]
    if key == "id":
        documents = [{**one, "id": one["_id"]} for one in documents]
        for one in documents:
            del one["_id"]
    source = connect_legacy(make_legacy_table(documents, key))
    with datastore.connect(f"sqlite:///{tmp_path}/new.db") as target:
        report = import_legacy(source, target)
        assert report.complete
        assert (report.read, report.written) == (33, 33)
        assert target.agent("ann", "x").get("plan") == {"n": 1.5, "m": 3, "big": 10**37, "l": [None, True]}
        assert target.agent("a", "x", "b:c").get("plan") == -0.1
        record = target.agent("ann", "x").get_record("k7")
        assert (record.access_count, record.created_by_agent) == (7, "writer")
        assert source.count() == 33
    pages, after = [], None
    while True:
        page = source.documents(7, after)
        pages += page.documents
        after = page.after
        if after is None:
            break
    assert len(pages) == 33
    source.close()


def test_reading_a_table_that_is_not_there_makes_none():
    url = dynamodb.MINISTACK.url()
    with pytest.raises(ConfigurationError, match="there is no table"):
        connect_legacy(url)
    with pytest.raises(ConfigurationError, match="there is no table"):
        datastore.connect(url, create=False)


def test_a_table_says_how_it_is(backend, client, table):
    assert all(finding.healthy for finding in backend.examine(time.time()))
    late = [finding for finding in backend.examine(time.time() + 60) if not finding.healthy]
    assert [finding.remedy for finding in late] == ["synchronise this one (NTP)"]
    client.update_time_to_live(
        TableName=table, TimeToLiveSpecification={"AttributeName": "expiresAtEpoch", "Enabled": False}
    )
    (off,) = [finding for finding in backend.examine(time.time()) if not finding.healthy]
    assert "time to live is off" in off.text
    assert "update-time-to-live" in off.remedy


def test_what_may_not_be_asked_is_no_problem(backend, wire):
    wire.fail(refusal("AccessDeniedException"), operation="DescribeTimeToLive")
    wire.fail(refusal("AccessDeniedException"), operation="DescribeContinuousBackups")
    findings = backend.examine(time.time())
    assert all(finding.healthy for finding in findings)
    assert sum("cannot tell" in finding.text for finding in findings) == 2


def test_dropping_removes_the_table_and_another_can_be_made(url):
    with datastore.connect(url) as store:
        store.agent("u", "a").set("key", 1)
        store.backend.drop()
    with datastore.connect(url) as store:
        assert store.agent("u", "a").list_keys() == []


def test_each_tenant_has_a_table(url):
    with datastore.connect(url, isolation="database") as store:
        for user in ("ann", "a:b", "É"):
            store.agent(user, "a").set("key", user)
        assert store.tenants() == sorted(["ann", "a:b", "É"])
        base = url.partition("?")[0].partition("://")[2]
        with datastore.connect(url.replace(base, f"{base}-a_3ab")) as one:
            assert one.agent("a:b", "a").get("key") == "a:b"
        assert store.drop_tenant("a:b", confirm="a:b")
        assert store.tenants() == sorted(["ann", "É"])
        with pytest.raises(InvalidNameError, match="shorter"):
            store.agent("ü" * 60, "a")
        for user in ("ann", "É"):
            store.drop_tenant(user, confirm=user)
        assert store.tenants() == []


def test_all_tables_of_a_region_are_looked_through_for_tenants(url, monkeypatch):
    answers = {
        None: {"TableNames": ["a", "base-ann"], "LastEvaluatedTableName": "base-ann"},
        "base-ann": {"TableNames": ["base-bob", "zoo"]},
    }
    monkeypatch.setattr(Connection, "call", lambda self, name, **behind: answers[behind.get("ExclusiveStartTableName")])
    with datastore.connect("dynamodb://base?region=eu-west-1", isolation="database") as store:
        assert store.tenants() == ["ann", "bob"]


def test_numbers_and_kinds_that_the_clients_own_deserializer_refuses_are_read_exactly():
    url = make_legacy_table([], "_id")
    with datastore.connect(dynamodb.MINISTACK.url()) as store:
        client = store.backend._connection.client
        item = {
            "_id": {"S": "a"},
            "big": {"N": "1E+100"},
            "long": {"N": "9" * 38},
            "small": {"N": "1E-130"},
            "bytes": {"B": b"x"},
            "sets": {"M": {"s": {"SS": ["a"]}, "n": {"NS": ["1E+90", "2"]}, "b": {"BS": [b"y"]}}},
            "rest": {"L": [{"NULL": True}, {"BOOL": False}, {"S": ""}]},
        }
        client.put_item(TableName=url.partition("?")[0].removeprefix("dynamodb://"), Item=item)
    source = connect_legacy(url)
    (document,) = source.documents(10).documents
    (names,) = source.names(10).documents
    source.close()
    assert document == {
        "_id": "a",
        "big": Decimal("1e100"),
        "long": Decimal("9" * 38),
        "small": Decimal("1e-130"),
        "bytes": b"x",
        "sets": {"s": {"a"}, "n": {Decimal("1e90"), Decimal(2)}, "b": {b"y"}},
        "rest": [None, False, ""],
    }
    assert names == {"_id": "a"}
