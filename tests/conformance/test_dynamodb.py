"""The kit on DynamoDB: over HTTP on ministack and dynalite, in process on moto, and on a real table if one is named.

On ministack all of it runs each time, and on dynalite with ``AGENT_DATASTORE_TEST_FULL=1``. The report names the topics
that a run has left out, with the reasons in here.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.httpsession import URLLib3Session

import datastore
from datastore import DataStore
from datastore.conformance import ConformanceSuite, Harness
from datastore.conformance.suite import TOPICS, topic_name
from datastore_dynamodb.backend import DynamoBackend
from tests.conformance.paging import smaller_pages
from tests.full import EXAMPLES_ON_SERVERS, FULL, MANY_ON_SERVERS
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
    server: ClassVar = dynamodb.MINISTACK
    examples = EXAMPLES_ON_SERVERS
    many = MANY_ON_SERVERS

    def url(self) -> str:
        return self.server.borrow()

    def outage(self, store: DataStore) -> Any:
        return unreachable()

    def close(self) -> None:
        if self._url is not None:
            self.server.give_back(self._url)


# ministack, the closest to AWS, runs the whole kit each time. The others run each time what they can do differently
# from it, because the server decides it and not the store above the adapter:
_DECIDED_BY_THE_SERVER = {
    "values": "types, numbers and sizes of attributes",
    "properties": "generated ones found that dynalite loses __proto__",
    "batches": "transactions, or one request for each record; BatchGetItem, which ends early on dynalite",
    "raw_reads": "order, pages and consistency",
    "raw_writes": "conditions, and whether a refusal shows the item (not on dynalite)",
    "raw_touches": "conditions on an expiry, and changes of the parts of large values",
    "namespaces": "scans that go on after a partition",
    "accesses": "expressions of updates",
    "abilities": "ranges that are counted and removed",
    "moving": "scans of the whole table",
    "queries": "expressions of filters",
    "query_properties": "generated ones found that dynalite orders text by UTF-16",
    "key_order": "ranges of keys from either end",
    "retries": "what a write that is sent again finds",
}
_ABOVE = "the store decides it above the adapter, through requests that other topics send too; left to tox -e full"
_RACES = "races take long, and tests/dynamodb/test_lost_answers.py has one on this server; left to tox -e full"
_LEFT_TO_FULL = {
    topic: _RACES if topic in ("concurrency", "processes") else _ABOVE
    for topic in map(topic_name, TOPICS)
    if topic not in _DECIDED_BY_THE_SERVER
}

# Without transactions a batch goes record by record: large ones are for ministack. That dynalite's pages of a megabyte
# are read to the end is in tests/dynamodb/test_requests.py.
_ONE_BY_ONE = "dynalite has no transactions, so that thousands of records are thousands of requests"


_A_THOUSAND = ("test_a_thousand_documents_are_counted_in_one_call", "test_a_batch_is_as_large_as_declared")


class DynaliteHarness(MinistackHarness):
    name = "dynamodb-dynalite"
    server = dynamodb.DYNALITE
    differs: ClassVar = {
        "test_twelve_thousand_records_are_listed_and_cleared_completely": _ONE_BY_ONE,
        "test_a_batch_of_any_size_is_complete": _ONE_BY_ONE,
        "test_many_records_are_searched_completely": _ONE_BY_ONE,
        **({} if FULL else dict.fromkeys(_A_THOUSAND, _ONE_BY_ONE)),
    }
    loses: ClassVar = {
        "__proto__": "dynalite keeps maps as JavaScript's objects, in which this name stands for the prototype",
    }
    left_out: ClassVar = {} if FULL else _LEFT_TO_FULL


# moto is an extra within the process. What takes many records, and what needs atomic writes, is not asked of it even by
# tox -e full, and has to be proven on the servers. Each run asks it for what is most its own: the conditions and the
# expressions of writes.
_NOT_ATOMIC = "in process, moto's conditional writes lose updates"
_SLOW = "each record takes moto twenty milliseconds, and more if it is large"
_RANGES = "ranges and whole tables are what moto takes longest for, and dynalite is asked too; left to tox -e full"
_READS = "what was written comes back, on dynalite too, and moto takes three times as long; left to tox -e full"
_NOT_EACH_TIME_ON_MOTO = {
    **dict.fromkeys(("abilities", "moving", "namespaces", "raw_reads"), _RANGES),
    "values": _READS,
}
_NEVER_ON_MOTO = {
    **dict.fromkeys(("concurrency", "processes", "retries", "claims"), _NOT_ATOMIC),
    **dict.fromkeys(
        (
            *(
                "names",
                "key_order",
                "updates",
                "queries",
                "query_properties",
                "properties",
                "vault",
                "key_value",
                "isolation",
            ),
            *("tenants", "outage", "lifecycle", "items"),
        ),
        _SLOW,
    ),
}


class MotoHarness(Harness):
    name = "dynamodb-moto"
    differs: ClassVar = dict.fromkeys(
        (
            "test_twelve_thousand_records_are_listed_and_cleared_completely",
            "test_pages_longer_than_a_request_are_complete",
            "test_a_batch_of_any_size_is_complete",
            "test_a_batch_is_as_large_as_declared",
            "test_read_takes_as_many_ids_as_declared",
            "test_a_thousand_documents_are_counted_in_one_call",
            "test_iter_records_reads_as_it_goes",
            "test_a_hundred_namespaces_are_listed",
            "test_expired_records_hide_no_live_ones",
            "test_a_flush_of_many_records_is_complete",
            "test_every_odd_key_is_a_prefix",
            "test_a_batch_can_be_set_again",
            "test_get_many_keeps_the_order_asked",
            "test_delete_many_counts_what_existed",
            "test_a_large_value_comes_back_whole",
            "test_a_value_in_parts_survives_a_touch",
            "test_a_store_copied_there_and_back_is_the_same",
        ),
        _SLOW,
    )
    left_out: ClassVar = _NEVER_ON_MOTO if FULL else {**_LEFT_TO_FULL, **_NOT_EACH_TIME_ON_MOTO, **_NEVER_ON_MOTO}

    def url(self) -> str:
        # Its transactions copy the table for each write in them.
        return f"dynamodb://{dynamodb.new_table()}?region=eu-west-1&transactions=false"


class RealHarness(MinistackHarness):
    """Empties the table before and after each test: so only one with ``test`` in its name is taken."""

    name = "dynamodb-real"
    examples = Harness.examples
    many = Harness.many
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


@pytest.fixture(scope="class", name="smaller_pages")
def _take_smaller_pages() -> Iterator[None]:
    with smaller_pages(DynamoBackend):
        yield


@pytest.mark.server("dynamodb")
@pytest.mark.usefixtures("smaller_pages")
class TestDynamo(ConformanceSuite):
    harness = MinistackHarness


@pytest.mark.server("dynamodb-dynalite")
class TestDynamoOnDynalite(ConformanceSuite):
    harness = DynaliteHarness


def test_what_is_left_out_is_known_and_a_full_run_leaves_nothing_out_on_a_server():
    topics = set(map(topic_name, TOPICS))
    assert topics > set(_DECIDED_BY_THE_SERVER), "a topic has another name now, and would be left to tox -e full"
    assert topics > set(MotoHarness.left_out)
    assert MinistackHarness.left_out == {}
    assert set(DynaliteHarness.left_out) == (set() if FULL else topics - set(_DECIDED_BY_THE_SERVER))


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


# Moto checks each part of an update for these, and in each part all that is within it: a quarter of its time or more.
# What is wrong within a part is wrong in the whole, too, which alone is checked here. (If another version of Moto has
# other checks, nothing is changed.)
_CHECKS_OF_THE_WHOLE = {
    "ActionCountValidator": "verify_action_counts",
    "OverlappingPathsValidator": "check_for_overlapping_paths",
}


class TestDynamoOnMoto(ConformanceSuite):
    harness = MotoHarness
    _mock: ClassVar[Any]
    _patch: ClassVar[pytest.MonkeyPatch]

    @classmethod
    def setup_class(cls) -> None:
        # Imported here, because it takes a second, and the tests of several processes import this module in each.
        from moto import mock_aws
        from moto.dynamodb.parsing import validators

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


if os.environ.get(dynamodb.REAL):

    class TestDynamoItself(ConformanceSuite):
        harness = RealHarness
