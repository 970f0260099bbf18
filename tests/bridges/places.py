"""The databases on which bridges are tested, by name: each a context manager that gives the URL of an empty one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.servers import couchdb, dynamodb, firestore


@contextmanager
def _memory(directory: Path) -> Iterator[str]:
    yield "memory://"


@contextmanager
def _sqlite(directory: Path) -> Iterator[str]:
    yield f"sqlite:///{directory}/bridge.db"


@contextmanager
def _couchdb(directory: Path) -> Iterator[str]:
    name = couchdb.borrow_database()
    yield couchdb.url(name)
    couchdb.give_back_database(name)


@contextmanager
def _dynamodb(directory: Path) -> Iterator[str]:
    url = dynamodb.MINISTACK.borrow()
    yield url
    dynamodb.MINISTACK.give_back(url)


@contextmanager
def _firestore(directory: Path) -> Iterator[str]:
    yield f"firestore://test-{uuid.uuid4().hex}/agent_data_store?emulator=127.0.0.1:{firestore.server().port}"


PLACES: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "couchdb": _couchdb,
    "dynamodb": _dynamodb,
    "firestore": _firestore,
}

SERVERS = [pytest.param(name, marks=pytest.mark.server(name)) for name in ("couchdb", "dynamodb", "firestore")]
ON_SERVERS = pytest.mark.parametrize("place", ["memory", "sqlite", *SERVERS], indirect=True)
"""Runs a test, or each test of a class, on the servers as well."""
ON_SERVERS_ALONE = pytest.mark.parametrize("place", SERVERS, indirect=True)
"""For what is counted between a client and its server."""
