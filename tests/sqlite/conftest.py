"""A file of each test's own."""

import pytest

import datastore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.db"


@pytest.fixture
def store(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/a.db", tracking="off") as store:
        yield store


@pytest.fixture
def agent(store):
    return store.agent("u", "a")
