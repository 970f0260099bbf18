"""The kit on DynamoDB: over HTTP on ministack and dynalite, in process on moto, and on a real table if one is named."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.httpsession import URLLib3Session
from moto import mock_aws
from moto.dynamodb.parsing import validators

import datastore
from datastore import DataStore
from datastore.conformance import ConformanceSuite, Harness
from datastore.conformance.suite import TOPICS, topic_name
from tests.servers import dynamodb


@contextmanager
def unreachable() -> Iterator[None]:
    """Nothing accepts a connection any more."""

    def fail(session: URLLib3Session, request: Any) -> None:
        raise EndpointConnectionError(endpoint_url=request.url)

    with patch.object(URLLib3Session, "send", fail):
        yield


class MinistackHarness(Harness):
    name = "dynamodb"

    def url(self) -> str:
        return dynamodb.MINISTACK.url()

    def outage(self, store: DataStore) -> Any:
        return unreachable()


# Without transactions a batch goes record by record: large ones are for ministack. That dynalite's pages of a megabyte
# are read to the end is in tests/dynamodb/test_requests.py.
_ONE_BY_ONE = "dynalite has no transactions, so that thousands of records are thousands of requests"


class DynaliteHarness(MinistackHarness):
    name = "dynamodb-dynalite"
    differs: ClassVar = {
        "test_twelve_thousand_records_are_listed_and_cleared_completely": _ONE_BY_ONE,
        "test_a_batch_of_any_size_is_complete": _ONE_BY_ONE,
        "test_many_records_are_searched_completely": _ONE_BY_ONE,
    }
    loses: ClassVar = {
        "__proto__": "dynalite keeps maps as JavaScript's objects, in which this name stands for the prototype",
    }

    def url(self) -> str:
        return dynamodb.DYNALITE.url()


class MotoHarness(Harness):
    name = "dynamodb-moto"

    def url(self) -> str:
        # Its transactions copy the table for each write in them.
        return f"dynamodb://{dynamodb.new_table()}?region=eu-west-1&transactions=false"


class RealHarness(MinistackHarness):
    """Empties the table before and after each test: so only one with ``test`` in its name is taken."""

    name = "dynamodb-real"
    differs: ClassVar = {
        "test_the_number_of_documents_is_about_right": "DynamoDB counts every six hours, and this table stays",
    }

    def url(self) -> str:
        url = os.environ[dynamodb.REAL]
        assert "test" in url.partition("?")[0], f"{dynamodb.REAL} names a table that is not called test; it is emptied"
        with datastore.connect(url) as store:
            _empty(store)
        return url

    def close(self) -> None:
        if self._url is not None:
            with datastore.connect(self._url) as store:
                _empty(store)


def _empty(store: DataStore) -> None:
    connection = store.backend._connection
    table = connection.settings.table
    for page in connection.client.get_paginator("scan").paginate(TableName=table, ProjectionExpression="pk, sk"):
        for key in page["Items"]:
            connection.client.delete_item(TableName=table, Key=key)


@pytest.mark.server("dynamodb")
class TestDynamo(ConformanceSuite):
    harness = MinistackHarness


@pytest.mark.server("dynamodb-dynalite")
class TestDynamoOnDynalite(ConformanceSuite):
    harness = DynaliteHarness


@pytest.mark.server("dynamodb-dynalite")
@pytest.mark.parametrize("name", DynaliteHarness.loses)
def test_what_is_kept_from_dynalite_is_still_lost_on_it(tmp_path, name):
    """Else it should not be kept from it any longer."""
    harness = DynaliteHarness(tmp_path)
    with harness.open(tracking="off") as store:
        agent = store.agent("u", "a")
        agent.set("key", {name: 1, "a": 2})
        assert agent.get("key") == {"a": 2}
    harness.close()


# Moto is an extra, and has to be quick: it is asked what an adapter alone decides. Nothing that needs atomic writes,
# for in process its conditional ones lose updates; nothing of what stands above the adapter; and no properties, whose
# hundreds of examples the servers get: it takes twenty milliseconds for each record.
_FOR_MOTO = (
    "writes", "values", "records", "revisions", "batches", "listings", "scanning", "changes", "expiry", "tracking",
    "raw_reads", "raw_writes", "raw_touches", "accesses", "abilities", "moving",
)  # fmt: skip
_ALONE = tuple(topic for topic in TOPICS if topic_name(topic) in _FOR_MOTO)


# Moto checks each part of an update for these, and in each part all that is within it: a quarter of its time or more.
# What is wrong within a part is wrong in the whole, too, which alone is checked here. (If another version of Moto has
# other checks, nothing is changed.)
_CHECKS_OF_THE_WHOLE = {
    "ActionCountValidator": "verify_action_counts",
    "OverlappingPathsValidator": "check_for_overlapping_paths",
}


class TestDynamoOnMoto(*_ALONE):
    harness = MotoHarness
    _mock: ClassVar[Any]
    _patch: ClassVar[pytest.MonkeyPatch]

    @classmethod
    def setup_class(cls) -> None:
        cls._mock = mock_aws()  # once for all tests, each of which has a table of its own: starting takes long
        cls._mock.start()
        cls._patch = pytest.MonkeyPatch()
        for name, check in _CHECKS_OF_THE_WHOLE.items():
            validator = getattr(validators, name, None)
            if hasattr(validator, check):
                cls._patch.setattr(validator, "traverse", getattr(validator, check))

    @classmethod
    def teardown_class(cls) -> None:
        cls._patch.undo()
        cls._mock.stop()

    # Each record takes moto some twenty milliseconds: hundreds of them are for the servers.
    test_twelve_thousand_records_are_listed_and_cleared_completely = None
    test_pages_longer_than_a_request_are_complete = None
    test_a_listing_ends_when_the_store_is_closed = None
    test_a_batch_of_any_size_is_complete = None
    test_a_batch_is_as_large_as_declared = None
    test_read_takes_as_many_ids_as_declared = None
    test_a_thousand_documents_are_counted_in_one_call = None
    test_iter_records_reads_as_it_goes = None
    test_a_hundred_namespaces_are_listed = None
    test_expired_records_hide_no_live_ones = None
    test_records_of_different_names_are_different_records = None
    test_a_flush_of_many_records_is_complete = None
    test_a_batch_that_breaks_off_names_what_is_not_done = None
    test_every_odd_key_is_a_prefix = None
    test_a_batch_can_be_set_again = None
    test_get_many_keeps_the_order_asked = None
    test_delete_many_counts_what_existed = None
    # Its checks of sizes take ten seconds for a large value.
    test_a_large_value_comes_back_whole = None
    test_a_value_in_parts_survives_a_touch = None
    test_a_store_copied_there_and_back_is_the_same = None


if os.environ.get(dynamodb.REAL):

    class TestDynamoItself(ConformanceSuite):
        harness = RealHarness
