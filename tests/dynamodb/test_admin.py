"""What a table says of itself, to `datastore doctor`."""

import time

import pytest

from tests.dynamodb.answers import refusal

pytestmark = pytest.mark.server("dynamodb")


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
    client.delete_table(TableName=table)  # other tests borrow tables as a store makes them


def test_what_may_not_be_asked_is_no_problem(backend, wire):
    wire.fail(refusal("AccessDeniedException"), operation="DescribeTimeToLive")
    wire.fail(refusal("AccessDeniedException"), operation="DescribeContinuousBackups")
    findings = backend.examine(time.time())
    assert all(finding.healthy for finding in findings)
    assert sum("cannot tell" in finding.text for finding in findings) == 2
