"""Isolation by database (``isolation="database"``): one backend that hands each call to the database of its tenant.

A tenant is a user id. An adapter implements `Databases`, which opens, drops and lists databases by name;
`TenantBackend` makes a backend of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datastore.tenants.databases import Databases, is_wanted

if TYPE_CHECKING:
    from datastore.tenants.routing import TenantBackend

__all__ = ["Databases", "TenantBackend", "is_wanted"]


if not TYPE_CHECKING:  # a type checker that saw it would accept every name, even a misspelt one

    def __getattr__(name: str) -> Any:
        if name == "TenantBackend":
            from datastore.tenants.routing import TenantBackend  # here, because few stores are divided like this

            return TenantBackend
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
