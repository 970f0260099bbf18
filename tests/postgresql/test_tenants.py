"""A schema for each tenant."""

import pytest

import datastore
from datastore_postgresql.tenants import schema_of

pytestmark = pytest.mark.server("postgresql")

LONG = "Customer Number " * 8


def test_a_long_name_of_a_tenant_is_cut_and_found_again(url, sql):
    with datastore.connect(url, isolation="database") as store:
        for tenant in ("ann", LONG, f"{LONG}2"):
            store.agent(tenant, "a").set("k", tenant)
        assert store.tenants() == sorted(["ann", LONG, f"{LONG}2"])
        assert {store.agent(tenant, "a").get("k") for tenant in store.tenants()} == {"ann", LONG, f"{LONG}2"}
        assert store.drop_tenant(LONG, confirm=LONG)
        assert store.tenants() == sorted(["ann", f"{LONG}2"])
        for tenant in store.tenants():
            store.drop_tenant(tenant, confirm=tenant)
    assert sql("SELECT count(*) FROM pg_namespace WHERE nspname LIKE %s", f"{url.rpartition('/')[2]}%") == [(0,)]


def test_no_name_of_another_tenant_is_what_a_long_one_was_cut_to():
    name = "agent_data_store-" + "a" * 300
    assert len(schema_of(name)) == 63
    assert "." in schema_of(name)
    assert schema_of(name[:63]) == name[:63]
