"""What the tests of queries on SQLite share."""

import sys


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
