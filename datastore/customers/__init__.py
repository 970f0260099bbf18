"""Isolation by database: one backend that hands calls to a database for each customer (``isolation="database"``).

A customer is a user id. An adapter says in a `Databases` how a database of a given name is opened, dropped and listed;
`CustomerBackend` makes a backend of it.
"""

from __future__ import annotations

from datastore.customers.databases import Databases, is_wanted
from datastore.customers.routing import CustomerBackend

__all__ = ["CustomerBackend", "Databases", "is_wanted"]
