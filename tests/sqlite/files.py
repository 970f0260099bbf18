"""Files of the store, and users who may do little with them."""

import contextlib
import hashlib
import os
import sqlite3

import datastore
from tests.sqlite.processes import in_a_child


def connect(path, **options):
    return datastore.connect(f"sqlite:///{path}", **options)


def filled(path, records=200):
    with connect(path) as store:
        store.agent("u", "a").set_many({f"k{i}": "x" * 500 for i in range(records)})
    return path


def digest(path):
    return {child.name: hashlib.sha256(child.read_bytes()).hexdigest() for child in path.parent.iterdir()}


def plain_database(path):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("CREATE TABLE agent_data_store (x)")


def as_nobody(work):
    """Run something in a child process that has no privileges: permissions do not bind root.

    The child can perhaps not even read the packages that are installed, so it must find loaded what it needs.
    """

    def without_privileges():
        if os.getuid() == 0:
            os.setuid(65_534)
        work()

    in_a_child(without_privileges)
