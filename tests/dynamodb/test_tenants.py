"""A table for each tenant."""

import pytest

import datastore
from datastore.errors import InvalidNameError
from datastore_dynamodb.client import Connection

pytestmark = pytest.mark.server("dynamodb")


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
