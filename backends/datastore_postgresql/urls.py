"""From a URL to an open backend."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

from datastore.backend import Backend
from datastore.errors import ConfigurationError
from datastore.tenants import TenantBackend, is_wanted
from datastore.urls import Url, absolute, boolean, one_of, positive, seconds
from datastore_postgresql.backend import PostgresBackend
from datastore_postgresql.client import Session, Settings
from datastore_postgresql.failures import NAME
from datastore_postgresql.schema import TABLE
from datastore_postgresql.tenants import PostgresSchemas

DEFAULT_SCHEMA = "public"
_PATH = re.compile(r"/(?P<database>[^/\x00]{1,63})(?:/(?P<schema>(?!pg_)[A-Za-z0-9_-]{1,63}))?/?")
_TLS = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def connect(url: Url) -> Backend:
    """Open a store in a PostgreSQL database: ``postgresql://user:password@host:5432/database/schema``.

    The schema is ``public`` if none is named. Parameters of the URL: ``socket`` (the folder of a Unix socket, in place
    of the host), ``sslmode`` and ``sslrootcert`` (as in libpq, ``prefer`` and its own file), ``timeout`` (seconds
    without an answer after which a request has failed, 10), ``pool`` (the most connections that are kept open, 32),
    ``create`` (``false`` makes no table), ``prepare`` (whether to prepare statements; where no pooler is in between),
    ``isolation`` (``database`` gives each user a schema).

    Raises:
        ConfigurationError: If the URL is wrong, there is no store and ``create`` is false, or the server is too old or
            its database is not in UTF-8.
        BackendUnusableError: If a newer version has written the store.
        PermissionDeniedError: If the server refuses the credentials.
        BackendUnavailableError: If it does not answer.

    Requests: 1; 2 more the first time. None with ``isolation=database``.
    """
    divided = is_wanted(url)
    settings = settings_of(url)
    if divided:
        return TenantBackend(PostgresSchemas(settings))
    return PostgresBackend(settings, Session(settings))


def settings_of(url: Url) -> Settings:
    """Return the settings that a URL contains; see `connect`.

    Raises:
        ConfigurationError: If the URL is wrong.
    """
    found = _PATH.fullmatch(url.path)
    if found is None:
        raise ConfigurationError(
            "the path of a PostgreSQL URL is a database, and perhaps a schema of letters, digits, '_' and '-': "
            "postgresql://user:password@host:5432/database/schema",
            backend=NAME,
        )
    options: dict[str, Any] = {"dbname": found["database"], "application_name": "agent-datastore"}
    socket = url.parameter("socket", absolute, None)
    if socket is not None:
        port = re.fullmatch(r"(?::(\d{1,5}))?", url.host)
        if port is None:
            raise ConfigurationError(
                "with ?socket=... the URL has no host, perhaps a port: postgresql://user@:5432/database", backend=NAME
            )
        options |= {"host": socket, "port": int(port[1] or 5432)}
    else:
        options["host"], options["port"] = url.server(5432, "/database")
    options |= {"user": url.user, "password": url.password}
    options |= {
        "sslmode": url.parameter("sslmode", one_of(*_TLS), "prefer"),
        "sslrootcert": url.parameter("sslrootcert", str, None),
    }
    settings = Settings(
        address=f"{options['host']}:{options['port']}",
        options={name: value for name, value in options.items() if value is not None},
        schema=found["schema"] or DEFAULT_SCHEMA,
        timeout=url.parameter("timeout", seconds, 10.0) or 0.001,
        pool=url.parameter("pool", positive, 32),
        create=url.parameter("create", boolean, True),
        earlier_format=url.earlier_format,
        prepare=url.parameter("prepare", boolean, None),
    )
    url.check_all_taken()
    return settings


def beside(location: str, suffix: str) -> str:
    """Return the URL of a store in another schema of the database of a URL, both without parameters."""
    location = location.rstrip("/")
    return location + ("" if location.count("/") > 3 else f"/{TABLE}") + suffix


def place(url: Url) -> Hashable:
    """Return a value that is the same for every URL of one store, and different for another store."""
    divided, settings = is_wanted(url), settings_of(url)
    host = "127.0.0.1" if settings.options["host"].lower() == "localhost" else settings.options["host"].lower()
    return NAME, host, settings.options["port"], settings.options["dbname"], settings.schema, divided
