"""Tables in the legacy format: read exactly, and nothing made in their place."""

from decimal import Decimal

import pytest

import datastore
from datastore.connecting import connect_legacy
from datastore.errors import ConfigurationError
from datastore.moving import import_legacy
from tests.dynamodb.tables import make_legacy_table
from tests.moving.test_legacy_format import legacy
from tests.servers import dynamodb

pytestmark = pytest.mark.server("dynamodb")


@pytest.mark.parametrize("key", ["_id", "id"])
def test_a_table_of_the_legacy_format_becomes_records(key, tmp_path):
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
