"""Isolation by database: one backend that hands calls to a database for each tenant (``isolation="database"``).

A tenant is a user id. An adapter says in a `Databases` how a database of a given name is opened, dropped and listed;
`TenantBackend` makes a backend of it.
"""

from __future__ import annotations

from datastore.tenants.databases import Databases, is_wanted
from datastore.tenants.routing import TenantBackend

__all__ = ["Databases", "TenantBackend", "is_wanted"]
