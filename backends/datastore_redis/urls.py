"""From a URL to an open backend."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

from redis import Connection, SSLConnection, UnixDomainSocketConnection

from datastore.backend import Backend
from datastore.errors import ConfigurationError
from datastore.urls import Url, absolute, boolean, positive, seconds
from datastore_redis.backend import RedisBackend
from datastore_redis.client import Settings
from datastore_redis.failures import NAME

DEFAULT_NAME = "agent_data_store"
_PATH = re.compile(r"(?:/(?P<number>\d{1,9}))?(?:/(?P<name>(?!\d*/?$)[A-Za-z0-9_.-]{1,255}))?/?")


def connect(url: Url) -> Backend:
    """Open a store on a Redis or Valkey server: ``redis://user:password@host:6379/0/name``, ``rediss://`` for TLS.

    The path is the number of the database (0) and what all keys begin with (``agent_data_store``); either may be left
    out. Parameters of the URL: ``socket`` (the path of a Unix socket, in place of host and port), ``timeout`` (seconds
    without an answer after which a request has failed, 10), ``pool`` (the most connections that are kept open, 32),
    ``create`` (``false`` refuses to begin a new store).

    Raises:
        ConfigurationError: If the URL is wrong, there is no store and ``create`` is false, or the store has an earlier
            format.
        BackendUnusableError: If a newer version has written it.
        PermissionDeniedError: If the server refuses the credentials.
        BackendUnavailableError: If it does not answer.

    Requests: 1; 2 more the first time.
    """
    return RedisBackend(settings_of(url))


def settings_of(url: Url) -> Settings:
    """Return the settings that a URL contains; see `connect`.

    Raises:
        ConfigurationError: If the URL is wrong.
    """
    found = _PATH.fullmatch(url.path)
    if found is None:
        raise ConfigurationError(
            f"the path of a {url.scheme} URL is the number of a database, the name of a store, or both: "
            f"/0/{DEFAULT_NAME}, of letters, digits, '_', '-' and '.'",
            backend=NAME,
        )
    options: dict[str, Any] = {"db": int(found["number"] or 0), "username": url.user, "password": url.password}
    socket = url.parameter("socket", absolute, None)
    kind: Any
    if socket is not None:
        if url.host or url.scheme == "rediss":
            raise ConfigurationError(
                "with ?socket=... the URL has no host, and no TLS: redis:///0?socket=/path", backend=NAME
            )
        kind, address = UnixDomainSocketConnection, socket
        options["path"] = socket
    else:
        host, port = url.server(6379, "/0")
        kind = SSLConnection if url.scheme == "rediss" else Connection
        options |= {"host": host, "port": port}
        address = f"{host}:{port}"
    settings = Settings(
        address=address,
        kind=kind,
        options=options,
        name=found["name"] or DEFAULT_NAME,
        timeout=url.parameter("timeout", seconds, 10.0) or 0.001,  # 0 would not wait, and a socket calls that blocking
        pool=url.parameter("pool", positive, 32),
        create=url.parameter("create", boolean, True),
        earlier_format=url.earlier_format,
    )
    url.check_all_taken()
    return settings


def place(url: Url) -> Hashable:
    """Return a value that is the same for every URL of one store, and different for another store."""
    settings = settings_of(url)
    address = re.sub(r"^localhost:", "127.0.0.1:", settings.address.lower())
    return NAME, address, settings.options["db"], settings.name
