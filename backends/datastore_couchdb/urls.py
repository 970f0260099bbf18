"""From a URL to an open backend."""

from __future__ import annotations

import re
from collections.abc import Hashable

from datastore.backend import Backend
from datastore.errors import ConfigurationError
from datastore.tenants import TenantBackend, is_wanted
from datastore.urls import Url, boolean, positive, seconds
from datastore_couchdb.backend import CouchBackend
from datastore_couchdb.client import NAME, Settings
from datastore_couchdb.tenants import CouchDatabases

_SCHEMES = {"couchdb": "http", "couchdbs": "https"}
# https://docs.couchdb.org/en/stable/api/database/common.html#put--db
_DATABASE = re.compile(r"[a-z][a-z0-9_$()+/-]{0,237}")


def connect(url: Url) -> Backend:
    """Open a CouchDB store, and create the database and its indexes if they do not exist.

    Parameters of the URL: ``timeout`` (seconds for one request, 30), ``pool`` (the most connections, 32), ``create``
    (``false`` creates nothing: neither database nor indexes), ``partitioned`` (``true`` for a database partitioned by
    user), ``isolation`` (``database`` for a separate database for each tenant, opened when it is first used).

    Raises:
        ConfigurationError: If the URL is wrong, or the database does not exist and may not be created.
        PermissionDeniedError: If the server refuses the credentials.
        BackendUnavailableError: If the server does not answer.

    Requests: 2 if everything exists.
    """
    isolated = is_wanted(url)
    settings = settings_of(url)
    return TenantBackend(CouchDatabases(settings)) if isolated else CouchBackend(settings)


def settings_of(url: Url) -> Settings:
    """Return the settings that a URL contains; see `connect`.

    Raises:
        ConfigurationError: If the URL is wrong.
    """
    settings = Settings(
        origin=f"{_SCHEMES[url.scheme]}://{_host(url)}",
        user=url.user,
        password=url.password,
        database=_database(url),
        timeout=url.parameter("timeout", seconds, 30.0),
        pool=url.parameter("pool", positive, 32),
        create=url.parameter("create", boolean, True),
        partitioned=url.parameter("partitioned", boolean, False),
        earlier_format=url.earlier_format,
    )
    url.check_all_taken()
    return settings


def place(url: Url) -> Hashable:
    """Return a value that is the same for every URL of one database, and different for another database."""
    isolated, settings = is_wanted(url), settings_of(url)
    return NAME, settings.origin.lower().replace("//localhost:", "//127.0.0.1:"), settings.database, isolated


def _host(url: Url) -> str:
    host, port = url.server(5984 if url.scheme == "couchdb" else 6984, "/agent_data_store")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _database(url: Url) -> str:
    name = url.path.strip("/") or "agent_data_store"
    if not _DATABASE.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is no database name: use lower-case letters, digits and _$()+/-, and begin with a letter",
            backend=NAME,
        )
    return name
