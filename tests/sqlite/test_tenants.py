"""A file for each tenant."""

import shutil

import pytest

import datastore
from datastore import ConfigurationError


def test_a_store_of_its_own_is_no_tenant_whatever_its_name(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/agents-bob.db") as other:
        other.agent("u", "a").set("k", "of another store")
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db?isolation=database") as store:
        store.agent("ann", "a").set("k", 1)
        assert store.tenants() == ["ann"]
        with pytest.raises(ConfigurationError, match="is not the database of a tenant"):
            store.drop_tenant("bob", confirm="bob")
        with pytest.raises(ConfigurationError, match="is an independent store"):
            store.agent("bob", "a").set("k", 1)
    with datastore.connect(f"sqlite:///{tmp_path}/agents-bob.db") as other:
        assert other.agent("u", "a").get("k") == "of another store"


def test_the_file_of_a_tenant_opens_by_itself(tmp_path):
    """To look into it, or to move it: a tenant's file is a store like any other."""
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db?isolation=database") as store:
        store.agent("bob", "a").set("k", 1)
    shutil.copy(tmp_path / "agents-bob.db", tmp_path / "copy.db")
    with datastore.connect(f"sqlite:///{tmp_path}/copy.db") as copy:
        assert copy.agent("bob", "a").get("k") == 1
