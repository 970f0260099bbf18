"""The model of DynamoDB: it answers as a server does."""

import itertools
import uuid
from base64 import b64decode
from contextlib import ExitStack
from functools import partial
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datastore_dynamodb import codec, reading
from datastore_dynamodb.backend import DynamoBackend
from datastore_dynamodb.schema import Settings, format_item
from tests.full import EXAMPLES_ON_SERVERS, times
from tests.servers import dynamodb as servers
from tests.simulation.both import BEGAN, CALLS, outcomes
from tests.simulation.dynamodb import DynamoDatabase, adapter_over, answered, asked, new_table
from tests.simulation.dynamodb_faulty import PARTS_NAMED_BY_REVISION, TAKES_WHAT_IS_LATE
from tests.simulation.dynamodb_table import Moment
from tests.simulation.playing import draw, play
from tests.simulation.written import call, plan_of, process, thread


class Direct:
    """Stands in for botocore's HTTP session. Nothing goes wrong, and each request takes a minute: no read is late."""

    def __init__(self, table):
        self._table = table
        self._minutes = itertools.count(1)

    def send(self, request):
        minute = next(self._minutes)
        page = Random(minute).choice((1, 2, 1_000))
        return answered(self._table, request, *asked(request), Moment(BEGAN + 60 * minute, Random(minute), page=page))

    def close(self):
        pass


@pytest.mark.server("dynamodb")
@settings(max_examples=EXAMPLES_ON_SERVERS // 2)
@given(calls=CALLS, largest=st.sampled_from((codec.MAX_VALUE_SIZE, 60, 25)))
def test_it_answers_as_a_server_does(calls, largest):
    """The same calls through the real adapter come to the same, and leave the same items."""
    url = servers.MINISTACK.borrow()
    name = url.partition("://")[2].partition("?")[0]
    table, chance = new_table(), uuid.uuid4().hex
    with ExitStack() as replaced:
        if largest < codec.MAX_VALUE_SIZE:
            replaced.enter_context(patch.object(codec, "MAX_VALUE_SIZE", largest))
            replaced.enter_context(patch.object(codec, "_ALWAYS_FITS", 0))
        replaced.enter_context(patch.object(reading, "time", SimpleNamespace(time=lambda: BEGAN)))
        real = DynamoBackend(Settings(name, region="eu-west-1", endpoint_url=servers.MINISTACK.endpoint))
        client = real._connection.client
        came_to = outcomes(real, calls, chance)
        assert outcomes(adapter_over(Direct(table)), calls, chance) == came_to
    pages = client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
    items = [item for page in pages for item in page["Items"]]
    assert sorted(items, key=_key) == [_as_received(item) for item in table.items()]
    servers.MINISTACK.give_back(url)


def _key(item):
    return item["pk"]["S"], item["sk"]["S"]


def _as_received(item):
    """An item of the model as the client would hand it on."""
    return {name: {"B": b64decode(one["B"])} if "B" in one else one for name, one in item.items()}


def test_a_run_is_the_same_on_the_short_way_through_the_client():
    for seed in range(times(30, 500)):
        plan = draw(str(seed), DynamoDatabase)
        short, whole = (play(plan, partial(DynamoDatabase, shortened=shortened)) for shortened in (True, False))
        assert short.story() == whole.story()


JOB = {"kind": "job", "name": "ann 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "n": 0}
"""A value that is split in the runs of seeds 2 and 4."""


class EmptiedAtAnyTime(DynamoDatabase):
    """The table is made anew also between the parts of a value and their record."""

    def make_anew(self):
        self.table.empty()
        self.table.put(format_item())
        return True


def test_the_table_is_not_made_anew_between_the_parts_of_a_value_and_their_record():
    """No store could prevent the damaged record that this would leave. Before and afterwards it is made anew."""
    made_anew = []
    for request in (1, 2, 3, 4):
        lines = [
            process(0, tracking="off", flush_interval=1.0),
            thread(0, "ann"),
            call(0, "set", "job1", JOB, None, pause=0.01, faults={request: "made anew"}),
            call(1, "get", "job1", pause=0.01),
        ]
        plan = plan_of("2", 0.2, lines)
        damaged = any("a damaged record" in line for line in play(plan, EmptiedAtAnyTime).wrong)
        assert damaged is (request == 3)
        played = play(plan, DynamoDatabase)
        assert not played.wrong
        made_anew.append(any(call.process == "database" for call in played.world.history))
    assert made_anew == [True, True, False, True]


def test_a_late_request_makes_no_record_without_its_parts():
    """When it arrives, its repetition is done and the record removed, and with it parts that the revision names."""
    plan = plan_of(
        "4",
        0.2,
        [
            process(0, tracking="off", flush_interval=1.0),
            thread(0, "ann"),
            call(0, "set", "job1", JOB, None, pause=0.01, faults={3: "request late"}),
            call(1, "delete", "job1", pause=0.01),
        ],
    )
    assert play(plan, PARTS_NAMED_BY_REVISION).wrong
    played = play(plan, DynamoDatabase)
    assert not played.wrong
    assert any("job1" in call.result for call in played.world.history if call.name == "list_keys")


@pytest.mark.parametrize(
    "calls",
    [
        (
            call(0, "set", "n", 9001, None, pause=0.01, faults={1: "request late"}),
            call(1, "delete", "n", pause=0.01),
            call(2, "set", "n", 5001, None, pause=0.01),
        ),
        (
            call(0, "set", "n", 9001, None, pause=0.01),
            call(1, "delete", "n", pause=0.01, faults={1: "request late"}),
            call(2, "set", "n", 5001, None, pause=0.01),
        ),
        (
            call(0, "set", "n", 9001, None, pause=0.01),
            call(1, "touch", "n", 1, pause=0.01, faults={1: "request late"}),
            call(2, "set", "n", 5001, None, pause=0.01),
        ),
    ],
    ids=["set", "delete", "touch"],
)
def test_a_request_that_arrives_late_leaves_alone_what_was_made_since(calls):
    plan = plan_of("1", 0.2, [process(0, tracking="off", flush_interval=1.0), thread(0, "ann"), *calls])
    assert play(plan, TAKES_WHAT_IS_LATE).wrong
    assert not play(plan, DynamoDatabase).wrong
