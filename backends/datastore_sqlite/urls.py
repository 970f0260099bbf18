"""From a URL to an open backend."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

from datastore.backend import Backend
from datastore.errors import ConfigurationError
from datastore.tenants import is_wanted
from datastore.urls import Url, boolean, one_of, positive, seconds
from datastore_sqlite.backend import SqliteBackend
from datastore_sqlite.client import NAME, Settings
from datastore_sqlite.migrating import is_earlier, migrate_file

_LONGEST_TIMEOUT = 2_147_483
"""SQLite counts milliseconds in a signed 32-bit integer (https://www.sqlite.org/c3ref/busy_timeout.html)."""


def connect(url: Url) -> Backend:
    """Open a SQLite store, and create it if it does not exist.

    Parameters of the URL: ``synchronous`` (``normal`` or ``full``), ``timeout`` (seconds to wait for a lock, 10),
    ``create`` (``false`` refuses to create a file), ``mmap`` (``true`` reads from a memory map of the file, which
    kills the process if the file is truncated meanwhile), ``pool`` (the most connections, 32),
    ``isolation`` (``database`` for a separate file for each tenant, beside the one that the URL names), ``mode``
    (``ro`` opens the file only for reading).

    Raises:
        ConfigurationError: If the path or a parameter is wrong, or the file is not such a store.
        PermissionDeniedError: If the operating system refuses access.
        BackendUnavailableError: If another process keeps the file locked for the whole ``timeout``.
    """
    settings, isolated = _settings(url), is_wanted(url)
    url.check_all_taken()
    if not isolated:
        return SqliteBackend(settings)
    from datastore.tenants import TenantBackend  # here, because few stores are divided like this
    from datastore_sqlite.tenants import SqliteFiles, SqliteMemories

    return TenantBackend(SqliteMemories(settings) if settings.path is None else SqliteFiles(settings, settings.path))


def _settings(url: Url) -> Settings:
    return Settings(
        path=_path(url),
        synchronous=url.parameter("synchronous", one_of("normal", "full"), "normal"),
        timeout=url.parameter("timeout", _timeout, 10.0),
        create=url.parameter("create", boolean, True),
        mmap=url.parameter("mmap", boolean, False),
        pool=url.parameter("pool", positive, 32),
        read_only=url.read_only,
        earlier_format=url.earlier_format,
    )


def migrate(url: Url, on_progress: Callable[[int, int | None], object] | None = None) -> int:
    """Bring a file of the earlier format to the current one, in place, and return how many records it holds.

    With ``isolation=database`` the files of all tenants, one after another; those that are done are left alone, so an
    interrupted migration goes on where it was.

    Raises:
        ConfigurationError, PermissionDeniedError, BackendUnavailableError: As `connect`; also if there is nothing to
            migrate.
    """
    settings, isolated = _settings(url), is_wanted(url)
    url.check_all_taken()
    if settings.path is None:
        raise ConfigurationError("a store in memory has nothing to migrate", backend=NAME)
    if not isolated:
        return migrate_file(settings, settings.path, on_progress)
    from datastore_sqlite.tenants import SqliteFiles

    files = SqliteFiles(settings, settings.path).files()
    of_tenant = replace(settings, tenant=True)
    return sum(migrate_file(of_tenant, file, on_progress) for file in files if is_earlier(of_tenant, file))


def beside(location: str, suffix: str) -> str:
    """Return the URL of another file beside the one of a URL, both without parameters; in memory each is another."""
    return location if location.endswith(":memory:") else re.sub(r"(\.db)?$", rf"{suffix}\1", location, count=1)


def place(url: Url) -> Hashable:
    """Return what is the same for every URL of one database: the file itself, which may have several paths."""
    path, isolated = _path(url), is_wanted(url)
    if path is None:
        return None
    if isolated or not path.exists():
        return NAME, os.path.realpath(path), isolated
    status = path.stat()
    return NAME, status.st_dev, status.st_ino


def _timeout(given: Any) -> float:
    number = seconds(given)
    if number > _LONGEST_TIMEOUT:
        raise ValueError(f"{number:g} s is longer than SQLite can wait; the longest is {_LONGEST_TIMEOUT:,} s")
    return number


def _path(url: Url) -> Path | None:
    if (url.host == ":memory:" and url.path in ("", "/")) or (not url.host and url.path == "/:memory:"):
        return None  # some libraries spell it so
    if url.host:
        raise ConfigurationError(
            f"sqlite://{url.host} names a host; write sqlite:///{url.host}{url.path} for a path relative to the "
            "working directory, sqlite:////... for an absolute one, or sqlite://:memory:"
        )
    path = url.path.removeprefix("/")
    if not path or "\0" in path:
        raise ConfigurationError("the sqlite URL has no file; write sqlite:///agents.db, or sqlite://:memory:")
    if path.startswith("//"):
        path = "/" + path.lstrip("/")  # with two slashes, SQLite would take the beginning for a host
    return Path(path).absolute()  # absolute, because the working directory may change
