"""Two stores on a clock of their own, and records of every kind in the first."""

from __future__ import annotations

import itertools

import pytest

import datastore
from datastore.conformance.clock import Clock
from datastore.conformance.samples import METADATA, VALUES
from datastore.connecting import connect_legacy
from tests.moving.tables import make_table


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def source(tmp_path, clock):
    with datastore.connect(f"sqlite:///{tmp_path}/source.db", clock=clock) as store:
        yield store


@pytest.fixture
def sink(tmp_path, clock):
    with datastore.connect(f"sqlite:///{tmp_path}/sink.db", clock=clock) as store:
        yield store


@pytest.fixture
def full(source, clock):
    """Return the source with every kind of value, of two users in two namespaces, read, changed and expiring."""
    for user in ("ann", "a:b"):
        for namespace in ("default", "files:x"):
            writer = source.agent(user, "writer", namespace)
            writer.set_many(VALUES, METADATA)
            writer.set("brief", {"n": -0.0}, ttl=60)
            writer.set("gone", 1, ttl=1)
    clock.advance(2)
    source.agent("ann", "reader").get_all()
    source.agent("ann", "changer").set("1", 2, {"changed": True})
    return source


@pytest.fixture
def table(tmp_path):
    """Return a function that makes a legacy file and opens it."""
    numbers = itertools.count()
    opened = []

    def table(documents, url="", **options):
        path = tmp_path / f"old{next(numbers)}.db"
        make_table(path, documents, **options)
        opened.append(connect_legacy(f"sqlite:///{path}{url}"))
        return opened[-1]

    yield table
    for source in opened:
        source.close()
