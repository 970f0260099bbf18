"""From a URL to an open backend."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

from datastore.backend import Backend
from datastore.errors import ConfigurationError
from datastore.tenants import TenantBackend, is_wanted
from datastore.urls import Url, boolean, one_of, seconds
from datastore_dynamodb.backend import DynamoBackend
from datastore_dynamodb.schema import Settings
from datastore_dynamodb.tenants import LONGEST_NAME, DynamoTables

DEFAULT_TABLE = "agent_data_store"
_TABLE = re.compile(rf"[A-Za-z0-9_.-]{{3,{LONGEST_NAME}}}")


def connect(url: Url) -> Backend:
    """Open a DynamoDB store, and create its table if it does not exist.

    The URL is ``dynamodb://table``; boto3 finds the credentials. Its parameters:

    - ``region``, ``profile``, ``endpoint_url``: where the table is, if not where boto3 looks by default;
    - ``create`` (``false`` refuses to create a table), ``capacity`` (``read,write`` units of a new table instead of pay
      per request), ``recovery`` (``true`` turns on point-in-time recovery of a new table);
    - ``consistency`` (``eventual`` halves the cost of reads, which may then miss the latest writes);
    - ``transactions`` (``false`` writes batches one by one: at half the write units, in a hundred times the requests);
    - ``timeout`` and ``connect_timeout`` (seconds), ``connections`` (the most at once; use as many as there are
      threads);
    - ``isolation`` (``database`` for a separate table for each tenant, opened when it is first used).

    Raises:
        ConfigurationError: If the URL is wrong, or the table is missing or belongs to something else.
        PermissionDeniedError: If the credentials are missing or refused.
        BackendUnavailableError: If DynamoDB does not answer.

        Requests: 1 if the table exists; with ``isolation`` 0.
    """
    isolated = is_wanted(url)
    settings = settings_of(url)
    return TenantBackend(DynamoTables(settings)) if isolated else DynamoBackend(settings)


def settings_of(url: Url) -> Settings:
    """Return all settings that a URL contains.

    Raises:
        ConfigurationError: If it is wrong.
    """
    if url.user is not None or url.password is not None:
        raise ConfigurationError(
            "a dynamodb URL holds no credentials: remove them, and give them to boto3 in one of its own ways "
            "(environment, profile, role)"
        )
    if url.path not in ("", "/"):
        raise ConfigurationError(f"write dynamodb://{url.host or DEFAULT_TABLE}?region=..., without a path")
    table = url.host or DEFAULT_TABLE
    if not _TABLE.fullmatch(table):
        raise ConfigurationError(
            f"{table!r} is no table name: use 3 to 255 letters, digits, '_', '-' and '.' "
            "(the server goes into endpoint_url=...)"
        )
    settings = Settings(
        table=table,
        region=url.parameter("region", _text, None),
        profile=url.parameter("profile", _text, None),
        endpoint_url=url.parameter("endpoint_url", _endpoint, None),
        create=url.parameter("create", boolean, True),
        strong=url.parameter("consistency", one_of("strong", "eventual"), "strong") == "strong",
        transactions=url.parameter("transactions", boolean, True),
        capacity=url.parameter("capacity", _capacity, None),
        recovery=url.parameter("recovery", boolean, False),
        timeout=url.parameter("timeout", seconds, 10.0),
        connect_timeout=url.parameter("connect_timeout", seconds, 3.0),
        connections=url.parameter("connections", _count, 50),
        read_only=url.read_only,
        earlier_format=url.earlier_format,
    )
    url.check_all_taken()
    return settings


def beside(location: str, suffix: str) -> str:
    """Return the URL of another table beside the one of a URL, both without parameters."""
    return location.rstrip("/") + suffix


def place(url: Url) -> Hashable:
    """Return a value that is the same for every URL of one table, and different for another table."""
    isolated, settings = is_wanted(url), settings_of(url)
    endpoint = (settings.endpoint_url or "").lower().rstrip("/").replace("//localhost:", "//127.0.0.1:")
    return "dynamodb", endpoint, settings.region, settings.profile, settings.table, isolated


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("it must be text")
    return value


def _endpoint(value: Any) -> str:
    if not re.match(r"https?://[^@/]+(/|$)", _text(value)):
        raise ValueError("it must be like http://localhost:8000, without credentials")
    return _text(value)


def _count(value: Any) -> int:
    number = int(value)
    if number < 1:
        raise ValueError("it must be at least 1")
    return number


def _capacity(value: Any) -> tuple[int, int]:
    read, _, write = str(value).partition(",")
    try:
        return _count(read), _count(write)
    except ValueError:
        raise ValueError("it must be the read and write units, such as 25,10") from None
