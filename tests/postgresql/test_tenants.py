"""A schema for each tenant."""

import pytest

import datastore
from datastore import PermissionDeniedError
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


def test_a_role_that_is_granted_the_schema_of_one_customer_sees_no_other(url, sql):
    schema = f"{url.rpartition('/')[2]}-ann"
    with datastore.connect(url, isolation="database") as store:
        for tenant in ("ann", "bob"):
            store.agent(tenant, "a").set("k", tenant)
        sql("DROP ROLE IF EXISTS customer")
        sql(f'CREATE ROLE customer LOGIN; GRANT USAGE ON SCHEMA "{schema}" TO customer')
        sql(f'GRANT SELECT, INSERT, UPDATE, DELETE ON "{schema}".agent_data_store TO customer')
        try:
            with datastore.connect(url.replace("agents@", "customer@"), isolation="database", tracking="off") as own:
                ann = own.agent("ann", "b")
                assert ann.get("k") == "ann"
                ann.set("k", 2)
                for call in (lambda: own.agent("bob", "b").get("k"), lambda: own.agent("carl", "b").set("k", 1)):
                    with pytest.raises(PermissionDeniedError):
                        call()
        finally:
            sql("DROP OWNED BY customer; DROP ROLE customer")
        assert [store.agent(tenant, "a").get("k") for tenant in ("ann", "bob")] == [2, "bob"]
        for tenant in store.tenants():
            store.drop_tenant(tenant, confirm=tenant)


def test_no_name_of_another_tenant_is_what_a_long_one_was_cut_to():
    name = "agent_data_store-" + "a" * 300
    assert len(schema_of(name)) == 63
    assert "." in schema_of(name)
    assert schema_of(name[:63]) == name[:63]
