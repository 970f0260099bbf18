"""The table: made once, with what the URL asks for, and refused where it is another one."""

import logging
import threading

import pytest

import datastore
from datastore import (
    BackendUnusableError,
    ConfigurationError,
)
from datastore.errors import DataStoreError
from tests.servers import dynamodb

pytestmark = pytest.mark.server("dynamodb")


def test_a_missing_table_prints_what_to_apply():
    url = dynamodb.MINISTACK.url() + "&create=false"
    with pytest.raises(ConfigurationError) as caught:
        datastore.connect(url)
    assert '"KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}' in str(caught.value)
    assert '"AttributeName": "expiresAtEpoch", "Enabled": true' in str(caught.value)


def test_a_table_deleted_meanwhile_is_said(agent, client, table):
    client.delete_table(TableName=table)
    for kind in (ConfigurationError, BackendUnusableError):
        with pytest.raises(kind, match=table):
            agent.get("k")


def test_a_table_of_something_else_is_left_alone(client):
    name = dynamodb.new_table()
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(ConfigurationError, match=r"its key is id \(HASH, type S\) and not pk \(HASH, type S\), sk"):
        datastore.connect(dynamodb.MINISTACK.url(name))


def test_a_table_whose_key_is_of_another_type_is_left_alone(client):
    """Its names are right, and every write to it would be refused."""
    name = dynamodb.new_table()
    client.create_table(
        TableName=name,
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(ConfigurationError, match=r"its key is pk \(HASH, type S\), sk \(RANGE, type N\) and not"):
        datastore.connect(dynamodb.MINISTACK.url(name))


def test_several_may_create_the_table_at_once():
    url = dynamodb.MINISTACK.url()
    errors = []

    def connect():
        try:
            datastore.connect(url).close()
        except DataStoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_new_table_expires_records_by_itself(client, table):
    answer = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert answer == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expiresAtEpoch"}
    assert client.describe_table(TableName=table)["Table"]["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_a_new_table_has_the_capacity_and_the_recovery_asked_for(url):
    with datastore.connect(dynamodb.MINISTACK.url() + "&capacity=5,2&recovery=true") as store:
        connection = store.backend._connection
        name = connection.settings.table
        described = connection.client.describe_table(TableName=name)["Table"]["ProvisionedThroughput"]
        assert (described["ReadCapacityUnits"], described["WriteCapacityUnits"]) == (5, 2)
        backups = connection.client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


@pytest.mark.server("dynamodb-dynalite")
def test_no_table_time_to_live_is_a_warning_and_no_failure(caplog):
    with caplog.at_level(logging.WARNING), datastore.connect(dynamodb.DYNALITE.url()) as store:
        store.agent("u", "a").set("k", 1, ttl=60)
    assert "time to live was not turned on" in caplog.text


def test_dropping_removes_the_table_and_another_can_be_made(url):
    with datastore.connect(url) as store:
        store.agent("u", "a").set("key", 1)
        store.backend.drop()
    with datastore.connect(url) as store:
        assert store.agent("u", "a").list_keys() == []
