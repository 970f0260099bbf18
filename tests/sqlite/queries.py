"""What the tests of queries on SQLite share."""

import dataclasses
import os
import sys

from hypothesis import HealthCheck, settings

from datastore.conformance.samples import same
from datastore.ids import encode_key
from datastore.queries.language import parse
from datastore.queries.matcher import compile_filter

EXAMPLES = settings(
    max_examples=int(os.environ.get("QUERY_EXAMPLES", "25")), deadline=None, suppress_health_check=list(HealthCheck)
)


def put(agent, documents):
    agent.clear()
    agent.set_many({f"{number:03}": document for number, document in enumerate(documents)})


def check(agent, documents, filter):
    matches = compile_filter(parse(filter))
    expected = in_order({f"{number:03}": document for number, document in enumerate(documents) if matches(document)})
    for _ in range(2):  # the second time, the plan is made of the known one
        found = agent.find(filter)
        assert same(found, expected), filter
        assert list(found) == list(expected), filter
        assert agent.count(filter) == len(expected), filter


def in_order(records):
    """Return records in the order of their ids."""
    return {key: records[key] for key in sorted(records, key=encode_key)}


def decided(agent, filter, meta=None):
    """Return what a query has left to check for the portable layer."""
    return agent.explain(filter, meta=meta)["checked_here"]


def small_pages(store, size):
    backend = store.backend
    backend.capabilities = dataclasses.replace(backend.capabilities, scan_page=size)


def statements_of(store, call):
    """Return what SQLite is asked by a call."""
    asked = []
    pool = store.backend._opened.connections
    connection = pool.take(sys._getframe())
    connection.set_trace_callback(asked.append)
    pool.give_back(connection)
    call()
    connection.set_trace_callback(None)
    return [statement for statement in asked if statement.startswith("SELECT") and "sqlite_master" not in statement]


def steps_of(store, call):
    """Return how SQLite answers what a call asks, in its own words."""
    steps = []
    statements = statements_of(store, call)
    assert statements
    connection = store.backend._opened.connections.take(sys._getframe())
    for statement in statements:
        statement = statement.replace("-Inf", "-9e999")  # as the trace, but not the parser, writes it
        steps += [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    store.backend._opened.connections.give_back(connection)
    return [step for step in steps if "agent_data_store" in step or "TEMP B-TREE" in step]
