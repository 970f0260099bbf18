"""Isolation by database (``isolation="database"``): one backend that hands each call to the database of its tenant.

A tenant is a user id. An adapter implements `Databases`, which opens, drops and lists databases by name;
`TenantBackend` makes a backend of that.
"""

from __future__ import annotations

from datastore.tenants.databases import Databases, is_wanted
from datastore.tenants.routing import TenantBackend

__all__ = ["Databases", "TenantBackend", "is_wanted"]
