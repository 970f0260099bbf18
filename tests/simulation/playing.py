"""Which models of databases there are, and how runs over them are played (`datastore.conformance.simulation`)."""

from __future__ import annotations

from collections.abc import Callable

from datastore.conformance.simulation.databases import Database
from datastore.conformance.simulation.playing import Played, draw, play, shrunk
from datastore.conformance.simulation.seams import collect_seldom
from tests.simulation.awaited import AwaitedDatabase
from tests.simulation.couch import CouchDatabase
from tests.simulation.dynamodb import DynamoDatabase
from tests.simulation.firestore import FirestoreDatabase
from tests.simulation.memory import MemoryDatabase
from tests.simulation.redis import RedisDatabase
from tests.simulation.served import ServedDatabase
from tests.simulation.sqlite import SqliteDatabase
from tests.simulation.tokens import TokenDatabase

BACKENDS: dict[str, Callable[[], Database]] = {
    "token": TokenDatabase,
    "memory": MemoryDatabase,
    "couchdb": CouchDatabase,
    "sqlite": SqliteDatabase,
    "dynamodb": DynamoDatabase,
    "firestore": FirestoreDatabase,
    "redis": RedisDatabase,
    "served": ServedDatabase,
    "awaited": AwaitedDatabase,
}
"""The models of databases, by the name that the command line takes."""

__all__ = ["BACKENDS", "Played", "collect_seldom", "draw", "play", "shrunk"]
