"""All topics together."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache

from datastore.conformance.topic import Topic
from datastore.conformance.topics.abilities import Abilities
from datastore.conformance.topics.accesses import Accesses
from datastore.conformance.topics.batches import Batches
from datastore.conformance.topics.blobs import Blobs
from datastore.conformance.topics.changes import Changes
from datastore.conformance.topics.claims import Claims
from datastore.conformance.topics.concurrency import Concurrency
from datastore.conformance.topics.expiry import Expiry
from datastore.conformance.topics.grants import Granted
from datastore.conformance.topics.isolation import Isolation
from datastore.conformance.topics.items import Items
from datastore.conformance.topics.key_order import KeyOrder
from datastore.conformance.topics.key_value import KeyValues
from datastore.conformance.topics.keywords import Keywords
from datastore.conformance.topics.leases import Leases
from datastore.conformance.topics.lifecycle import Lifecycle
from datastore.conformance.topics.listings import Listings
from datastore.conformance.topics.logs import Logs
from datastore.conformance.topics.memory import Memories
from datastore.conformance.topics.moving import Moving
from datastore.conformance.topics.names import Names
from datastore.conformance.topics.namespaces import Namespaces
from datastore.conformance.topics.outage import Outage
from datastore.conformance.topics.processes import Processes
from datastore.conformance.topics.properties import Properties
from datastore.conformance.topics.queries import Queries
from datastore.conformance.topics.query_properties import QueryProperties
from datastore.conformance.topics.quotas import Quotas
from datastore.conformance.topics.raw_reads import RawReads
from datastore.conformance.topics.raw_touches import RawTouches
from datastore.conformance.topics.raw_writes import RawWrites
from datastore.conformance.topics.records import Records
from datastore.conformance.topics.retries import Retries
from datastore.conformance.topics.revisions import Revisions
from datastore.conformance.topics.runs import Runs
from datastore.conformance.topics.scanning import Scanning
from datastore.conformance.topics.splitting import Splitting
from datastore.conformance.topics.tenants import Tenants
from datastore.conformance.topics.tokens import Tokens
from datastore.conformance.topics.tracking import Tracking
from datastore.conformance.topics.updates import Updates
from datastore.conformance.topics.values import Values
from datastore.conformance.topics.vault import Vaults
from datastore.conformance.topics.vector_vault import VectorVaults
from datastore.conformance.topics.writes import Writes


class ConformanceSuite(
    Writes,
    Names,
    Values,
    Records,
    Revisions,
    Batches,
    Listings,
    KeyOrder,
    Scanning,
    Items,
    Namespaces,
    Changes,
    Updates,
    Claims,
    Leases,
    Runs,
    Logs,
    Queries,
    Vaults,
    KeyValues,
    Blobs,
    Memories,
    Keywords,
    Splitting,
    VectorVaults,
    Expiry,
    Tracking,
    Isolation,
    Granted,
    Quotas,
    Tokens,
    Tenants,
    RawReads,
    RawWrites,
    RawTouches,
    Accesses,
    Abilities,
    Moving,
    Properties,
    QueryProperties,
    Concurrency,
    Processes,
    Retries,
    Outage,
    Lifecycle,
):
    """The whole kit. Use it as ``class TestMyDatabase(ConformanceSuite): harness = MyHarness``."""


TOPICS = tuple(base for base in ConformanceSuite.__bases__ if issubclass(base, Topic))


def topic_name(topic: type[Topic]) -> str:
    """Return a topic's name in the report, which is the name of its file."""
    return topic.__module__.rpartition(".")[2]


@cache
def kit_tests() -> dict[str, tuple[str, Callable[..., None]]]:
    """Return every test of the kit by name, with its topic and its function.

    Raises:
        TypeError: If two topics have a test of the same name, so that one would hide the other.
    """
    tests: dict[str, tuple[str, Callable[..., None]]] = {}
    for topic in TOPICS:
        for name, function in inspect.getmembers(topic, inspect.isfunction):
            if name.startswith("test_"):
                if name in tests:
                    raise TypeError(f"{name} is in the topics {tests[name][0]} and {topic_name(topic)}")
                tests[name] = (topic_name(topic), function)
    return tests
