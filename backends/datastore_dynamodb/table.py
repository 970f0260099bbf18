"""Making sure that the table exists."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from datastore.adapters.answers import member
from datastore.errors import BackendUnavailableError, ConfigurationError, DataStoreError
from datastore.retry import Backoff
from datastore_dynamodb.answers import AnswerLostError
from datastore_dynamodb.batches import patiently
from datastore_dynamodb.client import Connection, InUseError
from datastore_dynamodb.schema import NAME, PARTITION, SORT, TTL, MissingTableError, Settings, definition, missing

logger = logging.getLogger("datastore")
_CREATION_SECONDS = 120.0
_ANSWER_SECONDS = 10.0
_FIRST_LOOK, _LONGEST_PAUSE = 0.2, 3.0
_SEED_KEYS = {
    "_id",
    "id",
    "pk",
    "docId",
    "doc_id",
    "documentId",
    "document_id",
    "userId",
    "user_id",
    "namespace",
    "key",
}
"""The attributes that the key of another program's table of records may consist of."""


def open_table(connection: Connection) -> None:
    """Make sure that the table exists.

    DynamoDB always encrypts at rest, with a key that AWS owns. For a customer key, deletion protection or tags, create
    the table yourself.

    Raises:
        ConfigurationError: If it is missing and may not be created, or belongs to something else.
        PermissionDeniedError: If the credentials are refused.
        BackendUnavailableError: If DynamoDB does not answer, or the table does not become active in time.

        Requests: 1 if the table exists.
    """
    settings = connection.settings
    made = None
    description = describe(connection)
    if description is None:
        if not settings.create:
            raise missing(settings)
        description = made = _create(connection)
    if description is None or description["TableStatus"] == "CREATING":
        description = _wait(connection)
    schema = _key_of(description)
    if sorted(schema) != [(PARTITION, "HASH", "S"), (SORT, "RANGE", "S")]:
        its_key = ", ".join(f"{name} ({kind}, type {type})" for name, kind, type in schema)
        raise ConfigurationError(
            f"the table {settings.table!r} belongs to something else: its key is {its_key} and not "
            f"{PARTITION} (HASH, type S), {SORT} (RANGE, type S). It was left untouched; name another one in the URL"
            + _moving_in(settings, {name for name, _, _ in schema}),
            backend=NAME,
        )
    if made is not None:
        _turn_on(connection)


def _moving_in(settings: Settings, names: set[str]) -> str:
    """Return how to import the records, if the table's key is like that of another program's records."""
    if not names <= _SEED_KEYS:
        return ""
    region = f"?region={settings.region}" if settings.region else ""
    return f", and bring its records over with 'datastore import-legacy dynamodb://{settings.table}{region} SINK_URL'"


def describe(connection: Connection) -> dict[str, Any] | None:
    """Return DynamoDB's description of the table, or ``None`` if it does not exist."""
    try:
        answer = connection.call("describe_table", TableName=connection.settings.table)
    except MissingTableError:
        return None
    return described(answer, "Table")


def described(answer: Any, name: str) -> dict[str, Any]:
    """Return the description of a table from an answer.

    Raises:
        BackendUnavailableError: If it does not say which state the table is in.
    """
    table: dict[str, Any] = member(answer, name, dict, NAME)
    member(table, "TableStatus", str, NAME)
    return table


def _key_of(description: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the names, kinds and types of the attributes in the key of a table."""
    types = {
        member(one, "AttributeName", str, NAME): member(one, "AttributeType", str, NAME)
        for one in member(description, "AttributeDefinitions", list, NAME)
    }
    return [
        (name := member(part, "AttributeName", str, NAME), member(part, "KeyType", str, NAME), types[name])
        for part in member(description, "KeySchema", list, NAME)
    ]


def _create(connection: Connection) -> dict[str, Any] | None:
    """Create the table and return its description, or ``None`` if another process was faster."""
    try:
        answer = connection.call("create_table", **definition(connection.settings))
    except InUseError:
        return None
    return described(answer, "TableDescription")


def _wait(connection: Connection) -> dict[str, Any]:
    backoff = Backoff(_CREATION_SECONDS, _FIRST_LOOK, _LONGEST_PAUSE)
    while True:
        description = describe(connection)
        if description is not None and description["TableStatus"] != "CREATING":
            return description
        if not backoff.wait():
            raise BackendUnavailableError(
                f"the table {connection.settings.table!r} is still being created after {_CREATION_SECONDS:.0f} s",
                backend=NAME,
            )


def drop_table(connection: Connection) -> bool:
    """Remove the table, and return whether it existed. When this returns, the table can be created again."""
    if not _delete(connection):
        return False
    backoff = Backoff(_CREATION_SECONDS, _FIRST_LOOK, _LONGEST_PAUSE)
    while describe(connection) is not None:
        if not backoff.wait():
            raise BackendUnavailableError(
                f"the table {connection.settings.table!r} is still being deleted after {_CREATION_SECONDS:.0f} s",
                backend=NAME,
            )
    return True


def _delete(connection: Connection) -> bool:
    """Begin to remove the table, and return whether it existed, even if the first answer was lost."""
    asked = False
    backoff = Backoff(_ANSWER_SECONDS, _FIRST_LOOK, _LONGEST_PAUSE)
    while True:
        try:
            connection.call("delete_table", TableName=connection.settings.table)
            return True
        except MissingTableError:
            return asked
        except InUseError:
            if not asked:
                raise
            return True  # it is being removed
        except AnswerLostError:
            asked = True
            if not backoff.wait():
                raise


def _turn_on(connection: Connection) -> None:
    """Turn on what a table cannot be created with: time to live, and recovery if it is wanted."""
    settings = connection.settings
    wanted = {"AttributeName": TTL, "Enabled": True}
    turn_on = partial(connection.call, "update_time_to_live", TableName=settings.table, TimeToLiveSpecification=wanted)
    try:
        patiently(turn_on)
    except DataStoreError as error:
        # The server has no time to live, or the credentials may not turn it on. Expired records stay hidden all the
        # same.
        logger.warning("time to live was not turned on for the table %s (%s)", settings.table, error.message)
    if settings.recovery:
        _recover(connection)


def _recover(connection: Connection) -> None:
    backoff = Backoff(_CREATION_SECONDS, _FIRST_LOOK, _LONGEST_PAUSE)
    while True:
        try:
            connection.call(
                "update_continuous_backups",
                TableName=connection.settings.table,
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
            )
            return
        except BackendUnavailableError:  # backups of a new table cannot be turned on at once
            if not backoff.wait():
                raise
